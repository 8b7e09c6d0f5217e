"""What takes long: propagations and exports."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from sampt.session.types import PropagationStage
from sampt.web.schemas.base import FrameIdx, Id, RequestModel, ResponseModel

__all__ = ["CoverageResponse", "ExportCreate", "ExportResponse", "PropagationCreate", "PropagationResponse"]


class PropagationCreate(RequestModel):
    """Frames [start, stop) of some objects; all when left out."""

    start: FrameIdx | None = None
    stop: FrameIdx | None = None
    object_ids: Annotated[list[Id], Field(max_length=10_000)] | None = None


class PropagationResponse(ResponseModel):
    """A propagation; ``done`` and ``total`` count frames of objects. One that was cancelled may run a moment longer."""

    propagation_id: int
    done: int
    total: int
    frame: int | None
    stage: PropagationStage
    seconds_left: float | None
    is_running: bool
    is_cancelled: bool
    error: str | None


class CoverageResponse(ResponseModel):
    """What an export of these frames and objects would have: ``with_masks`` frames with a mask that is up to date or previewed.

    The others count every frame once, by the worst of its objects: ``missing`` before ``out_of_date`` before ``up_to_date``.
    """

    num_frames: int
    with_masks: int
    up_to_date: int
    out_of_date: int
    missing: int
    is_complete: bool


class ExportCreate(PropagationCreate):
    """The same, and the format's name as GET /about lists it. ``images``: the frames are written beside, in one archive.

    ``classes``: all classes in the order of their numbers; left out: the names of the objects, by id.
    """

    format: Annotated[str, Field(min_length=1, max_length=100)]
    images: Literal["png", "jpg"] | None = None
    classes: Annotated[list[Annotated[str, Field(min_length=1, max_length=100)]], Field(max_length=10_000)] | None = None


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
