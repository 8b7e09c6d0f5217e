"""The values that flow between the stages: frozen, and checked when made.

Arrays are stored read-only. Axis letters bind across the fields of one value, and an error names them: "visible has n=2 but
xy has n=1". Coordinates follow :mod:`sampt.geometry`: (x, y) in pixels, (0, 0) at the centre of the top-left pixel.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sampt.checks import check_finite, check_frames, check_ids, check_one, check_signs, frozen, read_rows, shape_repr, whole
from sampt.codes import HiddenBy, ObjectState
from sampt.errors import ValueCheckError
from sampt.signs import parse_signs

__all__ = [
    "BoolArray",
    "FloatArray",
    "FrameMasks",
    "FramePoints",
    "HiddenBy",
    "IntArray",
    "MaskPrediction",
    "ObjectPrompt",
    "ObjectState",
    "Points",
    "QueryBox",
    "QueryMask",
    "Tracks",
    "UInt8Array",
]

FloatArray: TypeAlias = npt.NDArray[np.float32]
IntArray: TypeAlias = npt.NDArray[np.int64]
BoolArray: TypeAlias = npt.NDArray[np.bool_]
UInt8Array: TypeAlias = npt.NDArray[np.uint8]
_POINTS_FIELDS = ("xy", "frame_idx", "object_id", "is_positive")
_FRAME_POINTS_FIELDS = ("point_id", "object_id", "is_positive", "xy", "confidence", "hidden_by")


@dataclass(frozen=True, eq=False)
class Points:
    """Query points: where the user (or a sampler) says what belongs to which object.

    Attributes:
        xy: (n, 2) float32, pixels.
        frame_idx: (n,) int64, the frame on which each point was given, from 0.
        object_id: (n,) int64, from 1.
        is_positive: (n,) bool; True: on the object, False: not on it.
    """

    xy: FloatArray
    frame_idx: IntArray
    object_id: IntArray
    is_positive: BoolArray

    __repr__ = shape_repr

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        frozen(self, "xy", self.xy, np.float32, "n2", sizes)
        frozen(self, "frame_idx", self.frame_idx, np.int64, "n", sizes)
        frozen(self, "object_id", self.object_id, np.int64, "n", sizes)
        frozen(self, "is_positive", parse_signs(self.is_positive), np.bool_, "n", sizes)
        check_finite(self, "xy")
        check_ids(self, self.object_id)
        check_frames(self, self.frame_idx)

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def object_ids(self) -> tuple[int, ...]:
        """The ids that occur, ascending."""
        return tuple(int(i) for i in np.unique(self.object_id))

    def select(self, index: npt.NDArray[Any]) -> Points:
        """The points at ``index`` (a boolean array of length n, or positions), in that order."""
        return Points(*(getattr(self, name)[index] for name in _POINTS_FIELDS))

    def with_xy(self, xy: FloatArray) -> Points:
        """The same points at (n, 2) other locations."""
        return replace(self, xy=xy)

    def with_frames(self, frame_idx: IntArray) -> Points:
        """The same points, given on (n,) other frames."""
        return replace(self, frame_idx=frame_idx)

    def shifted(self, frames: int) -> Points:
        """The same points, given so many frames later; earlier when it is negative."""
        return replace(self, frame_idx=self.frame_idx + frames)

    def prompt_frame(self, object_id: int) -> int:
        """The first frame on which ``object_id`` has a positive point."""
        return int(self.frame_idx[(self.object_id == object_id) & self.is_positive].min())

    @classmethod
    def of(cls, object_id: int, frame_idx: int, xy: npt.ArrayLike, is_positive: Any = True) -> Points:
        """Points of one object on one frame.

        Args:
            xy: (n, 2), or (2,) for one point.
            is_positive: one sign for all, or (n,): see :func:`sampt.signs.parse_sign`.

        Raises:
            ValueCheckError: a shape, a sign or a number is wrong.
        """
        check_one(cls, object_id, frame_idx)
        rows, signs = read_rows(cls, "xy", xy), parse_signs(is_positive)
        check_signs(cls, signs, n := len(rows))
        return cls(rows, np.full(n, frame_idx), np.full(n, object_id), np.broadcast_to(signs, (n,)))

    @classmethod
    def concat(cls, parts: Iterable[Points]) -> Points:
        """All points of ``parts``, in order."""
        items = list(parts) or [cls.of(1, 0, [])]
        return cls(*(np.concatenate([getattr(p, f) for p in items]) for f in _POINTS_FIELDS))


@dataclass(frozen=True, eq=False)
class QueryMask:
    """The mask of one object on one frame, given instead of points.

    Attributes:
        object_id: from 1.
        frame_idx: from 0.
        mask: (h, w) bool, at least one pixel set.
    """

    object_id: int
    frame_idx: int
    mask: BoolArray

    __repr__ = shape_repr

    def __post_init__(self) -> None:
        frozen(self, "mask", self.mask, np.bool_, "hw", {})
        whole(self, "object_id", 1)
        whole(self, "frame_idx", 0)
        if not self.mask.any():
            raise ValueCheckError(f"The mask of object {self.object_id} on frame {self.frame_idx} is empty.")


@dataclass(frozen=True, eq=False)
class QueryBox:
    """The box of one object on one frame: the segmenter's mask of it is tracked, made with the object's clicks on that frame.

    Attributes:
        object_id: from 1.
        frame_idx: from 0.
        box_xyxy: (4,) float32: x and y of the first and of the last pixel (inclusive) of the object.
    """

    object_id: int
    frame_idx: int
    box_xyxy: FloatArray

    __repr__ = shape_repr

    def __post_init__(self) -> None:
        whole(self, "object_id", 1)
        whole(self, "frame_idx", 0)
        frozen(self, "box_xyxy", self.box_xyxy, np.float32, "4", {})
        check_finite(self, "box_xyxy")
        x0, y0, x1, y1 = self.box_xyxy.tolist()
        if x0 > x1 or y0 > y1:
            raise ValueCheckError(
                f"The box of object {self.object_id} is ({x0:g}, {y0:g}, {x1:g}, {y1:g}); expected x0, y0, x1, y1: its first "
                "pixel, then its last."
            )


@dataclass(frozen=True, eq=False, init=False)
class Tracks:
    """Where every query point is in every frame.

    Of ``visible`` and ``hidden_by`` one is enough: a point that is not visible is hidden by the tracker. Without ``confidence``
    it is 1 where the point is visible and 0 elsewhere.

    Attributes:
        points: the n query points.
        xy: (t, n, 2) float32, pixels; always finite, also where the point is hidden.
        visible: (t, n) bool.
        confidence: (t, n) float32 in [0, 1].
        hidden_by: (t, n) uint8 codes of :class:`HiddenBy`; 0 exactly where ``visible``.
    """

    points: Points
    xy: FloatArray
    visible: BoolArray
    confidence: FloatArray
    hidden_by: UInt8Array

    __repr__ = shape_repr

    def __init__(
        self,
        points: Points,
        xy: npt.ArrayLike,
        visible: npt.ArrayLike | None = None,
        confidence: npt.ArrayLike | None = None,
        hidden_by: npt.ArrayLike | None = None,
    ) -> None:
        if visible is None and hidden_by is None:
            raise ValueCheckError("Tracks got neither visible nor hidden_by, expected one of them or both.")
        object.__setattr__(self, "points", points)
        sizes = {"n": len(points)}
        frozen(self, "xy", xy, np.float32, "tn2", sizes)
        if visible is not None:
            frozen(self, "visible", visible, np.bool_, "tn", sizes)
        codes = np.where(self.visible, HiddenBy.NONE, HiddenBy.TRACKER) if hidden_by is None else hidden_by
        frozen(self, "hidden_by", codes, np.uint8, "tn", sizes)
        if visible is None:
            frozen(self, "visible", self.hidden_by == HiddenBy.NONE, np.bool_, "tn", sizes)
        frozen(self, "confidence", self.visible if confidence is None else confidence, np.float32, "tn", sizes)
        check_finite(self, "xy")
        check_finite(self, "confidence")
        if not np.array_equal(self.visible, self.hidden_by == HiddenBy.NONE):
            raise ValueCheckError("Tracks: visible and hidden_by disagree: visible is expected exactly where the code is 0.")

    @property
    def num_frames(self) -> int:
        return len(self.xy)

    def at(self, frame_idx: int) -> FramePoints:
        """The points on one frame."""
        ids, where = np.arange(len(self.points)), (self.xy[frame_idx], self.confidence[frame_idx], self.hidden_by[frame_idx])
        return FramePoints(ids, self.points.object_id, self.points.is_positive, *where)


@dataclass(frozen=True, eq=False)
class FramePoints:
    """All tracked points on one frame.

    Attributes:
        point_id: (n,) int64; a point keeps its id over the frames. Re-initialisation makes new points with new ids.
        object_id: (n,) int64.
        is_positive: (n,) bool.
        xy: (n, 2) float32, pixels, finite.
        confidence: (n,) float32 in [0, 1].
        hidden_by: (n,) uint8 codes of :class:`HiddenBy`.
    """

    point_id: IntArray
    object_id: IntArray
    is_positive: BoolArray
    xy: FloatArray
    confidence: FloatArray
    hidden_by: UInt8Array

    __repr__ = shape_repr

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        frozen(self, "point_id", self.point_id, np.int64, "n", sizes)
        frozen(self, "object_id", self.object_id, np.int64, "n", sizes)
        frozen(self, "is_positive", parse_signs(self.is_positive), np.bool_, "n", sizes)
        frozen(self, "xy", self.xy, np.float32, "n2", sizes)
        frozen(self, "confidence", self.confidence, np.float32, "n", sizes)
        frozen(self, "hidden_by", self.hidden_by, np.uint8, "n", sizes)
        check_finite(self, "xy")

    def __len__(self) -> int:
        return len(self.point_id)

    @property
    def visible(self) -> BoolArray:
        """(n,) bool."""
        return np.asarray(self.hidden_by == HiddenBy.NONE)

    def select(self, index: npt.NDArray[Any]) -> FramePoints:
        """The points at ``index`` (a boolean array of length n, or positions), in that order."""
        return FramePoints(*(getattr(self, name)[index] for name in _FRAME_POINTS_FIELDS))

    def to_points(self, frame_idx: int) -> Points:
        """The same as query points, given on that frame where they are."""
        return Points(self.xy, np.full(len(self), frame_idx), self.object_id, self.is_positive)

    @classmethod
    def of(cls, points: Points) -> FramePoints:
        """Query points of one frame as tracked ones there: all visible, numbered from 0."""
        ids, ones = np.arange(len(points)), np.ones(len(points), np.float32)
        return cls(ids, points.object_id, points.is_positive, points.xy, ones, np.zeros(len(points), np.uint8))

    @classmethod
    def concat(cls, parts: Sequence[FramePoints]) -> FramePoints:
        """All points of ``parts``, in order."""
        if not parts:
            return cls(*(np.zeros((0, 2) if name == "xy" else 0) for name in _FRAME_POINTS_FIELDS))  # type: ignore[arg-type]
        return cls(*(np.concatenate([getattr(p, name) for p in parts]) for name in _FRAME_POINTS_FIELDS))


@dataclass(frozen=True, eq=False)
class ObjectPrompt:
    """What a segmenter is prompted for one object on one frame.

    Attributes:
        object_id: from 1; given back in the prediction.
        xy: (k, 2) float32, pixels.
        is_positive: (k,) bool.
        box_xyxy: (4,) float32 or None: x and y of the first and of the last pixel (inclusive) of the object.
        mask_logits: a previous prediction's ``low_res_logits``, as the segmenter gave it, or None.
        is_certain: (k,) bool: a person put it there; the mask should have its sign at its pixel. Left out: all of them.
        prior: (h', w') float32 log odds of the object, in cells that cover the frame evenly, or None.
    """

    object_id: int
    xy: FloatArray
    is_positive: BoolArray
    box_xyxy: FloatArray | None = None
    mask_logits: Any = None
    is_certain: BoolArray = None  # type: ignore[assignment]
    prior: FloatArray | None = None

    __repr__ = shape_repr

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        frozen(self, "xy", self.xy, np.float32, "k2", sizes)
        frozen(self, "is_positive", parse_signs(self.is_positive), np.bool_, "k", sizes)
        certain = np.ones(len(self.xy), np.bool_) if self.is_certain is None else self.is_certain
        frozen(self, "is_certain", certain, np.bool_, "k", sizes)
        check_finite(self, "xy")
        for name, shape in (("box_xyxy", "4"), ("prior", "hw")):
            if getattr(self, name) is not None:
                frozen(self, name, getattr(self, name), np.float32, shape, {})

    def only_positive(self) -> ObjectPrompt:
        """The prompt without its negative points."""
        on = self.is_positive
        return replace(self, xy=self.xy[on], is_positive=on[on], is_certain=self.is_certain[on])


@dataclass(frozen=True, eq=False)
class MaskPrediction:
    """A segmenter's prediction to one :class:`ObjectPrompt`.

    Attributes:
        object_id: of the prompt.
        score: predicted IoU of the mask, in [0, 1].
        low_res_logits: the prediction at the segmenter's own resolution, fit to be the next prompt's ``mask_logits``. Its type,
            shape and device are the segmenter's own business.
        box_xyxy: (4,) float32, tight box of ``logits > 0`` (first and last pixel, inclusive), or None when fewer than two
            pixels are set.
        logits: (h, w) float32 at the frame's size, > 0 on the object; None when only the low resolution was requested.
    """

    object_id: int
    score: float
    low_res_logits: Any
    box_xyxy: FloatArray | None
    logits: FloatArray | None = None

    __repr__ = shape_repr


@dataclass(frozen=True, eq=False)
class FrameMasks:
    """The result on one frame.

    Attributes:
        frame_idx: from 0.
        object_ids: (m,) int64, ascending; every object of the run, also the absent ones.
        masks: (m, h, w) bool; disjoint unless overlapping output was requested; empty where the object is absent.
        scores: (m,) float32: predicted IoU in [0, 1]; NaN where the object was not prompted on this frame.
        states: (m,) uint8 codes of :class:`ObjectState`.
        points: the tracked points on this frame.
        good_probability: (m,) float32 in [0, 1]: that the IoU is at least 0.7, NaN where that is not known; None where it is of
            no object, as in runs. Sessions of the bundled backends know it.
    """

    frame_idx: int
    object_ids: IntArray
    masks: BoolArray
    scores: FloatArray
    states: UInt8Array
    points: FramePoints = field(default_factory=lambda: FramePoints.concat([]))
    good_probability: FloatArray | None = None

    __repr__ = shape_repr

    def __post_init__(self) -> None:
        sizes: dict[str, int] = {}
        frozen(self, "object_ids", self.object_ids, np.int64, "m", sizes)
        frozen(self, "scores", self.scores, np.float32, "m", sizes)
        frozen(self, "states", self.states, np.uint8, "m", sizes)
        if self.good_probability is not None:
            frozen(self, "good_probability", self.good_probability, np.float32, "m", sizes)
        masks = np.asarray(self.masks, np.bool_)  # not copied: the pipeline makes it for this value alone
        if masks.ndim != 3 or len(masks) != sizes["m"]:
            raise ValueCheckError(f"FrameMasks.masks has shape {masks.shape}, expected (m={sizes['m']}, h, w).")
        masks.setflags(write=False)
        object.__setattr__(self, "masks", masks)

    def label_map(self) -> IntArray:
        """(h, w) int64: the object id of every pixel, 0 for background; where masks overlap the smaller id wins."""
        labels = np.zeros(self.masks.shape[1:], np.int64)
        for object_id, mask in zip(self.object_ids[::-1], self.masks[::-1], strict=True):
            labels[mask] = object_id
        return labels
