"""Backends and a video that check, again and again while they work for a propagation, whether it is still wanted."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from sampt.segmenters.base import PromptableSegmenter, RefinementPlan, SegmenterView
from sampt.session.types import PropagationStage
from sampt.trackers.base import CausalTracker, FrameSource, PointTracker, TrackerInfo, TrackerStream, TrackStep, find_stream
from sampt.types import FloatArray, MaskPrediction, ObjectPrompt, Points, QueryMask, Tracks, UInt8Array
from sampt.video.base import Video, VideoView

__all__ = ["TOGETHER", "Stopped", "WatchedSegmenter", "WatchedTracker", "WatchedVideo"]

Check = Callable[[PropagationStage], None]
"""Called before every part of the work with what it is; raises :class:`Stopped`."""

TOGETHER = 4
"""Prompts that a segmenter gets at a time: a part of a second on a CPU, and little is lost on a GPU."""


class Stopped(Exception):  # noqa: N818 - it is no error
    """What runs is not wanted any more."""


class WatchedVideo(VideoView):
    """``video``, whose reading is checked."""

    def __init__(self, video: Video, check: Callable[[], None]) -> None:
        super().__init__(video)
        self._check = check

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check()
        return super().read(start, stop)


class WatchedSegmenter(SegmenterView):
    """``segmenter``, checked between frames and a few objects, which does not encode a frame whose embedding is known."""

    def __init__(
        self, segmenter: PromptableSegmenter, check: Check, known: tuple[UInt8Array, Callable[[], Any]] | None
    ) -> None:
        super().__init__(segmenter)
        self._check, self._known = check, known

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        self._check("segmenting")
        if self._known is None:
            return super().encode(frames)
        known_frame, known = self._known
        new = [i for i, frame in enumerate(frames) if not np.array_equal(frame, known_frame)]
        made = dict(zip(new, super().encode(frames[new]), strict=True)) if new else {}
        return [made[i] if i in made else known() for i in range(len(frames))]

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        found: list[MaskPrediction] = []
        for part in self._parts(prompts):
            found += super().decode(embedding, part, full_size=full_size)
        return found

    def decode_with_refinement(
        self, embedding: Any, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> list[MaskPrediction]:
        found: list[MaskPrediction] = []
        for part in self._parts(prompts):
            found += super().decode_with_refinement(embedding, part, plan)
        return found

    def _parts(self, prompts: Sequence[ObjectPrompt]) -> Iterator[Sequence[ObjectPrompt]]:
        for first in range(0, len(prompts), TOGETHER):
            self._check("segmenting")
            yield prompts[first : first + TOGETHER]


class WatchedTracker(CausalTracker):
    """``tracker``, checked on every frame where it tracks by streams; another one is checked where it reads frames.

    Its ``stream`` is there where the tracker's is: where ``info.is_causal``.
    """

    def __init__(self, tracker: PointTracker, check: Check) -> None:
        self._tracker, self._check = tracker, check

    @property
    def info(self) -> TrackerInfo:
        return self._tracker.info

    def stream(self) -> TrackerStream:
        return _WatchedStream(find_stream(self._tracker)(), self._check)

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        if isinstance(self._tracker, CausalTracker) and type(self._tracker).track is CausalTracker.track:
            return super().track(video, points, query_masks)
        self._check("tracking")
        return self._tracker.track(video, points, query_masks)


class _WatchedStream(TrackerStream):
    def __init__(self, stream: TrackerStream, check: Check) -> None:
        self._stream, self._check = stream, check

    def push(self, frame: UInt8Array) -> TrackStep:
        self._check("tracking")
        return self._stream.push(frame)

    def add(self, xy: FloatArray) -> None:
        self._stream.add(xy)
