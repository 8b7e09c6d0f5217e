"""The files of a run as its manifest lists them, so that a later run sees whether they are all there and as they were."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sampt.files.atomic import output_errors, sync_folder
from sampt.files.listing import visible

__all__ = ["is_as_listed", "list_results"]


def list_results(folder: Path, results: Iterable[Path]) -> dict[str, dict[str, Any]]:
    """Path in ``folder`` -> ``bytes`` and ``sha256``, of every file of ``results``, all of them on the disk when this returns.

    Args:
        folder: of the run.
        results: files, and folders of files, in it.

    Raises:
        OutputError: one cannot be read.
    """
    found = {}
    for result in results:
        paths = sorted(p for p in visible(result.rglob("*")) if p.is_file()) if result.is_dir() else [result]
        for path in paths:
            found[path.relative_to(folder).as_posix()] = _facts(path, sync=True)
        for made in {path.parent for path in paths}:
            sync_folder(made)
    return found


def is_as_listed(folder: Path, results: Iterable[Path], listed: object) -> bool:
    """Whether all files are in ``folder`` that a manifest lists, with their contents, and some of each of ``results``.

    Args:
        folder: of the run.
        results: files and folders in it that are wanted.
        listed: what :func:`list_results` gave, from a file that anybody may have changed.

    Raises:
        OutputError: a file cannot be read.
    """
    if not isinstance(listed, Mapping):
        return False
    names = {Path(str(name)).parts[:1] for name in listed}
    if not {path.relative_to(folder).parts[:1] for path in results} <= names:
        return False
    for name, noted in listed.items():
        path = folder / str(name)
        if ".." in path.parts or not isinstance(noted, Mapping) or not path.is_file():
            return False
        if path.stat().st_size != noted.get("bytes") or _facts(path) != noted:
            return False
    return True


def _facts(path: Path, *, sync: bool = False) -> dict[str, Any]:
    with output_errors(path), path.open("rb") as file:
        if sync:
            os.fsync(file.fileno())
        digest = hashlib.file_digest(file, "sha256")
        return {"bytes": file.tell(), "sha256": digest.hexdigest()}
