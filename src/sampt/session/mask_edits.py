"""Masks that a person gives or draws, and absences: edits like those of :mod:`sampt.session.edits`.

A frame has one mask, its last word: what was said there before is in it, or is gone. Clicks that come later correct it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sampt.errors import LimitError, QueryError
from sampt.files.limits import MAX_CORNERS, MAX_STROKE_POINTS, MAX_STROKE_RADIUS
from sampt.geometry import cover_polygon, cover_stroke, mask_at
from sampt.masks.rle import encode_mask
from sampt.session.edits import (
    Inputs,
    Known,
    carry_base,
    check_frame,
    check_items,
    check_unlocked,
    drop,
    drop_absence,
    prompting_frames,
)
from sampt.session.types import AbsentInput, MaskInput
from sampt.types import BoolArray

__all__ = ["edit_mask", "find_polygon", "find_stroke", "set_absent", "set_mask"]


def set_mask(inputs: Inputs, object_id: int, frame_idx: int, mask: BoolArray | None) -> Inputs:
    """With the object's mask on the frame replaced by a given one, or taken away."""
    check_unlocked(inputs, object_id)
    frame_idx = check_frame(inputs, frame_idx)
    if mask is None:
        return _without_mask(inputs, object_id, frame_idx)
    given = np.asarray(mask)
    if given.dtype != np.bool_ or given.shape != inputs.size_hw or not given.any():
        is_empty = given.shape == inputs.size_hw and not given.any()
        got = "empty" if is_empty else f"{given.dtype} of shape {given.shape}"
        raise QueryError(
            f"The mask of object {object_id} on frame {frame_idx} is {got}; expected a bool array of shape "
            f"{inputs.size_hw} with a pixel set."
        )
    return _with_mask(drop(inputs, object_id, frame_idx, "carried"), object_id, frame_idx, given, is_edited=False)


def edit_mask(
    inputs: Inputs, object_id: int, frame_idx: int, area: BoolArray, is_added: bool, shown: BoolArray, known: Known
) -> Inputs:
    """With an area added to the mask that is shown on a frame, or taken from it; as they are where that changes no pixel.

    Args:
        area: (h, w) bool.
        shown: (h, w) bool, the mask of these inputs there; empty where there is none.
        known: what the edit starts from on a frame that shows a result.
    """
    check_unlocked(inputs, object_id)
    frame_idx = check_frame(inputs, frame_idx)
    if area.dtype != np.bool_ or area.shape != inputs.size_hw:
        raise QueryError(
            f"The area is {area.dtype} of shape {area.shape}; expected a bool array of the video's shape, {inputs.size_hw}."
        )
    new = shown | area if is_added else shown & ~area
    if np.array_equal(new, shown):
        return inputs
    return _with_mask(carry_base(inputs, object_id, frame_idx, known), object_id, frame_idx, new, is_edited=True)


def set_absent(inputs: Inputs, object_id: int, frame_idx: int, is_absent: bool) -> Inputs:
    """With the object absent from the frame on, whatever was said on that frame; or without what makes it absent there."""
    check_unlocked(inputs, object_id)
    frame_idx = check_frame(inputs, frame_idx)
    said = sorted(prompting_frames(inputs, object_id))
    start = max((f for f in said if f <= frame_idx), default=None)
    covering = [a for a in inputs.absent if (a.object_id, a.frame_idx) == (object_id, start)]
    if not is_absent:
        return inputs if start is None else drop_absence(inputs, object_id, start)
    if covering:
        return inputs
    check_items(len(inputs.absent) + 1, "absences")
    stop = min((f for f in said if f > frame_idx), default=inputs.num_frames)
    inputs = drop(inputs, object_id, frame_idx, "clicks", "boxes", "masks", "carried")
    inputs = drop_absence(inputs, object_id, stop)  # one there says nothing new from now on
    return dataclasses.replace(
        inputs,
        reviewed=tuple(r for r in inputs.reviewed if r.object_id != object_id or not frame_idx <= r.frame_idx < stop),
        absent=(*inputs.absent, AbsentInput(object_id, frame_idx)),
    )


