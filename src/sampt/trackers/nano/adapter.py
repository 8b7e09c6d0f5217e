"""Tracker ``nano``: the bundled network behind our interface.

A frame is brought to one size, encoded once, and all points take one step on it. What a point carries is fixed: a stream needs
the same memory on its last frame as on its first.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace

import cv2
import numpy as np

from sampt.backends.lru_cache import LruCache
from sampt.backends.table import TRACKERS
from sampt.geometry import SizeHW, clip_xy, inside_frame, rescale_xy, size_with_longest_side
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.nano.runtime import STRIDE, Features, PointState, Runtime
from sampt.types import FloatArray, UInt8Array

__all__ = ["NanoTracker", "NanoTrackerSettings"]


@dataclass(frozen=True)
class NanoTrackerSettings:
    """How the network is used; chosen on the held-out sequences of davis2016_train.

    Attributes:
        longest_side: of the image that the network sees, pixels.
        visible: least confidence of a visible point.
        points_together: points that take a step at once; each needs some 150 kB in between.
        cache_bytes: room for features of frames, for streams that look at the same ones: another direction, the next window of
            re-initialisation; 1.5 MB a frame of 16:9, 2.5 MB a square one.
    """

    longest_side: int = 320
    visible: float = 0.2
    points_together: int = 640
    cache_bytes: int = 64 << 20


class NanoTracker(CausalTracker):
    """A recurrent point tracker trained here (`training/tracker`)."""

    def __init__(self, runtime: Runtime, settings: NanoTrackerSettings | None = None) -> None:
        self._runtime = runtime
        self._settings = settings or NanoTrackerSettings()
        self._encoder = _Encoder(runtime, self._settings)

    @property
    def info(self) -> TrackerInfo:
        return replace(TRACKERS["nano"].info, device=self._runtime.device)

    def stream(self) -> TrackerStream:
        return _NanoStream(self._runtime, self._encoder, self._settings)


class _Encoder:
    """Frames to features, each once as long as it is in the cache; all streams of a tracker share one."""

    def __init__(self, runtime: Runtime, settings: NanoTrackerSettings) -> None:
        self._runtime = runtime
        self._settings = settings
        self._cache: LruCache[bytes, Features] = LruCache(settings.cache_bytes)

    def encode(self, frame: UInt8Array) -> tuple[Features, SizeHW]:
        """Features of a frame, and the size of the image that they are of."""
        size_hw = network_size((frame.shape[0], frame.shape[1]), self._settings.longest_side)
        image = resized(frame, size_hw)
        key = hashlib.blake2b(image.tobytes(), digest_size=16, salt=b"%dx%d" % size_hw).digest()
        features = self._cache.get(key)
        if features is None:
            features = self._runtime.encode(np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 127.5 - 1)
            self._cache.put(key, features, sum(maps.nbytes for maps in features))
        return features, size_hw


class _NanoStream(TrackerStream):
    def __init__(self, runtime: Runtime, encoder: _Encoder, settings: NanoTrackerSettings) -> None:
        self._runtime = runtime
        self._encoder = encoder
        self._settings = settings
        self._size_hw: SizeHW = (1, 1)
        self._network_hw: SizeHW = (STRIDE, STRIDE)
        self._features: Features | None = None
        self._states: list[PointState] = []
        """Points do not see each other, so that they may go in parts; all but the last are full."""

    def push(self, frame: UInt8Array) -> TrackStep:
        self._size_hw = (frame.shape[0], frame.shape[1])
        self._features, self._network_hw = self._encoder.encode(frame)
        if not self._states:
            return TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
        self._states = [self._runtime.step(self._features, state) for state in self._states]
        locations, certainty = zip(*map(self._runtime.where, self._states), strict=True)
        xy, confidence = rescale_xy(np.concatenate(locations), self._network_hw, self._size_hw), np.concatenate(certainty)
        confidence = np.where(inside_frame(xy, self._size_hw), confidence, 0).astype(np.float32)
        return TrackStep(clip_xy(xy, self._size_hw), confidence >= self._settings.visible, confidence)

    def add(self, xy: FloatArray) -> None:
        if not len(xy):
            return
        assert self._features is not None, "points are added on the frame pushed last"
        locations = rescale_xy(xy, self._size_hw, self._network_hw)
        full = self._settings.points_together
        room = full - self._states[-1].xy.shape[1] if self._states else 0
        while len(locations):
            size = room or full
            more = self._runtime.begin(self._features, locations[:size])
            if room:
                self._states[-1] = self._runtime.join(self._states[-1], more)
            else:
                self._states.append(more)
            room = 0
            locations = locations[size:]


def network_size(size_hw: SizeHW, longest_side: int) -> SizeHW:
    """The size that frames of ``size_hw`` are brought to: about their shape, sides multiples of 16."""
    height, width = size_with_longest_side(size_hw, longest_side)
    return max(2, round(height / STRIDE)) * STRIDE, max(2, round(width / STRIDE)) * STRIDE


def resized(frame: UInt8Array, size_hw: SizeHW) -> UInt8Array:
    """A frame (h, w, 3) at ``size_hw``."""
    smaller = size_hw[0] * size_hw[1] < frame.shape[0] * frame.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(frame, size_hw[::-1], interpolation=method), np.uint8)
