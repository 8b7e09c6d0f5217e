"""Reading queries: clicks from the command line, our JSON, the reference program's text format, and mask images."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, UnidentifiedImageError

from sampt.errors import QueryError
from sampt.files.text import decode_text
from sampt.limits import check_pixels
from sampt.types import Points, QueryMask

__all__ = ["parse_click", "read_mask_image", "read_queries"]

_CLICK_FORM = "OBJECT,FRAME,X,Y with an optional sign + or - at the end, for example 1,0,420,250,+"
_MOST_IDS = 100
"""More values than this are grey levels, not objects."""
_SIGNS = {"+": True, "-": False}
# What Pillow's readers raise on a broken file; each of them has its own habit.
_BROKEN_IMAGE = (OSError, ValueError, SyntaxError, EOFError, IndexError, struct.error, Image.DecompressionBombError)
_LARGEST = 2**31
"""No id, frame or coordinate is as large; the arrays that hold them could not take much larger ones."""


def parse_click(text: str) -> Points:
    """One or several clicks: ``OBJECT,FRAME,X,Y[,SIGN]``, several separated by spaces; the sign is + when left out.

    Raises:
        QueryError: the text has another form, or holds a number out of range.
    """
    clicks = text.split()
    if not clicks:
        raise QueryError(f"A click is empty; expected {_CLICK_FORM}.")
    return Points.concat(_one_click(click) for click in clicks)


def _one_click(text: str) -> Points:
    parts = text.split(",")
    sign = parts.pop() if len(parts) == 5 else "+"
    if len(parts) != 4 or sign not in _SIGNS:
        raise QueryError(f"The click {text!r} cannot be read; expected {_CLICK_FORM}.")
    where = f"the click {text!r}"
    object_id, frame_idx = (_whole(p, where) for p in parts[:2])
    x, y = (_number(p, where) for p in parts[2:])
    return _click(object_id, frame_idx, x, y, _SIGNS[sign], where)


def read_queries(path: str | Path) -> Points:
    """Read a query file: JSON of ours when it ends in ``.json``, else the reference program's text format.

    JSON: ``{"objects": [{"id": 1, "clicks": [{"frame": 0, "x": 282.5, "y": 241.2, "sign": "+"}]}]}``.
    Text: the first line is the number of positive points of every object; each further line is one object (ids 1, 2, ...):
    ``FRAME;x,y x,y ...``, positive points first, the rest negative.

    Raises:
        QueryError: the file is missing or has another form; the message names the line or the object.
    """
    file = Path(path)
    try:
        text = decode_text(file.read_bytes())
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise QueryError(f"The query file {str(file)!r} cannot be read: {reason}; expected clicks as JSON or text.") from None
    return _parse_json(text, file.name) if file.suffix.lower() == ".json" else _parse_reference_text(text, file.name)


def _parse_reference_text(text: str, name: str) -> Points:
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    form = "expected the number of positive points on the first line, then FRAME;x,y x,y ... for every object"
    if len(lines) < 2:
        raise QueryError(f"{name} has {len(lines)} line(s) with content; {form}.")
    positives = _whole(lines[0][1], f"line {lines[0][0]} of {name}")
    parts = []
    for object_id, (number, line) in enumerate(lines[1:], 1):
        where = f"line {number} of {name}"
        frame, separator, rest = line.partition(";")
        pairs = [pair.split(",") for pair in rest.split()]
        if not separator or not pairs or any(len(pair) != 2 for pair in pairs):
            raise QueryError(f"Cannot read {where}: {line[:60]!r}; {form}.")
        if not 1 <= positives <= len(pairs):
            raise QueryError(
                f"Cannot read {where}: it has {len(pairs)} point(s), but the first line promises {positives} positive ones; "
                "expected from 1 to the number of points."
            )
        frame_idx = _whole(frame.strip(), where)
        for i, (x, y) in enumerate(pairs):
            parts.append(_click(object_id, frame_idx, _number(x, where), _number(y, where), i < positives, where))
    return Points.concat(parts)


def _parse_json(text: str, name: str) -> Points:
    try:
        data = json.loads(text)
    except json.JSONDecodeError as error:
        raise QueryError(f"{name} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except (ValueError, RecursionError):
        raise QueryError(f"{name} holds a number of thousands of digits or is nested too deeply for a query file.") from None
    objects = data.get("objects") if isinstance(data, dict) else None
    if not isinstance(objects, list) or not objects:
        raise QueryError(f'{name} has no list "objects"; expected {{"objects": [{{"id": 1, "clicks": [...]}}]}}.')
    parts: list[Points] = []
    seen: set[int] = set()
    for i, item in enumerate(objects):
        object_id = _whole(_get(item, "id", f"objects[{i}] of {name}"), f"objects[{i}] of {name}")
        if object_id in seen:
            raise QueryError(f"{name} has two objects with id {object_id}; give each object its own id.")
        seen.add(object_id)
        clicks = _get(item, "clicks", f"object {object_id} of {name}")
        if not isinstance(clicks, list) or not clicks:
            raise QueryError(f'Object {object_id} of {name} has no clicks; expected a list "clicks" of at least one.')
        parts += [_json_click(object_id, click, f"click {j} of object {object_id} in {name}") for j, click in enumerate(clicks)]
    return Points.concat(parts)


def _json_click(object_id: int, click: Any, where: str) -> Points:
    sign = _get(click, "sign", where, "+")
    if not isinstance(sign, str) or sign not in _SIGNS:
        raise QueryError(f'Cannot read {where}: its sign is {sign!r}, expected "+" or "-".')
    frame_idx = _whole(_get(click, "frame", where), where)
    x, y = (_number(_get(click, key, where), where) for key in "xy")
    return _click(object_id, frame_idx, x, y, _SIGNS[sign], where)


def _get(item: Any, key: str, where: str, default: Any = None) -> Any:
    if not isinstance(item, dict) or (key not in item and default is None):
        raise QueryError(f'Cannot read {where}: it has no "{key}".')
    return item.get(key, default)


def _whole(value: Any, where: str) -> int:
    try:
        number = int(str(value))
    except ValueError:
        raise QueryError(f"Cannot read {where}: {str(value)[:40]!r} is not a whole number.") from None
    if abs(number) >= _LARGEST:
        raise QueryError(f"Cannot read {where}: {str(value)[:40]} is too large, expected a number below {_LARGEST}.")
    return number


def _number(value: Any, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise QueryError(f"Cannot read {where}: {str(value)[:40]!r} is not a number.") from None
    if not abs(number) < _LARGEST:  # NaN, too
        raise QueryError(f"Cannot read {where}: a coordinate is {str(value)[:40]}, expected a finite number of pixels.")
    return number


def _click(object_id: int, frame_idx: int, x: float, y: float, positive: bool, where: str) -> Points:
    if object_id < 1:
        raise QueryError(f"Cannot read {where}: the object id is {object_id}, expected ids from 1 (0 is the background).")
    if frame_idx < 0:
        raise QueryError(f"Cannot read {where}: the frame is {frame_idx}, expected frames from 0.")
    return Points.of(object_id, frame_idx, [(x, y)], positive)


def read_mask_image(path: str | Path, frame_idx: int) -> list[QueryMask]:
    """Every id of a mask image as an object: a palette or grey PNG whose values are ids, 0 the background.

    An image with no other values than 0 and 255 (or 1-bit) is one object with id 1.

    Raises:
        QueryError: the file cannot be read, is coloured, or holds no object.
    """
    file = Path(path)
    try:
        with Image.open(file) as image:
            check_pixels(*image.size, f"The mask {str(file)!r}")
            image.load()
            labels = _labels(image, file.name)
    except UnidentifiedImageError:
        raise QueryError(f"The mask {str(file)!r} is not an image; expected a palette or grey PNG of object ids.") from None
    except _BROKEN_IMAGE as error:
        reason = " ".join(str(getattr(error, "strerror", None) or error).split()) or type(error).__name__
        raise QueryError(
            f"The mask {str(file)!r} cannot be read: {reason}; expected a palette or grey PNG of object ids."
        ) from None
    ids = [int(i) for i in np.unique(labels) if i]
    if not ids:
        raise QueryError(f"The mask {str(file)!r} is empty: every pixel is 0; expected each object's pixels to hold its id.")
    if len(ids) > _MOST_IDS:
        raise QueryError(
            f"The mask {str(file)!r} holds {len(ids)} different values; it looks like a picture, not like object ids."
        )
    if ids == [255]:
        return [QueryMask(1, frame_idx, labels == 255)]
    return [QueryMask(i, frame_idx, labels == i) for i in ids]


def _labels(image: Image.Image, name: str) -> np.ndarray:
    if image.mode in ("P", "L", "1", "I", "I;16"):
        labels = np.asarray(image.convert("L") if image.mode == "1" else image).astype(np.int64)
    else:
        bands = np.asarray(image.convert("RGB"))
        if (bands != bands[..., :1]).any():
            raise QueryError(
                f"The mask {name!r} is a colour picture ({image.mode}); expected a palette or grey PNG of object ids."
            )
        labels = bands[..., 0].astype(np.int64)
    return labels
