"""`cotracker3-offline` and `cotracker3-online`: points followed together. They need PyTorch and downloaded weights."""

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
    """Make the tracker `cotracker3-offline`, which looks at the whole clip at once.

    Args:
        weights: "default" for ``scaled_offline.pth``, fetched as :func:`sampt.weights.fetch` says; the path of an official
            checkpoint of this network, or OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".
        runtime: "torch", which "auto" means, or "compiled": PyTorch compiles the heavy parts of the network when they are
            first called.
        precision: of products and convolutions in these parts: "float32", which "auto" means, "bfloat16" or "float16".
        support_grid: points that are followed beside those asked for and not told: "official", which "auto" means, 6 x 6 on the
            first frame; "paper", 2 x 2 on every 12th frame, as in SAM-PT's program; "none".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there or cannot compute
            so, or PyTorch is missing.
    """
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
    """Make the tracker `cotracker3-online`, which looks at windows of 16 frames.

    Arguments and errors as for :func:`create_offline`, the checkpoint is ``scaled_online.pth``.
    """
    return _create("cotracker3-online", weights, device, runtime=runtime, precision=precision, support_grid=support_grid)


def _create(name: str, weights: str | None, device: str, **options: str) -> CoTracker:
    with needing_torch(name):
        from sampt.trackers.cotracker.adapter import CoTracker
    return CoTracker.load(name, local_weights(name, weights), device, **options)
