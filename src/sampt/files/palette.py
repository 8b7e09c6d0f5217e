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
_HUES = 30
_TONES = ((1.0, 1.0), (0.72, 1.0), (0.42, 1.0), (0.85, 0.79), (0.5, 0.8))
"""Saturation and brightness of further colours."""


def pick_color(object_id: int) -> tuple[int, int, int]:
    """RGB of ``object_id`` in label maps; ids beyond 255 go round again, from 1."""
    row = PALETTE[object_id if object_id < 256 else (object_id - 1) % 255 + 1]
    return int(row[0]), int(row[1]), int(row[2])


@lru_cache(maxsize=1024)
def pick_display_color(object_id: int) -> tuple[int, int, int]:
    """RGB of ``object_id`` in overlays: bright, of the palette's hue for the first six objects, and as far as possible from
    those of smaller ids."""
    known = _list_display_colors()
    if 1 <= object_id <= len(known):
        return known[object_id - 1]
    return _from_hsv((object_id * _GOLDEN_RATIO) % 1.0, 0.72, 1.0)  # successive multiples spread evenly over the circle of hues


def _from_hsv(hue: float, saturation: float, brightness: float) -> tuple[int, int, int]:
    red, green, blue = colorsys.hsv_to_rgb(hue, saturation, brightness)
    return round(red * 255), round(green * 255), round(blue * 255)


@lru_cache(maxsize=1)
def _list_display_colors() -> list[tuple[int, int, int]]:
    """The first ones, and all others in the order in which each is the farthest from those before it."""
    others = [_from_hsv(i / _HUES, *tone) for i in range(_HUES) for tone in _TONES]
    chosen, lab = list(_DISPLAY), _to_lab(np.array(others, np.float64))
    distance = np.min([np.linalg.norm(lab - _to_lab(np.array([c], np.float64)), axis=1) for c in chosen], axis=0)
    for _ in others:
        i = int(distance.argmax())
        chosen.append(others[i])
        distance = np.minimum(distance, np.linalg.norm(lab - lab[i], axis=1))
        distance[i] = -1
    return chosen


def _to_lab(rgb: np.ndarray) -> np.ndarray:
    """(n, 3) sRGB from 0 to 255 as CIE L*a*b* (D65), in which distances are about those that people see."""
    linear = np.where(rgb <= 0.04045 * 255, rgb / 255 / 12.92, ((rgb / 255 + 0.055) / 1.055) ** 2.4)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])
    xyz = linear @ to_xyz.T / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), xyz * 7.787 + 16 / 116)
    return np.stack([116 * f[:, 1] - 16, 500 * (f[:, 0] - f[:, 1]), 200 * (f[:, 1] - f[:, 2])], 1)
