"""Masks as compressed run-length codes, the COCO way."""

from __future__ import annotations

import warnings
from typing import Any, TypedDict

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from sampt.types import BoolArray

__all__ = ["Rle", "decode_mask", "encode_mask"]


class Rle(TypedDict):
    """A mask: ``size`` [h, w] and COCO's compressed ``counts`` (columns first)."""

    size: list[int]
    counts: str


def encode_mask(mask: BoolArray) -> Rle:
    """The code of an (h, w) mask."""
    # OpenCV transposes about ten times faster than numpy; the transpose of that, read column first, is what pycocotools wants.
    columns = cv2.transpose(mask.view(np.uint8)).T[:, :, None]
    code: dict[str, Any] = coco_mask.encode(columns)[0]
    return {"size": [int(n) for n in code["size"]], "counts": code["counts"].decode("ascii")}


def decode_mask(rle: Rle) -> BoolArray:
    """The (h, w) mask of a code."""
    with warnings.catch_warnings():  # pycocotools 2.0.11 has not followed numpy 2's __array__(copy=...)
        warnings.simplefilter("ignore", DeprecationWarning)
        decoded = coco_mask.decode({"size": rle["size"], "counts": rle["counts"].encode("ascii")})
    return np.ascontiguousarray(decoded).view(np.bool_)
