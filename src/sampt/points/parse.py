"""Reading queries: clicks from the command line, our JSON, the reference program's text format, and mask images."""

from __future__ import annotations

import json
import logging
import math
import re
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np

from sampt.errors import QueryError, ValueCheckError, did_you_mean
from sampt.files.limits import MAX_QUERY_BYTES, check_clicks, parse_json
from sampt.files.text import read_text
from sampt.points.mask_images import MAX_IDS, VOID, read_mask_image
from sampt.signs import SIGN_KEYS, parse_sign, take_sign
from sampt.types import Points, QueryBox, QueryMask

__all__ = ["parse_boxes", "parse_click", "parse_mask_location", "read_queries", "read_query_masks"]

_CLICK_FORM = "OBJECT,FRAME,X,Y with an optional sign + or - at the end, for example 1,0,420,250,+"
_BOX_FORM = "OBJECT,FRAME,X0,Y0,X1,Y1 with the first and the last pixel, for example 1,0,400,200,460,310"
_MASK_LOCATION = re.compile(r"(.+)@(\d+)", re.DOTALL)
_LOG = logging.getLogger(__name__)
_OBJECT_KEYS = ("id", "clicks", "labels")
_CLICK_KEYS = ("frame", "x", "y", *SIGN_KEYS)
_LARGEST = 2**31
"""No id, frame or coordinate is as large; the arrays that hold them could not take much larger ones."""
_FRACTION = re.compile(r"[+-]?\d+\.\d*")
_Click: TypeAlias = tuple[int, int, float, float, bool]
"""Object, frame, x, y, sign."""


def parse_click(text: str) -> Points:
    """One or several clicks: ``OBJECT,FRAME,X,Y[,SIGN]``, several separated by spaces; the sign is + when left out.

    Raises:
        QueryError: the text has another form, or holds a number out of range.
    """
    clicks = text.split()
    if not clicks:
        raise QueryError(f"A click is empty; expected {_CLICK_FORM}.")
    return _points([_one_click(click) for click in clicks])


def _one_click(text: str) -> _Click:
    parts = text.split(",")
    where = f"the click {text!r}"
    is_positive = _sign(parts.pop(), where) if len(parts) == 5 else True
    if len(parts) != 4:
        raise QueryError(f"The click {text!r} cannot be read; expected {_CLICK_FORM}.")
    object_id, frame_idx = (_whole(p, where) for p in parts[:2])
    x, y = (_number(p, where) for p in parts[2:])
    return _check(object_id, frame_idx, x, y, is_positive, where)


def parse_boxes(text: str) -> list[QueryBox]:
    """One or several boxes: ``OBJECT,FRAME,X0,Y0,X1,Y1``, first and last pixel; several separated by spaces.

    Raises:
        QueryError: the text has another form, or holds a number out of range.
    """
    texts = text.split()
    if not texts:
        raise QueryError(f"A box is empty; expected {_BOX_FORM}.")
    return [_one_box(one) for one in texts]


def _one_box(text: str) -> QueryBox:
    parts, where = text.split(","), f"the box {text!r}"
    if len(parts) != 6:
        raise QueryError(f"The box {text!r} cannot be read; expected {_BOX_FORM}.")
    object_id, frame_idx, x0, y0, _ = _check(
        _whole(parts[0], where), _whole(parts[1], where), _number(parts[2], where), _number(parts[3], where), True, where
    )
    try:
        return QueryBox(object_id, frame_idx, np.array([x0, y0, *(_number(p, where) for p in parts[4:])], np.float32))
    except ValueCheckError as error:
        raise QueryError(f"Cannot read {where}: {error}") from None


def parse_mask_location(text: str) -> tuple[str, int | None]:
    """``PNG@FRAME``, or ``PNG`` alone: the path of a mask image, and the frame, None where none is reported.

    A file whose own name ends so is taken as a file.
    """
    found = _MASK_LOCATION.fullmatch(text)
    if found is None or Path(text).is_file():
        return text, None
    return found[1], _whole(found[2], f"the mask {text!r}")


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
        text = read_text(file, MAX_QUERY_BYTES, "clicks as JSON or text")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise QueryError(f"The query file {str(file)!r} cannot be read: {reason}; expected clicks as JSON or text.") from None
    return _parse_json(text, file.name) if file.suffix.lower() == ".json" else _parse_reference_text(text, file.name)


def _parse_reference_text(text: str, name: str) -> Points:
    lines = [(i, line.strip()) for i, line in enumerate(text.splitlines(), 1) if line.strip()]
    form = "expected the number of positive points on the first line, then FRAME;x,y x,y ... for every object"
    if len(lines) < 2:
        raise QueryError(f"{name} has {len(lines)} line(s) with content; {form}.")
    check_clicks(sum(line.count(",") for _, line in lines[1:]), name)
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
            parts.append(_check(object_id, frame_idx, _number(x, where), _number(y, where), i < positives, where))
    return _points(parts)


def _parse_json(text: str, name: str) -> Points:
    try:
        data = parse_json(text)
    except json.JSONDecodeError as error:
        raise QueryError(f"{name} is not valid JSON: {error.msg} in line {error.lineno}, column {error.colno}.") from None
    except ValueError:
        raise QueryError(f"{name} holds a number of thousands of digits or is nested too deeply for a query file.") from None
    if isinstance(data, dict):
        _check_keys(data, ("objects",), name)
    objects = data.get("objects") if isinstance(data, dict) else None
    if not isinstance(objects, list) or not objects:
        raise QueryError(f'{name} has no list "objects"; expected {{"objects": [{{"id": 1, "clicks": [...]}}]}}.')
    listed = (item.get("clicks") for item in objects if isinstance(item, dict))
    check_clicks(sum(len(clicks) for clicks in listed if isinstance(clicks, list)), name)
    found: list[_Click] = []
    seen: set[int] = set()
    for i, item in enumerate(objects):
        object_id = _whole(_get(item, "id", f"objects[{i}] of {name}"), f"objects[{i}] of {name}")
        if object_id in seen:
            raise QueryError(f"{name} has two objects with id {object_id}; give each object its own id.")
        seen.add(object_id)
        found += _json_object(object_id, item, name)
    return _points(found)


