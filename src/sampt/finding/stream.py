"""The same for streamed frames: objects are found as they come, and masks come with each frame.

Between the frames on which the proposer is heard points are tracked and prompt the segmenter, frame by frame; on these frames
each object gets new points, so that memory does not grow with the stream. Nothing is propagated backward, and an object keeps
the number under which it was met.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

import numpy as np

from sampt.config import FindConfig, SegmentConfig, TrackingConfig
from sampt.errors import BackendError, ConfigError
from sampt.finding.find import Finder, is_doubtful
from sampt.geometry import rescale_xy
from sampt.masks.merge import ObjectMask, merge_objects
from sampt.pipeline.preparation import PreparedQueries, working_video
from sampt.pipeline.propagation import Engine
from sampt.proposers.base import FRAMES_BEFORE, Proposer
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker, start_streaming
from sampt.tracks.filters import PointFilter
from sampt.types import FrameMasks, FramePoints, HiddenBy, ObjectState, Points, UInt8Array
from sampt.video.streaming import StreamFrame, StreamingVideo

__all__ = ["find_in_stream", "stream_object_ids"]

_DOUBTFUL_FROM = 3
"""Frames on which an object could have been proposed, from which one that seldom was is dropped."""


def stream_object_ids(find: FindConfig) -> list[int]:
    """The ids that a stream's objects may get: as many as may be found."""
    return list(range(1, find.max_objects + 1))


def find_in_stream(
    frames: StreamingVideo | Iterable[UInt8Array],
    *,
    proposer: Proposer,
    tracker: PointTracker,
    segmenter: PromptableSegmenter,
    config: SegmentConfig,
    find: FindConfig | None = None,
) -> Iterator[FrameMasks]:
    """Find and segment objects in streamed frames.

    Args:
        frames: (h, w, 3) uint8 RGB, all of one size; taken only as results are requested. A :class:`StreamingVideo` has to
            keep :data:`~sampt.proposers.base.FRAMES_BEFORE` frames and one.
        proposer: what proposes objects, by frames that have come.
        tracker: a causal one.
        segmenter, config: as for :func:`sampt.segment_stream`.
        find: where to search, and what counts.

    Yields:
        for every frame its masks, of all objects that there may be: :func:`stream_object_ids`. An object that was not found yet
        is ``BEFORE_QUERY``.

    Raises:
        SamptError: at once when settings, queries or backends do not fit a stream.
    """
    chosen = find or FindConfig()
    if proposer.info.frames_after:
        raise BackendError(
            f"Proposer {proposer.info.name!r} looks at {proposer.info.frames_after} later frames; for streamed frames choose "
            "another one, such as 'objectness'."
        )
    if not tracker.info.is_causal or tracker.info.needs_masks:
        raise BackendError(
            f"Tracker {tracker.info.name!r} is not causal; to find objects in a stream choose one that is, such as 'nano'."
        )
    if config.reinit.enabled:
        raise ConfigError("A stream is read once: switch re-initialisation off (--no-reinit, reinit.enabled=False).")
    video = frames if isinstance(frames, StreamingVideo) else _as_stream(frames)
    return _StreamRun(Engine(tracker, segmenter, config), video, chosen, proposer).frames()


def _as_stream(frames: Iterable[UInt8Array]) -> StreamingVideo:
    video = StreamingVideo((StreamFrame(frame, None) for frame in frames), 24.0, "streamed frames")
    video.keep(FRAMES_BEFORE + 1)
    return video


