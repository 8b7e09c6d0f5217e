"""Checks of values when they are made: axes, whole and finite numbers, ids; and how a value is printed."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sized
from typing import Any

import numpy as np
import numpy.typing as npt

from sampt.errors import ValueCheckError

__all__ = ["check_finite", "check_ids", "frozen", "shape_repr", "whole"]

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


def check_finite(owner: object, name: str) -> None:
    if not np.isfinite(getattr(owner, name)).all():
        raise ValueCheckError(f"{type(owner).__name__}.{name} holds NaN or infinity, expected finite numbers.")


def whole(owner: object, name: str, least: int) -> None:
    """Store the number as an int after checking that it is a whole one from ``least`` up."""
    value: Any = getattr(owner, name)
    is_number = isinstance(value, (int, float, np.integer, np.floating)) and not isinstance(value, bool)
    if not is_number or value != value // 1 or value < least:
        raise ValueCheckError(f"{type(owner).__name__} has {name}={value!r}; expected a whole number from {least}.")
    object.__setattr__(owner, name, int(value))


def check_ids(owner: object, ids: npt.NDArray[np.int64]) -> None:
    if ids.size and ids.min() < 1:
        raise ValueCheckError(f"{type(owner).__name__}.object_id holds {ids.min()}, expected ids from 1 (0 is background).")


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
