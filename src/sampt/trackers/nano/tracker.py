"""Tracker ``nano``: the bundled network behind the seam.

A frame is brought to one size, encoded once, and all points take one step on it. What a point carries is fixed: a stream needs
the same memory on its last frame as on its first.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sampt.geometry import SizeHW, clip_xy, inside_frame, rescale_xy, size_with_longest_side
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.nano.runtime import STRIDE, Features, PointState, Runtime
from sampt.types import FloatArray, UInt8Array

__all__ = ["NanoTracker", "NanoTrackerSettings"]


@dataclass(frozen=True)
class NanoTrackerSettings:
    """How the network is used; chosen on the held-out sequences of davis2016_train.

    Attributes:
        longest_side: of the picture that the network sees, pixels.
        visible: least confidence of a visible point.
    """

    longest_side: int = 384
    visible: float = 0.5


class NanoTracker(CausalTracker):
    """A recurrent point tracker trained here (`training/tracker`)."""

    def __init__(self, runtime: Runtime, settings: NanoTrackerSettings | None = None) -> None:
        self._runtime = runtime
        self._settings = settings or NanoTrackerSettings()

    @property
    def info(self) -> TrackerInfo:
        return TrackerInfo(
            name="nano",
            licence_code="Apache-2.0",
            licence_weights="Apache-2.0",
            is_causal=True,
            device=self._runtime.device,
            source="trained here: training/tracker",
        )

    def stream(self) -> TrackerStream:
        return _NanoStream(self._runtime, self._settings)


class _NanoStream(TrackerStream):
    def __init__(self, runtime: Runtime, settings: NanoTrackerSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._size_hw: SizeHW = (1, 1)
        self._network_hw: SizeHW = (STRIDE, STRIDE)
        self._features: Features | None = None
        self._state: PointState | None = None

    def push(self, frame: UInt8Array) -> TrackStep:
        self._size_hw = (frame.shape[0], frame.shape[1])
        self._network_hw = network_size(self._size_hw, self._settings.longest_side)
        self._features = self._runtime.encode(picture_of(frame, self._network_hw))
        if self._state is None:
            return TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
        self._state = self._runtime.step(self._features, self._state)
        xy, confidence = self._runtime.where(self._state)
        xy = rescale_xy(xy, self._network_hw, self._size_hw)
        confidence = np.where(inside_frame(xy, self._size_hw), confidence, 0).astype(np.float32)
        return TrackStep(clip_xy(xy, self._size_hw), confidence >= self._settings.visible, confidence)

    def add(self, xy: FloatArray) -> None:
        if not len(xy):
            return
        assert self._features is not None, "points are added on the frame pushed last"
        more = self._runtime.begin(self._features, rescale_xy(xy, self._size_hw, self._network_hw))
        self._state = more if self._state is None else self._runtime.join(self._state, more)


def network_size(size_hw: SizeHW, longest_side: int) -> SizeHW:
    """The size that frames of ``size_hw`` are brought to: about their shape, sides multiples of 16."""
    height, width = size_with_longest_side(size_hw, longest_side)
    return max(2, round(height / STRIDE)) * STRIDE, max(2, round(width / STRIDE)) * STRIDE


def picture_of(frame: UInt8Array, size_hw: SizeHW) -> FloatArray:
    """A frame (h, w, 3) resized to ``size_hw``, (1, 3, h, w) in [-1, 1]."""
    smaller = size_hw[0] * size_hw[1] < frame.shape[0] * frame.shape[1]
    resized = cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_AREA if smaller else cv2.INTER_LINEAR)
    return np.ascontiguousarray(resized.transpose(2, 0, 1)[None], np.float32) / 127.5 - 1
