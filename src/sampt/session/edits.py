"""What a person has given a session, as one frozen value; every edit makes the next one, and undo goes back."""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np

from sampt.errors import LimitError, QueryError
from sampt.files.limits import MAX_CLICKS, check_pixels
from sampt.files.palette import pick_display_color
from sampt.geometry import inside_frame
from sampt.masks.rle import Rle, code_runs
from sampt.session.types import AbsentInput, BoxInput, Carried, Click, MaskInput, Reviewed, SessionObject
from sampt.signs import parse_sign

__all__ = [
    "MAX_NAME_CHARS",
    "MAX_STEPS",
    "MAX_STEP_BYTES",
    "History",
    "Inputs",
    "Known",
    "add_object",
    "add_point",
    "carry_base",
    "check_frame",
    "check_inputs",
    "check_items",
    "check_unlocked",
    "delete_point",
    "drop",
    "drop_absence",
    "drop_review",
    "free_colors",
    "move_point",
    "prompting_frames",
    "remove_object",
    "set_box",
    "update_object",
]

MAX_NAME_CHARS = 100
MAX_STEPS = 200
"""Steps that can be undone; the oldest make way."""
MAX_STEP_BYTES = 64 << 20
"""Run-length codes of masks that only steps to undo hold; the oldest steps make way."""

Known = Callable[[int, int], Carried | None]
"""What a first click on an object and a frame starts from."""


@dataclass(frozen=True)
class Inputs:
    """Objects and what was given for them.

    Attributes:
        num_frames: of the video.
        size_hw: of its frames.
        next_object_id: ids are not used twice.
        next_point_id: likewise.
    """

    num_frames: int
    size_hw: tuple[int, int]
    objects: tuple[SessionObject, ...] = ()
    clicks: tuple[Click, ...] = ()
    boxes: tuple[BoxInput, ...] = ()
    masks: tuple[MaskInput, ...] = ()
    carried: tuple[Carried, ...] = ()
    reviewed: tuple[Reviewed, ...] = ()
    absent: tuple[AbsentInput, ...] = ()
    next_object_id: int = 1
    next_point_id: int = 1

    def object(self, object_id: int) -> SessionObject:
        """The object with that id.

        Raises:
            QueryError: there is none.
        """
        for item in self.objects:
            if item.object_id == object_id:
                return item
        known = ", ".join(str(o.object_id) for o in self.objects) or "none"
        raise QueryError(f"There is no object {object_id}; expected one of: {known}.")

    def click(self, point_id: int) -> Click:
        """The click with that id.

        Raises:
            QueryError: there is none.
        """
        for item in self.clicks:
            if item.point_id == point_id:
                return item
        raise QueryError(f"There is no point {point_id}; it was deleted, or belongs to another session.")

    def frames_with_input(self, object_id: int) -> set[int]:
        """Frames on which the object has a click, a box or a mask, or from which on it is said to be absent."""
        groups = (self.clicks, self.boxes, self.masks, self.absent)
        return {i.frame_idx for group in groups for i in group if i.object_id == object_id}

    def mask_on(self, object_id: int, frame_idx: int) -> MaskInput | None:
        """The mask that was given for the object on the frame."""
        found = (m for m in self.masks if (m.object_id, m.frame_idx) == (object_id, frame_idx))
        return next(found, None)


@dataclass(frozen=True, eq=False)
class History:
    """Inputs, and the steps back and forth between them; every edit makes the next one.

    Attributes:
        now: the inputs.
        before: those of the steps that can be undone; the last one is undone first.
        after: those of the steps that were undone; the last one is done again first.
    """

    now: Inputs
    before: tuple[Inputs, ...] = ()
    after: tuple[Inputs, ...] = ()

    def step(self, new: Inputs) -> History:
        """After a new edit; what was undone cannot be done again."""
        return History(new, _drop_large(new, (*self.before[1 - MAX_STEPS :], self.now)))

    def undo(self) -> History:
        """A step ago; ids that were given since are not given again."""
        return History(self._with_newer_ids(self.before[-1]), self.before[:-1], (*self.after, self.now))

    def redo(self) -> History:
        """Before the last undo."""
        return History(self._with_newer_ids(self.after[-1]), (*self.before, self.now), self.after[:-1])

    def _with_newer_ids(self, inputs: Inputs) -> Inputs:
        ids = {name: max(getattr(inputs, name), getattr(self.now, name)) for name in ("next_object_id", "next_point_id")}
        return dataclasses.replace(inputs, **ids)


