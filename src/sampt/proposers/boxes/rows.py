"""What files of detections hold."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.errors import BackendError
from sampt.files.limits import check_boxes
from sampt.geometry import SizeHW
from sampt.types import FloatArray, IntArray

__all__ = ["EXPECTED", "BoxRows", "FileBoxes"]

EXPECTED = 'expected COCO .json, MOT .txt, or a folder of YOLO .txt files (docs/proposers.md, "Boxes of another program")'
_NUMBER = re.compile(r"^(.*?)(\d+)$", re.DOTALL)


@dataclass(frozen=True, eq=False)
class FileBoxes:
    """n boxes on the images of a video.

    Attributes:
        path: of the file or folder.
        edges: (n, 4) float64 x and y of the first and last edges, from the frame's corner.
        is_relative: whether these are fractions of the frame's sides, not pixels.
        scores: (n,) float32 in [0, 1].
        labels: of each box, None where the file has no word.
        image: (n,) which image each is on.
        names: of images, without endings.
        numbers: of images, from 0; None where names have no numbers, or the same twice.
        sizes_hw: of images, where the file says.
        lines: (n,) where each is in the file, from 1.
        unit: what ``lines`` counts.
    """

    path: Path
    edges: npt.NDArray[np.float64]
    is_relative: bool
    scores: FloatArray
    labels: tuple[str | None, ...]
    image: IntArray
    names: Mapping[str, int]
    numbers: Mapping[int, int] | None
    sizes_hw: Mapping[int, SizeHW]
    lines: IntArray
    unit: str

    __repr__ = shape_repr

    def find_image(self, name: str | None, frame_idx: int) -> int | None:
        """The image that is a frame of the video; None where the file has nothing of it.

        Args:
            name: of the frame, where it is a file itself.
            frame_idx: its number in the video.

        Raises:
            BackendError: its images cannot be matched to frames.
        """
        if self._goes_by_name(name):
            return self.names.get(name or "")
        if self.numbers is None:
            known = next(iter(self.names))
            raise BackendError(
                f"{self.path} names images such as {known!r}, without the numbers of frames; expected names that end in them, "
                "or those of the video's own images."
            )
        return self.numbers.get(frame_idx)

    def first_number(self, name: str | None) -> int | None:
        """The first frame with a box, by its number; None where frames go by names."""
        if self._goes_by_name(name) or self.numbers is None:
            return None
        there = set(self.image.tolist())
        return min((number for number, image in self.numbers.items() if image in there), default=None)

    def _goes_by_name(self, name: str | None) -> bool:
        """Whether images are called like the frame, but for the number."""
        if name is None or not self.names:
            return False
        return name in self.names or stem_of(name) in {stem_of(known) for known in self.names}

    def where(self, k: int) -> str:
        """Where in the file box ``k`` is."""
        if self.unit != "file":
            return f"{self.path}, {self.unit} {self.lines[k]}"
        name = next(name for name, image in self.names.items() if image == self.image[k])
        return f"{self.path / name}.txt, line {self.lines[k]}"


def stem_of(name: str) -> str:
    """A name without the number that it ends in."""
    found = _NUMBER.match(name)
    return found[1] if found else name


@dataclass
class BoxRows:
    """Boxes as they are read, one after the other.

    Attributes:
        path: of the file or folder.
        unit: what the boxes' lines count: "line", "annotation", or "file" for lines of one file an image.
        is_relative: see :class:`FileBoxes`.
    """

    path: Path
    unit: str = "line"
    is_relative: bool = False
    names: dict[str, int] = field(default_factory=dict)
    sizes_hw: dict[int, SizeHW] = field(default_factory=dict)
    numbers: dict[int, int] = field(default_factory=dict)
    has_numbers: bool = True
    counts_from_0: bool = False
    _edges: list[tuple[float, float, float, float]] = field(default_factory=list)
    _rest: list[tuple[int, float, str | None, int]] = field(default_factory=list)

    def add_image(self, image: int, name: str | None, number: int | None) -> None:
        """An image with boxes, or without.

        Args:
            image: its number here.
            name: its file's, without the ending.
            number: of the frame; None: the one that its name ends in.

        Raises:
            BackendError: there is one of that name.
        """
        if name is not None and self.names.setdefault(name, image) != image:
            raise BackendError(
                f"{self.path} has two images called {name!r}, as files of several videos have; expected detections on one "
                "video."
            )
        check_boxes(max(len(self.names), len(self.numbers)), str(self.path))
        found = _NUMBER.match(name) if name is not None and number is None else None
        if found is not None and len(found[2]) <= 18:
            number = int(found[2])
        if number is None or self.numbers.setdefault(number, image) != image:
            self.has_numbers = False

    def add(self, image: int, edges: tuple[float, float, float, float], score: float, label: str | None, line: int) -> None:
        """A box; those without a pixel's extent are left out.

        Raises:
            ValueError: a number is not finite, or a side is negative.
            LimitError: they are too many.
        """
        if not np.isfinite([*edges, score]).all() or edges[2] < edges[0] or edges[3] < edges[1]:
            raise ValueError("its numbers are not finite, or a side is negative")
        if edges[2] > edges[0] and edges[3] > edges[1]:
            self._edges.append(edges)
            self._rest.append((image, score, label, line))
            check_boxes(len(self._edges), str(self.path))

    def finish(self) -> FileBoxes:
        """All boxes; scores that exceed 0 to 1 are moved there from the lowest to the highest, frames are numbered from 0."""
        image, scores, labels, lines = zip(*self._rest, strict=True) if self._rest else ((), (), (), ())
        given = np.asarray(scores, np.float64)
        if len(given) and (given.min() < 0 or given.max() > 1):
            low, extent = given.min(), given.max() - given.min()
            given = (given - low) / extent if extent else np.ones_like(given)
        first = 0 if self.counts_from_0 or 0 in self.numbers else 1
        return FileBoxes(
            self.path,
            np.asarray(self._edges, np.float64).reshape(-1, 4),
            self.is_relative,
            np.asarray(given, np.float32),
            tuple(labels),
            np.asarray(image, np.int64),
            self.names,
            {number - first: i for number, i in self.numbers.items()} if self.has_numbers else None,
            self.sizes_hw,
            np.asarray(lines, np.int64),
            self.unit,
        )
