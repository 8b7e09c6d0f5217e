"""Files of PyTorch read for their tensors alone: whatever else such a file names becomes a thing that does nothing.

These files are pickles, and a pickle names functions and classes to call. Training programs leave more in them than weights,
the state of an optimiser or a schedule, and where that holds a function PyTorch's own mode for weights refuses the file. Here
no name is ever looked up: a few are understood, each by a stand-in of our own, and every other one becomes an inert class. So
nothing of a file is run, and the weights beside such things are read. Numbers that nobody wants, an optimiser's above all, are
not read.

The layouts are those that ``torch.save`` writes: a zip archive with ``data.pkl`` and one member a storage, and, before PyTorch
1.6, five pickles with the storages behind them.
"""

from __future__ import annotations

import io
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Foreign", "NotReadableError", "PickledFile", "StoredTensor", "next_pickle", "opened"]

_MAX_PICKLE_BYTES = 1 << 28
"""Of the pickle without its tensors; official ones take some 100 kB."""
_LEGACY_MAGIC = 0x1950A86A20F9469CFC6C
_COUNT_BYTES = 8
_CHUNK = 1 << 22
_EXTENSIONS = ("EXT1", "EXT2", "EXT4")
_SLOTS = ("PUT", "BINPUT", "LONG_BINPUT")
_DTYPES = {
    "BFloat16Storage": "bfloat16",
    "BoolStorage": "bool",
    "ByteStorage": "uint8",
    "CharStorage": "int8",
    "ComplexDoubleStorage": "complex128",
    "ComplexFloatStorage": "complex64",
    "DoubleStorage": "float64",
    "FloatStorage": "float32",
    "HalfStorage": "float16",
    "IntStorage": "int32",
    "LongStorage": "int64",
    "ShortStorage": "int16",
    "UntypedStorage": "uint8",
}
"""Kind of a storage -> what it holds, by PyTorch's names."""


class NotReadableError(Exception):
    """The file is not what ``torch.save`` writes, or is not whole; the message is a clause without a subject's name."""


class Foreign:
    """Stands for whatever a pickle names that is none of ours: takes everything that pickles do to it, and does nothing."""

    description = "something unknown"
    """Its name in the file."""

    def __new__(cls, *_: object, **__: object) -> Foreign:
        return super().__new__(cls)

    def __init__(self, *_: object, **__: object) -> None:
        pass

    def _ignore(*_: object, **__: object) -> None:  # on the class, too, when a file does so
        pass

    __call__ = __setstate__ = __setitem__ = append = extend = add = _ignore


@dataclass(frozen=True, slots=True)
class _Storage:
    """A stretch of numbers in the file."""

    key: str
    dtype: str
    count: int


@dataclass(frozen=True, slots=True)
class StoredTensor:
    """A tensor that has not been read: which storage, from which of its numbers on, (d,) sizes and steps."""

    storage: _Storage
    offset: int
    size: tuple[int, ...]
    stride: tuple[int, ...]

    @classmethod
    def of(cls, storage: object, offset: object, size: object, stride: object, *_: object) -> StoredTensor:
        """What PyTorch's functions that rebuild a tensor are given; what follows does not concern its values."""
        numbers = [offset, *_whole(size), *_whole(stride)]
        if not isinstance(storage, _Storage) or not all(type(n) is int and n >= 0 for n in numbers):
            raise NotReadableError("a tensor in it has no location")
        return cls(storage, numbers[0], tuple(_whole(size)), tuple(_whole(stride)))


def _whole(value: object) -> Any:
    return value if isinstance(value, tuple) else (None,)


def _parameter(data: object, *_: object) -> object:
    """What a parameter is rebuilt from: its tensor."""
    return data


def _check_type(make: object, _type: object, arguments: object, _state: object) -> object:
    """A tensor that had attributes: the tensor."""
    return make(*arguments) if isinstance(make, _Maker) and isinstance(arguments, tuple) else None


class _Maker:
    """Stands for a function of PyTorch; an object of its own for each time it is named, so that a file changes nothing else."""

    __slots__ = ("_make",)

    def __init__(self, make: Callable[..., object]) -> None:
        self._make = make

    def __call__(self, *arguments: object) -> object:
        return self._make(*arguments)

    def __setstate__(self, state: object) -> None:
        raise NotReadableError("it changes what reads it")


