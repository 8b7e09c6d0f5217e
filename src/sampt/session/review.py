"""Which frames need review: those whose masks are probably not good, by a calibrated probability where there is one.

With other backends than the bundled ones, and in projects of an older sampt, it is those on which an object's result is unlike
those around it.
"""

from __future__ import annotations

import numpy as np

from sampt.session.types import FrameStatus, NeedsReview, ReviewEvent
from sampt.types import BoolArray, FloatArray, IntArray, UInt8Array

__all__ = [
    "AREA_RATIO",
    "FEW_POINTS_FRACTION",
    "MEDIAN_FRAMES",
    "MIN_AREA_PX",
    "REVIEW_BELOW",
    "SCORE_DROP",
    "find_doubts",
    "find_events",
    "find_flags",
]

REVIEW_BELOW = 0.88
"""A mask that is good with a smaller probability needs review: the best F1 on davis2016_train_480, across sequences."""
MEDIAN_FRAMES = 15
"""Frames of the medians before and after a frame, of which the larger is what is normal: half a second of video or more. So the
beginning of a change for the worse is noticed, in either direction of time, and what lasts becomes normal."""
_MIN_KNOWN = 3
SCORE_DROP = 0.1
"""A score this far below what is normal is a drop. Scores are predicted IoUs in [0, 1]."""
FEW_POINTS_FRACTION = 0.25
"""Fewer visible positive points than this fraction of what is normal are few."""
AREA_RATIO = 1.6
"""An area this many times as large or as small as on the frame before is a jump; so is coming and going."""
_JOINED_FRAMES = 3
"""Flagged frames no further apart are one event: who looks at one has seen what is between."""
MIN_AREA_PX = 25
"""Areas are compared as if they had at least so many pixels: a few pixels are no jump."""


def find_doubts(good_probability: FloatArray, reasons: UInt8Array) -> UInt8Array:
    """(t,) bits of :class:`NeedsReview`: the reasons on frames whose mask is good with too small a probability.

    Args:
        good_probability: (t,), NaN where it is not known; these need no review.
        reasons: (t,) what speaks against each mask.
    """
    with np.errstate(invalid="ignore"):
        is_doubtful = good_probability < REVIEW_BELOW
    return np.where(is_doubtful, np.where(reasons, reasons, np.uint8(NeedsReview.SCORE_DROP)), np.uint8(0)).astype(np.uint8)


def find_flags(state: UInt8Array, score: FloatArray, num_visible_points: IntArray, area_px: IntArray) -> UInt8Array:
    """(t,) bits of :class:`NeedsReview` where there are no probabilities, from what is known of an object on t frames; frames
    without a result have none.

    Args:
        state: (t,) codes of :class:`FrameStatus`.
        score: (t,), NaN where the segmenter was not prompted.
        num_visible_points: (t,) visible positive points.
        area_px: (t,) pixels of the mask, 0 where the object is absent.
    """
    known = state != FrameStatus.UNKNOWN
    points = np.where(known, num_visible_points, np.nan)
    flags = np.zeros(len(state), np.uint8)
    with np.errstate(invalid="ignore"):
        flags[known & (score < _normal(score) - SCORE_DROP)] |= np.uint8(NeedsReview.SCORE_DROP)
        flags[known & (points < FEW_POINTS_FRACTION * _normal(points))] |= np.uint8(NeedsReview.FEW_POINTS)
    flags[_jumps(known, area_px)] |= np.uint8(NeedsReview.AREA_JUMP)
    return flags


def find_events(flags: UInt8Array, good_probability: FloatArray, is_reviewed: BoolArray) -> tuple[ReviewEvent, ...]:
    """The runs of flagged frames.

    Args:
        flags: (t,) bits of :class:`NeedsReview`, also where a person has marked the result good.
        good_probability: (t,), NaN where it is not known; the frame to look at is the first one with the lowest.
        is_reviewed: (t,) where a person has marked it good.
    """
    flagged = np.flatnonzero(flags)
    runs = np.split(flagged, np.flatnonzero(np.diff(flagged) > _JOINED_FRAMES) + 1) if len(flagged) else []
    events = []
    for run in runs:
        start, stop = int(run[0]), int(run[-1]) + 1
        worst = int(run[np.argmin(np.nan_to_num(good_probability[run], nan=1.0))])
        reasons = NeedsReview(int(np.bitwise_or.reduce(flags[run])))
        events.append(ReviewEvent(start, stop, worst, reasons, bool(is_reviewed[start:stop].any())))
    return tuple(events)


def _jumps(known: BoolArray, area_px: IntArray) -> BoolArray:
    """Frames that are known as well as the one before, with areas that differ much."""
    area = np.maximum(area_px, MIN_AREA_PX).astype(np.float64)
    jumps = np.zeros(len(area), np.bool_)
    ratio = np.maximum(area[1:] / area[:-1], area[:-1] / area[1:])
    comes_or_goes = (area_px[1:] > MIN_AREA_PX) & (area_px[:-1] == 0)
    comes_or_goes |= (area_px[:-1] > MIN_AREA_PX) & (area_px[1:] == 0)
    jumps[1:] = known[1:] & known[:-1] & ((ratio > AREA_RATIO) | comes_or_goes)
    return jumps


def _normal(values: FloatArray | np.ndarray) -> np.ndarray:
    """(t,) the larger median of the numbers among the MEDIAN_FRAMES before and after each; NaN where these are too few."""
    padded = np.pad(values.astype(np.float64), MEDIAN_FRAMES, constant_values=np.nan)
    windows = np.lib.stride_tricks.sliding_window_view(padded, MEDIAN_FRAMES)
    is_enough = np.count_nonzero(~np.isnan(windows), axis=1) >= _MIN_KNOWN
    medians = np.full(len(windows), np.nan)
    medians[is_enough] = np.nanmedian(windows[is_enough], axis=1)
    return np.asarray(np.fmax(medians[: len(values)], medians[MEDIAN_FRAMES + 1 :]))
