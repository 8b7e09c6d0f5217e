"""The event stream: what happened, to every page of a browser; a slow page misses images in between and costs no memory."""

from __future__ import annotations

import asyncio
import threading
from collections import OrderedDict, deque

from sampt.web.schemas.stream import ExportEvent, FrameEvent, SessionEvent

__all__ = ["EventHub", "Subscriber"]

_MAX_FRAMES = 32
_MAX_REPLIES = 512
_MAX_CHARS = 32 << 20
"""Of the frames that wait, and of the replies; one more than that is kept, however long it is."""


class Subscriber:
    """One open stream: messages that wait to be sent.

    Replies to the page's own messages are kept in order; of the state only the newest; of frames the newest few.

    Attributes:
        wants_frames: whether masks of propagated frames are sent.
        is_full: replies were not fetched; the stream is to be closed.
        is_over: nothing more is to come.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop, self._wake = loop, asyncio.Event()
        self._lock = threading.Lock()
        self._replies: deque[str] = deque()
        self._latest: OrderedDict[object, str] = OrderedDict()
        self._frames: OrderedDict[object, str] = OrderedDict()
        self._reply_chars = self._frame_chars = 0
        self.wants_frames, self.is_full, self.is_over = True, False, False

    def reply(self, message: SessionEvent) -> None:
        """A response to the page's own message; from any thread."""
        with self._lock:
            if len(self._replies) < _MAX_REPLIES and self._reply_chars <= _MAX_CHARS:
                text = message.model_dump_json()
                self._replies.append(text)
                self._reply_chars += len(text)
            else:
                self.is_full = True
        self._awaken()

    def offer(self, message: SessionEvent, text: str) -> None:
        """Something that happened; from any thread."""
        with self._lock:
            if isinstance(message, FrameEvent):
                if not self.wants_frames:
                    return
                key = (message.frame, *(o.object_id for o in message.objects))
                self._frame_chars += len(text) - len(self._frames.get(key, ""))
                self._frames[key] = text
                while len(self._frames) > _MAX_FRAMES or (len(self._frames) > 1 and self._frame_chars > _MAX_CHARS):
                    self._pop_frame()
            else:
                kind = (message.type, message.export_id if isinstance(message, ExportEvent) else None)
                self._latest.pop(kind, None)
                self._latest[kind] = text
        self._awaken()

    def end(self) -> None:
        """Nothing more is to come; from any thread."""
        with self._lock:
            self.is_over = True
        self._awaken()

    async def next(self) -> str | None:
        """The next message, replies first; None when the stream is to be closed."""
        while True:
            with self._lock:
                if self.is_full:
                    return None
                if self._replies:
                    reply = self._replies.popleft()
                    self._reply_chars -= len(reply)
                    return reply
                if self._latest:
                    return self._latest.popitem(last=False)[1]
                if self._frames:
                    return self._pop_frame()
                if self.is_over:
                    return None
                self._wake.clear()
            await self._wake.wait()

    def _pop_frame(self) -> str:
        text = self._frames.popitem(last=False)[1]
        self._frame_chars -= len(text)
        return text

    def _awaken(self) -> None:
        if not self._wake.is_set():
            try:
                self._loop.call_soon_threadsafe(self._wake.set)
            except RuntimeError:  # the loop is closed: the server has ended
                return


class EventHub:
    """The open streams of one browser. All methods are for any thread."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._subscribers: tuple[Subscriber, ...] = ()

    def __len__(self) -> int:
        return len(self._subscribers)

    def add(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)

    def remove(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = tuple(s for s in self._subscribers if s is not subscriber)

    @property
    def wants_frames(self) -> bool:
        """Whether a stream shows masks as they come."""
        return any(s.wants_frames for s in self._subscribers)

    def publish(self, message: SessionEvent) -> None:
        """Tell all streams."""
        if self._subscribers:
            text = message.model_dump_json()
            for subscriber in self._subscribers:
                subscriber.offer(message, text)

    def close(self) -> None:
        """End all streams."""
        for subscriber in self._subscribers:
            subscriber.end()
