"""A folder that one process has to itself."""

from __future__ import annotations

import contextlib
import logging
import os
from pathlib import Path
from types import TracebackType

from sampt.errors import FolderBusyError
from sampt.files.atomic import output_errors
from sampt.files.locking import has_flock, try_lock

__all__ = ["FolderLock"]

_LOG = logging.getLogger(__name__)


class FolderLock:
    """Nobody else works in ``folder``, which exists, until :meth:`release` or the end of a ``with`` block.

    The system frees it when the process dies. Where the file system knows no locks nothing is locked. Windows locks no folders:
    there it is the lock of a file beside it, ``.NAME.sampt-lock``, which is removed at the end; one that a killed process left
    locks nothing.

    Raises:
        FolderBusyError: somebody does; ``busy`` is its message.
        OutputError: the folder, or the file beside it, cannot be opened.
    """

    def __init__(self, folder: Path, busy: str) -> None:
        self._descriptor: int | None = None
        self._file = None if has_flock() else _file_beside(folder)
        with output_errors(folder):
            if self._file is None:
                self._descriptor = os.open(folder, os.O_RDONLY)
            else:
                self._descriptor = os.open(self._file, os.O_RDWR | os.O_CREAT, 0o666)
        try:
            is_ours = try_lock(self._descriptor)
        except OSError:  # a file system without locks
            _LOG.debug("%s cannot be locked", folder)
            return
        if not is_ours:
            self._file = None  # it is whose lock it is
            self.release()
            raise FolderBusyError(busy)

    def release(self) -> None:
        """A second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
            if self._file is not None:
                with contextlib.suppress(OSError):  # Windows keeps it where somebody has opened it since, to lock it
                    self._file.unlink()

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()


def _file_beside(folder: Path) -> Path:
    """Not inside, where it would keep an empty folder from being removed."""
    real = Path(os.path.realpath(folder))
    return real.with_name(f".{real.name}.sampt-lock") if real.name else real / ".sampt-lock"
