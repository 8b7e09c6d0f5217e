"""What an object looks like on its prompt frame, so that re-initialisation does not slide onto the background.

Points sampled from predicted masks inherit the masks' mistakes, and the mistakes add up: a part of the background that is taken
for the object once is tracked and taken for it for good. Colours do not drift. The colours of the object and of the rest of its
prompt frame, as histograms, tell for every pixel of a later frame on which side it belongs; new points are drawn where mask
and colours agree, and next to the mask also where the colours are sure of the object.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.geometry import shrink_image
from sampt.types import BoolArray, FloatArray, UInt8Array

__all__ = ["ObjectAppearance", "PointRegions"]

# Chosen on davis2016_train with the default preset (docs/benchmarks.md).
_LONGEST_SIDE = 288
_BLUR_SIGMA_PX = 1.0
_LIGHTNESS_BINS, _COLOR_BINS = 16, 21
_FLOOR = 1e-5
"""Fraction of the pixels that a colour never seen is taken to have."""
_DOUBT = 1.5
"""Log ratio by which colours may speak against the mask before a pixel is left out."""
_SURE = 3.0
"""Log ratio from which colours alone make a pixel near the mask the object's."""
_SURE_BLUR_PX = 5
_REACH = 0.15
"""How far from the mask that holds, as a fraction of the root of its area."""
_MIN_FRACTION, _MIN_PIXELS = 0.25, 30
"""With less of its region left, a sign is drawn from the whole region: the colours have changed, not the mask."""


class PointRegions(NamedTuple):
    """Where points may be drawn: (h, w) bool for positive ones and for negative ones."""

    positive: BoolArray
    negative: BoolArray

    def __repr__(self) -> str:
        return shape_repr(self)


class ObjectAppearance:
    """Colours of an object and of everything else on one frame.

    Args:
        frame: (h, w, 3) uint8 RGB.
        mask: (h, w) bool, the object.
    """

    def __init__(self, frame: UInt8Array, mask: BoolArray) -> None:
        bins = _color_bins(frame)
        small = cv2.resize(mask.astype(np.uint8), bins.shape[::-1], interpolation=cv2.INTER_NEAREST) > 0
        inside, outside = _histogram(bins[small]), _histogram(bins[~small])
        self._log_ratio = np.log((inside + _FLOOR) / (outside + _FLOOR)).astype(np.float32).ravel()

    def log_ratio(self, frame: UInt8Array) -> FloatArray:
        """(h, w) float32 of a frame: above 0 where the colour was commoner on the object than off it."""
        ratio = self._log_ratio[_color_bins(frame)]
        return np.asarray(cv2.resize(ratio, (frame.shape[1], frame.shape[0]), interpolation=cv2.INTER_LINEAR), np.float32)

    def regions(self, frame: UInt8Array, mask: BoolArray) -> PointRegions:
        """Where to draw new points of the object, whose predicted (h, w) mask on ``frame`` is ``mask``; neither is empty
        unless the mask or its complement is."""
        ratio = self.log_ratio(frame)
        distance_px = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 3)
        near = distance_px <= _REACH * np.sqrt(np.count_nonzero(mask))
        sure = near & (cv2.blur(ratio, (_SURE_BLUR_PX, _SURE_BLUR_PX)) > _SURE)
        positive = (mask & (ratio > -_DOUBT)) | sure
        negative = ~mask & (ratio < _DOUBT) & ~sure
        return PointRegions(_unless_too_little(positive, mask), _unless_too_little(negative, ~mask))


def _unless_too_little(region: BoolArray, whole: BoolArray) -> BoolArray:
    left = np.count_nonzero(region)
    return region if left >= max(_MIN_PIXELS, _MIN_FRACTION * np.count_nonzero(whole)) else whole


def _color_bins(frame: UInt8Array) -> np.ndarray:
    """(h', w') int: the histogram bin of every pixel of the reduced, slightly blurred frame."""
    small = shrink_image(frame, _LONGEST_SIDE)
    lab = np.asarray(cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), _BLUR_SIGMA_PX), cv2.COLOR_RGB2LAB), np.int32)
    # a and b of natural images lie near the middle of their range: six values a bin there, the rest in the outer bins.
    color = np.clip((lab[..., 1:] - 64) // 6, 0, _COLOR_BINS - 1)
    bins = (lab[..., 0] * _LIGHTNESS_BINS // 256 * _COLOR_BINS + color[..., 0]) * _COLOR_BINS + color[..., 1]
    return np.asarray(bins)


def _histogram(bins: np.ndarray) -> FloatArray:
    """(lightness, a, b) shares, smoothed over neighbouring bins by 1-2-1 along each axis."""
    shape = (_LIGHTNESS_BINS, _COLOR_BINS, _COLOR_BINS)
    counts = np.bincount(bins, minlength=int(np.prod(shape))).reshape(shape).astype(np.float32)
    for axis in range(3):
        padded = np.pad(counts, [(1, 1) if i == axis else (0, 0) for i in range(3)])
        size = counts.shape[axis]
        before, here, after = (np.take(padded, np.arange(k, k + size), axis) for k in range(3))
        counts = 0.25 * before + 0.5 * here + 0.25 * after
    return np.asarray(counts / max(1.0, float(counts.sum())), np.float32)
