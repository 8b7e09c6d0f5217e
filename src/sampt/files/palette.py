"""Colours of objects: those of label maps, read and written, and brighter ones of the same hue for images."""

from __future__ import annotations

import colorsys
from functools import lru_cache

import numpy as np

from sampt.types import UInt8Array

__all__ = ["PALETTE", "pick_color", "pick_display_color"]


def _voc_palette() -> UInt8Array:
    """(256, 3) uint8 RGB: bit 3 k + c of the id is bit 7 - k of channel c (Pascal VOC devkit, VOClabelcolormap)."""
    ids = np.arange(256)
    palette = np.zeros((256, 3), np.uint8)
    for k in range(8):
        for channel in range(3):
            bit = (ids >> (3 * k + channel)) & 1
            palette[:, channel] |= (bit << (7 - k)).astype(np.uint8)
    palette.setflags(write=False)
    return palette


PALETTE: UInt8Array = _voc_palette()
"""(256, 3) uint8 RGB, the one of DAVIS and Pascal VOC; row 0, the background, is black."""


# The hues of palette rows 1 to 6 (red, green, yellow, blue, purple, cyan), at a brightness that shows on footage; then orange.
_DISPLAY = (
    (255, 72, 72),
    (48, 212, 100),
    (250, 205, 40),
    (64, 140, 255),
    (216, 96, 245),
    (32, 214, 224),
    (255, 140, 40),
)
_GOLDEN_RATIO = 0.618033988749895


def pick_color(object_id: int) -> tuple[int, int, int]:
    """RGB of ``object_id`` in label maps; ids beyond 255 go round again, from 1."""
    row = PALETTE[object_id if object_id < 256 else (object_id - 1) % 255 + 1]
    return int(row[0]), int(row[1]), int(row[2])


@lru_cache(maxsize=1024)
def pick_display_color(object_id: int) -> tuple[int, int, int]:
    """RGB of ``object_id`` in overlays: bright, and of the palette's hue for the first six objects."""
    if 1 <= object_id <= len(_DISPLAY):
        return _DISPLAY[object_id - 1]
    hue = (object_id * _GOLDEN_RATIO) % 1.0  # successive multiples spread evenly over the circle of hues
    red, green, blue = colorsys.hsv_to_rgb(hue, 0.72, 1.0)
    return round(red * 255), round(green * 255), round(blue * 255)
