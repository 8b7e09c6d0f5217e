"""Masks as COCO's compressed run-length codes. What comes from a file is checked before anything is made of it."""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from sampt.errors import ValueCheckError
from sampt.types import BoolArray, IntArray

__all__ = ["Rle", "decode_mask", "encode_mask"]

_MOST_PIXELS = 1 << 28


class Rle(NamedTuple):
    """A mask: (h, w) and COCO's compressed ``counts`` (columns first)."""

    size_hw: tuple[int, int]
    counts: str


def encode_mask(mask: BoolArray) -> Rle:
    """The code of an (h, w) mask."""
    # The transpose of OpenCV's transpose is what pycocotools wants, columns first in memory; numpy is much slower at it.
    columns = cv2.transpose(np.ascontiguousarray(mask).view(np.uint8)).T[:, :, None]
    return Rle((mask.shape[0], mask.shape[1]), coco_mask.encode(columns)[0]["counts"].decode("ascii"))


def decode_mask(rle: Rle) -> BoolArray:
    """The (h, w) mask of a code.

    Raises:
        ValueCheckError: it is no code of a mask of that size; pycocotools itself would write beyond its memory.
    """
    h, w = rle.size_hw
    runs = _runs(rle.counts)
    if not 0 < h * w <= _MOST_PIXELS or h < 0 or (runs < 0).any() or int(runs.sum()) != h * w:
        raise ValueCheckError(f"A run-length code does not fill its mask of {w}x{h} pixels; expected COCO's compressed counts.")
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(w, h).T)


def _runs(counts: str) -> IntArray:
    """Lengths of runs of unset and set pixels in turn: five bits a character, low ones first, differences from the third on."""
    runs: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        if not 0 <= bits < 64 or shift > 40:
            raise ValueCheckError("A run-length code holds a character that COCO's compressed counts do not have.")
        value |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            value -= 1 << shift
        runs.append(value + runs[-2] if len(runs) > 2 else value)
        value = shift = 0
    if shift:
        raise ValueCheckError("A run-length code ends in the middle of a number.")
    return np.array([min(max(run, -1), _MOST_PIXELS + 1) for run in runs], np.int64)
