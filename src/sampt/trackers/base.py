"""What a point tracker is: the seam that every back end fills.

The pipeline asks :class:`TrackerInfo`, never the class. A tracker that needs the whole clip implements :class:`PointTracker`
alone; one that only looks back subclasses :class:`CausalTracker`, gives a :class:`TrackerStream` and gets ``track`` for free.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol, runtime_checkable

import numpy as np

from sampt.types import BoolArray, FloatArray, HiddenBy, Points, QueryMask, Tracks, UInt8Array

__all__ = [
    "CausalTracker",
    "FrameSource",
    "PointTracker",
    "TrackStep",
    "TrackerInfo",
    "TrackerStream",
    "follow",
    "follow_frames",
    "frames_at_once",
    "frames_in_order",
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


@dataclass(frozen=True)
class TrackerInfo:
    """What the pipeline and the user need to know about a tracker.

    Attributes:
        name: the name under which it is created.
        licence_code: SPDX identifier of the code.
        licence_weights: SPDX identifier of the weights, or None when there are none.
        is_causal: True when a frame's result needs no later frame, so that ``stream()`` exists.
        needs_masks: True when ``track`` wants the objects' query masks.
        is_joint: True when points influence each other, so that grouping changes the result.
        window: frames looked at together, or None when the tracker works frame by frame or on the whole clip.
        device: where it runs.
        source: paper or program that defines the method.
    """

    name: str
    licence_code: str
    licence_weights: str | None
    is_causal: bool
    needs_masks: bool = False
    is_joint: bool = False
    window: int | None = None
    device: str = "cpu"
    source: str = ""


class TrackStep(NamedTuple):
    """Where the points are after one more frame: xy (n, 2), visible (n,), confidence (n,) in [0, 1]."""

    xy: FloatArray
    visible: BoolArray
    confidence: FloatArray


@runtime_checkable
class PointTracker(Protocol):
    """Follows points through a clip."""

    @property
    def info(self) -> TrackerInfo: ...

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """Follow ``points`` forward and backward from their query frames over the whole ``video``.

        Args:
            video: the clip.
            points: n query points; every ``frame_idx`` lies inside the clip.
            query_masks: the masks on the query frames; given when ``info.needs_masks``.

        Returns:
            Tracks with t = ``video.num_frames``; on its query frame a point is visible at its own place.
        """
        ...


class TrackerStream(ABC):
    """A causal tracker at work: frames go in one by one, points may be added at any time."""

    @abstractmethod
    def push(self, frame: UInt8Array) -> TrackStep:
        """Advance all points added so far to ``frame``, (h, w, 3) uint8 RGB; the order is that of adding."""

    @abstractmethod
    def add(self, xy: FloatArray) -> None:
        """Start to follow (n, 2) points that lie on the frame pushed last."""


class CausalTracker(ABC):
    """A tracker whose result on a frame needs no later frame. Subclasses give ``info`` and ``stream``."""

    @property
    @abstractmethod
    def info(self) -> TrackerInfo: ...

    @abstractmethod
    def stream(self) -> TrackerStream:
        """A fresh stream that has seen no frame."""

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`PointTracker.track`: one stream over the clip and one over its time-reversed copy."""
        t, n = video.num_frames, len(points)
        xy = np.broadcast_to(points.xy, (t, n, 2)).copy()
        confidence = np.zeros((t, n), np.float32)
        hidden_by = np.full((t, n), HiddenBy.NOT_TRACKED, np.uint8)
        for backward in (True, False):  # forward last, so that the query frame itself is written by either
            for frame_idx, columns, step, _ in follow(self.stream, video, points, backward=backward):
                xy[frame_idx, columns] = step.xy
                confidence[frame_idx, columns] = step.confidence
                hidden_by[frame_idx, columns] = np.where(step.visible, HiddenBy.NONE, HiddenBy.TRACKER)
        return Tracks(points, xy, hidden_by == HiddenBy.NONE, confidence, hidden_by)


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


def follow(
    open_stream: Callable[[], TrackerStream], video: FrameSource, points: Points, *, backward: bool
) -> Iterator[tuple[int, np.ndarray, TrackStep, UInt8Array]]:
    """Run a stream in one direction from the first query frame that it meets to the end of the clip; yields as below."""
    if not len(points) or (backward and points.frame_idx.max() == 0):
        return
    first, last = int(points.frame_idx.min()), int(points.frame_idx.max())
    start, stop = (0, last + 1) if backward else (first, video.num_frames)
    yield from follow_frames(open_stream, frames_in_order(video, start, stop, backward=backward), points)


def follow_frames(
    open_stream: Callable[[], TrackerStream], frames: Iterable[tuple[int, UInt8Array]], points: Points
) -> Iterator[tuple[int, np.ndarray, TrackStep, UInt8Array]]:
    """Run a stream over numbered frames and add each point on its query frame.

    Yields:
        frame index, the positions (k,) in ``points`` of the points followed so far, where they are, and the frame.
    """
    stream = open_stream()
    columns = np.zeros(0, np.intp)
    nothing = TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
    for frame_idx, frame in frames:
        new = np.flatnonzero(points.frame_idx == frame_idx)
        step = stream.push(frame) if len(columns) or len(new) else nothing
        if len(new):
            stream.add(points.xy[new])
            columns = np.concatenate([columns, new])
            step = with_new_points(step, points.xy[new])
        yield frame_idx, columns, step, frame


def with_new_points(step: TrackStep, xy: FloatArray) -> TrackStep:
    """``step`` with points appended that were just given: visible, and certain."""
    n = len(xy)
    return TrackStep(
        np.concatenate([step.xy, xy]).astype(np.float32),
        np.concatenate([step.visible, np.ones(n, np.bool_)]),
        np.concatenate([step.confidence, np.ones(n, np.float32)]),
    )
