"""How good point tracks are: the TAP-Vid measures, and the fraction of correct key points (PCK).

Source: Doersch et al., "TAP-Vid: A Benchmark for Tracking Any Point in a Video" (NeurIPS 2022), and the behaviour of
``compute_tapvid_metrics`` and of the two samplers of queries in the program google-deepmind/tapnet. A location counts as within
a threshold when it is strictly nearer than that, as there and in the programs that report PCK on BADJA.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sampt.errors import EvaluationError, did_you_mean
from sampt.types import BoolArray, IntArray

__all__ = [
    "QUERY_MODES",
    "TAP_VID_SIDE",
    "TAP_VID_STRIDE",
    "TAP_VID_THRESHOLDS",
    "TapVidScore",
    "mean_tap_vid",
    "pck",
    "tap_vid_queries",
    "tap_vid_score",
]

TAP_VID_SIDE = 256
"""The frame is scaled to a square of this side, pixels, before distances are measured."""
TAP_VID_THRESHOLDS = (1.0, 2.0, 4.0, 8.0, 16.0)
"""Pixels in that square."""
TAP_VID_STRIDE = 5
"""In the mode "strided", points are given on every fifth frame."""
QUERY_MODES = ("first", "strided")
"""Each point is given where it is first seen, or on every ``TAP_VID_STRIDE``-th frame on which it is seen."""

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class TapVidScore:
    """The TAP-Vid measures of one clip, or their mean over clips; all in [0, 1].

    Attributes:
        occlusion_accuracy: fraction of points and frames on which predicted and true visibility agree.
        within: for each of ``TAP_VID_THRESHOLDS``, the fraction of truly visible points within it, predicted visible or not.
        jaccard: for each of them, true positives over the sum of true positives, false positives and false negatives.
    """

    occlusion_accuracy: float
    within: tuple[float, ...]
    jaccard: tuple[float, ...]

    @property
    def delta_avg(self) -> float:
        """Mean of ``within`` over the thresholds."""
        return float(np.mean(self.within))

    @property
    def average_jaccard(self) -> float:
        """Mean of ``jaccard`` over the thresholds."""
        return float(np.mean(self.jaccard))


def tap_vid_queries(gt_visible: Array, query_mode: str) -> tuple[IntArray, IntArray]:
    """Which points are given, and where, in the order of the official program.

    Args:
        gt_visible: (t, n) bool.
        query_mode: "first": each point that is ever seen once, on the first such frame; "strided": each point once on each of
            the frames 0, 5, 10, ... on which it is seen, as a track of its own.

    Returns:
        (q,) index of the point and (q,) index of the frame, int64; the tracks to score are ``gt_xy[:, point_idx]``.

    Raises:
        EvaluationError: there is no such mode, or ``gt_visible`` is not (t, n) bool.
    """
    _check_query_mode(query_mode)
    visible = _flags("gt_visible", gt_visible)
    if visible.ndim != 2:
        raise EvaluationError(f"gt_visible has shape {visible.shape}, expected (t, n).")
    if query_mode == "first":
        point_idx = np.flatnonzero(visible.any(0))
        return point_idx, visible[:, point_idx].argmax(0) if len(point_idx) else point_idx
    strided_idx, point_idx = np.nonzero(visible[::TAP_VID_STRIDE])
    return point_idx, strided_idx * TAP_VID_STRIDE


def tap_vid_score(
    pred_xy: Array,
    pred_visible: Array,
    gt_xy: Array,
    gt_visible: Array,
    prompt_frame_idx: Array,
    size_hw: tuple[int, int],
    query_mode: str = "first",
) -> TapVidScore:
    """Score one clip on the frames after each point's prompt frame, or in the mode "strided" on all but that one.

    At a threshold, a true positive is a point predicted visible that is truly visible and within it; a false positive one
    predicted visible that is truly hidden or not within it; a false negative one truly visible that is predicted hidden or not
    within it. So a visible point at a wrong location is both a false positive and a false negative.

    Args:
        pred_xy: (t, n, 2) predicted locations, pixels of the frame.
        pred_visible: (t, n) bool.
        gt_xy: (t, n, 2); values of hidden points do not matter.
        gt_visible: (t, n) bool.
        prompt_frame_idx: (n,) the frame on which each point was given, from 0; it does not count, nor do those before it in
            the mode "first".
        size_hw: of the frame; x is scaled by 256 / w and y by 256 / h.
        query_mode: one of ``QUERY_MODES``.

    Raises:
        EvaluationError: shapes or types do not fit together, there is no such mode, or no point is truly visible on a frame
            that counts.
    """
    pred_visible, gt_visible = _flags("pred_visible", pred_visible), _flags("gt_visible", gt_visible)
    _check_tracks(pred_xy, gt_xy, {"pred_visible": pred_visible, "gt_visible": gt_visible})
    counted = _select_counted(prompt_frame_idx, gt_visible.shape, query_mode)
    counted_visible = gt_visible & counted
    if not counted_visible.any():
        location = "after" if query_mode == "first" else "apart from"
        raise EvaluationError(f"No point is truly visible {location} its prompt frame; expected at least one to score.")
    scale = TAP_VID_SIDE / np.array([size_hw[1], size_hw[0]], np.float64)
    near = _within(pred_xy, gt_xy, np.array(TAP_VID_THRESHOLDS)[:, None], scale)
    claimed = pred_visible & counted
    found = (near & counted_visible).sum((1, 2))
    true_positives = (near & counted_visible & claimed).sum((1, 2))
    false_positives = claimed.sum() - true_positives
    # True positives and false negatives together are the truly visible points.
    jaccard = true_positives / (counted_visible.sum() + false_positives)
    accuracy = float((pred_visible == gt_visible)[counted].mean())
    return TapVidScore(accuracy, tuple((found / counted_visible.sum()).tolist()), tuple(jaccard.tolist()))


def mean_tap_vid(scores: Sequence[TapVidScore]) -> TapVidScore:
    """The plain mean over clips, which is the benchmark's figure for a set of them.

    Raises:
        EvaluationError: there is no score.
    """
    if not scores:
        raise EvaluationError("There is no scored clip, expected at least one to take the mean of.")
    return TapVidScore(
        float(np.mean([score.occlusion_accuracy for score in scores])),
        tuple(np.mean([score.within for score in scores], 0).tolist()),
        tuple(np.mean([score.jaccard for score in scores], 0).tolist()),
    )


def pck(
    pred_xy: Array, gt_xy: Array, counted: Array, thresholds_px: Sequence[float], sizes_px: Array | None = None
) -> tuple[float, ...]:
    """For each threshold, the fraction of the ``counted`` locations whose prediction is strictly nearer than it.

    Args:
        pred_xy: (t, n, 2) predicted locations; whether they are called visible does not matter.
        gt_xy: (t, n, 2) in the same pixels; values that are not counted do not matter.
        counted: (t, n) bool: annotated as visible, and not a query.
        thresholds_px: pixels; or parts of ``sizes_px`` where that is given.
        sizes_px: (t,) size of the object on each frame; BADJA's PCK takes the root of its mask's area, and 0.2 of that.

    Raises:
        EvaluationError: shapes or types do not fit together, a size is not positive, or nothing is counted.
    """
    counted = _flags("counted", counted)
    _check_tracks(pred_xy, gt_xy, {"counted": counted})
    if not counted.any():
        raise EvaluationError("No location is counted; expected at least one that is annotated as visible.")
    sizes = np.ones(1) if sizes_px is None else _sizes(sizes_px, len(counted))
    near = _within(pred_xy, gt_xy, np.asarray(thresholds_px, np.float64)[:, None] * sizes, np.ones(2))
    return tuple(near[:, counted].mean(1).tolist())


def _within(pred_xy: Array, gt_xy: Array, limits_px: Array, scale_xy: Array) -> BoolArray:
    """(k, t, n): both scaled by ``scale_xy``, nearer than the (k, t or 1) limits; the half pixel of a rescaling cancels."""
    offset = (np.asarray(pred_xy, np.float64) - np.asarray(gt_xy, np.float64)) * scale_xy
    return np.asarray(np.square(offset).sum(-1) < np.square(limits_px)[..., None])


def _sizes(sizes_px: Array, frames: int) -> Array:
    sizes = np.asarray(sizes_px, np.float64)
    if sizes.shape != (frames,):
        raise EvaluationError(f"sizes_px has shape {sizes.shape}, expected (t,) = ({frames},): one a frame.")
    if not (sizes > 0).all():
        raise EvaluationError(f"sizes_px holds {sizes.min()}, expected sizes above 0.")
    return sizes


def _check_query_mode(query_mode: str) -> None:
    if query_mode not in QUERY_MODES:
        raise EvaluationError(
            f"Unknown query mode {query_mode!r}.{did_you_mean(query_mode, QUERY_MODES)} Available: {', '.join(QUERY_MODES)}."
        )


def _select_counted(prompt_frame_idx: Array, shape_tn: tuple[int, ...], query_mode: str) -> BoolArray:
    """(t, n): the frame comes after the point's prompt frame; in the mode "strided", it is another one."""
    _check_query_mode(query_mode)
    frames, points = shape_tn
    idx = np.asarray(prompt_frame_idx)
    if idx.shape != (points,) or idx.dtype.kind not in "iu":
        raise EvaluationError(f"prompt_frame_idx is {idx.dtype} {idx.shape}, expected ({points},) integers: one a point.")
    if points and not (idx.min() >= 0 and idx.max() < frames):
        raise EvaluationError(f"prompt_frame_idx holds {idx.min()} to {idx.max()}, expected frames of a clip of {frames}.")
    frame_idx = np.arange(frames)[:, None]
    return np.asarray(frame_idx > idx if query_mode == "first" else frame_idx != idx)


def _flags(name: str, values: Array) -> BoolArray:
    values = np.asarray(values)
    if values.dtype != np.bool_:
        raise EvaluationError(f"{name} has type {values.dtype}, expected bool; a confidence is compared with a limit first.")
    return values


def _check_tracks(pred_xy: Array, gt_xy: Array, flags: dict[str, BoolArray]) -> None:
    shape = np.shape(gt_xy)
    if len(shape) != 3 or shape[2] != 2:
        raise EvaluationError(f"gt_xy has shape {shape}, expected (t, n, 2).")
    if np.shape(pred_xy) != shape:
        raise EvaluationError(f"pred_xy has shape {np.shape(pred_xy)}, expected {shape} as gt_xy.")
    for name, values in flags.items():
        if values.shape != shape[:2]:
            raise EvaluationError(f"{name} has shape {values.shape}, expected (t, n) = {shape[:2]} as gt_xy.")
