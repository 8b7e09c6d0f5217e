"""Locations on disk for what must wait: masks of a time-reversed run, which ends before its frames are due, and what more
objects than usual leave behind in a window."""

from __future__ import annotations

import pickle
import tempfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import IO, Generic, TypeVar

from sampt.errors import OutputError
from sampt.masks.merge import ObjectMask
from sampt.types import FramePoints

__all__ = ["Shelf", "Spool", "Waiting"]

Key = TypeVar("Key", bound=Hashable)
Value = TypeVar("Value")
Waiting = tuple[list[ObjectMask], list[FramePoints]]


class Spool:
    """Masks and points by frame, in an unnamed temporary file that vanishes with the process.

    Raises:
        OutputError: (from any call) the folder for temporary files is full or cannot be written.
    """

    def __init__(self) -> None:
        with _disk_errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        self._locations: dict[int, tuple[int, int]] = {}

    def put(self, frame_idx: int, waiting: Waiting) -> None:
        """Keep what is known of a frame."""
        data = zlib.compress(pickle.dumps(waiting, protocol=pickle.HIGHEST_PROTOCOL), 1)
        with _disk_errors():
            self._locations[frame_idx] = (self._file.seek(0, 2), len(data))
            self._file.write(data)
            self._file.flush()

    def take(self, frame_idx: int) -> Waiting:
        """What was kept of the frame; nothing when nothing was."""
        if frame_idx not in self._locations:
            return [], []
        start, length = self._locations.pop(frame_idx)
        self._file.seek(start)
        waiting: Waiting = pickle.loads(zlib.decompress(self._file.read(length)))  # noqa: S301 - our own unnamed file
        return waiting

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


class Shelf(Generic[Key, Value]):
    """Values by key, of which no more than ``memory_bytes`` stay in memory; those put first wait on disk.

    They go in batches, each in an unnamed temporary file of its own, whose space is free again when all of it was taken away.
    What is read from disk is read again the next time.

    Args:
        memory_bytes: room in memory.
        num_bytes: of a value.

    Raises:
        OutputError: (from any call) the folder for temporary files is full or cannot be written.
    """

    def __init__(self, memory_bytes: int, num_bytes: Callable[[Value], int]) -> None:
        self._room, self._num_bytes = memory_bytes, num_bytes
        self._near: OrderedDict[Key, tuple[Value, int]] = OrderedDict()
        self._near_bytes = 0
        self._far: dict[Key, tuple[_Batch, int, int]] = {}

    def put(self, key: Key, value: Value) -> None:
        """Keep a value; what had the key before is gone."""
        self.drop(key)
        size = self._num_bytes(value)
        self._near[key] = value, size
        self._near_bytes += size
        if self._near_bytes > self._room:
            self._move()

    def get(self, key: Key) -> Value | None:
        """The value, or None."""
        if key in self._near:
            return self._near[key][0]
        if key not in self._far:
            return None
        batch, start, length = self._far[key]
        batch.file.seek(start)
        value: Value = pickle.loads(batch.file.read(length))  # noqa: S301 - our own unnamed file
        return value

    def take(self, key: Key) -> Value | None:
        """The value, or None; it is not kept any longer."""
        value = self.get(key)
        self.drop(key)
        return value

    def drop(self, key: Key) -> None:
        """Forget a value, if there is one."""
        if key in self._near:
            self._near_bytes -= self._near.pop(key)[1]
        elif key in self._far:
            batch = self._far.pop(key)[0]
            batch.left -= 1
            if not batch.left:
                batch.file.close()

    def _move(self) -> None:
        """The older half of what is in memory goes to disk."""
        with _disk_errors():
            batch = _Batch(tempfile.TemporaryFile())  # noqa: SIM115 - it lives until all of it was taken away
            while self._near and self._near_bytes > self._room // 2:
                key, (value, size) = self._near.popitem(last=False)
                data = pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL)
                self._far[key] = batch, batch.file.tell(), len(data)
                batch.file.write(data)
                batch.left += 1
                self._near_bytes -= size
            batch.file.flush()


class _Batch:
    """A file, and how many values in it are still wanted."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.left = file, 0


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Masks that wait cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}); "
            "free some room there or set TMPDIR to a folder with room."
        ) from error
