"""`tapnet`: points matched in every frame, each by itself. It needs PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.tapnet.adapter import TapNetTracker

__all__ = ["create"]


@runs_on_torch
def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapNetTracker:
    """Make the tracker `tapnet`; see :func:`sampt.trackers.create.create_tracker`."""
    with needing_torch("tapnet"):
        from sampt.trackers.tapnet.adapter import TapNetTracker
    return TapNetTracker.load(local_weights("tapnet", weights), device, runtime=runtime, precision=precision)
