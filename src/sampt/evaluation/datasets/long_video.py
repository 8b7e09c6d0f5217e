"""The Long-Videos dataset of AFB-URR: three videos of thousands of frames, about twenty of each annotated.

``JPEGImages/NAME`` and ``Annotations/NAME``, with a list of the names in ``videos.txt`` where the archive has one. The copies
that XMem distributes (``long_video``, and ``long_video_x3``, three times as long) look the same. Objects are those of the first
annotation.

Source: Liang et al., "Video Object Segmentation with Adaptive Feature Bank and Uncertain-Region Refinement" (NeurIPS 2020), and
xmlyqing00/AFB-URR.
"""

from __future__ import annotations

from pathlib import Path

from sampt.evaluation.datasets.base import LazySequences, VosDataset
from sampt.evaluation.datasets.label_maps import LabelMapSequence
from sampt.evaluation.datasets.layout import choose_split, read_names, subfolders, wrong_folder

__all__ = ["is_long_video", "open_long_video"]

_KNOWN = ("blueboy", "dressage", "rat")


def is_long_video(root: Path) -> bool:
    """Whether the folder holds one of the three videos."""
    return any((root / "JPEGImages" / name).is_dir() and (root / "Annotations" / name).is_dir() for name in _KNOWN)


def open_long_video(root: Path, split: str | None) -> VosDataset:
    """The one split is "val".

    Raises:
        EvaluationError: the folder is another one, or the split is another.
    """
    if not is_long_video(root):
        raise wrong_folder(root, "Long-Video", f"JPEGImages and Annotations with {', '.join(_KNOWN)}")
    split = choose_split(split, ["val"], "val", f"{root} (Long-Video)")
    path = root / "videos.txt"
    names = read_names(path) if path.is_file() else subfolders(root / "Annotations")

    def make(name: str) -> LabelMapSequence:
        return LabelMapSequence(name, root / "JPEGImages" / name, root / "Annotations" / name, has_void=True)

    return VosDataset("long-video", split, "long-video", LazySequences(names, make))
