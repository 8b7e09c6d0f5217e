"""What an exporter is: it opens a file, is given one frame after another, and closes it. One system for runs and projects.

An :class:`Exporter` describes a kind of file and opens it; what it opens has ``write(frame)`` and ``close(success)``. Built-in
ones stand in :mod:`sampt.exporters.registry`; others join by the entry-point group ``sampt.exporters``.
"""

from __future__ import annotations

import functools
import math
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal, Protocol

import numpy as np

from sampt.errors import OutputError
from sampt.files.palette import pick_display_color
from sampt.types import FrameMasks, UInt8Array
from sampt.video.base import Video

__all__ = [
    "IMAGE_FORMATS",
    "ExportContext",
    "ExportFrame",
    "ExportObject",
    "ExportWriter",
    "Exporter",
    "ImageFormat",
    "MeanScores",
    "color_hex",
    "named_by_id",
    "object_named",
]

_NOT_IN_XML = ("\ufffe", "\uffff")

ImageFormat = Literal["png", "jpg"]
IMAGE_FORMATS: Final[tuple[ImageFormat, ...]] = ("png", "jpg")
"""How frames are written beside a result: exactly, or small."""


@dataclass(frozen=True)
class ExportObject:
    """One object as a person knows it.

    Attributes:
        object_id: from 1.
        name: what it is called; objects with one name are of one class in formats that have classes.
        color_rgb: three numbers from 0 to 255.

    Raises:
        OutputError: the name is empty or holds control characters, the id is below 1, or the color is none.
    """

    object_id: int
    name: str
    color_rgb: tuple[int, int, int]

    def __post_init__(self) -> None:
        if self.object_id < 1:
            raise OutputError(f"Object id {self.object_id} cannot be exported; expected ids from 1 (0 is background).")
        unfit = any(c in _NOT_IN_XML or unicodedata.category(c) in ("Cc", "Cs") for c in self.name)
        if unfit or not self.name.strip():
            raise OutputError(
                f"Object {self.object_id} is named {self.name!r}; expected one line without control characters: rename it."
            )
        if len(self.color_rgb) != 3 or not all(0 <= value <= 255 for value in self.color_rgb):
            raise OutputError(
                f"Object {self.object_id} has the color {self.color_rgb}; expected red, green and blue from 0 to 255."
            )

    @property
    def color_hex(self) -> str:
        """``#rrggbb``."""
        return color_hex(self.color_rgb)


def color_hex(color_rgb: tuple[int, int, int]) -> str:
    """``#rrggbb`` of three numbers from 0 to 255."""
    return "#{:02x}{:02x}{:02x}".format(*color_rgb)


def object_named(object_id: int, name: str | None = None) -> ExportObject:
    """An object in the color that overlays give it, called ``object <id>`` when it has no name."""
    return ExportObject(object_id, name or f"object {object_id}", pick_display_color(object_id))


def named_by_id(objects: Sequence[ExportObject]) -> dict[int, ExportObject]:
    """Objects by id, ascending.

    Raises:
        OutputError: an id occurs twice.
    """
    by_id = {item.object_id: item for item in sorted(objects, key=lambda item: item.object_id)}
    if len(by_id) != len(objects):
        raise OutputError(f"The export was given the objects {[item.object_id for item in objects]}; expected each once.")
    return by_id


@dataclass(frozen=True)
class ExportContext:
    """What is known of a result before its first frame.

    Attributes:
        video: what was segmented, at the masks' size. Of a streamed one ``num_frames`` counts the frames that have come, and is
            right only when the file is closed.
        objects: all that may be in a frame.
        overlapping: masks may overlap.
        num_frames: how many frames will be written when these are the first of the video without a gap; None: not known.
        mean_scores: object id -> mean predicted IoU, or 0 of an object that was never prompted; where that is known, while the
            frames' own scores are not, or not all.
        classes: all names that objects may have, in the order in which formats number them, so that results of several videos
            go together; left out: the names of ``objects``, by id.
        images: the frames are written beside the result, in this format.

    Raises:
        OutputError: an object's name is not among the classes, or a class occurs twice.
    """

    video: Video
    objects: Sequence[ExportObject]
    overlapping: bool = False
    num_frames: int | None = None
    mean_scores: Mapping[int, float] = field(default_factory=dict)
    classes: Sequence[str] = ()
    images: ImageFormat | None = None

    def __post_init__(self) -> None:
        if twice := [name for i, name in enumerate(self.classes) if name in self.classes[:i]]:
            raise OutputError(f"The class {twice[0]!r} is listed twice; expected every class once: remove one.")
        for item in self.objects:
            if self.classes and item.name not in self.classes:
                raise OutputError(
                    f"Object {item.object_id} is named {item.name!r}, which is none of the classes "
                    f"{', '.join(self.classes)}; rename it, or add its name to the classes."
                )

    @property
    def class_names(self) -> tuple[str, ...]:
        """All classes in order; their numbers are positions in it."""
        ordered = sorted(self.objects, key=lambda item: item.object_id)
        return tuple(self.classes) or tuple(dict.fromkeys(item.name for item in ordered))

    @property
    def class_colors(self) -> dict[str, tuple[int, int, int]]:
        """The same, each with the color of its first object; of one without an object the color of that number."""
        ordered = sorted(self.objects, key=lambda item: -item.object_id)
        colors = {item.name: item.color_rgb for item in ordered}
        return {name: colors.get(name) or pick_display_color(number) for number, name in enumerate(self.class_names, 1)}

    def class_numbers(self) -> dict[int, int]:
        """Object id -> number of its class, from 0."""
        numbers = {name: number for number, name in enumerate(self.class_names)}
        return {item.object_id: numbers[item.name] for item in self.objects}

    def image_name(self, frame: ExportFrame) -> str:
        """What the file of a frame is called in a result, whether it is written or not."""
        return f"{frame.name}.{self.images or 'png'}"


