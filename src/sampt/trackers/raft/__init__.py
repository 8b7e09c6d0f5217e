"""`raft` and `raft-small`: points carried by RAFT optical flow, chained. They need PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.errors import BackendError
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.raft.adapter import RaftTracker

__all__ = ["create", "create_small"]


def create(*, weights: str | None = "default", device: str = "auto") -> RaftTracker:
    """Make the tracker `raft`, the full network.

    Args:
        weights: "default" for ``raft-things.pth``, fetched as :func:`sampt.weights.fetch` says; the path of an official
            checkpoint of this network, also one fitted on other data, or OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there, or PyTorch is
            missing.
    """
    return _create("raft", weights, device)


def create_small(*, weights: str | None = "default", device: str = "auto") -> RaftTracker:
    """Make the tracker `raft-small`; arguments and errors as for :func:`create`, the checkpoint is ``raft-small.pth``."""
    return _create("raft-small", weights, device)


def _create(name: str, weights: str | None, device: str) -> RaftTracker:
    try:
        from sampt.trackers.raft.adapter import RaftTracker
    except ImportError as error:
        raise BackendError(f"{name!r} needs PyTorch ({error}). Run: pip install 'sampt[torch]'.") from error
    path = local_weights(name, weights)
    return RaftTracker.load(name, None if path is None else str(path), device)
