"""Session: click objects in a video, see their masks at once, propagate them, correct any frame, keep everything on disk."""

from __future__ import annotations

import dataclasses
import functools
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from types import TracebackType

import numpy as np

from sampt.backends.lru_cache import LruCache
from sampt.config import FindConfig, SegmentConfig, default_config
from sampt.files.atomic import disk_errors
from sampt.files.folder_lock import FolderLock
from sampt.masks.rle import encode_mask
from sampt.pipeline.preparation import working_video
from sampt.pipeline.propagation import Engine
from sampt.proposers.base import Proposer
from sampt.segmenters.base import PromptableSegmenter
from sampt.session import choices, edits, mask_edits
from sampt.session.edits import History, Inputs
from sampt.session.plan import checked_config, session_settings, settings_digest
from sampt.session.preview import Previewer
from sampt.session.progress import Progress, write_progress
from sampt.session.project import (
    RESULTS_NAME,
    ProjectFile,
    check_new,
    facts_at,
    find_video,
    make_session_backends,
    open_again,
    read_project,
    video_facts,
    write_project,
)
from sampt.session.propagate import Propagation
from sampt.session.reader import SessionReader
from sampt.session.state import SessionState
from sampt.session.store import ResultStore
from sampt.session.suggestions import Suggester, Suggestion, accept_suggestion
from sampt.session.types import Click, FrameUpdate, ObjectResult, PropagationWatch, SessionBusyError, SessionObject
from sampt.session.watched import Stopped
from sampt.trackers.base import PointTracker
from sampt.types import BoolArray
from sampt.video.base import Video
from sampt.video.locked import LockedVideo
from sampt.video.open import open_video

__all__ = ["Session"]

_MAX_PREVIEWS = 256
_MAX_PREVIEW_BYTES = 32 << 20
"""Previews that are cached, by what they were made from; each takes a few kilobytes as a rule."""

_PROGRESS_S = 5.0
"""So often at most the list of projects hears of a session that is being worked on."""

_CACHED_FRAMES = 8
"""Frames looked at last; a click needs the one that is shown."""


