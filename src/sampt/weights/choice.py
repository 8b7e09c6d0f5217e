"""What a user says of weights -> the file of them: the official ones, random ones, a path, or a repository on the hub.

"default", "random" or None, the path of a file or folder, or OWNER/NAME on the Hugging Face hub. Here too: what there is to
know of the choice before anything is loaded.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from sampt.errors import BackendError
from sampt.files.listing import visible_entries
from sampt.weights.cache import cached_path, find_verified, is_offline, weights_folder
from sampt.weights.fetch import fetch_first
from sampt.weights.hub import at_endpoint
from sampt.weights.sources import SOURCES, WeightsSource, default_source, describe_bytes, hub_sources, is_hub_id

__all__ = ["WeightsFacts", "describe_source", "describe_weights", "local_weights", "weights_identity"]


@dataclass(frozen=True)
class WeightsFacts:
    """What a backend is going to load.

    Attributes:
        where: path of what is here, else URL, else the page where a person gets it.
        num_bytes: size, or None where it is not known before the download.
        license: of the weights, or where to read about it.
        state: "here" (given by its path), "cached", "to download", "offline" (not here, and the network is forbidden) or
            "by hand" (not here, and no program can fetch it).
    """

    where: str
    num_bytes: int | None
    license: str
    state: str


def local_weights(backend: str, weights: str | None) -> Path | None:
    """The file or folder to load; what is on a server is fetched as :func:`sampt.weights.fetch` says.

    Args:
        backend: name of the tracker or segmenter whose official weights "default" means.
        weights: "default", a path, OWNER/NAME on the hub, or None.

    Returns:
        A path, at which there is nothing when that was wrong; None for random weights.

    Raises:
        BackendError: it cannot be fetched.
    """
    if weights is None or weights == "random":
        return None
    sources = _list_sources(backend, weights)
    return fetch_first(sources) if sources else Path(weights).expanduser()


def describe_weights(backend: str, weights: str | None) -> WeightsFacts | None:
    """What ``backend`` is going to load besides its own package; None where that is nothing, or nothing is known of it.

    Nothing is fetched, and no contents are looked at.
    """
    if weights is None or weights == "random":
        return None
    sources = _list_sources(backend, weights)
    if not sources:
        return _describe_path(Path(weights).expanduser()) if weights != "default" else None
    for source in sources:
        if path := cached_path(source):
            return WeightsFacts(str(path), path.stat().st_size, source.license_weights, "cached")
    source = sources[0]
    if source.url is None or source.is_gated:
        return WeightsFacts(source.page, source.num_bytes, source.license_weights, "by hand")
    state = "offline" if is_offline() else "to download"
    return WeightsFacts(at_endpoint(source.url), source.num_bytes, source.license_weights, state)


def describe_source(backend: str, weights: str | None) -> str | None:
    """:func:`describe_weights` as one line for people: what, from where, how large, the licence, whether it is in the cache."""
    facts = describe_weights(backend, weights)
    if facts is None:
        return None
    size = describe_bytes(facts.num_bytes)
    begin = {
        "here": f"loads {facts.where} ({size})",
        "cached": f"loads {facts.where} ({size}, in the cache)",
        "to download": f"downloads {facts.where} ({size}, not in the cache) to {weights_folder()}",
        "offline": f"needs {facts.where} ({size}, not in the cache), and SAMPT_OFFLINE is set",
        "by hand": f"needs what {facts.where} offers ({size}, not in the cache)",
    }[facts.state]
    return f"{begin}; licence of the weights: {facts.license}"


def weights_identity(backend: str, weights: str | None) -> object:
    """Plain values that are others whenever the weights at hand are: digest, or names, sizes and times of files."""
    if weights is None or weights == "random":
        return "random"
    for source in _list_sources(backend, weights):
        if found := find_verified(source):
            return {found.algorithm: found.digest}
    if weights == "default":
        return weights  # in the package, whose version is reported elsewhere
    path = Path(weights).expanduser()
    # Not the whole path: a run stays the same when files are moved.
    return [[file.name, size, mtime_ns] for file, size, mtime_ns in _files_at(path)] if path.exists() else weights


def _list_sources(backend: str, weights: str) -> tuple[WeightsSource, ...]:
    """Where the weights are when they are on a server."""
    if weights == "default":
        return (default_source(backend),) if any(s.backend == backend for s in SOURCES.values()) else ()
    is_here = Path(weights).expanduser().exists()
    return hub_sources(weights) if is_hub_id(weights) and not is_here else ()


def _describe_path(path: Path) -> WeightsFacts | None:
    if not path.exists():
        return None  # the backend tells, which knows what it expects
    num_bytes = sum(size for _, size, _ in _files_at(path))
    return WeightsFacts(str(path), num_bytes, "unknown (not an official file)", "here")


def _files_at(path: Path) -> Iterator[tuple[Path, int, int]]:
    """Path, size and time of the file, or of every file in the folder."""
    try:
        files = [p for p in visible_entries(path) if p.is_file()] if path.is_dir() else [path]
        for file in files:
            stat = file.stat()
            yield file, stat.st_size, stat.st_mtime_ns
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise BackendError(f"{path} cannot be read as weights ({reason}); give a file or folder that may be read.") from error
