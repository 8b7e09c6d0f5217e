"""`cotracker3-offline` and `cotracker3-online`: points tracked together. They need PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.cotracker.adapter import CoTracker

__all__ = ["create_offline", "create_online"]


@runs_on_torch
def create_offline(
    *,
    weights: str | None = "default",
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    support_grid: str = "auto",
) -> CoTracker:
    """Make the tracker `cotracker3-offline`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("cotracker3-offline", weights, device, runtime=runtime, precision=precision, support_grid=support_grid)


@runs_on_torch
def create_online(
    *,
    weights: str | None = "default",
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    support_grid: str = "auto",
) -> CoTracker:
    """Make the tracker `cotracker3-online`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("cotracker3-online", weights, device, runtime=runtime, precision=precision, support_grid=support_grid)


def _create(name: str, weights: str | None, device: str, **options: str) -> CoTracker:
    with needing_torch(name):
        from sampt.trackers.cotracker.adapter import CoTracker
    return CoTracker.load(name, local_weights(name, weights), device, **options)
