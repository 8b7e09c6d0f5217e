"""Room on the server's disk."""

from __future__ import annotations

import shutil
from pathlib import Path

from starlette.exceptions import HTTPException

__all__ = ["check_free"]


def check_free(folder: Path, free_bytes: int) -> None:
    """Refuse what is to be written into a folder, which may not exist yet; raises HTTPException 503 when less is free."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    if shutil.disk_usage(folder).free < free_bytes:
        raise HTTPException(503, "The server's disk has no room for it; remove files there.")
