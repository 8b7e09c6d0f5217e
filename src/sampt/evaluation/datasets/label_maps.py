"""Sequences whose annotations are images of object ids, one a frame or one now and then: what most datasets have in common."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Self

import numpy as np
from PIL import Image

from sampt.errors import EvaluationError, QueryError
from sampt.evaluation.datasets.base import VosSequence
from sampt.evaluation.datasets.layout import folder_names, size_text
from sampt.files.images import BROKEN_IMAGE, broken_reason
from sampt.points.mask_images import VOID, MaskImage, read_mask_image
from sampt.types import BoolArray, IntArray
from sampt.video import Video, open_video
from sampt.video.frame_names import image_paths, natural_order
from sampt.video.images import ImageVideo

__all__ = ["VOID", "LabelMapSequence", "image_size_hw", "read_label_image", "read_label_map"]


def read_label_map(path: Path) -> IntArray:
    """(h, w) int64: the values of :func:`read_label_image`. What 255 stands for depends on the dataset.

    Raises:
        EvaluationError: as :func:`read_label_image`.
    """
    return read_label_image(path).values


def read_label_image(path: Path) -> MaskImage:
    """What an image says by the rules of :mod:`sampt.points.mask_images`. Colours are those of the DAVIS palette, so that ids
    agree between frames.

    Raises:
        EvaluationError: the file is missing, is no image, or is a photograph.
    """
    try:
        return read_mask_image(path, name=str(path), has_other_colors=False)
    except QueryError as error:
        raise EvaluationError(str(error)) from None


def image_size_hw(path: Path) -> tuple[int, int]:
    """The size of an image, from its header alone.

    Raises:
        EvaluationError: the file is missing or is no image.
    """
    try:
        with Image.open(path) as image:
            return image.height, image.width
    except BROKEN_IMAGE as error:
        raise EvaluationError(f"{path} cannot be read as an image: {broken_reason(error)}.") from None


class LabelMapSequence(VosSequence):
    """Frames as images, or one video file, and label maps that carry the names of the frames they belong to.

    Objects are those on the first annotation, unless ``finds_late``.

    Args:
        name: of the sequence.
        frames: a folder of images, a pattern such as ``FOLDER/NAME_*.jpg``, or a video file.
        annotations: a folder of PNG images, or a pattern; None where none are public, so that nothing is known of objects.
        has_void: 255 is void.
        may_be_binary: annotations without other values than 0 and 255 are masks, and 255 is object 1, as in DAVIS-2016.
        is_merged: all objects of an annotation are one, with the id 1.
        finds_late: objects on later annotations than the first count, too, each given where it first appears; all annotations
            are read to find them.
        every_frame: a frame without an annotation is a mistake.
    """

    def __init__(
        self,
        name: str,
        frames: Path,
        annotations: Path | None,
        *,
        has_void: bool = False,
        may_be_binary: bool = False,
        is_merged: bool = False,
        finds_late: bool = False,
        every_frame: bool = False,
    ) -> None:
        super().__init__(name)
        self.frames, self.annotations = frames, annotations
        self.has_void, self.may_be_binary, self.is_merged = has_void, may_be_binary, is_merged
        self.finds_late, self.every_frame = finds_late, every_frame

    @cached_property
    def frame_names(self) -> tuple[str, ...]:
        if self._is_video_file:
            video = open_video(self.frames)
            return tuple(video.frame_name(i) for i in range(video.num_frames))
        return tuple(path.stem for path in self._frame_paths)

    @cached_property
    def first_frame(self) -> Mapping[int, int]:
        found: dict[int, int] = {}
        for frame_idx, values in self._values_by_frame.items():
            for object_id in np.unique(self._collect_ids(np.array(values))).tolist():
                found.setdefault(object_id, frame_idx)
        found.pop(0, None)
        return dict(sorted(found.items()))

    @property
    def annotated_frames(self) -> tuple[int, ...]:
        return tuple(self._annotation_by_frame)

    @property
    def annotation_paths(self) -> tuple[Path, ...]:
        """One image for each of ``annotated_frames``."""
        return tuple(self._annotation_by_frame.values())

    def checked(self) -> Self:
        """Itself, after a look whether frames and annotations are there and have names that fit.

        Raises:
            EvaluationError: they are not, or have not.
        """
        _ = self._annotation_by_frame
        return self

    @cached_property
    def size_hw(self) -> tuple[int, int]:
        if self.annotations is None:
            return open_video(self.frames).size_hw if self._is_video_file else image_size_hw(self._frame_paths[0])
        return image_size_hw(self.annotation_paths[0])

    @cached_property
    def is_binary(self) -> bool:
        """255 is object 1: no annotation (with ``finds_late``), or not the first one, holds a value but 0 and 255."""
        return self.may_be_binary and all(set(values) <= {0, VOID} for values in self._values_by_frame.values())

    def label_map(self, frame_idx: int) -> IntArray:
        return self._collect_ids(self._read(frame_idx))

    def void_mask(self, frame_idx: int) -> BoolArray | None:
        if not self.has_void or self.is_binary:
            return None
        void = self._read(frame_idx) == VOID
        return void if void.any() else None

    def open(self) -> Video:
        video = open_video(self.frames) if self._is_video_file else ImageVideo(self._frame_paths, str(self.frames))
        if self.annotations is not None and video.size_hw != self.size_hw:
            raise EvaluationError(
                f"{self.name} has {video.num_frames} frames of {size_text(video.size_hw)} but {len(self.annotation_paths)} "
                f"annotations of {size_text(self.size_hw)}; expected both of one size."
            )
        return video

    @cached_property
    def _values_by_frame(self) -> dict[int, list[int]]:
        """What values the annotations hold that tell of objects: all of them with ``finds_late``, else the first one."""
        frames = self.annotated_frames if self.finds_late else self.annotated_frames[:1]
        return {i: np.flatnonzero(np.bincount(self._read(i).ravel())).tolist() for i in frames}

    def _collect_ids(self, values: IntArray) -> IntArray:
        """The object ids that values in a file stand for."""
        ids = np.where(values == VOID, int(self.is_binary), values) if self.has_void else values
        return (ids > 0).astype(np.int64) if self.is_merged else ids

    def _read(self, frame_idx: int) -> IntArray:
        """The values in the file."""
        labels = self._decode(self.annotation_path(frame_idx))
        if labels.shape != self.size_hw:
            raise EvaluationError(
                f"{self.annotation_path(frame_idx)} is {size_text(labels.shape)}; expected {size_text(self.size_hw)} as the "
                f"first annotation of {self.name}."
            )
        return labels

    def _decode(self, path: Path) -> IntArray:
        return read_label_map(path)

    def annotation_path(self, frame_idx: int) -> Path:
        """The file of an annotated frame.

        Raises:
            EvaluationError: the frame has none.
        """
        if frame_idx not in self._annotation_by_frame:
            raise EvaluationError(f"Frame {frame_idx} of {self.name} has no annotation; see annotated_frames.")
        return self._annotation_by_frame[frame_idx]

    @property
    def _is_video_file(self) -> bool:
        return self.frames.is_file()

    @cached_property
    def _frame_paths(self) -> list[Path]:
        return _images(self.frames, "images of frames")

    @cached_property
    def _annotation_by_frame(self) -> dict[int, Path]:
        if self.annotations is None:
            return {}
        paths = _images(self.annotations, "annotations (*.png)", ".png")
        index = {name: i for i, name in enumerate(self.frame_names)}
        found = {index[path.stem]: path for path in paths if path.stem in index}
        unpaired = {path.stem for path in paths} - set(index)
        if self.every_frame:
            unpaired |= set(index) - {path.stem for path in paths}
        if unpaired:
            wanted = "one annotation a frame, of its name" if self.every_frame else "annotations named as frames"
            raise EvaluationError(
                f"{self.name} has {len(index)} frames and {len(paths)} annotations; {min(unpaired)!r} is only one of both. "
                f"Expected {wanted}."
            )
        return dict(sorted(found.items()))


def _images(location: Path, what: str, suffix: str | None = None) -> list[Path]:
    """The images of a folder, or those that match a pattern, in natural order."""
    folder = location.parent if "*" in location.name else location
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder; expected one that holds {what}.")
    paths = image_paths(folder.glob(location.name) if "*" in location.name else folder.iterdir())
    paths = [path for path in paths if suffix is None or path.suffix.lower() == suffix]
    if not paths:
        held = folder_names(folder)
        raise EvaluationError(f"{folder} holds no {what}; found {held}.")
    return natural_order(paths)
