"""A folder that one process has to itself."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from types import TracebackType

from sampt.errors import FolderBusyError
from sampt.files.atomic import output_errors

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLock"]

_LOG = logging.getLogger(__name__)


class FolderLock:
    """Nobody else works in ``folder``, which exists, until :meth:`release` or the end of a ``with`` block.

    The system frees it when the process dies. Where it knows no locks nothing is locked.

    Raises:
        FolderBusyError: somebody does; ``busy`` is its message.
        OutputError: the folder cannot be opened.
    """

    def __init__(self, folder: Path, busy: str) -> None:
        self._descriptor: int | None = None
        if fcntl is None:
            return
        with output_errors(folder):
            self._descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise FolderBusyError(busy) from None
        except OSError:  # a file system without locks
            _LOG.debug("%s cannot be locked", folder)

    def release(self) -> None:
        """A second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> FolderLock:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.release()
