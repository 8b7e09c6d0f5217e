"""Masks as COCO's compressed run-length codes. What comes from a file is checked before anything is made of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from sampt.checks import shape_repr
from sampt.errors import ValueCheckError
from sampt.files.limits import check_pixels, max_code_chars
from sampt.types import BoolArray, IntArray

__all__ = ["Rle", "code_runs", "decode_mask", "encode_mask"]

_MAX_DIGITS = 9
"""Of one number: 45 bits with its sign."""


class Rle(NamedTuple):
    """A mask: (h, w) and COCO's compressed ``counts`` (columns first)."""

    size_hw: tuple[int, int]
    counts: str

    def __repr__(self) -> str:
        return shape_repr(self)

    def to_json(self) -> dict[str, Any]:
        """As COCO's files have it: ``size`` [h, w] and ``counts``."""
        return {"size": list(self.size_hw), "counts": self.counts}

    @classmethod
    def from_json(cls, item: Mapping[str, Any]) -> Rle:
        """What :meth:`to_json` gave; a KeyError, TypeError or ValueError where it is something else. No code is checked yet."""
        height, width = item["size"]
        return cls((height, width), item["counts"])


def encode_mask(mask: BoolArray) -> Rle:
    """The code of an (h, w) mask."""
    # The transpose of OpenCV's transpose is what pycocotools wants, columns first in memory; numpy is much slower at it.
    columns = cv2.transpose(np.ascontiguousarray(mask).view(np.uint8)).T[:, :, None]
    return Rle((mask.shape[0], mask.shape[1]), coco_mask.encode(columns)[0]["counts"].decode("ascii"))


def decode_mask(rle: Rle) -> BoolArray:
    """The (h, w) mask of a code.

    Raises:
        ValueCheckError: it is no code of a mask of that size; pycocotools itself would write beyond its memory.
        LimitError: the mask has too many pixels.
    """
    h, w = rle.size_hw
    check_pixels(w, h, "A mask of run lengths")
    runs = code_runs(rle.counts, (h, w))
    if runs is None:
        raise ValueCheckError(f"A run-length code does not fill its mask of {w}x{h} pixels; expected COCO's compressed counts.")
    values = np.arange(len(runs)) % 2 == 1
    return np.ascontiguousarray(np.repeat(values, runs).reshape(w, h).T)


def code_runs(counts: str, size_hw: tuple[int, int]) -> IntArray | None:
    """Lengths of runs of unset and set pixels in turn, which fill a mask of that size; None where they do not.

    A run is given by digits of five bits, the lowest first, each plus 48 and, if others follow, plus 32; the last one's bit 4
    is the sign. From the fourth run on it is the difference to the run before the last one.

    Raises:
        ValueCheckError: the text is no code at all.
    """
    num_pixels = size_hw[0] * size_hw[1]
    if min(size_hw) < 1 or len(counts) > max_code_chars(size_hw):
        return None
    runs = _numbers(counts)
    if np.abs(runs).max() > num_pixels:
        return None  # sums of such differences could leave the range of the integers, too
    for first in (1, 2):
        runs[first::2] = np.cumsum(runs[first::2])
    return runs if runs.min() >= 0 and int(runs.sum()) == num_pixels else None


def _numbers(counts: str) -> IntArray:
    """The numbers of a code, before differences are summed up."""
    digits = np.frombuffer(counts.encode("ascii", "replace"), np.uint8).astype(np.int64) - 48
    if ((digits < 0) | (digits > 63)).any() or not counts.isascii():
        raise ValueCheckError("A run-length code holds a character that COCO's compressed counts do not have.")
    if not len(digits) or digits[-1] & 32:
        raise ValueCheckError("A run-length code is empty or ends in the middle of a number.")
    ends = np.flatnonzero(digits < 32)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends + 1 - starts
    if lengths.max() > _MAX_DIGITS:
        raise ValueCheckError("A run-length code holds a number that no mask needs.")
    shifts = 5 * (np.arange(len(digits)) - np.repeat(starts, lengths))
    runs: IntArray = np.add.reduceat((digits & 31) << shifts, starts)
    runs -= np.where(digits[ends] & 16, np.int64(1) << (5 * lengths), 0)
    return runs
