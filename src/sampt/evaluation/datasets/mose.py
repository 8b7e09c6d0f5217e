"""MOSE, as its archives unpack: ``train`` and ``valid`` with ``JPEGImages`` and ``Annotations``, in valid of the first frame.

Source: henghuiding/MOSE-api. Scored as DAVIS-2017; the server takes the folders of videos at the top of the archive: the
repository packs its own submission by ``zip -r`` of ``*`` inside the folder that holds them (``MOSEv2/sam2_rcms/README.md``),
as DAVIS' server wants it (codalab/codalab-competitions, issue 2709).
"""

from __future__ import annotations

from pathlib import Path

from sampt.evaluation.datasets.base import LazySequences, VosDataset
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_split_folder, find_split_folders, subfolders, wrong_folder
from sampt.files.listing import visible

__all__ = ["is_mose", "open_mose"]

_SPLITS = ("valid", "train", "test")


def is_mose(root: Path) -> bool:
    """Whether the folder looks like it."""
    return bool(find_split_folders(root, _SPLITS, _is_split)) and not _is_split(root)


def open_mose(root: Path, split: str | None) -> VosDataset:
    """Splits: "valid", "train". ``root`` may be that of one split, if it has its name.

    Raises:
        EvaluationError: the folder is another one, or has no such split.
    """
    locations = find_split_folders(root, _SPLITS, _is_split)
    if len(set(locations.values())) < len(locations) or not locations:  # any two folders could be a split under another name
        raise wrong_folder(root, "MOSE", "folders train and valid with JPEGImages and Annotations, and no meta.json")
    split = choose_split_folder(split, locations, "valid", f"{root} (MOSE)")
    location = locations[split]

    def make(name: str) -> LabelMapSequence:
        frames, annotations = location / "JPEGImages" / name, location / "Annotations" / name
        return LabelMapSequence(name, frames, annotations, has_void=True, every_frame=split == "train")

    names = subfolders(location / "JPEGImages")
    return VosDataset("mose", split, "mose", LazySequences(names, make), is_server_scored=split != "train")


def _is_split(location: Path) -> bool:
    """Unlike YouTube-VOS and LVOS it needs no file about its objects; unlike DAVIS it has no lists."""
    has_others = (location / "ImageSets").exists() or any(visible(location.glob("*meta.json")))
    return all((location / name).is_dir() for name in ("JPEGImages", "Annotations")) and not has_others
