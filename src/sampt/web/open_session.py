"""A session with all that the server keeps for it: images, the running tasks, and who is notified of them."""

from __future__ import annotations

import itertools
import secrets
import threading
from pathlib import Path

from starlette.exceptions import HTTPException

from sampt.config import FindConfig
from sampt.proposers.base import Proposer
from sampt.session.project import read_project
from sampt.session.session import Session
from sampt.session.types import FrameUpdate, SessionObject
from sampt.web.disk import check_free
from sampt.web.events import EventHub
from sampt.web.frame_images import FrameImages
from sampt.web.responses import frame_event
from sampt.web.roots import Roots
from sampt.web.schemas.stream import ChangedEvent, ExportEvent, ProgressEvent, SuggestionsEvent
from sampt.web.settings import Limits, WebSettings
from sampt.web.tasks import Courtesy, ExportKind, ExportTask, PropagationTask, SearchTask

__all__ = ["OpenSession"]

_CANCEL_S = 0.3
"""Whoever cancels a propagation waits for its end no longer."""


class OpenSession:
    """A session with all that the server keeps for it.

    Raises:
        HTTPException: 400 when there is too much in it.

    Attributes:
        session: may be used inside :meth:`Browser.use`.
        images: of its frames.
        times_s: of frames, where they are not evenly spaced.
        key: changes with the video's contents.
        propagation: the last one.
        search: the last one for objects that nobody has named.
        exports: by id.
        limits: of the server.
        previewing: held by whoever prompts the segmenter.
    """

    def __init__(self, session: Session, roots: Roots, hub: EventHub, folder: Path, settings: WebSettings) -> None:
        self.limits = limits = settings.limits
        _check_size(session, limits)
        self.session, self.courtesy = session, Courtesy()
        self.images = FrameImages(session.video, limits.image_bytes // limits.sessions)
        self.times_s = _times_s(session)
        self.key = read_project(session.project).video.sha256[:16]
        self.project, self.name = roots.describe(session.project), Path(session.video.label).name
        self.propagation: PropagationTask | None = None
        self.search: SearchTask | None = None
        self.exports: dict[int, ExportTask] = {}
        self._roots, self._hub, self._folder = roots, hub, folder
        self._make_proposer, self._proposers = settings.proposers, dict[str, Proposer]()
        self._numbers = itertools.count(1)
        self._lock, self.previewing = threading.Lock(), threading.Lock()

    @property
    def is_busy(self) -> bool:
        """Whether a task runs."""
        tasks = [self.propagation, self.search, *self.exports.values()]
        return any(task is not None and task.is_running for task in tasks)

    def propagate(self, frames: range, object_ids: list[int] | None) -> PropagationTask:
        """Start a propagation.

        Raises:
            HTTPException: 409 when one runs.
        """
        with self._lock:
            if self.propagation is not None and self.propagation.is_running:
                raise HTTPException(409, "A propagation runs already; cancel it, or wait for its end.")
            self.propagation = task = PropagationTask(
                next(self._numbers),
                self.session,
                frames,
                object_ids,
                self._on_frame,
                self._on_progress,
                self.courtesy,
                self._roots.message,
            )
            task.start()
        return task

    def cancel(self) -> PropagationTask | None:
        """End the propagation, if one runs; a long part of its work may end a little later."""
        task = self.propagation
        if task is not None and task.is_running:
            task.end(_CANCEL_S)
        return task

    def find_suggestions(self, frame_idx: int, config: FindConfig) -> SearchTask:
        """Start a search for objects on a frame; one that runs is cancelled.

        Raises:
            BackendError: the proposer cannot be made.
        """
        with self._lock:
            if config.proposer not in self._proposers:
                self._proposers[config.proposer] = self._make_proposer(config.proposer)
            if self.search is not None:
                self.search.drop()
            proposer, message = self._proposers[config.proposer], self._roots.message
            self.search = task = SearchTask(
                self._numbers, self.session, frame_idx, proposer, config, self._on_search, self.courtesy, message
            )
            task.start()
        return task

    def accept_suggestion(self, suggestion_id: int) -> SessionObject:
        """Make an object of a suggestion of the last search, once.

        Raises:
            HTTPException: 404 when there is no such suggestion.
            SamptError: it cannot be saved; it can be accepted later.
        """
        with self._lock:
            found = {} if self.search is None else self.search.found
            if suggestion_id not in found:
                raise HTTPException(
                    404, f"There is no suggestion {suggestion_id}; it was accepted or dropped. Find objects again."
                )
            (made,) = self.session.accept(found[suggestion_id])
            del found[suggestion_id]
        return made

    def export(self, kind: ExportKind, frames: range, object_ids: list[int] | None) -> ExportTask:
        """Start an export; one runs at a time.

        Raises:
            HTTPException: 409 when one runs, 503 when the disk has no room.
        """
        check_free(self._folder, self.limits.free_bytes)
        with self._lock:
            if any(task.is_running for task in self.exports.values()):
                raise HTTPException(409, "An export runs already; cancel it, or wait for its end.")
            while len(self.exports) >= self.limits.exports:
                self.exports.pop(min(self.exports)).remove()
            number = next(self._numbers)
            task = ExportTask(
                number,
                self.session,
                kind,
                frames,
                object_ids,
                self._folder / f"{number}-{secrets.token_hex(8)}",
                lambda: self._on_export(number),
                self.courtesy,
                self._roots.message,
                self.limits.free_bytes,
            )
            self.exports[number] = task
            task.start()
        return task

    def remove_export(self, number: int) -> None:
        """End an export, and remove its file."""
        with self._lock:
            task = self.exports.pop(number, None)
        if task is not None:
            task.remove()

    def notify_changed(self) -> None:
        """Tell the pages that the session is not as it was."""
        self._hub.publish(ChangedEvent(revision=self.session.revision))

    def close(self) -> None:
        """End all tasks, and close the session."""
        for export in self.exports.values():
            export.remove()
        for task in (self.propagation, self.search):
            if task is not None:
                task.end()
        self.images.close()
        self.session.close()

    def _on_frame(self, update: FrameUpdate, is_provisional: bool) -> None:
        if self._hub.wants_frames:
            self._hub.publish(frame_event(update, is_provisional=is_provisional))

    def _on_progress(self) -> None:
        task = self.propagation
        if task is not None:
            self._hub.publish(ProgressEvent(**dict(task.to_response())))
            if not task.is_running:
                self.notify_changed()

    def _on_search(self) -> None:
        task = self.search
        if task is not None and not task.is_running:
            self._hub.publish(SuggestionsEvent(**dict(task.to_response())))

    def _on_export(self, number: int) -> None:
        task = self.exports.get(number)
        if task is not None:
            self._hub.publish(ExportEvent(**dict(task.to_response())))


def given_bytes(session: Session) -> int:
    """What the given masks' run-length codes have together."""
    return sum(len(mask.rle.counts) for mask in session.given_masks())


def _check_size(session: Session, limits: Limits) -> None:
    """Refuse a project in which there is more than the page itself would add."""
    objects, points = len(session.objects), len(session.clicks())
    cells = objects * session.num_frames
    for found, limit, what in (
        (objects, limits.objects, "objects"),
        (points, limits.points, "points"),
        (cells, limits.cells, "objects times frames"),
        (given_bytes(session), limits.given_bytes, "bytes of given masks"),
    ):
        if found > limit:
            raise HTTPException(400, f"The project has {found} {what}; the page takes {limit} at most. Use it from Python.")


def _times_s(session: Session) -> list[float] | None:
    video = session.video
    times = [round(video.time_s(i), 4) for i in range(video.num_frames)]
    is_even = all(abs(t - i / video.fps) < 0.002 for i, t in enumerate(times))
    return None if is_even else times
