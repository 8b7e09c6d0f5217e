"""What moves against the camera, between a frame and some near it.

Dense flow (:class:`sampt.trackers.dis_flow.DenseFlow`) leads from the frame to its neighbours. The camera's motion is a
homography, fitted to the flow so that what moves by itself does not count; what the flow has beyond it is the pixel's own
motion. It counts as far as all neighbours agree: where the flow to one of them fails, as where that one shows what the frame
hides, the others show it.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sampt.geometry import SizeHW, shrink_image
from sampt.proposers.base import ProposerFrame
from sampt.trackers.dis_flow import DenseFlow
from sampt.types import FloatArray, UInt8Array

__all__ = ["estimate_moving", "find_own_motion"]

# Chosen on held-out sequences of davis2016_train (docs/proposers.md).
_SIDE = 480
"""Flow is computed on frames of at most so many pixels, which the numbers below count."""
_SMOOTH = 1.5
_EVERY = 8
"""The camera's motion is fitted to the flow of every so many pixels."""
_REACH_PX = 2.0
"""Within which flow is the camera's."""
_STANDS_OUT = 8.0
"""Times the median of the frame's pixels: so much own motion is more than noise and parallax."""
_MIN_PX = 0.5
"""And so many pixels to the nearest neighbour."""


def find_own_motion(frame: ProposerFrame, offsets: Sequence[int]) -> FloatArray | None:
    """How fast things move by themselves.

    Args:
        frame: the frame.
        offsets: of its neighbours, negative ones before it.

    Returns:
        (h', w') float32 pixels a frame, of frames reduced to 480 pixels, in cells that cover the frame evenly; None where
        there is no such neighbour.
    """
    grey, flow = _prepare(frame.image), DenseFlow()
    found = []
    for offset in offsets:
        neighbour = frame.neighbour(offset)
        if neighbour is not None:
            found.append(_measure(grey, _prepare(neighbour), flow) / abs(offset))
    return cv2.GaussianBlur(np.minimum.reduce(found), (0, 0), _SMOOTH) if found else None  # type: ignore[return-value]


def _measure(grey: UInt8Array, other: UInt8Array, flow: DenseFlow) -> FloatArray:
    """(h, w) pixels between where the flow and where the camera's motion takes each pixel."""
    height, width = grey.shape
    y, x = np.mgrid[:height, :width].astype(np.float32)
    here = np.stack([x, y], -1)
    there = here + flow(grey, other)
    sampled = slice(_EVERY // 2, None, _EVERY)
    camera = _fit_camera(here[sampled, sampled].reshape(-1, 2), there[sampled, sampled].reshape(-1, 2))
    moved = cv2.perspectiveTransform(here.reshape(1, -1, 2), camera).reshape(there.shape)
    return np.asarray(np.nan_to_num(np.linalg.norm(there - moved, axis=2), posinf=0), np.float32)


def _fit_camera(here: FloatArray, there: FloatArray) -> np.ndarray:
    """(3, 3) homography that most of the points (n, 2) agree with; no motion where there is nothing to fit it to."""
    found = cv2.findHomography(here, there, cv2.RANSAC, _REACH_PX)[0] if len(here) >= 4 else None
    return np.eye(3) if found is None else np.asarray(found)


def _prepare(image: UInt8Array) -> UInt8Array:
    """(h, w) brightness of a frame, reduced."""
    if max(image.shape[:2]) > _SIDE:
        image = np.asarray(shrink_image(image, _SIDE), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)


def estimate_moving(own: FloatArray, size_hw: SizeHW, *, distance: int = 1) -> FloatArray:
    """(h, w) float32 probability that a pixel of a frame of that size moves by itself; above a half it counts.

    Args:
        own: of :func:`find_own_motion`.
        size_hw: of the frame.
        distance: frames to the nearest neighbour: slower motion counts where that is farther away.
    """
    ratio = np.square(own / max(_MIN_PX / distance, _STANDS_OUT * float(np.median(own))))
    return np.asarray(cv2.resize(ratio / (1 + ratio), size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
