"""Colours that objects get when a person chooses none."""

from __future__ import annotations

import colorsys

__all__ = ["colour_for"]

_FIRST = (
    (255, 72, 72),
    (48, 212, 100),
    (250, 205, 40),
    (64, 140, 255),
    (216, 96, 245),
    (32, 214, 224),
    (255, 140, 40),
)
"""The colours of overlays (:mod:`sampt.outputs.palette`), which this layer cannot import."""
_GOLDEN_RATIO = 0.618033988749895


def colour_for(object_id: int) -> tuple[int, int, int]:
    """RGB of an object: bright, and unlike those of the ids before it."""
    if 1 <= object_id <= len(_FIRST):
        return _FIRST[object_id - 1]
    red, green, blue = colorsys.hsv_to_rgb((object_id * _GOLDEN_RATIO) % 1.0, 0.72, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)
