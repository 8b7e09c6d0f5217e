"""The application on a socket, until somebody ends it."""

from __future__ import annotations

import contextlib
import socket

import uvicorn

from sampt.web.app import create_app
from sampt.web.settings import WebSettings

__all__ = ["serve"]

_END_S = 5


def serve(settings: WebSettings, bound: socket.socket) -> None:
    """Serve on a listening socket until SIGINT or SIGTERM; sessions are closed then."""
    config = uvicorn.Config(
        create_app(settings),
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        lifespan="on",
        ws="websockets-sansio",
        ws_max_size=settings.limits.message_bytes,
        ws_per_message_deflate=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=_END_S,
    )
    with contextlib.suppress(KeyboardInterrupt):  # uvicorn has ended in order, and raises the signal again
        uvicorn.Server(config).run(sockets=[bound])
