"""Keypoint matching behind the interface of a tracker: every frame is matched with the prompt frame, and the matches carry
points.

Nothing is chained, so nothing drifts, and a point that comes back is found again. A frame's keypoints are found once: those of
a prompt frame are kept as long as its points are tracked, those of other frames in a cache of bounded length, which the runs
forward and backward share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sampt.backends.lru_cache import LruCache
from sampt.checks import shape_repr
from sampt.geometry import inside_frame
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.frame_key import frame_key
from sampt.trackers.keypoints.carry import Carried, CarryLimits, Matches, carry
from sampt.trackers.keypoints.matchers import Features, KeypointMatcher
from sampt.types import FloatArray, IntArray, UInt8Array

__all__ = ["KeypointTracker"]

_MAX_CACHE_BYTES = 64 << 20
"""At most 2048 keypoints of 256 numbers each, 2 MiB a frame."""


class KeypointTracker(CausalTracker):
    """Points carried by matched keypoints.

    Query masks are not requested, although SAM-PT's program draws its points for SuperGlue from the keypoints inside them:
    points given by clicks come without masks, and a tracker that needs masks cannot track on streamed frames.

    Args:
        info: what the tracker says of itself.
        matcher: finds and matches keypoints.
        limits: when matches count for a point, and when it is visible.
        cache_bytes: room for keypoints of frames besides those of prompt frames.
    """

    def __init__(
        self,
        info: TrackerInfo,
        matcher: KeypointMatcher,
        *,
        limits: CarryLimits | None = None,
        cache_bytes: int = _MAX_CACHE_BYTES,
    ) -> None:
        self._info, self._matcher, self._limits = info, matcher, limits or CarryLimits()
        self._cache: LruCache[bytes, Features] = LruCache(cache_bytes)

    @property
    def info(self) -> TrackerInfo:
        return self._info

    def stream(self) -> _KeypointStream:
        return _KeypointStream(self)

    def extract_features(self, frame: UInt8Array) -> FrameFeatures:
        """The keypoints of an (h, w, 3) frame, found now or when the same frame was seen before."""
        digest = frame_key(frame)
        features = self._cache.get(digest)
        if features is None:
            features = self._matcher.extract(frame)
            self._cache.put(digest, features, features.num_bytes)
        return FrameFeatures(digest, (frame.shape[0], frame.shape[1]), features)

    def carry(self, xy: FloatArray, query: FrameFeatures, now: FrameFeatures) -> Carried:
        """Where (n, 2) points of the frame ``query`` lie in the frame ``now``."""
        if query.digest == now.digest:
            return Carried(xy, np.ones(len(xy), np.bool_), np.ones(len(xy), np.float32))
        pairs = self._matcher.match(query.features, now.features)
        alone = np.ones(len(query.features), np.bool_)
        alone[pairs.first] = False
        matches = Matches(
            query.features.xy[pairs.first],
            now.features.xy[pairs.second],
            pairs.score,
            query.features.xy[alone],
            max(query.size_hw),
        )
        carried = carry(xy, matches, self._limits)
        visible = carried.visible & inside_frame(carried.xy, now.size_hw)
        return Carried(carried.xy, visible, carried.confidence)


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """A frame as this tracker caches it: a digest of its pixels, its size and its keypoints."""

    digest: bytes
    size_hw: tuple[int, int]
    features: Features


@dataclass(eq=False)
class _Group:
    """The points of one prompt frame: (n,) which ones, and (n, 2) where they lie there."""

    query: FrameFeatures
    columns: IntArray
    xy: FloatArray

    __repr__ = shape_repr


class _KeypointStream(TrackerStream):
    def __init__(self, tracker: KeypointTracker) -> None:
        self._tracker = tracker
        self._groups: list[_Group] = []
        self._xy: FloatArray = np.zeros((0, 2), np.float32)
        """Where each point was seen last."""
        self._last: UInt8Array | FrameFeatures | None = None
        """The frame pushed last; not looked at as long as there is no point to track."""

    def add(self, xy: FloatArray) -> None:
        assert self._last is not None
        features = self._last if isinstance(self._last, FrameFeatures) else self._tracker.extract_features(self._last)
        self._last = features
        xy = np.asarray(xy, np.float32)
        columns = np.arange(len(self._xy), len(self._xy) + len(xy))
        self._groups.append(_Group(features, columns, xy))
        self._xy = np.concatenate([self._xy, xy])

    def push(self, frame: UInt8Array) -> TrackStep:
        n = len(self._xy)
        visible, confidence = np.zeros(n, np.bool_), np.zeros(n, np.float32)
        self._last = self._tracker.extract_features(frame) if n else frame.copy()  # whoever gave it may reuse its memory
        if isinstance(self._last, FrameFeatures):
            for group in self._groups:
                carried = self._tracker.carry(group.xy, group.query, self._last)
                self._xy[group.columns[carried.visible]] = carried.xy[carried.visible]
                visible[group.columns], confidence[group.columns] = carried.visible, carried.confidence
        return TrackStep(self._xy.copy(), visible, confidence)
