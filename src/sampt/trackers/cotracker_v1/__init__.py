"""`cotracker-v1`: points tracked together, as in SAM-PT's paper. It needs PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.cotracker_v1.adapter import CoTrackerV1

__all__ = ["create"]


@runs_on_torch
def create(
    *,
    weights: str | None = "default",
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    support_grid: str = "auto",
) -> CoTrackerV1:
    """Make the tracker `cotracker-v1`; see :func:`sampt.trackers.create.create_tracker`."""
    with needing_torch("cotracker-v1"):
        from sampt.trackers.cotracker_v1.adapter import CoTrackerV1
    path = local_weights("cotracker-v1", weights)
    return CoTrackerV1.load(path, device, runtime=runtime, precision=precision, support_grid=support_grid)
