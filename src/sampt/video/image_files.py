"""One image file: what its header says, and its pages as 8-bit RGB."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, ImageOps

from sampt.errors import VideoError
from sampt.files.images import BROKEN_IMAGE, broken_reason
from sampt.files.limits import check_pixels
from sampt.types import UInt8Array

__all__ = ["ImageFacts", "PageReader", "image_facts", "read_image"]

_FORMATS = ("AVIF", "BMP", "DIB", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TGA", "TIFF", "WEBP")
_ANIMATED = ("APNG", "AVIF", "PNG", "TIFF", "WEBP")  # a JPEG's further images (MPO) are other views and thumbnails
_TAG_ORIENTATION, _TAG_SUBFILE_TYPE, _TAG_MAX_SAMPLE = 0x0112, 254, 281
_REDUCED_OR_MASK = 1 | 4  # bits of the subfile type: a smaller copy, a transparency mask
_QUARTER_TURNS = (5, 6, 7, 8)
_DEPTHS = (8, 10, 12, 14, 16)
_NO_DURATION_S = 0.1
"""Of a frame for which an animation says 0, as browsers show it."""
_BROKEN_IMAGE = (*BROKEN_IMAGE, cv2.error)


@dataclass(frozen=True)
class ImageFacts:
    """What the header of an image file says.

    Attributes:
        size_hw: of the upright image, in pixels.
        pages: numbers of the pages that are images of this size; reduced copies and masks are none.
        durations_s: how long each page is shown, for animations.
        is_deep: samples have 16 bits.
        sample_bits: how many of them are used, where the file says so.
    """

    size_hw: tuple[int, int]
    pages: tuple[int, ...] = (0,)
    durations_s: tuple[float, ...] | None = None
    is_deep: bool = False
    sample_bits: int | None = None


@cache
def _formats() -> list[str]:
    """What this Pillow reads of the formats that frames come in; no others, some of whose readers start programs."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def image_facts(path: Path) -> ImageFacts:
    """What the header says; no pixel is decoded.

    Raises:
        VideoError: the file is missing, or is no image.
    """
    try:
        with Image.open(path, formats=_formats()) as image:
            width, height = image.size
            check_pixels(width, height, f"Image {path}")
            is_deep = _is_deep(image)  # before its EXIF is requested, which loads a PNG
            bits = _read_sample_bits(image, path) if is_deep else None
            # Of a TIFF, Pillow gives the upright size itself.
            turned = image.format != "TIFF" and image.getexif().get(_TAG_ORIENTATION) in _QUARTER_TURNS
            pages, durations = _pages(image, path)
    except _BROKEN_IMAGE as error:
        raise _broken(path, error) from error
    return ImageFacts((width, height) if turned else (height, width), pages, durations, is_deep, bits)


def _pages(image: Image.Image, path: Path) -> tuple[tuple[int, ...], tuple[float, ...] | None]:
    count = getattr(image, "n_frames", 1) if image.format in _ANIMATED else 1
    if count == 1:
        return (0,), None
    if image.format == "TIFF":
        return tuple(i for i in range(count) if _is_full_page(image, i)) or (0,), None
    durations = tuple(_durations_s(path.read_bytes(), str(image.format)))
    if len(durations) == count - 1:  # a PNG whose first image is for programs that know no animation
        return tuple(range(1, count)), durations
    return tuple(range(count)), durations if len(durations) == count else None


def _is_full_page(image: Any, page: int) -> bool:
    size = image.size
    image.seek(page)
    is_full = image.size == size and not int(image.tag_v2.get(_TAG_SUBFILE_TYPE, 0)) & _REDUCED_OR_MASK
    if page == 0:
        return is_full
    image.seek(0)
    return is_full


def _durations_s(data: bytes, kind: str) -> Iterator[float]:
    """From the chunks ANMF of WebP (RFC 9649, in ms), or fcTL of PNG (a fraction of s)."""
    location = 12 if kind == "WEBP" else 8
    while location + 8 <= len(data):
        if kind == "WEBP":
            tag, size = data[location : location + 4], int.from_bytes(data[location + 4 : location + 8], "little")
            if tag == b"ANMF":
                yield int.from_bytes(data[location + 20 : location + 23], "little") / 1000 or _NO_DURATION_S
            location += 8 + size + size % 2
        else:
            size, tag = int.from_bytes(data[location : location + 4], "big"), data[location + 4 : location + 8]
            if tag == b"fcTL" and len(data) >= location + 32:
                numerator, denominator = struct.unpack(">HH", data[location + 28 : location + 32])
                yield numerator / (denominator or 100) or _NO_DURATION_S
            location += 12 + size


def _is_deep(image: Image.Image) -> bool:
    """Whether samples have 16 bits in the file, whatever Pillow makes of them; a PPM with another range tells it."""
    if image.mode.startswith("I;16"):
        return True
    arguments = [tile[3] for tile in getattr(image, "tile", ())]
    return any(";16" in str(found) or (isinstance(found, tuple) and found[1:2] == (65535,)) for found in arguments)


