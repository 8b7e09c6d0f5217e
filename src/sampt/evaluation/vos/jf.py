"""Region similarity J, contour accuracy F, and their statistics over a sequence, as the official DAVIS toolkit defines them.

Source: Perazzi et al., "A Benchmark Dataset and Evaluation Methodology for Video Object Segmentation" (CVPR 2016), and the
behaviour of the program davisvideochallenge/davis2017-evaluation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from sampt.errors import EvaluationError
from sampt.types import BoolArray, UInt8Array

__all__ = ["Statistics", "boundary_f", "boundary_map", "db_statistics", "jaccard", "region_and_contour"]

Mask: TypeAlias = npt.NDArray[Any]
"""(h, w) bool, or numbers that are not 0 on the object."""


@dataclass(frozen=True)
class Statistics:
    """One measure over the scored frames of one object.

    Attributes:
        mean: over the frames.
        recall: part of the frames above 0.5.
        decay: mean of the first quarter of the frames minus that of the last one.
    """

    mean: float
    recall: float
    decay: float


def jaccard(pred: Mask, gt: Mask, void: Mask | None = None) -> float:
    """Intersection over union of two (h, w) masks, in [0, 1]; 1 when both are empty.

    Args:
        pred: predicted mask.
        gt: ground-truth mask.
        void: pixels that do not count; None for none.

    Raises:
        EvaluationError: the masks differ in size.
    """
    pred, gt = _comparable(pred, gt, void)
    return _overlap(pred, gt)


def boundary_f(pred: Mask, gt: Mask, bound_th: float = 0.008, void: Mask | None = None) -> float:
    """F-measure of the contours of two (h, w) masks, in [0, 1].

    Precision is the part of the predicted contour within the tolerance of the true one, recall the reverse. A mask without
    contour (empty, or covering the frame) matches only another one: 1 for two of them, 0 for one.

    Args:
        pred: predicted mask.
        gt: ground-truth mask.
        bound_th: tolerance as a part of the frame's diagonal, rounded up to pixels; from 1 on, the tolerance in pixels.
        void: pixels where both masks are taken for empty, as the toolkit does; None for none.

    Raises:
        EvaluationError: the masks differ in size.
    """
    pred, gt = _comparable(pred, gt, void)
    return _contour_f(*_crop(pred, gt), _tolerance_px(gt.shape, bound_th))


def region_and_contour(pred: Mask, gt: Mask, void: Mask | None = None) -> tuple[float, float]:
    """``jaccard`` and ``boundary_f`` of two masks at once, for little more than the price of the second.

    Raises:
        EvaluationError: the masks differ in size.
    """
    pred, gt = _comparable(pred, gt, void)
    pred_part, gt_part = _crop(pred, gt)
    return _overlap(pred_part, gt_part), _contour_f(pred_part, gt_part, _tolerance_px(gt.shape, 0.008))


def boundary_map(mask: Mask) -> BoolArray:
    """(h, w) bool: the pixels that differ from their right, lower or lower right neighbour.

    A neighbour outside the frame does not count, so the last pixel of all is never set.
    """
    # With its last row and column repeated, a pixel there has no neighbour but the ones inside the frame.
    padded = np.pad(mask.astype(np.bool_), ((0, 1), (0, 1)), mode="edge")
    here = padded[:-1, :-1]
    return np.asarray((here != padded[:-1, 1:]) | (here != padded[1:, :-1]) | (here != padded[1:, 1:]))


def db_statistics(per_frame: npt.ArrayLike) -> Statistics:
    """Mean, recall and decay of (n,) values, one a scored frame, n >= 1.

    The quarters overlap in one frame where they meet: their ends are the rounded quartiles of the frame numbers.

    Raises:
        EvaluationError: there is no value.
    """
    values = np.asarray(per_frame, np.float64)
    if not len(values):
        raise EvaluationError("There is no scored frame, expected at least one value to take statistics of.")
    ends = (np.round(np.linspace(1, len(values), 5) + 1e-10) - 1).astype(np.intp)
    first, last = values[: ends[1] + 1], values[ends[3] :]
    return Statistics(float(values.mean()), float((values > 0.5).mean()), float(first.mean() - last.mean()))


def _comparable(pred: Mask, gt: Mask, void: Mask | None) -> tuple[BoolArray, BoolArray]:
    if pred.shape != gt.shape or pred.ndim != 2:
        raise EvaluationError(
            f"The predicted mask has shape {pred.shape} and the true one {gt.shape}; expected one (h, w) for both."
        )
    pred, gt = np.asarray(pred, np.bool_), np.asarray(gt, np.bool_)
    if void is None:
        return pred, gt
    if void.shape != gt.shape:
        raise EvaluationError(f"The void pixels have shape {void.shape}, expected {gt.shape} as the masks.")
    counted = ~np.asarray(void, np.bool_)
    return pred & counted, gt & counted


def _overlap(pred: BoolArray, gt: BoolArray) -> float:
    union = int(np.count_nonzero(pred | gt))
    return int(np.count_nonzero(pred & gt)) / union if union else 1.0


def _crop(pred: BoolArray, gt: BoolArray) -> tuple[BoolArray, BoolArray]:
    """Both masks where either of them is, with the pixel around that their contours need.

    Contours reach one pixel beyond a mask, up and to the left; the pixel below and to the right of it keeps the border of the
    cut from being taken for that of the frame. What is cut away holds no contour, so nothing is changed by its absence.
    """
    x, y, width, height = cv2.boundingRect((pred | gt).view(np.uint8))
    area = (slice(max(0, y - 1), y + height + 1), slice(max(0, x - 1), x + width + 1))
    return pred[area], gt[area]


def _tolerance_px(size_hw: tuple[int, ...], bound_th: float) -> float:
    # np.linalg.norm as in the toolkit: the rounding up must not depend on the last bit of another formula.
    return bound_th if bound_th >= 1 else math.ceil(bound_th * float(np.linalg.norm(size_hw)))


def _contour_f(pred: BoolArray, gt: BoolArray, radius: float) -> float:
    pred_contour, gt_contour = boundary_map(pred), boundary_map(gt)
    n_pred, n_gt = int(np.count_nonzero(pred_contour)), int(np.count_nonzero(gt_contour))
    if n_pred == 0 or n_gt == 0:
        return float(n_pred == n_gt)
    precision = int(np.count_nonzero(pred_contour & _dilate(gt_contour, radius))) / n_pred
    recall = int(np.count_nonzero(gt_contour & _dilate(pred_contour, radius))) / n_gt
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def _dilate(contour: BoolArray, radius: float) -> BoolArray:
    return cv2.dilate(contour.view(np.uint8), _disk(radius)).astype(np.bool_)


@lru_cache(maxsize=8)
def _disk(radius: float) -> UInt8Array:
    """The pixels at most ``radius`` from the centre: scikit-image's disk, of which OpenCV's ellipse is only nearly one."""
    steps = np.arange(-math.floor(radius), math.floor(radius) + 1)
    return (steps[:, None] ** 2 + steps**2 <= radius**2).astype(np.uint8)
