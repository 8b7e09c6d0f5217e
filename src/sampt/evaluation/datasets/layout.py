"""Folders of datasets: what is in them, which split is meant, and what to say when they are not what was named."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from sampt.errors import EvaluationError, did_you_mean
from sampt.evaluation.json_files import read_json
from sampt.files.listing import visible_entries
from sampt.files.text import read_text

__all__ = [
    "choose_split",
    "choose_split_folder",
    "find_split_folders",
    "folder_names",
    "read_names",
    "read_object",
    "size_text",
    "subfolders",
    "wrong_folder",
]

_MAX_LISTED = 6
_SAME_SPLIT = {"val": "valid", "valid": "val"}
"""Datasets call the same thing by two names."""


def size_text(size_hw: Sequence[int]) -> str:
    """As people write sizes: width x height."""
    return f"{size_hw[1]}x{size_hw[0]}"


def folder_names(folder: Path) -> str:
    """Some of what is in a folder, for messages."""
    names = [path.name for path in visible_entries(folder)]
    if not names:
        return "nothing"
    return ", ".join(names[:_MAX_LISTED]) + (", ..." if len(names) > _MAX_LISTED else "")


def subfolders(folder: Path) -> list[str]:
    """Names of the folders in a folder, sorted; hidden ones and what systems leave are left out.

    Raises:
        EvaluationError: it is no folder, or holds none.
    """
    if not folder.is_dir():
        raise EvaluationError(f"{folder} is not a folder; expected one that holds a folder for each video.")
    names = [path.name for path in visible_entries(folder) if path.is_dir()]
    if not names:
        raise EvaluationError(f"{folder} holds no folder of a video; found {folder_names(folder)}.")
    return names


def wrong_folder(root: Path, title: str, expected: str) -> EvaluationError:
    """The error that ``root`` is not in the layout of the dataset ``title``; :func:`open_dataset` adds what it looks like."""
    found = folder_names(root) if root.is_dir() else ("a file" if root.exists() else "no such folder")
    return EvaluationError(f"{root} is not a {title} folder: expected {expected}; found {found}.")


def choose_split(split: str | None, available: Sequence[str], default: str, what: str) -> str:
    """The split that is meant; None means ``default``, or the only one there is. "val" and "valid" mean the same.

    Raises:
        EvaluationError: it is not available, or None leaves it open.
    """
    text = ", ".join(available)
    if split is None:
        if default in available or len(available) == 1:
            return default if default in available else available[0]
        raise EvaluationError(f"{what} has several splits and not the usual one, {default!r}; name one of: {text}.")
    head, dash, tail = split.partition("-")
    for name in (split, f"{_SAME_SPLIT.get(head, head)}{dash}{tail}"):
        if name in available:
            return name
    raise EvaluationError(f"Unknown split {split!r} of {what}.{did_you_mean(split, available)} Available: {text}.")


def find_split_folders(root: Path, splits: Sequence[str], is_split: Callable[[Path], bool]) -> dict[str, Path]:
    """Split -> its folder: those in ``root``, or ``root`` itself, as the split of its name or, under another name, as any."""
    below = {name: root / name for name in splits if is_split(root / name)}
    if below or not is_split(root):
        return below
    return {root.name: root} if root.name in splits else dict.fromkeys(splits, root)


def choose_split_folder(split: str | None, locations: Mapping[str, Path], default: str, what: str) -> str:
    """:func:`choose_split` among :func:`find_split_folders`.

    Raises:
        EvaluationError: the split is not available, or None leaves it open.
    """
    if split is None and len(locations) > 1 and len(set(locations.values())) == 1:
        raise EvaluationError(f"{what} is one split, and its name does not tell which; name one of: {', '.join(locations)}.")
    return choose_split(split, list(locations), default, what)


def read_object(path: Path, what: str) -> dict[str, Any]:
    """An object of a JSON file.

    Raises:
        EvaluationError: the file is missing, is not JSON, or holds something else.
    """
    values = read_json(path, what)
    if not isinstance(values, dict):
        raise EvaluationError(f"{path} holds a JSON {type(values).__name__}; expected {what}.")
    return values


def read_names(path: Path) -> list[str]:
    """The names of sequences in a list, one a line, in order.

    The lists of DAVIS-2016 have a line for each frame, ``/JPEGImages/480p/NAME/00000.jpg /Annotations/480p/NAME/00000.png``.

    Raises:
        EvaluationError: the file is missing or empty.
    """
    if not path.is_file():
        raise EvaluationError(f"{path} does not exist; expected the list of sequences of a dataset in DAVIS layout.")
    try:
        lines = [line.split()[0] for line in read_text(path).splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise EvaluationError(f"{path} cannot be read as a list ({error}); expected one name of a sequence a line.") from None
    if not lines:
        raise EvaluationError(f"{path} is empty; expected one name of a sequence a line.")
    return list(dict.fromkeys(Path(line).parent.name if "/" in line else line for line in lines))
