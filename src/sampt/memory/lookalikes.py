"""What looks like an object and is not: it was seen beside it, on the same frames (docs/algorithm.md, "Object memory").

Features cannot tell two of a kind apart, but nothing is in two places at once. So what the memory takes for the object
elsewhere, while the object itself is certain, is a lookalike. It stays one while it can be followed from frame to frame by its
cells, also when the object has gone: then a mask of it is no mask of the object.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.types import BoolArray, FloatArray

__all__ = ["Lookalikes"]

# Chosen on made scenes (seeds from 100 on) and on davis2016_train (docs/benchmarks.md, "Object memory").
_ALIKE = 1.0
"""Log odds from which a cell looks like the object."""
_STILL_ALIKE = -1.0
"""And from which one that is followed still does: the memory learns from frames where it is beside the object."""
_TOUCHED = 0.1
"""Fraction of a cell that a mask covers where it counts as touched."""
_SMALLEST = 0.15
"""Of the cells of the object."""
_BESIDE = 2
"""Cells; what is nearer to the object may be a part of it."""
_SEEN = 3
"""Frames in a row on which both were seen."""
_KEPT = 5
"""Frames on which a lookalike may be out of sight, and is followed all the same."""
_MOSTLY = 0.6
"""Fraction of a mask that lies on a lookalike when it is one of it."""
_BARELY = 0.2
"""Fraction of it that lies where the object just was when it is not one of the object."""


@dataclass(frozen=True)
class _Lookalike:
    """One on a frame.

    Attributes:
        cells: (h', w') where it is.
        seen: frames in a row on which it was seen beside the object.
        missed: frames in a row on which it was not seen.
    """

    cells: BoolArray
    seen: int
    missed: int = 0

    __repr__ = shape_repr


@dataclass(frozen=True)
class _State:
    """After a frame: the lookalikes of an object, and where it was last, (h', w') or None."""

    lookalikes: tuple[_Lookalike, ...] = ()
    last: BoolArray | None = None


class Lookalikes:
    """Those of one object, followed through a video; what is known after a frame stays until :meth:`forget`."""

    def __init__(self) -> None:
        self._states: dict[int, _State] = {}

    @property
    def any(self) -> bool:
        """Whether one was seen on the last frame looked at."""
        return bool(self._states) and bool(self._states[max(self._states)].lookalikes)

    def is_mask_of_one(self, frame_idx: int, mask: FloatArray) -> bool:
        """Whether a mask on a frame shows a lookalike, by where these and the object were on the frame before.

        Args:
            frame_idx: of the frame.
            mask: (h', w') fraction of each cell that the mask covers.
        """
        before = self._states.get(frame_idx - 1, _State())
        total = float(mask.sum())
        known = [a.cells for a in before.lookalikes if a.seen >= _SEEN]
        if not known or not total:
            return False
        on_lookalikes = float(mask[_grown(np.logical_or.reduce(known), 1)].sum())
        at_last = 0.0 if before.last is None else float(mask[_grown(before.last, 1)].sum())
        return on_lookalikes >= _MOSTLY * total and at_last <= _BARELY * total

    def update(self, frame_idx: int, prior: FloatArray, mask: FloatArray | None, others: FloatArray | None = None) -> None:
        """Note what is seen on a frame.

        Args:
            frame_idx: of the frame.
            prior: (h', w') log odds of the object.
            mask: (h', w') fraction of each cell that the object covers, where it is certain; None where it is not seen.
            others: the same of other named objects, which are no lookalikes.
        """
        before = self._states.get(frame_idx - 1, _State())
        free = np.ones(prior.shape, np.bool_) if others is None else others < _TOUCHED
        found = []
        for known in sorted(before.lookalikes, key=lambda a: -a.seen):
            part = _overlapping(_parts((prior > _STILL_ALIKE) & free), _grown(known.cells, 1))
            if part is not None:
                free &= ~part
                found.append(_Lookalike(part, known.seen + (mask is not None)))
            elif mask is None and known.seen >= _SEEN and known.missed < _KEPT:
                found.append(_Lookalike(known.cells, known.seen, known.missed + 1))
        if mask is not None:
            near, min_cells = _grown(mask > _TOUCHED, _BESIDE), max(2.0, _SMALLEST * float(mask.sum()))
            found = [a for a in found if not (a.cells & near).any()]
            parts = _parts((prior > _ALIKE) & free)
            found += [_Lookalike(part, 1) for part in parts if part.sum() >= min_cells and not (part & near).any()]
        last = mask > _TOUCHED if mask is not None else before.last
        self._states[frame_idx] = _State(tuple(found), last)

    def forget(self, before: int) -> None:
        """Frames before this one will not be requested again."""
        self._states = {i: state for i, state in self._states.items() if i >= before - 1}


def _parts(cells: BoolArray) -> list[BoolArray]:
    """The connected parts of (h', w') cells."""
    count, labels = cv2.connectedComponents(cells.astype(np.uint8), connectivity=8)
    return [labels == k for k in range(1, count)]


def _overlapping(parts: list[BoolArray], cells: BoolArray) -> BoolArray | None:
    """The part that shares most with some cells, if one does."""
    shared = [int((part & cells).sum()) for part in parts]
    return parts[int(np.argmax(shared))] if any(shared) else None


def _grown(cells: BoolArray, by: int) -> BoolArray:
    kernel = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(cells.astype(np.uint8), kernel), np.bool_)