@dataclass(frozen=True, slots=True)
class _StorageKind:
    dtype: str


_MAKERS: dict[tuple[str, str], Callable[..., object]] = {
    ("torch._utils", "_rebuild_tensor"): StoredTensor.of,
    ("torch._utils", "_rebuild_tensor_v2"): StoredTensor.of,
    ("torch._utils", "_rebuild_parameter"): _parameter,
    ("torch._utils", "_rebuild_parameter_with_state"): _parameter,
    ("torch._tensor", "_rebuild_from_type_v2"): _check_type,
}


class _Reader(pickle.Unpickler):
    """Looks no name up.

    Attributes:
        storages: those that were named so far, by their keys.
    """

    def __init__(self, data: bytes) -> None:
        super().__init__(io.BytesIO(data), encoding="utf-8")
        self.storages: dict[str, _Storage] = {}

    def find_class(self, module: str, name: str, /) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if make := _MAKERS.get((module, name)):
            return _Maker(make)
        if module in ("torch", "torch.cuda", "torch.storage") and name in _DTYPES:
            return _StorageKind(_DTYPES[name])
        return type("Foreign", (Foreign,), {"description": f"{module}.{name}"})

    def persistent_load(self, pid: Any, /) -> Any:
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            return Foreign()
        kind, key, count = pid[1], pid[2], pid[4]
        is_part = len(pid) > 5 and pid[5] is not None  # of another storage, which PyTorch no longer writes
        if not isinstance(kind, _StorageKind) or type(key) is not str or type(count) is not int or count < 0 or is_part:
            raise NotReadableError("it has numbers of a kind that is not known")
        return self.storages.setdefault(key, _Storage(key, kind.dtype, count))


def _unpickle(data: bytes) -> tuple[Any, dict[str, _Storage]]:
    """What a pickle says, and the storages that it names."""
    reader = _Reader(data)
    try:
        return reader.load(), reader.storages
    except NotReadableError:
        raise
    except Exception as error:  # a made-up pickle can bring about nearly any
        raise NotReadableError("it is no file of PyTorch, or damaged") from error


def next_pickle(file: IO[bytes], limit: int) -> bytes:
    """The next pickle in a file, looked through for what its operations claim, before any of them is done.

    An operation can claim memory that the file has nothing for: a slot with an enormous number, a text without an end.
    """
    start = file.tell()
    try:
        for operation, argument, _ in pickletools.genops(file):
            if operation.name in _EXTENSIONS or (operation.name in _SLOTS and not 0 <= (argument or 0) <= limit):
                raise NotReadableError("it is no pickle that PyTorch writes")
    except ValueError as error:
        raise NotReadableError("it is no file of PyTorch, or damaged") from error
    length = file.tell() - start
    file.seek(start)
    return file.read(length)


class _Layout(Protocol):
    """Where a file has its numbers."""

    tree: Any

    def open(self, storage: _Storage, num_bytes: int) -> IO[bytes]:
        """Where a storage begins, after a check that the file has so many bytes of it."""
        ...


class PickledFile:
    """A file of ``torch.save``.

    Attributes:
        tree: what was saved: dictionaries, lists, numbers, texts; :class:`StoredTensor` for tensors and :class:`Foreign` for
            what is not known.
    """

    def __init__(self, layout: _Layout) -> None:
        self._layout = layout
        self.tree = layout.tree
        self._read: dict[str, Tensor] = {}

    def tensor(self, stored: StoredTensor) -> Tensor:
        """On the CPU; tensors that shared memory when they were saved share it again.

        Raises:
            NotReadableError: the file does not have all of it.
        """
        storage = stored.storage
        if storage.key not in self._read:
            self._read[storage.key] = self._numbers(storage)
        try:
            return self._read[storage.key].as_strided(stored.size, stored.stride, stored.offset)
        except (RuntimeError, OverflowError) as error:
            raise NotReadableError("a tensor in it lies outside of its numbers") from error

    def _numbers(self, storage: _Storage) -> Tensor:
        """(count,)."""
        import numpy as np
        import torch

        dtype: torch.dtype = getattr(torch, storage.dtype)
        num_bytes = storage.count * dtype.itemsize
        file = self._layout.open(storage, num_bytes)
        data = torch.empty(num_bytes, dtype=torch.uint8)
        done, into = 0, data.numpy()
        while done < num_bytes:
            part = file.read(min(num_bytes - done, _CHUNK))
            if not part:
                raise NotReadableError("it is incomplete")
            into[done : done + len(part)] = np.frombuffer(part, np.uint8)
            done += len(part)
        return data.view(dtype)


