"""BDD100K's multi-object tracking and segmentation (MOTS 2020) as video object segmentation, the way SAM-PT's program does it.

Officially ``images/seg_track_20/SPLIT/VIDEO/*.jpg`` and ``labels/seg_track_20/bitmasks/SPLIT/VIDEO/*.png``: in these RGBA files
R is the category, the low bits of G are "truncated", "occluded", "crowd" and "ignored" (8, 4, 2, 1), and B * 256 + A is the
instance. Instances are taken where they are neither crowd nor ignored, in the order of their numbers; a hundred of them make a
sequence, ``VIDEO``, ``VIDEO-chunk2``, ..., with ids from 1. Each is given where it first appears.

Folders that SAM-PT's program has already converted are read, too: ``JPEGImages`` and ``Annotations`` with palettes of ids.

Source: doc.bdd100k.com/format.html; SysCV/sam-pt, ``scripts/bdd100k_from_instance_seg_to_vos_annotations.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cache, cached_property
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.errors import EvaluationError
from sampt.evaluation.datasets.base import LazySequences, VosDataset, VosSequence
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_split, subfolders, wrong_folder
from sampt.files.images import BROKEN_IMAGE, broken_reason
from sampt.files.limits import check_pixels
from sampt.types import IntArray
from sampt.video import Video

__all__ = ["OBJECTS_PER_SEQUENCE", "is_bdd100k", "open_bdd100k", "read_bitmask"]

OBJECTS_PER_SEQUENCE = 100
_SPLITS = ("train", "val")
_CHUNK = "-chunk"
_IS_LEFT_OUT = 1 | 2  # ignored, crowd
_CATEGORIES = ("pedestrian", "rider", "car", "truck", "bus", "train", "motorcycle", "bicycle")


def is_bdd100k(root: Path) -> bool:
    """Whether the folder looks like the official one, or like that of SAM-PT's conversion."""
    return bool(_official(root)) or bool(_convert(root))


