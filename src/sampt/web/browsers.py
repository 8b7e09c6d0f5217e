"""One session a browser: opened, shared by its requests, closed when it is replaced, idle, or the server ends."""

from __future__ import annotations

import ctypes
import logging
import os
import secrets
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from starlette.exceptions import HTTPException

from sampt.errors import SamptError
from sampt.session.project import PROJECT_NAME, SUFFIX, read_project
from sampt.session.session import Session
from sampt.web.events import EventHub
from sampt.web.open_session import OpenSession
from sampt.web.roots import Roots
from sampt.web.schemas.stream import TakenEvent
from sampt.web.settings import WebSettings

__all__ = ["Browser", "Browsers", "ProjectTakenError", "project_for", "projects_of_name"]

_LOG = logging.getLogger(__name__)
_NO_SESSION = "No video is open in this browser; open one, or its project."
_DRAIN_S = 30.0
_MAX_OF_A_NAME = 100
_MIN_IDLE_S = 60.0
"""A session without a page may be closed for another one after that time."""
_QUERY_LIMITED_INFORMATION, _ACCESS_DENIED, _STILL_ACTIVE = 0x1000, 5, 259
"""Of Windows' OpenProcess and GetExitCodeProcess."""


class ProjectTakenError(HTTPException):
    """The project is open in another browser of this server, which may be taken over."""

    def __init__(self, project: str) -> None:
        super().__init__(409, f"The project {project} is open in another browser; close it there, or take it over here.")


class Browser:
    """One browser, or one script, known by its cookie. Its session may be replaced; its event streams go on.

    Attributes:
        hub: its event streams.
        last_s: when its last request came.
    """

    def __init__(self) -> None:
        self.hub = EventHub()
        self.last_s = time.monotonic()
        self.opening = threading.Lock()
        self._mask = threading.Lock()
        self._held: OpenSession | None = None
        self._users = 0
        self._is_closing = False
        self._changed = threading.Condition()

    @property
    def is_busy(self) -> bool:
        """Whether a request or a task is being worked on."""
        held = self._held
        return self._users > 0 or self.opening.locked() or (held is not None and held.is_busy)

    @property
    def project(self) -> Path | None:
        """Of the session, if there is one; links followed."""
        held = self._held
        return None if held is None else held.session.project.resolve()

    @contextmanager
    def use(self) -> Iterator[OpenSession]:
        """The session; it is not closed inside the block.

        Raises:
            HTTPException: 404 when there is none.
        """
        with self._changed:
            if self._held is None or self._is_closing:
                raise HTTPException(404, _NO_SESSION)
            held = self._held
            self._users += 1
        self.last_s = time.monotonic()
        try:
            yield held
        finally:
            self.last_s = time.monotonic()
            with self._changed:
                self._users -= 1
                self._changed.notify_all()

    @contextmanager
    def sending_mask(self) -> Iterator[None]:
        """While a mask is taken, which is in memory as a whole, and made much larger; raises HTTPException 429."""
        if not self._mask.acquire(blocking=False):
            raise HTTPException(429, "Another mask is being sent; send one after the other.", {"retry-after": "1"})
        try:
            yield
        finally:
            self._mask.release()

    def put(self, held: OpenSession) -> None:
        """From now on this is the session; the one before is closed."""
        self.drop()
        with self._changed:
            self._held = held
        self.last_s = time.monotonic()

    def drop(self) -> None:
        """Close the session once all requests that use it are handled."""
        with self._changed:
            self._changed.wait_for(lambda: not self._is_closing)
            held = self._held
            if held is None:
                return
            self._is_closing = True
            if held.propagation is not None:
                held.propagation.cancel.set()
            self._changed.wait_for(lambda: not self._users, _DRAIN_S)
            self._held = None
        try:
            held.close()
        finally:
            with self._changed:
                self._is_closing = False
                self._changed.notify_all()


