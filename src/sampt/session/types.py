"""What a session is made of and what it gives: small frozen values."""

from __future__ import annotations

import enum
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.errors import SamptError
from sampt.masks.merge import ObjectMask
from sampt.masks.rle import Rle, decode_mask, encode_mask
from sampt.types import BoolArray, FloatArray, FramePoints, IntArray, ObjectState, UInt8Array

__all__ = [
    "ABSENT",
    "STRENGTH_CELL_PX",
    "AbsentInput",
    "BoxInput",
    "Carried",
    "Click",
    "Coverage",
    "FrameStatus",
    "FrameUpdate",
    "MaskInput",
    "NeedsReview",
    "ObjectResult",
    "ObjectTimeline",
    "PropagationStage",
    "PropagationWatch",
    "Record",
    "ReviewEvent",
    "Reviewed",
    "SessionBusyError",
    "SessionObject",
    "Strength",
]


ABSENT = bytes(16)
"""Takes the place of the digest where a person said that the object is absent: no such result is made from anything else."""
STRENGTH_CELL_PX = 8
"""Strengths are stored for cells of so many pixels a side."""
_WEAKEST = np.float32(1e-6)


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


class NeedsReview(enum.IntFlag):
    """Why an object on a frame needs review."""

    SCORE_DROP = 1
    """The predicted IoU is low, or well below that of the frames before or after."""
    FEW_POINTS = 2
    """Positive points are lost: hidden, or beside the mask."""
    AREA_JUMP = 4
    """The area changes much from one frame to the next, or the object appears or disappears."""
    SHAPE_CHANGE = 8
    """The mask does not move with its points, is another shape than before, or falls to pieces."""
    COLOR_CHANGE = 16
    """The colours within the mask are others than on the keyframe."""
    EARLIER_DOUBT = 32
    """The mask was doubtful on a frame between the keyframe and this one, and may have gone wrong there."""


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
    """A point that a person gave.

    Attributes:
        xy: in pixels of the video.
        is_whole: all that the click changes is taken over, also far from it.
    """

    point_id: int
    object_id: int
    frame_idx: int
    xy: tuple[float, float]
    is_positive: bool
    is_whole: bool = False


@dataclass(frozen=True)
class BoxInput:
    """A box that a person gave: first and last pixel, inclusive."""

    object_id: int
    frame_idx: int
    box_xyxy: tuple[float, float, float, float]


@dataclass(frozen=True)
class MaskInput:
    """A mask that a person gave or edited, at the video's size.

    Attributes:
        rle: an edited mask may be empty: the object is not on this frame.
        point_ids: the frame's clicks that the mask holds already; the others correct it.
        is_edited: drawn on what was shown, not given as a whole.
    """

    object_id: int
    frame_idx: int
    rle: Rle
    point_ids: tuple[int, ...] = ()
    is_edited: bool = False

    @property
    def mask(self) -> BoolArray:
        """(h, w) bool."""
        return decode_mask(self.rle)


@dataclass(frozen=True)
class AbsentInput:
    """A person said that the object is not there from this frame on, until a later frame says where it is."""

    object_id: int
    frame_idx: int


@dataclass(frozen=True)
class Reviewed:
    """A person has marked a result good; it stays as it is.

    Attributes:
        digest: of what the result was made from (:attr:`Record.digest`), as hexadecimal digits.
    """

    object_id: int
    frame_idx: int
    digest: str


@dataclass(frozen=True)
class Carried:
    """What a correction starts from: the result that was seen when the frame was first clicked. One of nothing: the person
    wants the clicks there alone.

    Attributes:
        xy: its visible tracked points, in pixels of the video.
        is_positive: as many signs.
        area_px: of the mask then.
        rle: the mask, at the video's size; None: there was none, or an older sampt did not keep it.
        score: its predicted IoU.
    """

    object_id: int
    frame_idx: int
    xy: tuple[tuple[float, float], ...]
    is_positive: tuple[bool, ...]
    area_px: int
    rle: Rle | None = None
    score: float | None = None


