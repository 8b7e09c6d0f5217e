"""SAM 3's detector for words, behind the interface of a proposer."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.table import PROPOSERS
from sampt.proposers.base import MAX_PROPOSALS, Proposal, ProposerFrame, ProposerInfo

if TYPE_CHECKING:
    from sampt.segmenters.sam3.concepts import ConceptSegmenter

__all__ = ["Sam3Proposer"]


class Sam3Proposer:
    """Masks of what phrases name, by SAM 3 itself; the segmenter of the frame is not used.

    Args:
        concepts: finds them.
        phrases: what is looked for.
    """

    info: ProposerInfo = PROPOSERS["text-sam3"].info

    def __init__(self, concepts: ConceptSegmenter, phrases: tuple[str, ...]) -> None:
        self._concepts, self._phrases = concepts, phrases

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`sampt.proposers.base.Proposer.propose`.

        Raises:
            BackendError: a phrase is longer than the network reads, or the device's memory is too small.
        """
        found = []
        for one in self._concepts.find(frame.image, list(self._phrases)):
            if one.mask.any():
                one.mask.setflags(write=False)
                found.append(Proposal(one.mask, float(one.score), one.text))
        return sorted(found, key=lambda proposal: -proposal.score)[:MAX_PROPOSALS]
