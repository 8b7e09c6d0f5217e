"""Datasets by name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from sampt.errors import EvaluationError, did_you_mean
from sampt.evaluation.datasets.base import InstanceDataset, VosDataset
from sampt.evaluation.datasets.bdd100k import is_bdd100k, open_bdd100k
from sampt.evaluation.datasets.davis import (
    is_davis_2016,
    is_davis_2017,
    is_davis_2017_unsupervised,
    open_davis_2016,
    open_davis_2016_unsupervised,
    open_davis_2017,
    open_davis_2017_unsupervised,
)
from sampt.evaluation.datasets.folder import is_folder, open_folder
from sampt.evaluation.datasets.long_video import is_long_video, open_long_video
from sampt.evaluation.datasets.lvos import is_lvos, open_lvos
from sampt.evaluation.datasets.mose import is_mose, open_mose
from sampt.evaluation.datasets.youtube_vis import is_ovis, is_uvo, is_youtube_vis, open_ovis, open_uvo, open_youtube_vis
from sampt.evaluation.datasets.youtube_vos import is_youtube_vos, open_youtube_vos
from sampt.files.listing import visible_entries

__all__ = ["DATASETS", "open_dataset"]


@dataclass(frozen=True)
class _Format:
    """How a dataset is opened, what its folders look like, and how messages call what looks like it."""

    open: Callable[[Path, str | None], VosDataset | InstanceDataset]
    resembles: Callable[[Path], bool]
    title: str


# In the order in which a folder is compared with them: the ones with the surest signs first.
_FORMATS = {
    "davis-2017": _Format(open_davis_2017, is_davis_2017, "DAVIS"),
    "davis-2016": _Format(open_davis_2016, is_davis_2016, "DAVIS-2016"),
    "davis-2017-unsupervised": _Format(open_davis_2017_unsupervised, is_davis_2017_unsupervised, "DAVIS-2017 unsupervised"),
    "davis-2016-unsupervised": _Format(open_davis_2016_unsupervised, is_davis_2016, "DAVIS-2016"),
    "lvos": _Format(open_lvos, is_lvos, "LVOS"),
    "youtube-vos-2019": _Format(partial(open_youtube_vos, year=2019), is_youtube_vos, "YouTube-VOS"),
    "youtube-vos-2018": _Format(partial(open_youtube_vos, year=2018), is_youtube_vos, "YouTube-VOS"),
    "uvo": _Format(open_uvo, is_uvo, "UVO"),
    "ovis": _Format(open_ovis, is_ovis, "OVIS"),
    "youtube-vis-2021": _Format(partial(open_youtube_vis, year=2021), is_youtube_vis, "YouTube-VIS"),
    "youtube-vis-2019": _Format(partial(open_youtube_vis, year=2019), is_youtube_vis, "YouTube-VIS"),
    "long-video": _Format(open_long_video, is_long_video, "Long-Video"),
    "mose": _Format(open_mose, is_mose, "MOSE"),
    "bdd100k": _Format(open_bdd100k, is_bdd100k, "BDD100K"),
    "folder": _Format(open_folder, is_folder, "a plain folder"),
}

DATASETS: tuple[str, ...] = tuple(sorted(_FORMATS))
"""The names that :func:`open_dataset` knows."""


def open_dataset(name: str, root: Path | str, split: str | None = None) -> VosDataset | InstanceDataset:
    """A dataset as it lies on disk after the official download; nothing but its lists is read before it is requested.

    Args:
        name: one of ``DATASETS``.
        root: the folder that was unpacked. The module of each format tells what has to be in it.
        split: of the dataset, as its folders call it ("val" and "valid" mean the same); None for the usual one, "val".

    Raises:
        EvaluationError: there is no dataset of this name, the folder is not one, or it has no such split.
    """
    if name not in _FORMATS:
        raise EvaluationError(f"Unknown dataset {name!r}.{did_you_mean(name, DATASETS)} Available: {', '.join(DATASETS)}.")
    root = Path(root).expanduser()
    try:
        return _FORMATS[name].open(root, split)
    except EvaluationError as error:
        if " folder: expected " not in str(error):
            raise
        raise EvaluationError(f"{error}{_hint(name, root)}") from None


def _hint(name: str, root: Path) -> str:
    """What the folder is instead, or which folder in it is meant."""
    if not root.is_dir():
        return ""
    for other, kind in _FORMATS.items():
        if kind.resembles(root):
            return f" It looks like {kind.title}: use --dataset {other}."
    for below in (path for path in visible_entries(root) if path.is_dir()):
        if _FORMATS[name].resembles(below):
            return f" Did you mean {below}?"
    return ""
