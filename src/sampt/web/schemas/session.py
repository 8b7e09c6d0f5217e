"""A session: what was said in it, and what was found."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import Field, WithJsonSchema, model_validator

from sampt.files.limits import MAX_CORNERS, MAX_STROKE_POINTS, MAX_STROKE_RADIUS
from sampt.signs import SIGN_KEYS, take_sign
from sampt.types import ObjectState
from sampt.web.schemas.base import FrameIdx, Id, RequestModel, ResponseModel, RleMask
from sampt.web.schemas.tasks import PropagationResponse

__all__ = [
    "AbsentRange",
    "Box",
    "BoxUpdate",
    "ClicksAlone",
    "FrameMasksResponse",
    "GivenMask",
    "ObjectCreate",
    "ObjectCreateResponse",
    "ObjectMask",
    "ObjectTimeline",
    "ObjectUpdate",
    "OpenRequest",
    "Point",
    "PointCreate",
    "PointCreateResponse",
    "PointUpdate",
    "PolygonCreate",
    "ReviewEvent",
    "SessionObject",
    "SessionResponse",
    "StrokeCreate",
    "TimelinesResponse",
    "TrackedPoint",
    "VideoInfo",
]

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Color = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Path = Annotated[str, Field(min_length=1, max_length=4000)]
StateName = Annotated[str, WithJsonSchema({"type": "string", "enum": [state.name.lower() for state in ObjectState]})]
"""A member of :class:`sampt.types.ObjectState` in lower case."""
Runs = list[tuple[int, int]]
"""Values over all frames as [value, count]."""


class OpenRequest(RequestModel):
    """A video, a project, or both. ``take_over``: also when the project is open in another browser, which loses it then and
    says so; all that was done there is saved. ``longest_side``: the working size of a new project in pixels, 0 for the video's
    own; left out, large frames are worked on at a smaller size where no GPU is."""

    video: Path | None = None
    project: Path | None = None
    take_over: bool = False
    longest_side: Annotated[int, Field(ge=0, le=16384)] | None = None


class VideoInfo(ResponseModel):
    """The video; ``key`` changes with its contents, so that ``?v=KEY`` makes images of it cacheable for long. ``longest_side``:
    the working size, null for the video's own; masks have the video's size all the same."""

    name: str
    num_frames: int
    width: int
    height: int
    fps: float
    times_s: list[float] | None
    key: str
    longest_side: int | None


class SessionObject(ResponseModel):
    """An object; ``color`` is #rrggbb."""

    object_id: int
    name: str
    color: str
    is_hidden: bool
    is_locked: bool


class Point(ResponseModel):
    """A click; pixels of the video, (0, 0) is the centre of the top-left pixel. ``is_whole``: all that it changes was taken
    over, also far from it."""

    point_id: int
    object_id: int
    frame: int
    x: float
    y: float
    is_positive: bool
    is_whole: bool


class Box(ResponseModel):
    """A box that was given: first and last pixel, inclusive."""

    object_id: int
    frame: int
    x0: float
    y0: float
    x1: float
    y1: float


class GivenMask(ResponseModel):
    """That a mask was given, or edited: drawn on what was shown. ``key`` changes with the mask."""

    object_id: int
    frame: int
    is_edited: bool
    key: int


class AbsentRange(ResponseModel):
    """That somebody said that an object is absent from ``frame`` on; ``stop`` is the frame on which it comes back, or the
    number of frames."""

    object_id: int
    frame: int
    stop: int


class ClicksAlone(ResponseModel):
    """That on a frame the clicks alone count, not what was propagated there."""

    object_id: int
    frame: int


class SessionResponse(ResponseModel):
    """All of a session but its masks; ``stale`` has ranges [start, stop) of frames by object, and so has ``reviewed`` of those
    that a person has marked good."""

    revision: int
    video: VideoInfo
    project: str
    tracker: str
    segmenter: str
    can_undo: bool
    can_redo: bool
    objects: list[SessionObject]
    points: list[Point]
    boxes: list[Box]
    masks: list[GivenMask]
    absent: list[AbsentRange]
    clicks_alone: list[ClicksAlone]
    stale: dict[str, list[tuple[int, int]]]
    reviewed: dict[str, list[tuple[int, int]]]
    propagation: PropagationResponse | None