def _drop_large(now: Inputs, before: tuple[Inputs, ...]) -> tuple[Inputs, ...]:
    """The steps without the oldest, while masks that were replaced or taken away since need too much room."""
    later, held = now, 0
    for i in range(len(before) - 1, -1, -1):
        step = before[i]
        if step.masks is not later.masks:
            known = {id(mask) for mask in later.masks}
            held += sum(len(mask.rle.counts) for mask in step.masks if id(mask) not in known)
        if held > MAX_STEP_BYTES:
            return before[i + 1 :]
        later = step
    return before


def add_object(inputs: Inputs, name: str | None, color_rgb: Sequence[int] | None) -> Inputs:
    """With one more object, whose id is the old ``next_object_id``."""
    check_items(len(inputs.objects) + 1, "objects")
    object_id = inputs.next_object_id
    made = SessionObject(
        object_id,
        _check_name(f"Object {object_id}" if name is None else name),
        _check_color(next(free_colors(inputs)) if color_rgb is None else color_rgb),
    )
    return dataclasses.replace(inputs, objects=(*inputs.objects, made), next_object_id=object_id + 1)


def free_colors(inputs: Inputs) -> Iterator[tuple[int, int, int]]:
    """Colours for the objects to come, in their order, without those that an object has."""
    taken = {item.color_rgb for item in inputs.objects}
    candidates = (pick_display_color(i) for i in itertools.count(inputs.next_object_id))
    return (color for color in candidates if color not in taken)


def update_object(
    inputs: Inputs,
    object_id: int,
    name: str | None,
    color_rgb: Sequence[int] | None,
    is_hidden: bool | None,
    is_locked: bool | None,
) -> Inputs:
    """With some of the object's attributes changed; None leaves one as it is."""
    old = inputs.object(object_id)
    new = SessionObject(
        object_id,
        old.name if name is None else _check_name(name),
        old.color_rgb if color_rgb is None else _check_color(color_rgb),
        old.is_hidden if is_hidden is None else bool(is_hidden),
        old.is_locked if is_locked is None else bool(is_locked),
    )
    return dataclasses.replace(inputs, objects=tuple(new if o is old else o for o in inputs.objects))


def remove_object(inputs: Inputs, object_id: int) -> Inputs:
    """Without the object and all that was given for it."""
    check_unlocked(inputs, object_id)
    return dataclasses.replace(
        inputs,
        objects=tuple(o for o in inputs.objects if o.object_id != object_id),
        clicks=tuple(c for c in inputs.clicks if c.object_id != object_id),
        boxes=tuple(b for b in inputs.boxes if b.object_id != object_id),
        masks=tuple(m for m in inputs.masks if m.object_id != object_id),
        carried=tuple(c for c in inputs.carried if c.object_id != object_id),
        reviewed=tuple(r for r in inputs.reviewed if r.object_id != object_id),
        absent=tuple(a for a in inputs.absent if a.object_id != object_id),
    )


Part: TypeAlias = Literal["clicks", "boxes", "masks", "carried", "reviewed", "absent"]


def drop(inputs: Inputs, object_id: int, frame_idx: int, *parts: Part) -> Inputs:
    """Without what these parts say of the object on the frame; the same inputs where they say nothing."""
    here = object_id, frame_idx
    changes: dict[str, Any] = {}
    for part in parts:
        old = getattr(inputs, part)
        kept = tuple(item for item in old if (item.object_id, item.frame_idx) != here)
        if len(kept) < len(old):
            changes[part] = kept
    return dataclasses.replace(inputs, **changes) if changes else inputs


def drop_review(inputs: Inputs, object_id: int, frame_idx: int) -> Inputs:
    """Without the mark that the result there is good: it is about to be another one."""
    return drop(inputs, object_id, frame_idx, "reviewed")


def drop_absence(inputs: Inputs, object_id: int, frame_idx: int) -> Inputs:
    """Without the word that the object is absent from the frame on: something else is said there now."""
    return drop(inputs, object_id, frame_idx, "absent")


def prompting_frames(inputs: Inputs, object_id: int) -> set[int]:
    """Frames on which something says where the object is, or that it is absent, or that have what their clicks start from."""
    positive = [c for c in inputs.clicks if c.is_positive]
    groups = (positive, inputs.boxes, inputs.masks, inputs.carried, inputs.absent)
    return {item.frame_idx for group in groups for item in group if item.object_id == object_id}


