"""Detections as YOLO writes them: a text file an image, a line "class x y width height [confidence [id]]" a box.

Its centre and its size are fractions of the frame's sides (https://docs.ultralytics.com/datasets/detect). A line of a polygon,
"class x y x y x y ... [confidence]", counts as the box around it. Names of classes are in ``classes.txt`` or ``data.yaml``, in
the folder or in one of the two above it.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from sampt.errors import BackendError, LimitError
from sampt.files.limits import MAX_BOX_BYTES, MAX_QUERY_BYTES
from sampt.files.text import read_text
from sampt.proposers.boxes.rows import EXPECTED, BoxRows, FileBoxes

__all__ = ["read_yolo"]

_NOT_LABELS = {"classes.txt", "labels.txt", "readme.txt"}
_ENTRY = re.compile(r"""^\s+(?:(\d+)\s*:|-)\s*(.+?)\s*$""")


def read_yolo(folder: Path) -> FileBoxes:
    """The boxes of a folder of text files.

    Raises:
        BackendError: it has no text file, or a line of one is no box.
        LimitError: it holds too much.
    """
    try:
        files = sorted(f for f in folder.iterdir() if f.suffix.lower() == ".txt" and f.name.lower() not in _NOT_LABELS)
    except OSError as error:
        raise BackendError(f"{folder} cannot be read as detections ({error.strerror}); {EXPECTED}.") from error
    if not files:
        raise BackendError(f"{folder} has no .txt file with the boxes of a frame; {EXPECTED}.")
    rows, names, room = BoxRows(folder, unit="file", is_relative=True), _read_names(folder), MAX_BOX_BYTES
    for image, file in enumerate(files):
        rows.add_image(image, file.stem, None)
        try:
            text = read_text(file, room, "detections")
        except (OSError, ValueError) as error:
            raise BackendError(f"{file} cannot be read as detections ({error}); {EXPECTED}.") from error
        room -= len(text)
        for number, line in enumerate(text.splitlines(), 1):
            if line.strip():
                _add_line(rows, image, line, f"{file}, line {number}", number, names)
    return rows.finish()


def _add_line(rows: BoxRows, image: int, text: str, where: str, line: int, names: dict[int, str]) -> None:
    try:
        values = [float(part) for part in text.split()]
        if len(values) < 5 or not values[0].is_integer() or values[0] < 0:
            raise ValueError(f"it has {len(values)} numbers, the first one {text.split()[0]!r}")
        edges, score = _read_line(values)
        if max(edges) > 2 or min(edges) < -1:
            raise ValueError("its numbers are no fractions of the frame's sides")
        rows.add(image, edges, score, names.get(int(values[0])), line)
    except (ValueError, OverflowError) as error:
        raise BackendError(
            f"{where}: {text.strip()[:60]!r} is no box ({error}); expected class, centre x, centre y, width, height as "
            "fractions of the frame's sides, and a confidence or nothing."
        ) from error


def _read_line(values: list[float]) -> tuple[tuple[float, float, float, float], float]:
    """Edges and confidence of a line: a class, then a box with confidence and id or without, or a polygon.

    Seven numbers are a box with both where the last one is an id, a whole number from 1; else a triangle.
    """
    is_box = len(values) <= 6 or (len(values) == 7 and values[6] >= 1 and values[6].is_integer())
    if is_box:
        x, y, width, height = values[1:5]
        if width < 0 or height < 0:
            raise ValueError("its size is negative")
        return (x - width / 2, y - height / 2, x + width / 2, y + height / 2), values[5] if len(values) > 5 else 1.0
    corners = values[1:] if len(values) % 2 else values[1:-1]
    xs, ys = corners[::2], corners[1::2]
    return (min(xs), min(ys), max(xs), max(ys)), 1.0 if len(values) % 2 else values[-1]


def _read_names(folder: Path) -> dict[int, str]:
    """Names of classes by number, where a file has them."""
    folder = folder.absolute()
    for level in (folder, *folder.parents[:2]):
        for name, read in (("classes.txt", _read_list), ("data.yaml", _read_yaml), ("dataset.yaml", _read_yaml)):
            try:
                text = read_text(level / name, MAX_QUERY_BYTES, "names of classes")
            except (OSError, ValueError, LimitError):
                continue
            if found := read(text):
                return found
    return {}


def _read_list(text: str) -> dict[int, str]:
    return {number: line.strip() for number, line in enumerate(text.splitlines()) if line.strip()}


def _read_yaml(text: str) -> dict[int, str]:
    """What YOLO's description of a data set says under ``names``: names or numbers and names, a line each, or in brackets."""
    lines = text.splitlines()
    start = next((i for i, line in enumerate(lines) if line.startswith("names:")), None)
    if start is None:
        return {}
    inline = lines[start].removeprefix("names:").strip()
    if inline.startswith("["):
        parts = inline.strip("[]").split(",")
        return {number: _unquote(part.strip()) for number, part in enumerate(parts) if part.strip()}
    found: dict[int, str] = {}
    for line in lines[start + 1 :]:
        entry = _ENTRY.match(line) or _ENTRY.match(f" {line}" if line.startswith("-") else "")
        if entry is None:
            break
        found[len(found) if entry[1] is None else int(entry[1])] = _unquote(entry[2])
    return found


def _unquote(text: str) -> str:
    if len(text) > 1 and text[0] == text[-1] == '"':
        try:
            return str(json.loads(text))
        except ValueError:
            pass
    return text.strip("'\"")
