"""Trackers at work on streamed frames: those that give results at once, and those that wait for a few frames more."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import NamedTuple

import numpy as np

from sampt.checks import shape_repr
from sampt.errors import QueryError
from sampt.types import BoolArray, FloatArray, IntArray, Points, UInt8Array

__all__ = ["CausalTracks", "StreamRunner", "StreamingTracks", "TrackStep", "TrackerStream"]


class TrackStep(NamedTuple):
    """Where the points are after one more frame: xy (n, 2), visible (n,), confidence (n,) in [0, 1]."""

    xy: FloatArray
    visible: BoolArray
    confidence: FloatArray

    def __repr__(self) -> str:
        return shape_repr(self)


class TrackerStream(ABC):
    """A causal tracker at work: frames go in one by one, points may be added at any time."""

    @abstractmethod
    def push(self, frame: UInt8Array) -> TrackStep:
        """Advance all points added so far to ``frame``, (h, w, 3) uint8 RGB; the order is that of adding."""

    @abstractmethod
    def add(self, xy: FloatArray) -> None:
        """Start to track (n, 2) points that lie on the frame pushed last."""


class StreamRunner:
    """A stream that gets each point on its prompt frame.

    Attributes:
        columns: (k,) which of the points it tracks, in the order of their steps.
    """

    def __init__(self, stream: TrackerStream) -> None:
        self._stream = stream
        self.columns = np.zeros(0, np.intp)

    def push(self, frame: UInt8Array, xy: FloatArray, new: IntArray) -> TrackStep:
        """One more frame, on which the points number ``new`` of ``xy`` (n, 2) lie: where the points ``columns`` are."""
        step = self._stream.push(frame)
        if not len(new):
            return step
        self.add(xy, new)
        return TrackStep(
            np.concatenate([step.xy, xy[new]]).astype(np.float32),
            np.concatenate([step.visible, np.ones(len(new), np.bool_)]),
            np.concatenate([step.confidence, np.ones(len(new), np.float32)]),
        )

    def add(self, xy: FloatArray, new: IntArray) -> None:
        """Track the points number ``new`` of ``xy``, which lie on the frame pushed last."""
        self._stream.add(xy[new])
        self.columns = np.concatenate([self.columns, new])


class StreamingTracks(ABC):
    """Points tracked through frames as they come: what ``start`` of a tracker gives.

    A frame's result comes out when no later frame can change it: with the frame itself for a causal tracker, up to
    ``info.latency`` frames later for another one.

    Args:
        points: n query points; ``frame_idx`` counts the frames pushed.
    """

    def __init__(self, points: Points) -> None:
        self._xy = np.zeros((0, 2), np.float32)
        self._frame_idx = np.zeros(0, np.int64)
        self._num_pushed = 0
        self.add(points)

    def add(self, points: Points) -> None:
        """Follow more points, which get the next columns; they come out with the next frame that does.

        Raises:
            QueryError: a point lies on an earlier frame than the one pushed last.
        """
        newest = self._num_pushed - 1
        if (points.frame_idx < newest).any():
            raise QueryError(
                f"A point lies on frame {points.frame_idx.min()} of a stream, where frame {newest} is the last one; "
                "expected that frame or a later one."
            )
        self._xy = np.concatenate([self._xy, points.xy]).astype(np.float32)
        self._frame_idx = np.concatenate([self._frame_idx, points.frame_idx])

    def push(self, frames: UInt8Array) -> list[TrackStep]:
        """Take the next (t, h, w, 3) uint8 RGB frames, all of one size.

        Returns:
            All n points on each frame that has become final, in order. A point of a later frame is hidden, at its own location.
        """
        out: list[TrackStep] = []
        for frame in frames:
            self._num_pushed += 1
            out += self._push(frame)
        return out

    def finish(self) -> list[TrackStep]:
        """The points on the frames that have not come out; there are no more frames."""
        return []

    @abstractmethod
    def _push(self, frame: UInt8Array) -> list[TrackStep]:
        """``push`` of one (h, w, 3) frame, number ``_num_pushed - 1``."""


class CausalTracks(StreamingTracks):
    """Points tracked by a stream that gives results at once."""

    def __init__(self, stream: TrackerStream, points: Points) -> None:
        self._follower = StreamRunner(stream)
        super().__init__(points)

    def add(self, points: Points) -> None:
        first = len(self._xy)
        super().add(points)
        on_last = first + np.flatnonzero(points.frame_idx < self._num_pushed)
        if len(on_last):
            self._follower.add(self._xy, on_last)

    def _push(self, frame: UInt8Array) -> list[TrackStep]:
        new = np.flatnonzero(self._frame_idx == self._num_pushed - 1)
        step = self._follower.push(frame, self._xy, new)
        n = len(self._xy)
        row = TrackStep(self._xy.copy(), np.zeros(n, np.bool_), np.zeros(n, np.float32))
        for whole, part in zip(row, step, strict=True):
            whole[self._follower.columns] = part
        return [row]
