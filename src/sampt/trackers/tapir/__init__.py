"""`tapir`, `bootstapir` and `bootstapir-causal`: points matched in every frame, then refined over time. They need PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.tapir.adapter import CausalTapirTracker, TapirTracker

__all__ = ["create", "create_boots", "create_boots_causal"]


@runs_on_torch
def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapirTracker | CausalTapirTracker:
    """Make the tracker `tapir`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("tapir", weights, device, runtime, precision)


@runs_on_torch
def create_boots(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapirTracker | CausalTapirTracker:
    """Make the tracker `bootstapir`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("bootstapir", weights, device, runtime, precision)


@runs_on_torch
def create_boots_causal(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapirTracker | CausalTapirTracker:
    """Make the tracker `bootstapir-causal`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("bootstapir-causal", weights, device, runtime, precision)


def _create(name: str, weights: str | None, device: str, runtime: str, precision: str) -> TapirTracker | CausalTapirTracker:
    with needing_torch(name):
        from sampt.trackers.tapir.adapter import load
    return load(name, local_weights(name, weights), device, runtime=runtime, precision=precision)
