"""Proposers ``motion`` and ``motion-causal``: what moves against the camera.

Dense flow leads from the frame to frames near it. The camera's motion is a homography, fitted to the flow so that what moves
by itself does not count; what the flow has beyond it is the pixel's own motion. It counts as far as all neighbours agree: where
the flow to one of them fails, as where that one shows what the frame hides, the others show it. When nothing moves from one
frame to the next, it is compared with frames farther away.
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.backends.options import check_device, check_no_weights
from sampt.backends.table import PROPOSERS
from sampt.geometry import shrink_image
from sampt.proposers.base import Proposal, ProposerFrame, ProposerInfo
from sampt.proposers.regions import propose_regions
from sampt.trackers.dis_flow import DenseFlow
from sampt.types import FloatArray, UInt8Array

__all__ = ["MotionProposer", "create", "create_causal"]

# Chosen on held-out sequences of davis2016_train (docs/proposers.md).
_SIDE = 480
"""Flow is computed on frames of at most so many pixels, which the numbers below count."""
_NEAR, _FAR = (1, 3), (3, 9)
"""Frames from the frame to its neighbours, before and after it: to begin with, and when nothing is found."""
_STANDS_OUT = 8.0
"""Times the median of the frame's pixels: so much own motion is more than noise and parallax."""
_LEAST = 0.5
"""And so many pixels to the nearest neighbour."""
_SMOOTH = 1.5
_STEP = 8
"""The camera's motion is fitted to the flow of every so many pixels."""
_FITS = 2.0
"""Pixels within which flow is the camera's."""


def create(*, weights: str | None = "default", device: str = "auto") -> MotionProposer:
    """Make the proposer that sees earlier and later frames; it has no weights."""
    return _create("motion", weights, device)


def create_causal(*, weights: str | None = "default", device: str = "auto") -> MotionProposer:
    """Make the proposer that sees earlier frames alone: for streamed ones. It finds nothing on a video's first frame."""
    return _create("motion-causal", weights, device)


def _create(name: str, weights: str | None, device: str) -> MotionProposer:
    check_device(device, name)
    check_no_weights(weights, name)
    return MotionProposer(name)


class MotionProposer:
    """Regions of own motion, each a mask by the segmenter of the frame.

    Args:
        name: "motion" or "motion-causal".
    """

    def __init__(self, name: str = "motion") -> None:
        self.info: ProposerInfo = PROPOSERS[name].info
        self._signs = (-1, 1) if self.info.frames_after else (-1,)
        self._flow = DenseFlow()

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`sampt.proposers.base.Proposer.propose`."""
        for distances in (_NEAR, _FAR):
            probability = self._find_moving(frame, distances)
            if probability is None:
                continue
            found = propose_regions(frame, probability)
            if found:
                return found
        return []

    def _find_moving(self, frame: ProposerFrame, distances: tuple[int, ...]) -> FloatArray | None:
        """(h, w) probability that a pixel moves by itself; None without a neighbour."""
        own = _prepare(frame.image)
        motions = []
        for offset in (sign * distance for distance in distances for sign in self._signs):
            neighbour = frame.neighbour(offset)
            if neighbour is not None:
                motions.append(self._measure_own_motion(own, _prepare(neighbour)) / abs(offset))
        if not motions:
            return None
        agreed = cv2.GaussianBlur(np.minimum.reduce(motions), (0, 0), _SMOOTH)
        limit = max(_LEAST / distances[0], _STANDS_OUT * float(np.median(agreed)))
        ratio = np.square(agreed / limit)
        probability = ratio / (1 + ratio)
        return np.asarray(cv2.resize(probability, frame.size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)

    def _measure_own_motion(self, grey: UInt8Array, other: UInt8Array) -> FloatArray:
        """(h, w) pixels between where the flow and where the camera's motion takes each pixel."""
        height, width = grey.shape
        y, x = np.mgrid[:height, :width].astype(np.float32)
        here = np.stack([x, y], -1)
        there = here + self._flow(grey, other)
        sampled = slice(_STEP // 2, None, _STEP)
        camera = _fit_camera(here[sampled, sampled].reshape(-1, 2), there[sampled, sampled].reshape(-1, 2))
        moved = cv2.perspectiveTransform(here.reshape(1, -1, 2), camera).reshape(there.shape)
        return np.asarray(np.nan_to_num(np.linalg.norm(there - moved, axis=2), posinf=0), np.float32)


def _fit_camera(here: FloatArray, there: FloatArray) -> np.ndarray:
    """(3, 3) homography that most of the points (n, 2) agree with; none at all where there is nothing to fit it to."""
    found = cv2.findHomography(here, there, cv2.RANSAC, _FITS)[0] if len(here) >= 4 else None
    return np.eye(3) if found is None else np.asarray(found)


def _prepare(image: UInt8Array) -> UInt8Array:
    """(h, w) brightness of a frame, reduced."""
    if max(image.shape[:2]) > _SIDE:
        image = np.asarray(shrink_image(image, _SIDE), np.uint8)
    return np.asarray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), np.uint8)
