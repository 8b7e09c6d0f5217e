"""Video instance sets in the JSON layout of YouTube-VIS: YouTube-VIS 2019 and 2021, OVIS, UVO.

The layout: ``videos`` with ``id``, ``width``, ``height`` and ``file_names``; ``annotations`` with ``id``, ``video_id``,
``category_id``, ``iscrowd`` and one ``segmentations``, ``bboxes`` and ``areas`` a frame; ``categories``. Splits whose results a
server scores have no ``annotations``. Where the files lie:

=================  ===========================================  ==============================================
youtube-vis-2019   SPLIT.json, or SPLIT/instances.json          SPLIT/JPEGImages/VIDEO/*.jpg
youtube-vis-2021   SPLIT/instances.json, or SPLIT.json          SPLIT/JPEGImages/VIDEO/*.jpg
ovis               annotations_SPLIT.json                       SPLIT/VIDEO/img_*.jpg, also below Images
uvo                VideoDenseSet/UVO_video_SPLIT_dense.json,    uvo_videos_dense_frames/VIDEO/*.png, or
                   VideoSparseSet/UVO_sparse_SPLIT_video.json   uvo_videos_dense/VIDEO.mp4 ("sparse" likewise)
=================  ===========================================  ==============================================
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from sampt.errors import EvaluationError
from sampt.evaluation.datasets.base import Annotation, InstanceDataset, InstanceVideo
from sampt.evaluation.datasets.layout import choose_split, read_object, size_text, wrong_folder
from sampt.video import Video, open_video
from sampt.video.images import ImageVideo

__all__ = ["is_ovis", "is_uvo", "is_youtube_vis", "open_ovis", "open_uvo", "open_youtube_vis"]

_SPLITS = ("valid", "train", "test")
_JSON = "a file of the YouTube-VIS kind: videos, categories and, unless they are kept back, annotations"


@dataclass(frozen=True)
class _Location:
    """Where a split lies: its JSON file, where frames may lie, and where, if they are there instead, video files."""

    json_path: Path
    frame_folders: tuple[Path, ...]
    video_folder: Path | None = None


def is_youtube_vis(root: Path) -> bool:
    """Whether the folder looks like YouTube-VIS of either year."""
    return bool(_youtube_vis_locations(root))


def is_ovis(root: Path) -> bool:
    """Whether the folder looks like OVIS."""
    return bool(_ovis_locations(root))


def is_uvo(root: Path) -> bool:
    """Whether the folder looks like UVO v1.0."""
    return bool(_uvo_locations(root))


def open_youtube_vis(root: Path, split: str | None, year: int) -> InstanceDataset:
    """Splits: "valid", "train", "test".

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    expected = "train.json or train/instances.json beside train/JPEGImages, and so for valid and test"
    return _open(f"youtube-vis-{year}", "YouTube-VIS", root, split, _youtube_vis_locations(root), expected)


def open_ovis(root: Path, split: str | None) -> InstanceDataset:
    """Splits: "valid", "train", "test".

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    return _open("ovis", "OVIS", root, split, _ovis_locations(root), "annotations_train.json, annotations_valid.json")


def open_uvo(root: Path, split: str | None) -> InstanceDataset:
    """Splits: "val", "train", "test" of the dense set; "val-sparse", "train-sparse", "test-sparse".

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    expected = "VideoDenseSet/UVO_video_val_dense.json beside uvo_videos_dense_frames or uvo_videos_dense"
    return _open("uvo", "UVO", root, split, _uvo_locations(root), expected)


def _youtube_vis_locations(root: Path) -> dict[str, _Location]:
    candidates = [(split, path) for split in _SPLITS for path in (root / f"{split}.json", root / split / "instances.json")]
    return {split: _Location(path, (root / split / "JPEGImages",)) for split, path in candidates if path.is_file()}


def _ovis_locations(root: Path) -> dict[str, _Location]:
    candidates = [(split, root / f"annotations_{split}.json") for split in _SPLITS]
    return {split: _Location(path, (root / split, root / "Images" / split)) for split, path in candidates if path.is_file()}


def _uvo_locations(root: Path) -> dict[str, _Location]:
    candidates = [
        (f"{split}{suffix}", root / json_path.format(split), f"uvo_videos_{kind}")
        for split in ("val", "train", "test")
        for suffix, json_path, kind in (
            ("", "VideoDenseSet/UVO_video_{}_dense.json", "dense"),
            ("-sparse", "VideoSparseSet/UVO_sparse_{}_video.json", "sparse"),
        )
    ]
    locations = {split: _Location(path, (root / f"{videos}_frames",), root / videos) for split, path, videos in candidates}
    return {split: location for split, location in locations.items() if location.json_path.is_file()}


