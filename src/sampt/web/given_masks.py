"""A mask that a person gives: a PNG or a run-length code, checked before anything large is made of it."""

from __future__ import annotations

import io
import json
import struct

import numpy as np
from PIL import Image
from pydantic import ValidationError
from starlette.exceptions import HTTPException

from sampt.errors import QueryError
from sampt.masks import rle
from sampt.types import BoolArray
from sampt.web.models import Rle

__all__ = ["mask_from"]

_PNG = b"\x89PNG\r\n\x1a\n"
_HEADER = struct.Struct(">8s4x4sII")


def mask_from(kind: str, data: bytes, size_hw: tuple[int, int]) -> BoolArray:
    """The (h, w) mask in a body of the media type ``kind``.

    In a PNG, pixels that are not 0 belong to the object; where it has an alpha channel, transparent ones do not.

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
    h, w = size_hw
    head = data[: _HEADER.size]
    magic, chunk, width, height = _HEADER.unpack(head.ljust(_HEADER.size, b"\0"))
    if magic != _PNG or chunk != b"IHDR":
        raise QueryError("The mask is no PNG image; expected one.")
    _check_size((height, width), (h, w))
    try:
        with Image.open(io.BytesIO(data), formats=["PNG"]) as image:
            values = np.asarray(image.convert("RGBA") if image.mode in ("LA", "PA") else image)
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, Image.DecompressionBombError) as error:
        raise QueryError(f"The mask's PNG is damaged ({type(error).__name__}); send it again.") from None
    if values.ndim == 2:
        return np.asarray(values != 0)
    colours = values[..., :3].any(axis=2)
    return np.asarray(colours & (values[..., 3] > 0) if values.shape[2] == 4 else colours)


def _from_json(data: bytes, size_hw: tuple[int, int]) -> BoolArray:
    try:
        told = Rle.model_validate(json.loads(data))
    except (ValidationError, ValueError, RecursionError):
        raise HTTPException(422, 'The mask is no run-length code; expected {"size": [h, w], "counts": "..."}.') from None
    _check_size(told.size, size_hw)
    return rle.decode_mask(rle.Rle(size_hw, told.counts))


def _check_size(got_hw: tuple[int, int], size_hw: tuple[int, int]) -> None:
    if tuple(got_hw) != tuple(size_hw):
        h, w = size_hw
        raise QueryError(f"The mask is {got_hw[1]}x{got_hw[0]}; expected the video's size, {w}x{h}.")
