"""Folders without what operating systems and file managers leave in them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

__all__ = ["is_leftover", "visible", "visible_entries"]

_LEFTOVERS = frozenset(
    {
        "__macosx",  # of archives made on macOS: a second copy of every file, as resource forks
        "thumbs.db",
        "ehthumbs.db",
        "desktop.ini",
        "$recycle.bin",
        "system volume information",
        "@eadir",  # Synology
        "#recycle",
        "lost+found",
        "icon\r",
    }
)


def is_leftover(name: str) -> bool:
    """Whether a file or folder of this name is hidden (``._a.mp4`` and ``.DS_Store`` of macOS, too) or is left by a system.

    Nothing of the user's has such a name, so that no location that lists files takes one for a frame, a video or a result.
    """
    return name.startswith(".") or name.casefold() in _LEFTOVERS


def visible(paths: Iterable[Path]) -> list[Path]:
    """Those of ``paths`` that are no leftovers, in their order."""
    return [path for path in paths if not is_leftover(path.name)]


def visible_entries(folder: Path) -> list[Path]:
    """What is in a folder, sorted by name, but for leftovers.

    Raises:
        OSError: the folder cannot be read.
    """
    return sorted(visible(folder.iterdir()))