@contextmanager
def opened(path: Path) -> Iterator[PickledFile]:
    """The file at ``path``, of which nothing is run.

    Raises:
        NotReadableError: it is no file of PyTorch, or not whole.
    """
    with path.open("rb") as file:
        try:
            yield PickledFile(_ZipLayout(file) if zipfile.is_zipfile(file) else _LegacyLayout(file))
        except (zipfile.BadZipFile, EOFError) as error:
            raise NotReadableError("it is no file of PyTorch, or damaged") from error


def _check_order(is_little: bool) -> None:
    if not is_little:
        raise NotReadableError("its numbers are in another order of bytes")


class _ZipLayout:
    """``NAME/data.pkl``, ``NAME/data/KEY``; nothing is compressed, so no member is larger than the file."""

    def __init__(self, file: IO[bytes]) -> None:
        self._archive = zipfile.ZipFile(file)
        names = [name for name in self._archive.namelist() if name.count("/") == 1 and name.endswith("/data.pkl")]
        if len(names) != 1:
            raise NotReadableError("it is a zip archive and no file of PyTorch")
        self._root = names[0].removesuffix("data.pkl")
        if f"{self._root}byteorder" in self._archive.namelist():
            _check_order(self._member("byteorder", 16).read(16) == b"little")
        with self._member("data.pkl", _MAX_PICKLE_BYTES) as member:
            data = member.read()
        self.tree, _ = _unpickle(next_pickle(io.BytesIO(data), len(data)))

    def open(self, storage: _Storage, num_bytes: int) -> IO[bytes]:
        return self._member(f"data/{storage.key}", minimum=num_bytes)

    def _member(self, name: str, limit: int | None = None, minimum: int = 0) -> IO[bytes]:
        try:
            info = self._archive.getinfo(self._root + name)
        except KeyError:
            raise NotReadableError("it is incomplete") from None
        if info.compress_type != zipfile.ZIP_STORED:
            raise NotReadableError("it is compressed, which PyTorch does not do")
        if info.file_size < minimum:
            raise NotReadableError("it is incomplete")
        if limit is not None and info.file_size > limit:
            raise NotReadableError(f"what it holds besides tensors takes {info.file_size} bytes")
        return self._archive.open(info)


class _LegacyLayout:
    """A magic number, a version, facts about the system, what was saved, keys of storages; then these, each with its count."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._size = file.seek(0, io.SEEK_END)
        file.seek(0)
        if self._next()[0] != _LEGACY_MAGIC:
            raise NotReadableError("it is no file of PyTorch")
        self._next()
        system = self._next()[0]
        _check_order(isinstance(system, dict) and system.get("little_endian") is True)
        self.tree, storages = self._next()
        self._starts = self._find(self._next()[0], storages)

    def open(self, storage: _Storage, num_bytes: int) -> IO[bytes]:
        if storage.key not in self._starts or self._starts[storage.key] + num_bytes > self._size:
            raise NotReadableError("it is incomplete")
        self._file.seek(self._starts[storage.key])
        return self._file

    def _find(self, keys: object, storages: Mapping[str, _Storage]) -> dict[str, int]:
        """Where the numbers of each storage begin."""
        import torch

        starts = {}
        for key in keys if isinstance(keys, list) else []:
            storage = storages.get(key) if isinstance(key, str) else None
            count = int.from_bytes(self._file.read(_COUNT_BYTES), "little")
            if storage is None or count != storage.count:
                raise NotReadableError("it is incomplete")
            starts[storage.key] = self._file.tell()
            self._file.seek(storage.count * getattr(torch, storage.dtype).itemsize, io.SEEK_CUR)
        return starts

    def _next(self) -> tuple[Any, dict[str, _Storage]]:
        return _unpickle(next_pickle(self._file, min(self._size, _MAX_PICKLE_BYTES)))