def open_bdd100k(root: Path, split: str | None) -> VosDataset:
    """Splits: "val", "train". How many sequences a video makes is found by reading its annotations, when they are listed.

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    official, converted = _official(root), _convert(root)
    if not official and not converted:
        what = "images/seg_track_20/val and labels/seg_track_20/bitmasks/val, or val/JPEGImages and val/Annotations"
        raise wrong_folder(root, "BDD100K", what)
    split = choose_split(split, list(official or converted), "val", f"{root} (BDD100K)")
    sequences = _official_sequences(*official[split]) if official else _converted_sequences(converted[split])
    return VosDataset("bdd100k", split, "bdd100k", sequences)


def read_bitmask(path: Path) -> tuple[IntArray, IntArray]:
    """Instances and categories of an official annotation, (h, w) int64 each; 0 where there is none, it is crowd or ignored.

    Raises:
        EvaluationError: the file is missing, is no image, or is not RGBA.
    """
    try:
        with Image.open(path) as image:
            check_pixels(*image.size, str(path))
            if image.mode != "RGBA":
                raise EvaluationError(f"{path} has the colour mode {image.mode}; expected RGBA as in BDD100K's bitmasks.")
            category, attributes, high, low = np.asarray(image).astype(np.int64).transpose(2, 0, 1)
    except FileNotFoundError:
        raise EvaluationError(f"{path} does not exist; expected the bitmask of that frame.") from None
    except BROKEN_IMAGE as error:
        raise EvaluationError(f"{path} cannot be read as an image: {broken_reason(error)}.") from None
    counts = attributes & _IS_LEFT_OUT == 0
    return np.where(counts, (high << 8) + low, 0), np.where(counts, category, 0)


def _official(root: Path) -> dict[str, tuple[Path, Path]]:
    """Split -> folders of frames and of annotations."""
    locations = {s: (root / "images/seg_track_20" / s, root / "labels/seg_track_20/bitmasks" / s) for s in _SPLITS}
    return {name: both for name, both in locations.items() if all(path.is_dir() for path in both)}


def _convert(root: Path) -> dict[str, Path]:
    """Split -> its folder, in ``root`` or in ``root/vos``, or ``root`` itself by its name."""
    candidates = [(name, root / folder / name) for name in _SPLITS for folder in ("", "vos")]
    candidates += [(root.name, root)] if root.name in _SPLITS else []
    return {name: path for name, path in candidates if all((path / k).is_dir() for k in ("JPEGImages", "Annotations"))}


def _converted_sequences(location: Path) -> LazySequences:
    def make(name: str) -> LabelMapSequence:
        frames = location / "JPEGImages" / name
        # SAM-PT's instructions link the folder of a later chunk to that of its video.
        frames = frames if frames.is_dir() else location / "JPEGImages" / name.partition(_CHUNK)[0]
        return LabelMapSequence(name, frames, location / "Annotations" / name, finds_late=True)

    return LazySequences(subfolders(location / "Annotations"), make)


def _official_sequences(frames: Path, annotations: Path) -> LazySequences:
    @cache
    def video(name: str) -> _Video:
        return _Video(name, frames / name, annotations / name)

    def names() -> Iterator[str]:
        for name in subfolders(annotations):
            if video(name).instances:
                yield from (name, *(f"{name}{_CHUNK}{number}" for number in _later_numbers(video(name))))

    def has(name: str) -> bool:
        video_name, chunk, number = name.partition(_CHUNK)
        if not (annotations / video_name).is_dir() or (chunk and number not in _later_numbers(video(video_name))):
            return False
        return bool(video(video_name).instances)

    def make(name: str) -> VosSequence:
        video_name, _, number = name.partition(_CHUNK)
        return _Chunk(name, video(video_name), int(number or 1))

    return LazySequences(names, make, has)


def _later_numbers(video: _Video) -> list[str]:
    """Of the sequences of a video but the first, as their names have them."""
    return [str(k) for k in range(2, -(-len(video.instances) // OBJECTS_PER_SEQUENCE) + 1)]


class _Video(LabelMapSequence):
    """A video with its instances as they are numbered in the files."""

    @cached_property
    def instances(self) -> dict[int, tuple[int, int]]:
        """Instance -> the frame on which it first appears, and its category there; ascending."""
        found: dict[int, tuple[int, int]] = {}
        for frame_idx, path in zip(self.annotated_frames, self.annotation_paths, strict=True):
            instances, categories = read_bitmask(path)
            new = [i for i in np.flatnonzero(np.bincount(instances.ravel())).tolist() if i and i not in found]
            found |= {i: (frame_idx, int(categories.flat[np.argmax(instances == i)])) for i in new}
        return dict(sorted(found.items()))

    def _decode(self, path: Path) -> IntArray:
        return read_bitmask(path)[0]


class _Chunk(VosSequence):
    """Up to a hundred instances of a video, renumbered."""

    def __init__(self, name: str, video: _Video, number: int) -> None:
        super().__init__(name)
        self._video, self._number = video, number

    def open(self) -> Video:
        return self._video.open()

    @property
    def frame_names(self) -> tuple[str, ...]:
        return self._video.frame_names

    @property
    def annotated_frames(self) -> tuple[int, ...]:
        return self._video.annotated_frames

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._video.size_hw

    @cached_property
    def first_frame(self) -> Mapping[int, int]:
        return {i: self._video.instances[instance][0] for i, instance in enumerate(self._chosen, 1)}

    @cached_property
    def categories(self) -> Mapping[int, str]:
        numbers = {i: self._video.instances[instance][1] for i, instance in enumerate(self._chosen, 1)}
        return {i: _CATEGORIES[n - 1] for i, n in numbers.items() if 1 <= n <= len(_CATEGORIES)}

    def label_map(self, frame_idx: int) -> IntArray:
        instances = self._video.label_map(frame_idx)
        ids = np.zeros(max(int(instances.max()), self._chosen[-1]) + 1, np.int64)
        ids[self._chosen] = np.arange(1, len(self._chosen) + 1)
        return ids[instances]

    @cached_property
    def _chosen(self) -> list[int]:
        start = (self._number - 1) * OBJECTS_PER_SEQUENCE
        return list(self._video.instances)[start : start + OBJECTS_PER_SEQUENCE]
