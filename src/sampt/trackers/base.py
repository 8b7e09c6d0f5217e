"""What a point tracker is: the interface that every backend fills.

The pipeline reads :class:`TrackerInfo`, never the class. A tracker that needs the whole clip implements :class:`PointTracker`
alone; one that only goes back subclasses :class:`CausalTracker`, gives a :class:`TrackerStream` and gets ``track`` and
``start`` for free. One that looks a few frames ahead gives ``start`` and says in ``info.latency`` how many.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from sampt.backends.spec import TrackerInfo
from sampt.errors import BackendError
from sampt.trackers.streams import CausalTracks, StreamingTracks, StreamRunner, TrackerStream, TrackStep
from sampt.types import HiddenBy, Points, QueryMask, Tracks, UInt8Array

__all__ = [
    "CausalTracker",
    "FrameSource",
    "PointTracker",
    "StreamingTracker",
    "StreamingTracks",
    "TrackStep",
    "TrackerInfo",
    "TrackerStream",
    "find_stream",
    "frames_at_once",
    "frames_in_order",
    "start_streaming",
    "track_frames",
    "track_stream",
]


class FrameSource(Protocol):
    """The part of a video that a tracker may use."""

    @property
    def num_frames(self) -> int: ...
    @property
    def size_hw(self) -> tuple[int, int]: ...
    def read(self, start: int, stop: int) -> UInt8Array:
        """Frames [start, stop) as (t, h, w, 3) uint8 RGB."""
        ...


@runtime_checkable
class PointTracker(Protocol):
    """Tracks points through a clip."""

    @property
    def info(self) -> TrackerInfo: ...

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """Track ``points`` forward and backward from their prompt frames over the whole ``video``.

        Args:
            video: the clip.
            points: n query points; every ``frame_idx`` lies inside the clip.
            query_masks: the masks on the prompt frames; given when ``info.needs_masks``.

        Returns:
            Tracks with t = ``video.num_frames``; on its prompt frame a point is visible at its own location.
        """
        ...


@runtime_checkable
class StreamingTracker(PointTracker, Protocol):
    """A point tracker that can also track points through frames as they come: ``info.streaming_latency`` is not None."""

    def start(self, points: Points) -> StreamingTracks:
        """Begin to track ``points``, whose ``frame_idx`` counts the frames that will be pushed. Only forward in time."""
        ...


class CausalTracker(ABC):
    """A tracker whose result on a frame needs no later frame. Subclasses give ``info`` and ``stream``."""

    @property
    @abstractmethod
    def info(self) -> TrackerInfo: ...

    @abstractmethod
    def stream(self) -> TrackerStream:
        """A fresh stream that has seen no frame."""

    def start(self, points: Points) -> StreamingTracks:
        """See :meth:`StreamingTracker.start`; every frame's result comes with the frame."""
        return CausalTracks(self.stream(), points)

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`PointTracker.track`: one stream over the clip and one over its time-reversed copy."""
        t, n = video.num_frames, len(points)
        xy = np.broadcast_to(points.xy, (t, n, 2)).copy()
        confidence = np.zeros((t, n), np.float32)
        hidden_by = np.full((t, n), HiddenBy.NOT_TRACKED, np.uint8)
        for backward in (True, False):  # forward last, so that the prompt frame itself is written by either
            for frame_idx, columns, step, _ in track_stream(self.stream, video, points, backward=backward):
                xy[frame_idx, columns] = step.xy
                confidence[frame_idx, columns] = step.confidence
                hidden_by[frame_idx, columns] = np.where(step.visible, HiddenBy.NONE, HiddenBy.TRACKER)
        return Tracks(points, xy, confidence=confidence, hidden_by=hidden_by)


def start_streaming(tracker: PointTracker, points: Points) -> StreamingTracks:
    """``tracker.start(points)``; a third party's causal tracker need give no more than ``stream()``.

    Raises:
        BackendError: the tracker needs the whole clip, or lacks what its ``info`` promises.
    """
    info = tracker.info
    if info.streaming_latency is None:
        raise BackendError(
            f"Tracker {info.name!r} needs the whole clip; for streamed frames choose another one, such as 'nano'."
        )
    # Whether there is a start(), not what class it is: `is_causal` promises stream() alone, and a causal tracker may have both.
    if isinstance(tracker, StreamingTracker):
        return tracker.start(points)
    return CausalTracks(find_stream(tracker)(), points)


def find_stream(tracker: PointTracker) -> Callable[[], TrackerStream]:
    """The ``stream`` that ``info.is_causal`` promises; a third party's tracker need not be our subclass.

    Raises:
        BackendError: there is none.
    """
    stream: Callable[[], TrackerStream] | None = getattr(tracker, "stream", None)
    if stream is None:
        raise BackendError(f"Tracker {tracker.info.name!r} says that it is causal but has no stream(); see CausalTracker.")
    return stream


def frames_at_once(size_hw: tuple[int, int]) -> int:
    """How many frames of a size to read together: 16, or as many as fit in 48 MiB."""
    return max(1, min(16, (48 << 20) // (size_hw[0] * size_hw[1] * 3)))


def frames_in_order(video: FrameSource, start: int, stop: int, *, backward: bool) -> Iterator[tuple[int, UInt8Array]]:
    """Frames [start, stop) one by one with their index, last frame first when ``backward``; read some at a time."""
    chunk = frames_at_once(video.size_hw)
    starts = range(start, stop, chunk)
    for first in reversed(starts) if backward else starts:
        frames = video.read(first, min(first + chunk, stop))
        order = range(len(frames))
        for i in reversed(order) if backward else order:
            yield first + i, frames[i]


def track_stream(
    open_stream: Callable[[], TrackerStream], video: FrameSource, points: Points, *, backward: bool
) -> Iterator[tuple[int, np.ndarray, TrackStep, UInt8Array]]:
    """Run a stream in one direction from the first prompt frame that it meets to the end of the clip; yields as below."""
    if not len(points) or (backward and points.frame_idx.max() == 0):
        return
    first, last = int(points.frame_idx.min()), int(points.frame_idx.max())
    start, stop = (0, last + 1) if backward else (first, video.num_frames)
    yield from track_frames(open_stream, frames_in_order(video, start, stop, backward=backward), points)


def track_frames(
    open_stream: Callable[[], TrackerStream], frames: Iterable[tuple[int, UInt8Array]], points: Points
) -> Iterator[tuple[int, np.ndarray, TrackStep, UInt8Array]]:
    """Run a stream over numbered frames and add each point on its prompt frame.

    Yields:
        frame index, the positions (k,) in ``points`` of the points tracked so far, where they are, and the frame.
    """
    runner = StreamRunner(open_stream())
    for frame_idx, frame in frames:
        new = np.flatnonzero(points.frame_idx == frame_idx)
        if len(runner.columns) or len(new):
            step = runner.push(frame, points.xy, new)
        else:  # nothing to track yet: the stream need not look
            step = TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
        yield frame_idx, runner.columns, step, frame
