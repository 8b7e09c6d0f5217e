"""Routes about the server, its files, and uploads."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query, Request, Response

from sampt import __version__
from sampt.errors import SamptError
from sampt.outputs.exports import EXPORTERS
from sampt.segmenters.base import SegmenterInfo
from sampt.trackers.base import TrackerInfo
from sampt.video.open import VIDEO_SUFFIXES
from sampt.web.addresses import client_of
from sampt.web.bodies import announced_bytes
from sampt.web.models import About, Files, Uploaded
from sampt.web.services import Parts, Services, cookie_of, errors

__all__ = ["router"]

router = APIRouter(tags=["server"])


@router.get("/about", response_model=About, responses=errors())
def about(parts: Parts, request: Request) -> dict[str, Any]:
    """What this server is, can, and allows, and whether this browser has a session."""
    settings = parts.settings
    start = {name: settings.start.get(name) for name in ("video", "project")} if settings.start else None
    return {
        "version": __version__,
        "token_required": settings.token is not None,
        "limits": {"upload_bytes": settings.limits.upload_bytes, "sessions": settings.limits.sessions},
        "upload_types": list(VIDEO_SUFFIXES),
        "exporters": [{"name": name, "suffix": e.suffix, "title": e.title} for name, e in EXPORTERS.items()],
        "tracker": settings.config.tracker,
        "segmenter": settings.config.segmenter,
        "licences": _licences(parts),
        "start": start,
        "has_session": parts.browsers.has_session(cookie_of(request, parts.settings)),
    }


def _licences(parts: Services) -> list[dict[str, str | None]]:
    try:
        tracker, segmenter = parts.back_ends.infos()
    except SamptError:  # whoever opens a session is told
        return []
    return [_licence(tracker, "tracker"), _licence(segmenter, "segmenter")]


def _licence(info: TrackerInfo | SegmenterInfo, role: Literal["tracker", "segmenter"]) -> dict[str, str | None]:
    return {"name": info.name, "role": role, "code": info.licence_code, "weights": info.licence_weights}


@router.get("/files", response_model=Files, responses=errors(404, 422))
def files(parts: Parts, path: Annotated[str, Query(max_length=4000)] = "") -> dict[str, Any]:
    """What can be opened in a folder; without a path, the folders that there are."""
    entries = [entry._asdict() for entry in parts.roots.list(path)]
    parent = None if not path else path.rpartition("/")[0]
    return {"path": path, "parent": parent, "entries": entries}


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/uploads/{name}",
    status_code=201,
    response_model=Uploaded,
    responses=errors(400, 408, 413, 415, 422, 429, 503),
    openapi_extra=_BODY,
)
async def upload(name: str, request: Request, response: Response, parts: Parts) -> dict[str, str]:
    """Store a video file; the body is its bytes."""
    client = client_of(request.client.host if request.client else None)
    path = await parts.uploads.take(name, request.stream(), announced_bytes(request.headers), client)
    return {"path": path}
