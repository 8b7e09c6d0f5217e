"""Where checkpoints lie, and whether what lies there is the right thing. Nothing here uses the network.

The cache is one folder of files under their official names. Beside a file whose digest was checked lies a record of it, so that
gigabytes are read once and not at every start.
"""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from sampt.errors import BackendError
from sampt.files.limits import parse_json
from sampt.files.locking import try_lock
from sampt.files.names import real_path
from sampt.weights.hub import found_in_hub
from sampt.weights.sources import WeightsSource, describe_bytes

__all__ = [
    "Verification",
    "cached_path",
    "check_room",
    "compute_digest",
    "disk_errors",
    "find_verified",
    "is_offline",
    "locked",
    "make_partial_path",
    "verify",
    "verify_and_record",
    "weights_folder",
    "write_json",
]

logger = logging.getLogger(__name__)

_NO = ("", "0", "false", "no", "off")
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_POLL_S = 0.1


@dataclass(frozen=True)
class Verification:
    """What is known of a checkpoint at hand.

    Attributes:
        path: where it is.
        algorithm: "sha256" or "md5".
        digest: in hexadecimal digits.
        is_published: True when it is the published digest; False when there is none, and this one was recorded here.
    """

    path: Path
    algorithm: str
    digest: str
    is_published: bool


def weights_folder() -> Path:
    """The cache: ``SAMPT_WEIGHTS_DIR``, else ``sampt/weights`` under ``XDG_CACHE_HOME`` or ``~/.cache``. It may not exist."""
    if given := os.environ.get("SAMPT_WEIGHTS_DIR"):
        return Path(given).expanduser().absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    return (base if base.is_absolute() else Path.home() / ".cache") / "sampt" / "weights"  # relative ones do not count (XDG)


def is_offline() -> bool:
    """Whether ``SAMPT_OFFLINE`` forbids the network."""
    return os.environ.get("SAMPT_OFFLINE", "").strip().lower() not in _NO


def cached_path(source: WeightsSource) -> Path | None:
    """The checkpoint in the cache, or else in the Hugging Face hub's; None when in neither. Its contents are not checked."""
    own = weights_folder() / source.file
    return own if own.is_file() else next(iter(found_in_hub(source)), None)


def make_partial_path(path: Path) -> Path:
    """Where ``path`` grows until it is complete."""
    return path.with_name(path.name + ".partial")


def find_verified(source: WeightsSource) -> Verification | None:
    """The checkpoint, wherever it is at hand, with the right digest; None when it has to be fetched.

    Raises:
        BackendError: a file in the cache is not what it is called.
    """
    own = weights_folder() / source.file
    if own.is_file():
        return _find_record(source, own) or _check(source, own)
    for path in found_in_hub(source):
        found = _find_record(source, path) or _checked_in_hub(source, path)
        if found:
            return found
    return None


def verify(source: WeightsSource) -> Verification | None:
    """Read the checkpoint at hand to its last byte and compare its digest with the published or recorded one.

    Returns:
        None when it is not at hand.

    Raises:
        BackendError: it is not what it is called.
    """
    own = weights_folder() / source.file
    if own.is_file():
        return _check(source, own)
    return next((found for path in found_in_hub(source) if (found := _checked_in_hub(source, path))), None)


def verify_and_record(source: WeightsSource, path: Path, *, is_named: Path | None = None) -> Verification:
    """Compare the file at ``path`` with what ``source`` says and keep a record of it.

    Args:
        source: what it should be.
        path: the file.
        is_named: the path it is going to be renamed to.

    Raises:
        BackendError: size or digest are wrong; the message begins with what was found.
    """
    size = path.stat().st_size
    if source.is_exact_size and size != source.num_bytes:
        raise BackendError(f"has {size} bytes, expected {source.num_bytes}")
    expected = source.digest
    algorithm = expected[0] if expected else "sha256"
    digest = compute_digest(path, algorithm)
    if expected and digest != expected[1]:
        raise BackendError(f"has the {algorithm} {digest}, expected {expected[1]}")
    found = Verification(is_named or path, algorithm, digest, expected is not None)
    _keep_record(source, found, path)
    return found


