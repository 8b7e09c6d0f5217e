"""Errors of the disk as one line."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sampt.errors import OutputError

__all__ = ["disk_errors"]


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
