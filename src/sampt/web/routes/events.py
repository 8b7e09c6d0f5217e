"""The event stream of a session, and what pages request on it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Awaitable, Callable

import anyio
import anyio.to_thread
from fastapi import APIRouter, WebSocket
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.websockets import WebSocketDisconnect, WebSocketState

from sampt.errors import SamptError
from sampt.web.browsers import Browser
from sampt.web.dependencies import Services, known_frame
from sampt.web.events import Subscriber
from sampt.web.routes.frames import frame_masks
from sampt.web.schemas.stream import (
    CancelMessage,
    ErrorEvent,
    HelloEvent,
    PingMessage,
    PongEvent,
    PreviewEvent,
    PreviewMessage,
    WatchMessage,
    parse_message,
)
from sampt.web.settings import Limits
from sampt.web.tasks import UNEXPECTED

__all__ = ["router"]

_LOG = logging.getLogger(__name__)

router = APIRouter()

_TOO_MUCH = 1008
_TOO_LARGE = 1009
_ENDED = 1000
_FAILED = 1011


@router.websocket("/session/events")
async def events(socket: WebSocket) -> None:
    """What happens in this browser's session; the description of the interface tells the messages."""
    services: Services = socket.app.state.services
    await socket.accept()
    try:
        browser = services.find_browser(socket)
        with browser.use() as held:
            revision = held.session.revision
        if len(browser.hub) >= services.settings.limits.streams:
            raise HTTPException(429, f"There are {len(browser.hub)} open streams already; close one.")
    except HTTPException as error:
        await socket.send_text(ErrorEvent(request=None, message=error.detail).model_dump_json())
        await socket.close(_TOO_MUCH)
        return
    subscriber = Subscriber(asyncio.get_running_loop())
    subscriber.reply(HelloEvent(revision=revision))
    browser.hub.add(subscriber)
    stream = _Stream(socket, browser, subscriber, services)
    try:
        await stream.run()
    finally:
        browser.hub.remove(subscriber)


class _Stream:
    """One open stream: a task that sends, one that sends previews, one that takes messages."""

    def __init__(self, socket: WebSocket, browser: Browser, subscriber: Subscriber, services: Services) -> None:
        self._socket, self._browser, self._subscriber, self._services = socket, browser, subscriber, services
        self._rate = _Rate(services.settings.limits)
        self._preview: PreviewMessage | None = None
        self._has_preview = asyncio.Event()
        self._code: int | None = None

    async def run(self) -> None:
        """Until one of the three ends."""
        async with anyio.create_task_group() as group:
            for work in (self._send_all, self._send_previews, self._take_all):
                group.start_soon(self._until_end, work, group.cancel_scope)
        if self._code is not None and self._socket.application_state is WebSocketState.CONNECTED:
            with contextlib.suppress(RuntimeError, WebSocketDisconnect):  # it was closed meanwhile
                await self._socket.close(self._code)

    async def _until_end(self, work: Callable[[], Awaitable[int | None]], others: anyio.CancelScope) -> None:
        try:
            self._code = await work()
        except (WebSocketDisconnect, RuntimeError):  # the page has gone
            self._code = None
        except Exception:
            _LOG.exception("An event stream failed")
            self._code = _FAILED
        others.cancel()

    async def _send_all(self) -> int:
        while (text := await self._subscriber.next()) is not None:
            await self._socket.send_text(text)
        return _TOO_MUCH if self._subscriber.is_full else _ENDED

    async def _take_all(self) -> int | None:
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return None
            text: str | None = message.get("text")
            data: bytes = message.get("bytes") or b"" if text is None else text.encode("utf-8", "replace")
            if len(data) > self._rate.message_bytes:
                return _TOO_LARGE
            if not self._rate.allows():
                return _TOO_MUCH
            await self._take(data)

    async def _take(self, data: bytes) -> None:
        try:
            said = parse_message(json.loads(data))
        except (ValidationError, ValueError, RecursionError):
            self._refuse(_find_request(data), "The message is none of this stream; expected preview, watch, cancel or ping.")
            return
        if isinstance(said, PingMessage):
            self._subscriber.reply(PongEvent())
        elif isinstance(said, WatchMessage):
            self._subscriber.wants_frames = said.frames == "all"
        elif isinstance(said, CancelMessage):
            await anyio.to_thread.run_sync(self._cancel)
        else:
            if self._preview is not None:
                self._refuse(self._preview.request, "A newer preview has replaced this one.")
            self._preview = said
            self._has_preview.set()

    def _cancel(self) -> None:
        try:
            with self._browser.use() as held:
                held.cancel()
        except HTTPException as error:
            self._refuse(None, error.detail)

    async def _send_previews(self) -> int | None:
        while True:
            await self._has_preview.wait()
            self._has_preview.clear()
            message, self._preview = self._preview, None
            if message is not None:
                await anyio.to_thread.run_sync(self._send_preview, message)

    def _send_preview(self, message: PreviewMessage) -> None:
        try:
            with self._browser.use() as held:
                found = frame_masks(held, known_frame(held, message.frame), is_preview=True)
            self._subscriber.reply(PreviewEvent(request=message.request, **dict(found)))
        except HTTPException as error:
            self._refuse(message.request, error.detail)
        except SamptError as error:
            self._refuse(message.request, self._services.roots.message(str(error)))
        except Exception:
            _LOG.exception("A preview failed")
            self._refuse(message.request, UNEXPECTED)

    def _refuse(self, request: int | None, message: str) -> None:
        self._subscriber.reply(ErrorEvent(request=request, message=message))


class _Rate:
    """A bucket that fills with the messages that are allowed."""

    def __init__(self, limits: Limits) -> None:
        self.message_bytes = limits.message_bytes
        self._a_second = self._left = limits.messages_a_s
        self._last_s = time.monotonic()

    def allows(self) -> bool:
        now = time.monotonic()
        self._left = min(self._a_second, self._left + (now - self._last_s) * self._a_second) - 1
        self._last_s = now
        return self._left >= 0


def _find_request(data: bytes) -> int | None:
    """The number of the request in a message that is otherwise wrong."""
    try:
        content = json.loads(data)
        request = content.get("request") if isinstance(content, dict) else None
    except (ValueError, RecursionError):
        return None
    return request if type(request) is int and abs(request) <= 2**53 else None
