"""Propagation: computes what is missing, span by span, writes what is good, leaves out what edits have overtaken meanwhile."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence

import numpy as np

from sampt.geometry import rescale_xy
from sampt.masks.merge import ObjectMask
from sampt.masks.rle import encode_mask
from sampt.pipeline.propagation import Engine, segmented_frames, tracked_frames
from sampt.pipeline.windowed import run_windows
from sampt.session.plan import PromptFrame, Span
from sampt.session.preview import Previewer, sample_prompt_frame
from sampt.session.quality import QualityMeter, ReducedFrames, explain, good_probability, is_calibrated
from sampt.session.rejoining import Rejoining
from sampt.session.state import SessionState
from sampt.session.types import FrameUpdate, ObjectResult, PropagationStage, PropagationWatch, Record
from sampt.session.watched import TOGETHER, Stopped, WatchedSegmenter, WatchedTracker, WatchedVideo
from sampt.types import FloatArray, FramePoints, IntArray, ObjectState, Points
from sampt.video.base import SubVideo, Video

__all__ = ["Propagation"]

_POINTS_A_RUN_BITS = 20
"""Points of one run have fewer numbers than two to this power; results of other runs have others."""
_PROVISIONAL_S = 0.2
"""Between two provisional results: a person sees that it goes on, and making them costs little."""


class Propagation:
    """One run of :meth:`sampt.session.Session.propagate`.

    Args:
        state: of the session.
        engine: backends, and settings under which an object's masks do not depend on other objects.
        previewer: predicts on prompt frames.
        video: read by nobody else meanwhile.
        working: the same at the size worked on.
        watch: hears what goes on.
    """

    def __init__(
        self,
        state: SessionState,
        engine: Engine,
        previewer: Previewer,
        video: Video,
        working: Video,
        watch: PropagationWatch,
    ) -> None:
        self._state, self._engine, self._previewer = state, engine, previewer
        self._video, self._working, self._watch = video, working, watch

    def run(self, wanted: range, object_ids: Iterable[int], is_cancelled: Callable[[], bool]) -> Iterator[FrameUpdate]:
        """Until nothing is missing, with edits that come meanwhile; what brings nothing is not tried again."""
        tried = set()
        ids = list(object_ids)
        while not is_cancelled():
            spans = self._state.spans(wanted, ids)
            keys = [(span.start, span.last, *(p.digest for p in span.prompt_frames.values())) for span in spans]
            new = [(key, span) for key, span in zip(keys, spans, strict=True) if key not in tried]
            if not new:
                return
            key, span = new[0]
            tried.add(key)
            try:
                yield from _SpanRun(self, span, is_cancelled).updates()
            except Stopped:
                tried.discard(key)  # an edit has overtaken it, and an undo may bring it back


class _SpanRun:
    """One span."""

    def __init__(self, owner: Propagation, span: Span, is_cancelled: Callable[[], bool]) -> None:
        self._state, self._engine, self._previewer = owner._state, owner._engine, owner._previewer
        self._span, self._is_cancelled = span, is_cancelled
        self._video, self._watch = owner._video, owner._watch
        self._working = WatchedVideo(owner._working, self._check)
        self._reduced = ReducedFrames(self._working)
        self._meters: dict[int, QualityMeter] = {}
        self._reported_s = 0.0
        self._next = span.start
        self._rejoining = Rejoining(owner._state, span)
        self._point_ids: dict[int, int] = {}
        self._begin_run()

    def updates(self) -> Iterator[FrameUpdate]:
        span = self._span
        for first in self._at_prompt_frame():
            yield FrameUpdate(span.start, first)
        records = {o: self._at_start(o) for o in span.prompt_frames}
        starts = {o: _visible(record) for o, record in records.items()}
        points = Points.concat(self._as_points(row) for row in starts.values())
        self._begin_run()
        if not len(points):
            for frame_idx in span.frames[1:]:
                yield from self._write(frame_idx, [], FramePoints.concat([]))
        elif len(span.frames) > 1:
            sizes = self._video.size_hw, self._working.size_hw
            known = {o: record.object_mask().resized(*sizes) for o, record in records.items()}
            engine = self._make_watched()
            self._begin_quality(records)
            video = self._reduced if self._meters else self._working  # reducing costs milliseconds a frame
            with contextlib.closing(propagate_points(engine, video, span.frames, points, known)) as found:
                for frame_idx, masks, rows in found:
                    if frame_idx == span.start:
                        self._know_points(starts, rows)
                    else:
                        yield from self._write(frame_idx, masks, rows)

    def _check(self, stage: PropagationStage | None = None) -> None:
        """Whether to go on: nobody has cancelled, and the next frame is still wanted of one object at least."""
        self._watch.on_step(stage)
        going_on = [p for o, p in self._span.prompt_frames.items() if o not in self._rejoining.object_ids]
        if self._is_cancelled() or not any(self._state.is_current(p, self._next) for p in going_on):
            raise Stopped

    def _begin_quality(self, records: Mapping[int, Record]) -> None:
        """What the masks to come are compared with, where that tells how good they are."""
        if is_calibrated(self._engine.tracker, self._engine.segmenter):
            reduced = self._reduced.reduced(self._span.start)
            self._meters = {o: QualityMeter(record, reduced) for o, record in records.items() if record.area_px}

    def _judged(self, record: Record) -> Record:
        """The result with the probability that it is good."""
        meter = self._meters.get(record.object_id)
        if meter is None:
            return record
        features = meter.measure(record, self._reduced.reduced(record.frame_idx))
        return dataclasses.replace(record, good_probability=good_probability(features), reasons=explain(features))

    def _begin_run(self) -> None:
        """New points have ids that no others have."""
        self._run = self._state.store.new_run()

    def _new_ids(self, local_ids: IntArray) -> IntArray:
        return local_ids + (self._run << _POINTS_A_RUN_BITS)

    def _make_watched(self) -> Engine:
        known = None
        if any(p.frame_idx == self._span.start for p in self._span.prompt_frames.values()):
            frame = self._reduced.read(self._span.start, self._span.start + 1)[0]
            known = (np.array(frame), functools.partial(self._previewer.embedding, self._span.start))
        return dataclasses.replace(
            self._engine,
            tracker=WatchedTracker(self._engine.tracker, self._check),
            segmenter=WatchedSegmenter(self._engine.segmenter, self._check, known),
            check=lambda: self._check("segmenting"),
            on_masks=self._report_provisional if self._watch.on_provisional is not None else None,
        )

    def _report_provisional(self, number: int, masks: Sequence[ObjectMask]) -> None:
        """Tell of masks on the span's frame of that number, which may still change."""
        if self._watch.on_provisional is None or not number or time.monotonic() - self._reported_s < _PROVISIONAL_S:
            return
        frame_idx, sizes = self._span.frames[number], (self._working.size_hw, self._video.size_hw)
        results = {}
        for found in masks:
            prompt_frame = self._span.prompt_frames.get(found.object_id)
            if prompt_frame is None or self._state.is_done(prompt_frame, frame_idx):
                continue
            mask = found.resized(*sizes).mask(sizes[1])
            score = None if np.isnan(found.score) else float(found.score)
            results[found.object_id] = ObjectResult(
                found.object_id, frame_idx, found.state, score, encode_mask(mask) if mask.any() else None, 0
            )
        if results:
            self._watch.on_provisional(FrameUpdate(frame_idx, results))
        self._reported_s = time.monotonic()  # what it took does not count: with many objects it may be as long as the pause

    def _at_prompt_frame(self) -> Iterator[dict[int, ObjectResult]]:
        """Where the span starts on its prompt frame: results missing there; what a preview shows is what is written."""
        start = self._span.start
        prompt_frames = [
            p for p in self._span.prompt_frames.values() if p.frame_idx == start and not self._state.is_done(p, start)
        ]
        for first in range(0, len(prompt_frames), TOGETHER):
            self._check("segmenting")
            if written := self._write_prompted(prompt_frames[first : first + TOGETHER]):
                yield written

    def _write_prompted(self, prompt_frames: Sequence[PromptFrame]) -> dict[int, ObjectResult]:
        start, config, size_hw = self._span.start, self._engine.config, self._video.size_hw
        masks = self._previewer.predict(start, prompt_frames)
        written = {}
        for prompt_frame in prompt_frames:
            mask = masks[prompt_frame.object_id]
            points = sample_prompt_frame(prompt_frame, mask, self._video, config, self._engine.segmenter)
            self._begin_run()
            points = dataclasses.replace(points, point_id=self._new_ids(points.point_id))
            record = Record.of(mask, start, prompt_frame.digest, self._run, points, size_hw)
            if self._state.write(record, prompt_frame):
                written[prompt_frame.object_id] = record.to_result()
        return written

    def _at_start(self, object_id: int) -> Record:
        """The result on the span's first frame."""
        entry = self._state.store.find(object_id, self._span.start, self._span.prompt_frames[object_id].digest)
        if entry is None:
            raise Stopped  # the prompt frame has been edited since
        return self._state.store.read(entry)

    def _as_points(self, row: FramePoints) -> Points:
        return row.to_points(self._span.start).with_xy(_resize(row.xy, self._video, self._working))

    def _know_points(self, starts: Mapping[int, FramePoints], rows: FramePoints) -> None:
        """Points that the span started from keep their ids; on its first frame they are in the same order."""
        for object_id, row in starts.items():
            own = rows.point_id[rows.object_id == object_id]
            if len(own) == len(row):
                self._point_ids |= zip(own.tolist(), row.point_id.tolist(), strict=True)

    def _named(self, points: FramePoints) -> FramePoints:
        """The points at the video's size, with their ids for good."""
        new = self._new_ids(points.point_id)
        ids = [self._point_ids.get(old, id_) for old, id_ in zip(points.point_id.tolist(), new.tolist(), strict=True)]
        xy = _resize(points.xy, self._working, self._video)
        return dataclasses.replace(points, point_id=np.array(ids, np.int64), xy=xy)

    def _write(self, frame_idx: int, masks: list[ObjectMask], points: FramePoints) -> Iterator[FrameUpdate]:
        """Write down what is found on a frame, of the objects that still want it, and tell of it."""
        self._next = frame_idx
        self._check()
        by_id, points = {m.object_id: m for m in masks}, self._named(points)
        sizes = self._working.size_hw, self._video.size_hw
        found, rejoined = {}, []
        for object_id, prompt_frame in self._span.prompt_frames.items():
            mask = by_id.get(object_id) or ObjectMask(object_id, ObjectState.RETIRED)
            own = points.select(points.object_id == object_id)
            record = self._judged(Record.of(mask.resized(*sizes), frame_idx, prompt_frame.digest, self._run, own, sizes[1]))
            seen = self._state.seen_from_elsewhere(prompt_frame, frame_idx)
            chosen = record if seen is None else self._rejoining.choose(record, seen)
            if self._state.write(chosen, prompt_frame):
                found[object_id] = chosen.to_result()
                if seen is not None and self._rejoining.begins(record, seen):
                    rejoined.append(object_id)
        if found:
            yield FrameUpdate(frame_idx, found)
        for object_id in rejoined:
            for kept in self._rejoining.keep_rest(object_id, frame_idx):
                yield FrameUpdate(kept.frame_idx, {object_id: kept.to_result()})


