"""`tracks`: point tracks that another program made, from a file; written as ``tracks:FILE``."""

from __future__ import annotations

from sampt.backends.options import check_device
from sampt.errors import BackendError
from sampt.trackers.tracks_file.adapter import FileTracker

__all__ = ["create"]


def create(*, weights: str | None = "default", device: str = "auto") -> FileTracker:
    """Make the tracker `tracks`; ``weights`` is the path of the file, or PATH#NAME for one video of several in it.

    Raises:
        BackendError: no file is given, or it cannot be read as tracks.
    """
    check_device(device, "tracks")
    if weights in ("default", None):
        raise BackendError("The tracker 'tracks' needs a file of tracks; write it as tracks:FILE.")
    return FileTracker.read(weights)