class MeanScores:
    """Mean predicted IoU of every object over the frames on which it was prompted; two numbers an object."""

    def __init__(self, context: ExportContext) -> None:
        self._known, self._sums = context.mean_scores, dict[int, tuple[float, int]]()

    def add(self, frame: ExportFrame) -> None:
        """Note the scores of one frame; NaN: not prompted."""
        for object_id, score in zip(frame.result.object_ids.tolist(), frame.result.scores.tolist(), strict=True):
            if not math.isnan(score):
                total, count = self._sums.get(object_id, (0.0, 0))
                self._sums[object_id] = total + score, count + 1

    def mean(self, object_id: int) -> float | None:
        """The mean so far, or what the context says instead; None for an object that was not prompted."""
        if object_id in self._known:
            return self._known[object_id] or None  # 0: it never was
        total, count = self._sums.get(object_id, (0.0, 0))
        return total / count if count else None


class ExportFrame:
    """One frame of a result, with what belongs to it.

    Attributes:
        result: masks, scores and points, ascending by object id.
    """

    def __init__(self, result: FrameMasks, video: Video, image: UInt8Array | None = None) -> None:
        """``image``, (h, w, 3) uint8 RGB, is given where it is at hand already; else it is read when it is requested."""
        self.result, self._video = result, video
        if image is not None:
            self.image = image

    @property
    def frame_idx(self) -> int:
        """Of the video, from 0."""
        return self.result.frame_idx

    @property
    def name(self) -> str:
        """The name that files about this frame carry."""
        return self._video.frame_name(self.frame_idx)

    @property
    def time_s(self) -> float:
        """When it is shown, from the video's first frame."""
        return self._video.time_s(self.frame_idx)

    @property
    def duration_s(self) -> float:
        """How long it is shown."""
        return self._video.duration_s(self.frame_idx)

    @functools.cached_property
    def image(self) -> UInt8Array:
        """(h, w, 3) uint8 RGB."""
        return np.asarray(self._video.read(self.frame_idx, self.frame_idx + 1)[0], np.uint8)


class ExportWriter(Protocol):
    """An export that has been opened."""

    def write(self, frame: ExportFrame) -> None:
        """Add a frame; frames come in ascending order, and some may be missing.

        Raises:
            OutputError: it cannot be written; ``close(success=False)`` follows.
        """
        ...

    def close(self, success: bool) -> None:
        """Complete the file, which has its name only now; or leave nothing, and what had its name before as it was.

        Raises:
            OutputError: the file cannot be completed; nothing is left of it then.
        """
        ...


@dataclass(frozen=True)
class Exporter:
    """A kind of file.

    Attributes:
        title: what it is, in a line for people.
        suffix: how the file's name ends, with the dot.
        open: begins a file: ``open(path, context)``; its folder exists. Often the class of the writer.
        run_name: what it is called in the folder of a run; left out: the exporter's name and ``suffix``. A name without an
            ending is a folder of files, and ``open`` makes that when it is given such a path.
        needs: what nothing can be made without.
        shows_points: points are drawn where they are known.
        images_at: the folder that frames get which are written beside the result, for the programs that read it; left out: it
            cannot be had with frames. With frames a result is a ZIP archive.
        image_stem: what frames are called there, of ``{name}`` and ``{frame_idx}``.
        result_at: what the file is called in that archive; left out: ``open`` makes an archive itself, and adds the frames.
        extras: further files of that archive: name -> what makes its text.
    """

    title: str
    suffix: str
    open: Callable[[Path, ExportContext], ExportWriter]
    run_name: str = ""
    needs: tuple[Literal["masks", "points"], ...] = ("masks",)
    shows_points: bool = False
    images_at: str = ""
    image_stem: str = "{name}"
    result_at: str = ""
    extras: Mapping[str, Callable[[ExportContext], str]] = field(default_factory=dict)

    def suffix_with(self, images: ImageFormat | None) -> str:
        """How the file's name ends when the frames are written beside, or not."""
        return ".zip" if images else self.suffix
