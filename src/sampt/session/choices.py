"""What a person chooses about the result of clicks: edits like those of :mod:`sampt.session.edits`."""

from __future__ import annotations

import dataclasses

from sampt.errors import QueryError
from sampt.session.edits import Inputs, check_frame, check_items, check_unlocked, drop, drop_review
from sampt.session.types import Carried, Click, Reviewed

__all__ = ["set_reviewed", "take_whole_change", "use_clicks_alone"]


def set_reviewed(inputs: Inputs, object_id: int, frame_idx: int, digest: bytes | None) -> Inputs:
    """With the result made from ``digest`` marked good; None takes the mark away."""
    object_id, frame_idx = inputs.object(object_id).object_id, check_frame(inputs, frame_idx)
    without = drop_review(inputs, object_id, frame_idx)
    if digest is None:
        return without
    check_items(len(without.reviewed) + 1, "marks of good frames")
    return dataclasses.replace(without, reviewed=(*without.reviewed, Reviewed(object_id, frame_idx, digest.hex())))


def take_whole_change(inputs: Inputs, object_id: int, frame_idx: int) -> Inputs:
    """With all that the last click on the frame changes, also far from it."""
    last = _find_clicks(inputs, object_id, frame_idx)[-1]
    new = dataclasses.replace(last, is_whole=True)
    inputs = drop_review(inputs, object_id, frame_idx)
    return dataclasses.replace(inputs, clicks=tuple(new if c is last else c for c in inputs.clicks))


def use_clicks_alone(inputs: Inputs, object_id: int, frame_idx: int) -> Inputs:
    """Without what was known of the object on the frame before it was clicked there, and without a mask there."""
    _find_clicks(inputs, object_id, frame_idx)
    base = [c for c in inputs.carried if (c.object_id, c.frame_idx) == (object_id, frame_idx)]
    nothing = Carried(object_id, frame_idx, (), (), 0)
    inputs = drop(inputs, object_id, frame_idx, "reviewed", "masks")
    return dataclasses.replace(inputs, carried=tuple(nothing if c in base else c for c in inputs.carried))


def _find_clicks(inputs: Inputs, object_id: int, frame_idx: int) -> list[Click]:
    """The clicks on an object and a frame, which may be changed."""
    check_unlocked(inputs, object_id)
    frame_idx = check_frame(inputs, frame_idx)
    found = [c for c in inputs.clicks if (c.object_id, c.frame_idx) == (object_id, frame_idx)]
    if not found:
        raise QueryError(f"There is no click on object {object_id} on frame {frame_idx}; click on it first.")
    return found
