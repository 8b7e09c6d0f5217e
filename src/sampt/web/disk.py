"""Room on the server's disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from starlette.exceptions import HTTPException

__all__ = ["check_free", "has_room"]


def has_room(folder: Path, free_bytes: int) -> bool:
    """Whether so much is free where a folder is, or would be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free >= free_bytes


def check_free(folder: Path, free_bytes: int) -> None:
    """Refuse what is to be written into a folder; raises HTTPException 503 when less is free."""
    if not has_room(folder, free_bytes):
        raise HTTPException(503, "The server's disk has no room for it; remove files there.")
