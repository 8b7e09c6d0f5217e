"""Propagation: computes what is missing, leg by leg, keeps what is good, and leaves out what edits have overtaken meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Iterable, Iterator, Mapping

import numpy as np

from sampt.geometry import rescale_xy
from sampt.masks.merge import ObjectMask
from sampt.pipeline.propagation import Engine
from sampt.session.asking import Asker, query_points
from sampt.session.edits import Inputs
from sampt.session.plan import Leg
from sampt.session.record import Record, record_of
from sampt.session.running import Stopped, WatchedSegmenter, WatchedVideo, follow
from sampt.session.state import SessionState, result_of
from sampt.session.values import FrameUpdate, ObjectResult
from sampt.types import FloatArray, FramePoints, IntArray, ObjectState, Points
from sampt.video.base import Video

__all__ = ["Propagation"]

_POINTS_A_RUN_BITS = 20
"""Points of one run have fewer numbers than two to this power; results of other runs have others."""


class Propagation:
    """One run of :meth:`sampt.session.Session.propagate`.

    Args:
        state: of the session.
        engine: back ends, and settings under which an object's masks do not depend on other objects.
        asker: answers on query frames.
        video: read by nobody else meanwhile.
        working: the same at the size worked on.
    """

    def __init__(self, state: SessionState, engine: Engine, asker: Asker, video: Video, working: Video) -> None:
        self._state, self._engine, self._asker = state, engine, asker
        self._video, self._working = video, working

    def run(self, wanted: range, object_ids: Iterable[int], is_cancelled: Callable[[], bool]) -> Iterator[FrameUpdate]:
        """Until nothing is missing, with edits that come meanwhile; what brings nothing is not tried again."""
        tried = set()
        ids = list(object_ids)
        while not is_cancelled():
            inputs, legs = self._state.legs(wanted, ids)
            keys = [(leg.start, leg.last, *(q.digest for q in leg.queries.values())) for leg in legs]
            new = [(key, leg) for key, leg in zip(keys, legs, strict=True) if key not in tried]
            if not new:
                return
            key, leg = new[0]
            tried.add(key)
            try:
                yield from _Walk(self, inputs, leg, is_cancelled).updates()
            except Stopped:
                tried.discard(key)  # an edit has overtaken it, and an undo may bring it back


class _Walk:
    """One leg."""

    def __init__(self, owner: Propagation, inputs: Inputs, leg: Leg, is_cancelled: Callable[[], bool]) -> None:
        self._state, self._engine, self._asker = owner._state, owner._engine, owner._asker
        self._inputs, self._leg, self._is_cancelled = inputs, leg, is_cancelled
        self._video = owner._video
        self._working = WatchedVideo(owner._working, self._check)
        self._next = leg.start
        self._point_ids: dict[int, int] = {}
        self._begin_run()

    def updates(self) -> Iterator[FrameUpdate]:
        leg = self._leg
        if first := self._at_query_frame():
            yield FrameUpdate(leg.start, first)
        records = {o: self._at_start(o) for o in leg.queries}
        starts = {o: _visible(record) for o, record in records.items()}
        points = Points.concat(self._as_points(row) for row in starts.values())
        self._begin_run()
        if not len(points):
            for frame_idx in leg.frames[1:]:
                yield from self._kept(frame_idx, [], FramePoints.concat([]))
        elif len(leg.frames) > 1:
            sizes = self._video.size_hw, self._working.size_hw
            known = {o: record.object_mask().resized(*sizes) for o, record in records.items()}
            with contextlib.closing(follow(self._watched(), self._working, leg.frames, points, known)) as found:
                for frame_idx, masks, rows in found:
                    if frame_idx == leg.start:
                        self._know_points(starts, rows)
                    else:
                        yield from self._kept(frame_idx, masks, rows)

    def _check(self) -> None:
        """Whether to go on: nobody has cancelled, and the next frame is still wanted of one object at least."""
        if self._is_cancelled() or not any(self._state.is_current(q, self._next) for q in self._leg.queries.values()):
            raise Stopped

    def _begin_run(self) -> None:
        """New points have ids that no others have."""
        self._run = self._state.store.new_run()

    def _new_ids(self, local_ids: IntArray) -> IntArray:
        return local_ids + (self._run << _POINTS_A_RUN_BITS)

    def _watched(self) -> Engine:
        known = None
        if any(q.frame_idx == self._leg.start for q in self._leg.queries.values()):
            frame = self._working.read(self._leg.start, self._leg.start + 1)[0]
            known = (np.array(frame), functools.partial(self._asker.embedding, self._leg.start))
        return dataclasses.replace(self._engine, segmenter=WatchedSegmenter(self._engine.segmenter, self._check, known))

    def _at_query_frame(self) -> dict[int, ObjectResult]:
        """Where the leg starts on its query frame: results there that are missing; what a preview shows is what is kept."""
        start = self._leg.start
        queries = [q for q in self._leg.queries.values() if q.frame_idx == start and not self._state.is_done(q, start)]
        if not queries:
            return {}
        self._check()
        config, size_hw = self._engine.config, self._video.size_hw
        answers = self._asker.answer(self._inputs, start, queries)
        kept = {}
        for query in queries:
            answer = answers[query.object_id]
            points = query_points(query, answer, self._video, config, self._engine.segmenter)
            self._begin_run()
            points = dataclasses.replace(points, point_id=self._new_ids(points.point_id))
            record = record_of(answer, start, query.digest, self._run, points, size_hw)
            if self._state.keep(record, query):
                kept[query.object_id] = result_of(record)
        return kept

    def _at_start(self, object_id: int) -> Record:
        """The result on the leg's first frame."""
        entry = self._state.store.find(object_id, self._leg.start, self._leg.queries[object_id].digest)
        if entry is None:
            raise Stopped  # the query frame has been edited since
        return self._state.store.read(entry)

    def _as_points(self, row: FramePoints) -> Points:
        xy = _resized(row.xy, self._video, self._working)
        return Points(xy, np.full(len(row), self._leg.start), row.object_id, row.is_positive)

    def _know_points(self, starts: Mapping[int, FramePoints], rows: FramePoints) -> None:
        """Points that the leg started from keep their ids; on its first frame they are in the same order."""
        for object_id, row in starts.items():
            own = rows.point_id[rows.object_id == object_id]
            if len(own) == len(row):
                self._point_ids |= zip(own.tolist(), row.point_id.tolist(), strict=True)

    def _named(self, points: FramePoints) -> FramePoints:
        """The points at the video's size, with their ids for good."""
        new = self._new_ids(points.point_id)
        ids = [self._point_ids.get(old, id_) for old, id_ in zip(points.point_id.tolist(), new.tolist(), strict=True)]
        xy = _resized(points.xy, self._working, self._video)
        return dataclasses.replace(points, point_id=np.array(ids, np.int64), xy=xy)

    def _kept(self, frame_idx: int, masks: list[ObjectMask], points: FramePoints) -> Iterator[FrameUpdate]:
        """Write down what is found on a frame, of the objects that still want it, and tell of it."""
        self._next = frame_idx
        self._check()
        by_id, points = {m.object_id: m for m in masks}, self._named(points)
        sizes = self._working.size_hw, self._video.size_hw
        found = {}
        for object_id, query in self._leg.queries.items():
            mask = by_id.get(object_id) or ObjectMask(object_id, ObjectState.RETIRED)
            own = points.select(points.object_id == object_id)
            record = record_of(mask.resized(*sizes), frame_idx, query.digest, self._run, own, sizes[1])
            if self._state.keep(record, query):
                found[object_id] = result_of(record)
        if found:
            yield FrameUpdate(frame_idx, found)


def _visible(record: Record) -> FramePoints:
    """The visible points of a result; none without a positive one."""
    row = record.points.select(record.points.visible)
    return row if row.is_positive.any() else FramePoints.concat([])


def _resized(xy: FloatArray, from_video: Video, to_video: Video) -> FloatArray:
    """Places on the frames of another video; to the last bit where these have one size."""
    from_hw, to_hw = from_video.size_hw, to_video.size_hw
    return xy if from_hw == to_hw else rescale_xy(xy, from_hw, to_hw)
