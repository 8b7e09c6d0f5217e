"""`tapir`, `bootstapir` and `bootstapir-causal`: points matched in every frame, then refined over time. They need PyTorch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.errors import BackendError
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.tapir.adapter import CausalTapirTracker, TapirTracker

__all__ = ["create", "create_boots", "create_boots_causal"]


def create(*, weights: str | None = "default", device: str = "auto") -> TapirTracker | CausalTapirTracker:
    """Make the tracker `tapir`.

    Args:
        weights: "default" for ``tapir_checkpoint_panning.pt``, fetched as :func:`sampt.weights.fetch` says; the path of an
            official PyTorch checkpoint of this network, or OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there, or PyTorch is
            missing.
    """
    return _create("tapir", weights, device)


def create_boots(*, weights: str | None = "default", device: str = "auto") -> TapirTracker | CausalTapirTracker:
    """Make the tracker `bootstapir`; as :func:`create`, the checkpoint is ``bootstapir_checkpoint_v2.pt``."""
    return _create("bootstapir", weights, device)


def create_boots_causal(*, weights: str | None = "default", device: str = "auto") -> TapirTracker | CausalTapirTracker:
    """Make the tracker `bootstapir-causal`, frame by frame; its checkpoint is ``causal_bootstapir_checkpoint.pt``."""
    return _create("bootstapir-causal", weights, device)


def _create(name: str, weights: str | None, device: str) -> TapirTracker | CausalTapirTracker:
    try:
        from sampt.trackers.tapir.adapter import load
    except ImportError as error:
        raise BackendError(f"{name!r} needs PyTorch ({error}). Run: pip install 'sampt[torch]'.") from error
    path = local_weights(name, weights)
    return load(name, None if path is None else str(path), device)
