"""When to sample points again from the predicted masks: variants A to D (docs/algorithm.md, "Re-initialisation").

All functions look at one window of frames: index 0 is the frame the points were given on, areas are those of the predicted
masks in pixels. The result is the index in the window of each object's next prompt frame, or None when there is none.
"""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt

from sampt.config import ReinitConfig
from sampt.geometry import round_to_pixels
from sampt.types import BoolArray, FramePoints

__all__ = ["next_prompt_frames", "signs_by_origin"]

_SMALLEST_AREA = 25
"""Masks of this many pixels or fewer are too small to sample points from; the reference's number."""
_NO_CANDIDATE_COST = 720.0
"""What an object without a usable mask adds to a frame's sum of relative area differences; the reference's number."""
_MEETING_BONUS = 36.0
"""What a frame at which another object waits gets off that sum; the reference's number."""

_MARGIN = 0.05
"""A point is off or on a mask when it is so by this fraction of the root of the mask's area, and by two pixels at least."""
_MIN_POSITIVE = 0.25
"""With fewer of the positive points left, none is changed: then it is the older mask that is wrong."""

_Areas = npt.NDArray[np.float64]


def next_prompt_frames(areas: npt.ArrayLike, config: ReinitConfig, meeting: int | None) -> list[int | None]:
    """Choose each object's next prompt frame.

    Args:
        areas: (m, t) mask areas of m objects over a window of t frames, in pixels.
        config: variant and horizon.
        meeting: index in the window of the next later frame at which an object outside this group waits, or None; it may lie
            beyond the window.

    Returns:
        m indices in [1, t), or None for an object with no candidate.
    """
    area = np.asarray(areas, np.float64)
    candidates = area.copy()
    candidates[candidates <= _SMALLEST_AREA] = np.nan
    candidates[:, 0] = np.nan  # the window's own start
    skipped = config.horizon // 4
    if skipped + 1 < area.shape[1]:
        candidates[:, 1 : 1 + skipped] = np.nan
    if config.variant == "on-horizon-and-sync":
        return _on_horizon(area, candidates, meeting)
    if config.variant == "on-similar-area-and-sync":
        return _on_similar_area_together(candidates, area[:, 0], meeting)
    choose = _at_median_area if config.variant == "at-median-area" else _on_similar_area
    return [None if np.isnan(row).all() else choose(row, start) for row, start in zip(candidates, area[:, 0], strict=True)]


def _on_horizon(area: _Areas, candidates: _Areas, meeting: int | None) -> list[int | None]:
    """Variant A: the last frame for all, but no further than where another object waits.

    An object without a usable mask there goes on from its latest candidate before it; the reference would give it up.
    """
    frame = area.shape[1] - 1
    if meeting is not None:
        frame = min(frame, max(1, meeting))
    chosen: list[int | None] = []
    for row, usable in zip(area, candidates, strict=True):
        before = np.flatnonzero(~np.isnan(usable[:frame]))
        chosen.append(frame if row[frame] > _SMALLEST_AREA else int(before[-1]) if len(before) else None)
    return chosen


def _at_median_area(row: _Areas, _: float) -> int:
    """Variant B: the candidate with the median area, the lower one of two."""
    usable = np.flatnonzero(~np.isnan(row))
    order = usable[np.argsort(row[usable], kind="stable")]
    return int(order[(len(order) - 1) // 2])


def _on_similar_area(row: _Areas, start_area: float) -> int:
    """Variant C: the candidate whose area is closest to that at the window's start."""
    return int(np.nanargmin(np.abs(row - start_area)))


def _on_similar_area_together(candidates: _Areas, start_areas: _Areas, meeting: int | None) -> list[int | None]:
    """Variant D: one frame for all, the least sum of relative area differences."""
    difference = np.abs(candidates - start_areas[:, None]) / np.maximum(start_areas[:, None], 1)
    difference[np.isnan(difference)] = _NO_CANDIDATE_COST
    cost = difference.sum(0)
    cost[0] = np.inf
    if meeting is not None and 0 < meeting < len(cost):
        cost[meeting] -= _MEETING_BONUS
    frame = int(cost.argmin())
    return [None if np.isnan(a) else frame for a in candidates[:, frame]]


def signs_by_origin(row: FramePoints, mask: BoolArray) -> BoolArray:
    """Signs of new points by where they were before: on the object or not.

    Args:
        row: where the points lie on an earlier frame, and whether they are visible there.
        mask: (h, w) bool, the object on that frame, not empty.

    Returns:
        (n,) bool: the signs of ``row``; other ones for visible points that lie clearly on the other side of the mask's border.
    """
    margin_px = max(2.0, _MARGIN * float(np.sqrt(np.count_nonzero(mask))))
    padded = np.pad(mask.astype(np.uint8), 1)  # beyond the frame nothing is the object's
    inside = cv2.distanceTransform(padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    outside = cv2.distanceTransform(1 - padded, cv2.DIST_L2, 3)[1:-1, 1:-1]
    pixels = round_to_pixels(row.xy, (mask.shape[0], mask.shape[1]), halves_to_even=True)
    was_off = row.visible & (outside[pixels] > margin_px)
    was_on = row.visible & (inside[pixels] > margin_px)
    signs = np.where(row.is_positive, ~was_off, was_on)
    kept = np.count_nonzero(signs & row.is_positive)
    return signs if kept >= _MIN_POSITIVE * np.count_nonzero(row.is_positive) else row.is_positive.copy()
