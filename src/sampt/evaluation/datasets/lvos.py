"""LVOS v1 and v2, as their archives unpack with the ``meta`` files beside them.

``train``, ``val`` and ``test`` hold ``JPEGImages`` and ``Annotations`` (of test those alone that give an object) with eight
digits a frame, every fifth, and ``SPLIT_meta.json``: videos -> NAME -> objects -> ID -> ``frame_range`` with ``start``, the
number of the frame on which the object is given, ``end``, and ``frame_nums``. Objects may appear late, and may leave.

Source: LingyiHongfd/LVOS and lvos-evaluation (``unseen_videos.txt`` tells which videos of val are of unseen categories). Its
program scores an object on every fifth frame from ``start`` on and before ``end``, but neither on the first of them nor on the
one that is last by ``frame_nums``: so ``end`` may be the object's last frame or lie behind it. Without ``end``, which only the
program wants, an object stays to the end of the video.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from sampt.errors import EvaluationError
from sampt.evaluation.datasets.base import LazySequences, VosDataset
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_split_folder, find_split_folders, read_object, wrong_folder

__all__ = ["UNSEEN_VIDEOS", "is_lvos", "open_lvos"]

_SPLITS = ("val", "train", "test")
_META = "a file of LVOS: videos -> NAME -> objects -> ID -> frame_range -> start"
_STEP = 5
"""Frames from one annotation to the next."""

UNSEEN_VIDEOS = frozenset(
    [
        "i0M1xY0s",
        "U5YrHz8C",
        "plkkJovZ",
        "AyYrqCpE",
        "Yh7l1CZ7",
        "x5Cs3wQ7",
        "pTdVZbsW",
        "xrvXgUjy",
        "n1OI9Iiz",
        "UMSlx6sX",
        "tfHbYVbV",
        "NdAW1Oi9",
        "sxfJIEdE",
        "o84EWHef",
        "24rOA4dw",
        "JWvDlojB",
        "Y7xx3JG2",
        "ViPRqGir",
        "0FIVB23u",
        "m0jlDJ9S",
        "T3uc5oxT",
        "J2roqPvo",
        "J9Ykd24K",
        "QuJCPPE7",
        "F22n6gyQ",
        "AWIYANuE",
        "rrrgtcMl",
    ]
)
"""Videos of val whose objects are of categories that are not in train."""


def is_lvos(root: Path) -> bool:
    """Whether the folder looks like it."""
    locations = find_split_folders(root, _SPLITS, _is_split)
    return any((location / f"{name}_meta.json").is_file() for name, location in locations.items())


def open_lvos(root: Path, split: str | None) -> VosDataset:
    """Splits: "val", "train", "test". ``root`` may be that of one split.

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    locations = find_split_folders(root, _SPLITS, _is_split)
    if not locations:
        raise wrong_folder(
            root, "LVOS", "folders train and val with JPEGImages, Annotations and train_meta.json or val_meta.json"
        )
    split = choose_split_folder(split, locations, "val", f"{root} (LVOS)")
    location = locations[split]
    # The toolkit wants the file to be called meta.json.
    path = location / f"{split}_meta.json"
    path = path if path.is_file() else location / "meta.json"
    videos = read_object(path, _META).get("videos")
    if not isinstance(videos, dict):
        raise EvaluationError(f"{path} tells of no videos; expected {_META}.")

    def make(name: str) -> LabelMapSequence:
        folders = location / "JPEGImages" / name, location / "Annotations" / name
        return _LvosSequence(name, *folders, path, videos[name], has_groups=split == "val")

    return VosDataset("lvos", split, "lvos", LazySequences(sorted(videos), make), is_server_scored=split == "test")


def _is_split(location: Path) -> bool:
    names = ("meta.json", *(f"{split}_meta.json" for split in _SPLITS))
    return (location / "JPEGImages").is_dir() and any((location / name).is_file() for name in names)


class _LvosSequence(LabelMapSequence):
    def __init__(
        self, name: str, frames: Path, annotations: Path, meta_path: Path, video: Mapping[str, Any], *, has_groups: bool
    ) -> None:
        super().__init__(name, frames, annotations, has_void=True)
        self._meta_path, self._video, self._has_groups = meta_path, video, has_groups

    @cached_property
    def first_frame(self) -> Mapping[int, int]:
        index = {number: i for i, number in enumerate(self._frame_numbers)}
        for start, _ in self._ranges.values():
            if start not in index:
                raise EvaluationError(f"{self.frames} lacks the frame {start:08d}, which {self._meta_path} names.")
        return {object_id: index[start] for object_id, (start, _) in self._ranges.items()}

    @cached_property
    def end_frame(self) -> Mapping[int, int]:
        ends = {object_id: end for object_id, (_, end) in self._ranges.items() if end is not None}
        return {object_id: bisect_left(self._frame_numbers, end) for object_id, end in ends.items()}

    @cached_property
    def _frame_numbers(self) -> list[int]:
        try:
            return [int(name) for name in self.frame_names]
        except ValueError as error:
            raise EvaluationError(
                f"{self.frames} holds frames that have no number ({error}); expected 00000001.jpg, ..."
            ) from None

    @cached_property
    def _ranges(self) -> dict[int, tuple[int, int | None]]:
        """Object id -> numbers of the frame that gives it and of the first one that is not scored, ids ascending."""
        try:
            return {int(key): _range(item["frame_range"]) for key, item in sorted(self._video["objects"].items(), key=_find_id)}
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"{self._meta_path} is broken at {self.name}: {type(error).__name__} {error}; expected {_META}."
            ) from None

    @cached_property
    def groups(self) -> Mapping[int, str]:
        group = "unseen" if self.name in UNSEEN_VIDEOS else "seen"
        return dict.fromkeys(self.first_frame, group) if self._has_groups else {}


def _find_id(entry: tuple[str, Any]) -> int:
    return int(entry[0])


def _range(entry: Mapping[str, Any]) -> tuple[int, int | None]:
    start = int(entry["start"])
    if "end" not in entry:
        return start, None
    last_by_count = start + _STEP * (int(entry["frame_nums"]) - 1) if "frame_nums" in entry else int(entry["end"])
    return start, min(int(entry["end"]), last_by_count)
