"""What routes share: the parts of the server, the session of the request, and the errors that OpenAPI tells of."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias

from fastapi import Depends, Request
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from sampt.web.backends import CachedBackends
from sampt.web.browsers import Browser, Browsers
from sampt.web.open_session import OpenSession, given_bytes
from sampt.web.roots import Roots
from sampt.web.schemas.base import ErrorResponse
from sampt.web.settings import WebSettings
from sampt.web.uploads import Uploads

__all__ = [
    "ERRORS",
    "Held",
    "Parts",
    "Services",
    "check_room_for_mask",
    "check_room_for_object",
    "check_room_for_point",
    "errors",
    "find_cookie",
    "frames_wanted",
    "known_frame",
    "known_object",
]

_FIELDS = {
    400: "A mistake of the user, reported in one line.",
    401: "The token is missing or wrong.",
    403: "The Host or Origin header, or a path, is not allowed.",
    404: "There is no such thing, or this browser has no session.",
    408: "The body did not come in time.",
    409: "Something else is going on that does not go together with this.",
    413: "The body is too large.",
    415: "The type or the ending is not supported.",
    422: "The request is not made as the interface says.",
    429: "Too many at a time; try again later.",
    503: "A limit of the server is reached.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """For a route: the errors that it may respond with, besides those of every route."""
    return {status: {"model": ErrorResponse, "description": _FIELDS[status]} for status in sorted({*statuses, 401, 403})}


ERRORS = errors(400, 404, 408, 409, 413, 422)
"""Of routes that need a session."""


@dataclass(frozen=True)
class Services:
    """The parts of one server."""

    settings: WebSettings
    roots: Roots
    browsers: Browsers
    uploads: Uploads
    backends: CachedBackends

    def find_browser(self, connection: HTTPConnection) -> Browser:
        """Whose request it is; raises HTTPException 404 when it has no session."""
        return self.browsers.find(find_cookie(connection, self.settings))


def find_cookie(connection: HTTPConnection, settings: WebSettings) -> str | None:
    """The cookie that tells browsers apart."""
    return connection.cookies.get(settings.cookie("session"))


def _services(connection: HTTPConnection) -> Services:
    services: Services = connection.app.state.services
    return services


def _held(request: Request) -> Iterator[OpenSession]:
    with _services(request).find_browser(request).use() as held:
        yield held


Parts: TypeAlias = Annotated[Services, Depends(_services)]
Held: TypeAlias = Annotated[OpenSession, Depends(_held, scope="function")]
"""The browser's session, which stays open until the route has returned."""


def known_object(held: OpenSession, object_id: int) -> int:
    """An object's id from a path; raises HTTPException 404 when there is none."""
    if all(o.object_id != object_id for o in held.session.objects):
        raise HTTPException(404, f"There is no object {object_id}; it was deleted, or undone.")
    return object_id


def known_frame(held: OpenSession, frame_idx: int) -> int:
    """A frame from a path; raises HTTPException 404 when the video does not have it."""
    if frame_idx >= held.session.num_frames:
        raise HTTPException(404, f"There is no frame {frame_idx}; the last one is {held.session.num_frames - 1}.")
    return frame_idx


# All of a session is in every response and written at every change, so that each part of it costs something each time.


def check_room_for_object(held: OpenSession) -> None:
    """Refuse one more object than the server's limits allow; raises HTTPException 409."""
    session, limits = held.session, held.limits
    if len(session.objects) >= min(limits.objects, limits.cells // session.num_frames):
        text = f"There are {len(session.objects)} objects already, as many as {session.num_frames} frames may have; remove one."
        raise HTTPException(409, text)


def check_room_for_point(held: OpenSession) -> None:
    """The same of a point."""
    if len(held.session.clicks()) >= held.limits.points:
        raise HTTPException(409, f"There are {held.limits.points} points already; delete some.")


def check_room_for_mask(held: OpenSession) -> None:
    """The same of a given mask, where the limit is one of bytes."""
    if given_bytes(held.session) >= held.limits.given_bytes:
        raise HTTPException(409, f"The given masks have {held.limits.given_bytes} bytes already; take some away.")


def frames_wanted(held: OpenSession, start: int | None, stop: int | None) -> range:
    """Frames of a request's body; raises HTTPException 400 when they are none of the video."""
    num_frames = held.session.num_frames
    frames = range(0 if start is None else start, num_frames if stop is None else stop)
    if not 0 <= frames.start < frames.stop <= num_frames:
        raise HTTPException(400, f"Frames {frames.start} to {frames.stop} were requested; expected some of 0 to {num_frames}.")
    return frames
