"""The label list: what objects are called, and the classes that a data set has."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from sampt.errors import QueryError
from sampt.files.limits import parse_json
from sampt.files.text import read_text

__all__ = ["check_labels", "is_label", "parse_classes", "parse_labels"]

_MAX_BYTES = 1 << 20
_FILES = (".json", ".txt")


def parse_labels(text: str) -> dict[int, str]:
    """Object id -> name.

    Args:
        text: ``1=dog,2=cat``; or a file, by its ending: of ``.txt`` with such a pair a line, or of ``.json`` with an object
            such as ``{"1": "dog"}``.

    Raises:
        QueryError: it is something else, an id occurs twice, or the file cannot be read.
    """
    if Path(text).suffix.lower() == ".json":
        return _from_json(text)
    labels: dict[int, str] = {}
    for part in _parts(text):
        number, sign, name = part.partition("=")
        if not sign or not number.strip().isdecimal() or not name.strip():
            raise QueryError(f"{part.strip()!r} is no label; expected ID=NAME, such as 1=dog.")
        if int(number) in labels:
            raise QueryError(
                f"Object {int(number)} has two labels, {labels[int(number)]!r} and {name.strip()!r}; expected one."
            )
        labels[int(number)] = name.strip()
    return labels


def _from_json(path: str) -> dict[int, str]:
    read = _read(path, parse=True)
    if not isinstance(read, dict) or not all(is_label(key, name) for key, name in read.items()):
        raise QueryError(f'{path} is no label list; expected an object of ids and names, such as {{"1": "dog"}}.')
    return {int(key): name.strip() for key, name in read.items()}


def is_label(object_id: object, name: object) -> bool:
    """Whether an entry of a JSON object is the label of an object: its id and its name."""
    return str(object_id).isdecimal() and isinstance(name, str) and bool(name.strip())


def parse_classes(text: str) -> tuple[str, ...]:
    """The classes in the order of their numbers: names separated by commas, or a ``.txt`` file with one a line.

    Raises:
        QueryError: there is none, one occurs twice, or the file cannot be read.
    """
    names = tuple(part.strip() for part in _parts(text))
    if not names:
        raise QueryError("The list of classes is empty; expected names, such as car,pedestrian.")
    if twice := [name for i, name in enumerate(names) if name in names[:i]]:
        raise QueryError(f"The class {twice[0]!r} is listed twice; expected every class once: remove one.")
    return names


def check_labels(labels: Mapping[int, str], object_ids: Iterable[int]) -> None:
    """Refuse labels that do not fit the objects.

    Raises:
        QueryError: a label is of an object that there is not, or an object has none.
    """
    known = sorted(object_ids)
    listed = ", ".join(map(str, known))
    if unknown := sorted(set(labels) - set(known)):
        raise QueryError(
            f"The labels name object {unknown[0]}, which there is not; expected labels of the objects {listed}: remove it."
        )
    if missing := [object_id for object_id in known if object_id not in labels]:
        raise QueryError(
            f"The labels have no name for object {missing[0]}; expected one for each of the objects {listed}: add it."
        )


def _parts(text: str) -> list[str]:
    is_file = Path(text).suffix.lower() in _FILES
    parts = str(_read(text)).splitlines() if is_file else text.split(",")
    return [part for part in parts if part.strip()]


def _read(path: str, *, parse: bool = False) -> object:
    try:
        text = read_text(path, _MAX_BYTES, "a label list")
        return parse_json(text) if parse else text
    except (OSError, ValueError) as error:
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
        raise QueryError(f"The labels cannot be read from {path} ({reason}); expected a text or JSON file.") from error
