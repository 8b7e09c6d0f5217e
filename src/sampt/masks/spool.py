"""A place on disk for objects' masks that must wait: the time-reversed run ends before its frames are due."""

from __future__ import annotations

import pickle
import tempfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager

from sampt.errors import OutputError
from sampt.masks.merge import ObjectMask
from sampt.types import FramePoints

__all__ = ["Spool", "Waiting"]

Waiting = tuple[list[ObjectMask], list[FramePoints]]


class Spool:
    """Masks and points by frame, in an unnamed temporary file that vanishes with the process.

    Raises:
        OutputError: (from any call) the folder for temporary files is full or cannot be written.
    """

    def __init__(self) -> None:
        with _disk_errors():
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as this object
        self._places: dict[int, tuple[int, int]] = {}

    def put(self, frame_idx: int, waiting: Waiting) -> None:
        """Keep what is known of a frame."""
        data = zlib.compress(pickle.dumps(waiting, protocol=pickle.HIGHEST_PROTOCOL), 1)
        with _disk_errors():
            self._places[frame_idx] = (self._file.seek(0, 2), len(data))
            self._file.write(data)
            self._file.flush()

    def take(self, frame_idx: int) -> Waiting:
        """What was kept of the frame; nothing when nothing was."""
        if frame_idx not in self._places:
            return [], []
        start, length = self._places.pop(frame_idx)
        self._file.seek(start)
        waiting: Waiting = pickle.loads(zlib.decompress(self._file.read(length)))  # noqa: S301 - our own unnamed file
        return waiting

    def close(self) -> None:
        """Give the space back."""
        self._file.close()


@contextmanager
def _disk_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(
            f"Masks that wait cannot be kept in {tempfile.gettempdir()} ({error.strerror or error}); "
            "free some room there or set TMPDIR to a folder with room."
        ) from error