@dataclass(frozen=True)
class ObjectResult:
    """An object on a frame.

    Attributes:
        state: whether it is there.
        score: predicted IoU in [0, 1], or None where the segmenter was not prompted.
        rle: the mask at the video's size, before overlaps with other objects are resolved; None where the object is absent.
        num_visible_points: positive points of the prompt.
        is_stale: the inputs have changed since.
        whole_rle: where the last click would change much far from it, the mask with all of that, which
            :meth:`sampt.session.Session.take_whole_change` takes over; only previews have it.
        good_probability: that the mask's IoU is at least 0.7 (:attr:`Record.good_probability`).
    """

    object_id: int
    frame_idx: int
    state: ObjectState
    score: float | None
    rle: Rle | None
    num_visible_points: int
    is_stale: bool = False
    whole_rle: Rle | None = None
    good_probability: float | None = None

    def mask(self, size_hw: tuple[int, int]) -> BoolArray:
        """(h, w) bool; empty where the object is absent."""
        return np.zeros(size_hw, np.bool_) if self.rle is None else decode_mask(self.rle)


PropagationStage: TypeAlias = Literal["preparing", "tracking", "segmenting"]
"""What a propagation is at."""


class FrameUpdate(NamedTuple):
    """Results that have become final: objects by id."""

    frame_idx: int
    results: dict[int, ObjectResult]


def _do_nothing(_: PropagationStage | None) -> None:
    pass


@dataclass(frozen=True)
class PropagationWatch:
    """Who hears what a propagation does; both are called from the thread that iterates, and are to be quick.

    Attributes:
        on_step: called before every part of the work, between objects and frames, with what it is (None: as before).
        on_provisional: called with masks that may still change and are not kept: a window of frames is final as a whole, and a
            person would wait for it. None: nobody wants them.
    """

    on_step: Callable[[PropagationStage | None], None] = _do_nothing
    on_provisional: Callable[[FrameUpdate], None] | None = None


@dataclass(frozen=True)
class Coverage:
    """What results there are of some frames and objects.

    Every frame is counted once in all of these but ``num_with_masks``, and as the worst of its objects: missing before out of
    date before up to date. Objects of which nothing was said yet do not count; where none does, no frame is any of them.

    Attributes:
        num_frames: in all.
        num_with_masks: where an object has a mask that is up to date or previewed.
        num_up_to_date: where every object has a result of the inputs as they are, or a preview of them.
        num_out_of_date: where an object has a result of inputs that have changed since.
        num_missing: where an object has no result at all.
    """

    num_frames: int
    num_with_masks: int
    num_up_to_date: int
    num_out_of_date: int
    num_missing: int

    @property
    def is_complete(self) -> bool:
        """Whether propagation would change nothing here."""
        return not self.num_out_of_date and not self.num_missing


class ReviewEvent(NamedTuple):
    """A run of frames on which an object needs review: one thing to look at.

    Attributes:
        start, stop: frames [start, stop); a few between may not need it.
        frame_idx: the worst of them, where to look.
        reasons: of all of them.
        is_reviewed: a person has marked one of them good.
    """

    start: int
    stop: int
    frame_idx: int
    reasons: NeedsReview
    is_reviewed: bool


@dataclass(frozen=True, eq=False)
class ObjectTimeline:
    """An object over all t frames.

    Attributes:
        state: (t,) uint8 codes of :class:`FrameStatus`.
        is_present: (t,) bool.
        score: (t,) float32, NaN where there is none.
        num_visible_points: (t,) int64.
        area_px: (t,) int64.
        has_input: (t,) bool: a person clicked there, gave a box or a mask, or said that the object is absent from there.
        is_reviewed: (t,) bool: a person has marked the result good.
        flags: (t,) uint8, bits of :class:`NeedsReview`; none where it is marked good.
        good_probability: (t,) float32, that the mask's IoU is at least 0.7 (:mod:`sampt.session.quality`); NaN where that is
            not known.
        events: in order, the runs of frames that need review, or did before they were marked good.
    """

    state: UInt8Array
    is_present: BoolArray
    score: FloatArray
    num_visible_points: IntArray
    area_px: IntArray
    has_input: BoolArray
    is_reviewed: BoolArray
    flags: UInt8Array
    good_probability: FloatArray
    events: tuple[ReviewEvent, ...] = ()

    __repr__ = shape_repr


