"""Parts of a mask that are something else by their looks: what the object met (docs/algorithm.md, "Object memory")."""

from __future__ import annotations

import cv2
import numpy as np

from sampt.memory.object_memory import cover_cells
from sampt.types import BoolArray, FloatArray

__all__ = ["find_foreign_parts"]

# Chosen on made scenes (seeds from 100 on) and on davis2016_train (docs/benchmarks.md, "Object memory").
_LARGE = 0.1
"""Of the mask; smaller parts are left alone."""
_LESS_ALIKE = 1.5
"""By which mean log odds are lower than those of another part."""
_MAX_LIKENESS = 1.0
"""Mean log odds of a part that is something else."""


def find_foreign_parts(prior: FloatArray, mask: BoolArray) -> BoolArray:
    """(h, w): the connected parts of an (h, w) mask that look much less like the object than another large part does.

    Args:
        prior: (h', w') log odds of the object, in cells that cover the frame evenly.
        mask: a prediction of it.
    """
    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask.astype(np.uint8), connectivity=8)
    total = int(stats[1:, cv2.CC_STAT_AREA].sum())
    large = [k for k in range(1, count) if stats[k, cv2.CC_STAT_AREA] >= _LARGE * total]
    foreign = np.zeros(mask.shape, np.bool_)
    if len(large) < 2:
        return foreign
    means = []
    for k in large:
        weights = cover_cells(labels == k, prior.shape) ** 2  # a cell that is half the part's says little of it
        means.append(float(np.average(prior, weights=weights)))
    for k, mean in zip(large, means, strict=True):
        if mean <= min(_MAX_LIKENESS, max(means) - _LESS_ALIKE):
            foreign |= labels == k
    return foreign
