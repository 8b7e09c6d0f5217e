"""YouTube-VOS 2018 and 2019, as the archives of youtube-vos.org unpack.

Each of ``train``, ``valid`` and ``test`` holds ``JPEGImages`` (every fifth frame), ``Annotations`` and ``meta.json``, which
tells for each object its frames; on the first of them its mask is given, often later than on the first of the video. All frames
at 30 a second are in ``valid_all_frames/JPEGImages`` and the like, or these lie in ``all_frames``, as other programs want it;
the server still wants masks of the frames of ``meta.json`` alone.

An object is "seen" when its category is one of ``train/meta.json``; without that file, or where ``meta.json`` names no
categories, objects have no group.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

from sampt.errors import EvaluationError
from sampt.evaluation.datasets.base import LazySequences, SubmissionLayout, VosDataset, VosSequence
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_split_folder, find_split_folders, read_object, wrong_folder

__all__ = ["is_youtube_vos", "open_youtube_vos"]

_SPLITS = ("train", "valid", "test")
_ALL_FRAMES = "-all-frames"
_META = "a file of YouTube-VOS: videos -> NAME -> objects -> ID -> frames"


def is_youtube_vos(root: Path) -> bool:
    """Whether the folder, or one of its splits, looks like it."""
    return bool(find_split_folders(root, _SPLITS, _is_split))


def open_youtube_vos(root: Path, split: str | None, year: int) -> VosDataset:
    """Splits: "valid", "train", "test", each with "-all-frames" where those are there. ``root`` may be that of one split.

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    locations = find_split_folders(root, _SPLITS, _is_split)
    if not locations:
        raise wrong_folder(root, "YouTube-VOS", "meta.json and JPEGImages, or folders train and valid that hold them")
    frames = {name: location / "JPEGImages" for name, location in locations.items()}
    for name in locations:
        for parent in (root, root / "all_frames"):
            if (parent / f"{name}_all_frames" / "JPEGImages").is_dir():
                frames[f"{name}{_ALL_FRAMES}"] = parent / f"{name}_all_frames" / "JPEGImages"
    split = choose_split_folder(split, frames, "valid", f"{root} (YouTube-VOS)")
    location = locations[split.removesuffix(_ALL_FRAMES)]
    meta = _Meta(location / "meta.json", location.parent / "train" / "meta.json")

    def make(name: str) -> VosSequence:
        return _YouTubeVosSequence(name, frames[split] / name, location / "Annotations" / name, meta)

    return VosDataset(
        f"youtube-vos-{year}",
        split,
        "youtube-vos",
        LazySequences(sorted(meta.videos), make),
        is_server_scored=not split.startswith("train"),
        submission=SubmissionLayout("Annotations"),
    )


def _is_split(location: Path) -> bool:
    return (location / "meta.json").is_file() and (location / "JPEGImages").is_dir()


class _Meta:
    """The file of a split, and what categories training saw; both are read on use."""

    def __init__(self, path: Path, train_path: Path) -> None:
        self.path, self._train_path = path, train_path

    @cached_property
    def videos(self) -> Mapping[str, Any]:
        return _videos(self.path)

    @cached_property
    def train_categories(self) -> frozenset[str]:
        """Empty when the training split is not there."""
        if not self._train_path.is_file():
            return frozenset()
        objects = [item for video in _videos(self._train_path).values() for item in video["objects"].values()]
        return frozenset(item["category"] for item in objects if "category" in item)


def _videos(path: Path) -> Mapping[str, Any]:
    videos = read_object(path, _META).get("videos")
    if not isinstance(videos, dict) or not all(isinstance(video.get("objects"), dict) for video in videos.values()):
        raise EvaluationError(f"{path} tells no objects of videos; expected {_META}.")
    return videos


class _YouTubeVosSequence(LabelMapSequence):
    def __init__(self, name: str, frames: Path, annotations: Path, meta: _Meta) -> None:
        super().__init__(name, frames, annotations)
        self._meta = meta

    @cached_property
    def first_frame(self) -> Mapping[int, int]:
        return {object_id: self._frame_idx(item["frames"][0]) for object_id, item in self._objects.items() if item["frames"]}

    @cached_property
    def categories(self) -> Mapping[int, str]:
        return {object_id: item["category"] for object_id, item in self._objects.items() if "category" in item}

    @cached_property
    def groups(self) -> Mapping[int, str]:
        seen = self._meta.train_categories
        if not seen or len(self.categories) < len(self._objects):
            return {}
        return {object_id: "seen" if name in seen else "unseen" for object_id, name in self.categories.items()}

    @cached_property
    def submission_frames(self) -> tuple[int, ...]:
        return tuple(sorted({self._frame_idx(name) for item in self._objects.values() for name in item["frames"]}))

    @cached_property
    def _objects(self) -> dict[int, Mapping[str, Any]]:
        try:
            objects = {int(key): item for key, item in self._meta.videos[self.name]["objects"].items()}
            for item in objects.values():
                item["frames"]
        except (KeyError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"{self._meta.path} is broken at {self.name}: {type(error).__name__} {error}; expected {_META}."
            ) from None
        return dict(sorted(objects.items()))

    @cached_property
    def _index(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.frame_names)}

    def _frame_idx(self, frame_name: str) -> int:
        if frame_name not in self._index:
            raise EvaluationError(f"{self.frames} lacks the frame {frame_name}, which {self._meta.path} names.")
        return self._index[frame_name]
