"""The record of a run. A run is done when its manifest exists and holds the digest of its configuration and inputs."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Iterable
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Any

from sampt.errors import OutputError
from sampt.files.atomic import write_atomic
from sampt.files.limits import MAX_MANIFEST_BYTES, parse_json
from sampt.files.text import read_text
from sampt.version import __version__

__all__ = ["MANIFEST_NAME", "config_digest", "read_manifest", "versions", "write_manifest"]

MANIFEST_NAME = "run.json"
_LIBRARIES = ("kornia", "onnxruntime", "onnxruntime-gpu", "openvino", "torch", "transformers")
"""Distributions that backends compute with, as far as they are installed."""


def config_digest(config: dict[str, Any]) -> str:
    """SHA-256 (64 hex digits) of ``config`` as canonical JSON: keys sorted, no blanks, so the order of keys does not matter.

    Raises:
        OutputError: a value is NaN or infinite or none of JSON's, so that it has no one way to be written.
    """
    try:
        text = json.dumps(config, sort_keys=True, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OutputError(
            f"The configuration cannot be recorded ({error}); expected numbers, text, lists and dictionaries: convert it first."
        ) from error
    return hashlib.sha256(text.encode("ascii")).hexdigest()


def versions() -> dict[str, str]:
    """Versions of what decides the masks: sampt, python, numpy, cv2, av, the backends' libraries, and the platform.

    The libraries are the installed ones of torch, onnxruntime, openvino, transformers, kornia: whether anything has imported
    one makes no difference, so that the same run has the same versions in any process. None is imported for this.
    """
    import av
    import cv2
    import numpy as np

    return {
        "sampt": __version__,
        "python": platform.python_version(),
        "numpy": np.__version__,
        "cv2": cv2.__version__,
        "av": av.__version__,
        **_installed(_LIBRARIES),
        "platform": platform.platform(),
    }


def _installed(distributions: Iterable[str]) -> dict[str, str]:
    found = {}
    for name in distributions:
        with suppress(metadata.PackageNotFoundError):
            found[name] = metadata.version(name)
    return found


def write_manifest(path: Path | str, data: dict[str, Any]) -> None:
    """Write ``data`` as JSON, on the disk before it has its name: call it last, when everything else is complete.

    Raises:
        OutputError: it cannot be written, or a value is NaN or infinite or none of JSON's.
    """
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise OutputError(
            f"The manifest {path} cannot be written ({error}); expected numbers, text, lists and dictionaries: convert it."
        ) from error
    # A byte of a file's name that is not UTF-8 becomes an escape of JSON.
    write_atomic(Path(path), (text + "\n").encode("utf-8", "backslashreplace"), sync=True)


def read_manifest(path: Path | str) -> dict[str, Any] | None:
    """What ``write_manifest`` wrote, or None when there is no such file (the run is not done).

    Raises:
        OutputError: the file is there but cannot be read as a manifest.
    """
    try:
        data = parse_json(read_text(path, MAX_MANIFEST_BYTES, "a run.json of sampt"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise OutputError(
            f"{path} cannot be read as a manifest ({reason}); expected a run.json of sampt: remove it."
        ) from error
    if not isinstance(data, dict):
        raise OutputError(f"{path} holds a {type(data).__name__}; expected the object of a sampt run.json: remove it.")
    return data
