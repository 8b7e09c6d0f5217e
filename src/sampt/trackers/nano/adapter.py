"""Tracker ``nano``: the bundled network behind our interface.

A frame is brought to two sizes, each encoded once. All points take one step on the smaller image and are looked at again in the
larger one. It is encoded as a whole: features of a part depend on where it ends, and a track would depend on which other points
there are. What a point carries is fixed: a stream needs the same memory on its last frame as on its first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
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

LARGER = 1.4
"""Points are looked at again in an image that is so many times as large, or larger."""


@dataclass(frozen=True)
class NanoTrackerSettings:
    """How the network is used; chosen on the held-out sequences of davis2016_train.

    Attributes:
        longest_side: of the image that the network sees, pixels.
        refined_side: of the larger one that points are looked at again in, at most the frame's own; 0: they are not.
        visible: least confidence of a visible point.
        points_together: points that take a step at once; each needs some 150 kB in between.
        cache_bytes: room for features of frames, for streams that look at the same ones: another direction, the next window of
            re-initialisation; 1.5 MB a frame of 16:9 and 5.4 MB its larger image, a square one 2.5 and 9.6 MB.
    """

    longest_side: int = 320
    refined_side: int = 640
    visible: float = 0.2
    points_together: int = 640
    cache_bytes: int = 128 << 20


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
        self._cache: LruCache[bytes, Features] = LruCache(settings.cache_bytes)

    def encode(self, frame: UInt8Array, size_hw: SizeHW, *, larger: bool) -> Features:
        """Features of a frame (h, w, 3) that is brought to ``size_hw``; ``larger``: for the refinement."""
        image = resized(frame, size_hw)
        key = hashlib.blake2b(image.tobytes(), digest_size=16, salt=b"%dx%d" % size_hw).digest()
        features = self._cache.get(key)
        if features is None:
            scaled = np.ascontiguousarray(image.transpose(2, 0, 1)[None], np.float32) / 127.5 - 1
            features = self._runtime.encode(scaled, larger=larger)
            self._cache.put(key, features, sum(maps.nbytes for maps in features))
        return features


class _Level:
    """Points in one image of the two; they do not see each other, so that they may go in parts: all but the last are full.

    Attributes:
        size_hw: of the image.
        features: of the last frame.
        states: of the points, in the order of adding.
    """

    def __init__(self, size_hw: SizeHW) -> None:
        self.size_hw = size_hw
        self.features: Features = (None, None)
        self.states: list[PointState] = []

    def add(self, runtime: Runtime, xy: FloatArray, together: int) -> None:
        """(n, 2) points of the last frame, in pixels of the image."""
        room = together - self.states[-1].xy.shape[1] if self.states else 0
        while len(xy):
            size = room or together
            more = runtime.begin(self.features, xy[:size])
            if room:
                self.states[-1] = runtime.join(self.states[-1], more)
            else:
                self.states.append(more)
            room = 0
            xy = xy[size:]


class _NanoStream(TrackerStream):
    def __init__(self, runtime: Runtime, encoder: _Encoder, settings: NanoTrackerSettings) -> None:
        self._runtime = runtime
        self._encoder = encoder
        self._settings = settings
        self._size_hw: SizeHW = (0, 0)
        self._level = _Level((STRIDE, STRIDE))
        self._refined: _Level | None = None

    def push(self, frame: UInt8Array) -> TrackStep:
        size_hw = (frame.shape[0], frame.shape[1])
        if size_hw != self._size_hw:  # with the first frame; all have one size
            self._size_hw = size_hw
            self._level = _Level(network_size(size_hw, self._settings.longest_side))
            refined_hw = refined_size(size_hw, self._settings)
            self._refined = _Level(refined_hw) if refined_hw else None
        for level in self._levels:
            level.features = self._encoder.encode(frame, level.size_hw, larger=level is self._refined)
        runtime, level = self._runtime, self._level
        if not level.states:
            return TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
        level.states = [runtime.step(level.features, state) for state in level.states]
        locations, certainty = zip(*map(runtime.where, level.states), strict=True)
        if self._refined:
            xy = rescale_xy(np.concatenate(self._refine(self._refined, locations, certainty)), self._refined.size_hw, size_hw)
        else:
            xy = rescale_xy(np.concatenate(locations), level.size_hw, size_hw)
        confidence = np.where(inside_frame(xy, size_hw), np.concatenate(certainty), 0).astype(np.float32)
        return TrackStep(clip_xy(xy, size_hw), confidence >= self._settings.visible, confidence)

    def add(self, xy: FloatArray) -> None:
        assert self._size_hw[0], "points are added on the frame pushed last"
        for level in self._levels:
            level.add(self._runtime, rescale_xy(xy, self._size_hw, level.size_hw), self._settings.points_together)

    @property
    def _levels(self) -> tuple[_Level, ...]:
        return (self._level, self._refined) if self._refined else (self._level,)

    def _refine(self, refined: _Level, locations: Sequence[FloatArray], certainty: Sequence[FloatArray]) -> list[FloatArray]:
        """Where the refinement sees points, in pixels of its image, part by part."""
        given = [rescale_xy(xy, self._level.size_hw, refined.size_hw) for xy in locations]
        parts = zip(refined.states, given, certainty, strict=True)
        refined.states = [self._runtime.refine(refined.features, state, xy, seen) for state, xy, seen in parts]
        return [self._runtime.where(state)[0] for state in refined.states]


def refined_size(size_hw: SizeHW, settings: NanoTrackerSettings) -> SizeHW | None:
    """The size of the larger image of frames of ``size_hw``; None where it would be little larger than the other one."""
    side = min(settings.refined_side, max(size_hw))
    return network_size(size_hw, side) if side >= LARGER * settings.longest_side else None


def network_size(size_hw: SizeHW, longest_side: int) -> SizeHW:
    """The size that frames of ``size_hw`` are brought to: about their shape, sides multiples of 16."""
    height, width = size_with_longest_side(size_hw, longest_side)
    return max(2, round(height / STRIDE)) * STRIDE, max(2, round(width / STRIDE)) * STRIDE


def resized(frame: UInt8Array, size_hw: SizeHW) -> UInt8Array:
    """A frame (h, w, 3) at ``size_hw``."""
    smaller = size_hw[0] * size_hw[1] < frame.shape[0] * frame.shape[1]
    method = cv2.INTER_AREA if smaller else cv2.INTER_LINEAR
    return np.ascontiguousarray(cv2.resize(frame, size_hw[::-1], interpolation=method), np.uint8)
