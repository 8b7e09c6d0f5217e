"""What moves against the camera, between a frame and one a little earlier.

Optical flow (OpenCV's DIS) tells where every pixel was; one homography, fitted to most of them, is the camera's movement over
what is still, far away or flat; what is left is a thing's own movement.
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.geometry import size_with_longest_side
from sampt.types import BoolArray, FloatArray, UInt8Array

__all__ = ["APART", "compare_motion", "find_own_motion"]

APART = 2
"""Frames between the two: at 24 to 30 a second things have moved, and are still what they were."""
_LONGEST_PX = 416
_CELL = 2
_EVERY = 11
_REACH_PX = 1.0
_STILL_PX = 1.0
"""Movements, in pixels of the reduced frame, that are noise."""
_MIN_SIDE = 32


def find_own_motion(image: UInt8Array, earlier: UInt8Array) -> FloatArray | None:
    """How far things have moved by themselves.

    Args:
        image: (h, w, 3) uint8 RGB.
        earlier: an earlier frame of that size.

    Returns:
        (h', w') float32 pixels of a frame whose longest side is 416, in cells that cover it evenly; None where the frame is too
        small, or no camera's movement fits.
    """
    size_hw = size_with_longest_side((image.shape[0], image.shape[1]), _LONGEST_PX)
    if min(size_hw) < _MIN_SIDE:
        return None
    now, before = (
        cv2.resize(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), size_hw[::-1], interpolation=cv2.INTER_AREA)
        for frame in (image, earlier)
    )
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_FAST)
    moved = np.asarray(flow.calc(now, before, None))[::_CELL, ::_CELL]  # type: ignore[call-overload]
    rows, columns = moved.shape[:2]
    y, x = np.mgrid[:rows, :columns].astype(np.float32) * _CELL
    here = np.stack([x, y], -1).reshape(-1, 2)
    there = here + moved.reshape(-1, 2)
    cv2.setRNGSeed(0)  # of RANSAC's draws: equal frames have equal results
    camera, _ = cv2.findHomography(here[::_EVERY], there[::_EVERY], cv2.RANSAC, _REACH_PX, maxIters=300)
    if camera is None:
        return None
    still = cv2.perspectiveTransform(here[None], camera)[0]
    own = np.linalg.norm(there - still, axis=1).reshape(rows, columns)
    return np.asarray(np.where(np.isfinite(own), own, 0), np.float32)


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
