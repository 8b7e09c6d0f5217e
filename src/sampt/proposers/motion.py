"""Proposers ``motion`` and ``motion-causal``: what moves against the camera (:mod:`sampt.proposers.own_motion`).

When nothing moves from one frame to the next, the frame is compared with frames farther away.
"""

from __future__ import annotations

from sampt.backends.options import check_device, check_no_weights
from sampt.backends.table import PROPOSERS
from sampt.proposers.base import Proposal, ProposerFrame, ProposerInfo
from sampt.proposers.own_motion import estimate_moving, find_own_motion
from sampt.proposers.regions import find_regions, propose_regions

__all__ = ["MotionProposer", "create", "create_causal"]

_NEAR, _FAR = (1, 3), (3, 9)
"""Frames from the frame to its neighbours, before and after it: to begin with, and when nothing is found."""


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
            if own is None:
                continue
            moving = estimate_moving(own, frame.size_hw, distance=distances[0])
            found = propose_regions(frame, find_regions(moving), moving)
            if found:
                return found
        return []
