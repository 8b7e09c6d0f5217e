"""A mask that a person gives: a PNG or a run-length code, checked before anything large is made of it."""

from __future__ import annotations

import json

import numpy as np
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from sampt.errors import QueryError
from sampt.masks import rle
from sampt.points.mask_images import read_mask_image
from sampt.types import BoolArray
from sampt.web.schemas.base import RleMask

__all__ = ["mask_from"]


def mask_from(kind: str, data: bytes, size_hw: tuple[int, int]) -> BoolArray:
    """The (h, w) mask in a body of the media type ``kind``.

    In a PNG, whatever :mod:`sampt.points.mask_images` finds of any object belongs to this one.

    Raises:
        HTTPException: 415 for another type, 422 for JSON that is no RLE.
        SamptError: the data is none, or of another size than ``size_hw``.
    """
    if kind == "image/png":
        return _from_png(data, size_hw)
    if kind == "application/json":
        return _from_json(data, size_hw)
    raise HTTPException(415, f"A mask was sent as {kind[:50]!r}; expected image/png or application/json.")


def _from_png(data: bytes, size_hw: tuple[int, int]) -> BoolArray:
    image = read_mask_image(data, name="sent", size_hw=size_hw, formats=("PNG",))
    return np.asarray(image.ids() > 0)


def _from_json(data: bytes, size_hw: tuple[int, int]) -> BoolArray:
    try:
        body = RleMask.model_validate(json.loads(data))
    except (ValidationError, ValueError, RecursionError):
        raise HTTPException(422, 'The mask is no run-length code; expected {"size": [h, w], "counts": "..."}.') from None
    _check_size(body.size, size_hw)
    return rle.decode_mask(rle.Rle(size_hw, body.counts))


def _check_size(got_hw: tuple[int, int], size_hw: tuple[int, int]) -> None:
    if tuple(got_hw) != tuple(size_hw):
        h, w = size_hw
        raise QueryError(f"The mask is {got_hw[1]}x{got_hw[0]}; expected the video's size, {w}x{h}.")