def _json_object(object_id: int, item: dict[str, Any], name: str) -> list[_Click]:
    where = f"object {object_id} of {name}"
    _check_keys(item, _OBJECT_KEYS, where)
    clicks = _get(item, "clicks", where)
    if not isinstance(clicks, list) or not clicks:
        raise QueryError(f'Object {object_id} of {name} has no clicks; expected a list "clicks" of at least one.')
    labels = item.get("labels", [None] * len(clicks))
    if not isinstance(labels, list) or len(labels) != len(clicks):
        got = f"{len(labels)} labels" if isinstance(labels, list) else repr(labels)[:40]
        raise QueryError(f"Cannot read {where}: it has {got} for {len(clicks)} clicks; expected a list with one for each.")
    locations = (f"click {j} of object {object_id} in {name}" for j in range(len(clicks)))
    return [_json_click(object_id, *three) for three in zip(clicks, labels, locations, strict=True)]


def _json_click(object_id: int, click: Any, label: Any, where: str) -> _Click:
    frame_idx = _whole(_get(click, "frame", where), where)
    _check_keys(click, _CLICK_KEYS, where)
    x, y = (_number(_get(click, key, where), where) for key in "xy")
    if label is not None:
        if any(key in click for key in SIGN_KEYS):
            raise QueryError(f'Cannot read {where}: it has a sign beside the "labels" of its object; give one of them.')
        click = {"label": label}
    try:
        is_positive = take_sign(click)
    except ValueCheckError as error:
        raise QueryError(f"Cannot read {where}: {error}") from None
    return _check(object_id, frame_idx, x, y, is_positive, where)


def _check_keys(item: dict[str, Any], known: tuple[str, ...], where: str) -> None:
    for key in item:
        if key not in known:
            text = ", ".join(known)
            raise QueryError(
                f"Cannot read {where}: it has the unknown key {key[:40]!r}.{did_you_mean(key, known)} Known: {text}."
            )


def _get(item: Any, key: str, where: str) -> Any:
    if not isinstance(item, dict) or key not in item:
        raise QueryError(f'Cannot read {where}: it has no "{key}".')
    return item[key]


def _sign(text: str, where: str) -> bool:
    try:
        return parse_sign(text)
    except ValueCheckError as error:
        raise QueryError(f"Cannot read {where}: {error}") from None


def _whole(value: Any, where: str) -> int:
    """A whole number, written as 1.0 too."""
    try:
        number = int(value) if isinstance(value, str) else math.nan if isinstance(value, bool) else value
    except ValueError:
        number = _number(value, where) if _FRACTION.fullmatch(value.strip()) else math.nan
    if not isinstance(number, (int, float)) or number != number // 1:
        raise QueryError(f"Cannot read {where}: {str(value)[:40]!r} is not a whole number.")
    if abs(number) >= _LARGEST:
        raise QueryError(f"Cannot read {where}: {str(value)[:40]} is too large, expected a number below {_LARGEST}.")
    return int(number)


def _number(value: Any, where: str) -> float:
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        raise QueryError(f"Cannot read {where}: {str(value)[:40]!r} is not a number.") from None
    if not abs(number) < _LARGEST:  # NaN, too
        raise QueryError(f"Cannot read {where}: a coordinate is {str(value)[:40]}, expected a finite number of pixels.")
    return number


def _check(object_id: int, frame_idx: int, x: float, y: float, is_positive: bool, where: str) -> _Click:
    if object_id < 1:
        raise QueryError(f"Cannot read {where}: the object id is {object_id}, expected ids from 1 (0 is the background).")
    if frame_idx < 0:
        raise QueryError(f"Cannot read {where}: the frame is {frame_idx}, expected frames from 0.")
    return object_id, frame_idx, x, y, is_positive


def _points(clicks: list[_Click]) -> Points:
    object_id, frame_idx, x, y, is_positive = zip(*clicks, strict=True)
    return Points(np.stack([x, y], 1).astype(np.float32), np.array(frame_idx), np.array(object_id), np.array(is_positive))


def read_query_masks(path: str | Path, frame_idx: int) -> list[QueryMask]:
    """Every object of a mask image, by the rules of :mod:`sampt.points.mask_images`; what was done to the image is logged.

    Raises:
        QueryError: the file cannot be read, is a photograph, or holds no object.
    """
    image = read_mask_image(path)
    ids = image.ids()
    present = [int(i) for i in np.unique(ids) if i]
    if not present:
        raise QueryError(f"The mask {str(path)!r} is empty: every pixel is 0; expected each object's pixels to hold its id.")
    if len(present) > MAX_IDS:
        raise QueryError(
            f"The mask {str(path)!r} holds {len(present)} different values; it looks like a photograph, not like object ids."
        )
    notes = list(image.notes)
    if image.void is not None:
        notes.append(f"{np.count_nonzero(image.void)} pixels of the value {VOID} are void and belong to no object")
    if notes:
        _LOG.warning("The mask %s: %s.", image.name, "; ".join(notes))
    return [QueryMask(i, frame_idx, ids == i) for i in present]
