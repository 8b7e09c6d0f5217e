"""Plain folders: frames in ``JPEGImages`` and label maps in ``Annotations``, and flat folders of pairs.

``JPEGImages/NAME`` is a folder of images, or ``JPEGImages/NAME.mp4`` a video whose frames are called 00000, 00001, ...;
``Annotations/NAME`` holds palette or grey PNG images that carry the names of the frames they belong to. Not every frame needs
one. An object is given where it first appears. 255 is void, but in a sequence without other values it is object 1. Lists
``ImageSets/SPLIT.txt`` may name parts of the dataset.
"""

from __future__ import annotations

from pathlib import Path

from sampt.errors import EvaluationError
from sampt.evaluation.datasets.base import LazySequences, VosDataset
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_split, read_names, subfolders, wrong_folder
from sampt.files.listing import visible
from sampt.video.open import VIDEO_SUFFIXES

__all__ = ["find_frames", "is_folder", "open_folder", "training_sequences"]

_ALL = "all"
_PAIRED = {"has_void": True, "may_be_binary": True, "every_frame": True}


def is_folder(root: Path) -> bool:
    """Whether the folder looks like it: videos lie directly in both folders."""
    return all((root / name).is_dir() for name in ("JPEGImages", "Annotations"))


def open_folder(root: Path, split: str | None) -> VosDataset:
    """Splits: "all", and the names of the lists in ``ImageSets``.

    Raises:
        EvaluationError: there are no such two folders, or no such split.
    """
    if not is_folder(root):
        raise wrong_folder(root, "JPEGImages + Annotations", "JPEGImages and Annotations, with a folder for each video")
    lists = {path.stem: path for path in sorted(visible((root / "ImageSets").glob("*.txt")))}
    split = choose_split(split, [_ALL, *lists], _ALL, str(root))
    names = read_names(lists[split]) if split in lists else subfolders(root / "Annotations")

    def make(name: str) -> LabelMapSequence:
        frames, annotations = find_frames(root / "JPEGImages", name), root / "Annotations" / name
        return LabelMapSequence(name, frames, annotations, has_void=True, may_be_binary=True, finds_late=True)

    return VosDataset("folder", split, "plain", LazySequences(names, make))


def find_frames(folder: Path, name: str) -> Path:
    """The folder of frames of a video, or its file if there is no such folder."""
    files = [folder / f"{name}{suffix}" for suffix in VIDEO_SUFFIXES]
    return next((path for path in files if not (folder / name).is_dir() and path.is_file()), folder / name)


def training_sequences(root: Path | str) -> list[LabelMapSequence]:
    """The sequences of a folder of pairs of a frame and its ids: all in one, ``NAME_00000.jpg`` and ``NAME_00000.png``, or
    ``NAME/00000.jpg`` and ``NAME/00000.png``.

    Raises:
        EvaluationError: the folder is missing or holds no such pair, or one half of a pair is missing.
    """
    root = Path(root)
    if not root.is_dir():
        raise EvaluationError(f"{root} is not a folder; expected one that holds NAME_00000.jpg and NAME_00000.png.")
    starts = {path.stem.rpartition("_")[0]: "{}_" for path in visible(root.glob("*_[0-9]*.png"))}
    starts |= {path.parent.name: "{}/" for path in visible(root.glob("*/[0-9]*.png"))}
    if not starts:
        raise EvaluationError(f"{root} holds no NAME_00000.png; expected one for each frame NAME_00000.jpg.")
    sequences = []
    for name, start in sorted(starts.items()):
        frames, masks = (root / f"{start.format(name)}[0-9]*{suffix}" for suffix in (".jpg", ".png"))
        sequences.append(LabelMapSequence(name, frames, masks, **_PAIRED).checked())
    return sequences
