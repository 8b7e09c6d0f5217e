"""A folder of images, or the images that match a pattern, as a video."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from sampt.errors import VideoError
from sampt.files.listing import is_leftover
from sampt.limits import check_pixels
from sampt.types import UInt8Array
from sampt.video.base import Video
from sampt.video.digest import OpenedFiles

__all__ = ["IMAGE_SUFFIXES", "ImageVideo", "image_paths", "natural_order", "read_image"]

IMAGE_SUFFIXES = (".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
"""Endings of the files that are taken for frames; case does not matter."""

_TAG_ORIENTATION = 0x0112
_QUARTER_TURNS = (5, 6, 7, 8)
# What Pillow's readers raise on a broken file; each of them has its own habit.
_BROKEN_IMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, Image.DecompressionBombError)


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted as people count: img2 before img10."""

    def key(path: Path) -> tuple[list[str | int], str]:
        # Splitting by a group puts text at even and digits at odd places, so that like is compared with like.
        parts = re.split(r"(\d+)", str(path).casefold())
        return [int(part) if i % 2 else part for i, part in enumerate(parts)], str(path)

    return sorted(paths, key=key)


def image_paths(paths: Iterable[Path]) -> list[Path]:
    """Those of ``paths`` that are image files by their ending, in natural order; what systems leave is left out."""
    return natural_order(p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and not is_leftover(p.name) and p.is_file())


def read_image(path: Path) -> UInt8Array:
    """Read one image as (h, w, 3) uint8 RGB.

    EXIF orientation is applied. Of 16-bit samples the upper eight bits are kept; grey, palette and CMYK become RGB; an alpha
    channel is dropped, not composited, so that colours stay as they are stored; of several pages the first is read.

    Pillow is used for JPEG too, although OpenCV decodes it (to the same pixels) about 1.4 times as fast: OpenCV fills the
    missing part of a truncated JPEG with grey and reports nothing.

    Raises:
        VideoError: the file is missing, broken or truncated, or has pixels without a known range (32-bit, float).
    """
    try:
        with Image.open(path) as image:
            check_pixels(*image.size, f"Image {path}")
            return _to_rgb(ImageOps.exif_transpose(image), path)
    except _BROKEN_IMAGE as error:
        raise _broken(path, error) from error


def _to_rgb(image: Image.Image, path: Path) -> UInt8Array:
    if image.mode in ("I", "F"):
        raise VideoError(f"Image {path} has 32-bit pixels (mode {image.mode}), expected 8 or 16 bits a sample. Convert it.")
    if image.mode.startswith("I;16"):
        grey = (np.asarray(image) >> 8).astype(np.uint8)
        return np.repeat(grey[..., None], 3, axis=2)
    # np.array: a copy of its own, because Pillow's buffer is read-only.
    return np.array(image if image.mode == "RGB" else image.convert("RGB"))


def _broken(path: Path, error: Exception) -> VideoError:
    reason = " ".join(str(error).split()) or type(error).__name__
    return VideoError(f"Image {path} cannot be read: {reason}. Replace the file or take it out.")


def _header_size_hw(path: Path) -> tuple[int, int]:
    """Size of the upright image, from its header alone."""
    try:
        with Image.open(path) as image:
            width, height = image.size
            check_pixels(width, height, f"Image {path}")
            # Of a TIFF, Pillow gives the upright size itself.
            turned = image.format != "TIFF" and image.getexif().get(_TAG_ORIENTATION) in _QUARTER_TURNS
    except _BROKEN_IMAGE as error:
        raise _broken(path, error) from error
    return (width, height) if turned else (height, width)


class ImageVideo(Video):
    """Images as frames, in the order given; a frame is named by its file's stem.

    Args:
        paths: image files of one size.
        label: how messages call the video.
        fps: images have no clock.

    Raises:
        VideoError: there is none, a header cannot be read, sizes differ, or two files share a stem.
    """

    def __init__(self, paths: Sequence[Path], label: str, fps: float = 24.0) -> None:
        if not paths:
            raise VideoError(f"There is no image in {label}. Files that end in {', '.join(IMAGE_SUFFIXES)} are read.")
        self._paths = list(paths)
        self._files = OpenedFiles(self._paths)  # before the first look into them
        self._label = label
        self._fps = fps
        self._check_stems()
        self._size_hw = self._common_size()

    def _check_stems(self) -> None:
        seen: dict[str, Path] = {}
        for path in self._paths:
            if path.stem in seen:
                raise VideoError(
                    f"Images {seen[path.stem]} and {path} share the name {path.stem!r}, by which results are filed. "
                    "Rename one, take it out, or choose one kind by a pattern such as 'frames/*.jpg'."
                )
            seen[path.stem] = path

    def _common_size(self) -> tuple[int, int]:
        first = _header_size_hw(self._paths[0])
        for path in self._paths[1:]:
            size = _header_size_hw(path)
            if size != first:
                raise VideoError(
                    f"Images of one video must have one size: {self._paths[0]} is {first[1]}x{first[0]}, "
                    f"{path} is {size[1]}x{size[0]}. Resize them or take one out."
                )
        return first

    @property
    def num_frames(self) -> int:
        return len(self._paths)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._size_hw

    @property
    def fps(self) -> float:
        return self._fps

    @property
    def label(self) -> str:
        return self._label

    def frame_name(self, frame_idx: int) -> str:
        return self._paths[frame_idx].stem

    def digest(self) -> str:
        return self._files.digest()

    def check_unchanged(self, frame_idx: int | None = None) -> None:
        self._files.check(frame_idx)

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        frames = np.empty((stop - start, *self._size_hw, 3), np.uint8)
        for target, path in zip(frames, self._paths[start:stop], strict=True):
            image = read_image(path)
            if image.shape != target.shape:
                raise VideoError(f"Image {path} has changed since the video was opened. Open it again.")
            target[:] = image
        return frames
