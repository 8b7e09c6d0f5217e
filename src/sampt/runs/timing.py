"""Where a run's time goes: proxies that stand in for a run's parts and count the seconds inside them."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from sampt.segmenters.base import PromptableSegmenter, RefinementPlan, SegmenterView
from sampt.trackers.base import (
    FrameSource,
    PointTracker,
    StreamingTracks,
    TrackerInfo,
    TrackerStream,
    TrackStep,
    start_streaming,
)
from sampt.types import FloatArray, MaskPrediction, ObjectPrompt, Points, QueryMask, Tracks, UInt8Array
from sampt.video.base import Video, VideoView

__all__ = ["StageClock", "TimedSegmenter", "TimedTracker", "TimedVideo"]


class StageClock:
    """Seconds by stage; a stage inside another one is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._open: list[str] = []
        self._since = 0.0

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Count the time inside the block as ``name``."""
        self._switch()
        self._open.append(name)
        try:
            yield
        finally:
            self._switch()
            self._open.pop()

    def _switch(self) -> None:
        now = time.perf_counter()
        if self._open:
            self.seconds[self._open[-1]] += now - self._since
        self._since = now


class TimedVideo(VideoView):
    """A video whose reading counts as ``read``."""

    def __init__(self, video: Video, clock: StageClock) -> None:
        super().__init__(video)
        self._clock = clock

    def read(self, start: int, stop: int) -> UInt8Array:
        with self._clock.stage("read"):
            return self.video.read(start, stop)


class TimedSegmenter(SegmenterView):
    """A segmenter whose work counts as ``encode`` and ``decode``."""

    def __init__(self, segmenter: PromptableSegmenter, clock: StageClock) -> None:
        super().__init__(segmenter)
        self._clock = clock

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        with self._clock.stage("encode"):
            return self.segmenter.encode(frames)

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        with self._clock.stage("decode"):
            return self.segmenter.decode(embedding, prompts, full_size=full_size)

    def decode_with_refinement(
        self, embedding: Any, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> list[MaskPrediction]:
        with self._clock.stage("decode"):
            return super().decode_with_refinement(embedding, prompts, plan)


class TimedTracker:
    """A tracker whose work counts as ``track``."""

    def __init__(self, tracker: PointTracker, clock: StageClock) -> None:
        self._tracker = tracker
        self._clock = clock

    @property
    def info(self) -> TrackerInfo:
        return self._tracker.info

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        with self._clock.stage("track"):
            return self._tracker.track(video, points, query_masks)

    def stream(self) -> TrackerStream:
        """Of a causal tracker."""
        stream: TrackerStream = self._tracker.stream()  # type: ignore[attr-defined]
        return _TimedStream(stream, self._clock)

    def start(self, points: Points) -> StreamingTracks:
        """Of a tracker that tracks on streamed frames."""
        return _TimedTracks(start_streaming(self._tracker, points), self._clock)


class _TimedTracks(StreamingTracks):
    def __init__(self, tracks: StreamingTracks, clock: StageClock) -> None:
        self._tracks, self._clock = tracks, clock

    def add(self, points: Points) -> None:
        self._tracks.add(points)

    def push(self, frames: UInt8Array) -> list[TrackStep]:
        with self._clock.stage("track"):
            return self._tracks.push(frames)

    def finish(self) -> list[TrackStep]:
        with self._clock.stage("track"):
            return self._tracks.finish()

    def _push(self, frame: UInt8Array) -> list[TrackStep]:
        return self.push(frame[None])


class _TimedStream(TrackerStream):
    def __init__(self, stream: TrackerStream, clock: StageClock) -> None:
        self._stream = stream
        self._clock = clock

    def push(self, frame: UInt8Array) -> TrackStep:
        with self._clock.stage("track"):
            return self._stream.push(frame)

    def add(self, xy: FloatArray) -> None:
        self._stream.add(xy)
