"""The one reader of images that say which pixels belong to which object; docs/queries.md has its table of rules.

What a pixel says is read from its value alone: of a palette the index, of grey the level, of a colour its location in the DAVIS
palette. Three kinds of image do not hold ids and are recognised: soft edges, which compression and smoothing make of black and
white; colours of other palettes; and images, which are refused. A cut-out, whose transparency is the mask, is one object.
"""

from __future__ import annotations

import functools
import io
from dataclasses import dataclass, field
from pathlib import Path
from typing import NoReturn

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from sampt.checks import shape_repr
from sampt.errors import QueryError
from sampt.files.images import BROKEN_IMAGE
from sampt.files.limits import check_pixels
from sampt.points.mask_colors import assign_ids_to_colors
from sampt.points.soft_masks import has_soft_levels, resembles_photo
from sampt.types import BoolArray, IntArray

__all__ = ["MAX_IDS", "VOID", "MaskImage", "read_mask_image"]

VOID = 255
"""The value of pixels that do not count, and of the object in a mask of one object."""
MAX_IDS = 100
"""More values than this are grey levels of a photograph, not objects; above it an id is not small."""
_VOID_16 = 65535
_LOSSY = ("JPEG", "MPO", "JPEG2000")
"""Formats whose values are not what was saved."""
_WHITE = 128
"""From this level up, a soft pixel belongs to the object."""
_BROKEN_IMAGE = (*BROKEN_IMAGE, MemoryError)
_EXPECTED = "expected a palette or grey PNG of object ids"


@dataclass(frozen=True)
class MaskImage:
    """What an image says.

    Attributes:
        name: how messages call it.
        values: (h, w) int64 from 0, the background. 255 alone is one object; beside small ids it is void.
        notes: what was done to the values in the file, one clause each.
    """

    name: str
    values: IntArray
    notes: tuple[str, ...] = field(default=())

    __repr__ = shape_repr

    @functools.cached_property
    def present(self) -> list[int]:
        """The values that occur, without 0, ascending."""
        return [value for value in _present(self.values) if value]

    @property
    def void(self) -> BoolArray | None:
        """(h, w) bool, the pixels that do not count; None where there are none: no id but small ones stands beside 255."""
        others = [value for value in self.present if value != VOID]
        if not others or max(others) > MAX_IDS:
            return None
        void = self.values == VOID
        return void if void.any() else None

    def ids(self) -> IntArray:
        """(h, w) int64 object ids: void is background, and 255 alone is object 1."""
        void = self.void
        if void is not None:
            return np.where(void, 0, self.values)
        return np.where(self.values == VOID, 1, 0) if self.present == [VOID] else self.values


def read_mask_image(
    source: str | Path | bytes,
    *,
    name: str | None = None,
    size_hw: tuple[int, int] | None = None,
    formats: tuple[str, ...] | None = None,
    has_other_colors: bool = True,
) -> MaskImage:
    """Read what an image says about objects.

    Args:
        source: a file, or the contents of one.
        name: how messages call it; the file's name when left out.
        size_hw: the size that it must have, which is looked at before its pixels are decoded.
        formats: names of Pillow's readers; all when left out.
        has_other_colors: colours that are not of the DAVIS palette become the objects 1, 2, ... as they appear, row by row.
            Where ids must agree between images they are refused.

    Raises:
        QueryError: it is missing, broken, no image, of another size, of several pages, or a photograph.
    """
    label = name or (Path(source).name if isinstance(source, (str, Path)) else "mask")
    try:
        with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=formats) as image:
            _check_header(image, label, size_hw)
            values, notes = _Reading(image, label, has_other_colors).values()
    except UnidentifiedImageError:
        raise QueryError(f"The mask {label!r} is not an image; {_EXPECTED}.") from None
    except _BROKEN_IMAGE as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise QueryError(f"The mask {label!r} cannot be read: {reason}; {_EXPECTED}.") from None
    return MaskImage(label, values, tuple(notes))


def _check_header(image: Image.Image, name: str, size_hw: tuple[int, int] | None) -> None:
    width, height = image.size
    check_pixels(width, height, f"The mask {name!r}")
    if size_hw is not None and sorted(size_hw) != sorted(image.size):  # which side is which, a tag may still say
        raise QueryError(
            f"The mask {name!r} is {width}x{height} pixels; expected the frames' size, {size_hw[1]}x{size_hw[0]}: it is not "
            "scaled, since that moves edges."
        )
    pages = getattr(image, "n_frames", 1)
    if pages > 1 and image.format != "MPO":  # the further images of a camera's JPEG are previews
        raise QueryError(f"The mask {name!r} has {pages} pages; expected one image a file.")