def find_stroke(xy: Sequence[Sequence[float]], radius: float, size_hw: tuple[int, int]) -> BoolArray:
    """(h, w): what a round brush covers (:func:`sampt.geometry.cover_stroke`).

    Raises:
        QueryError: these are no points, or no radius.
        LimitError: the stroke has too many points, or is too wide.
    """
    points = _locations(xy, "A stroke", 1, MAX_STROKE_POINTS)
    is_number = isinstance(radius, (int, float, np.number)) and not isinstance(radius, bool)
    if not is_number or not radius > 0:
        raise QueryError(f"The radius is {radius!r}; expected a number of pixels above 0.")
    if radius > MAX_STROKE_RADIUS:
        raise LimitError(f"The radius is {radius:g} pixels; expected at most {MAX_STROKE_RADIUS:g}.")
    return _something(cover_stroke(points, float(radius), size_hw), "stroke")


def find_polygon(xy: Sequence[Sequence[float]], size_hw: tuple[int, int]) -> BoolArray:
    """(h, w): what lies in a closed polygon (:func:`sampt.geometry.cover_polygon`).

    Raises:
        QueryError: these are no corners, or there is no pixel's centre between them.
        LimitError: there are too many.
    """
    return _something(cover_polygon(_locations(xy, "A polygon", 3, MAX_CORNERS), size_hw), "polygon")


def _locations(xy: Sequence[Sequence[float]], what: str, minimum: int, maximum: int) -> np.ndarray:
    """(n, 2) float64."""
    try:
        found = np.array(xy, np.float64)
    except (TypeError, ValueError):
        found = np.zeros(0)
    if found.size and (found.ndim != 2 or found.shape[1] != 2 or not np.isfinite(found).all()):
        found = np.zeros(0)
    name = "points" if minimum == 1 else "corners"
    if len(found) < minimum:
        got = f"{len(xy)} {name}" if found.size else "something else"
        raise QueryError(f"{what} is of {got}; expected at least {minimum}, each two finite numbers (x, y).")
    if len(found) > maximum:
        raise LimitError(f"{what} is of {len(found)} {name}; expected at most {maximum}: give it in parts.")
    return found


def _something(area: BoolArray, what: str) -> BoolArray:
    if not area.any():
        h, w = area.shape
        raise QueryError(f"The {what} covers no pixel's centre; expected one inside the frame of {w}x{h}.")
    return area


def _with_mask(inputs: Inputs, object_id: int, frame_idx: int, mask: BoolArray, *, is_edited: bool) -> Inputs:
    """With the mask as the last word on the frame: clicks that contradict it, a box and an absence there are gone."""
    here = object_id, frame_idx
    without = drop(inputs, *here, "masks", "boxes", "reviewed", "absent")
    check_items(len(without.masks) + 1, "masks")
    own = [c for c in inputs.clicks if (c.object_id, c.frame_idx) == here]
    signs = mask_at(mask, np.array([c.xy for c in own], np.float32).reshape(-1, 2)).tolist()
    wrong = {c.point_id for c, is_on in zip(own, signs, strict=True) if c.is_positive != is_on}
    held = tuple(c.point_id for c in own if c.point_id not in wrong)
    return dataclasses.replace(
        without,
        clicks=tuple(c for c in inputs.clicks if c.point_id not in wrong),
        masks=(*without.masks, MaskInput(object_id, frame_idx, encode_mask(mask), held, is_edited)),
    )


def _without_mask(inputs: Inputs, object_id: int, frame_idx: int) -> Inputs:
    here = object_id, frame_idx
    if inputs.mask_on(*here) is None:
        return inputs
    inputs = drop(inputs, *here, "masks", "reviewed")
    return inputs if _is_clicked(inputs, *here) else drop(inputs, *here, "carried")  # nothing starts from it any more


def _is_clicked(inputs: Inputs, object_id: int, frame_idx: int) -> bool:
    """Whether a click or a box says something of the frame."""
    groups = (inputs.clicks, inputs.boxes)
    return any((i.object_id, i.frame_idx) == (object_id, frame_idx) for group in groups for i in group)