@dataclass(frozen=True, eq=False)
class Strength:
    """How sure the segmenter was, coarsely: enough to decide which of two objects gets a pixel that both claim.

    Attributes:
        origin_yx: where the part lies in the frame.
        size_hw: of the part.
        cells: (ceil(h / 8), ceil(w / 8)) uint8: mean positive logit, 255 for ``scale``.
        scale: logit of 255.
    """

    origin_yx: tuple[int, int]
    size_hw: tuple[int, int]
    cells: UInt8Array
    scale: float

    __repr__ = shape_repr

    @classmethod
    def of(cls, found: ObjectMask) -> Strength:
        """Of a mask that has pixels."""
        assert found.logits is not None, "the mask has pixels"
        h, w = found.logits.shape
        positive = np.maximum(found.logits, np.float32(0))
        size = -(-w // STRENGTH_CELL_PX), -(-h // STRENGTH_CELL_PX)
        cells = cv2.resize(positive, size, interpolation=cv2.INTER_AREA)
        scale = max(float(cells.max()), float(_WEAKEST))
        return cls(found.origin_yx, (h, w), np.rint(cells * (255 / scale)).astype(np.uint8), scale)


@dataclass(frozen=True, eq=False)
class Record:
    """A result as it is stored.

    Attributes:
        digest: (16 bytes) of what it was made from.
        run: number of the run that it comes from; new points have ids made from it.
        size_hw: of the frame.
        rle: the mask, before overlaps are resolved; None where the object is absent.
        strength: of the mask; None where it is given or absent.
        points: the object's own, tracked or given, at the video's size.
        good_probability: that the mask's IoU is at least 0.7; None where that is not known (on prompt frames, with backends for
            which it was not calibrated, and in what an older sampt wrote).
        reasons: what speaks against the mask.
    """

    object_id: int
    frame_idx: int
    digest: bytes
    run: int
    size_hw: tuple[int, int]
    state: ObjectState
    score: float | None
    area_px: int
    rle: Rle | None
    strength: Strength | None
    is_given: bool
    points: FramePoints
    good_probability: float | None = None
    reasons: NeedsReview = NeedsReview(0)

    __repr__ = shape_repr

    @classmethod
    def of(
        cls, found: ObjectMask, frame_idx: int, digest: bytes, run: int, points: FramePoints, size_hw: tuple[int, int]
    ) -> Record:
        """The record of a mask at the video's size, and the object's points on the frame."""
        mask = found.mask(size_hw)
        area = int(np.count_nonzero(mask))
        return cls(
            found.object_id,
            frame_idx,
            digest,
            run,
            size_hw,
            found.state if area or found.logits is None else ObjectState.EMPTY,
            None if np.isnan(found.score) else float(found.score),
            area,
            encode_mask(mask) if area else None,
            Strength.of(found) if area and not found.is_given else None,
            found.is_given,
            points,
        )

    @classmethod
    def given_absent(cls, object_id: int, frame_idx: int, size_hw: tuple[int, int]) -> Record:
        """Where a person said that the object is not there."""
        nothing = FramePoints.concat([])
        return cls(
            object_id,
            frame_idx,
            ABSENT,
            0,
            size_hw,
            ObjectState.GIVEN_ABSENT,
            None,
            0,
            None,
            None,
            is_given=False,
            points=nothing,
        )

    @property
    def num_visible(self) -> int:
        """Visible positive points."""
        return int(np.count_nonzero(self.points.visible & self.points.is_positive))

    def mask(self) -> BoolArray:
        """(h, w) bool."""
        return np.zeros(self.size_hw, np.bool_) if self.rle is None else decode_mask(self.rle)

    def object_mask(self) -> ObjectMask:
        """As the merge of all objects takes it; logits are the strengths, interpolated."""
        score = float("nan") if self.score is None else self.score
        if self.rle is None:
            return ObjectMask(self.object_id, self.state, score)
        mask = decode_mask(self.rle)
        if self.is_given or self.strength is None:
            return ObjectMask.of_given(self.object_id, mask)
        (y, x), (h, w) = self.strength.origin_yx, self.strength.size_hw
        cells = self.strength.cells.astype(np.float32) * np.float32(self.strength.scale / 255)
        logits = np.maximum(cv2.resize(cells, (w, h), interpolation=cv2.INTER_LINEAR), _WEAKEST)
        logits = np.where(mask[y : y + h, x : x + w], logits, np.float32(-1))
        return ObjectMask(self.object_id, self.state, score, logits, (y, x))

    def to_result(self, *, is_stale: bool = False) -> ObjectResult:
        """As a client sees it."""
        return ObjectResult(
            self.object_id,
            self.frame_idx,
            self.state,
            self.score,
            self.rle,
            self.num_visible,
            is_stale,
            good_probability=self.good_probability,
        )
