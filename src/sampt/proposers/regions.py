"""Regions of a map of the frame where something stands out, and what the segmenter makes of them."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sampt.geometry import find_mask_box
from sampt.proposers.base import Proposal, ProposerFrame, masks_of_prompts
from sampt.types import BoolArray, FloatArray, ObjectPrompt

__all__ = ["find_regions", "propose_regions", "spread_points", "unite_regions"]

_MIN_AREA = 0.0005
"""Of the frame; specks below it are noise of the map."""
_LIMIT = 0.5
_SAME = 0.8
_MAX_REGIONS = 20
_POINTS = 5
"""Positive points in a region, beside its box."""
_EDGE = 2.0
"""Pixels that points keep from the border of a region, where it is wide enough: the map is coarse."""


def propose_regions(frame: ProposerFrame, regions: Sequence[BoolArray], evidence: FloatArray) -> list[Proposal]:
    """The segmenter's masks of regions, best score first.

    Args:
        frame: the frame.
        regions: (h, w) each, at least one pixel set.
        evidence: (h, w) from 0 to 1 that an object is there. A mask's score is its soft IoU with it.
    """
    total = float(evidence.sum())
    found = []
    for mask in _masks_of_regions(frame, regions):
        if mask is not None:
            inside = evidence[mask]
            found.append(Proposal(mask, float(inside.sum()) / max(1e-6, total + float((1 - inside).sum()))))
    return sorted(found, key=lambda proposal: -proposal.score)


def find_regions(probability: FloatArray) -> list[BoolArray]:
    """Connected parts of the frame where a map (h, w) exceeds a half; at most 20, those with the largest sum above it."""
    above = np.asarray(probability > _LIMIT)
    count, labels, stats, _ = cv2.connectedComponentsWithStats(above.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    kept = [k for k in range(1, count) if areas[k] >= _MIN_AREA * above.size]
    sums = np.bincount(labels.ravel(), np.where(above, probability - _LIMIT, 0).ravel(), count)
    return [np.asarray(labels == k) for k in sorted(kept, key=lambda k: -sums[k])[:_MAX_REGIONS]]


def unite_regions(regions: Sequence[BoolArray], others: Sequence[BoolArray]) -> list[BoolArray]:
    """``regions``, and those of ``others`` that are not nearly the same as one of them."""

    def is_same(one: BoolArray, other: BoolArray) -> bool:
        return bool(np.count_nonzero(one & other) > _SAME * np.count_nonzero(one | other))

    return [*regions, *(other for other in others if not any(is_same(one, other) for one in regions))]


def _masks_of_regions(frame: ProposerFrame, regions: Sequence[BoolArray]) -> list[BoolArray | None]:
    """The segmenter's mask of each region (h, w), prompted with its box and points in it; None where it makes none."""
    prompts = []
    for k, region in enumerate(regions):
        xy = spread_points(region, _POINTS)
        # Nobody has put the points there: a mask may leave them out.
        prompts.append(
            ObjectPrompt(k + 1, xy, np.ones(len(xy), np.bool_), find_mask_box(region), None, np.zeros(len(xy), np.bool_))
        )
    return masks_of_prompts(frame, prompts)


def spread_points(region: BoolArray, count: int) -> FloatArray:
    """(n, 2) float32 pixels in a region (h, w) that is not empty, at most ``count``, as far from each other as they can be.

    The first one is the farthest from the region's border.
    """
    box = find_mask_box(region)
    assert box is not None, "the region is not empty"
    x0, y0, x1, y1 = box.astype(int)
    part = np.pad(region[y0 : y1 + 1, x0 : x1 + 1], 1).astype(np.uint8)
    depth = cv2.distanceTransform(part, cv2.DIST_L2, 5)[1:-1, 1:-1]
    ys, xs = np.nonzero(depth >= min(_EDGE, float(depth.max())))
    xy = np.stack([xs, ys], 1).astype(np.float32)
    chosen = [int(np.argmax(depth[ys, xs]))]
    away = np.linalg.norm(xy - xy[chosen[0]], axis=1)
    while len(chosen) < count and away.max() > 0:
        chosen.append(int(np.argmax(away)))
        away = np.minimum(away, np.linalg.norm(xy - xy[chosen[-1]], axis=1))
    return np.asarray(xy[chosen] + np.array([x0, y0], np.float32))
