"""What takes long: a propagation, searches and exports, each in a thread of its own, with an end on request."""

from __future__ import annotations

import logging
import os
import re
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from sampt.config import FindConfig
from sampt.errors import OutputError, SamptError
from sampt.exporters.base import ExportObject, ImageFormat
from sampt.exporters.registry import export, find_exporter
from sampt.files.names import portable_name
from sampt.proposers.base import Proposer
from sampt.session.session import Session
from sampt.session.suggestions import Suggestion
from sampt.session.types import FrameUpdate, PropagationStage, PropagationWatch
from sampt.types import FrameMasks
from sampt.video.base import VideoView
from sampt.web.disk import has_room
from sampt.web.responses import suggestion_model
from sampt.web.schemas.suggestions import SearchResponse
from sampt.web.schemas.tasks import ExportResponse, PropagationResponse

__all__ = ["Courtesy", "ExportKind", "ExportTask", "PropagationTask", "SearchTask"]

_LOG = logging.getLogger(__name__)
_NOTIFY_S = 0.1
_COUNT_S = 1.0
_LONGEST_WAIT_S = 1.0
UNEXPECTED = "An unexpected error ended this; the server's log says more."

Notify = Callable[[], None]


class Courtesy:
    """Lets what a person waits for go before what runs in the background: no two threads compute while a click is handled."""

    def __init__(self) -> None:
        self._waiting = 0
        self._free = threading.Condition()

    @contextmanager
    def first(self) -> Iterator[None]:
        """While the block runs, the background makes way."""
        with self._free:
            self._waiting += 1
        try:
            yield
        finally:
            with self._free:
                self._waiting -= 1
                self._free.notify_all()

    def make_way(self) -> None:
        """Called in the background between two parts of the work: waits for blocks that run, a second at most."""
        with self._free:
            self._free.wait_for(lambda: not self._waiting, _LONGEST_WAIT_S)


class _Task:
    """A thread that can be stopped."""

    def __init__(self, message: Callable[[str], str]) -> None:
        self.cancel = threading.Event()
        self.error: str | None = None
        self.is_running = True
        self.done, self.total = 0, 0
        self._message = message
        self._thread = threading.Thread(target=self._run, name=type(self).__name__, daemon=True)

    def start(self) -> None:
        """Once, when everybody can find it."""
        self._thread.start()

    def end(self, timeout_s: float | None = None) -> None:
        """Request the end and wait for it."""
        self.cancel.set()
        self._thread.join(timeout_s)

    def _run(self) -> None:
        try:
            self._work()
        except SamptError as error:
            self.error = self._message(str(error))
        except Exception:
            _LOG.exception("A task of the server failed")
            self.error = UNEXPECTED
        finally:
            self.is_running = False
            self._finish()

    def _work(self) -> None:
        raise NotImplementedError

    def _finish(self) -> None:
        raise NotImplementedError


class PropagationTask(_Task):
    """One propagation.

    Args:
        number: its id.
        session: of which at most one runs.
        frames, object_ids: what to segment; None: all.
        on_frame: called with each result, and whether it may still change.
        on_progress: called when there is something to tell.
        courtesy: towards clicks.
        message: makes an error's text fit to be reported.
    """

    def __init__(
        self,
        number: int,
        session: Session,
        frames: range,
        object_ids: list[int] | None,
        on_frame: Callable[[FrameUpdate, bool], None],
        on_progress: Notify,
        courtesy: Courtesy,
        message: Callable[[str], str],
    ) -> None:
        super().__init__(message)
        self.number, self._session, self._frames, self._object_ids = number, session, frames, object_ids
        self._on_frame, self._on_progress, self._courtesy = on_frame, on_progress, courtesy
        self.frame: int | None = None
        self.stage: PropagationStage = "preparing"
        self.is_cancelled = False
        self._began = self._counted = self._describe = time.monotonic()
        self.total = session.count_missing(frames, object_ids)

    def end(self, timeout_s: float | None = None) -> None:
        self.is_cancelled = self.is_cancelled or self.is_running
        super().end(timeout_s)

    def to_response(self) -> PropagationResponse:
        """How it stands."""
        return PropagationResponse(
            propagation_id=self.number,
            done=self.done,
            total=max(self.total, self.done),
            frame=self.frame,
            stage=self.stage,
            seconds_left=self._seconds_left(),
            is_running=self.is_running,
            is_cancelled=self.is_cancelled,
            error=self.error,
        )

    def _seconds_left(self) -> float | None:
        if not self.is_running:
            return 0.0
        elapsed = time.monotonic() - self._began
        return round(elapsed / self.done * max(self.total - self.done, 0), 1) if self.done else None

    def _work(self) -> None:
        self._on_progress()
        watch = PropagationWatch(self._step, lambda update: self._on_frame(update, True))
        for update in self._session.propagate(self._frames, self._object_ids, cancel=self.cancel, watch=watch):
            self.frame = update.frame_idx
            self.done += len(update.results)
            self._on_frame(update, False)
            self._keep_count()

    def _step(self, stage: PropagationStage | None) -> None:
        """Before every part of the work, between objects and frames."""
        if not self.cancel.is_set():
            self._courtesy.make_way()
        if stage is not None and stage != self.stage:
            self.stage = stage
            self._describe = time.monotonic()
            self._on_progress()

    def _keep_count(self) -> None:
        now = time.monotonic()
        if now - self._counted > _COUNT_S:  # edits meanwhile change what there is to do
            self.total = self.done + self._session.count_missing(self._frames, self._object_ids)
            self._counted = time.monotonic()
        if now - self._describe > _NOTIFY_S:
            self._describe = now
            self._on_progress()

    def _finish(self) -> None:
        if not self.is_cancelled and self.error is None:
            self.total = self.done
        self._on_progress()