def _visible(record: Record) -> FramePoints:
    """The visible points of a result; none without a positive one."""
    row = record.points.select(record.points.visible)
    return row if row.is_positive.any() else FramePoints.concat([])


def _resize(xy: FloatArray, from_video: Video, to_video: Video) -> FloatArray:
    """Locations on the frames of another video; to the last bit where these have one size."""
    from_hw, to_hw = from_video.size_hw, to_video.size_hw
    return xy if from_hw == to_hw else rescale_xy(xy, from_hw, to_hw)


def propagate_points(
    engine: Engine, working: Video, frames: range, points: Points, known: Mapping[int, ObjectMask]
) -> Generator[tuple[int, list[ObjectMask], FramePoints], None, None]:
    """Objects on ``frames``, which may run backward, from ``points`` on the first of them.

    With re-initialisation as the settings say it, window by window, else with the points alone; then the segmenter is not
    prompted on the first frame.

    Args:
        engine: backends and settings.
        working: the video at the working size.
        frames: of it, in the order of propagation.
        points: on the first of these.
        known: by object, the masks there, at the working size.

    Yields:
        for every frame in order: its index, the masks of objects that have not been given up, and all points there; both at
        the working size.
    """
    view, local = SubVideo(working, frames), points.shifted(-frames[0])
    if engine.config.reinit.enabled:
        for i, masks, rows in run_windows(engine, view, local, {(o, 0): mask for o, mask in known.items()}):
            yield frames[i], masks, FramePoints.concat(rows)
        return
    ids = local.object_ids
    for found in segmented_frames(engine, tracked_frames(engine, view, local), ids, lambda i: ids if i else ()):
        yield frames[found.frame_idx], found.masks, found.points
