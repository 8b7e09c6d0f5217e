"""Whether grey levels are the soft edges of one object or the ids of many."""

from __future__ import annotations

import numpy as np

from sampt.types import BoolArray, IntArray

__all__ = ["flat_pixels", "has_soft_levels", "resembles_photo"]

_NEAR = 16
"""Of 255: levels as close to black or white as this are what compression makes of them."""
_MAX_FLAT = 0.25
"""Fraction of the levels in between whose neighbours are equal: next to none in an edge, most of them in an object's inside."""
_MIN_EXTREME = 0.6
"""Fraction of pixels near black or white: most of them in a mask, few of them in a photograph."""
_MAX_LEVELS = 100
"""A photograph has more."""
_MANY = 8
"""So many levels are no small objects that happen to have no inside."""
_MIN_TOP = 100
"""A mask that was drawn to be seen is brighter; ids are smaller."""


def has_soft_levels(levels: IntArray, visible: BoolArray | None = None, *, is_lossy: bool = False) -> bool:
    """Whether an image of one object has been smoothed or compressed, so that levels between black and white are no ids.

    Ids fill areas, edges do not: where most of the pixels between black and the brightest level differ from a neighbour, they
    are edges. Most pixels are near black or near the brightest level, or else it is a photograph.

    Args:
        levels: (h, w) from 0.
        visible: (h, w), the pixels that are not transparent; all when left out. The others are 0.
        is_lossy: the format changes values, so that they cannot be ids: only photographs are distinguished from masks.
    """
    top = int(levels.max())
    near = max(_NEAR, top * _NEAR // 255) * (2 if is_lossy else 1)
    if top <= _MIN_TOP:
        return False
    inner = (levels > 0) & (levels < top)
    if not is_lossy and not (levels[inner] > near).any():
        return False
    bright = np.count_nonzero(levels >= top - near)
    between = np.count_nonzero((levels > near) & (levels < top - near))
    if between > (1 - _MIN_EXTREME) * (levels.size if visible is None else np.count_nonzero(visible)):
        return False
    if is_lossy:
        return True
    if between > bright and len(np.unique(levels[inner])) < _MANY:
        return False
    return bool(np.count_nonzero(flat_pixels(levels) & inner) < _MAX_FLAT * np.count_nonzero(inner))


def resembles_photo(levels: IntArray) -> bool:
    """Whether more levels than objects could have differ from pixel to pixel: ids fill areas."""
    present = np.count_nonzero(np.bincount(levels.ravel())) if levels.max() < 1 << 16 else len(np.unique(levels))
    if present <= _MAX_LEVELS:
        return False
    return bool(np.count_nonzero(flat_pixels(levels) & (levels > 0)) < _MAX_FLAT * np.count_nonzero(levels))


def flat_pixels(values: IntArray) -> BoolArray:
    """(h, w) bool: equal to all of the (up to eight) pixels around."""
    along = np.ones(values.shape, np.bool_)
    same = values[:, 1:] == values[:, :-1]
    along[:, 1:] &= same
    along[:, :-1] &= same
    flat = along.copy()
    same = (values[1:] == values[:-1]) & along[1:] & along[:-1]
    flat[1:] &= same
    flat[:-1] &= same
    return flat
