"""Proposer ``automatic``: whatever the segmenter makes a mask of when it is prompted with a grid of points.

:mod:`sampt.segmenters.automatic` has the method, docs/algorithm.md, "Automatic mask generation", its numbers.
"""

from __future__ import annotations

from sampt.backends.options import check_no_weights
from sampt.backends.table import PROPOSERS
from sampt.proposers.base import Proposal, ProposerFrame, ProposerInfo
from sampt.segmenters.automatic import AutomaticMaskConfig, generate_encoded_masks

__all__ = ["AutomaticProposer", "create"]

_POINTS_PER_SIDE = 16
"""A quarter of the official program's points: objects are looked for again and again, and small masks are left out anyway."""


def create(*, weights: str | None = "default", device: str = "auto") -> AutomaticProposer:
    """Make the proposer; weights and device are those of the segmenter.

    Raises:
        BackendError: weights are given.
    """
    check_no_weights(weights, "automatic")
    return AutomaticProposer()


class AutomaticProposer:
    """Masks of a grid of points, by the segmenter of the frame.

    Args:
        config: which masks; default: a grid of 16 x 16 points, and the thresholds that suit the segmenter.
    """

    info: ProposerInfo = PROPOSERS["automatic"].info

    def __init__(self, config: AutomaticMaskConfig | None = None) -> None:
        self._config = config

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`sampt.proposers.base.Proposer.propose`; the score is the predicted IoU."""
        segmenter = frame.segmenter
        config = self._config or AutomaticMaskConfig.for_segmenter(segmenter.info, points_per_side=_POINTS_PER_SIDE)
        found = generate_encoded_masks(frame.embedding, frame.size_hw, segmenter, config)
        return [Proposal(one.mask, one.score) for one in found]