def carry_base(inputs: Inputs, object_id: int, frame_idx: int, known: Known) -> Inputs:
    """With what a first edit of a frame that shows a result starts from."""
    if frame_idx in prompting_frames(inputs, object_id) or (base := known(object_id, frame_idx)) is None:
        return inputs
    return dataclasses.replace(inputs, carried=(*inputs.carried, base))


def add_point(inputs: Inputs, object_id: int, frame_idx: int, xy: Sequence[float], is_positive: bool, known: Known) -> Inputs:
    """With one more click, whose id is the old ``next_point_id``.

    A first click on a frame that shows a result starts from that result (:class:`Carried`), so that it corrects it. A positive
    one says that the object is there.
    """
    check_unlocked(inputs, object_id)
    check_items(len(inputs.clicks) + 1, "clicks")
    frame_idx = check_frame(inputs, frame_idx)
    made = Click(inputs.next_point_id, object_id, frame_idx, _check_xy(inputs, xy), parse_sign(is_positive))
    inputs = drop_review(carry_base(inputs, object_id, frame_idx, known), object_id, frame_idx)
    if made.is_positive:
        inputs = drop_absence(inputs, object_id, frame_idx)
    return dataclasses.replace(inputs, clicks=(*inputs.clicks, made), next_point_id=inputs.next_point_id + 1)


def move_point(inputs: Inputs, point_id: int, xy: Sequence[float]) -> Inputs:
    """With a click somewhere else on its frame; what it did to a mask that was drawn since is in that mask, and stays."""
    old = inputs.click(point_id)
    check_unlocked(inputs, old.object_id)
    new = dataclasses.replace(old, xy=_check_xy(inputs, xy))
    inputs = _let_go(drop_review(inputs, old.object_id, old.frame_idx), old)
    return dataclasses.replace(inputs, clicks=tuple(new if c is old else c for c in inputs.clicks))


def delete_point(inputs: Inputs, point_id: int) -> Inputs:
    """Without a click; what the frame's clicks started from goes with the last of them. What it did to a mask that was drawn
    since stays."""
    old = inputs.click(point_id)
    check_unlocked(inputs, old.object_id)
    here = old.object_id, old.frame_idx
    inputs = _let_go(drop_review(inputs, *here), old)
    inputs = dataclasses.replace(inputs, clicks=tuple(c for c in inputs.clicks if c is not old))
    is_last = all((c.object_id, c.frame_idx) != here for c in inputs.clicks) and inputs.mask_on(*here) is None
    return drop(inputs, *here, "carried") if is_last else inputs


def _let_go(inputs: Inputs, click: Click) -> Inputs:
    """With the click no more among those that the frame's mask holds."""
    mask = inputs.mask_on(click.object_id, click.frame_idx)
    if mask is None or click.point_id not in mask.point_ids:
        return inputs
    new = dataclasses.replace(mask, point_ids=tuple(p for p in mask.point_ids if p != click.point_id))
    return dataclasses.replace(inputs, masks=tuple(new if m is mask else m for m in inputs.masks))


def set_box(inputs: Inputs, object_id: int, frame_idx: int, box_xyxy: Sequence[float] | None) -> Inputs:
    """With the object's box on the frame replaced, or taken away. The last word counts: a box replaces a mask."""
    check_unlocked(inputs, object_id)
    frame_idx = check_frame(inputs, frame_idx)
    without = drop(inputs, object_id, frame_idx, "boxes", "reviewed")
    if box_xyxy is None:
        return without
    check_items(len(without.boxes) + 1, "boxes")
    box = BoxInput(object_id, frame_idx, _check_box(inputs, box_xyxy))
    return dataclasses.replace(drop(without, object_id, frame_idx, "masks", "absent"), boxes=(*without.boxes, box))


