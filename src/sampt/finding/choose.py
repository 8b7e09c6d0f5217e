"""Which proposals on one frame are objects that are not known yet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sampt.config import FindConfig
from sampt.geometry import SizeHW
from sampt.proposers.base import MAX_PROPOSALS, Proposal
from sampt.types import BoolArray

__all__ = ["MAX_PROPOSALS", "SAME", "choose_new", "distinct", "is_about", "overlap_fractions", "suitable"]

SAME = 0.5
"""Two masks of one frame are about the same thing when they have this IoU, or one lies in the other by :data:`INSIDE`."""
INSIDE = 0.8


def choose_new(
    proposals: Sequence[Proposal], known: Sequence[BoolArray], config: FindConfig, source_hw: SizeHW
) -> list[Proposal]:
    """Proposals for objects that are not known, best score first, no two about the same thing.

    Args:
        proposals: of one frame.
        known: (h, w) masks there of the objects that are known.
        config: what objects have to be like.
        source_hw: size of the video's own frames, which ``config.region`` counts the pixels of.
    """
    fitting = distinct(suitable(proposals, config, source_hw))
    return [p for p in fitting if not any(is_about(p.mask, mask) for mask in known)][: config.max_objects]


def suitable(proposals: Sequence[Proposal], config: FindConfig, source_hw: SizeHW) -> list[Proposal]:
    """The proposals that size, score and region leave, best score first, at most :data:`MAX_PROPOSALS`."""
    ordered = sorted(proposals, key=lambda p: -p.score)
    return [p for p in ordered if p.score >= config.min_score and _fits(p.mask, config, source_hw)][:MAX_PROPOSALS]


def _fits(mask: BoolArray, config: FindConfig, source_hw: SizeHW) -> bool:
    area = np.count_nonzero(mask)
    if not area or area < config.min_area * mask.size:
        return False
    if config.region is None:
        return True
    ys, xs = np.nonzero(mask)
    x, y = (xs.mean() + 0.5) / mask.shape[1] * source_hw[1], (ys.mean() + 0.5) / mask.shape[0] * source_hw[0]
    x0, y0, x1, y1 = config.region
    return bool(x0 <= x <= x1 + 1 and y0 <= y <= y1 + 1)


def distinct(proposals: Sequence[Proposal]) -> list[Proposal]:
    """Without proposals about the same thing as an earlier one."""
    kept: list[Proposal] = []
    for one in proposals:
        if not any(is_about(one.mask, other.mask) for other in kept):
            kept.append(one)
    return kept


def is_about(one: BoolArray, other: BoolArray) -> bool:
    """Whether two masks are about the same thing: nearly equal, or one of them part of the other."""
    iou, own, others = overlap_fractions(one, other)
    return iou >= SAME or own >= INSIDE or others >= INSIDE


def overlap_fractions(one: BoolArray, other: BoolArray) -> tuple[float, float, float]:
    """IoU of two (h, w) masks, and the fraction of each that lies in the other; 0 where a mask is empty."""
    both = int(np.count_nonzero(one & other))
    first, second = int(np.count_nonzero(one)), int(np.count_nonzero(other))
    return both / max(1, first + second - both), both / max(1, first), both / max(1, second)
