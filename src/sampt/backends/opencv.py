"""Which build of OpenCV is here: several share the one folder ``cv2``, overwrite each other's files, and take them along."""

from __future__ import annotations

import importlib.util
from importlib import metadata

from sampt.errors import BackendError

__all__ = ["BUILDS", "check_opencv", "describe_builds"]

BUILDS = ("opencv-python-headless", "opencv-python", "opencv-contrib-python-headless", "opencv-contrib-python")
_WAY_ROUND = "docs/install.md, 'OpenCV'"


def describe_builds() -> str | None:
    """One line where several builds are installed: the last one is in use, and removing any of them breaks it. Else None."""
    found = _installed()
    if len(found) < 2:
        return None
    return (
        f"{' and '.join(found)} are installed together and share the folder cv2: removing one breaks the other. "
        f"Any one of them will do: {_WAY_ROUND}."
    )


def check_opencv() -> None:
    """See that ``cv2`` can be imported, without importing it.

    Raises:
        BackendError: it is not there, or what is left of it after another build was removed.
    """
    spec = importlib.util.find_spec("cv2")
    if spec is None or spec.origin is None:  # a folder without its __init__.py has no origin
        build = next(iter(_installed()), BUILDS[0]).partition(" ")[0]
        raise BackendError(
            f"OpenCV (cv2) is {'missing' if spec is None else 'broken'}, as after the removal of another build of it. "
            f"Run: pip install --force-reinstall --no-deps {build} ({_WAY_ROUND})."
        )


def _installed() -> list[str]:
    """Name and version of the builds that pip knows of."""
    found = []
    for name in BUILDS:
        try:
            found.append(f"{name} {metadata.version(name)}")
        except metadata.PackageNotFoundError:
            continue
    return found