class _StreamRun(Finder):
    """Goes through a stream."""

    def __init__(self, engine: Engine, video: StreamingVideo, find: FindConfig, proposer: Proposer) -> None:
        working = working_video(video, engine.config.longest_side)
        super().__init__(engine, video, working, find, proposer, PreparedQueries(Points.concat([]), {}))
        self._stream = video
        self._ids = stream_object_ids(find)
        self._max_id = self._ids[-1]
        self._tracks: _Tracks | None = None

    def frames(self) -> Iterator[FrameMasks]:
        """The results."""
        searched = renewed = 0
        for frame_idx, _ in enumerate(self._stream):
            self._engine.check()
            frame = self._video.read(frame_idx, frame_idx + 1)[0]
            is_cut = frame_idx > 0 and self._video.shot_end(frame_idx - 1, frame_idx + 1) == frame_idx
            row = None if is_cut or self._tracks is None else self._tracks.push(frame, frame_idx)
            is_due = is_cut or frame_idx == 0 or (self._find.every > 0 and frame_idx - searched >= self._find.every)
            searched = frame_idx if is_due else searched
            # Points wear out: where the proposer is not heard for long, they are renewed all the same.
            if is_due or frame_idx - renewed >= self._step:
                shown = self._visit(frame_idx, row, is_due=is_due)
                renewed = frame_idx
                self._drop_doubtful(shown)
                self._start(frame, frame_idx)
            else:
                shown = self._between(frame_idx, row)
                self._video.forget(frame_idx)
            yield self._result(frame_idx, shown, row)

    def _start(self, frame: UInt8Array, frame_idx: int) -> None:
        """Track the points that the objects have now."""
        points = Points.concat([o.points for o in self._objects.values() if o.points is not None])
        self._tracks = _Tracks(self._engine, self._tracking, points, frame, frame_idx) if len(points) else None

    def _between(self, frame_idx: int, row: FramePoints | None) -> dict[int, ObjectMask]:
        """The masks on a frame on which nothing is searched for."""
        shown = self._propagated(self._view(frame_idx), row, self._priors(frame_idx))
        if self._recognition is not None:
            self._recognition.forget(frame_idx)
        return shown

    def _drop_doubtful(self, shown: dict[int, ObjectMask]) -> None:
        for object_id in [o for o, item in self._objects.items() if item.chances >= _DOUBTFUL_FROM and is_doubtful(item)]:
            del self._objects[object_id]
            shown.pop(object_id, None)

    def _result(self, frame_idx: int, shown: dict[int, ObjectMask], row: FramePoints | None) -> FrameMasks:
        from_hw, to_hw = self._video.size_hw, self._stream.size_hw
        objects = []
        for object_id in self._ids:
            found = shown.get(object_id)
            if found is not None:
                objects.append(found.resized(from_hw, to_hw))
            else:
                is_known = object_id in self._objects
                objects.append(ObjectMask(object_id, ObjectState.NO_VISIBLE_POINT if is_known else ObjectState.BEFORE_QUERY))
        points = FramePoints.concat([]) if row is None else row
        points = dataclasses.replace(points, xy=rescale_xy(points.xy, from_hw, to_hw))
        config = self._engine.config
        return merge_objects(frame_idx, objects, to_hw, points, overlapping=config.overlapping, compete=config.reinit.compete)


class _Tracks:
    """Points of one frame, tracked from there."""

    def __init__(self, engine: Engine, config: TrackingConfig, points: Points, frame: UInt8Array, frame_idx: int) -> None:
        self._points = points
        self._ids = np.arange(len(points))
        self._tracks = start_streaming(engine.tracker, points.with_frames(np.zeros(len(points), np.int64)))
        self._tracks.push(frame[None])
        self._filter = PointFilter(config, points, (frame.shape[0], frame.shape[1]))
        self._filter.apply(frame, frame_idx, self._ids, points.xy, np.zeros(len(points), np.uint8))

    def push(self, frame: UInt8Array, frame_idx: int) -> FramePoints:
        """Where they are on the next frame."""
        (step,) = self._tracks.push(frame[None])
        codes = np.where(step.visible, HiddenBy.NONE, HiddenBy.TRACKER).astype(np.uint8)
        codes = self._filter.apply(frame, frame_idx, self._ids, step.xy, codes)
        return FramePoints(self._ids, self._points.object_id, self._points.is_positive, step.xy, step.confidence, codes)
