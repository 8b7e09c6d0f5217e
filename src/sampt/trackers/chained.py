"""What trackers share that carry points from one frame to the next: when a point counts, and the book-keeping.

A point moves along the motion from the last frame to this one and back again; when it does not return to where it came from,
it is hidden there or the motion is wrong (Kalal et al., "Forward-Backward Error", ICPR 2010). It is carried on all the same and
may be seen again. A point also has to keep its looks: what lies at a carried point when something passes in front of it has
another colour. A point that leaves the frame is lost: chained motion cannot find it again.
"""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import cv2
import numpy as np

from sampt.geometry import clip_xy, inside_frame, rescale_xy, sample_image, shrink_image
from sampt.trackers.base import TrackerStream, TrackStep
from sampt.types import FloatArray, UInt8Array

__all__ = ["ChainLimits", "ChainedStream"]

_APPEARANCE_LONGEST_SIDE = 288
"""Colours are compared on the frame reduced to this longest side, the size on which the limits were chosen."""
_BLUR_SIGMA_PX = 1.5
_LAB_WEIGHTS = np.array([0.5, 1.0, 1.0], np.float32)
"""Lightness changes with shading more than colour does."""
_SURE_FRACTION = 0.6
"""Below this fraction of the limit a point is surely itself, and what it looks like is learned on ..."""
_LEARNING_RATE = 0.05
"""... by this much a frame."""


@dataclass(frozen=True)
class ChainLimits:
    """When a carried point counts.

    Attributes:
        error_px: a point is hidden when it returns farther than this from where it came from ...
        error_step: ... plus this fraction of the length of its step ...
        error_side: ... plus this fraction of the frame's longest side.
        color: it is hidden, too, when its colour is farther than this from its own (Lab, lightness at half weight).
    """

    error_px: float = 0.0
    error_step: float = 0.0
    error_side: float = 0.0
    color: float = 9.0


class ChainedStream(TrackerStream):
    """A stream that carries points from frame to frame; subclasses know how one step moves a point."""

    def __init__(self, limits: ChainLimits) -> None:
        self._limits = limits
        self._xy: FloatArray = np.zeros((0, 2), np.float32)
        self._inside = np.zeros(0, np.bool_)
        self._colors: FloatArray = np.zeros((0, 3), np.float32)
        self._lab: UInt8Array = np.zeros((1, 1, 3), np.uint8)
        self._size_hw = (1, 1)

    @abstractmethod
    def _advance(self, frame: UInt8Array) -> None:
        """Take in the next frame (the first one, too)."""

    @abstractmethod
    def _there_and_back(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Where (n, 2) points of the frame before are now, and where those locations come from, by the opposite motion."""

    def add(self, xy: FloatArray) -> None:
        self._xy = np.concatenate([self._xy, xy]).astype(np.float32)
        self._inside = np.concatenate([self._inside, np.ones(len(xy), np.bool_)])
        self._colors = np.concatenate([self._colors, self._colors_at(np.asarray(xy, np.float32))])

    def push(self, frame: UInt8Array) -> TrackStep:
        self._advance(frame)
        self._size_hw = (frame.shape[0], frame.shape[1])
        self._lab = _blur_lab(frame)
        confidence = np.zeros(len(self._xy), np.float32)
        moving = np.flatnonzero(self._inside)
        if len(moving):
            start = self._xy[moving]
            there, back = self._there_and_back(start)
            self._inside[moving] = inside_frame(there, self._size_hw)
            self._xy[moving] = clip_xy(there, self._size_hw)
            confidence[moving] = self._return_confidence(start, there, back) * self._color_confidence(moving)
            confidence[~self._inside] = 0
        return TrackStep(self._xy.copy(), confidence > 0, confidence)

    def _return_confidence(self, start: FloatArray, there: FloatArray, back: FloatArray) -> FloatArray:
        """(n,) from 1 for a point that returns exactly, through 1/e at the limit, to 0 beyond it."""
        error = np.linalg.norm(back - start, axis=1)
        limits = self._limits
        limit = limits.error_px + limits.error_side * max(self._size_hw)
        limit = limit + limits.error_step * np.linalg.norm(there - start, axis=1)
        return np.where(error <= limit, np.exp(-error / limit), 0).astype(np.float32)

    def _color_confidence(self, moving: np.ndarray) -> FloatArray:
        """(n,) 1 where the points ``moving`` look as they did, 0 where they do not; learns on where it is sure."""
        now = self._colors_at(self._xy[moving])
        change = np.linalg.norm((now - self._colors[moving]) * _LAB_WEIGHTS, axis=1)
        sure = change < _SURE_FRACTION * self._limits.color
        self._colors[moving[sure]] += _LEARNING_RATE * (now[sure] - self._colors[moving[sure]])
        return np.asarray(change < self._limits.color, np.float32)

    def _colors_at(self, xy: FloatArray) -> FloatArray:
        """(n, 3) Lab of the blurred frame, L in [0, 100], at (n, 2) points."""
        small_hw = (self._lab.shape[0], self._lab.shape[1])
        sampled = sample_image(self._lab, rescale_xy(xy, self._size_hw, small_hw))
        return np.asarray(sampled * np.array([100 / 255, 1, 1]), np.float32)


def _blur_lab(frame: UInt8Array) -> UInt8Array:
    """The frame in 8-bit Lab, reduced and blurred."""
    small = shrink_image(frame, _APPEARANCE_LONGEST_SIDE)
    return np.asarray(cv2.cvtColor(cv2.GaussianBlur(small, (0, 0), _BLUR_SIGMA_PX), cv2.COLOR_RGB2LAB), np.uint8)