class Browsers:
    """All browsers with a session.

    Args:
        settings: of the server.
        roots: of its files.
    """

    def __init__(self, settings: WebSettings, roots: Roots) -> None:
        self._settings, self._roots = settings, roots
        self._by_id: dict[str, Browser] = {}
        self._lock = threading.Lock()
        self._exports = settings.work / "exports"
        self._stop = threading.Event()
        self._sweeper = threading.Thread(target=self._sweep, name="sampt-idle", daemon=True)

    def start(self) -> None:
        """Remove exports that a killed server left, and watch for idle sessions."""
        for left in self._exports.glob("*"):
            if left.name.isdecimal() and not _is_alive(int(left.name)):
                shutil.rmtree(left, ignore_errors=True)
        self._sweeper.start()

    def close(self) -> None:
        """Close all sessions."""
        self._stop.set()
        with self._lock:
            browsers, self._by_id = list(self._by_id.values()), {}
        for browser in browsers:
            _quietly(browser.hub.close)
            _quietly(browser.drop)
        shutil.rmtree(self._own_exports, ignore_errors=True)

    def find(self, cookie: str | None) -> Browser:
        """The browser of a cookie.

        Raises:
            HTTPException: 404 when it has no session.
        """
        browser = self._by_id.get(cookie or "")
        if browser is None:
            raise HTTPException(404, _NO_SESSION)
        return browser

    def has_session(self, cookie: str | None) -> bool:
        """Whether the browser of a cookie has a session."""
        browser = self._by_id.get(cookie or "")
        return browser is not None and browser.project is not None

    def open_projects(self) -> set[Path]:
        """The projects that are open, links followed."""
        with self._lock:
            return {project for b in self._by_id.values() if (project := b.project) is not None}

    def open(
        self, cookie: str | None, make: Callable[[int], Session], project: Path, *, take_over: bool = False
    ) -> tuple[str, Browser]:
        """Give a browser a session.

        Args:
            cookie: what the browser sent; an unknown one is replaced.
            make: opens the session, given the bytes that it may keep.
            project: its folder.
            take_over: from another browser that has it open, whose pages get an event.

        Returns:
            The cookie and the browser.

        Raises:
            ProjectTakenError: another browser has it open, and it is not to be taken over.
            HTTPException: 503 when there are too many sessions, 409 when the browser is opening one.
            SamptError: the session cannot be opened; the one before is still there, unless it was of the same project.
        """
        key, browser, is_new = self._enter(cookie)
        if not browser.opening.acquire(blocking=False):
            raise HTTPException(409, "This browser is opening a session already; wait for it.")
        try:
            self._make_room_for(browser, project.resolve(), take_over=take_over)
            limits = self._settings.limits
            session = make(limits.embedding_bytes // limits.sessions)
            try:
                held = OpenSession(session, self._roots, browser.hub, self._own_exports, self._settings)
            except BaseException:
                session.close()
                raise
            browser.put(held)
            if self._by_id.get(key) is not browser:  # the server is ending
                browser.drop()
                raise HTTPException(409, "The session was closed while it was opened; open it again.")
        except BaseException:
            if is_new:
                with self._lock:
                    self._by_id.pop(key, None)
            raise
        finally:
            browser.opening.release()
        return key, browser

    def leave(self, cookie: str | None) -> None:
        """Close a browser's session, and forget the browser."""
        browser = self.find(cookie)
        with self._lock:
            self._by_id.pop(cookie or "", None)
        browser.hub.close()
        browser.drop()

    @property
    def _own_exports(self) -> Path:
        return self._exports / f"{os.getpid()}"

    def _enter(self, cookie: str | None) -> tuple[str, Browser, bool]:
        while True:
            with self._lock:
                browser = self._by_id.get(cookie or "")
                if browser is not None:
                    return cookie or "", browser, False
                if self._stop.is_set():
                    raise HTTPException(503, "The server is ending; start it again.")
                if len(self._by_id) < self._settings.limits.sessions:
                    key, new = secrets.token_urlsafe(32), Browser()
                    self._by_id[key] = new
                    return key, new, True
                idle = self._idle(_MIN_IDLE_S)
                if not idle:
                    number = self._settings.limits.sessions
                    raise HTTPException(503, f"There are {number} open sessions already; close one, or try again later.")
                oldest = min(idle, key=lambda k: self._by_id[k].last_s)
                gone = self._by_id.pop(oldest)
            gone.drop()

    def _make_room_for(self, browser: Browser, project: Path, *, take_over: bool) -> None:
        """Close the session that has the project: this browser's own, one that nobody looks at any more, or, taken over, any.

        Raises:
            ProjectTakenError: another browser looks at it.
        """
        shown = self._roots.describe(project)
        with self._lock:
            others = [k for k, b in self._by_id.items() if b is not browser and b.project == project]
            if not take_over and not set(others) <= set(self._idle(_MIN_IDLE_S)):
                raise ProjectTakenError(shown)
            left = [self._by_id.pop(k) for k in others]
        for other in left:
            other.hub.publish(TakenEvent(project=shown))
            other.hub.close()
            other.drop()
        if browser.project == project:
            browser.drop()

    def _idle(self, min_s: float) -> list[str]:
        """Browsers without a page, a task or a recent request; the lock is held."""
        now = time.monotonic()
        return [k for k, b in self._by_id.items() if not len(b.hub) and not b.is_busy and now - b.last_s > min_s]

    def _sweep(self) -> None:
        limit_s = self._settings.limits.idle_s
        while not self._stop.wait(min(60.0, limit_s / 4)):
            with self._lock:
                gone = [self._by_id.pop(key) for key in self._idle(limit_s)]
            for browser in gone:
                _quietly(browser.drop)


def project_for(video: Path, work: Path) -> Path:
    """Where the project of a video is, or is to be: beside it, or in the work folder when nothing can be written there.

    Where a project of that name is of another video (``clip.mov`` beside ``clip.mp4``, or a ``clip.mp4`` of another folder), a
    number is added.
    """
    is_writable = os.access(video.parent, os.W_OK | os.X_OK)
    for folder in (video.parent, work / "projects"):
        for project in projects_of_name(folder, video):
            is_there = (project / PROJECT_NAME).is_file()
            if is_there and _is_about(project, video, is_beside=folder == video.parent):
                return project
            if not is_there:
                if folder != video.parent or is_writable:
                    return project
                break
    raise HTTPException(409, f"There are too many projects called {_stem(video)}; name one to open.")


def projects_of_name(folder: Path, video: Path) -> Iterator[Path]:
    """What the projects of a video in a folder may be called, in the order in which the names are given."""
    for number in range(1, _MAX_OF_A_NAME):
        yield folder / f"{_stem(video)}{SUFFIX if number == 1 else f'-{number}{SUFFIX}'}"


def _stem(video: Path) -> str:
    return video.name if video.is_dir() else video.stem


def _is_about(project: Path, video: Path, *, is_beside: bool) -> bool:
    """Whether a project is about a video, or cannot tell; whoever opens it gets the error."""
    try:
        path = Path(read_project(project).video.path.replace("\\", "/"))
    except SamptError:
        return True
    return path.name == video.name if is_beside else path == video


def _is_alive(process_id: int) -> bool:
    if os.name == "nt":
        return process_id != os.getpid() and _is_alive_on_windows(process_id)
    try:
        os.kill(process_id, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return process_id != os.getpid()


def _is_alive_on_windows(process_id: int) -> bool:
    """By its handle; ``os.kill`` would send it a Ctrl-C."""
    kernel = ctypes.WinDLL("kernel32", use_last_error=True)  # type: ignore[attr-defined,unused-ignore]
    kernel.OpenProcess.restype = ctypes.c_void_p
    handle = kernel.OpenProcess(_QUERY_LIMITED_INFORMATION, False, process_id)
    if not handle:
        return bool(ctypes.get_last_error() == _ACCESS_DENIED)  # type: ignore[attr-defined,unused-ignore]
    try:
        status = ctypes.c_ulong()
        is_known = kernel.GetExitCodeProcess(ctypes.c_void_p(handle), ctypes.byref(status))
        return not is_known or status.value == _STILL_ACTIVE
    finally:
        kernel.CloseHandle(ctypes.c_void_p(handle))


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except Exception:
        _LOG.exception("Closing a session failed")
