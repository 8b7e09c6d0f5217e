"""Routes that open a session and change what was said in it."""

from __future__ import annotations

from typing import Annotated

import anyio.to_thread
from fastapi import APIRouter, Path, Request, Response
from starlette.exceptions import HTTPException

from sampt.web.bodies import media_type
from sampt.web.dependencies import (
    ERRORS,
    Held,
    Parts,
    check_room_for_mask,
    check_room_for_object,
    check_room_for_point,
    errors,
    find_cookie,
    known_frame,
    known_object,
)
from sampt.web.given_masks import mask_from
from sampt.web.open_session import OpenSession
from sampt.web.opening import Wanted
from sampt.web.responses import object_model, point_model
from sampt.web.schemas.base import RleMask
from sampt.web.schemas.session import (
    BoxUpdate,
    ObjectCreate,
    ObjectCreateResponse,
    ObjectUpdate,
    OpenRequest,
    PointCreate,
    PointCreateResponse,
    PointUpdate,
    PolygonCreate,
    SessionResponse,
    StrokeCreate,
)
from sampt.web.session_response import session_response

__all__ = ["router"]

router = APIRouter(tags=["session"], prefix="/session")

_COOKIE_S = 30 * 24 * 3600
ObjectId = Annotated[int, Path(ge=1, lt=2**31)]
FrameNumber = Annotated[int, Path(ge=0, lt=2**31)]
PointId = Annotated[int, Path(ge=1, lt=2**31)]


@router.post("", status_code=201, responses=errors(400, 404, 408, 409, 413, 422, 503))
def open_session(wanted: OpenRequest, request: Request, response: Response, parts: Parts) -> SessionResponse:
    """Open a video or a project; it replaces the session that this browser has. The response sets a cookie."""
    settings = parts.settings
    found = Wanted(wanted.video, wanted.project, parts.roots, settings, parts.backends, wanted.longest_side)
    cookie = find_cookie(request, settings)
    key, browser = parts.browsers.open(cookie, found.open, found.project, take_over=wanted.take_over)
    response.set_cookie(settings.cookie("session"), key, max_age=_COOKIE_S, path="/", httponly=True, samesite="strict")
    with browser.use() as held:
        held.notify_changed()
        return session_response(held)


@router.get("", responses=ERRORS)
def get_state(held: Held) -> SessionResponse:
    """All of the session but its masks."""
    return session_response(held)


@router.delete("", status_code=204, responses=ERRORS)
def close_session(request: Request, response: Response, parts: Parts) -> None:
    """Close the session; what was said and found stays in its project."""
    parts.browsers.leave(find_cookie(request, parts.settings))
    response.delete_cookie(parts.settings.cookie("session"), path="/", httponly=True, samesite="strict")


@router.post("/undo", responses=ERRORS)
def undo(held: Held) -> SessionResponse:
    """Take back the last change; nothing happens when there is none."""
    held.session.undo()
    return _publish_change(held)


@router.post("/redo", responses=ERRORS)
def redo(held: Held) -> SessionResponse:
    """Do again what was taken back last; nothing happens when there is nothing."""
    held.session.redo()
    return _publish_change(held)


@router.post("/objects", status_code=201, responses=ERRORS)
def add_object(wanted: ObjectCreate, held: Held) -> ObjectCreateResponse:
    """Add an object."""
    check_room_for_object(held)
    made = held.session.add_object(wanted.name, _rgb(wanted.color))
    return ObjectCreateResponse(object=object_model(made), state=_publish_change(held))


@router.patch("/objects/{object_id}", responses=ERRORS)
def update_object(object_id: ObjectId, wanted: ObjectUpdate, held: Held) -> SessionResponse:
    """Rename, recolour, hide or lock an object; what is left out stays as it is."""
    held.session.update_object(
        known_object(held, object_id),
        name=wanted.name,
        color_rgb=_rgb(wanted.color),
        is_hidden=wanted.is_hidden,
        is_locked=wanted.is_locked,
    )
    return _publish_change(held)


@router.delete("/objects/{object_id}", responses=ERRORS)
def remove_object(object_id: ObjectId, held: Held) -> SessionResponse:
    """Remove an object with all that was said about it."""
    held.session.remove_object(known_object(held, object_id))
    return _publish_change(held)


@router.post("/points", status_code=201, responses=ERRORS)
def add_point(wanted: PointCreate, held: Held) -> PointCreateResponse:
    """Click on a frame: on the object (positive) or off it."""
    check_room_for_point(held)
    with held.courtesy.first():
        made = held.session.add_point(wanted.object_id, wanted.frame, (wanted.x, wanted.y), wanted.is_positive)
    return PointCreateResponse(point=point_model(made), state=_publish_change(held))


@router.patch("/points/{point_id}", responses=ERRORS)
def move_point(point_id: PointId, wanted: PointUpdate, held: Held) -> SessionResponse:
    """Move a click on its frame."""
    held.session.move_point(_known_point(held, point_id), (wanted.x, wanted.y))
    return _publish_change(held)


@router.delete("/points/{point_id}", responses=ERRORS)
def delete_point(point_id: PointId, held: Held) -> SessionResponse:
    """Delete a click."""
    held.session.delete_point(_known_point(held, point_id))
    return _publish_change(held)


