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

from sampt.geometry import shrink_image
from sampt.proposers.base import ProposerFrame
from sampt.trackers.dis_flow import DenseFlow
from sampt.types import BoolArray, FloatArray, UInt8Array

__all__ = ["compare_motion", "find_own_motion"]

_SIDE = 480
"""Flow is computed on frames of at most so many pixels, which the numbers below count."""
_SMOOTH = 1.5
_EVERY = 8
"""The camera's motion is fitted to the flow of every so many pixels."""
_REACH_PX = 2.0
"""Within which flow is the camera's."""
_STILL_PX = 0.5
"""Motion, a frame, that is noise."""


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


def compare_motion(own: FloatArray, mask: BoolArray) -> float:
    """From 0 to 1: how much more of its own a mask moves than what is around it; near 0 where neither does.

    Args:
        own: of :func:`find_own_motion`.
        mask: (h, w) bool of the frame.
    """
    inside = cv2.resize(mask.astype(np.float32), own.shape[::-1], interpolation=cv2.INTER_AREA) > 0.5
    if not inside.any() or inside.all():
        return 0.0
    moved, around = float(np.median(own[inside])), float(np.median(own[~inside]))
    return moved / (moved + around + _STILL_PX)
