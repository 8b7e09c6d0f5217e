"""Which files of a folder are its frames: by ending and by name, with a line about every image that is not taken."""

from __future__ import annotations

import logging
import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

from sampt.files.listing import is_leftover

__all__ = ["IMAGE_SUFFIXES", "frame_paths", "image_paths", "natural_order", "warn_of_names"]

_LOG = logging.getLogger(__name__)

IMAGE_SUFFIXES = (
    *(".bmp", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp"),
    *(".apng", ".avif", ".dib", ".j2k", ".jfif", ".jif", ".jp2", ".jpe", ".pbm", ".pjpeg", ".pnm", ".tga"),
)
"""Endings of the files that are taken for frames; case does not matter."""
_OTHER_IMAGES = (
    *(".arw", ".cr2", ".cr3", ".dcm", ".dng", ".dpx", ".exr", ".fits", ".gif", ".hdr", ".heic", ".heif", ".jxl", ".nef"),
    *(".orf", ".pfm", ".psd", ".raf", ".raw", ".rw2", ".sgi", ".svg"),
)
"""Endings of images that are not read."""
_NO_FRAMES = re.compile(
    r"(^|[^a-z])(masks?|seg(mentations?)?|labels?|annotations?|gt|alpha|mattes?|depth|flow|overlay|thumb(nail)?s?|preview|"
    r"sheet|poster|cover)([^a-z]|$)"
)


def natural_order(paths: Iterable[Path]) -> list[Path]:
    """Paths sorted as people count: img2 before img10."""

    def key(path: Path) -> tuple[list[str | int], str]:
        # Splitting by a group puts text at even and digits at odd locations, so that like is compared with like.
        parts = re.split(r"(\d+)", str(path).casefold())
        return [int(part) if i % 2 else part for i, part in enumerate(parts)], str(path)

    return sorted(paths, key=key)


def image_paths(paths: Iterable[Path]) -> list[Path]:
    """Those of ``paths`` that are image files by their ending, in natural order; what systems leave is left out."""
    return natural_order(p for p in paths if p.suffix.lower() in IMAGE_SUFFIXES and not is_leftover(p.name) and p.is_file())


def frame_paths(folder: Path, entries: Sequence[Path]) -> list[Path]:
    """The images among the entries of ``folder`` that are its frames, in natural order.

    An image without a number in its name where others have one, and images named as masks, overlays and the like where others
    are not, are left out. One line tells which, and which files have endings of images that are not read; another tells when
    frames have names of several patterns, all of which are taken.
    """
    frames = images = image_paths(entries)
    for is_frame, fewest in ((_is_numbered, 2), (_is_named_as_frame, 1)):
        kept = [path for path in frames if is_frame(path)]
        # A folder in which hardly any name fits has other habits.
        if len(kept) >= max(fewest, len(frames) / 2):
            frames = kept
    taken = set(frames)
    left_out = [path for path in images if path not in taken]
    if left_out:
        pattern = folder / "*"
        _LOG.warning(
            "%s: %s left out, named otherwise than the %d frames; to take all images, give a pattern such as '%s'.",
            folder,
            _some(left_out),
            len(frames),
            pattern,
        )
    warn_of_names(str(folder), frames, entries)
    return frames


def warn_of_names(label: str, frames: Sequence[Path], entries: Iterable[Path]) -> None:
    """A line about images among ``entries`` that are of kinds that are not read, one when ``frames`` have names of several."""
    unread = natural_order(p for p in entries if p.suffix.lower() in _OTHER_IMAGES and not is_leftover(p.name))
    if frames and unread:
        _LOG.warning("%s: %s cannot be read as frames and are left out; convert them.", label, _some(unread))
    kinds: dict[str, list[Path]] = defaultdict(list)
    for path in frames:
        kinds[re.sub(r"\d+", "0", path.stem.casefold())].append(path)
    if 1 < len(kinds) < len(frames):
        text = ", ".join(f"{len(paths)} such as {paths[0].name}" for paths in list(kinds.values())[:4])
        _LOG.warning("%s: its frames have names of %d kinds (%s); all are taken, by name.", label, len(kinds), text)


def _is_numbered(path: Path) -> bool:
    return any(c.isdigit() for c in path.stem)


def _is_named_as_frame(path: Path) -> bool:
    return not _NO_FRAMES.search(path.stem.casefold())


def _some(paths: Sequence[Path]) -> str:
    return paths[0].name if len(paths) == 1 else f"{len(paths)} images ({paths[0].name}, ...)"
