"""`pips`: points tracked by PIPS. It needs PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.pips.adapter import PipsTracker

__all__ = ["create"]


@runs_on_torch
def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> PipsTracker:
    """Make the tracker `pips`; see :func:`sampt.trackers.create.create_tracker`."""
    with needing_torch("pips"):
        from sampt.trackers.pips.adapter import PipsTracker
    return PipsTracker.load(local_weights("pips", weights), device, runtime=runtime, precision=precision)
