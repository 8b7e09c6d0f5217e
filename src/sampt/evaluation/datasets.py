"""Annotated videos to evaluate on: the DAVIS folder layout, and a flat folder of ``NAME_00000.jpg`` and ``.png`` pairs."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image, UnidentifiedImageError

from sampt.errors import EvaluationError, did_you_mean
from sampt.types import IntArray, QueryMask
from sampt.video import Video, open_video

__all__ = ["DavisSequence", "davis_sequences", "read_label_map", "select_sequences", "training_sequences"]


@dataclass(frozen=True)
class DavisSequence:
    """A video and the true label map of each of its frames.

    Annotations are images with one channel whose values are object ids. A sequence whose first annotation holds no value but
    0 and 255 is binary, as DAVIS-2016: 255 is object 1. In any other one 255 is background, as the official toolkit has it.

    Attributes:
        name: of the sequence.
        video_source: what :func:`sampt.video.open_video` opens: a folder, a glob or a file.
        annotation_paths: one image a frame, in order; its stem names the frame in predictions, too.
    """

    name: str
    video_source: str
    annotation_paths: tuple[Path, ...]

    @property
    def frame_names(self) -> tuple[str, ...]:
        return tuple(path.stem for path in self.annotation_paths)

    @cached_property
    def is_binary(self) -> bool:
        return set(np.unique(read_label_map(self.annotation_paths[0])).tolist()) <= {0, 255}

    @cached_property
    def object_ids(self) -> tuple[int, ...]:
        """The ids in the first annotation, ascending: an object that appears later is not scored."""
        return tuple(int(i) for i in np.unique(self.label_map(0)) if i)

    def label_map(self, frame_idx: int) -> IntArray:
        """The true (h, w) int64 object ids of a frame, 0 for background.

        Raises:
            EvaluationError: the annotation is missing, unreadable, or of another size than the first one.
        """
        labels = read_label_map(self.annotation_paths[frame_idx])
        if frame_idx and labels.shape != self._size_hw:
            raise EvaluationError(
                f"{self.annotation_paths[frame_idx]} is {_size(labels.shape)}; expected {_size(self._size_hw)} as the first "
                f"annotation of {self.name}."
            )
        return self.without_255(labels)

    def without_255(self, labels: IntArray) -> IntArray:
        """``labels`` with 255 replaced by what it stands for in this sequence: object 1 or background."""
        return np.where(labels == 255, int(self.is_binary), labels)

    def query_masks(self) -> list[QueryMask]:
        """The objects' masks on the first frame: what the protocol gives to the method.

        Raises:
            EvaluationError: there is no object on the first frame.
        """
        labels = self.label_map(0)
        if not self.object_ids:
            raise EvaluationError(f"{self.annotation_paths[0]} holds no object; expected at least one on the first frame.")
        return [QueryMask(object_id, 0, labels == object_id) for object_id in self.object_ids]

    def open(self) -> Video:
        """The frames.

        Raises:
            EvaluationError: the frames are not as many, or not as large, as the annotations.
            VideoError: the video cannot be opened.
        """
        video = open_video(self.video_source)
        if (video.num_frames, video.size_hw) != (len(self.annotation_paths), self._size_hw):
            raise EvaluationError(
                f"{self.name} has {video.num_frames} frames of {_size(video.size_hw)} but {len(self.annotation_paths)} "
                f"annotations of {_size(self._size_hw)}; expected one annotation a frame, of its size."
            )
        return video

    @cached_property
    def _size_hw(self) -> tuple[int, ...]:
        return read_label_map(self.annotation_paths[0]).shape


def davis_sequences(root: Path | str, image_set: str = "480p/dev") -> list[DavisSequence]:
    """The sequences of a folder in DAVIS layout (``ImageSets``, ``JPEGImages/480p``, ``Annotations/480p``).

    Args:
        root: folder that holds the three.
        image_set: which list of ``ImageSets`` names the sequences; DAVIS-2017 has ``2017/val``.

    Raises:
        EvaluationError: a folder, the list, or a frame or annotation of a listed sequence is missing.
    """
    root = Path(root)
    list_path = root / "ImageSets" / f"{image_set}.txt"
    if not list_path.is_file():
        raise EvaluationError(f"{list_path} does not exist; expected the list of sequences of a data set in DAVIS layout.")
    names = list_path.read_text(encoding="utf-8").split()
    if not names:
        raise EvaluationError(f"{list_path} is empty; expected one name of a sequence a line.")
    return [_davis_sequence(root, name) for name in names]


def training_sequences(root: Path | str) -> list[DavisSequence]:
    """The sequences of a flat folder that holds ``NAME_00000.jpg`` (frame) and ``NAME_00000.png`` (ids) for each frame.

    Raises:
        EvaluationError: the folder is missing or holds no such pair, or one half of a pair is missing.
    """
    root = Path(root)
    names = sorted({path.stem.rpartition("_")[0] for path in _images(root, "*_*.png")})
    return [_paired(name, root / f"{name}_*.jpg", root / f"{name}_*.png") for name in names]


def select_sequences(sequences: list[DavisSequence], names: list[str]) -> list[DavisSequence]:
    """Those of ``sequences`` that are called ``names``, in that order.

    Raises:
        EvaluationError: there is no sequence of such a name.
    """
    by_name = {sequence.name: sequence for sequence in sequences}
    for name in names:
        if name not in by_name:
            raise EvaluationError(f"Unknown sequence {name!r}.{did_you_mean(name, by_name)} Available: {', '.join(by_name)}.")
    return [by_name[name] for name in names]


def read_label_map(path: Path) -> IntArray:
    """(h, w) int64: the values of an image with one channel (palette or grey), as they are in the file.

    Raises:
        EvaluationError: the file is missing, is no image, or has several channels.
    """
    try:
        with Image.open(path) as image:
            if image.mode not in ("1", "L", "P"):
                raise EvaluationError(
                    f"{path} has the colour mode {image.mode}; expected a palette or grey image of object ids."
                )
            return np.asarray(image).astype(np.int64)
    except FileNotFoundError:
        raise EvaluationError(f"{path} does not exist; expected the label map of that frame.") from None
    except (UnidentifiedImageError, OSError) as error:
        raise EvaluationError(f"{path} cannot be read as an image: {error}.".replace("\n", " ")) from None


def _davis_sequence(root: Path, name: str) -> DavisSequence:
    frames, annotations = root / "JPEGImages" / "480p" / name, root / "Annotations" / "480p" / name
    sequence = _paired(name, frames / "*.jpg", annotations / "*.png")
    return DavisSequence(name, str(frames), sequence.annotation_paths)


def _paired(name: str, frame_glob: Path, annotation_glob: Path) -> DavisSequence:
    """The sequence of the images that match the two globs, which must name the same frames."""
    frames = _images(frame_glob.parent, frame_glob.name)
    annotations = _images(annotation_glob.parent, annotation_glob.name)
    unpaired = sorted({path.stem for path in frames} ^ {path.stem for path in annotations})
    if unpaired:
        raise EvaluationError(
            f"{name} has {len(frames)} frames and {len(annotations)} annotations; {unpaired[0]!r} is only one of both. "
            "Expected one annotation a frame, of its name."
        )
    return DavisSequence(name, str(frame_glob), tuple(annotations))


def _images(folder: Path, pattern: str) -> list[Path]:
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder; expected one that holds {pattern}.")
    paths = sorted(folder.glob(pattern))
    if not paths:
        raise EvaluationError(f"{folder} holds no {pattern}; expected at least one.")
    return paths


def _size(size_hw: tuple[int, ...]) -> str:
    return f"{size_hw[1]}x{size_hw[0]}"
