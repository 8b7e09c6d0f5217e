"""A folder of images, the images that match a pattern, or one file of several pages, as a video."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path

import numpy as np

from sampt.errors import VideoError
from sampt.types import UInt8Array
from sampt.video.base import Damage, Video
from sampt.video.digest import OpenedFiles
from sampt.video.frame_names import IMAGE_SUFFIXES
from sampt.video.image_files import ImageFacts, PageReader, image_facts

__all__ = ["ImageVideo"]

_LOG = logging.getLogger(__name__)
_SAMPLED = 16
"""Images whose samples tell how many of 16 bits a video uses."""


class ImageVideo(Video):
    """Images as frames, in the order given, each page of a file that has several (TIFF, animated WebP and PNG).

    A frame is named by its file's stem; pages of the only file by their five-digit numbers, of other files by both. Samples
    of 16 bits are taken for as many bits as the file says or, where it does not, as the images use: 10, 12, 14 or 16 (with a
    warning), so that frames of a 10-bit camera are not black.

    Args:
        paths: image files of one size.
        label: how messages call the video.
        fps: images have no clock, but for animations.
        allow_broken: a file whose header cannot be read is a frame that cannot, instead of an error at once.

    Raises:
        VideoError: there is none, a header cannot be read, sizes differ, or two files share a stem.
    """

    def __init__(self, paths: Sequence[Path], label: str, fps: float = 24.0, *, allow_broken: bool = False) -> None:
        if not paths:
            raise VideoError(f"There is no image in {label}. Files that end in {', '.join(IMAGE_SUFFIXES)} are read.")
        self._paths = list(paths)
        self._files = OpenedFiles(self._paths)  # before the first look into them
        self._label = label
        self._check_stems()
        self._broken: dict[int, VideoError] = {}  # by file
        facts = [self._facts(i, allow_broken=allow_broken) for i in range(len(self._paths))]
        self._size_hw = self._common_size(facts)
        self._pages = [(i, page) for i, found in enumerate(facts) for page in (found.pages if found else (0,))]
        self._count_of = [len(found.pages) if found else 1 for found in facts]
        self._warn_of_pages()
        durations = facts[0].durations_s if len(facts) == 1 and facts[0] else None
        self._durations_s = durations or (1 / fps,) * len(self._pages)
        self._times_s = [0.0, *accumulate(durations)] if durations else None
        self._fps = len(durations) / sum(durations) if durations else fps
        self._damage: Damage | None = None
        self._reader = PageReader()
        self._sample_bits = self._bits(facts)

    def _check_stems(self) -> None:
        seen: dict[str, Path] = {}
        for path in self._paths:
            if path.stem in seen:
                raise VideoError(
                    f"Images {seen[path.stem]} and {path} share the name {path.stem!r}, by which results are filed. "
                    "Rename one, take it out, or choose one kind by a pattern such as 'frames/*.jpg'."
                )
            seen[path.stem] = path

    def _facts(self, i: int, *, allow_broken: bool) -> ImageFacts | None:
        try:
            return image_facts(self._paths[i])
        except VideoError as error:
            self._broken[i] = error
            if not allow_broken or len(self._broken) == len(self._paths):
                raise
        return None

    def _common_size(self, facts: Sequence[ImageFacts | None]) -> tuple[int, int]:
        known = [(path, found.size_hw) for path, found in zip(self._paths, facts, strict=True) if found is not None]
        first_path, first = known[0]
        for path, size in known[1:]:
            if size != first:
                raise VideoError(
                    f"Images of one video must have one size: {first_path} is {first[1]}x{first[0]}, "
                    f"{path} is {size[1]}x{size[0]}. Resize them or take one out."
                )
        return first

    def _warn_of_pages(self) -> None:
        several = [i for i, count in enumerate(self._count_of) if count > 1]
        if several and len(self._paths) > 1:
            text = f"{len(several)} of {len(self._paths)} files have several pages"
            _LOG.warning("%s: %s (%s first); each page is a frame.", self._label, text, self._paths[several[0]].name)

    def _bits(self, facts: Sequence[ImageFacts | None]) -> int:
        """How many of 16 bits the samples of this video use."""
        deep = [found for found in facts if found is not None and found.is_deep]
        known_bits = [found.sample_bits for found in deep if found.sample_bits is not None]
        if not deep or len(known_bits) == len(deep):
            return max(known_bits, default=16)
        used = [8]
        for i in np.unique(np.linspace(0, len(self._pages) - 1, _SAMPLED).astype(int)):
            file, page = self._pages[i]
            found = facts[file]
            if found is not None and found.is_deep:
                try:
                    used.append(self._reader.bits_used(self._paths[file], page))
                except VideoError:
                    continue  # reported where the frame is read
        bits = max(used)
        if bits < 16 and len(used) > 1:
            largest = (1 << bits) - 1
            _LOG.warning(
                "%s: the 16-bit samples reach no more than %d and are taken for %d-bit ones.", self._label, largest, bits
            )
        return bits if len(used) > 1 else 16

    @property
    def num_frames(self) -> int:
        return len(self._pages)

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
        file = self._pages[frame_idx][0]
        if self._count_of[file] == 1:
            return self._paths[file].stem
        location = frame_idx - sum(self._count_of[:file])
        return f"{location:05d}" if len(self._paths) == 1 else f"{self._paths[file].stem}-{location:05d}"

    @property
    def has_names(self) -> bool:
        return len(self._paths) > 1

    def time_s(self, frame_idx: int) -> float:
        return super().time_s(frame_idx) if self._times_s is None else self._times_s[frame_idx]

    def duration_s(self, frame_idx: int) -> float:
        return self._durations_s[frame_idx]

    def digest(self) -> str:
        return self._files.digest()

    def check_unchanged(self, frame_idx: int | None = None) -> None:
        self._files.check(None if frame_idx is None else self._pages[frame_idx][0])

    def find_damage(self) -> Damage:
        """Which images are broken. All are decoded once, unless that was done before."""
        if self._damage is None:
            unreadable, reason = [], ""
            for i in range(self.num_frames):
                try:
                    self.read(i, i + 1)
                except VideoError as error:
                    reason = reason or f"is none ({error})"
                    unreadable.append(i)
            self._damage = Damage(tuple(unreadable), reason=reason)
        return self._damage

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        frames = np.empty((stop - start, *self._size_hw, 3), np.uint8)
        for target, (file, page) in zip(frames, self._pages[start:stop], strict=True):
            if file in self._broken:
                raise self._broken[file]
            image = self._reader.read(self._paths[file], page, self._sample_bits)
            if image.shape != target.shape:
                raise VideoError(f"Image {self._paths[file]} has changed since the video was opened. Open it again.")
            target[:] = image
        return frames