class ObjectCreate(RequestModel):
    """An object; the server chooses what is left out."""

    name: Name | None = None
    color: Color | None = None


class ObjectUpdate(RequestModel):
    """Of an object; what is left out stays as it is."""

    name: Name | None = None
    color: Color | None = None
    is_hidden: bool | None = None
    is_locked: bool | None = None


class ObjectCreateResponse(ResponseModel):
    """An object that was added, and the session with it."""

    object: SessionObject
    state: SessionResponse


class PointCreate(RequestModel):
    """A click; pixels of the video, (0, 0) is the centre of the top-left pixel. ``is_positive`` may also be called ``sign`` or
    ``label``, and be 1, "+" (on the object), 0, -1 or "-" (off it)."""

    object_id: Id
    frame: FrameIdx
    x: Finite
    y: Finite
    is_positive: bool = True

    @model_validator(mode="before")
    @classmethod
    def _with_sign(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not any(key in data for key in SIGN_KEYS):
            return data
        return {key: value for key, value in data.items() if key not in SIGN_KEYS} | {"is_positive": take_sign(data)}


class PointUpdate(RequestModel):
    """Where a click is moved to, on its frame."""

    x: Finite
    y: Finite


class PointCreateResponse(ResponseModel):
    """A click that was added, and the session with it."""

    point: Point
    state: SessionResponse


class BoxUpdate(RequestModel):
    """First and last pixel, inclusive."""

    x0: Finite
    y0: Finite
    x1: Finite
    y1: Finite


Location = Annotated[list[Finite], Field(min_length=2, max_length=2)]


class StrokeCreate(RequestModel):
    """A stroke of a round brush, or of an eraser: where it was, as [x, y] in pixels of the video, and its radius."""

    xy: Annotated[list[Location], Field(min_length=1, max_length=MAX_STROKE_POINTS)]
    radius: Annotated[float, Field(gt=0, le=MAX_STROKE_RADIUS)]
    is_erasing: bool = False


class PolygonCreate(RequestModel):
    """A closed polygon to be added, or cut away: its corners, as [x, y] in pixels of the video."""

    xy: Annotated[list[Location], Field(min_length=3, max_length=MAX_CORNERS)]
    is_cut: bool = False


class ObjectMask(ResponseModel):
    """An object on a frame; ``score`` is the predicted IoU, ``good_probability`` that the IoU is at least 0.7 (null where that
    is not known), ``rle`` is null where the object is absent. ``whole_rle``: where the last click would change much far from
    it, the mask with all of that (only in previews); else null."""

    object_id: int
    state: StateName
    score: float | None
    good_probability: float | None
    rle: RleMask | None
    num_visible_points: int
    is_stale: bool
    whole_rle: RleMask | None


class TrackedPoint(ResponseModel):
    """A point on a frame that it was tracked to."""

    point_id: int
    object_id: int
    x: float
    y: float
    is_positive: bool
    visible: bool


class FrameMasksResponse(ResponseModel):
    """All objects and points on a frame."""

    frame: int
    revision: int
    objects: list[ObjectMask]
    points: list[TrackedPoint]


class ReviewEvent(ResponseModel):
    """Frames [start, stop) on which an object needs review; ``frame`` is the worst, ``reasons`` are bits as in ``flags``,
    ``is_reviewed``: a person has marked one of them good."""

    start: int
    stop: int
    frame: int
    reasons: int
    is_reviewed: bool


class ObjectTimeline(ResponseModel):
    """An object over all frames; ``state`` (0 unknown, 1 stale, 2 done) and ``flags`` (bits: 1 score drop, 2 few points, 4 area
    jump, 8 shape change, 16 colour change, 32 earlier doubt) are runs of [value, count]; ``score``, the predicted IoU, and
    ``good``, the probability that the mask's IoU is at least 0.7, are in whole percent; ``inputs`` are the frames with a click,
    box or mask; ``events`` the runs of frames that need review."""

    object_id: int
    state: Runs
    score: list[int | None]
    good: list[int | None]
    area: list[int]
    points: list[int]
    flags: Runs
    inputs: list[int]
    events: list[ReviewEvent]


class TimelinesResponse(ResponseModel):
    """Every object over all frames."""

    revision: int
    objects: list[ObjectTimeline]
