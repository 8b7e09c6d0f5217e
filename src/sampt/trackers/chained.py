"""What trackers share that carry points from one frame to the next: the forward-backward check and the book-keeping.

A point moves along the motion from the last frame to this one and back again; when it does not return to where it came from,
it was hidden, left the frame, or the motion is wrong (Kalal et al., "Forward-Backward Error", ICPR 2010). Chained motion
cannot find a point again, so a lost point stays hidden; it keeps its last place.
"""

from __future__ import annotations

from abc import abstractmethod

import numpy as np

from sampt.geometry import inside_frame
from sampt.trackers.base import TrackerStream, TrackStep
from sampt.types import FloatArray, UInt8Array

__all__ = ["ChainedStream"]


class ChainedStream(TrackerStream):
    """A stream that carries points from frame to frame; subclasses know how one step moves a point.

    Args:
        max_error_px: a point is lost when it returns farther than this from where it came from ...
        max_error_share: ... plus this share of the length of its step.
    """

    def __init__(self, max_error_px: float, max_error_share: float) -> None:
        self._max_error_px = max_error_px
        self._max_error_share = max_error_share
        self._xy: FloatArray = np.zeros((0, 2), np.float32)
        self._alive = np.zeros(0, np.bool_)

    @abstractmethod
    def _advance(self, frame: UInt8Array) -> None:
        """Take in the next frame (the first one, too)."""

    @abstractmethod
    def _there_and_back(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Where (n, 2) points of the frame before are now, and where those places come from, by the opposite motion."""

    def add(self, xy: FloatArray) -> None:
        self._xy = np.concatenate([self._xy, xy]).astype(np.float32)
        self._alive = np.concatenate([self._alive, np.ones(len(xy), np.bool_)])

    def push(self, frame: UInt8Array) -> TrackStep:
        self._advance(frame)
        confidence = np.zeros(len(self._xy), np.float32)
        moving = np.flatnonzero(self._alive)
        if len(moving):
            start = self._xy[moving]
            there, back = self._there_and_back(start)
            error = np.linalg.norm(back - start, axis=1)
            limit = self._max_error_px + self._max_error_share * np.linalg.norm(there - start, axis=1)
            kept = (error <= limit) & inside_frame(there, (frame.shape[0], frame.shape[1]))
            self._xy[moving[kept]] = there[kept]
            self._alive[moving] = kept
            confidence[moving[kept]] = np.exp(-error[kept] / limit[kept])
        return TrackStep(self._xy.copy(), self._alive.copy(), confidence)
