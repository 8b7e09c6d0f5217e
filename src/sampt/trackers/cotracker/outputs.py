"""From the network's estimates to locations in the frame, visibility and confidence, and from query points to the network."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from sampt.checks import shape_repr
from sampt.geometry import SizeHW, inside_frame
from sampt.trackers.cotracker.network import STRIDE, Estimate
from sampt.types import BoolArray, FloatArray, IntArray

__all__ = ["FrameScale", "TrackOutputs"]


class TrackOutputs(NamedTuple):
    """Where n points are on s frames: xy (s, n, 2), visible (s, n), confidence (s, n) in [0, 1]."""

    xy: FloatArray
    visible: BoolArray
    confidence: FloatArray

    def __repr__(self) -> str:
        return shape_repr(self)

    @classmethod
    def of_queries(cls, xy: FloatArray, frame_idx: IntArray, frames: IntArray) -> TrackOutputs:
        """Points (n, 2) at their own locations on all (s,) ``frames``: seen on their own ``frame_idx`` (n,), else hidden."""
        is_own = frames[:, None] == frame_idx
        return cls(np.broadcast_to(xy, (len(frames), *xy.shape)).copy(), is_own, is_own.astype(np.float32))

    def fill(self, rows: IntArray, found: TrackOutputs, wanted: BoolArray) -> None:
        """Take over, on ``rows`` (r,), the first m points of ``found`` where ``wanted`` (r, m)."""
        for old, new in zip(self, found, strict=True):
            part = old[rows, : wanted.shape[1]]
            part[wanted] = new[wanted]
            old[rows, : wanted.shape[1]] = part


class FrameScale:
    """Between frames of a size and the image that the network sees.

    CoTracker3's program resizes with the centres of the corner pixels kept in place, and (0, 0) is the centre of the top-left
    pixel there as here, so locations are multiplied by a ratio of sides less one. That of the first CoTracker, and SAM-PT's,
    multiply by the ratio of the sides without ``keeps_corners``, although (0, 0) is a centre in their network, too.
    """

    def __init__(self, size_hw: SizeHW, model_hw: SizeHW, *, keeps_corners: bool = True) -> None:
        self._size_hw = size_hw
        less = 1 if keeps_corners else 0
        height, width = (max(side - less, 1) for side in size_hw)
        self._ratio_xy = np.array([(model_hw[1] - less) / width, (model_hw[0] - less) / height])

    def to_network(self, xy: FloatArray, device: torch.device) -> Tensor:
        """(n, 2) pixels of the frame to pixels of the finest features."""
        return torch.from_numpy((xy * self._ratio_xy / STRIDE).astype(np.float32)).to(device)

    def outputs(self, found: Estimate, visible: float) -> TrackOutputs:
        """Of an estimate for s frames and n points.

        Args:
            found: of the network.
            visible: a point that is inside the frame and seen with a greater probability is visible. Its confidence is the
                probability that it is seen and placed right, the product that the official program makes of the two.
        """
        by_frame = (torch.cat([found.xy, found.visible[..., None].sigmoid(), found.confidence[..., None].sigmoid()], -1)).cpu()
        values = by_frame.transpose(0, 1).numpy()
        xy = (values[..., :2].astype(np.float64) * STRIDE / self._ratio_xy).astype(np.float32)
        is_visible = (values[..., 2] > visible) & inside_frame(xy, self._size_hw)
        return TrackOutputs(xy, is_visible, values[..., 2] * values[..., 3])
