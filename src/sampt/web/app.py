"""The server as an ASGI application: routes, errors as one line, the page, and an orderly end."""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio.to_thread
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, Response
from fastapi.staticfiles import StaticFiles
from fastapi.telemetry import TelemetryConfig
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from sampt import __version__
from sampt.errors import FolderBusyError, SamptError
from sampt.web.backends import CachedBackends
from sampt.web.browsers import Browsers, ProjectTakenError
from sampt.web.dependencies import Services
from sampt.web.roots import Roots
from sampt.web.routes import events, files, frames, session, suggestions, tasks
from sampt.web.schemas.stream import component_schemas
from sampt.web.security import API, Guard
from sampt.web.settings import WebSettings
from sampt.web.uploads import Uploads

__all__ = ["create_app"]

_LOG = logging.getLogger(__name__)
_STATIC = Path(__file__).parent / "static"
_NO_TELEMETRY: TelemetryConfig = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}
"""Nothing is reported to whom FastAPI would find in the environment: a page of this machine contacts no other host."""
_ABOUT = """\
Sessions of interactive video object segmentation: one for each browser or script, known by the cookie that POST /session sets.
Coordinates are pixels of the video; (0, 0) is the centre of the top-left pixel. Masks are COCO's compressed run lengths. Paths
are ROOT/folder/file, as GET /files lists them. Errors are {"error": "one line"}. Where a token is needed, scripts send
Authorization: Bearer TOKEN.

The WebSocket /api/v1/session/events sends messages of the schema SessionEvent and takes those of SessionMessage.
"""


def create_app(settings: WebSettings) -> FastAPI:
    """The application of a server.

    Its parts are in ``app.state.services``; all sessions are closed when the server ends in order.
    """
    services = _services(settings)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        # A thread for each connection: no number of slow requests keeps others waiting for one.
        threads = anyio.to_thread.current_default_thread_limiter()
        threads.total_tokens = max(threads.total_tokens, settings.limits.connections)
        services.browsers.start()
        yield
        await anyio.to_thread.run_sync(services.browsers.close)

    app = _Guarded(
        settings,
        title="sampt",
        version=__version__,
        description=_ABOUT,
        openapi_url=f"{API}/openapi.json",
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
        lifespan=lifespan,
    )
    app.state.services = services
    for module in (files, session, frames, suggestions, tasks, events):
        app.include_router(module.router, prefix=API)
    _add_page(app)
    _add_errors(app, services.roots)
    return app


class _Guarded(FastAPI):
    """Behind the guard is everything, FastAPI's own responses too."""

    def __init__(self, settings: WebSettings, **keywords: Any) -> None:
        self._settings = settings
        super().__init__(**keywords)

    def openapi(self) -> dict[str, Any]:
        """The document, with the schemas of the event stream, which has no section of its own in OpenAPI."""
        document = super().openapi()
        schemas = document["components"]["schemas"]
        document["components"]["schemas"] = dict(sorted({**component_schemas(), **schemas}.items()))
        return document

    def build_middleware_stack(self) -> ASGIApp:
        return Guard(super().build_middleware_stack(), self._settings)


def _services(settings: WebSettings) -> Services:
    uploads, projects = settings.work / "uploads", settings.work / "projects"
    for folder in (uploads, projects):
        folder.mkdir(parents=True, exist_ok=True)
    named = {**settings.roots, "uploads": uploads, "projects": projects}
    roots = Roots(named, hidden=[settings.work, Path.home()])
    browsers = Browsers(settings, roots)
    return Services(
        settings, roots, browsers, Uploads(uploads, roots, settings.limits), CachedBackends(settings.backends, settings.config)
    )


def _add_page(app: FastAPI) -> None:
    async def page() -> FileResponse:
        return FileResponse(_STATIC / "index.html", headers={"cache-control": "no-cache"})

    app.add_api_route("/", page, methods=["GET", "HEAD"], include_in_schema=False)
    app.mount("/static", _Static(directory=_STATIC, check_dir=False), name="static")


class _Static(StaticFiles):
    """The page's files, requested again at every load, so that an update is seen."""

    def file_response(self, *arguments: Any, **keywords: Any) -> Response:
        response = super().file_response(*arguments, **keywords)
        response.headers["cache-control"] = "no-cache"
        return response


class _Line(Response):
    """An error as the interface tells it; every character that JSON cannot hold is escaped."""

    media_type = "application/json"

    def __init__(self, content: Any, *arguments: Any, can_take_over: bool = False, **keywords: Any) -> None:
        self._can_take_over = can_take_over
        super().__init__(content, *arguments, **keywords)

    def render(self, content: Any) -> bytes:
        more = {"can_take_over": True} if self._can_take_over else {}
        return json.dumps({"error": content, **more}).encode("ascii")


def _add_errors(app: FastAPI, roots: Roots) -> None:
    async def http_error(_: Request, error: HTTPException) -> Response:
        headers = None if error.headers is None else dict(error.headers)
        can_take_over = isinstance(error, ProjectTakenError)
        return _Line(roots.message(str(error.detail)), error.status_code, headers, can_take_over=can_take_over)

    async def user_error(_: Request, error: SamptError) -> Response:
        is_busy = isinstance(error, FolderBusyError) or type(error).__name__.startswith("SessionBusy")
        return _Line(roots.message(str(error)), 409 if is_busy else 400)

    async def wrong_request(_: Request, error: RequestValidationError) -> Response:
        return _Line(roots.message(_describe(error)), 422)

    async def disk_error(_: Request, error: OSError) -> Response:
        _LOG.warning("A file could not be used", exc_info=error)
        return _Line(f"A file or folder cannot be used ({error.strerror}); check its permissions and the disk.", 400)

    async def gone(_: Request, error: ClientDisconnect) -> Response:
        return _Line("The client has closed the connection.", 400)  # nobody reads it

    async def unexpected(_: Request, error: Exception) -> Response:
        return _Line("An unexpected error in the server; its log says more.", 500)

    app.add_exception_handler(HTTPException, http_error)  # type: ignore[arg-type]
    app.add_exception_handler(SamptError, user_error)  # type: ignore[arg-type]
    app.add_exception_handler(RequestValidationError, wrong_request)  # type: ignore[arg-type]
    app.add_exception_handler(ClientDisconnect, gone)  # type: ignore[arg-type]
    app.add_exception_handler(OSError, disk_error)  # type: ignore[arg-type]
    app.add_exception_handler(Exception, unexpected)


def _describe(error: RequestValidationError) -> str:
    """The first mistake, and how many there are."""
    found = error.errors()
    first = found[0] if found else {"loc": (), "msg": "it cannot be read"}
    location = ".".join(str(part) for part in first["loc"]) or "the request"
    more = f" (and {len(found) - 1} more mistakes)" if len(found) > 1 else ""
    return f"{location}: {str(first['msg']).rstrip('.')}{more}."
