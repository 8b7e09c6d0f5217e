"""Files that appear whole or not at all, a folder that one process has to itself, and disk errors as one line."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sampt.errors import FolderBusyError, OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

__all__ = ["FolderLock", "disk_errors", "write_atomic"]

_LOG = logging.getLogger(__name__)


@contextmanager
def disk_errors(path: Path) -> Iterator[None]:
    """Turn an :class:`OSError` about ``path`` into an :class:`OutputError` of one line."""
    try:
        yield
    except OSError as error:
        reason = " ".join((error.strerror or str(error) or type(error).__name__).split())
        raise OutputError(
            f"{path} cannot be written or read ({reason}); expected a project on a disk with room: check disk and permissions."
        ) from error


def write_atomic(path: Path, data: bytes) -> None:
    """Replace ``path`` by a file with ``data``, which is on the disk before it has its name.

    Raises:
        OutputError: it cannot be written; ``path`` is as it was.
    """
    partial = path.with_name(path.name + ".partial")
    with disk_errors(path):
        try:
            with partial.open("wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError:
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)
            raise


class FolderLock:
    """Nobody else works in ``folder`` until :meth:`release`; the system frees it when the process dies.

    Raises:
        FolderBusyError: somebody does.
    """

    def __init__(self, folder: Path) -> None:
        self._descriptor: int | None = None
        if fcntl is None:
            return
        with disk_errors(folder):
            self._descriptor = os.open(folder, os.O_RDONLY)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self.release()
            raise FolderBusyError(f"The project {folder} is open in another session; close that one first.") from None
        except OSError:  # a file system without locks
            _LOG.debug("%s cannot be locked", folder)

    def release(self) -> None:
        """A second call does nothing."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None
