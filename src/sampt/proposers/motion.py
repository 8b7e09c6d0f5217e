"""Proposers ``motion`` and ``motion-causal``: what moves against the camera (:mod:`sampt.proposers.own_motion`).

When nothing moves from one frame to the next, the frame is compared with frames farther away.
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.backends.options import check_device, check_no_weights
from sampt.backends.table import PROPOSERS
from sampt.proposers.base import Proposal, ProposerFrame, ProposerInfo
from sampt.proposers.own_motion import find_own_motion
from sampt.proposers.regions import propose_regions
from sampt.types import FloatArray

__all__ = ["MotionProposer", "create", "create_causal"]

# Chosen on held-out sequences of davis2016_train (docs/proposers.md).
_NEAR, _FAR = (1, 3), (3, 9)
"""Frames from the frame to its neighbours, before and after it: to begin with, and when nothing is found."""
_STANDS_OUT = 8.0
"""Times the median of the frame's pixels: so much own motion is more than noise and parallax."""
_MIN_PX = 0.5
"""And so many pixels to the nearest neighbour, on a frame of 480."""


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

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`sampt.proposers.base.Proposer.propose`."""
        for distances in (_NEAR, _FAR):
            own = find_own_motion(frame, [sign * distance for distance in distances for sign in self._signs])
            found = [] if own is None else propose_regions(frame, _estimate_moving(own, _MIN_PX / distances[0], frame.size_hw))
            if found:
                return found
        return []


def _estimate_moving(own: FloatArray, min_px: float, size_hw: tuple[int, int]) -> FloatArray:
    """(h, w) probability that a pixel moves by itself, of its own motion; a half where it just counts."""
    ratio = np.square(own / max(min_px, _STANDS_OUT * float(np.median(own))))
    return np.asarray(cv2.resize(ratio / (1 + ratio), size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
