"""Checks of values when they are made: axes, whole and finite numbers, ids; and how a value is printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from sampt.errors import ValueCheckError

__all__ = [
    "check_finite",
    "check_frames",
    "check_ids",
    "check_one",
    "check_signs",
    "frozen",
    "read_rows",
    "shape_repr",
    "whole",
]

_MAX_CHARS = 60
"""Of a part that is printed as it is."""


def frozen(owner: object, name: str, value: Any, dtype: npt.DTypeLike, axes: str, sizes: dict[str, int]) -> None:
    """Store ``value`` read-only under ``name`` after checking its axes against those bound so far in ``sizes``."""
    try:
        array = np.array(value, dtype=dtype)
        unchanged = array.dtype.kind not in "iu" or np.array_equal(array, value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueCheckError(f"{type(owner).__name__}.{name} cannot be read as {np.dtype(dtype)}: {error}.") from None
    if not unchanged:
        raise ValueCheckError(f"{type(owner).__name__}.{name} holds numbers that are no {array.dtype}, expected whole ones.")
    if axes and array.size == 0 and array.ndim < len(axes):
        array = array.reshape([int(axis) if axis.isdigit() else 0 for axis in axes])
    if array.ndim != len(axes):
        raise ValueCheckError(
            f"{type(owner).__name__}.{name} has shape {array.shape}, expected {len(axes)} axes ({', '.join(axes)})."
        )
    for axis, size in zip(axes, array.shape, strict=True):
        expected = int(axis) if axis.isdigit() else sizes.setdefault(axis, size)
        if size != expected:
            raise ValueCheckError(f"{type(owner).__name__}.{name} has {axis}={size}, expected {axis}={expected}.")
    array.setflags(write=False)
    object.__setattr__(owner, name, array)


def read_rows(owner: type, name: str, xy: npt.ArrayLike) -> npt.NDArray[np.float32]:
    """(n, 2) float32 from as many pairs of x and y, or from one."""
    try:
        rows = np.asarray(xy, np.float32)
    except (TypeError, ValueError) as error:
        raise ValueCheckError(f"{owner.__name__}.{name} cannot be read as float32: {error}.") from None
    if rows.shape == (2,) or rows.size == 0:
        rows = rows.reshape(-1, 2)
    if rows.ndim != 2 or rows.shape[1] != 2:
        raise ValueCheckError(f"{owner.__name__}.{name} has shape {rows.shape}, expected (n, 2): x and y of each point.")
    return rows


def check_finite(owner: object, name: str) -> None:
    if not np.isfinite(getattr(owner, name)).all():
        raise ValueCheckError(f"{type(owner).__name__}.{name} holds NaN or infinity, expected finite numbers.")


def whole(owner: object, name: str, minimum: int) -> None:
    """Store the number as an int after checking that it is a whole one from ``minimum`` up."""
    value: Any = getattr(owner, name)
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or value != value // 1 or value < minimum:
        raise ValueCheckError(f"{type(owner).__name__} has {name}={value!r}; expected a whole number from {minimum}.")
    object.__setattr__(owner, name, int(value))


def check_ids(owner: object, ids: npt.NDArray[np.int64]) -> None:
    if ids.size and ids.min() < 1:
        raise ValueCheckError(f"{type(owner).__name__}.object_id holds {ids.min()}, expected ids from 1 (0 is background).")


def check_one(owner: type, object_id: Any, frame_idx: Any) -> None:
    """Refuse several objects or frames, where points of one are made."""
    name = owner.__name__
    if np.ndim(object_id) or np.ndim(frame_idx):
        raise ValueCheckError(f"{name}.of is given several objects or frames, expected one of each; use {name}(...) for more.")


def check_signs(owner: type, signs: npt.NDArray[np.bool_], n: int) -> None:
    """Refuse what is neither one sign for all nor one for each."""
    if signs.shape not in ((), (n,)):
        raise ValueCheckError(
            f"{owner.__name__}.is_positive has shape {signs.shape}, expected one sign for all or n={n} of them."
        )


def check_frames(owner: object, frame_idx: npt.NDArray[np.int64]) -> None:
    if frame_idx.size and frame_idx.min() < 0:
        raise ValueCheckError(f"{type(owner).__name__}.frame_idx holds {frame_idx.min()}, expected frames from 0.")


def shape_repr(value: Any) -> str:
    """The ``repr`` of a dataclass or named tuple that holds arrays: their types, shapes and counts, never their elements.

    A dataclass has it by ``__repr__ = shape_repr``; a named tuple needs a method that calls it.
    """
    names = getattr(value, "_fields", None) or value.__dataclass_fields__
    return f"{type(value).__name__}({', '.join(f'{name}={_describe(getattr(value, name))}' for name in names)})"


def _describe(part: Any) -> str:
    """A part of a value in a few words."""
    dtype, shape = getattr(part, "dtype", None), getattr(part, "shape", None)
    if dtype is not None and shape:  # an array or a tensor; a numpy number has no axis
        text = f"{str(dtype).removeprefix('torch.')} {tuple(shape)}"
        return f"{text}, {int(part.sum())} True" if str(dtype).endswith("bool") else text
    if hasattr(part, "_fields") or (dataclasses.is_dataclass(part) and not isinstance(part, type)):
        return shape_repr(part)
    is_plain = not isinstance(part, (list, tuple, set, frozenset, Mapping)) or (
        isinstance(part, tuple) and all(isinstance(item, (int, float, str)) for item in part)
    )
    text = repr(part) if is_plain else ""
    if is_plain and len(text) <= _MAX_CHARS:
        return text
    return f"{type(part).__name__} of {len(part)}" if isinstance(part, Sized) else type(part).__name__
