"""Connections: how many there may be, and how long one may keep the server waiting.

uvicorn limits neither the time for a request's headers nor that for fetching a response, and closes no connection for a newer
one. Whoever opens sockets and says nothing, for which no token is needed, would lock everybody out.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any, cast

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import Frame

from sampt.web.addresses import find_client
from sampt.web.settings import Limits

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]

__all__ = ["BACKLOG", "Connection", "Door", "DoorConfig", "HttpConnection", "SocketConnection", "num_allowed"]

BACKLOG = 64
"""Connections that asyncio accepts before any of them is counted."""
_RESERVE = BACKLOG + 64
"""Files that connections leave free: for those just accepted, and for videos, journals and exports."""
_FEWEST = 8
_SWEEP_S = 1.0
_MAX_UNSENT_BYTES = 1 << 20
"""Of responses to a WebSocket's own pings, which nothing holds back."""
_MAX_PARTS = 1024
"""Of a WebSocket's message."""
_FULL = (
    b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\nconnection: close\r\nretry-after: 5\r\n\r\n"
    b'{"error": "There are too many connections; close some, or try again later."}'
)


def num_allowed(wanted: int) -> int:
    """Connections that the operating system's limit of open files leaves room for, ``wanted`` at most."""
    if resource is None:
        return wanted
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return wanted if files == resource.RLIM_INFINITY else min(wanted, max(_FEWEST, files - _RESERVE))


class Connection:
    """What the door knows of one connection.

    Attributes:
        client: as :func:`find_client` names it.
        is_idle: no request is being worked on; it may be ended for a newer connection.
        due_s: when the headers that are awaited have to be complete; None while none are.
    """

    def __init__(self, transport: asyncio.Transport, is_idle: bool, due_s: float | None) -> None:
        self.transport, self.is_idle, self.due_s = transport, is_idle, due_s
        peer = transport.get_extra_info("peername")
        self.client = find_client(peer[0] if isinstance(peer, tuple) else None)
        self._unsent = 0
        self._patience_s: float | None = None

    def is_stuck(self, passed_s: float, limits: Limits) -> bool:
        """Whether the client leaves what was written where it is; to be called regularly.

        Args:
            passed_s: since it was called last.
            limits: of the server. Bytes that were fetched earn time.
        """
        unsent = self.transport.get_write_buffer_size()
        fetched, self._unsent = max(self._unsent - unsent, 0), unsent
        if not unsent or self._patience_s is None:
            self._patience_s = limits.wait_s
        else:
            self._patience_s = min(limits.wait_s, self._patience_s - passed_s + fetched / limits.bytes_a_s)
        return self._patience_s < 0


class Door:
    """All connections of one server. Used in the event loop's thread alone.

    A connection is idle until a request's headers are complete and after its response is. When there are too many, of one
    client or in all, the oldest idle one of the client that has most is ended for the new one; when none is idle, the new one
    is refused.
    """

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._limit = num_allowed(limits.connections)
        self._max_per_client = min(limits.connections_a_client, self._limit)
        self._inside: dict[Connection, None] = {}
        self._last_s = 0.0
        self._timer: asyncio.TimerHandle | None = None

    def __len__(self) -> int:
        return len(self._inside)

    @property
    def inside(self) -> tuple[Connection, ...]:
        """Those that there are, the oldest first."""
        return tuple(self._inside)

    def enter(self, transport: asyncio.Transport, *, is_idle: bool = True) -> Connection | None:
        """A connection has been made; None: it is one too many."""
        loop = asyncio.get_running_loop()
        made = Connection(transport, is_idle, loop.time() + self.limits.header_s if is_idle else None)
        numbers = Counter(c.client for c in self._inside)
        if numbers[made.client] >= self._max_per_client:
            has_room = self._end_oldest(made.client)
        elif len(self._inside) >= self._limit:
            has_room = any(self._end_oldest(client) for client, _ in numbers.most_common())
        else:
            has_room = True
        if not has_room:
            return None
        self._inside[made] = None
        if self._timer is None:
            self._last_s = loop.time()
            self._wait(loop)
        return made

    def leave(self, connection: Connection | None) -> None:
        """It is closed, or somebody else's."""
        if connection is not None:
            self._inside.pop(connection, None)

    def _end_oldest(self, client: str) -> bool:
        for connection in self._inside:  # in the order in which they came
            if connection.is_idle and connection.client == client:
                self._end(connection)
                return True
        return False

    def _end(self, connection: Connection) -> None:
        self.leave(connection)
        connection.transport.abort()

    def _wait(self, loop: asyncio.AbstractEventLoop) -> None:
        period_s = min(_SWEEP_S, self.limits.header_s / 4, self.limits.wait_s / 4)
        self._timer = loop.call_later(period_s, self._sweep, loop)

    def _sweep(self, loop: asyncio.AbstractEventLoop) -> None:
        """End those whose time is over."""
        now = loop.time()
        passed_s, self._last_s = now - self._last_s, now
        for connection in list(self._inside):
            is_late = connection.due_s is not None and now > connection.due_s
            if connection.is_stuck(passed_s, self.limits) or is_late:
                self._end(connection)
        self._timer = None
        if self._inside:
            self._wait(loop)


class DoorConfig(uvicorn.Config):
    """uvicorn's settings, and the door."""

    def __init__(self, app: Any, door: Door, **settings: Any) -> None:
        super().__init__(app, http=HttpConnection, ws=SocketConnection, backlog=BACKLOG, **settings)
        self.door = door


class HttpConnection(H11Protocol):
    """uvicorn's HTTP, which tells the door when it works and when it waits."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **keywords: Any) -> None:
        super().__init__(config, *arguments, **keywords)
        self._door = cast(DoorConfig, config).door
        self._here: Connection | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._here = self._door.enter(transport)
        if self._here is None:
            transport.write(_FULL)
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self._here)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._here is None:
            return
        super().data_received(data)
        self._note(has_data=True)

    def on_response_complete(self) -> None:
        super().on_response_complete()
        self._note(has_data=False)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        self._door.leave(self._here)
        super().handle_websocket_upgrade(event)

    def _note(self, *, has_data: bool) -> None:
        """Headers are awaited from their first byte on; before, uvicorn's own time limit of silence counts.

        What comes after a response is the rest of a body that nobody read, or the beginning of the next headers: the time is
        the same, and is not begun anew by each byte.
        """
        here = self._here
        if here is None:
            return
        here.is_idle = self.cycle is None or self.cycle.response_complete
        if not here.is_idle or not has_data:
            here.due_s = None
        elif here.due_s is None:
            here.due_s = self.loop.time() + self._door.limits.header_s


class SocketConnection(WebSocketsSansIOProtocol):
    """uvicorn's WebSocket, known to the door. Silent ones end by uvicorn's pings."""

    def __init__(self, config: uvicorn.Config, *arguments: Any, **keywords: Any) -> None:
        super().__init__(config, *arguments, **keywords)
        self._door = cast(DoorConfig, config).door
        self._here: Connection | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._here = self._door.enter(cast(asyncio.Transport, transport), is_idle=False)
        if self._here is None:  # another connection has replaced the request that this was
            transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        self._door.leave(self._here)
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.transport.get_write_buffer_size() > _MAX_UNSENT_BYTES:
            self.transport.abort()

    def handle_cont(self, event: Frame) -> None:
        """A message may come in parts, but not in endless empty ones, which its size does not limit."""
        super().handle_cont(event)
        if len(self.frames) > _MAX_PARTS:
            self.transport.abort()
