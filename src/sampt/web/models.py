"""What the interface takes and gives, as OpenAPI tells it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from sampt.signs import SIGN_KEYS, take_sign

__all__ = [
    "About",
    "Box",
    "BoxGiven",
    "Error",
    "Export",
    "ExportWanted",
    "FileEntry",
    "Files",
    "FrameIdx",
    "FrameMasksAnswer",
    "Id",
    "ObjectAdded",
    "ObjectChange",
    "ObjectMaskAnswer",
    "ObjectStripAnswer",
    "ObjectWanted",
    "OpenWanted",
    "Point",
    "PointAdded",
    "PointMove",
    "PointWanted",
    "Progress",
    "RangeWanted",
    "Rle",
    "State",
    "Strips",
    "TrackedPoint",
    "Uploaded",
]

Id = Annotated[int, Field(ge=1, lt=2**31)]
FrameIdx = Annotated[int, Field(ge=0, lt=2**31)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Colour = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]


class _Taken(BaseModel):
    """Of a request: unknown names are mistakes, and nothing is made of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class _Given(BaseModel):
    """Of an answer."""


class Error(_Given):
    """What went wrong, in one line."""

    error: str


class AboutLimits(_Given):
    upload_bytes: int
    sessions: int


class ExporterAnswer(_Given):
    name: str
    suffix: str
    title: str


class Licence(_Given):
    """Of a back end."""

    name: str
    role: Literal["tracker", "segmenter"]
    code: str
    weights: str | None


class Start(_Given):
    """What to open first: the body of POST /session."""

    video: str | None
    project: str | None


class About(_Given):
    version: str
    token_required: bool
    limits: AboutLimits
    upload_types: list[str]
    exporters: list[ExporterAnswer]
    tracker: str
    segmenter: str
    licences: list[Licence]
    start: Start | None
    has_session: bool


class FileEntry(_Given):
    name: str
    path: str
    kind: Literal["folder", "video", "project", "frames"]
    num_bytes: int | None


class Files(_Given):
    path: str
    parent: str | None
    entries: list[FileEntry]


class Uploaded(_Given):
    path: str


class OpenWanted(_Taken):
    """A video, a project, or both."""

    video: Annotated[str, Field(min_length=1, max_length=4000)] | None = None
    project: Annotated[str, Field(min_length=1, max_length=4000)] | None = None


class VideoAnswer(_Given):
    """The video; ``key`` changes with its contents, so that ``?v=KEY`` makes pictures of it cacheable for long."""

    name: str
    num_frames: int
    width: int
    height: int
    fps: float
    times_s: list[float] | None
    key: str


class Object(_Given):
    object_id: int
    name: str
    color: str
    is_hidden: bool
    is_locked: bool


class Point(_Given):
    point_id: int
    object_id: int
    frame: int
    x: float
    y: float
    is_positive: bool


class BoxGiven(_Given):
    object_id: int
    frame: int
    x0: float
    y0: float
    x1: float
    y1: float


class MaskGiven(_Given):
    object_id: int
    frame: int


class Progress(_Given):
    """A propagation; ``done`` and ``total`` count frames of objects."""

    propagation_id: int
    done: int
    total: int
    frame: int | None
    seconds_left: float | None
    is_running: bool
    is_cancelled: bool
    error: str | None


class State(_Given):
    """All of a session but its masks."""

    revision: int
    video: VideoAnswer
    project: str
    tracker: str
    segmenter: str
    can_undo: bool
    can_redo: bool
    objects: list[Object]
    points: list[Point]
    boxes: list[BoxGiven]
    masks: list[MaskGiven]
    stale: dict[str, list[tuple[int, int]]]
    propagation: Progress | None


class ObjectWanted(_Taken):
    name: Name | None = None
    color: Colour | None = None


class ObjectChange(_Taken):
    name: Name | None = None
    color: Colour | None = None
    is_hidden: bool | None = None
    is_locked: bool | None = None


class ObjectAdded(_Given):
    object: Object
    state: State


class PointWanted(_Taken):
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


class PointMove(_Taken):
    x: Finite
    y: Finite


class PointAdded(_Given):
    point: Point
    state: State


class Box(_Taken):
    """First and last pixel, inclusive."""

    x0: Finite
    y0: Finite
    x1: Finite
    y1: Finite


class Rle(BaseModel):
    """A mask in COCO's compressed run lengths; ``size`` is [height, width]."""

    model_config = ConfigDict(extra="forbid")

    size: tuple[Annotated[int, Field(ge=1, le=65536)], Annotated[int, Field(ge=1, le=65536)]]
    counts: str


class ObjectMaskAnswer(_Given):
    object_id: int
    state: str
    score: float | None
    rle: Rle | None
    num_visible_points: int
    is_stale: bool


class TrackedPoint(_Given):
    point_id: int
    object_id: int
    x: float
    y: float
    is_positive: bool
    visible: bool


class FrameMasksAnswer(_Given):
    frame: int
    revision: int
    objects: list[ObjectMaskAnswer]
    points: list[TrackedPoint]


class ObjectStripAnswer(_Given):
    """An object over all frames; ``state`` (0 unknown, 1 stale, 2 done) and ``flags`` (bits: 1 score drop, 2 few points, 4 area
    jump) are runs of [value, count]; ``score`` is in whole percent; ``inputs`` are the frames with a click, box or mask."""

    object_id: int
    state: list[tuple[int, int]]
    score: list[int | None]
    area: list[int]
    points: list[int]
    flags: list[tuple[int, int]]
    inputs: list[int]


class Strips(_Given):
    revision: int
    objects: list[ObjectStripAnswer]


class RangeWanted(_Taken):
    """Frames [start, stop) of some objects; all when left out."""

    start: FrameIdx | None = None
    stop: FrameIdx | None = None
    object_ids: Annotated[list[Id], Field(max_length=10_000)] | None = None


class ExportWanted(RangeWanted):
    format: Annotated[str, Field(min_length=1, max_length=100)]


class Export(_Given):
    """A file being made, or made; ``done`` and ``total`` count frames."""

    export_id: int
    format: str
    is_done: bool
    error: str | None
    file_name: str | None
    num_bytes: int | None
    done: int
    total: int