def compute_digest(path: Path, algorithm: str) -> str:
    """Hexadecimal digest of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.new(algorithm, usedforsecurity=False)).hexdigest()


def write_json(path: Path, data: object) -> None:
    """Write a small file that appears whole or not at all; OSError when it cannot be."""
    partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
    try:
        partial.write_text(json.dumps(data, indent=1), encoding="utf-8")
        partial.replace(path)
    except OSError:
        partial.unlink(missing_ok=True)
        raise


def check_room(folder: Path, needed: int, what: str) -> None:
    """Refuse what cannot fit, before it is begun.

    Raises:
        BackendError: fewer than ``needed`` bytes are free.
    """
    with disk_errors(folder, what):
        free = shutil.disk_usage(folder).free
    if free < needed:
        raise BackendError(_no_room(folder, what, needed, free))


@contextmanager
def disk_errors(folder: Path, what: str, needed: int | None = None) -> Iterator[None]:
    """Turn an :class:`OSError` met while writing ``what`` (``needed`` more bytes) in ``folder`` into one line."""
    try:
        yield
    except OSError as error:
        if error.errno in _FULL:
            try:
                free = shutil.disk_usage(folder).free
            except OSError:
                free = 0
            raise BackendError(_no_room(folder, what, needed, free)) from error
        reason = error.strerror or str(error) or type(error).__name__
        raise BackendError(
            f"{what} cannot be kept in {folder} ({' '.join(reason.split())}); expected a folder that may be written: change its"
            " permissions, or set SAMPT_WEIGHTS_DIR to another one."
        ) from error


@contextmanager
def locked(name: str) -> Iterator[None]:
    """Hold the lock ``name`` of the cache; waits as long as another process holds it.

    It is the operating system's lock (flock; msvcrt on Windows) and not a file whose existence means "locked": the system drops
    it with the process, even a killed one, so there is no left-over lock whose age would have to be guessed about.

    Raises:
        BackendError: the cache cannot be written.
    """
    folder = weights_folder()
    with disk_errors(folder, name):
        (folder / ".locks").mkdir(parents=True, exist_ok=True)
        file = (folder / ".locks" / f"{name}.lock").open("a+b")
    with file:
        is_waiting = False
        with disk_errors(folder, name):
            while not try_lock(file.fileno()):
                if not is_waiting:
                    logger.warning("waiting for another process that is working on %s", name)
                is_waiting = True
                time.sleep(_POLL_S)
        yield  # closing the file unlocks it


def _no_room(folder: Path, what: str, needed: int | None, free: int) -> str:
    wants = "more room" if needed is None else f"{needed} bytes ({describe_bytes(needed)}) more"
    return (
        f"The disk is full: {what} needs {wants} in {folder}, where {describe_bytes(free)} are free; free some, or set"
        " SAMPT_WEIGHTS_DIR to a folder on another disk."
    )


def _record_path(source: WeightsSource) -> Path:
    return weights_folder() / f"{source.file}.json"


def _location(source: WeightsSource, path: Path) -> str:
    """How a record names the file: a cache may be moved as a whole."""
    return source.file if path == weights_folder() / source.file else str(path)


def _keep_record(source: WeightsSource, found: Verification, path: Path) -> None:
    stat = path.stat()
    data = asdict(found) | {"path": _location(source, found.path), "size": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    try:
        weights_folder().mkdir(parents=True, exist_ok=True)
        write_json(_record_path(source), data | {"url": source.url})
    except OSError as error:  # a cache that may only be read, or is full: the digest is computed again next time
        logger.info("no record of %s is kept: %s", path, error)


def _read_record(source: WeightsSource, path: Path) -> dict[str, object]:
    """The record of this very file at this very location, or nothing."""
    try:
        data = parse_json(_record_path(source).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) and data.get("path") == _location(source, path) else {}


def _find_record(source: WeightsSource, path: Path) -> Verification | None:
    """What was found out when the file was read before, if it has not been touched since."""
    record, stat = _read_record(source, path), path.stat()
    if (record.get("size"), record.get("mtime_ns")) != (stat.st_size, stat.st_mtime_ns):
        return None
    algorithm, digest = str(record.get("algorithm")), str(record.get("digest"))
    expected = source.digest
    if expected and (algorithm, digest) != expected:
        return None
    return Verification(path, algorithm, digest, expected is not None)


def _check(source: WeightsSource, own: Path) -> Verification:
    """The file in the cache, read to the end."""
    before = _read_record(source, own)
    advice = f"Delete it and run 'sampt weights pull {source.name}'."
    if source.digest is None and before.get("algorithm") == "sha256":
        digest = compute_digest(own, "sha256")
        if digest != before["digest"]:
            raise BackendError(
                f"{own} has the sha256 {digest}; when it was first fetched it was {before['digest']}: it was changed. {advice}"
            )
    try:
        return verify_and_record(source, own)
    except BackendError as error:
        raise BackendError(f"{own} {error}: it is not the official {source.name}. {advice}") from error


def _checked_in_hub(source: WeightsSource, path: Path) -> Verification | None:
    """The file in the hub's cache if it is the right one: its name there is its sha256, whatever is published."""
    digits = real_path(path).name
    try:
        if source.digest is None and len(digits) == 64 and compute_digest(path, "sha256") != digits:
            raise BackendError(f"has not the sha256 {digits}")
        return verify_and_record(source, path)
    except (BackendError, OSError) as error:
        logger.warning("%s in the hub's cache is not used: it %s", path, error)
        return None