def _open(
    name: str, title: str, root: Path, split: str | None, locations: Mapping[str, _Location], expected: str
) -> InstanceDataset:
    if not locations:
        raise wrong_folder(root, title, expected)
    default = "val" if "val" in locations else "valid"
    split = choose_split(split, list(locations), default, f"{root} ({title})")
    return _JsonDataset(name, split, locations[split])


class _JsonDataset(InstanceDataset):
    def __init__(self, name: str, split: str, location: _Location) -> None:
        super().__init__(name, split)
        self._location = location

    @cached_property
    def videos(self) -> tuple[InstanceVideo, ...]:
        videos = tuple(self._parse("videos", self._video))
        twice = next((i for i, count in Counter(video.id for video in videos).items() if count > 1), None)
        if twice is not None:
            raise EvaluationError(
                f"{self._location.json_path} lists the video {twice} more than once; expected an id for each."
            )
        return videos

    @cached_property
    def categories(self) -> Mapping[int, str]:
        return dict(self._parse("categories", lambda item: (int(item["id"]), str(item["name"]))))

    @cached_property
    def annotations(self) -> Sequence[Annotation]:
        lengths = {video.id: len(video.frame_names) for video in self.videos}
        return self._parse("annotations", lambda item: self._check(item, lengths))

    @cached_property
    def _content(self) -> Mapping[str, Any]:
        content = read_object(self._location.json_path, _JSON)
        if not isinstance(content.get("videos"), list):
            raise EvaluationError(f"{self._location.json_path} tells no videos; expected {_JSON}.")
        return content

    def _parse(self, key: str, parse: Any) -> list[Any]:
        """Each entry of one of the lists; a missing one is empty (``annotations`` is null in some files)."""
        try:
            return [parse(item) for item in self._content.get(key) or []]
        except (AttributeError, IndexError, KeyError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"{self._location.json_path} has a broken entry in {key}: {type(error).__name__} {error}; expected {_JSON}."
            ) from None

    def _video(self, item: Mapping[str, Any]) -> InstanceVideo:
        files = [PurePosixPath(name) for name in item["file_names"]]
        return _JsonVideo(int(item["id"]), files, (int(item["height"]), int(item["width"])), self._location)

    def _check(self, item: Annotation, lengths: Mapping[int, int]) -> Annotation:
        where = f"the annotation {item.get('id')}"
        for what, known in (("video", lengths), ("category", self.categories)):
            if item[f"{what}_id"] not in known:
                text = f"{where} of the {what} {item[f'{what}_id']!r}, which is not listed"
                raise EvaluationError(f"{self._location.json_path} has {text}.")
        got, expected = len(item["segmentations"]), lengths[item["video_id"]]
        if got != expected:
            text = f"{got} segmentations in {where}; expected {expected}, one a frame of its video"
            raise EvaluationError(f"{self._location.json_path} has {text}.")
        return item


class _JsonVideo(InstanceVideo):
    def __init__(self, video_id: int, files: Sequence[PurePosixPath], size_hw: tuple[int, int], location: _Location) -> None:
        super().__init__(video_id, files[0].parent.as_posix(), [path.stem for path in files], size_hw)
        self._files, self._location = files, location

    def open(self) -> Video:
        video = self._open_video()
        if video.size_hw != self.size_hw or video.num_frames != len(self.frame_names):
            raise EvaluationError(
                f"{self.name} has {video.num_frames} frames of {size_text(video.size_hw)}; expected {len(self.frame_names)} of "
                f"{size_text(self.size_hw)} as {self._location.json_path} tells."
            )
        return video

    def _open_video(self) -> Video:
        for folder in self._location.frame_folders:
            if (folder / self._files[0]).is_file():
                missing = [path for path in self._files if not (folder / path).is_file()]
                if missing:
                    raise EvaluationError(f"{folder / missing[0]} does not exist; expected that frame of {self.name}.")
                return ImageVideo([folder / path for path in self._files], str(folder / self.name))
        file = self._location.video_folder and self._location.video_folder / f"{self.name}.mp4"
        if file and file.is_file():
            return open_video(file)
        locations = [str(folder / self._files[0]) for folder in self._location.frame_folders] + ([str(file)] if file else [])
        raise EvaluationError(f"There is no {' and no '.join(locations)}; expected the frames of {self.name} there.")