def check_inputs(inputs: Inputs) -> Inputs:
    """Inputs from a file, when they hold together.

    Raises:
        QueryError: they do not.
    """
    ids = [o.object_id for o in inputs.objects]
    points = [c.point_id for c in inputs.clicks]
    if len(set(ids)) < len(ids) or len(set(points)) < len(points):
        raise QueryError("two objects or two points share an id")
    if min([*ids, *points], default=1) < 1 or max(ids, default=0) >= inputs.next_object_id:
        raise QueryError("an id is out of its range")
    if max(points, default=0) >= inputs.next_point_id:
        raise QueryError("a point's id is out of its range")
    for item in inputs.objects:
        _check_name(item.name)
        _check_color(item.color_rgb)
    known = set(ids)
    for group in (inputs.clicks, inputs.boxes, inputs.masks, inputs.carried, inputs.reviewed, inputs.absent):
        for given in group:
            if given.object_id not in known:
                raise QueryError(f"something is said of an object {given.object_id}, which there is not")
            check_frame(inputs, given.frame_idx)
    if inputs.clicks and not inside_frame(np.array([c.xy for c in inputs.clicks], np.float64), inputs.size_hw).all():
        raise QueryError("a point lies outside the frame")
    for box in inputs.boxes:
        _check_box(inputs, box.box_xyxy)
    for mask in inputs.masks:
        if mask.rle.size_hw != inputs.size_hw or not _is_mask(mask.rle, is_empty_allowed=mask.is_edited):
            raise QueryError("a mask is empty or has another size than the video")
    for base in inputs.carried:
        if len(base.xy) != len(base.is_positive) or not np.isfinite(np.array(base.xy)).all():
            raise QueryError("the points that a correction starts from are broken")
        if base.rle is not None and (base.rle.size_hw != inputs.size_hw or not _is_mask(base.rle)):
            raise QueryError("the mask that a correction starts from is empty or has another size than the video")
    return inputs


def _is_mask(code: Rle, *, is_empty_allowed: bool = False) -> bool:
    """Whether a code is one of a mask with a pixel set; read from its runs, as a short code may be of a mask of 67 MB."""
    check_pixels(code.size_hw[1], code.size_hw[0], "A mask")
    runs = code_runs(code.counts, code.size_hw)
    return runs is not None and (is_empty_allowed or bool(runs[1::2].any()))


def check_items(count: int, what: str) -> None:
    """Refuse more objects, clicks, boxes or masks than a project can hold; raises LimitError."""
    if count > MAX_CLICKS:
        raise LimitError(f"A project with {count} {what} is too large; expected at most {MAX_CLICKS}: take some away.")


def check_unlocked(inputs: Inputs, object_id: int) -> None:
    item = inputs.object(object_id)
    if item.is_locked:
        raise QueryError(f"Object {object_id} ({item.name}) is locked; unlock it to change it.")


def check_frame(inputs: Inputs, frame_idx: int) -> int:
    """The frame, when the video has it; raises QueryError otherwise."""
    is_whole = isinstance(frame_idx, (int, np.integer)) and not isinstance(frame_idx, bool)
    if not is_whole or not 0 <= frame_idx < inputs.num_frames:
        raise QueryError(f"The frame is {frame_idx!r}; expected a whole number from 0 to {inputs.num_frames - 1}.")
    return int(frame_idx)


def _numbers(values: Sequence[float], count: int, what: str) -> tuple[float, ...]:
    try:
        numbers = tuple(float(v) for v in values)
    except (TypeError, ValueError):
        numbers = ()
    if len(numbers) != count or not all(math.isfinite(v) for v in numbers):
        raise QueryError(f"{what} is {values!r}; expected {count} finite numbers.")
    return numbers


def _check_xy(inputs: Inputs, xy: Sequence[float]) -> tuple[float, float]:
    x, y = _numbers(xy, 2, "The point")
    if not inside_frame(np.array([x, y]), inputs.size_hw):
        h, w = inputs.size_hw
        raise QueryError(f"The point ({x:g}, {y:g}) lies outside the frame; x goes from 0 to {w - 1}, y from 0 to {h - 1}.")
    return x, y


def _check_box(inputs: Inputs, box_xyxy: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, x1, y1 = _numbers(box_xyxy, 4, "The box")
    if x0 > x1 or y0 > y1 or not inside_frame(np.array([[x0, y0], [x1, y1]]), inputs.size_hw).all():
        h, w = inputs.size_hw
        raise QueryError(
            f"The box is {(x0, y0, x1, y1)}; expected its first and last pixel (x0, y0, x1, y1) inside the frame of {w}x{h}."
        )
    return x0, y0, x1, y1


def _check_name(name: str) -> str:
    if not isinstance(name, str) or not 0 < len(name.strip()) <= MAX_NAME_CHARS or not name.isprintable():
        raise QueryError(f"An object's name is {name!r}; expected one line of 1 to {MAX_NAME_CHARS} characters.")
    return name.strip()


def _check_color(color_rgb: Sequence[int]) -> tuple[int, int, int]:
    is_sequence = isinstance(color_rgb, (tuple, list)) and len(color_rgb) == 3
    if not is_sequence or not all(type(v) is int and 0 <= v <= 255 for v in color_rgb):
        raise QueryError(f"A colour is {color_rgb!r}; expected three whole numbers from 0 to 255.")
    red, green, blue = color_rgb
    return red, green, blue
