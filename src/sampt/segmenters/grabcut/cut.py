"""Exact minimum cut of given logits on the pixel grid, by OpenCV's grabCut with models of our own.

``cv2.grabCut`` learns its colour models with k-means from OpenCV's global random numbers. Here the models are given and frozen:
the first image channel carries the logits, and two Gaussians of equal variance on it have a log ratio that is linear in the
logit. What is left is the min cut itself: deterministic, with edge weights exp(-beta |difference|^2) / distance.
Source: Rother, Kolmogorov, Blake, "GrabCut", SIGGRAPH 2004.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sampt.types import BoolArray, FloatArray

__all__ = ["min_cut"]

_LEVELS = 30  # of channel 0, each way
_LEVELS_PER_LOGIT = 3.75  # so that logits in [-8, 8] fit
_HALF_DISTANCE = 30.0  # of the two Gaussians' means: as far apart as the levels, which keeps exponents smallest
_GAMMA = 50.0  # weight of the edges fixed in OpenCV
_WIDE = 1e5  # variance of the channels that carry no logit: the same for both models


def min_cut(logits: FloatArray, edges: np.ndarray, smoothness: float) -> BoolArray:
    """The labelling of least energy ``-sum of logits inside + smoothness * weighted length of the contour``.

    Args:
        logits: (h, w) float32; beyond [-8, 8] they are clipped, between they are rounded to 1 / 3.75.
        edges: (h, w, 2) uint8, channels whose differences weaken an edge.
        smoothness: weight of the contour in logits a pixel.

    Returns:
        (h, w) bool, True on the object.
    """
    start = logits > 0
    if start.all() or not start.any():
        return start
    level = np.clip(np.round(128 + logits * _LEVELS_PER_LOGIT), 128 - _LEVELS, 128 + _LEVELS).astype(np.uint8)
    image = np.dstack([level, edges])
    variance = 2 * _HALF_DISTANCE * _LEVELS_PER_LOGIT * smoothness / _GAMMA
    mask = np.where(start, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    background, foreground = (_model(128 + sign * _HALF_DISTANCE, variance) for sign in (-1, 1))
    cv2.grabCut(image, mask, None, background, foreground, 1, cv2.GC_EVAL_FREEZE_MODEL)  # type: ignore[call-overload]
    return np.asarray(mask == cv2.GC_PR_FGD)


def _model(mean: float, variance: float) -> npt.NDArray[np.float64]:
    """A mixture in OpenCV's layout (5 weights, 5 x 3 means, 5 x 9 covariances) with one component of weight 1."""
    model = np.zeros((1, 65))
    model[0, 0] = 1
    model[0, 5:8] = mean, 128, 128
    covariances = np.tile(np.eye(3), (5, 1, 1))
    covariances[0] = np.diag([variance, _WIDE, _WIDE])
    model[0, 20:] = covariances.ravel()
    return model
