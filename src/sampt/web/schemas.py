"""The one place where the fields of requests and responses are written.

Routes take and return these, OpenAPI is made from them, and the page's types are made from OpenAPI (``tools/page_types.py``).
What goes over the event stream is in :mod:`sampt.web.stream_schemas`.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from sampt.signs import SIGN_KEYS, take_sign
from sampt.types import ObjectState

__all__ = [
    "AboutLimits",
    "AboutResponse",
    "Box",
    "BoxUpdate",
    "EntryKind",
    "ErrorResponse",
    "ExportCreate",
    "ExportResponse",
    "ExporterInfo",
    "FileEntry",
    "FilesResponse",
    "FrameIdx",
    "FrameMasksResponse",
    "GivenMask",
    "Id",
    "LicenceInfo",
    "ObjectCreate",
    "ObjectCreateResponse",
    "ObjectMask",
    "ObjectStrip",
    "ObjectUpdate",
    "OpenRequest",
    "Point",
    "PointCreate",
    "PointCreateResponse",
    "PointUpdate",
    "PropagationCreate",
    "PropagationResponse",
    "RequestModel",
    "ResponseModel",
    "Rle",
    "SessionObject",
    "SessionResponse",
    "StartPaths",
    "StripsResponse",
    "TrackedPoint",
    "UploadResponse",
    "VideoInfo",
]

Id = Annotated[int, Field(ge=1, lt=2**31)]
FrameIdx = Annotated[int, Field(ge=0, lt=2**31)]
Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e6, le=1e6)]
Color = Annotated[str, Field(pattern="^#[0-9a-fA-F]{6}$")]
Name = Annotated[str, Field(min_length=1, max_length=100)]
Path = Annotated[str, Field(min_length=1, max_length=4000)]
StateName = Annotated[str, WithJsonSchema({"type": "string", "enum": [state.name.lower() for state in ObjectState]})]
"""A member of :class:`sampt.types.ObjectState` in lower case."""
EntryKind = Literal["folder", "video", "project", "frames"]
Runs = list[tuple[int, int]]
"""Values over all frames as [value, count]."""


class RequestModel(BaseModel):
    """What a client sends: unknown names are mistakes, and nothing is made of another type."""

    model_config = ConfigDict(extra="forbid", strict=True)


class ResponseModel(BaseModel):
    """What the server sends: every field is there, and every number finite."""

    model_config = ConfigDict(frozen=True, allow_inf_nan=False, json_schema_serialization_defaults_required=True)


class Rle(BaseModel):
    """A mask in COCO's compressed run lengths; ``size`` is [height, width]. Of requests and responses."""

    model_config = ConfigDict(extra="forbid")

    size: tuple[Annotated[int, Field(ge=1, le=65536)], Annotated[int, Field(ge=1, le=65536)]]
    counts: str


# The server and its files.


class ErrorResponse(ResponseModel):
    """What went wrong, in one line."""

    error: str


class AboutLimits(ResponseModel):
    """What a page should know of the server's limits."""

    upload_bytes: int
    sessions: int


class ExporterInfo(ResponseModel):
    """A format that results can be exported in."""

    name: str
    suffix: str
    title: str


class LicenceInfo(ResponseModel):
    """Of a back end."""

    name: str
    role: Literal["tracker", "segmenter"]
    code: str
    weights: str | None


class StartPaths(ResponseModel):
    """What to open first: the body of POST /session."""

    video: str | None
    project: str | None


class AboutResponse(ResponseModel):
    """What the server is, can, and allows."""

    version: str
    token_required: bool
    limits: AboutLimits
    upload_types: list[str]
    exporters: list[ExporterInfo]
    tracker: str
    segmenter: str
    licences: list[LicenceInfo]
    start: StartPaths | None
    has_session: bool


class FileEntry(ResponseModel):
    """Something that can be opened, or a folder to look into."""

    name: str
    path: str
    kind: EntryKind
    num_bytes: int | None


class FilesResponse(ResponseModel):
    """What is in a folder; ``parent`` is the folder above it."""

    path: str
    parent: str | None
    entries: list[FileEntry]


class UploadResponse(ResponseModel):
    """Where an upload lies now."""

    path: str


# A session and what was said in it.


class OpenRequest(RequestModel):
    """A video, a project, or both."""

    video: Path | None = None
    project: Path | None = None


class VideoInfo(ResponseModel):
    """The video; ``key`` changes with its contents, so that ``?v=KEY`` makes pictures of it cacheable for long."""

    name: str
    num_frames: int
    width: int
    height: int
    fps: float
    times_s: list[float] | None
    key: str


class SessionObject(ResponseModel):
    """An object; ``color`` is #rrggbb."""

    object_id: int
    name: str
    color: str
    is_hidden: bool
    is_locked: bool


class Point(ResponseModel):
    """A click; pixels of the video, (0, 0) is the centre of the top-left pixel."""

    point_id: int
    object_id: int
    frame: int
    x: float
    y: float
    is_positive: bool


class Box(ResponseModel):
    """A box that was given: first and last pixel, inclusive."""

    object_id: int
    frame: int
    x0: float
    y0: float
    x1: float
    y1: float


class GivenMask(ResponseModel):
    """That a mask was given."""

    object_id: int
    frame: int


class PropagationResponse(ResponseModel):
    """A propagation; ``done`` and ``total`` count frames of objects."""

    propagation_id: int
    done: int
    total: int
    frame: int | None
    seconds_left: float | None
    is_running: bool
    is_cancelled: bool
    error: str | None


class SessionResponse(ResponseModel):
    """All of a session but its masks; ``stale`` has ranges [start, stop) of frames by object."""

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
    stale: dict[str, list[tuple[int, int]]]
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


# What was found.


class ObjectMask(ResponseModel):
    """An object on a frame; ``score`` is the predicted IoU, ``rle`` is null where the object is absent."""

    object_id: int
    state: StateName
    score: float | None
    rle: Rle | None
    num_visible_points: int
    is_stale: bool


class TrackedPoint(ResponseModel):
    """A point on a frame that it was followed to."""

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


class ObjectStrip(ResponseModel):
    """An object over all frames; ``state`` (0 unknown, 1 stale, 2 done) and ``flags`` (bits: 1 score drop, 2 few points, 4 area
    jump) are runs of [value, count]; ``score`` is in whole percent; ``inputs`` are the frames with a click, box or mask."""

    object_id: int
    state: Runs
    score: list[int | None]
    area: list[int]
    points: list[int]
    flags: Runs
    inputs: list[int]


class StripsResponse(ResponseModel):
    """Every object over all frames."""

    revision: int
    objects: list[ObjectStrip]


# What takes long.


class PropagationCreate(RequestModel):
    """Frames [start, stop) of some objects; all when left out."""

    start: FrameIdx | None = None
    stop: FrameIdx | None = None
    object_ids: Annotated[list[Id], Field(max_length=10_000)] | None = None


class ExportCreate(PropagationCreate):
    """The same, and the format's name as GET /about lists it."""

    format: Annotated[str, Field(min_length=1, max_length=100)]


class ExportResponse(ResponseModel):
    """A file being made, or made; ``done`` and ``total`` count frames."""

    export_id: int
    format: str
    is_done: bool
    error: str | None
    file_name: str | None
    num_bytes: int | None
    done: int
    total: int
