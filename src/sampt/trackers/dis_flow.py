"""Tracker ``dis-flow``: points carried by dense inverse search optical flow, chained from frame to frame.

Kroeger et al., "Fast Optical Flow using Dense Inverse Search", ECCV 2016, in OpenCV's implementation. The flow of a pair of
frames is computed once, in both directions, for all points; the way back, which only checks, at half the size.
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.backends.options import check_device, check_no_weights
from sampt.backends.table import TRACKERS
from sampt.geometry import rescale_xy, sample_image
from sampt.trackers.base import CausalTracker, TrackerInfo
from sampt.trackers.chained import ChainedStream, ChainLimits
from sampt.types import FloatArray, UInt8Array

__all__ = ["DenseFlow", "DisFlowTracker", "create"]

_LIMITS = ChainLimits(error_side=0.02, error_step=0.25, color=9.0)
"""Chosen on davis2016_train with the default preset (`tools/tune_tracker.py`): a tight forward-backward limit hides points on
the moving object itself; what a point looks like tells better whether it is still there."""
_MIN_SIDE_TO_HALVE = 240
_MIN_SIDE = 64
"""Below this OpenCV's coarsest pyramid level is smaller than a patch."""


def create(*, weights: str | None = "default", device: str = "auto") -> DisFlowTracker:
    """Make the tracker; it has no weights."""
    check_device(device, "dis-flow")
    check_no_weights(weights, "dis-flow")
    return DisFlowTracker()


class DisFlowTracker(CausalTracker):
    """Dense inverse search flow, chained, with a forward-backward check and a check of looks."""

    def __init__(self, limits: ChainLimits = _LIMITS) -> None:
        self._limits = limits

    @property
    def info(self) -> TrackerInfo:
        return TRACKERS["dis-flow"].info

    def stream(self) -> _DisFlowStream:
        return _DisFlowStream(self._limits)


class _DisFlowStream(ChainedStream):
    def __init__(self, limits: ChainLimits) -> None:
        super().__init__(limits)
        self._flow = DenseFlow()
        self._grey: np.ndarray | None = None
        self._small = np.zeros((1, 1), np.uint8)
        self._forward: np.ndarray | None = None
        self._backward: np.ndarray | None = None

    def _advance(self, frame: UInt8Array) -> None:
        grey = np.asarray(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY))
        small = _halve(grey)
        if self._grey is not None and self._inside.any():
            self._forward = self._flow(self._grey, grey)
            self._backward = self._flow(small, self._small)
        self._grey, self._small = grey, small

    def _there_and_back(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        assert self._grey is not None
        assert self._forward is not None
        assert self._backward is not None
        there = xy + sample_image(self._forward, xy)
        size_hw, small_hw = self._grey.shape[:2], self._backward.shape[:2]
        scale_xy = np.array([size_hw[1] / small_hw[1], size_hw[0] / small_hw[0]], np.float32)
        return there, there + scale_xy * sample_image(self._backward, rescale_xy(there, size_hw, small_hw))


class DenseFlow:
    """Dense inverse search at its medium setting; of no state."""

    def __init__(self) -> None:
        self._method = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)

    def __call__(self, grey: np.ndarray, other: np.ndarray) -> np.ndarray:
        """(h, w, 2) float32 flow from one (h, w) uint8 frame to another one.

        Frames too small for the method's pyramid are enlarged by repeating their border.
        """
        height, width = grey.shape
        pad_h, pad_w = max(0, _MIN_SIDE - height), max(0, _MIN_SIDE - width)
        if pad_h or pad_w:
            grey, other = (cv2.copyMakeBorder(g, 0, pad_h, 0, pad_w, cv2.BORDER_REPLICATE) for g in (grey, other))
        flow = self._method.calc(grey, other, None)  # type: ignore[call-overload]  # None: no flow to start from
        return np.asarray(flow)[:height, :width]


def _halve(grey: np.ndarray) -> np.ndarray:
    """The frame at half its size: the way back only checks, within a limit far wider than what the size costs in accuracy."""
    height, width = grey.shape
    if min(height, width) < _MIN_SIDE_TO_HALVE:
        return grey
    return np.asarray(cv2.resize(grey, (width // 2, height // 2), interpolation=cv2.INTER_AREA))
