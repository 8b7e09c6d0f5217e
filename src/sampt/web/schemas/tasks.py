"""What takes long: propagations and exports."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from sampt.web.schemas.base import FrameIdx, Id, RequestModel, ResponseModel

__all__ = ["ExportCreate", "ExportResponse", "PropagationCreate", "PropagationResponse"]


class PropagationCreate(RequestModel):
    """Frames [start, stop) of some objects; all when left out."""

    start: FrameIdx | None = None
    stop: FrameIdx | None = None
    object_ids: Annotated[list[Id], Field(max_length=10_000)] | None = None


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
