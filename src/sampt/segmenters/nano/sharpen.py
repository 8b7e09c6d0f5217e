"""Edges of a coarse mask moved onto those of the frame: the fast guided filter with a colour guide.

He, Sun and Tang, "Guided Image Filtering" (ECCV 2010), equations 14 to 19 for a colour guide; He and Sun, "Fast Guided Filter"
(arXiv 1505.00996): the linear coefficients are found at the coarse size and applied at the frame's.
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.types import FloatArray, UInt8Array

__all__ = ["guided_upsample"]


def guided_upsample(coarse: FloatArray, guide: UInt8Array, radius: int, epsilon: float) -> FloatArray:
    """``coarse`` at the size of ``guide``, locally a linear function of the guide's colours.

    Args:
        coarse: (hc, wc) float32.
        guide: (h, w, 3) uint8 RGB of the same part of the frame, at least as large.
        radius: of the averaging square, coarse pixels; 0 leaves the filter out (bilinear).
        epsilon: variance of the colours, in squares of the full range, below which an area counts as flat.

    Returns:
        (h, w) float32.
    """
    size_wh = (guide.shape[1], guide.shape[0])
    if radius == 0:
        return _resize(coarse, size_wh)
    small = np.asarray(cv2.resize(guide, coarse.shape[::-1], interpolation=cv2.INTER_AREA)).reshape(*coarse.shape, 3)
    slope, offset = _coefficients(coarse, np.asarray(small / np.float32(255), np.float32), radius, epsilon)
    # OpenCV mixes the types and sums the channels without copies of the frame as floating point.
    slopes = np.asarray(cv2.resize(slope, size_wh, interpolation=cv2.INTER_LINEAR)).reshape(*guide.shape)
    product = cv2.multiply(slopes, np.ascontiguousarray(guide), scale=1 / 255, dtype=cv2.CV_32F)
    total = cv2.transform(np.asarray(product).reshape(*guide.shape), np.ones((1, 3), np.float32))
    return np.asarray(cv2.add(np.asarray(total).reshape(guide.shape[:2]), _resize(offset, size_wh)), np.float32)


def _resize(values: FloatArray, size_wh: tuple[int, int]) -> FloatArray:
    return np.asarray(cv2.resize(values, size_wh, interpolation=cv2.INTER_LINEAR), np.float32).reshape(size_wh[::-1])


def _coefficients(signal: FloatArray, guide: FloatArray, radius: int, epsilon: float) -> tuple[FloatArray, FloatArray]:
    """Averaged slopes (h, w, 3) and offsets (h, w) of the best linear function of the guide around every pixel."""

    def mean(values: FloatArray) -> FloatArray:
        side = 2 * radius + 1
        return np.asarray(cv2.blur(values, (side, side), borderType=cv2.BORDER_REFLECT_101), np.float32).reshape(values.shape)

    mean_guide, mean_signal = mean(guide), mean(signal)
    covariance = mean(guide * signal[..., None]) - mean_guide * mean_signal[..., None]
    pairs = ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))
    rr, rg, rb, gg, gb, bb = (
        mean(guide[..., a] * guide[..., b]) - mean_guide[..., a] * mean_guide[..., b] + np.float32(epsilon * (a == b))
        for a, b in pairs
    )
    # The inverse of the symmetric 3 x 3 matrix by its cofactors.
    c_rr, c_rg, c_rb = gg * bb - gb * gb, gb * rb - rg * bb, rg * gb - gg * rb
    c_gg, c_gb, c_bb = rr * bb - rb * rb, rb * rg - rr * gb, rr * gg - rg * rg
    determinant = rr * c_rr + rg * c_rg + rb * c_rb
    r, g, b = (covariance[..., k] / determinant for k in range(3))
    slope = np.stack([c_rr * r + c_rg * g + c_rb * b, c_rg * r + c_gg * g + c_gb * b, c_rb * r + c_gb * g + c_bb * b], -1)
    offset = mean_signal - (slope * mean_guide).sum(-1)
    return mean(slope), mean(offset)
