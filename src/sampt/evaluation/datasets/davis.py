"""DAVIS 2016 and 2017, as the archives of davischallenge.org unpack.

DAVIS-2016 has ``ImageSets/480p`` and ``ImageSets/1080p`` with grey annotations (0 and 255), DAVIS-2017 ``ImageSets/2017`` with
palettes of ids and, where full resolution was downloaded, folders ``Full-Resolution`` beside ``480p``. The archive of 2017 has
lists ``ImageSets/2016``, too: all objects of a sequence are then one. Annotations of test-dev and test-challenge are those of
the first frame.

Unsupervised, DAVIS-2016 has the same annotations, DAVIS-2017 its own in ``Annotations_unsupervised``: what attracts attention
was annotated anew, objects with what they carry (Caelles et al., arXiv 1905.00737). Its test-dev and test-challenge are other
videos, listed in ``ImageSets/2019``, without any annotation.
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from pathlib import Path

from sampt.evaluation.datasets.base import LazySequences, VosDataset
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_split, read_names, wrong_folder
from sampt.files.listing import visible

__all__ = [
    "davis_sequences",
    "is_davis_2016",
    "is_davis_2017",
    "is_davis_2017_unsupervised",
    "open_davis_2016",
    "open_davis_2016_unsupervised",
    "open_davis_2017",
    "open_davis_2017_unsupervised",
]

_FULL = "-full"
_SERVER_SCORED = ("test-dev", "test-challenge")
_FOUND_2016, _FOUND_2017 = "davis-2016-unsupervised", "davis-2017-unsupervised"


def is_davis_2017(root: Path) -> bool:
    """Whether the folder looks like it."""
    return (root / "ImageSets" / "2017").is_dir()


def is_davis_2016(root: Path) -> bool:
    """Whether the folder looks like it."""
    return any((root / "ImageSets" / name).is_dir() for name in ("480p", "1080p", "2016"))


def is_davis_2017_unsupervised(root: Path) -> bool:
    """Whether the folder looks like it."""
    return (root / "Annotations_unsupervised").is_dir() or (root / "ImageSets" / "2019").is_dir()


def open_davis_2016(root: Path, split: str | None) -> VosDataset:
    """Each sequence has one object, 1. Splits: those of the folder ("val", "train", "trainval"), each also with "-full".

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    locations = [("480p", "480p"), ("1080p", "1080p"), ("2016", "480p"), ("2016", "Full-Resolution")]
    return _open(root, split, 2016, locations)


def open_davis_2017(root: Path, split: str | None) -> VosDataset:
    """Splits: those of the folder ("val", "train", "test-dev", ...), each also with "-full" for full resolution.

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    return _open(root, split, 2017, [("2017", "480p"), ("2017", "Full-Resolution")])


def open_davis_2016_unsupervised(root: Path, split: str | None) -> VosDataset:
    """:func:`open_davis_2016`, whose object has to be found.

    Raises:
        EvaluationError: as there.
    """
    dataset = open_davis_2016(root, split)
    return replace(dataset, name=_FOUND_2016, protocol=_FOUND_2016, finds_objects=True)


def open_davis_2017_unsupervised(root: Path, split: str | None) -> VosDataset:
    """Splits: those of the folder ("val", "train", and of 2019 "test-dev", ...), each also with "-full" for full resolution.

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    lists: dict[str, tuple[Path, str]] = {}
    for year, resolution in product(("2019", "2017"), ("480p", "Full-Resolution")):
        for path in sorted(visible((root / "ImageSets" / year).glob("*.txt"))):
            needs_annotations = path.stem not in _SERVER_SCORED
            is_there = (root / "Annotations_unsupervised" / resolution).is_dir() or not needs_annotations
            if (year == "2017") == needs_annotations and is_there and (root / "JPEGImages" / resolution).is_dir():
                lists[path.stem + ("" if resolution == "480p" else _FULL)] = path, resolution
    if not lists:
        expected = "ImageSets/2017, JPEGImages/480p and Annotations_unsupervised/480p"
        raise wrong_folder(root, "DAVIS-2017 unsupervised", expected)
    split = choose_split(split, list(lists), "val", f"{root} (DAVIS-2017 unsupervised)")
    path, resolution = lists[split]
    is_unknown = path.stem in _SERVER_SCORED

    def make(name: str) -> LabelMapSequence:
        frames = root / "JPEGImages" / resolution / name
        annotations = None if is_unknown else root / "Annotations_unsupervised" / resolution / name
        return LabelMapSequence(name, frames, annotations, has_void=True, every_frame=True)

    sequences = LazySequences(read_names(path), make)
    return VosDataset(_FOUND_2017, split, _FOUND_2017, sequences, is_server_scored=is_unknown, finds_objects=True)


def davis_sequences(root: Path | str, image_set: str = "480p/dev") -> list[LabelMapSequence]:
    """The 480p sequences of one list of a folder in DAVIS layout, every frame of which must be annotated.

    Args:
        root: folder that holds ``ImageSets``, ``JPEGImages`` and ``Annotations``.
        image_set: which list of ``ImageSets`` names the sequences; DAVIS-2017 has ``2017/val``.

    Raises:
        EvaluationError: a folder, the list, or a frame or annotation of a listed sequence is missing.
    """
    root = Path(root)
    names = read_names(root / "ImageSets" / f"{image_set}.txt")
    sequences = [_sequence(root, name, "480p", is_merged=False, every_frame=True) for name in names]
    return [sequence.checked() for sequence in sequences]


def _sequence(root: Path, name: str, resolution: str, *, is_merged: bool, every_frame: bool) -> LabelMapSequence:
    frames, annotations = root / "JPEGImages" / resolution / name, root / "Annotations" / resolution / name
    return LabelMapSequence(
        name, frames, annotations, has_void=True, may_be_binary=True, is_merged=is_merged, every_frame=every_frame
    )


def _open(root: Path, split: str | None, year: int, locations: list[tuple[str, str]]) -> VosDataset:
    """``locations``: where lists and images may lie, as folders of ``ImageSets`` and of ``JPEGImages``."""
    lists: dict[str, tuple[Path, str]] = {}
    for folder, resolution in locations:
        if (root / "JPEGImages" / resolution).is_dir() and (root / "Annotations" / resolution).is_dir():
            for path in sorted(visible((root / "ImageSets" / folder).glob("*.txt"))):
                lists.setdefault(path.stem + ("" if resolution == "480p" else _FULL), (path, resolution))
    if not lists:
        sets = " or ".join(f"ImageSets/{folder}" for folder in dict.fromkeys(folder for folder, _ in locations))
        raise wrong_folder(root, f"DAVIS-{year}", f"{sets}, JPEGImages/480p and Annotations/480p")
    split = choose_split(split, list(lists), "val", f"{root} (DAVIS-{year})")
    path, resolution = lists[split]
    is_given_only = split.removesuffix(_FULL) in _SERVER_SCORED

    def make(name: str) -> LabelMapSequence:
        return _sequence(root, name, resolution, is_merged=year == 2016, every_frame=not is_given_only)

    return VosDataset(
        f"davis-{year}", split, f"davis-{year}", LazySequences(read_names(path), make), is_server_scored=is_given_only
    )
