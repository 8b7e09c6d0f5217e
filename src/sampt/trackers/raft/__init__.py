"""`raft` and `raft-small`: points carried by RAFT optical flow, chained. They need PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.raft.adapter import RaftTracker

__all__ = ["create", "create_small"]


@runs_on_torch
def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> RaftTracker:
    """Make the tracker `raft`, the full network.

    Args:
        weights: "default" for ``raft-things.pth``, fetched as :func:`sampt.weights.fetch` says; the path of an official
            checkpoint of this network, also one fitted on other data, or OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".
        runtime: "torch", which "auto" means, or "compiled": PyTorch compiles the heavy parts of the network when they are
            first called.
        precision: of products and convolutions in these parts: "float32", which "auto" means, "bfloat16" or "float16".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there or cannot compute
            so, or PyTorch is missing.
    """
    return _create("raft", weights, device, runtime, precision)


@runs_on_torch
def create_small(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> RaftTracker:
    """Make the tracker `raft-small`; arguments and errors as for :func:`create`, the checkpoint is ``raft-small.pth``."""
    return _create("raft-small", weights, device, runtime, precision)


def _create(name: str, weights: str | None, device: str, runtime: str, precision: str) -> RaftTracker:
    with needing_torch(name):
        from sampt.trackers.raft.adapter import RaftTracker
    return RaftTracker.load(name, local_weights(name, weights), device, runtime=runtime, precision=precision)
