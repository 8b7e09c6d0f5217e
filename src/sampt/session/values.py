"""What a session is made of and what it answers: small frozen values."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from sampt.checks import shape_repr
from sampt.errors import SamptError
from sampt.masks.rle import Rle, decode_mask
from sampt.types import BoolArray, FloatArray, IntArray, ObjectState, UInt8Array

__all__ = [
    "BoxInput",
    "Carried",
    "Click",
    "FrameStatus",
    "FrameUpdate",
    "MaskInput",
    "NeedsLook",
    "ObjectResult",
    "ObjectStrip",
    "SessionBusyError",
    "SessionObject",
]


class SessionBusyError(SamptError):
    """A propagation of the session runs already; another one can begin when it has ended."""


class FrameStatus(enum.IntEnum):
    """What is known of an object on a frame."""

    UNKNOWN = 0
    """Nothing: it has not been propagated there."""
    STALE = 1
    """A result of inputs that have changed since."""
    DONE = 2
    """A result of the inputs as they are."""


class NeedsLook(enum.IntFlag):
    """Why a person should look at an object on a frame."""

    SCORE_DROP = 1
    """The predicted IoU is well below that of the frames before or after."""
    FEW_POINTS = 2
    """Far fewer positive points are visible than on the frames before or after."""
    AREA_JUMP = 4
    """The area changes much from one frame to the next, or the object appears or disappears."""


@dataclass(frozen=True)
class SessionObject:
    """An object of a session.

    Attributes:
        object_id: from 1; not used again after the object was removed.
        name: for people; one line.
        color_rgb: three numbers from 0 to 255.
        is_hidden: not shown; results and exports are not concerned.
        is_locked: its inputs cannot be changed, and it is not propagated.
    """

    object_id: int
    name: str
    color_rgb: tuple[int, int, int]
    is_hidden: bool = False
    is_locked: bool = False


@dataclass(frozen=True)
class Click:
    """A point that a person gave; ``xy`` in pixels of the video."""

    point_id: int
    object_id: int
    frame_idx: int
    xy: tuple[float, float]
    is_positive: bool


@dataclass(frozen=True)
class BoxInput:
    """A box that a person gave: first and last pixel, inclusive."""

    object_id: int
    frame_idx: int
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class MaskInput:
    """A mask that a person gave, at the video's size."""

    object_id: int
    frame_idx: int
    rle: Rle

    @property
    def mask(self) -> BoolArray:
        """(h, w) bool."""
        return decode_mask(self.rle)


@dataclass(frozen=True)
class Carried:
    """What a correction starts from: the visible tracked points of the result that was seen when the frame was first clicked.

    Attributes:
        xy: in pixels of the video.
        is_positive: as many signs.
        area_px: of the mask then.
    """

    object_id: int
    frame_idx: int
    xy: tuple[tuple[float, float], ...]
    is_positive: tuple[bool, ...]
    area_px: int


@dataclass(frozen=True)
class ObjectResult:
    """An object on a frame.

    Attributes:
        state: whether it is there.
        score: predicted IoU in [0, 1], or None where the segmenter was not asked.
        rle: the mask at the video's size, before overlaps with other objects are resolved; None where the object is absent.
        num_visible_points: positive points that the mask was asked with.
        is_stale: the inputs have changed since.
    """

    object_id: int
    frame_idx: int
    state: ObjectState
    score: float | None
    rle: Rle | None
    num_visible_points: int
    is_stale: bool = False

    def mask(self, size_hw: tuple[int, int]) -> BoolArray:
        """(h, w) bool; empty where the object is absent."""
        return np.zeros(size_hw, np.bool_) if self.rle is None else decode_mask(self.rle)


class FrameUpdate(NamedTuple):
    """Results that have become final: objects by id."""

    frame_idx: int
    results: dict[int, ObjectResult]


@dataclass(frozen=True, eq=False)
class ObjectStrip:
    """An object over all t frames.

    Attributes:
        state: (t,) uint8 codes of :class:`FrameStatus`.
        is_present: (t,) bool.
        score: (t,) float32, NaN where there is none.
        num_visible_points: (t,) int64.
        area_px: (t,) int64.
        has_input: (t,) bool: a person clicked there, or gave a box or a mask.
        flags: (t,) uint8, bits of :class:`NeedsLook`.
    """

    state: UInt8Array
    is_present: BoolArray
    score: FloatArray
    num_visible_points: IntArray
    area_px: IntArray
    has_input: BoolArray
    flags: UInt8Array

    __repr__ = shape_repr
