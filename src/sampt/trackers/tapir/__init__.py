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
    """Make the tracker `tapir`.

    Args:
        weights: "default" for ``tapir_checkpoint_panning.pt``, fetched as :func:`sampt.weights.fetch` says; the path of an
            official PyTorch checkpoint of this network, or OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".
        runtime: "torch", which "auto" means, or "compiled": PyTorch compiles the heavy parts of the network when they are
            first called.
        precision: of products and convolutions in these parts: "float32", which "auto" means, "bfloat16" or "float16".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there or cannot compute
            so, or PyTorch is missing.
    """
    return _create("tapir", weights, device, runtime, precision)


@runs_on_torch
def create_boots(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapirTracker | CausalTapirTracker:
    """Make the tracker `bootstapir`; as :func:`create`, the checkpoint is ``bootstapir_checkpoint_v2.pt``."""
    return _create("bootstapir", weights, device, runtime, precision)


@runs_on_torch
def create_boots_causal(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapirTracker | CausalTapirTracker:
    """Make the tracker `bootstapir-causal`, frame by frame; its checkpoint is ``causal_bootstapir_checkpoint.pt``."""
    return _create("bootstapir-causal", weights, device, runtime, precision)


def _create(name: str, weights: str | None, device: str, runtime: str, precision: str) -> TapirTracker | CausalTapirTracker:
    with needing_torch(name):
        from sampt.trackers.tapir.adapter import load
    return load(name, local_weights(name, weights), device, runtime=runtime, precision=precision)
