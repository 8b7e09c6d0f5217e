"""The training pictures on the device, and the regions in them that can be asked for.

A folder of training data holds JPEGs and, beside each, one or more index PNGs: every non-zero id is a region. What a region
is decides when it is drawn: ``davis`` (a whole moving object), ``thing`` (one of several objects, or a horse), ``person`` (all
clothing parts together), ``part`` (one of them), ``segment`` (a region that a person outlined in a photo).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

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
HORSE_WEIGHT = 0.15  # one kind of object, in hundreds of pictures


@dataclass(frozen=True)
class Regions:
    """r regions, the parallel columns of a table.

    Attributes:
        picture: (r,) index of the picture.
        labels: (r,) index of the label map.
        table: (r, 256) uint8: 1 for the ids that belong to the region.
        box: (r, 4) float x0, y0, x1, y1 in canvas pixels, edges.
        kind: (r,) index into :data:`KINDS`.
        weight: (r,) how often it is drawn among its kind.
        neighbour: (r,) a label map of a frame nearby that shows the same region, or -1.
        has_others: (r,) whether other ids of its label map are objects beside it.
    """

    picture: Tensor
    labels: Tensor
    table: Tensor
    box: Tensor
    kind: Tensor
    weight: Tensor
    neighbour: Tensor
    has_others: Tensor

    def __len__(self) -> int:
        return len(self.picture)


@dataclass(frozen=True)
class Store:
    """All pictures, in the top-left corners of square canvases.

    Attributes:
        pictures: (m, 3, c, c) uint8 RGB.
        sizes: (m, 2) float height and width of each within its canvas.
        labels: (k, c, c) uint8 ids.
        regions: what can be asked for.
        frames: rows of the regions of clips by clip and index of the frame.
    """

    pictures: Tensor
    sizes: Tensor
    labels: Tensor
    regions: Regions
    frames: dict[tuple[str, int], int] = field(default_factory=dict)


def sequence_of(path: Path) -> str:
    """``bear_00012.jpg`` belongs to ``bear``, and so does ``bear/00012.jpg``."""
    if path.stem.isdigit() and path.parent.parent.name == FULL:
        return path.parent.name
    return re.sub(r"_\d+$", "", path.stem)


def is_held_out(path: Path, sequences: Sequence[str]) -> bool:
    """Whether a picture belongs to a held-out DAVIS sequence, or is one of the tenth of the other photos that is kept back."""
    if path.parent.name == "davis2016_train" or path.parent.parent.name == FULL:
        return sequence_of(path) in sequences
    return zlib.crc32(path.stem.encode()) % 10 == 0


def load_store(
    root: Path,
    keep: Callable[[Path], bool],
    canvas: int,
    smallest: float,
    largest: float,
    device: str,
    extra: Mapping[Path, float] | None = None,
) -> Store:
    """Read the pictures under ``root`` that ``keep`` says yes to.

    Args:
        root: the folder of training data.
        keep: asked for the path of every picture.
        canvas: side of the squares that pictures are reduced to fit in, pixels.
        smallest, largest: regions of a smaller or larger share of their picture are left out.
        device: where the tensors go.
        extra: more folders of pictures with an index PNG beside each, and their weight beside that of ``root``'s things, 1.

    Raises:
        SystemExit: a folder is missing or empty.
    """
    # Room for all there may be: a list, and a copy of it at the end, would be most of a small machine's memory.
    room = sum(_count_pictures(folder) for folder in (root, *(extra or {})))
    pictures = np.empty((room, 3, canvas, canvas), np.uint8)
    labels = np.empty((2 * room, canvas, canvas), np.uint8)
    sizes: list[tuple[int, int]] = []
    num_labels = 0
    rows: list[tuple[int, int, tuple[int, ...], tuple[float, ...], int, float, int, bool]] = []

    def fit(image: np.ndarray, interpolation: int) -> np.ndarray:
        height, width = image.shape[:2]
        if max(height, width) > canvas:
            shape = (round(width * canvas / max(height, width)), round(height * canvas / max(height, width)))
            image = cv2.resize(image, shape, interpolation=interpolation)
        return image

    def add_picture(path: Path) -> int:
        image = fit(cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), cv2.INTER_AREA)
        out = pictures[len(sizes)]
        out[:] = 0
        out[:, : image.shape[0], : image.shape[1]] = image.transpose(2, 0, 1)
        sizes.append(image.shape[:2])
        return len(sizes) - 1

    def add_labels(path: Path, size: tuple[int, int]) -> int:
        nonlocal num_labels
        ids = cv2.resize(read_label_map(path).astype(np.uint8), size[::-1], interpolation=cv2.INTER_NEAREST)
        labels[num_labels] = 0
        labels[num_labels, : size[0], : size[1]] = ids
        num_labels += 1
        return num_labels - 1

    def add_region(
        picture: int,
        label: int,
        ids: tuple[int, ...],
        kind: str,
        neighbour: int = -1,
        weight: float = 1.0,
        others: bool = False,
    ) -> None:
        mask = np.isin(labels[label], ids)
        share = mask.sum() / (sizes[picture][0] * sizes[picture][1])
        if smallest <= share <= largest:
            ys, xs = np.nonzero(mask)
            box = (xs.min(), ys.min(), xs.max() + 1, ys.max() + 1)
            rows.append((picture, label, ids, tuple(map(float, box)), KINDS.index(kind), weight, neighbour, others))

    frames: dict[tuple[str, int], int] = {}
    davis: dict[str, list[Path]] = {}
    for path in _davis_frames(root):
        if keep(path):
            davis.setdefault(sequence_of(path), []).append(path)
    for paths in davis.values():
        first = num_labels
        for k, path in enumerate(paths):
            index = add_picture(path)
            add_labels(path.with_suffix(".png"), sizes[index])
            last = num_labels - 1
            # Every sequence counts alike, however long; a neighbour is one or two stored frames away.
            before = len(rows)
            add_region(index, last, (1,), "davis", first + max(k - 1 - k % 2, 0) if k else -1, 1 / len(paths))
            if len(rows) > before and path.stem.isdigit():
                frames[sequence_of(path), int(path.stem)] = before
    for path in filter(keep, _pictures(root / THINGS, required=False)):
        index = add_picture(path)
        label = add_labels(path.with_suffix(".png"), sizes[index])
        ids = tuple(int(i) for i in np.unique(labels[label]) if i)
        for i in ids:
            add_region(index, label, (i,), "thing", others=len(ids) > 1)
    own = sum(row[5] for row in rows if row[4] == KINDS.index("thing"))
    for folder, weight in (extra or {}).items():
        first_row = len(rows)
        for path in filter(keep, _pictures(folder)):
            index = add_picture(path)
            label = add_labels(path.with_suffix(".png"), sizes[index])
            ids = tuple(int(i) for i in np.unique(labels[label]) if i)
            for i in ids:
                add_region(index, label, (i,), "thing", others=len(ids) > 1)
        for k in range(first_row, len(rows)):  # every folder has its share, however many regions it has
            rows[k] = (*rows[k][:5], weight * own / (len(rows) - first_row), *rows[k][6:])
    horses = list(filter(keep, _pictures(root / HORSES, required=False)))
    for path in horses:
        index = add_picture(path)
        add_region(index, add_labels(path.with_suffix(".png"), sizes[index]), (1,), "thing", weight=HORSE_WEIGHT)
    for path in filter(keep, _pictures(root / "clothing_co_parsing")):
        index = add_picture(path)
        label = add_labels(path.with_suffix(".png"), sizes[index])
        ids = tuple(int(i) for i in np.unique(labels[label]) if i)
        add_region(index, label, ids, "person")
        for i in ids:
            add_region(index, label, (i,), "part")
    for path in filter(keep, _pictures(root / "bsds500")):
        index = add_picture(path)
        for level in (0, 1):
            label = add_labels(path.with_name(f"{path.stem}_{level}.png"), sizes[index])
            for i in np.unique(labels[label]):
                if i:
                    add_region(index, label, (int(i),), "segment")

    table = np.zeros((len(rows), 256), np.uint8)
    for k, row in enumerate(rows):
        table[k, list(row[2])] = 1
    column = list(zip(*rows, strict=True))
    regions = Regions(
        torch.tensor(column[0], device=device),
        torch.tensor(column[1], device=device),
        torch.from_numpy(table).to(device),
        torch.tensor(column[3], device=device),
        torch.tensor(column[4], device=device),
        torch.tensor(column[5], device=device),
        torch.tensor(column[6], device=device),
        torch.tensor(column[7], device=device),
    )
    return Store(
        torch.from_numpy(pictures[: len(sizes)]).to(device),
        torch.tensor(sizes, dtype=torch.float32, device=device),
        torch.from_numpy(labels[:num_labels]).to(device),
        regions,
        frames,
    )


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
        root, lambda path: sequence_of(path) not in held_out, s["canvas"], s["smallest"], s["largest"], device, extra
    )


def held_out_frames(root: Path, sequences: Sequence[str], every: int = 4) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(sequence, frame RGB, mask) of every ``every``-th stored frame of the held-out sequences that shows the object."""
    for sequence in select_sequences(training_sequences(root / "davis2016_train"), list(sequences)):
        video = sequence.open()
        for i in range(0, video.num_frames, every):
            mask = sequence.label_map(i) > 0
            if mask.sum() >= 30:
                yield sequence.name, video.read(i, i + 1)[0], mask


def _davis_frames(root: Path) -> list[Path]:
    """Every frame at 480 pixels where that is at hand, else every second one at 288."""
    paths = sorted(visible((root / FULL).glob("*/*.jpg")))
    return paths or _pictures(root / "davis2016_train")


def _count_pictures(folder: Path) -> int:
    """All below the folder, linked ones too."""
    return sum(name.endswith(".jpg") for _, _, names in os.walk(folder, followlinks=True) for name in names)


def _pictures(folder: Path, *, required: bool = True) -> list[Path]:
    paths = sorted(visible(folder.glob("*.jpg")))
    if not paths and required:
        raise SystemExit(f"No .jpg in {folder}. Give the folder of training data with --data.")
    return paths
