"""`raft` and `raft-small`: points carried by RAFT optical flow, chained. They need PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.errors import BackendError

if TYPE_CHECKING:
    from sampt.trackers.raft.adapter import RaftTracker

__all__ = ["create", "create_small"]

_FILES = {"raft": "raft-things.pth", "raft-small": "raft-small.pth"}
_SOURCE = "https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip"


def create(*, weights: str | None = "default", device: str = "auto") -> RaftTracker:
    """Make the tracker `raft`, the full network.

    Args:
        weights: path of an official checkpoint of this network (``raft-things.pth``, or one fitted on other data); None for
            random ones. "default" is refused: none are in the package.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".

    Raises:
        BackendError: there are no weights, they are not those of this network, the device is not there, or PyTorch is missing.
    """
    return _create("raft", weights, device)


def create_small(*, weights: str | None = "default", device: str = "auto") -> RaftTracker:
    """Make the tracker `raft-small`; arguments and errors as for :func:`create`, the checkpoint is ``raft-small.pth``."""
    return _create("raft-small", weights, device)


def _create(name: str, weights: str | None, device: str) -> RaftTracker:
    if weights == "default":
        raise BackendError(
            f"{name!r} has no weights in the package; get {_FILES[name]} out of {_SOURCE} and give its path: "
            f"create_tracker({name!r}, weights='{_FILES[name]}')."
        )
    try:
        from sampt.trackers.raft.adapter import RaftTracker
    except ImportError as error:
        raise BackendError(f"{name!r} needs PyTorch ({error}). Run: pip install 'sampt[torch]'.") from error
    return RaftTracker.load(name, weights, device)
