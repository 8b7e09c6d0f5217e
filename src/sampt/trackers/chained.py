"""What trackers share that carry points from one frame to the next: when a point counts, and the book-keeping.

A point moves along the motion from the last frame to this one and back again; when it does not return to where it came from,
it is hidden there or the motion is wrong (Kalal et al., "Forward-Backward Error", ICPR 2010). It is carried on all the same and
may be seen again. A point also has to keep its looks: what lies at a carried point when something passes in front of it has
another colour. A point that leaves the frame is lost: chained motion cannot find it again.
"""

from __future__ import annotations

from abc import abstractmethod

import cv2
import numpy as np

from sampt.geometry import clip_xy, inside_frame, sample_picture
from sampt.trackers.base import TrackerStream, TrackStep
from sampt.types import FloatArray, UInt8Array

__all__ = ["ChainedStream"]

# Chosen on 15 of the sequences of davis2016_train (scripts/tune_tracker.py): the colour test raises the share of visible points
# that are on their own side of the object's outline from 0.79 to 0.84.
_BLUR_SIGMA_PX = 1.5
_LAB_WEIGHTS = np.array([0.5, 1.0, 1.0], np.float32)
"""Lightness changes with shading more than colour does."""
_MAX_COLOUR_CHANGE = 18.0
_SURE_SHARE = 0.6
"""Below this share of the limit a point is surely itself, and what it looks like is learned on ..."""
_LEARNING_RATE = 0.05
"""... by this much a frame."""


class ChainedStream(TrackerStream):
    """A stream that carries points from frame to frame; subclasses know how one step moves a point.

    Args:
        max_error_px: a point is hidden when it returns farther than this from where it came from ...
        max_error_share: ... plus this share of the length of its step.
    """

    def __init__(self, max_error_px: float, max_error_share: float) -> None:
        self._max_error_px = max_error_px
        self._max_error_share = max_error_share
        self._xy: FloatArray = np.zeros((0, 2), np.float32)
        self._inside = np.zeros(0, np.bool_)
        self._colours: FloatArray = np.zeros((0, 3), np.float32)
        self._lab: UInt8Array = np.zeros((1, 1, 3), np.uint8)

    @abstractmethod
    def _advance(self, frame: UInt8Array) -> None:
        """Take in the next frame (the first one, too)."""

    @abstractmethod
    def _there_and_back(self, xy: FloatArray) -> tuple[FloatArray, FloatArray]:
        """Where (n, 2) points of the frame before are now, and where those places come from, by the opposite motion."""

    def add(self, xy: FloatArray) -> None:
        self._xy = np.concatenate([self._xy, xy]).astype(np.float32)
        self._inside = np.concatenate([self._inside, np.ones(len(xy), np.bool_)])
        self._colours = np.concatenate([self._colours, self._colours_at(np.asarray(xy, np.float32))])

    def push(self, frame: UInt8Array) -> TrackStep:
        self._advance(frame)
        self._lab = np.asarray(cv2.cvtColor(cv2.GaussianBlur(frame, (0, 0), _BLUR_SIGMA_PX), cv2.COLOR_RGB2LAB), np.uint8)
        confidence = np.zeros(len(self._xy), np.float32)
        moving = np.flatnonzero(self._inside)
        if len(moving):
            start = self._xy[moving]
            there, back = self._there_and_back(start)
            size_hw = (frame.shape[0], frame.shape[1])
            self._inside[moving] = inside_frame(there, size_hw)
            self._xy[moving] = clip_xy(there, size_hw)
            confidence[moving] = self._return_confidence(start, there, back) * self._colour_confidence(moving)
            confidence[~self._inside] = 0
        return TrackStep(self._xy.copy(), confidence > 0, confidence)

    def _return_confidence(self, start: FloatArray, there: FloatArray, back: FloatArray) -> FloatArray:
        """(n,) from 1 for a point that returns exactly, through 1/e at the limit, to 0 beyond it."""
        error = np.linalg.norm(back - start, axis=1)
        limit = self._max_error_px + self._max_error_share * np.linalg.norm(there - start, axis=1)
        return np.where(error <= limit, np.exp(-error / limit), 0).astype(np.float32)

    def _colour_confidence(self, moving: np.ndarray) -> FloatArray:
        """(n,) 1 where the points ``moving`` look as they did, 0 where they do not; learns on where it is sure."""
        now = self._colours_at(self._xy[moving])
        change = np.linalg.norm((now - self._colours[moving]) * _LAB_WEIGHTS, axis=1)
        sure = change < _SURE_SHARE * _MAX_COLOUR_CHANGE
        self._colours[moving[sure]] += _LEARNING_RATE * (now[sure] - self._colours[moving[sure]])
        return np.asarray(change < _MAX_COLOUR_CHANGE, np.float32)

    def _colours_at(self, xy: FloatArray) -> FloatArray:
        """(n, 3) Lab of the blurred frame, L in [0, 100], at (n, 2) points."""
        scaled = sample_picture(self._lab, xy).astype(np.float32) * np.array([100 / 255, 1, 1], np.float32)
        return np.asarray(scaled, np.float32)
