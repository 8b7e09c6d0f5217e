"""What a session knows at a moment: inputs, the plan that follows from them, and results; shared by its threads."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping

import numpy as np

from sampt.errors import OutputError, QueryError
from sampt.session.edits import History, Inputs, check_frame
from sampt.session.plan import ObjectPlan, PromptFrame, Span, plan_object, plan_spans
from sampt.session.review import find_doubts, find_events, find_flags
from sampt.session.store import Entry, ResultStore
from sampt.session.types import ABSENT, Carried, Coverage, FrameStatus, ObjectTimeline, Record
from sampt.types import ObjectState

__all__ = ["SessionState"]

_ABSENT_ENTRY = Entry(0, 0, ABSENT, ObjectState.GIVEN_ABSENT, float("nan"), 0, 0, False, float("nan"), 0)
"""Of no record: where a person said that an object is absent, nothing is computed and nothing stored."""


class SessionState:
    """Inputs, plans and results under one lock, which callers of several methods in a row may hold (:attr:`lock`).

    Attributes:
        revision: grows with every change of inputs or results.
        settings_digest: of the video, the settings and the backends.
        is_closed: nothing can be changed or written any more.
    """

    def __init__(self, history: History, store: ResultStore, settings_digest: str) -> None:
        self.lock = threading.RLock()
        self.history, self.store, self.settings_digest = history, store, settings_digest
        self.revision = 0
        self.is_closed = False
        self._plans: dict[int, ObjectPlan] = {}
        self._reviewed: dict[tuple[int, int], bytes] = {}
        self._planned_for: Inputs | None = None

    @property
    def inputs(self) -> Inputs:
        return self.history.now

    def plans(self) -> Mapping[int, ObjectPlan]:
        """Every object's plan."""
        with self.lock:
            if self._planned_for is not self.inputs:
                ids = [o.object_id for o in self.inputs.objects]
                self._plans = {o: plan_object(self.inputs, o, self.settings_digest) for o in ids}
                self._reviewed = {(r.object_id, r.frame_idx): bytes.fromhex(r.digest) for r in self.inputs.reviewed}
                self._planned_for = self.inputs
            return self._plans

    def change(self, edit: Callable[[Inputs], Inputs], save: Callable[[History], None]) -> Inputs:
        """Make an edit one step, once it is saved, and give the inputs then; an edit that changes nothing is none."""
        with self.lock:
            self.check_open()
            new = edit(self.inputs)
            if new != self.inputs:
                self._go(self.history.step(new), save)
            return self.inputs

    def go_back(self, save: Callable[[History], None]) -> bool:
        """Undo a step."""
        with self.lock:
            self.check_open()
            if not self.history.before:
                return False
            self._go(self.history.undo(), save)
            return True

    def go_forth(self, save: Callable[[History], None]) -> bool:
        """Do again what was undone last."""
        with self.lock:
            self.check_open()
            if not self.history.after:
                return False
            self._go(self.history.redo(), save)
            return True

    def _go(self, history: History, save: Callable[[History], None]) -> None:
        save(history)
        self.history = history
        self.revision += 1

    def checked_ids(self, object_ids: Iterable[int] | None) -> list[int]:
        """The objects meant: all for None.

        Raises:
            QueryError: one is unknown.
        """
        with self.lock:
            if object_ids is None:
                return [o.object_id for o in self.inputs.objects]
            return [self.inputs.object(o).object_id for o in dict.fromkeys(object_ids)]

    def check_frame(self, frame_idx: int) -> int:
        """The frame, when the video has it; raises QueryError otherwise."""
        return check_frame(self.inputs, frame_idx)

    def open_prompt_frames(self, frame_idx: int, object_ids: Iterable[int]) -> list[PromptFrame]:
        """What is said of objects on the frame itself, where the result of that is not known yet."""
        with self.lock:
            found = [self.plans()[o].at(frame_idx) for o in object_ids]
            here = [p for p in found if p is not None and p.frame_idx == frame_idx]
            return [p for p in here if not self.is_done(p, frame_idx)]

    def entry(self, object_id: int, frame_idx: int) -> tuple[Entry | None, bool]:
        """What is known of an object on a frame, and whether it is out of date; nothing without a prompt frame."""
        with self.lock:
            plan = self.plans().get(object_id)
            prompt_frame = None if plan is None else plan.at(frame_idx)
            if prompt_frame is None:
                return None, False
            good = self._marked(prompt_frame, frame_idx)
            if good is None and prompt_frame.is_absent:
                good = _ABSENT_ENTRY
            good = good or self.store.find(object_id, frame_idx, prompt_frame.digest)
            return (good, False) if good is not None else (self.store.newest(object_id, frame_idx), True)

    def record(self, object_id: int, frame_idx: int) -> tuple[Record | None, bool]:
        """The same, read from disk."""
        entry, is_stale = self.entry(object_id, frame_idx)
        if entry is _ABSENT_ENTRY:
            return Record.given_absent(object_id, frame_idx, self.inputs.size_hw), is_stale
        return (None if entry is None else self.store.read(entry)), is_stale

    def carried(self, object_id: int, frame_idx: int) -> Carried | None:
        """What a correction on a frame would start from: mask and visible points of the result that is seen there."""
        record, _ = self.record(object_id, frame_idx)
        if record is None or record.state is not ObjectState.PRESENT:
            return None
        seen = record.points.select(record.points.visible)
        xy = tuple((float(x), float(y)) for x, y in np.round(seen.xy.astype(np.float64), 2))
        signs = tuple(bool(s) for s in seen.is_positive)
        return Carried(object_id, frame_idx, xy, signs, record.area_px, record.rle, record.score)

    def seen_from_elsewhere(self, prompt_frame: PromptFrame, frame_idx: int) -> Record | None:
        """What the nearest other prompt frame of the object, as it is now, was propagated to on a frame of ``prompt_frame``."""
        with self.lock:
            plan = self.plans().get(prompt_frame.object_id)  # none when the object has been removed meanwhile
            others = [p for p in plan.prompt_frames if p.digest != prompt_frame.digest] if plan is not None else []
            for other in sorted(others, key=lambda p: abs(p.frame_idx - frame_idx)):
                if (entry := self.store.find(prompt_frame.object_id, frame_idx, other.digest)) is not None:
                    return self.store.read(entry)
        return None

    def is_done(self, prompt_frame: PromptFrame, frame_idx: int) -> bool:
        """Whether there is a good result: one of the inputs as they are, or one that a person has marked good; or whether none
        is needed, as a person said that the object is not on the frame."""
        plan = self.plans().get(prompt_frame.object_id)
        if prompt_frame.is_absent or (plan is not None and frame_idx in plan.alone):
            return True
        if self._marked(prompt_frame, frame_idx) is not None:
            return True
        return self.store.find(prompt_frame.object_id, frame_idx, prompt_frame.digest) is not None

    def _marked(self, prompt_frame: PromptFrame, frame_idx: int) -> Entry | None:
        """The result that a person has marked good, whatever has changed elsewhere since; what is said on a prompt frame itself
        is the stronger word."""
        if frame_idx == prompt_frame.frame_idx:
            return None
        self.plans()  # and with them the marks
        digest = self._reviewed.get((prompt_frame.object_id, frame_idx))
        if digest == ABSENT:
            return _ABSENT_ENTRY
        return None if digest is None else self.store.find(prompt_frame.object_id, frame_idx, digest)

    def absent_ranges(self, object_id: int) -> list[range]:
        """The frames from each absence to the next prompt frame."""
        return [p.frames for p in self.plans()[object_id].prompt_frames if p.is_absent]

    def reviewed_frames(self, object_id: int) -> list[int]:
        """Frames whose result a person has marked good, ascending."""
        return sorted(r.frame_idx for r in self.inputs.reviewed if r.object_id == object_id)

    def seen_digest(self, object_id: int, frame_idx: int) -> bytes:
        """Of what the result that is seen on a frame was made from; raises QueryError where there is none."""
        with self.lock:
            name, frame_idx = self.inputs.object(object_id).name, self.check_frame(frame_idx)
            here = self.open_prompt_frames(frame_idx, [object_id])  # a preview of it is seen
            entry, _ = self.entry(object_id, frame_idx)
        if here:
            return here[0].digest
        if entry is None:
            raise QueryError(f"{name} has no result on frame {frame_idx} yet that could be marked; propagate it first.")
        return entry.digest

    def stale_frames(self, object_id: int) -> list[int]:
        """Frames without a good result, ascending."""
        with self.lock:
            prompt_frames = self.plans()[object_id].prompt_frames
            return [f for prompt_frame in prompt_frames for f in prompt_frame.frames if not self.is_done(prompt_frame, f)]

    def spans(self, wanted: range, object_ids: Iterable[int]) -> list[Span]:
        """What has to be computed now; locked and removed objects are left out."""
        with self.lock:
            open_ids = {o.object_id for o in self.inputs.objects if not o.is_locked}.intersection(object_ids)
            plans = {o: self.plans()[o] for o in sorted(open_ids)}
            return plan_spans(plans, wanted, self.is_done, self._can_start)

    def count_missing(self, wanted: range, object_ids: Iterable[int]) -> int:
        """Results that have to be computed now: objects times frames."""
        with self.lock:
            spans = self.spans(wanted, object_ids)
            parts = ((p, f) for span in spans for p in span.prompt_frames.values() for f in span.frames)
            return len({(p.object_id, f) for p, f in parts if not self.is_done(p, f)})

    def coverage(self, wanted: range, object_ids: Iterable[int]) -> Coverage:
        """See :meth:`sampt.session.session.Session.coverage`."""
        with self.lock:
            ids = [o for o in object_ids if self.plans()[o].prompt_frames]
            found = [[self._status(o, frame_idx) for o in ids] for frame_idx in wanted]
        count = Counter(min(status for status, _ in frame) for frame in found if frame)
        return Coverage(
            len(wanted),
            sum(any(has_mask for _, has_mask in frame) for frame in found),
            count[FrameStatus.DONE],
            count[FrameStatus.STALE],
            count[FrameStatus.UNKNOWN],
        )

    def _status(self, object_id: int, frame_idx: int) -> tuple[FrameStatus, bool]:
        """What an export has of an object on a frame, and whether that is a mask that is up to date."""
        entry, is_stale = self.entry(object_id, frame_idx)
        if entry is not None and not is_stale:
            return FrameStatus.DONE, entry.area_px > 0
        prompt_frame = self.plans()[object_id].at(frame_idx)
        if prompt_frame is not None and prompt_frame.frame_idx == frame_idx:
            return FrameStatus.DONE, True  # previewed
        return (FrameStatus.UNKNOWN if entry is None else FrameStatus.STALE), False

    def close(self) -> None:
        """Close the file of results; a second call does nothing."""
        with self.lock:
            self.is_closed = True
            self.store.close()

    def check_open(self) -> None:
        """Raises OutputError when the session is closed."""
        if self.is_closed:
            raise OutputError(f"The session on {self.store.path.parent} is closed; open the project again.")

    def _can_start(self, prompt_frame: PromptFrame, frame_idx: int) -> bool:
        entry = self.store.find(prompt_frame.object_id, frame_idx, prompt_frame.digest)
        return entry is not None and entry.can_start

    def is_current(self, prompt_frame: PromptFrame, frame_idx: int) -> bool:
        """Whether results made from ``prompt_frame`` are good ones there, as the inputs are now; of the frame itself something
        else may be said."""
        with self.lock:
            plan = self.plans().get(prompt_frame.object_id)
            now = None if plan is None else plan.around(frame_idx)
            return now is not None and now.digest == prompt_frame.digest

    def write(self, record: Record, prompt_frame: PromptFrame) -> bool:
        """Write a result down, unless its inputs are of the past, or it is there already; tells whether that was done."""
        with self.lock:
            is_wanted = self.is_current(prompt_frame, record.frame_idx) and not self.is_done(prompt_frame, record.frame_idx)
            if self.is_closed or not is_wanted:
                return False
            self.store.append(record)
            self.revision += 1
            return True

    def timeline(self, object_id: int) -> ObjectTimeline:
        """The object over all frames."""
        num_frames = self.inputs.num_frames
        state, points = np.zeros(num_frames, np.uint8), np.zeros(num_frames, np.int64)
        score, area = np.full(num_frames, np.nan, np.float32), np.zeros(num_frames, np.int64)
        good, reasons = np.full(num_frames, np.nan, np.float32), np.zeros(num_frames, np.uint8)
        has_input, is_given_absent = np.zeros(num_frames, np.bool_), np.zeros(num_frames, np.bool_)
        with self.lock:
            for frame_idx in range(num_frames):
                entry, is_stale = self.entry(object_id, frame_idx)
                is_given_absent[frame_idx] = entry is _ABSENT_ENTRY
                if entry is not None:
                    state[frame_idx] = FrameStatus.STALE if is_stale else FrameStatus.DONE
                    score[frame_idx], area[frame_idx] = entry.score, entry.area_px
                    points[frame_idx] = entry.num_visible
                    good[frame_idx], reasons[frame_idx] = entry.good_probability, entry.reasons
            has_input[sorted(self.inputs.frames_with_input(object_id))] = True
            reviewed = np.isin(np.arange(num_frames), self.reviewed_frames(object_id))
        seen = np.where(is_given_absent, np.uint8(FrameStatus.UNKNOWN), state)  # what a person said is no jump
        flags = find_flags(seen, score, points, area)
        if not np.isnan(good).all():  # a person's own inputs are no doubts where these are calibrated
            flags = np.where(np.isnan(good), np.where(has_input, np.uint8(0), flags), find_doubts(good, reasons))
        events = find_events(flags, good, reviewed)
        shown = np.where(reviewed, np.uint8(0), flags)
        return ObjectTimeline(state, area > 0, score, points, area, has_input, reviewed, shown, good, events)
