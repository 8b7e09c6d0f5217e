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
    """Make the tracker `raft`, the full network; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("raft", weights, device, runtime, precision)


@runs_on_torch
def create_small(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> RaftTracker:
    """Make the tracker `raft-small`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("raft-small", weights, device, runtime, precision)


def _create(name: str, weights: str | None, device: str, runtime: str, precision: str) -> RaftTracker:
    with needing_torch(name):
        from sampt.trackers.raft.adapter import RaftTracker
    return RaftTracker.load(name, local_weights(name, weights), device, runtime=runtime, precision=precision)
