"""Where on a frame objects may be, by what they looked like on the frames where they were named, and on later, certain ones.

Every cell of the frame is compared by cosines with the cells of the learnt frames: how much is it like those of the object that
are most like it, how much like those of everything else. Other objects are part of everything else, so that objects compete.
docs/algorithm.md, "Object memory", has the formula.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.memory.features import bundled_features
from sampt.types import BoolArray, FloatArray, UInt8Array

__all__ = ["ObjectMemory", "at_points", "cover_cells", "is_known", "is_needed", "log_odds"]

# Chosen on davis2016_train (docs/benchmarks.md, "Object memory").
_SHARPNESS = 40.0
_GAIN, _OFFSET = 0.387, 1.2
"""From the log ratio of likenesses to log odds, by logistic regression."""
_MAX_LOGIT = 6.0
_FLOOR = 1e-30
_ELSEWHERE = 0.2
"""Fraction of the points."""
_WHOLE = 0.5
"""Fraction of a cell that a mask covers where the cell shows what the mask does, and nothing beside it."""
_PRESENCE_GAIN, _PRESENCE_OFFSET = 1.5, 4.5
"""From mean log odds within a mask to the logit that it shows the object. Right and wrong masks of training clips and scenes do
not overlap, so that no regression gives these: the middle was put between them (docs/benchmarks.md, "Object memory")."""
_ALIKE, _UNLIKE = 1.0, 0.33
"""Log odds below which a cell does not look like the object, and the highest fraction of such cells in a mask learnt."""
_MAX_FRAMES = 8
"""Frames that are cached: the first one, and the last ones."""


@dataclass
class _Entry:
    """A frame on which it is known where objects are.

    Attributes:
        frame_idx: of the frame.
        values: (c, n) features of its cells.
        fractions: (n,) fraction of each cell that each of the objects covers.
    """

    frame_idx: int
    values: FloatArray
    fractions: dict[int, FloatArray]

    __repr__ = shape_repr


class ObjectMemory:
    """What objects looked like; bounded however long the video is.

    Args:
        features: gives (c, h', w') features of unit length of an (h, w, 3) uint8 RGB frame; the bundled ones when left out.
    """

    def __init__(self, features: Callable[[UInt8Array], FloatArray] | None = None) -> None:
        self._features = features or bundled_features()
        self._entries: list[_Entry] = []
        self._seen: dict[int, FloatArray] = {}

    def learn(self, frame_idx: int, frame: UInt8Array, masks: Mapping[int, BoolArray]) -> None:
        """Cache what objects look like.

        Args:
            frame_idx: of the frame; objects that were learnt there before are kept, the same ones are learnt anew.
            frame: (h, w, 3) uint8 RGB.
            masks: (h, w) bool by object; empty ones are left out.
        """
        there = {o: mask for o, mask in masks.items() if mask.any()}
        if not there:
            return
        values = self._values(frame_idx, frame)
        fractions = {o: cover_cells(mask, values.shape[1:]).ravel() for o, mask in there.items()}
        for known in self._entries:
            if known.frame_idx == frame_idx:
                known.fractions |= fractions
                return
        self._entries.append(_Entry(frame_idx, values.reshape(len(values), -1), fractions))
        if len(self._entries) > _MAX_FRAMES:
            self._entries.remove(self._redundant())

    def priors(self, frame_idx: int, frame: UInt8Array, object_ids: Sequence[int]) -> dict[int, FloatArray]:
        """Where on a frame the objects may be, of those that were learnt.

        Args:
            frame_idx: of the frame; its features are kept until :meth:`forget`.
            frame: (h, w, 3) uint8 RGB.
            object_ids: the objects wanted.
        """
        known = [o for o in object_ids if any(o in entry.fractions for entry in self._entries)]
        if not known:
            return {}
        values = self._values(frame_idx, frame)
        logits = _to_log_odds(*self._likenesses(values.reshape(len(values), -1), known))
        logits = logits.T.reshape(len(known), *values.shape[1:])
        return dict(zip(known, logits, strict=True))

    def presence(self, object_id: int, prior: FloatArray, mask: BoolArray) -> float:
        """Probability that what a mask shows is the object, and not what it was lost to.

        Args:
            object_id: the object.
            prior: (h', w') its log odds on the frame, of :meth:`priors`.
            mask: (h, w) bool, at the size of the frame.

        Returns:
            1 where the object was always too thin for the cells.
        """
        fractions = cover_cells(mask, prior.shape)
        had_whole_cells = any(e.fractions[object_id].max() >= _WHOLE for e in self._entries if object_id in e.fractions)
        if not had_whole_cells or not fractions.any():
            return 1.0
        whole = fractions >= _WHOLE
        mean = np.average(prior, weights=whole if whole.any() else fractions)
        return float(1 / (1 + np.exp(-(_PRESENCE_GAIN * mean + _PRESENCE_OFFSET))))

    def forget(self, before: int) -> None:
        """Features of frames before this one are no longer wanted; what objects look like stays."""
        self._seen = {i: values for i, values in self._seen.items() if i >= before}

    def _redundant(self) -> _Entry:
        """The oldest entry but the first and the last whose objects are all in others, too; else the oldest of these."""
        between = self._entries[1:-1]
        for entry in between:
            others = [e for e in self._entries if e is not entry]
            if all(any(o in e.fractions for e in others) for o in entry.fractions):
                return entry
        return between[0]

    def _values(self, frame_idx: int, frame: UInt8Array) -> FloatArray:
        if frame_idx not in self._seen:
            self._seen[frame_idx] = self._features(frame)
        return self._seen[frame_idx]

    def _likenesses(self, values: FloatArray, object_ids: Sequence[int]) -> tuple[FloatArray, FloatArray]:
        own = np.zeros((values.shape[1], len(object_ids)), np.float32)
        rest = np.zeros_like(own)
        for entry in self._entries:
            nothing = np.zeros(entry.values.shape[1], np.float32)
            named = np.max(np.stack(list(entry.fractions.values())), axis=0)
            inside = np.stack([entry.fractions.get(o, nothing) for o in object_ids], 1)
            # Where the object was not named only other objects are known not to be it.
            outside = np.stack([1 - entry.fractions[o] if o in entry.fractions else named for o in object_ids], 1)
            more = _likenesses(values, entry.values, inside, outside)
            own += more[0]
            rest += more[1]
        return own, rest


def is_needed(prior: FloatArray, xy: FloatArray, size_hw: tuple[int, int]) -> bool:
    """Whether a fifth of an object's points lie where, by its looks, it is not: tracking alone is not to be trusted there.

    Where the points agree with the memory they know more than its coarse cells do.

    Args:
        prior: (h', w') log odds of the object.
        xy: (k, 2) its positive points, pixels of the frame.
        size_hw: of the frame.
    """
    if not len(xy):
        return True
    return bool((at_points(prior, xy, size_hw) < 0).mean() >= _ELSEWHERE)


def is_known(prior: FloatArray, mask: BoolArray) -> bool:
    """Whether a mask looks like its object as a whole, and not in a part only, as one does that holds two objects.

    Args:
        prior: (h', w') log odds of the object.
        mask: (h, w) bool, a prediction of it, of the same frame.
    """
    fractions = cover_cells(mask, prior.shape)
    whole = fractions >= _WHOLE
    return not whole.any() or bool((prior[whole] < _ALIKE).mean() <= _UNLIKE)


def cover_cells(mask: BoolArray, cells_hw: tuple[int, ...]) -> FloatArray:
    """(h', w') fraction that an (h, w) mask covers of each of the cells of its frame."""
    return np.asarray(cv2.resize(mask.astype(np.float32), cells_hw[::-1], interpolation=cv2.INTER_AREA), np.float32)


def at_points(prior: FloatArray, xy: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """(k,) log odds of the cells in which (k, 2) points lie, pixels of the frame."""
    cells = np.array(prior.shape[::-1])
    columns, rows = np.clip((xy + 0.5) / np.array(size_hw[::-1]) * cells, 0, cells - 1).astype(int).T
    return np.asarray(prior[rows, columns])


def log_odds(
    values: FloatArray, known: FloatArray, inside: FloatArray, outside: FloatArray, left_out: BoolArray | None = None
) -> FloatArray:
    """(n, o) log odds that cells are those of objects, by one frame where these are known.

    Args:
        values: (c, n) features of the cells.
        known: (c, m) features of that frame's cells.
        inside, outside: (m, o) fractions of these that are the object's, and that are not.
        left_out: (n, m) which are not compared.
    """
    return _to_log_odds(*_likenesses(values, known, inside, outside, left_out))


def _likenesses(
    values: FloatArray, known: FloatArray, inside: FloatArray, outside: FloatArray, left_out: BoolArray | None = None
) -> tuple[FloatArray, FloatArray]:
    """(n, o) how much cells are like the cells of the object that are most like them, and like those that are not the object's.

    The kernel is so sharp that few of them count, and there is no mean: a small neighbor that looks alike, named or not, counts
    as much as a wide background does.
    """
    kernel = np.exp(_SHARPNESS * (values.T @ known - 1))
    if left_out is not None:
        kernel[left_out] = 0
    # A cell that is half the object's counts little for either side.
    return kernel @ np.square(inside), kernel @ np.square(outside)


def _to_log_odds(own: FloatArray, rest: FloatArray) -> FloatArray:
    logits = _GAIN * (np.log(own + _FLOOR) - np.log(rest + _FLOOR)) + _OFFSET
    return np.asarray(np.clip(logits, -_MAX_LOGIT, _MAX_LOGIT), np.float32)
