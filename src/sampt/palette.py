"""The palette of label maps, those read and those written."""

from __future__ import annotations

import numpy as np

from sampt.types import UInt8Array

__all__ = ["PALETTE"]


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
