"""Images with a colour an object: which colours they are, and which ids they stand for."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sampt.checks import shape_repr
from sampt.files.palette import PALETTE
from sampt.points.soft_masks import flat_pixels
from sampt.types import BoolArray, IntArray, UInt8Array

__all__ = ["ColorIds", "assign_ids_to_colors"]

_MIN_BLENDS = 8
"""So few colours without an inside may be small objects."""
_MAX_BLENDED = 0.25
"""Fraction of the pixels: edges are thin; a photograph has no more than a few even areas."""
_MAX_EVEN = 4096
"""A drawing has no more colours that fill areas."""
_SAME = 32.0
"""Colours as close as this (in RGB) are one that compression has changed."""


@dataclass(frozen=True)
class ColorIds:
    """What colours stand for.

    Attributes:
        ids: (h, w) int64, 0 where the image is black.
        colors: id -> RGB.
        is_palette: all colours are of the DAVIS palette and keep its ids; otherwise they are numbered as they appear.
        is_soft: there were blends, each of which went to the nearest colour.
    """

    ids: IntArray
    colors: dict[int, tuple[int, int, int]]
    is_palette: bool
    is_soft: bool

    __repr__ = shape_repr


def assign_ids_to_colors(bands: UInt8Array, visible: BoolArray | None, max_colors: int) -> ColorIds | None:
    """An id for every colour but black; None for an image.

    Args:
        bands: (h, w, 3) uint8 RGB.
        visible: (h, w), the pixels that are not transparent; None for all. The others are black.
        max_colors: more are a photograph.
    """
    packed = _codes(bands)
    codes, locations, counts = np.unique(packed, return_inverse=True, return_counts=True)
    locations = locations.reshape(packed.shape)
    insides = np.bincount(locations[flat_pixels(locations)], minlength=len(codes))
    colors = np.stack([codes >> 16, codes >> 8 & 255, codes & 255], 1)
    blends = insides == 0
    is_palette = bool(np.isin(codes, _codes(PALETTE)).all())
    is_soft = not is_palette and bool(blends.sum() >= max(_MIN_BLENDS, 2 * (~blends).sum() + 1))
    if is_soft:
        shown = packed.size if visible is None else np.count_nonzero(visible)
        is_photo = counts[blends].sum() > _MAX_BLENDED * shown
        if is_photo or not 0 < np.count_nonzero(codes[insides > 0]) <= _MAX_EVEN:
            return None
        chosen = _main_colors(colors, insides)
        nearest = _nearest(colors, colors[chosen])
        codes, colors, locations = codes[chosen], colors[chosen], nearest[locations]
    if np.count_nonzero(codes) > max_colors:
        return None
    ids, is_palette = _ids(codes, locations)
    by_id = {int(i): (int(r), int(g), int(b)) for i, (r, g, b) in zip(ids, colors, strict=True) if i}
    return ColorIds(ids[locations], dict(sorted(by_id.items())), is_palette, is_soft)


def _codes(colors: UInt8Array) -> IntArray:
    wide = colors.astype(np.int64)
    return np.asarray(wide[..., 0] << 16 | wide[..., 1] << 8 | wide[..., 2])


def _main_colors(colors: IntArray, insides: IntArray) -> IntArray:
    """Locations of the colours that fill areas, the larger of two near each other."""
    chosen: list[int] = []
    for location in np.argsort(-insides, kind="stable").tolist():
        if insides[location] == 0:
            break
        if not chosen or _distances(colors[[location]], colors[chosen]).min() > _SAME:
            chosen.append(location)
    return np.array(chosen)


def _nearest(colors: IntArray, among: IntArray) -> IntArray:
    return np.concatenate([_distances(part, among).argmin(1) for part in np.array_split(colors, len(colors) // 4096 + 1)])


def _distances(colors: IntArray, others: IntArray) -> np.ndarray:
    return np.asarray(np.linalg.norm(colors[:, None] - others[None], axis=2))


def _ids(codes: IntArray, locations: IntArray) -> tuple[IntArray, bool]:
    """An id for each colour: those of the DAVIS palette if all are there, else 1, 2, ... by first appearance, black 0."""
    equal = codes[:, None] == _codes(PALETTE)[None]
    if equal.any(1).all():
        return np.asarray(equal.argmax(1)), True
    _, first = np.unique(locations, return_index=True)
    ids = np.zeros(len(codes), np.int64)
    ordered = [i for i in np.argsort(first).tolist() if codes[i]]
    ids[ordered] = np.arange(1, len(ordered) + 1)
    return ids, False
