"""`tapnext`, `tapnext-pp` and `tapnext-pp-512`: points tracked by a recurrent network, frame by frame. They need PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.tapnext.adapter import TapNextTracker

__all__ = ["create", "create_pp", "create_pp_512"]


@runs_on_torch
def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapNextTracker:
    """Make the tracker `tapnext`, the weights known as BootsTAPNext; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("tapnext", weights, device, runtime, precision)


@runs_on_torch
def create_pp(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapNextTracker:
    """Make the tracker `tapnext-pp`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("tapnext-pp", weights, device, runtime, precision)


@runs_on_torch
def create_pp_512(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapNextTracker:
    """Make the tracker `tapnext-pp-512`; see :func:`sampt.trackers.create.create_tracker`."""
    return _create("tapnext-pp-512", weights, device, runtime, precision)


def _create(name: str, weights: str | None, device: str, runtime: str, precision: str) -> TapNextTracker:
    with needing_torch(name):
        from sampt.trackers.tapnext.adapter import TapNextTracker
    return TapNextTracker.load(name, local_weights(name, weights), device, runtime=runtime, precision=precision)
