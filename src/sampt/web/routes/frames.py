"""Routes that show: images of frames, masks, and objects over time."""

from __future__ import annotations

from contextlib import nullcontext
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Response

from sampt.web.dependencies import ERRORS, Held, known_frame
from sampt.web.open_session import OpenSession
from sampt.web.responses import masks_response, timelines_text
from sampt.web.schemas.session import FrameMasksResponse, TimelinesResponse

__all__ = ["frame_masks", "router"]

router = APIRouter(tags=["frames"], prefix="/session")

FrameNumber = Annotated[int, Path(ge=0, lt=2**31)]
_IMAGE: dict[int | str, dict[str, Any]] = {
    **ERRORS,
    200: {"description": "The image.", "content": {"image/jpeg": {"schema": {"type": "string", "format": "binary"}}}},
    304: {"description": "The image is the one that If-None-Match names."},
}


def _image(
    frame: FrameNumber,
    held: Held,
    width: Annotated[int | None, Query(ge=16, le=16384)] = None,
    v: Annotated[str | None, Query(max_length=100)] = None,
    if_none_match: Annotated[str | None, Header()] = None,
) -> Response:
    """A frame as JPEG, at the video's size or scaled down to a width. With the video's key as v it may be kept for long."""
    tag = f'"{held.key}-{known_frame(held, frame)}-{width or 0}"'
    kept = "private, max-age=86400, immutable" if v == held.key else "private, no-cache"
    headers = {"etag": tag, "cache-control": kept}
    if if_none_match is not None and tag in if_none_match:
        return Response(status_code=304, headers=headers)
    return Response(held.images.get(frame, width), media_type="image/jpeg", headers=headers)


router.get("/frames/{frame}", response_class=Response, responses=_IMAGE, operation_id="get_frame")(_image)
router.head("/frames/{frame}", response_class=Response, responses=_IMAGE, operation_id="head_frame")(_image)


@router.get("/frames/{frame}/masks", responses=ERRORS)
def get_masks(frame: FrameNumber, held: Held, preview: bool = False) -> FrameMasksResponse:
    """Masks and points on a frame: with preview, what was said there means now; without, what is known already."""
    return frame_masks(held, known_frame(held, frame), is_preview=preview)


def frame_masks(held: OpenSession, frame: int, *, is_preview: bool) -> FrameMasksResponse:
    """All objects and points on a frame."""
    session = held.session
    # One preview of a session at a time: all of its objects' masks are in memory, and no core is left for another one.
    with held.courtesy.first(), held.previewing if is_preview else nullcontext():
        revision = session.revision  # read first: what is newer than it says does no harm
        results = session.preview(frame) if is_preview else session.results(frame)
        return masks_response(frame, revision, results, session.points(frame))


@router.get("/timelines", response_model=TimelinesResponse, responses=ERRORS)
def get_timelines(held: Held) -> Response:
    """Every object over all frames."""
    revision = held.session.revision
    return Response(timelines_text(revision, held.session.timelines()), media_type="application/json")