@router.post("/objects/{object_id}/frames/{frame}/whole-change", responses=ERRORS)
def take_whole_change(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Take over all that the last click there changes, also far from it: what ``whole_rle`` of the frame's masks shows."""
    held.session.take_whole_change(known_object(held, object_id), known_frame(held, frame))
    return _publish_change(held)


@router.post("/objects/{object_id}/frames/{frame}/clicks-alone", responses=ERRORS)
def use_clicks_alone(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Start anew on a frame from the clicks there: what was propagated to it does not count any more."""
    held.session.use_clicks_alone(known_object(held, object_id), known_frame(held, frame))
    return _publish_change(held)


@router.put("/objects/{object_id}/frames/{frame}/reviewed", responses=ERRORS)
def mark_reviewed(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Mark the object's result on a frame good: it stays, whatever is said on other frames."""
    held.session.set_reviewed(known_object(held, object_id), known_frame(held, frame))
    return _publish_change(held)


@router.delete("/objects/{object_id}/frames/{frame}/reviewed", responses=ERRORS)
def unmark_reviewed(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Take that mark away."""
    held.session.set_reviewed(known_object(held, object_id), known_frame(held, frame), False)
    return _publish_change(held)


@router.put("/objects/{object_id}/frames/{frame}/box", responses=ERRORS)
def set_box(object_id: ObjectId, frame: FrameNumber, box: BoxUpdate, held: Held) -> SessionResponse:
    """Give the object's box on a frame."""
    corners = (box.x0, box.y0, box.x1, box.y1)
    held.session.set_box(known_object(held, object_id), known_frame(held, frame), corners)
    return _publish_change(held)


@router.delete("/objects/{object_id}/frames/{frame}/box", responses=ERRORS)
def delete_box(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Take the object's box on a frame away."""
    held.session.set_box(known_object(held, object_id), known_frame(held, frame), None)
    return _publish_change(held)


_MASK_BODY = {
    "requestBody": {
        "required": True,
        "content": {
            "image/png": {"schema": {"type": "string", "format": "binary"}},
            "application/json": {"schema": RleMask.model_json_schema()},
        },
    }
}


@router.put(
    "/objects/{object_id}/frames/{frame}/mask",
    responses={**ERRORS, **errors(415, 429)},
    openapi_extra=_MASK_BODY,
)
async def set_mask(object_id: ObjectId, frame: FrameNumber, request: Request, parts: Parts) -> SessionResponse:
    """Give the object's mask on a frame: a PNG of the video's size, in which whatever is found of any object (docs/queries.md)
    belongs to this one, or an RLE."""
    kind = media_type(request.headers)
    browser = parts.find_browser(request)  # before the body is read

    def work(data: bytes) -> SessionResponse:
        with browser.use() as held:
            known_object(held, object_id)
            known_frame(held, frame)
            check_room_for_mask(held)
            held.session.set_mask(object_id, frame, mask_from(kind, data, held.session.size_hw))
            return _publish_change(held)

    with browser.sending_mask():
        return await anyio.to_thread.run_sync(work, await request.body())


@router.delete("/objects/{object_id}/frames/{frame}/mask", responses=ERRORS)
def delete_mask(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Take the object's mask on a frame away."""
    held.session.set_mask(known_object(held, object_id), known_frame(held, frame), None)
    return _publish_change(held)


@router.post("/objects/{object_id}/frames/{frame}/strokes", responses=ERRORS)
def paint(object_id: ObjectId, frame: FrameNumber, stroke: StrokeCreate, held: Held) -> SessionResponse:
    """Paint on the mask that is shown on a frame, or erase: the pixels whose centres are no farther than ``radius`` from the
    line through the points. The rest of the mask stays; on a frame without one it begins."""
    check_room_for_mask(held)
    with held.courtesy.first():
        held.session.paint(
            known_object(held, object_id), known_frame(held, frame), stroke.xy, stroke.radius, is_erasing=stroke.is_erasing
        )
    return _publish_change(held)


@router.post("/objects/{object_id}/frames/{frame}/polygons", responses=ERRORS)
def fill_polygon(object_id: ObjectId, frame: FrameNumber, polygon: PolygonCreate, held: Held) -> SessionResponse:
    """Add a polygon to the mask that is shown on a frame, or cut it away: the pixels whose centres lie in it (even-odd)."""
    check_room_for_mask(held)
    with held.courtesy.first():
        held.session.fill_polygon(known_object(held, object_id), known_frame(held, frame), polygon.xy, is_cut=polygon.is_cut)
    return _publish_change(held)


@router.put("/objects/{object_id}/frames/{frame}/absent", responses=ERRORS)
def mark_absent(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Say that the object is not there from a frame on, until a later frame has a positive click, a box or a mask."""
    held.session.set_absent(known_object(held, object_id), known_frame(held, frame))
    return _publish_change(held)


@router.delete("/objects/{object_id}/frames/{frame}/absent", responses=ERRORS)
def unmark_absent(object_id: ObjectId, frame: FrameNumber, held: Held) -> SessionResponse:
    """Take away what makes the object absent on a frame, from wherever on it was said."""
    held.session.set_absent(known_object(held, object_id), known_frame(held, frame), False)
    return _publish_change(held)


def _publish_change(held: OpenSession) -> SessionResponse:
    held.notify_changed()
    return session_response(held)


def _known_point(held: OpenSession, point_id: int) -> int:
    if all(c.point_id != point_id for c in held.session.clicks()):
        raise HTTPException(404, f"There is no point {point_id}; it was deleted, or undone.")
    return point_id


def _rgb(color: str | None) -> tuple[int, int, int] | None:
    return None if color is None else (int(color[1:3], 16), int(color[3:5], 16), int(color[5:7], 16))
