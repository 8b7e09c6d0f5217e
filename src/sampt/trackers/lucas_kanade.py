"""Tracker ``lucas-kanade``: sparse pyramidal Lucas-Kanade with a forward-backward check, in OpenCV's implementation.

Bouguet, "Pyramidal Implementation of the Affine Lucas Kanade Feature Tracker", Intel, 2001.
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.backends.options import check_device, check_no_weights
from sampt.backends.table import TRACKERS
from sampt.trackers.base import CausalTracker, TrackerInfo
from sampt.trackers.chained import ChainedStream, ChainLimits
from sampt.types import FloatArray, UInt8Array

__all__ = ["LucasKanadeTracker", "create"]

_WINDOW = (21, 21)
_LEVELS = 4
_CRITERIA = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 30, 0.01)
_LIMITS = ChainLimits(error_px=1.0, error_step=0.05, color=9.0)


def create(*, weights: str | None = "default", device: str = "auto") -> LucasKanadeTracker:
    """Make the tracker; it has no weights."""
    check_device(device, "lucas-kanade")
    check_no_weights(weights, "lucas-kanade")
    return LucasKanadeTracker()


class LucasKanadeTracker(CausalTracker):
    """Pyramidal Lucas-Kanade, chained, with a forward-backward check."""

    @property
    def info(self) -> TrackerInfo:
        return TRACKERS["lucas-kanade"].info

    def stream(self) -> _LucasKanadeStream:
        return _LucasKanadeStream()


class _LucasKanadeStream(ChainedStream):
    def __init__(self) -> None:
        super().__init__(_LIMITS)
        self._before: np.ndarray | None = None
        self._now: np.ndarray | None = None

    def _advance(self, frame: UInt8Array) -> None:
        self._before, self._now = self._now, cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)

    def _there_and_back(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        assert self._before is not None
        assert self._now is not None
        there, found = _carry(self._before, self._now, xy)
        there[~found] = xy[~found]
        back, found_back = _carry(self._now, self._before, there)
        back[~(found & found_back)] = np.inf  # not found: fails any check
        return there, back


def _carry(source: np.ndarray, target: np.ndarray, xy: FloatArray) -> tuple[FloatArray, np.ndarray]:
    moved, status, _ = cv2.calcOpticalFlowPyrLK(
        source, target, xy[:, None, :], xy[:, None, :].copy(), winSize=_WINDOW, maxLevel=_LEVELS, criteria=_CRITERIA
    )
    return np.asarray(moved, np.float32).reshape(-1, 2), np.asarray(status).reshape(-1).astype(np.bool_)
