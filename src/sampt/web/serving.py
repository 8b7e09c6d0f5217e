"""The application on a socket, until somebody ends it."""

from __future__ import annotations

import contextlib
import socket

import uvicorn

from sampt.web.app import create_app
from sampt.web.connections import Door, DoorConfig
from sampt.web.settings import WebSettings

__all__ = ["make_server", "serve"]

_END_S = 5


def make_server(settings: WebSettings) -> uvicorn.Server:
    """The server with all its limits; it is not running yet."""
    return uvicorn.Server(
        DoorConfig(
            create_app(settings),
            Door(settings.limits),
            log_config=None,
            log_level="warning",
            access_log=False,
            server_header=False,
            lifespan="on",
            ws_max_size=settings.limits.message_bytes,
            ws_per_message_deflate=False,
            timeout_keep_alive=settings.limits.keep_alive_s,
            timeout_graceful_shutdown=_END_S,
        )
    )


def serve(settings: WebSettings, bound: socket.socket) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM; sessions are closed then."""
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has ended in order, and raises the signal again
        make_server(settings).run(sockets=[bound])