def _read_sample_bits(image: Any, path: Path) -> int | None:
    """The bits in use as PNG (sBIT) and TIFF (MaxSampleValue) may say."""
    if image.format == "TIFF" and (limit := image.tag_v2.get(_TAG_MAX_SAMPLE)):
        return max(int(max(limit) if isinstance(limit, tuple) else limit).bit_length(), 8)
    if image.format == "PNG":
        with path.open("rb") as file:
            head = file.read(4096)
        found = head.find(b"sBIT")
        if 0 < found < head.find(b"IDAT") and head[found + 4] > 8:
            return head[found + 4]
    return None


def _broken(path: Path, error: Exception) -> VideoError:
    return VideoError(f"Image {path} cannot be read: {broken_reason(error)}. Replace the file or take it out.")


def read_image(path: Path, page: int = 0, sample_bits: int = 16) -> UInt8Array:
    """Read one image as (h, w, 3) uint8 RGB.

    EXIF orientation is applied. Of 16-bit samples the upper eight of ``sample_bits`` bits are kept; grey, palette and CMYK
    become RGB; an alpha channel is dropped, not composited, so that colours stay as they are stored.

    Pillow is used for JPEG too, although OpenCV decodes it (to the same pixels) about 1.4 times as fast: OpenCV fills the
    missing part of a truncated JPEG with grey and reports nothing.

    Args:
        path: the file.
        page: of its pages.
        sample_bits: bits that 16-bit samples use; larger ones become white.

    Raises:
        VideoError: the file is missing, broken or truncated, or has pixels without a known range (32-bit, float).
    """
    with PageReader() as reader:
        return reader.read(path, page, sample_bits)


class PageReader:
    """Reads pages; the file read last stays open when it has several, so that one after the other is found at once."""

    def __init__(self) -> None:
        self._open: tuple[Path, Image.Image] | None = None

    def __enter__(self) -> PageReader:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def __reduce__(self) -> tuple[type[PageReader], tuple[()]]:
        return PageReader, ()

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close the file, if one is open."""
        if self._open is not None:
            self._open[1].close()
            self._open = None

    def read(self, path: Path, page: int = 0, sample_bits: int = 16) -> UInt8Array:
        """See :func:`read_image`."""
        rgb: UInt8Array = self._read(path, page, lambda image: _to_rgb(image, path, page, sample_bits))
        return rgb

    def bits_used(self, path: Path, page: int) -> int:
        """Of 16 bits, how many the samples of a page need: 8, 10, 12, 14 or 16."""
        largest: int = self._read(path, page, lambda image: int(_samples(image, path, page).max(initial=0)))
        return next(bits for bits in _DEPTHS if largest >> bits == 0)

    def _read(self, path: Path, page: int, use: Any) -> Any:
        try:
            image = self._image(path)
            image.seek(page)
            found = use(image)
            if getattr(image, "n_frames", 1) == 1:
                self.close()
            return found
        except _BROKEN_IMAGE as error:
            self.close()
            raise _broken(path, error) from error
        except VideoError:
            self.close()
            raise

    def _image(self, path: Path) -> Image.Image:
        if self._open is None or self._open[0] != path:
            self.close()
            image = Image.open(path, formats=_formats())
            self._open = path, image
            check_pixels(*image.size, f"Image {path}")
        return self._open[1]


def _to_rgb(image: Image.Image, path: Path, page: int, sample_bits: int) -> UInt8Array:
    if _is_deep(image):
        samples = _samples(image, path, page)
        grey = np.minimum(samples >> (sample_bits - 8), 255).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2) if grey.ndim == 2 else grey
    if image.mode in ("I", "F") and image.format != "PPM":
        raise VideoError(f"Image {path} has 32-bit pixels (mode {image.mode}), expected 8 or 16 bits a sample. Convert it.")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "I":  # a PGM of another range than 8 bits, which Pillow has stretched to 16
        return np.repeat((np.asarray(upright) >> 8).astype(np.uint8)[..., None], 3, axis=2)
    # np.array: a copy of its own, because Pillow's buffer is read-only.
    return np.array(upright if upright.mode == "RGB" else upright.convert("RGB"))


def _samples(image: Image.Image, path: Path, page: int) -> np.ndarray:
    """16-bit samples of an upright page, (h, w) grey or (h, w, 3) RGB, as uint16."""
    if image.mode.startswith("I"):
        return np.clip(np.asarray(ImageOps.exif_transpose(image)).astype(np.int64), 0, 65535).astype(np.uint16)
    orientation = image.getexif().get(_TAG_ORIENTATION, 1)
    # Pillow keeps the upper eight bits of colour alone.
    data = np.memmap(path, np.uint8, mode="r")  # not the whole file for every page
    _, found = cv2.imdecodemulti(data, cv2.IMREAD_UNCHANGED | cv2.IMREAD_IGNORE_ORIENTATION, range=(page, page + 1))
    if not found or found[0].dtype != np.uint16:
        raise ValueError("its 16-bit samples cannot be decoded")
    stored = found[0] if found[0].ndim == 2 else found[0][..., 2::-1]
    return _upright(stored, int(orientation))


def _upright(stored: np.ndarray, orientation: int) -> np.ndarray:
    """Rows and columns as the EXIF orientation 1 to 8 has them shown."""
    turned = stored.swapaxes(0, 1) if orientation in _QUARTER_TURNS else stored
    flips_y, flips_x = orientation in (3, 4, 7, 8), orientation in (2, 3, 6, 7)
    return np.ascontiguousarray(turned[:: -1 if flips_y else 1, :: -1 if flips_x else 1])
