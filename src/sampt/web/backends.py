"""Backends for sessions: each has its own tracker, and all share one segmenter of a kind, which keeps no state."""

from __future__ import annotations

import threading
import weakref
from typing import TypeAlias

from sampt.config import SegmentConfig
from sampt.runs.backends import backend_options
from sampt.segmenters.base import PromptableSegmenter, SegmenterInfo
from sampt.segmenters.create import create_segmenter
from sampt.trackers.base import PointTracker, TrackerInfo
from sampt.trackers.create import create_tracker
from sampt.web.settings import BackendFactory

__all__ = ["CachedBackends", "NamedBackends"]

_Pair: TypeAlias = tuple[PointTracker, PromptableSegmenter]
_Key: TypeAlias = tuple[str, str, tuple[tuple[str, str], ...]]
"""Name, weights and options of a segmenter: all that it is made from, but the device."""


class NamedBackends:
    """Makes backends by the names in settings.

    Args:
        device, runtime, precision: as for :func:`sampt.trackers.create.create_tracker`.
    """

    def __init__(self, device: str = "auto", runtime: str = "auto", precision: str = "auto") -> None:
        self._device, self._runtime, self._precision = device, runtime, precision
        self._segmenters: weakref.WeakValueDictionary[_Key, PromptableSegmenter] = weakref.WeakValueDictionary()
        self._lock = threading.Lock()

    def __call__(self, config: SegmentConfig) -> _Pair:
        of_tracker, of_segmenter = backend_options(config, self._runtime, self._precision)
        tracker = create_tracker(config.tracker, weights=config.tracker_weights, device=self._device, **of_tracker)
        key = (config.segmenter, config.segmenter_weights, tuple(sorted(of_segmenter.items())))
        with self._lock:
            segmenter = self._segmenters.get(key)
            if segmenter is None:
                weights = config.segmenter_weights
                segmenter = create_segmenter(config.segmenter, weights=weights, device=self._device, **of_segmenter)
                self._segmenters[key] = segmenter
        return tracker, segmenter


class CachedBackends:
    """``make``, which is also called for the backends of new sessions before there is one; what it made then is used first.

    Args:
        make: makes them.
        config: of new sessions.
    """

    def __init__(self, make: BackendFactory, config: SegmentConfig) -> None:
        self._make, self._config = make, config
        self._spare: _Pair | None = None
        self._infos: tuple[TrackerInfo, SegmenterInfo] | None = None
        self._lock = threading.Lock()

    def __call__(self, config: SegmentConfig) -> _Pair:
        with self._lock:
            if self._spare is not None and config == self._config:
                pair, self._spare = self._spare, None
                return pair
        return self._make(config)

    def infos(self) -> tuple[TrackerInfo, SegmenterInfo]:
        """What the backends of new sessions say of themselves.

        Raises:
            SamptError: they cannot be made.
        """
        with self._lock:
            if self._infos is None:
                tracker, segmenter = self._spare = self._make(self._config)
                self._infos = tracker.info, segmenter.info
            return self._infos
