"""The training images on the device, and the regions in them that can be drawn.

A folder of training data holds JPEGs and, beside each, one or more index PNGs: every non-zero id is a region. What a region
is decides when it is drawn: ``davis`` (a whole moving object), ``thing`` (one of several objects, or a horse), ``person`` (all
clothing parts together), ``part`` (one of them), ``segment`` (a region that a person outlined in a photo).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from torch import Tensor

from sampt.evaluation.datasets import read_label_map, select_sequences, training_sequences
from sampt.files.listing import visible

KINDS = ("davis", "thing", "person", "part", "segment")

FULL = "davis2016_train_480"
THINGS = "davis2017_challenge_first_frames"
HORSES = "weizmann_horses"
HORSE_WEIGHT = 0.15  # one kind of object, in hundreds of images


@dataclass(frozen=True)
class Regions:
    """r regions, the parallel columns of a table.

    Attributes:
        image: (r,) index of the image.
        labels: (r,) index of the label map.
        table: (r, 256) uint8: 1 for the ids that belong to the region.
        box: (r, 4) float x0, y0, x1, y1 in canvas pixels, edges.
        kind: (r,) index into :data:`KINDS`.
        weight: (r,) how often it is drawn among its kind.
        neighbour: (r,) a label map of a frame nearby that shows the same region, or -1.
        has_others: (r,) whether other ids of its label map are objects beside it.
    """

    image: Tensor
    labels: Tensor
    table: Tensor
    box: Tensor
    kind: Tensor
    weight: Tensor
    neighbour: Tensor
    has_others: Tensor

    def __len__(self) -> int:
        return len(self.image)


@dataclass(frozen=True)
class Store:
    """All images, in the top-left corners of square canvases.

    Attributes:
        images: (m, 3, c, c) uint8 RGB.
        sizes: (m, 2) float height and width of each within its canvas.
        labels: (k, c, c) uint8 ids.
        regions: what can be drawn.
        frames: rows of the regions of clips by clip and index of the frame.
    """

    images: Tensor
    sizes: Tensor
    labels: Tensor
    regions: Regions
    frames: dict[tuple[str, int], int] = field(default_factory=dict)


def parse_sequence(path: Path) -> str:
    """``bear_00012.jpg`` belongs to ``bear``, and so does ``bear/00012.jpg``."""
    if path.stem.isdigit() and path.parent.parent.name == FULL:
        return path.parent.name
    return re.sub(r"_\d+$", "", path.stem)


def is_held_out(path: Path, sequences: Sequence[str]) -> bool:
    """Whether an image belongs to a held-out DAVIS sequence, or is one of the tenth of the other photos that is kept back."""
    if path.parent.name == "davis2016_train" or path.parent.parent.name == FULL:
        return parse_sequence(path) in sequences
    return zlib.crc32(path.stem.encode()) % 10 == 0


class _Row(NamedTuple):
    """A region; see :class:`Regions`."""

    image: int
    labels: int
    ids: tuple[int, ...]
    box: tuple[float, ...]
    kind: int
    weight: float
    neighbour: int
    has_others: bool


class _StoreBuilder:
    """Reads images, label maps and regions one by one, and makes a store of them.

    Args:
        max_images: how many there may be. There is room for all of them from the start: a list, and a copy of it at the end,
            would take up nearly all of a small machine's memory.
        canvas, smallest, largest: as for :func:`load_store`.
    """

    def __init__(self, max_images: int, canvas: int, smallest: float, largest: float) -> None:
        self.canvas = canvas
        self.smallest, self.largest = smallest, largest
        self.images = np.empty((max_images, 3, canvas, canvas), np.uint8)
        self.labels = np.empty((2 * max_images, canvas, canvas), np.uint8)
        self.num_labels = 0
        self.sizes: list[tuple[int, int]] = []
        self.rows: list[_Row] = []
        self.frames: dict[tuple[str, int], int] = {}

    def add_clip(self, paths: Sequence[Path]) -> None:
        """The frames of a sequence of DAVIS, in order. Every sequence counts alike, however long."""
        first = self.num_labels
        for k, path in enumerate(paths):
            image, label = self._add_image(path), self._add_labels(path.with_suffix(".png"))
            row = len(self.rows)
            # A neighbour is one or two stored frames away.
            self._add_region(image, label, (1,), "davis", first + max(k - 1 - k % 2, 0) if k else -1, 1 / len(paths))
            if len(self.rows) > row and path.stem.isdigit():
                self.frames[parse_sequence(path), int(path.stem)] = row

    def add_things(self, paths: Iterable[Path]) -> None:
        """Images of several objects, each id one of them."""
        for path in paths:
            image, label = self._add_image(path), self._add_labels(path.with_suffix(".png"))
            ids = self._list_ids(label)
            for i in ids:
                self._add_region(image, label, (i,), "thing", has_others=len(ids) > 1)

    def add_extra(self, folders: Iterable[tuple[Iterable[Path], float]]) -> None:
        """More images of several objects: those of each folder together weigh so many times what the things so far do."""
        own = sum(row.weight for row in self.rows if row.kind == KINDS.index("thing"))
        for paths, weight in folders:
            first = len(self.rows)
            self.add_things(paths)
            for k in range(first, len(self.rows)):
                self.rows[k] = self.rows[k]._replace(weight=weight * own / (len(self.rows) - first))

    def add_horses(self, paths: Iterable[Path]) -> None:
        for path in paths:
            image = self._add_image(path)
            self._add_region(image, self._add_labels(path.with_suffix(".png")), (1,), "thing", weight=HORSE_WEIGHT)

    def add_persons(self, paths: Iterable[Path]) -> None:
        """Images of one person each: all ids together, and every one of them."""
        for path in paths:
            image, label = self._add_image(path), self._add_labels(path.with_suffix(".png"))
            ids = self._list_ids(label)
            self._add_region(image, label, ids, "person")
            for i in ids:
                self._add_region(image, label, (i,), "part")

    def add_segments(self, paths: Iterable[Path]) -> None:
        """Images with two label maps, a coarse and a fine one."""
        for path in paths:
            image = self._add_image(path)
            for level in (0, 1):
                label = self._add_labels(path.with_name(f"{path.stem}_{level}.png"))
                for i in self._list_ids(label):
                    self._add_region(image, label, (i,), "segment")

    def build(self, device: str) -> Store:
        table = np.zeros((len(self.rows), 256), np.uint8)
        for k, row in enumerate(self.rows):
            table[k, list(row.ids)] = 1
        column = _Row(*zip(*self.rows, strict=True))  # type: ignore[arg-type]
        regions = Regions(
            torch.tensor(column.image, device=device),
            torch.tensor(column.labels, device=device),
            torch.from_numpy(table).to(device),
            torch.tensor(column.box, device=device),
            torch.tensor(column.kind, device=device),
            torch.tensor(column.weight, device=device),
            torch.tensor(column.neighbour, device=device),
            torch.tensor(column.has_others, device=device),
        )
        return Store(
            torch.from_numpy(self.images[: len(self.sizes)]).to(device),
            torch.tensor(self.sizes, dtype=torch.float32, device=device),
            torch.from_numpy(self.labels[: self.num_labels]).to(device),
            regions,
            self.frames,
        )

    def _add_image(self, path: Path) -> int:
        image = self._fit(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB))
        out = self.images[len(self.sizes)]
        out[:] = 0
        out[:, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
        self.sizes.append((image.shape[0], image.shape[1]))
        return len(self.sizes) - 1

    def _fit(self, image: np.ndarray) -> np.ndarray:
        height, width = image.shape[:2]
        longest = max(height, width)
        if longest > self.canvas:
            size_wh = (round(width * self.canvas / longest), round(height * self.canvas / longest))
            image = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)
        return image

    def _add_labels(self, path: Path) -> int:
        """A label map of the image that was added last."""
        height, width = self.sizes[-1]
        ids = cv2.resize(read_label_map(path).astype(np.uint8), (width, height), interpolation=cv2.INTER_NEAREST)
        self.labels[self.num_labels] = 0
        self.labels[self.num_labels, :height, :width] = ids
        self.num_labels += 1
        return self.num_labels - 1

    def _list_ids(self, label: int) -> tuple[int, ...]:
        return tuple(int(i) for i in np.unique(self.labels[label]) if i)

    def _add_region(
        self,
        image: int,
        label: int,
        ids: tuple[int, ...],
        kind: str,
        neighbour: int = -1,
        weight: float = 1.0,
        has_others: bool = False,
    ) -> None:
        mask = np.isin(self.labels[label], ids)
        fraction = mask.sum() / (self.sizes[image][0] * self.sizes[image][1])
        if self.smallest <= fraction <= self.largest:
            ys, xs = np.nonzero(mask)
            box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            box_xyxy = tuple(map(float, box))
            self.rows.append(_Row(image, label, ids, box_xyxy, KINDS.index(kind), weight, neighbour, has_others))


def load_store(
    root: Path,
    keep: Callable[[Path], bool],
    canvas: int,
    smallest: float,
    largest: float,
    device: str,
    extra: Mapping[Path, float] | None = None,
) -> Store:
    """Read the images under ``root`` that ``keep`` is true of.

    Args:
        root: the folder of training data.
        keep: takes the path of an image.
        canvas: side of the squares that images are reduced to fit in, pixels.
        smallest, largest: regions of a smaller or larger fraction of their image are left out.
        device: where the tensors go.
        extra: more folders of images with an index PNG beside each, and their weight beside that of ``root``'s things, 1.

    Raises:
        SystemExit: a folder is missing or empty.
    """
    extra = extra or {}
    builder = _StoreBuilder(sum(_count_images(folder) for folder in (root, *extra)), canvas, smallest, largest)
    clips: dict[str, list[Path]] = {}
    for path in filter(keep, _list_davis_frames(root)):
        clips.setdefault(parse_sequence(path), []).append(path)
    for paths in clips.values():
        builder.add_clip(paths)
    builder.add_things(filter(keep, _list_images(root / THINGS, required=False)))
    builder.add_extra((filter(keep, _list_images(folder)), weight) for folder, weight in extra.items())
    builder.add_horses(filter(keep, _list_images(root / HORSES, required=False)))
    builder.add_persons(filter(keep, _list_images(root / "clothing_co_parsing")))
    builder.add_segments(filter(keep, _list_images(root / "bsds500")))
    return builder.build(device)


def load_training_store(root: Path, settings: Mapping[str, Any], device: str) -> Store:
    """All that the segmenter is trained on.

    Args:
        root: the folder of training data.
        settings: the table ``data`` of the configuration; what it names as held out is left out.
        device: where the tensors go.
    """
    s = settings
    held_out = {*s["held_out"], *s["held_out_things"]}
    extra = {Path(s["extra_folder"]) / name: weight for name, weight in s["extra"].items()}
    return load_store(
        root, lambda path: parse_sequence(path) not in held_out, s["canvas"], s["smallest"], s["largest"], device, extra
    )


def held_out_frames(root: Path, sequences: Sequence[str], every: int = 4) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(sequence, frame RGB, mask) of every ``every``-th stored frame of the held-out sequences that shows the object."""
    for sequence in select_sequences(training_sequences(root / "davis2016_train"), list(sequences)):
        video = sequence.open()
        for i in range(0, video.num_frames, every):
            mask = sequence.label_map(i) > 0
            if mask.sum() >= 30:
                yield sequence.name, video.read(i, i + 1)[0], mask


def _list_davis_frames(root: Path) -> list[Path]:
    """Every frame at 480 pixels where that is at hand, else every second one at 288."""
    paths = sorted(visible((root / FULL).glob("*/*.jpg")))
    return paths or _list_images(root / "davis2016_train")


def _count_images(folder: Path) -> int:
    """All below the folder, linked ones too."""
    return sum(name.endswith(".jpg") for _, _, names in os.walk(folder, followlinks=True) for name in names)


def _list_images(folder: Path, *, required: bool = True) -> list[Path]:
    paths = sorted(visible(folder.glob("*.jpg")))
    if not paths and required:
        raise SystemExit(f"No .jpg in {folder}. Give the folder of training data with --data.")
    return paths