class _Reading:
    """From an open image to values."""

    def __init__(self, image: Image.Image, name: str, has_other_colors: bool) -> None:
        self.name, self.has_other_colors = name, has_other_colors
        self.is_lossy = image.format in _LOSSY
        self.notes: list[str] = []
        upright = ImageOps.exif_transpose(image)
        self.image = upright.convert("RGB") if upright.mode in ("CMYK", "YCbCr", "LAB", "HSV", "RGBX") else upright
        self.visible = _visible(self.image)

    def values(self) -> tuple[IntArray, list[str]]:
        mode = self.image.mode
        if mode in ("P", "PA"):
            values = self._read_palette()
        elif mode in ("1", "L", "LA", "La") or mode.startswith(("I", "F")):
            values = self._read_levels(_levels(self.image, self.name))
        else:
            values = self._read_bands(np.asarray(self.image.convert("RGB")))
        return values, self.notes

    def _read_palette(self) -> IntArray:
        """The indices, whatever their colours; but a palette of greys may hold soft edges of one object."""
        indices = np.asarray(self.image if self.image.mode == "P" else self.image.getchannel(0)).astype(np.int64)
        colors = np.asarray(self.image.getpalette("RGB") or [], np.int64).reshape(-1, 3)
        used = np.flatnonzero(np.bincount(indices.ravel()))
        if used[-1] < len(colors) and (colors[used] == colors[used][:, :1]).all():
            levels = np.zeros(int(used[-1]) + 1, np.int64)
            levels[used] = colors[used, 0]
            if has_soft_levels(self._shown(levels[indices]), self.visible):
                return self._read_levels(levels[indices])
        return self._shown(indices)

    def _read_bands(self, bands: np.ndarray) -> IntArray:
        """Equal bands are levels; else every colour is an object, or the transparency is the mask."""
        spread = bands.max(2).astype(np.int64) - bands.min(2)
        if not spread.any():
            return self._read_levels(bands[..., 0].astype(np.int64))
        if self.is_lossy and (spread > _WHITE // 4).mean() < 0.001:
            return self._read_levels(np.round(bands.mean(2)).astype(np.int64))
        if self.is_lossy:
            self._refuse("has colours in a format that changes values, or is a photograph")
        if self.visible is not None:
            bands = np.where(self.visible[..., None], bands, 0)
        found = assign_ids_to_colors(bands, self.visible, MAX_IDS)
        if found is None:
            return self._cut_out() if self.visible is not None else self._refuse(f"is a colour photograph ({self.image.mode})")
        if not found.is_palette:
            if found.ids.all():
                self._refuse("has colours but neither a black nor a transparent pixel, so that nothing tells the background")
            if not self.has_other_colors:
                self._refuse("has colours that are not of the DAVIS palette, so that nothing tells their ids")
            text = ", ".join(f"#{r:02x}{g:02x}{b:02x} is object {i}" for i, (r, g, b) in found.colors.items())
            self.notes.append(f"its colours stand for objects: {text}")
        if found.is_soft:
            self.notes.append("blends of two colours at soft edges went to the nearer one")
        return found.ids

    def _read_levels(self, levels: IntArray) -> IntArray:
        """Ids as they are, or one object (255) where levels in between are soft edges."""
        shown = self._shown(levels)
        if self.visible is not None and not shown.any():
            return self._cut_out()
        if shown.max() <= MAX_IDS and not self.is_lossy:
            return shown
        if self.is_lossy or has_soft_levels(shown, self.visible):
            return self._threshold(shown)
        if resembles_photo(shown):
            return self._cut_out() if self.visible is not None else self._refuse("is a grey photograph")
        present = _present(shown)
        if present[-1] == _VOID_16 and (len(present) == 1 or present[-2] <= MAX_IDS):
            return np.where(shown == _VOID_16, VOID, shown)
        return shown

    def _threshold(self, levels: IntArray) -> IntArray:
        top = int(levels.max())
        if self.is_lossy and not (top >= _WHITE and has_soft_levels(levels, is_lossy=True)):
            self._refuse("is no black and white image, in a format that changes values" if top else "is black")
        level = -(-top // 2)
        count = len(np.unique(levels)) - 1
        self.notes.append(f"its {count} grey levels are soft edges of one object, to which those from {level} up belong")
        return np.where(levels >= level, VOID, 0).astype(np.int64)

    def _cut_out(self) -> IntArray:
        """Transparency as the mask."""
        assert self.visible is not None
        self.notes.append("what is not transparent is one object")
        return np.where(self.visible, VOID, 0).astype(np.int64)

    def _shown(self, values: IntArray) -> IntArray:
        return values if self.visible is None else np.where(self.visible, values, 0)

    def _refuse(self, reason: str) -> NoReturn:
        raise QueryError(f"The mask {self.name!r} {reason}; {_EXPECTED}.")


def _present(values: IntArray) -> list[int]:
    """The values that occur, ascending."""
    if values.max() <= _VOID_16:  # counting is much faster than sorting
        return [int(value) for value in np.flatnonzero(np.bincount(values.ravel()))]
    return [int(value) for value in np.unique(values)]


def _visible(image: Image.Image) -> BoolArray | None:
    """(h, w) bool: at least half opaque; None where nothing is transparent."""
    if image.mode not in ("LA", "La", "PA", "RGBA", "RGBa") and "transparency" not in image.info:
        return None
    visible = np.asarray(np.asarray(image.convert("RGBA"))[..., 3] >= _WHITE)
    return None if visible.all() else visible


def _levels(image: Image.Image, name: str) -> IntArray:
    """(h, w) int64 grey levels as they are in the file; of one bit 0 and 1, for a label map of object 1 may be stored so."""
    if image.mode in ("LA", "La"):
        image = image.getchannel(0)
    values = np.asarray(image)
    if values.dtype.kind == "f" and not (np.isfinite(values) & (values == np.round(values)) & (abs(values) < 2**31)).all():
        raise QueryError(f"The mask {name!r} holds fractions (mode {image.mode}); {_EXPECTED}.")
    if values.min() < 0:
        raise QueryError(f"The mask {name!r} holds the value {values.min()}; expected ids from 1, and 0 for the background.")
    return np.asarray(values.astype(np.int64))
