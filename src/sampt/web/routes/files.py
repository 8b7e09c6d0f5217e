"""Routes about the server, its files, and uploads."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Query, Request, Response

from sampt import __version__
from sampt.backends.registry import available
from sampt.backends.table import BUILT_IN
from sampt.config import FindConfig
from sampt.errors import SamptError
from sampt.exporters.registry import all_exporters
from sampt.segmenters.base import SegmenterInfo
from sampt.trackers.base import TrackerInfo
from sampt.video.open import VIDEO_SUFFIXES
from sampt.web.addresses import find_client
from sampt.web.bodies import announced_bytes
from sampt.web.dependencies import Parts, Services, errors, find_cookie
from sampt.web.schemas.server import (
    AboutLimits,
    AboutResponse,
    ExporterInfo,
    FilesResponse,
    LicenseInfo,
    ProposerInfo,
    StartPaths,
    UploadResponse,
)
from sampt.web.work_list import add_work

__all__ = ["router"]

router = APIRouter(tags=["server"])


@router.get("/about", responses=errors())
def about(parts: Parts, request: Request) -> AboutResponse:
    """What this server is, can, and allows, and whether this browser has a session."""
    settings = parts.settings
    start = settings.start
    return AboutResponse(
        version=__version__,
        token_required=settings.token is not None,
        limits=AboutLimits(upload_bytes=settings.limits.upload_bytes, sessions=settings.limits.sessions),
        upload_types=list(VIDEO_SUFFIXES),
        exporters=[
            ExporterInfo(name=name, suffix=e.suffix, title=e.title, takes_images=bool(e.images_at))
            for name, e in all_exporters().items()
        ],
        proposers=_proposers(),
        tracker=settings.config.tracker,
        segmenter=settings.config.segmenter,
        licenses=_licenses(parts),
        start=StartPaths(**{name: start.get(name) for name in ("video", "project", "folder")}) if start else None,
        has_session=parts.browsers.has_session(find_cookie(request, settings)),
    )


def _proposers() -> list[ProposerInfo]:
    """Those that are here and need nothing but a frame, the one first that settings name."""
    default = FindConfig().proposer
    known = [spec for spec in BUILT_IN["proposer"].values() if spec.missing is None and not spec.info.needs_argument]
    found = {spec.name: spec.method for spec in known}
    others = {name: "" for name in available("proposer") if name not in BUILT_IN["proposer"]}
    ordered = sorted((found | others).items(), key=lambda item: item[0] != default)
    return [ProposerInfo(name=name, method=method) for name, method in ordered]


def _licenses(parts: Services) -> list[LicenseInfo]:
    try:
        tracker, segmenter = parts.backends.infos()
    except SamptError:  # whoever opens a session gets the error
        return []
    return [_license(tracker, "tracker"), _license(segmenter, "segmenter")]


def _license(info: TrackerInfo | SegmenterInfo, role: Literal["tracker", "segmenter"]) -> LicenseInfo:
    return LicenseInfo(name=info.name, role=role, code=info.license_code, weights=info.license_weights)


@router.get("/files", responses=errors(404, 422))
def files(parts: Parts, path: Annotated[str, Query(max_length=4000)] = "") -> FilesResponse:
    """What can be opened in a folder, and how far each is; without a path, the folders that there are."""
    entries = add_work(parts.roots.list(path), parts.roots, parts.settings.work, parts.browsers.open_projects())
    parent = None if not path else path.rpartition("/")[0]
    return FilesResponse(path=path, parent=parent, entries=entries)


_BODY = {
    "requestBody": {
        "required": True,
        "content": {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}},
    }
}


@router.put(
    "/uploads/{name}",
    status_code=201,
    responses=errors(400, 408, 413, 415, 422, 429, 503),
    openapi_extra=_BODY,
)
async def upload(name: str, request: Request, response: Response, parts: Parts) -> UploadResponse:
    """Store a video file; the body is its bytes."""
    client = find_client(request.client.host if request.client else None)
    path = await parts.uploads.take(name, request.stream(), announced_bytes(request.headers), client)
    return UploadResponse(path=path)
