"""What clicks on a frame make of the mask that is shown there: click after click, each obeyed, each near where it is.

The first click on a frame without a result takes the segmenter's mask as it is. Every further one is a correction: the
segmenter is prompted with the clicks and the mask that is shown, and of what it would change only that is taken over which the
click says (a positive one adds, a negative one removes), is connected to it, and does not lie mainly elsewhere.
docs/algorithm.md, "Corrections in a session".
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from sampt.geometry import find_mask_box, round_to_pixels
from sampt.session.types import Click
from sampt.types import BoolArray

__all__ = ["force_signs", "is_large_elsewhere", "limit_change", "obeys"]

# Chosen on the held-out sequences of davis2016_train_480 (docs/benchmarks.md, "Corrections in a session").
_NEAR_PX = 3
"""A change is the click's when it comes so close to it: the click may lie on a border."""
_CENTRED = 0.7
"""A click in the middle of a change lies at this fraction of its greatest depth or deeper, and all of the change is meant."""
_REACH = 2.5
"""Else only what is no farther from the click than so many times the change's depth there: the change lies mainly elsewhere."""
_MIN_DEPTH_PX = 6.0
_LARGE = 0.1
"""Of the larger mask: a change elsewhere that a person is to know of."""
_FORCED = 0.006
"""Radius of what a click changes that the segmenter does not obey, over the frame's longer side."""


def limit_change(before: BoolArray, after: BoolArray, click: Click) -> BoolArray:
    """The (h, w) mask ``before`` with what of the change to ``after`` belongs to a click.

    Args:
        before: (h, w) bool, what is shown.
        after: (h, w) bool, what the segmenter says.
        click: on this frame, in pixels of the masks.
    """
    change = after & ~before if click.is_positive else before & ~after
    box = find_mask_box(change)
    if box is None:
        return before
    x0, y0, x1, y1 = (int(v) for v in box)
    part = change[y0 : y1 + 1, x0 : x1 + 1]
    y, x = np.ogrid[y0 : y1 + 1, x0 : x1 + 1]
    distance = np.hypot(x - click.xy[0], y - click.xy[1])
    _, labels = cv2.connectedComponents(part.astype(np.uint8), connectivity=8)
    near = part & (distance <= _NEAR_PX)
    own = part & np.isin(labels, np.unique(labels[near]))
    if not own.any():
        return before
    depth = cv2.distanceTransform(np.pad(own, 1).astype(np.uint8), cv2.DIST_L2, 5)[1:-1, 1:-1]
    here = float(depth[near].max())
    if here < _CENTRED * float(depth.max()):
        own &= distance <= _REACH * max(here, _MIN_DEPTH_PX)
    limited = before.copy()
    limited[y0 : y1 + 1, x0 : x1 + 1][own] = click.is_positive
    return limited


def is_large_elsewhere(limited: BoolArray, whole: BoolArray) -> bool:
    """Whether so much was left out of a change that the person should know; both (h, w) bool."""
    largest = max(np.count_nonzero(limited), np.count_nonzero(whole))
    return bool(np.count_nonzero(limited ^ whole) > _LARGE * largest)


def obeys(mask: BoolArray, clicks: Sequence[Click]) -> int:
    """How many of the clicks have their sign at their pixel of the (h, w) mask."""
    rows, columns = _pixels(mask, clicks)
    return int(np.count_nonzero(mask[rows, columns] == [c.is_positive for c in clicks]))


def force_signs(mask: BoolArray, clicks: Sequence[Click]) -> BoolArray:
    """The (h, w) mask with the sign of every click at its pixel and, where it had not, close around it.

    Of two clicks at one pixel the later one counts; a pixel close to two is the nearer one's.
    """
    forced, size_hw = mask, (mask.shape[0], mask.shape[1])
    rows, columns = _pixels(mask, clicks)
    radius = max(1, round(_FORCED * max(size_hw)))
    for i, click in enumerate(clicks):
        row, column = int(rows[i]), int(columns[i])
        if forced[row, column] == click.is_positive:
            continue
        if forced is mask:
            forced = mask.copy()
        top, left = max(0, row - radius), max(0, column - radius)
        part = forced[top : row + radius + 1, left : column + radius + 1]
        y, x = np.ogrid[top : top + part.shape[0], left : left + part.shape[1]]
        distance = np.hypot(y - row, x - column)
        own = distance <= radius
        for j, other in enumerate(clicks):
            if other.is_positive != click.is_positive:
                own &= distance <= np.hypot(y - rows[j], x - columns[j])
        own[row - top, column - left] = True
        part[own] = click.is_positive
    return forced


def _pixels(mask: BoolArray, clicks: Sequence[Click]) -> tuple[np.ndarray, np.ndarray]:
    """(k,) rows and columns of the pixels under clicks."""
    xy = np.array([c.xy for c in clicks], np.float32).reshape(-1, 2)
    return round_to_pixels(xy, (mask.shape[0], mask.shape[1]))