class SearchTask(_Task):
    """One search for objects on a frame.

    Args:
        numbers: gives ids: its own, and those of suggestions.
        session, frame_idx, proposer, config: as :meth:`sampt.session.session.Session.suggest` takes them.
        on_end, courtesy, message: as for :class:`PropagationTask`.

    Attributes:
        found: what was found and is not accepted, by id.
    """

    def __init__(
        self,
        numbers: Iterator[int],
        session: Session,
        frame_idx: int,
        proposer: Proposer,
        config: FindConfig,
        on_end: Notify,
        courtesy: Courtesy,
        message: Callable[[str], str],
    ) -> None:
        super().__init__(message)
        self.number, self._numbers = next(numbers), numbers
        self._session, self._frame_idx, self._proposer, self._config = session, frame_idx, proposer, config
        self._on_end, self._courtesy = on_end, courtesy
        self.found: dict[int, Suggestion] = {}

    def drop(self) -> None:
        """Nobody wants what it finds; it ends by itself."""
        self.cancel.set()
        self.found = {}

    def to_response(self) -> SearchResponse:
        """How it stands."""
        is_running, found = self.is_running, self.found
        return SearchResponse(
            search_id=self.number,
            frame=self._frame_idx,
            proposer=self._config.proposer,
            is_running=is_running,
            is_cancelled=self.cancel.is_set(),
            error=self.error,
            suggestions=[suggestion_model(number, one) for number, one in list(found.items())],
        )

    def _work(self) -> None:
        found = self._session.suggest(self._frame_idx, self._proposer, self._config, cancel=self.cancel, on_step=self._make_way)
        if not self.cancel.is_set():
            self.found = {next(self._numbers): one for one in found}

    def _make_way(self) -> None:
        if not self.cancel.is_set():
            self._courtesy.make_way()

    def _finish(self) -> None:
        self._on_end()


class _NamedVideo(VideoView):
    """A video that is known by its name alone: exports go to people who should not learn where it lies on the server."""

    @property
    def label(self) -> str:
        return Path(super().label).name


class _CancelledError(SamptError):
    """The export was cancelled."""


class ExportKind(NamedTuple):
    """What is made: ``format``, of :func:`sampt.exporters.registry.exporter_names`; with the frames beside, or not; classes."""

    format: str
    images: ImageFormat | None = None
    classes: tuple[str, ...] = ()


class ExportTask(_Task):
    """One file being made, in a folder of its own.

    Args:
        number: its id.
        session: whose results are exported.
        kind: what to make.
        frames, object_ids: what to export; None: all objects.
        folder: made here, and removed by :meth:`remove`.
        on_progress, courtesy, message: as for :class:`PropagationTask`.
        free_bytes: left on the disk; an export that would need them ends.
    """

    def __init__(
        self,
        number: int,
        session: Session,
        kind: ExportKind,
        frames: range,
        object_ids: list[int] | None,
        folder: Path,
        on_progress: Notify,
        courtesy: Courtesy,
        message: Callable[[str], str],
        free_bytes: int,
    ) -> None:
        super().__init__(message)
        self._free_bytes = free_bytes
        self.number, self.kind, self._session, self._frames = number, kind, session, frames
        self._object_ids = object_ids
        self._objects = [
            ExportObject(o.object_id, o.name, o.color_rgb)
            for o in session.objects
            if object_ids is None or o.object_id in object_ids
        ]
        self._folder, self._on_progress, self._courtesy = folder, on_progress, courtesy
        self._describe = 0.0
        self.total = len(frames)
        self.file_name = f"{_stem(session)}-{kind.format}{find_exporter(kind.format).suffix_with(kind.images)}"
        folder.mkdir(parents=True)

    @property
    def path(self) -> Path | None:
        """The file, once it is complete."""
        path = self._folder / self.file_name
        return path if not self.is_running and self.error is None and path.is_file() else None

    def to_response(self) -> ExportResponse:
        """How it stands."""
        path = self.path
        return ExportResponse(
            export_id=self.number,
            format=self.kind.format,
            is_done=not self.is_running,
            error=self.error,
            file_name=None if path is None else self.file_name,
            num_bytes=None if path is None else os.stat(path).st_size,
            done=self.done,
            total=self.total,
        )

    def remove(self) -> None:
        """End it, and remove its file."""
        self.end()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _work(self) -> None:
        path, kind = self._folder / self.file_name, self.kind
        video = _NamedVideo(self._session.video)
        export(kind.format, self._results(), video, self._objects, path, classes=kind.classes, images=kind.images)
        self.done = self.total

    def _results(self) -> Iterator[FrameMasks]:
        for result in self._session.merged_masks(self._frames, self._object_ids):
            if self.cancel.is_set():
                raise _CancelledError("The export was cancelled.")
            self.done = max(self.done, result.frame_idx - self._frames.start)
            yield result
            self._courtesy.make_way()
            if time.monotonic() - self._describe > _NOTIFY_S:
                self._describe = time.monotonic()
                self._on_progress()
                if not has_room(self._folder, self._free_bytes):
                    raise OutputError("The export was ended: the server's disk has no room for it; remove files there.")

    def _finish(self) -> None:
        self._on_progress()


def _stem(session: Session) -> str:
    """A short, harmless name for files about the session's video."""
    plain = re.sub(r"[^A-Za-z0-9._-]+", "-", Path(session.video.label).stem)[:80].strip("-.")
    return portable_name(plain) or "video"
