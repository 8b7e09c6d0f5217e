"""LVOS v1 and v2, as their archives unpack with the ``meta`` files beside them.

``train``, ``val`` and ``test`` hold ``JPEGImages`` and ``Annotations`` (of test those alone that give an object) with eight
digits a frame, about every fifth, and ``SPLIT_meta.json``: videos -> NAME -> objects -> ID -> ``frame_range`` with ``start``,
the number of the frame on which the object is given. Objects may appear late.

Source: LingyiHongfd/LVOS and lvos-evaluation (``unseen_videos.txt`` tells which videos of val are of unseen categories).
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from sampt.errors import EvaluationError
from sampt.evaluation.datasets.base import LazySequences, VosDataset
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_place, read_object, split_places, wrong_folder

__all__ = ["UNSEEN_VIDEOS", "is_lvos", "open_lvos"]

_SPLITS = ("val", "train", "test")
_META = "a file of LVOS: videos -> NAME -> objects -> ID -> frame_range -> start"

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
    places = split_places(root, _SPLITS, _is_split)
    return any((place / f"{name}_meta.json").is_file() for name, place in places.items())


def open_lvos(root: Path, split: str | None) -> VosDataset:
    """Splits: "val", "train", "test". ``root`` may be that of one split.

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    places = split_places(root, _SPLITS, _is_split)
    if not places:
        raise wrong_folder(
            root, "LVOS", "folders train and val with JPEGImages, Annotations and train_meta.json or val_meta.json"
        )
    split = choose_place(split, places, "val", f"{root} (LVOS)")
    place = places[split]
    # The toolkit wants the file to be called meta.json.
    path = place / f"{split}_meta.json"
    path = path if path.is_file() else place / "meta.json"
    videos = read_object(path, _META).get("videos")
    if not isinstance(videos, dict):
        raise EvaluationError(f"{path} tells of no videos; expected {_META}.")

    def make(name: str) -> LabelMapSequence:
        folders = place / "JPEGImages" / name, place / "Annotations" / name
        return _LvosSequence(name, *folders, path, videos[name], tells_groups=split == "val")

    return VosDataset("lvos", split, "lvos", LazySequences(sorted(videos), make), is_server_scored=split == "test")


def _is_split(place: Path) -> bool:
    names = ("meta.json", *(f"{split}_meta.json" for split in _SPLITS))
    return (place / "JPEGImages").is_dir() and any((place / name).is_file() for name in names)


class _LvosSequence(LabelMapSequence):
    def __init__(
        self, name: str, frames: Path, annotations: Path, meta_path: Path, video: Mapping[str, Any], *, tells_groups: bool
    ) -> None:
        super().__init__(name, frames, annotations, has_void=True)
        self._meta_path, self._video, self._tells_groups = meta_path, video, tells_groups

    @cached_property
    def first_frame(self) -> Mapping[int, int]:
        index = {int(name): i for i, name in enumerate(self.frame_names)}
        try:
            starts = {int(key): int(item["frame_range"]["start"]) for key, item in self._video["objects"].items()}
        except (KeyError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"{self._meta_path} is broken at {self.name}: {type(error).__name__} {error}; expected {_META}."
            ) from None
        for start in starts.values():
            if start not in index:
                raise EvaluationError(f"{self.frames} lacks the frame {start:08d}, which {self._meta_path} names.")
        return {object_id: index[starts[object_id]] for object_id in sorted(starts)}

    @cached_property
    def groups(self) -> Mapping[int, str]:
        group = "unseen" if self.name in UNSEEN_VIDEOS else "seen"
        return dict.fromkeys(self.first_frame, group) if self._tells_groups else {}
