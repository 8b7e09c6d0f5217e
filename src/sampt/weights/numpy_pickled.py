"""Nested dictionaries of arrays that NumPy saved as an object (``.npy``), read without running anything of the file.

Such a file is a pickle. As in :mod:`sampt.weights.pickled` no name in it is ever looked up: what rebuilds an array is
understood by stand-ins of our own, and whatever else the file names, the state of an optimiser say, becomes an inert thing.
Programs in JAX publish checkpoints so: {"params": {MODULE: {NAME: array}}, "state": {...}}.
"""

from __future__ import annotations

import io
import math
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np

from sampt.weights.pickled import Foreign, NotReadableError, next_pickle

__all__ = ["read_arrays", "read_pickle"]

_MAX_BYTES = 1 << 31
"""Of such a file; the official one takes less than a hundredth."""
_MAX_DEPTH = 8
_KINDS = frozenset("?bBhHiIlLqQefd") | {f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)} | {"b1"}
"""Numbers by NumPy's letters; nothing else is an array of weights."""
_RECONSTRUCT = frozenset((f"numpy.{core}.multiarray", "_reconstruct") for core in ("core", "_core"))
_FROM_BUFFER = frozenset((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core"))
_SCALAR = frozenset((f"numpy.{core}.multiarray", "scalar") for core in ("core", "_core"))


def read_arrays(path: Path) -> dict[str, np.ndarray]:
    """The arrays of the dictionaries "params" and "state" of a file, or of all of it, by their keys joined by "/".

    Raises:
        NotReadableError: it is no such file, or is damaged.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise NotReadableError("it is larger than any such checkpoint")
    with path.open("rb") as file:
        _skip_header(file)
        whole = _unpickle(next_pickle(file, path.stat().st_size))
    # What was saved is an array without axes, whose one element is the dictionary.
    tree = whole.elements[0] if isinstance(whole, _Array) and len(whole.elements) == 1 else None
    parts = [tree[key] for key in ("params", "state") if isinstance(tree, dict) and isinstance(tree.get(key), dict)] or [tree]
    found: dict[str, np.ndarray] = {}
    for part in parts:
        _collect(part, "", found, 0)
    return found


def read_pickle(path: Path) -> Any:
    """What a pickle holds: dictionaries, lists, numbers, texts, and arrays; what is not known is an inert thing, or None.

    Raises:
        NotReadableError: it is no pickle, is damaged, or too large.
    """
    if path.stat().st_size > _MAX_BYTES:
        raise NotReadableError("it is larger than what is read")
    with path.open("rb") as file:
        return _plain(_unpickle(next_pickle(file, path.stat().st_size)), 0)


def _plain(tree: Any, depth: int) -> Any:
    """The same with arrays in the place of what stands for them."""
    if isinstance(tree, _Array):
        return tree.array
    if depth > _MAX_DEPTH:
        return None
    if isinstance(tree, dict):
        return {key: _plain(value, depth + 1) for key, value in tree.items()}
    return [_plain(value, depth + 1) for value in tree] if isinstance(tree, list | tuple) else tree


def _skip_header(file: Any) -> None:
    """Up to the pickle; NumPy's own functions read the header, which is a literal."""
    try:
        version = np.lib.format.read_magic(file)
        readers = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        shape, _, dtype = readers[version](file)
    except (ValueError, KeyError) as error:
        raise NotReadableError("it is no .npy file, or damaged") from error
    if dtype != np.dtype(object) or shape != ():
        raise NotReadableError("it holds a single array, not names with arrays")


class _Kind:
    """Stands for a type of numbers."""

    def __init__(self, code: object = None, *_: object) -> None:
        self.code, self.order = code, "="

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) > 1 and isinstance(state[1], str):
            self.order = state[1]

    @property
    def dtype(self) -> np.dtype[Any] | None:
        """What it is; None for what is no plain number."""
        if not isinstance(self.code, str) or self.code.lstrip("<>=|") not in _KINDS or self.order not in "<>=|":
            return None
        plain = np.dtype(self.code)
        return plain if self.order == "|" else plain.newbyteorder(self.order)  # type: ignore[arg-type]


class _Array:
    """Stands for an array while it is rebuilt."""

    def __init__(self, *_: object) -> None:
        self.array: np.ndarray | None = None
        """None where it is no array of plain numbers."""
        self.elements: list[Any] = []
        """Of an array of objects."""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and len(state) == 5:
            _, shape, kind, is_fortran, data = state
            self.elements = data if isinstance(data, list) else []
            self.array = _make_array(data, kind, shape, "F" if is_fortran else "C")

    @classmethod
    def of_buffer(cls, data: object, kind: object, shape: object, order: object, *_: object) -> _Array:
        """As newer pickles have it."""
        out = cls()
        out.array = _make_array(data, kind, shape, "F" if order == "F" else "C")
        return out

    @classmethod
    def of_scalar(cls, kind: object, data: object = None, *_: object) -> _Array:
        """A single number."""
        out = cls()
        out.array = _make_array(data, kind, (), "C")
        return out


def _make_array(data: object, kind: object, shape: object, order: Any) -> np.ndarray | None:
    dtype = kind.dtype if isinstance(kind, _Kind) else None
    if dtype is None or not isinstance(data, bytes | bytearray):
        return None
    if not isinstance(shape, tuple) or not all(type(side) is int and side >= 0 for side in shape):
        return None
    if len(data) != math.prod(shape) * dtype.itemsize:
        raise NotReadableError("an array in it has another size than it says")
    numbers = np.frombuffer(data, dtype).reshape(shape, order=order)
    return numbers.astype(dtype.newbyteorder("="))


class _Reader(pickle.Unpickler):
    """Looks no name up."""

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("numpy", "dtype"):
            return type("_Kind", (_Kind,), {})  # a class of its own each time, so that a file changes nothing else
        if (module, name) in _RECONSTRUCT:
            return _call(_Array)
        if (module, name) in _FROM_BUFFER:
            return _call(_Array.of_buffer)
        if (module, name) in _SCALAR:
            return _call(_Array.of_scalar)
        if (module, name) == ("_codecs", "encode"):
            return _call(_encode)
        return type("Foreign", (Foreign,), {"description": f"{module}.{name}"})

    def persistent_load(self, pid: Any, /) -> Any:
        return Foreign()


def _encode(text: object, encoding: object = None) -> object:
    """Bytes, which pickles of Python 2 have as text."""
    return text.encode("latin1") if isinstance(text, str) and encoding == "latin1" else None


def _call(make: Any) -> Any:
    """A function that a file cannot change."""

    class Maker:
        __slots__ = ()

        def __call__(self, *arguments: object) -> object:
            return make(*arguments)

        def __setstate__(self, state: object) -> None:
            raise NotReadableError("it changes what reads it")

    return Maker()


def _unpickle(data: bytes) -> Any:
    try:
        return _Reader(io.BytesIO(data), encoding="latin1").load()
    except NotReadableError:
        raise
    except Exception as error:  # a made-up pickle can bring about nearly any
        raise NotReadableError("it is no pickle that NumPy writes, or damaged") from error


def _collect(tree: object, prefix: str, found: dict[str, np.ndarray], depth: int) -> None:
    """Put the arrays of nested dictionaries into ``found``."""
    if isinstance(tree, _Array):
        if tree.array is not None:
            found[prefix] = tree.array
    elif isinstance(tree, dict) and depth <= _MAX_DEPTH:
        for name, value in tree.items():
            if isinstance(name, str):
                _collect(value, f"{prefix}/{name}" if prefix else name, found, depth + 1)
