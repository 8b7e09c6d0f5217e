"""Routes that start what takes long: propagations and exports."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Path, Request
from fastapi.responses import FileResponse
from starlette.exceptions import HTTPException

from sampt.errors import ConfigError
from sampt.exporters.registry import check_images, find_exporter
from sampt.web.dependencies import ERRORS, Held, Parts, errors, frames_wanted
from sampt.web.open_session import OpenSession
from sampt.web.schemas.tasks import (
    CoverageResponse,
    ExportCreate,
    ExportResponse,
    PropagationCreate,
    PropagationResponse,
)
from sampt.web.tasks import ExportKind, ExportTask

__all__ = ["router"]

router = APIRouter(tags=["tasks"], prefix="/session")

ExportId = Annotated[int, Path(ge=1, lt=2**31)]


@router.post("/propagations", status_code=202, responses=ERRORS)
def propagate(wanted: PropagationCreate, held: Held) -> PropagationResponse:
    """Segment objects through frames; results come on the event stream."""
    frames = frames_wanted(held, wanted.start, wanted.stop)
    return held.propagate(frames, wanted.object_ids).to_response()


@router.get("/propagations", responses=ERRORS)
def get_propagation(held: Held) -> PropagationResponse | None:
    """How the last propagation stands."""
    return None if held.propagation is None else held.propagation.to_response()


@router.delete("/propagations", responses=ERRORS)
def cancel_propagation(held: Held) -> PropagationResponse | None:
    """End the propagation, if one runs; what it has found stays."""
    task = held.cancel()
    return None if task is None else task.to_response()


@router.post("/exports/coverage", responses=ERRORS)
def describe_coverage(wanted: PropagationCreate, held: Held) -> CoverageResponse:
    """What an export would have now, so that a person can propagate first; nothing is computed."""
    _check_objects(held, wanted.object_ids)
    found = held.session.coverage(frames_wanted(held, wanted.start, wanted.stop), wanted.object_ids)
    return CoverageResponse(
        num_frames=found.num_frames,
        with_masks=found.num_with_masks,
        up_to_date=found.num_up_to_date,
        out_of_date=found.num_out_of_date,
        missing=found.num_missing,
        is_complete=found.is_complete,
    )


@router.post("/exports", status_code=202, responses={**ERRORS, **errors(503)})
def start_export(wanted: ExportCreate, held: Held) -> ExportResponse:
    """Make a file of the results; GET /about lists the formats."""
    exporter = find_exporter(wanted.format, "format")  # an unknown one is refused
    check_images(wanted.format, exporter, wanted.images)
    _check_objects(held, wanted.object_ids)
    frames = frames_wanted(held, wanted.start, wanted.stop)
    kind = ExportKind(wanted.format, wanted.images, tuple(wanted.classes or ()))
    return held.export(kind, frames, wanted.object_ids).to_response()


@router.get("/exports/{export_id}", responses=ERRORS)
def get_export(export_id: ExportId, held: Held) -> ExportResponse:
    """How an export stands."""
    return _known(held, export_id).to_response()


_FILE: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    200: {"description": "The file.", "content": {"*/*": {"schema": {"type": "string", "format": "binary"}}}},
}


@router.get("/exports/{export_id}/file", response_class=FileResponse, responses=_FILE)
def get_export_file(export_id: ExportId, held: Held) -> FileResponse:
    """The file, to be saved."""
    task = _known(held, export_id)
    path = task.path
    if path is None:
        raise HTTPException(409, task.error or "The export is not complete yet; wait for its end.")
    return FileResponse(path, filename=task.file_name, content_disposition_type="attachment")


@router.delete("/exports/{export_id}", status_code=204, responses=ERRORS)
def remove_export(export_id: ExportId, request: Request, parts: Parts) -> None:
    """End an export, and remove its file."""
    with parts.find_browser(request).use() as held:
        held.remove_export(_known(held, export_id).number)


def _check_objects(held: OpenSession, object_ids: list[int] | None) -> None:
    known = {o.object_id for o in held.session.objects}
    if unknown := sorted(set(object_ids or ()) - known):
        raise ConfigError(f"There is no object {unknown[0]}; it was deleted, or undone.")


def _known(held: OpenSession, export_id: int) -> ExportTask:
    task = held.exports.get(export_id)
    if task is None:
        raise HTTPException(404, f"There is no export {export_id}; it was removed, or made way for newer ones.")
    return task