class Session(SessionReader):
    """An interactive segmentation of one video, kept in a project folder ``NAME.sampt``.

    Made by :meth:`create` or :meth:`open`; :meth:`close` (or leaving a ``with`` block) frees the project. Edits, previews and
    requests may come from several threads while one runs :meth:`propagate`.

    Each object stands for itself: its masks depend on what was given for it, on the settings and on nothing else, so that an
    edit changes no other object; points of other objects are no negative ones, as they are in :func:`sampt.segment_video`.
    Pixels that two objects claim go to the one whose segmentation is surer there, when masks are exported
    (:meth:`merged_masks`). Only the frames at which points are renewed may be agreed on by objects that run together, and a
    propagation that goes on where one was stopped goes on with the points that are visible there.

    A frame with a positive point, a box or a mask, given or drawn (:meth:`paint`, :meth:`fill_polygon`), is a prompt frame of
    its object. Every frame belongs to the nearest prompt frame, ties to the earlier, and gets its masks by propagation from
    there, forward or backward; an edit at a prompt frame makes the frames out of date that belong to it, a new one those up
    to the middles towards its neighbours (:mod:`sampt.session.plan`). The result on a prompt frame is what :meth:`preview`
    shows there. From a frame on which an object is absent (:meth:`set_absent`) to the next prompt frame it has no masks.

    A click on a frame that shows a mask corrects it (:mod:`sampt.session.corrections`): the clicked pixel takes the click's
    sign, whatever was tracked there, and what is near the click changes with it. Where the segmenter would change much
    elsewhere, too, the preview has that mask beside its own (``whole_rle``), and :meth:`take_whole_change` takes it.
    :meth:`use_clicks_alone` leaves what was propagated out. The points that are tracked from a corrected frame are the clicks
    and new ones from the corrected mask; what another keyframe was propagated to stays where the correction changes nothing or
    is less sure (:mod:`sampt.session.rejoining`), and so does what a person marks good (:meth:`set_reviewed`). A negative
    point on a frame without any result has no effect until a positive one joins it.

    Attributes:
        video: frames at their own size; may be read from any thread.
        config: settings.
        project: the folder.
    """

    video: Video
    project: Path

    def __init__(
        self,
        project: Path,
        lock: FolderLock,
        content: ProjectFile,
        video: Video,
        backends: tuple[PointTracker, PromptableSegmenter],
        cache_bytes: int,
        device: str,
    ) -> None:
        """Not for callers; see :meth:`create` and :meth:`open`."""
        self.project, self.config, self._lock = project, content.config, lock
        self._content = content
        self.video = self._shown = LockedVideo(video, _CACHED_FRAMES)
        settings = session_settings(content.config)
        self._engine = Engine(*backends, settings)
        working = working_video(self.video, settings.longest_side)
        self._previewer = Previewer(backends[1], settings, self.video, working, cache_bytes)
        self._suggester = Suggester(backends[1], self.video, working, self._previewer.embedding, device)
        store = ResultStore(project / RESULTS_NAME, content.inputs.size_hw)
        self._state = SessionState(content.history, store, settings_digest(content, settings))
        self._previews: LruCache[bytes, ObjectResult] = LruCache(_MAX_PREVIEW_BYTES, _MAX_PREVIEWS)
        self._own_video: LockedVideo | None = None
        self._running = threading.Lock()
        self._noted_s, self._noted_revision = time.monotonic(), -1

    @classmethod
    def create(
        cls,
        video: Path | str,
        project: Path | str,
        *,
        config: SegmentConfig | None = None,
        tracker: PointTracker | None = None,
        segmenter: PromptableSegmenter | None = None,
        device: str = "auto",
        cache_bytes: int = 256 << 20,
    ) -> Session:
        """Begin a project.

        Args:
            video: a video file, a folder of images, or a pattern.
            project: a new folder, whose name ends in ``.sampt``.
            config: settings; the preset ``default`` when left out.
            tracker: made by the name in ``config`` when left out.
            segmenter: likewise.
            device: where backends run that are made by name.
            cache_bytes: room for embeddings of frames that were looked at.

        Raises:
            SamptError: the video cannot be opened, the settings do not fit a session, or the folder cannot be made.
        """
        folder, chosen = Path(project), checked_config(config or default_config())
        check_new(folder)
        opened = open_video(video)
        opened.check_complete(opened.num_frames)
        facts = video_facts(opened, video, folder)
        backends = make_session_backends(chosen, tracker, segmenter, device)
        with disk_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        lock = _lock_folder(folder)
        try:
            check_new(folder)  # nobody else was quicker
            inputs = Inputs(facts.num_frames, facts.size_hw)
            content = ProjectFile(facts, chosen, backends[0].info.name, backends[1].info.name, History(inputs))
            with disk_errors(folder):
                (folder / RESULTS_NAME).unlink(missing_ok=True)
            return cls(folder, lock, content, opened, backends, cache_bytes, device)._save_first()
        except BaseException:
            lock.release()
            raise

    @classmethod
    def open(
        cls,
        project: Path | str,
        *,
        video: Path | str | None = None,
        tracker: PointTracker | None = None,
        segmenter: PromptableSegmenter | None = None,
        device: str = "auto",
        cache_bytes: int = 256 << 20,
    ) -> Session:
        """Go on with a project, with the steps to undo and to do again that its file has room for.

        Args:
            project: its folder.
            video: where the video is now; left out: where it was, or beside the project. Its contents are checked.
            tracker: as for :meth:`create`; needed again when one was given there that has no name to be made by.
            segmenter: likewise.
            device: likewise.
            cache_bytes: likewise.

        Raises:
            OutputError: there is no project, it is damaged, of a newer version, or open in another session (FolderBusyError).
            VideoError: the video is not found, or is another one.
        """
        folder = Path(project)
        read_project(folder)  # no lock on a folder that is no project
        lock = _lock_folder(folder)
        try:
            content = read_project(folder)
            config = checked_config(content.config)
            opened, path = find_video(content.video, folder, video)
            backends = make_session_backends(config, tracker, segmenter, device, (content.tracker, content.segmenter))
            now = dataclasses.replace(
                content,
                video=facts_at(content.video, path, folder),
                tracker=backends[0].info.name,
                segmenter=backends[1].info.name,
            )
            session = cls(folder, lock, now, opened, backends, cache_bytes, device)
            return session if now == content else session._save_first()
        except BaseException:
            lock.release()
            raise

    def close(self) -> None:
        """Free the project; a propagation that runs ends at its next frame. A second call does nothing."""
        with self._state.lock:
            if not self._state.is_closed:
                self._note_progress(0.0)
            self._state.close()
            self._lock.release()
        self._shown.close()
        if self._own_video is not None and self._running.acquire(blocking=False):
            self._own_video.close()  # else it is left to the propagation
            self._running.release()

    def __enter__(self) -> Session:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    @property
    def tracker_name(self) -> str:
        return self._engine.tracker.info.name

    @property
    def segmenter_name(self) -> str:
        return self._engine.segmenter.info.name

    def add_object(self, name: str | None = None, color_rgb: Sequence[int] | None = None) -> SessionObject:
        """A new object; name and colour are chosen for it when left out. Errors as for all edits: QueryError, OutputError."""
        return self._edit(lambda now: edits.add_object(now, name, color_rgb)).objects[-1]

    def update_object(
        self,
        object_id: int,
        *,
        name: str | None = None,
        color_rgb: Sequence[int] | None = None,
        is_hidden: bool | None = None,
        is_locked: bool | None = None,
    ) -> SessionObject:
        """Change some of an object's attributes. Of a locked one nothing else can be changed, and it is not propagated."""
        new = self._edit(lambda now: edits.update_object(now, object_id, name, color_rgb, is_hidden, is_locked))
        return new.object(object_id)

    def remove_object(self, object_id: int) -> None:
        """Take an object away with all that was given for it; undone like every edit."""
        self._edit(lambda now: edits.remove_object(now, object_id))

    def add_point(self, object_id: int, frame_idx: int, xy: Sequence[float], is_positive: bool = True) -> Click:
        """Click: ``xy`` in pixels of the video.

        Raises:
            QueryError: there is no such object or frame, the object is locked, or the point lies outside the frame.
            OutputError: the project cannot be saved; nothing has changed then.
        """
        known = self._state.carried
        return self._edit(lambda now: edits.add_point(now, object_id, frame_idx, xy, is_positive, known)).clicks[-1]

    def take_whole_change(self, object_id: int, frame_idx: int) -> None:
        """Take over all that the last click on the frame changes: :attr:`ObjectResult.whole_rle` becomes the mask there.

        Raises:
            QueryError: there is no such object, frame or click, or the object is locked.
            OutputError: as :meth:`add_point`.
        """
        self._edit(lambda now: choices.take_whole_change(now, object_id, frame_idx))

    def use_clicks_alone(self, object_id: int, frame_idx: int) -> None:
        """Start anew on a frame: what was known of the object there before it was clicked does not count, only the clicks (and
        the box) do. Errors as :meth:`take_whole_change`."""
        self._edit(lambda now: choices.use_clicks_alone(now, object_id, frame_idx))

    def set_reviewed(self, object_id: int, frame_idx: int, is_good: bool = True) -> None:
        """Mark the result that is seen on a frame good, or take the mark away. It stays then, whatever is said on other frames;
        an input on the frame itself takes the mark away.

        Raises:
            QueryError: there is no such object or frame, or no result of it that could be marked.
            OutputError: as :meth:`add_point`.
        """

        def edit(now: Inputs) -> Inputs:
            digest = self._state.seen_digest(object_id, frame_idx) if is_good else None
            return choices.set_reviewed(now, object_id, frame_idx, digest)

        self._edit(edit)

    def move_point(self, point_id: int, xy: Sequence[float]) -> Click:
        """Put a point somewhere else on its frame; errors as :meth:`add_point`."""
        return self._edit(lambda now: edits.move_point(now, point_id, xy)).click(point_id)

    def delete_point(self, point_id: int) -> None:
        """Take a point away; errors as :meth:`add_point`."""
        self._edit(lambda now: edits.delete_point(now, point_id))

    def set_box(self, object_id: int, frame_idx: int, box_xyxy: Sequence[float] | None) -> None:
        """Give an object's box on a frame, first and last pixel inclusive; None takes it away. Errors as :meth:`add_point`."""
        self._edit(lambda now: edits.set_box(now, object_id, frame_idx, box_xyxy))

    def set_mask(self, object_id: int, frame_idx: int, mask: BoolArray | None) -> None:
        """Give an object's (h, w) bool mask on a frame of the video; None takes a given or edited one away. It takes the place
        of what was said there before; clicks that come later correct it. Errors as :meth:`add_point`."""
        self._edit(lambda now: mask_edits.set_mask(now, object_id, frame_idx, mask))

    def edit_mask(self, object_id: int, frame_idx: int, area: BoolArray, is_added: bool = True) -> None:
        """Add an area to the mask that :meth:`preview` shows on a frame, or take it away; the rest of that mask stays.

        The frame becomes a prompt frame with that mask. It may be empty then: the object is not on this one frame, through
        which it is propagated (:meth:`set_absent` says that it has gone). On a frame without a mask one begins. What changes
        no pixel is no edit.

        Args:
            area: (h, w) bool, at the video's size.
            is_added: False takes it away.

        Raises:
            QueryError: there is no such object or frame, the object is locked, or the area has another size than the video.
            OutputError: as :meth:`add_point`.
        """
        area = np.asarray(area)
        self.preview(frame_idx, [object_id])  # cached: what takes long is done before others have to wait for it

        def edit(now: Inputs) -> Inputs:
            found = self.preview(frame_idx, [object_id]).get(object_id)
            shown = np.zeros(now.size_hw, np.bool_) if found is None else found.mask(now.size_hw)
            return mask_edits.edit_mask(now, object_id, frame_idx, area, is_added, shown, self._state.carried)

        self._edit(edit)

    def paint(
        self, object_id: int, frame_idx: int, xy: Sequence[Sequence[float]], radius: float, *, is_erasing: bool = False
    ) -> None:
        """A stroke of a round brush or eraser (:meth:`edit_mask`).

        A pixel is painted, or erased, when its centre is no farther than ``radius`` from the line through the points.

        Args:
            xy: (n, 2) where the brush was, in pixels of the video; 1 to 2000 points, which may leave the frame.
            radius: in pixels of the video, above 0, at most 1000.
            is_erasing: take away instead of adding.

        Raises:
            QueryError: as :meth:`edit_mask`; or these are no points, or the stroke covers no pixel of the frame.
            LimitError: the stroke has too many points, or is too wide.
            OutputError: as :meth:`add_point`.
        """
        self.edit_mask(object_id, frame_idx, mask_edits.find_stroke(xy, radius, self.size_hw), not is_erasing)

    def fill_polygon(self, object_id: int, frame_idx: int, xy: Sequence[Sequence[float]], *, is_cut: bool = False) -> None:
        """Add what lies in a polygon, or cut it away (:meth:`edit_mask`): the pixels whose centres lie in it.

        Args:
            xy: (n, 2) corners in order, in pixels of the video; 3 to 1000, which may lie outside the frame. Where the polygon
                crosses itself, what lies in an even number of its turns is outside.
            is_cut: take away instead of adding.

        Raises:
            QueryError: as :meth:`edit_mask`; or these are no corners, or no pixel of the frame lies between them.
            LimitError: there are too many corners.
            OutputError: as :meth:`add_point`.
        """
        self.edit_mask(object_id, frame_idx, mask_edits.find_polygon(xy, self.size_hw), not is_cut)

    def set_absent(self, object_id: int, frame_idx: int, is_absent: bool = True) -> None:
        """Say that an object is not there from a frame on, until a later frame has a positive click, a box or a mask.

        Its masks are empty there, and it is not tracked through these frames in either direction (:meth:`absent` has them).
        What was said on the frame itself is gone, and so are marks of good frames among them. False takes away what makes the
        object absent on the frame, from wherever on it was said. Errors as :meth:`add_point`.
        """
        self._edit(lambda now: mask_edits.set_absent(now, object_id, frame_idx, is_absent))

    def suggest(
        self,
        frame_idx: int,
        proposer: Proposer | str | None = None,
        config: FindConfig | None = None,
        *,
        cancel: threading.Event | None = None,
        on_step: Callable[[], None] | None = None,
    ) -> list[Suggestion]:
        """Look for objects on a frame that are not known there yet; nothing in the session changes.

        What overlaps an object's mask there, a result or a preview, is no suggestion. Searches of a session are made one after
        the other.

        Args:
            proposer: what looks for them, or its name (see `sampt backends`); that of ``config`` when left out.
            config: what objects have to be like; ``every`` does not count here.
            cancel: when set, the search ends soon, with nothing found.
            on_step: called before every part of the work, from this thread.

        Returns:
            Suggestions, best first, which :meth:`accept` makes objects of.

        Raises:
            QueryError: there is no such frame.
            BackendError: the proposer cannot be made, or cannot work on the frame.
            OutputError: the session is closed.
        """
        self._state.check_open()
        frame_idx, config = self._state.check_frame(frame_idx), config or FindConfig()

        def check(_: object) -> None:
            if (cancel is not None and cancel.is_set()) or self._state.is_closed:
                raise Stopped
            if on_step is not None:
                on_step()

        def known() -> Iterator[BoolArray]:
            return (result.mask(self.size_hw) for result in self.preview(frame_idx).values())

        try:
            found = self._suggester.find(frame_idx, proposer or config.proposer, config, known, check)
        except Stopped:
            return []
        colors = edits.free_colors(self._state.inputs)
        return [Suggestion(frame_idx, encode_mask(mask), p.score, p.label, next(colors)) for p, mask in found]

    def accept(self, *suggestions: Suggestion) -> list[SessionObject]:
        """Make objects of suggestions, each a step to undo: as if a person had added one and given its mask there.

        Clicks correct the mask like any given one. Errors as :meth:`set_mask`.
        """
        return [self._edit(functools.partial(accept_suggestion, suggestion=one)).objects[-1] for one in suggestions]

    def undo(self) -> bool:
        """Take the last edit back, whatever it was; False when there is none."""
        return self._state.go_back(self._save)

    def redo(self) -> bool:
        """Make the edit again that was undone last; False when there is none."""
        return self._state.go_forth(self._save)

    def preview(self, frame_idx: int, object_ids: Iterable[int] | None = None) -> dict[int, ObjectResult]:
        """What is said of objects on a frame means these masks there, at once, from the frame's embedding, which is cached.

        Objects with nothing said on this frame have their known results (:meth:`results`).
        """
        with self._state.lock:
            known = self.results(frame_idx, object_ids)
            prompt_frames = self._state.open_prompt_frames(frame_idx, self._state.checked_ids(object_ids))
            seen = {p.object_id: r for p in prompt_frames if (r := self._previews.get(p.digest)) is not None}
        new = [p for p in prompt_frames if p.object_id not in seen]
        found = self._previewer.preview(frame_idx, new)
        with self._state.lock:
            for prompt_frame in new:
                result = found[prompt_frame.object_id]
                codes = [rle.counts for rle in (result.rle, result.whole_rle) if rle is not None]
                self._previews.put(prompt_frame.digest, result, sum(map(len, codes)))
        return dict(sorted({**known, **seen, **found}.items()))

    def propagate(
        self,
        frames: range | None = None,
        object_ids: Iterable[int] | None = None,
        *,
        cancel: threading.Event | None = None,
        watch: PropagationWatch | None = None,
    ) -> Iterator[FrameUpdate]:
        """Propagate objects from their prompt frames to all frames that belong to these and have no good result.

        Edits that are made meanwhile are taken into account: what they overtake is not computed to its end or not written, and
        what they make out of date is computed. What has been reported is on disk; a later call goes on from there.

        Args:
            frames: wanted; all when left out. Frames between these and what is known already are computed, too.
            object_ids: all that there are now when left out; locked ones are left alone.
            cancel: when set, the iterator ends, within a few objects of a frame.
            watch: hears of stages, and of masks that may still change.

        Yields:
            results in the order in which they become final, each once.

        Raises:
            QueryError: (at once) there is no such frame or object.
            SessionBusyError: (at once, or at the first step) another propagation of this session runs.
            SamptError: (while iterating) a frame cannot be read, or a result not be written.
        """
        wanted, ids = self._check_frames(frames), self._state.checked_ids(object_ids)
        if self._running.locked():
            raise _busy()
        return self._propagate(wanted, ids, cancel or threading.Event(), watch or PropagationWatch())

    def _edit(self, edit: Callable[[Inputs], Inputs]) -> Inputs:
        inputs = self._state.change(edit, self._save)
        self._note_progress(_PROGRESS_S)
        return inputs

    def _note_progress(self, min_s: float) -> None:
        """Write down how far the project is, unless that was done less than ``min_s`` ago, or nothing has changed since."""
        revision = self._state.revision
        if time.monotonic() - self._noted_s < min_s or revision == self._noted_revision:
            return
        progress = Progress.of(Path(self._content.video.path).name, self.coverage(), self.timelines())
        write_progress(self.project, progress)
        self._noted_s, self._noted_revision = time.monotonic(), revision

    def _save_first(self) -> Session:
        try:
            write_project(self.project, self._content)
        except BaseException:
            self.close()
            raise
        return self

    def _save(self, history: History) -> None:
        content = dataclasses.replace(self._content, history=history)
        write_project(self.project, content)
        self._content = content

    def _propagate(
        self, wanted: range, ids: list[int], cancel: threading.Event, watch: PropagationWatch
    ) -> Iterator[FrameUpdate]:
        if not self._running.acquire(blocking=False):
            raise _busy()
        try:
            watch.on_step("preparing")
            self.video.check_unchanged()
            if self._own_video is None:  # looking at frames does not wait for propagation, nor the other way round
                self._own_video = LockedVideo(open_again(self._content.video))
            working = working_video(self._own_video, self._engine.config.longest_side)
            run = Propagation(self._state, self._engine, self._previewer, self._own_video, working, watch)
            for update in run.run(wanted, ids, lambda: cancel.is_set() or self._state.is_closed):
                yield update
                self._note_progress(_PROGRESS_S)
        finally:
            if not self._state.is_closed:
                self._note_progress(0.0)
            if self._state.is_closed and self._own_video is not None:
                self._own_video.close()
            self._running.release()


def _busy() -> SessionBusyError:
    return SessionBusyError("A propagation of this session runs already; cancel it, or wait for its end.")


def _lock_folder(folder: Path) -> FolderLock:
    return FolderLock(folder, f"The project {folder} is open in another session; close that one first.")
