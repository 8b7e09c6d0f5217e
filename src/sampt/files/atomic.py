"""Files that appear complete or not at all, and operating-system errors as one line."""

from __future__ import annotations

import contextlib
import errno
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sampt.errors import OutputError

__all__ = [
    "SpooledWriter",
    "completing",
    "disk_errors",
    "make_folder",
    "make_partial_path",
    "output_errors",
    "sync_folder",
    "write_atomic",
]

_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_LONGEST_ON_WINDOWS = 259
"""Characters of a path, where its registry does not allow more."""
_FORBIDDEN = (errno.EACCES, errno.EPERM, errno.EROFS)
_NOT_A_FOLDER = (errno.ENOTDIR, errno.EEXIST, errno.EISDIR)


@contextmanager
def output_errors(path: Path) -> Iterator[None]:
    """Turn an :class:`OSError` met while writing ``path`` into an :class:`OutputError` of one line."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or str(error) or type(error).__name__
        if error.errno in _FULL:
            advice = "expected room on the disk; free some or choose another output folder"
        elif error.errno in _FORBIDDEN:
            advice = "expected a location that may be written; change its permissions or choose another output folder"
        elif len(os.path.abspath(path)) > _LONGEST_ON_WINDOWS and os.name == "nt":
            advice = (
                f"expected a path of at most {_LONGEST_ON_WINDOWS} characters; choose an output folder with a shorter path, "
                "or allow long paths (docs/install.md, Windows)"
            )
        elif error.errno in _NOT_A_FOLDER:
            advice = "expected files where files go and folders where folders go; choose another output folder"
        else:
            advice = "expected a writable file; check the disk or choose another output folder"
        raise OutputError(f"{path} cannot be written ({' '.join(reason.split())}): {advice}.") from error


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


def make_partial_path(path: Path) -> Path:
    """Where ``path`` grows until it is complete: the same name followed by ``.partial``."""
    return path.with_name(path.name + ".partial")


def write_atomic(path: Path, data: bytes, *, sync: bool = False) -> None:
    """Write ``data`` to ``path.partial`` and rename it to ``path``.

    Args:
        path: the file; its folder exists.
        data: its whole contents.
        sync: True makes the contents reach the disk before the name does, and the name before this returns (slow; for what
            says that others are complete).

    Raises:
        OutputError: it cannot be written; no ``path`` is made and the partial file is removed.
    """
    with completing(path) as partial, partial.open("wb") as file:
        file.write(data)
        if sync:
            file.flush()
            os.fsync(file.fileno())
    if sync:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make the names in ``folder`` reach the disk, where the system can do that."""
    with contextlib.suppress(OSError):  # Windows opens no folders, some file systems sync none
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


@contextmanager
def completing(path: Path) -> Iterator[Path]:
    """The partial file to write inside the block; it becomes ``path`` when the block ends well, else it is removed.

    Raises:
        OutputError: it cannot be written; no ``path`` is made.
    """
    partial = make_partial_path(path)
    with output_errors(path):
        try:
            yield partial
            partial.replace(path)
        except BaseException:
            with contextlib.suppress(OSError):  # the first failure is the one to tell
                partial.unlink(missing_ok=True)
            raise


class SpooledWriter(ABC):
    """A writer whose data wait in a file beside ``path`` and are assembled into ``path`` at the end."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self._spool_path = self.path.with_name(self.path.name + ".spool.partial")
        with output_errors(self.path):
            self._spool = self._spool_path.open("w+b")

    def close(self, success: bool) -> None:
        """Assemble the file when the run succeeded; the spool is removed either way."""
        try:
            if success:
                with completing(self.path) as partial:
                    self._assemble(partial)
        finally:
            with contextlib.suppress(OSError):  # the full disk was reported where it was met
                self._spool.close()
            self._spool_path.unlink(missing_ok=True)

    @abstractmethod
    def _assemble(self, partial: Path) -> None:
        """Write the whole file from the spool."""


def make_folder(folder: Path) -> Path:
    """Make ``folder`` and its parents where missing, and prove that files can be made in it.

    Raises:
        OutputError: a file is in the way, or the folder cannot be written.
    """
    if folder.exists() and not folder.is_dir():
        raise OutputError(
            f"The output folder {folder} is a file; expected a folder or a new name: choose another output folder."
        )
    with output_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / ".writable.partial"
        probe.write_bytes(b"")
        probe.unlink()
    return folder
