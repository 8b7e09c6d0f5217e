"""What a session tells of what it knows; nothing is computed, but for previews among exported masks."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator
from typing import TypeVar

import numpy as np

from sampt.config import SegmentConfig
from sampt.errors import QueryError
from sampt.masks.merge import ObjectMask, merge_objects
from sampt.session.plan import list_ranges
from sampt.session.preview import Previewer
from sampt.session.state import SessionState
from sampt.session.types import BoxInput, Click, Coverage, MaskInput, ObjectResult, ObjectTimeline, Record, SessionObject
from sampt.types import FrameMasks, FramePoints, ObjectState

__all__ = ["SessionReader"]

_Given = TypeVar("_Given", Click, BoxInput, MaskInput)


class SessionReader:
    """The part of :class:`sampt.session.Session` that only reads. Any thread may use it, whatever others do.

    Attributes:
        config: settings.
    """

    config: SegmentConfig
    _state: SessionState
    _previewer: Previewer

    @property
    def revision(self) -> int:
        """Grows with every change of what was given and of results."""
        return self._state.revision

    @property
    def num_frames(self) -> int:
        return self._state.inputs.num_frames

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._state.inputs.size_hw

    @property
    def can_undo(self) -> bool:
        return bool(self._state.history.before)

    @property
    def can_redo(self) -> bool:
        return bool(self._state.history.after)

    @property
    def objects(self) -> tuple[SessionObject, ...]:
        """In the order in which they were added."""
        return self._state.inputs.objects

    def clicks(self, frame_idx: int | None = None, object_id: int | None = None) -> tuple[Click, ...]:
        """The points that were given: all, or those on a frame, of an object, or both."""
        return _select(self._state.inputs.clicks, frame_idx, object_id)

    def boxes(self, frame_idx: int | None = None, object_id: int | None = None) -> tuple[BoxInput, ...]:
        """The boxes that were given, likewise."""
        return _select(self._state.inputs.boxes, frame_idx, object_id)

    def given_masks(self, frame_idx: int | None = None, object_id: int | None = None) -> tuple[MaskInput, ...]:
        """The masks that were given or edited, likewise."""
        return _select(self._state.inputs.masks, frame_idx, object_id)

    def clicks_alone(self) -> tuple[tuple[int, int], ...]:
        """Objects and frames where the clicks alone count (:meth:`sampt.session.Session.use_clicks_alone`)."""
        return tuple((c.object_id, c.frame_idx) for c in self._state.inputs.carried if not c.xy and c.rle is None)

    def absent(self, object_ids: Iterable[int] | None = None) -> dict[int, tuple[range, ...]]:
        """The frames on which each object is absent because a person said so (:meth:`sampt.session.Session.set_absent`): from
        such a word to the next frame that says where it is."""
        with self._state.lock:
            return {o: tuple(self._state.absent_ranges(o)) for o in self._state.checked_ids(object_ids)}

    def reviewed(self, object_ids: Iterable[int] | None = None) -> dict[int, tuple[range, ...]]:
        """The frames on which a person has marked each object's result good."""
        with self._state.lock:
            return {o: list_ranges(self._state.reviewed_frames(o)) for o in self._state.checked_ids(object_ids)}

    def results(self, frame_idx: int, object_ids: Iterable[int] | None = None) -> dict[int, ObjectResult]:
        """What is known of objects on a frame, read from disk; objects of which nothing is known are left out."""
        with self._state.lock:
            frame_idx, ids = self._state.check_frame(frame_idx), self._state.checked_ids(object_ids)
            found = ((o, *self._state.record(o, frame_idx)) for o in ids)
            return {o: record.to_result(is_stale=is_stale) for o, record, is_stale in found if record is not None}

    def points(self, frame_idx: int, object_ids: Iterable[int] | None = None) -> FramePoints:
        """The points of these results, in pixels of the video: tracked ones, and on prompt frames those that are tracked from
        there. Ids are those of :class:`~sampt.types.FramePoints`: of one point for as long as it is tracked.
        """
        with self._state.lock:
            frame_idx, ids = self._state.check_frame(frame_idx), self._state.checked_ids(object_ids)
            records = [record for o in ids if (record := self._state.record(o, frame_idx)[0]) is not None]
        return FramePoints.concat([record.points for record in records])

    def stale(self, object_ids: Iterable[int] | None = None) -> dict[int, tuple[range, ...]]:
        """The frames on which each object has no result of what is given now; none for an object without a prompt frame."""
        with self._state.lock:
            return {o: list_ranges(self._state.stale_frames(o)) for o in self._state.checked_ids(object_ids)}

    def count_missing(self, frames: range | None = None, object_ids: Iterable[int] | None = None) -> int:
        """How many results :meth:`propagate` would compute now: objects times frames, those on the way included."""
        return self._state.count_missing(self._check_frames(frames), self._state.checked_ids(object_ids))

    def timelines(self, object_ids: Iterable[int] | None = None) -> dict[int, ObjectTimeline]:
        """Each object over all frames: what is known, scores, areas, points, and what needs review."""
        return {o: self._state.timeline(o) for o in self._state.checked_ids(object_ids)}

    def merged_masks(self, frames: range | None = None, object_ids: Iterable[int] | None = None) -> Iterator[FrameMasks]:
        """Results as the pipeline gives them: no pixel is two objects' (unless ``config.overlapping``).

        On a prompt frame whose inputs have not been propagated yet they are what :meth:`Session.preview` shows there; on other
        frames what is known, out of date or not (:meth:`coverage` tells).

        Args:
            frames: all when left out; those without any result are left out.
            object_ids: all when left out, hidden ones included. One without a result on a frame is absent there.
        """
        return self._merge(self._check_frames(frames), self._state.checked_ids(object_ids))

    def coverage(self, frames: range | None = None, object_ids: Iterable[int] | None = None) -> Coverage:
        """What :meth:`merged_masks` would give of these frames and objects, without computing any of it."""
        wanted, ids = self._check_frames(frames), self._state.checked_ids(object_ids)
        return self._state.coverage(wanted, ids)

    def _check_frames(self, frames: range | None) -> range:
        if frames is None:
            return range(self.num_frames)
        if not isinstance(frames, range) or (len(frames) and not (min(frames) >= 0 and max(frames) < self.num_frames)):
            raise QueryError(f"The frames are {frames!r}; expected a range within 0 to {self.num_frames - 1}.")
        return frames

    def _merge(self, frames: range, object_ids: list[int]) -> Iterator[FrameMasks]:
        for frame_idx in frames:
            known = self._find_records(frame_idx, object_ids)
            if not known:
                continue
            missing = [ObjectMask(o, ObjectState.BEFORE_QUERY) for o in object_ids if o not in known]
            masks = [record.object_mask() for record in known.values()] + missing
            points = FramePoints.concat([record.points for record in known.values()])
            config = self.config
            merged = merge_objects(
                frame_idx, masks, self.size_hw, points, overlapping=config.overlapping, compete=config.reinit.compete
            )
            good = {o: record.good_probability for o, record in known.items() if record.good_probability is not None}
            values = np.array([good.get(o, np.nan) for o in merged.object_ids.tolist()])
            yield dataclasses.replace(merged, good_probability=values) if good else merged

    def _find_records(self, frame_idx: int, object_ids: list[int]) -> dict[int, Record]:
        """What there is of objects on a frame, with previews; objects of which there is nothing are left out."""
        with self._state.lock:
            found = {o: self._state.record(o, frame_idx)[0] for o in object_ids}
            said = self._state.open_prompt_frames(frame_idx, object_ids)
        found |= self._previewer.records(frame_idx, said) if said else {}
        return {o: record for o, record in found.items() if record is not None}


def _select(items: tuple[_Given, ...], frame_idx: int | None, object_id: int | None) -> tuple[_Given, ...]:
    return tuple(i for i in items if frame_idx in (None, i.frame_idx) and object_id in (None, i.object_id))
