"""Masks as compressed run-length codes, the COCO way, as JSON files hold them."""

from __future__ import annotations

from typing import TypedDict

from sampt.masks import rle as codes
from sampt.types import BoolArray

__all__ = ["Rle", "decode_mask", "encode_mask"]


class Rle(TypedDict):
    """A mask: ``size`` [h, w] and COCO's compressed ``counts`` (columns first)."""

    size: list[int]
    counts: str


def encode_mask(mask: BoolArray) -> Rle:
    """The code of an (h, w) mask."""
    code = codes.encode_mask(mask)
    return {"size": list(code.size_hw), "counts": code.counts}


def decode_mask(rle: Rle) -> BoolArray:
    """The (h, w) mask of a code.

    Raises:
        ValueCheckError: it is no code of a mask of that size.
    """
    height, width = rle["size"]
    return codes.decode_mask(codes.Rle((height, width), rle["counts"]))
