"""The Hugging Face hub: where it is, and files that other programs have already put into its cache, which is only ever read.

Its layout is published at https://huggingface.co/docs/hub/local-cache: ``models--OWNER--NAME/snapshots/COMMIT/FILE`` links to
``blobs/SHA256``, and ``refs/main`` holds the commit that the branch was at.
"""

from __future__ import annotations

import os
from pathlib import Path

from sampt.weights.sources import WeightsSource

__all__ = ["at_endpoint", "found_in_hub"]

_HUB = "https://huggingface.co"


def at_endpoint(url: str) -> str:
    """``url`` on the mirror of the hub that ``HF_ENDPOINT`` names, as for the hub's own library; other addresses stay."""
    mirror = os.environ.get("HF_ENDPOINT", "").rstrip("/")
    return mirror + url.removeprefix(_HUB) if mirror and url.startswith(f"{_HUB}/") else url


def found_in_hub(source: WeightsSource) -> list[Path]:
    """Where the hub's cache has the file of ``source``: that of the branch first.

    Those of older commits follow only where a published digest tells them from each other.
    """
    if source.hub_file is None or source.member is not None:
        return []
    repository, file = source.hub_file
    folder = _hub_folder() / f"models--{repository.replace('/', '--')}"
    try:
        newest = (folder / "refs" / "main").read_text(encoding="ascii").strip()
    except (OSError, ValueError):
        newest = ""
    commits = [newest] if newest else []
    if source.digest is not None and (folder / "snapshots").is_dir():
        commits += sorted({p.name for p in (folder / "snapshots").iterdir()} - {newest})
    return [path for commit in commits if (path := folder / "snapshots" / commit / file).is_file()]


def _hub_folder() -> Path:
    for variable in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        if given := os.environ.get(variable):
            return Path(given).expanduser()
    if given := os.environ.get("HF_HOME"):
        return Path(given).expanduser() / "hub"
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base).expanduser() if base else Path.home() / ".cache") / "huggingface" / "hub"
