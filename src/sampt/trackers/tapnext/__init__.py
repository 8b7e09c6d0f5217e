"""`tapnext`, `tapnext-pp` and `tapnext-pp-512`: points followed by a recurrent network, frame by frame. They need PyTorch."""

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
    """Make the tracker `tapnext`: the weights known as BootsTAPNext, on frames of 256 x 256.

    Args:
        weights: "default" for ``bootstapnext_ckpt.npz``, fetched as :func:`sampt.weights.fetch` says; the path of an official
            checkpoint of this network, with JAX names or PyTorch ones, or OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".
        runtime: "torch", which "auto" means, or "compiled": PyTorch compiles the heavy parts of the network when they are
            first called.
        precision: of products and convolutions in these parts: "float32", which "auto" means, "bfloat16" or "float16".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there or cannot compute
            so, or PyTorch is missing.
    """
    return _create("tapnext", weights, device, runtime, precision)


@runs_on_torch
def create_pp(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapNextTracker:
    """Make the tracker `tapnext-pp`; arguments and errors as for :func:`create`, the checkpoint is ``tapnextpp_ckpt.pt``."""
    return _create("tapnext-pp", weights, device, runtime, precision)


@runs_on_torch
def create_pp_512(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> TapNextTracker:
    """Make the tracker `tapnext-pp-512`; as :func:`create`, on frames of 512 x 512, with ``tapnextpp_512.ckpt``."""
    return _create("tapnext-pp-512", weights, device, runtime, precision)


def _create(name: str, weights: str | None, device: str, runtime: str, precision: str) -> TapNextTracker:
    with needing_torch(name):
        from sampt.trackers.tapnext.adapter import TapNextTracker
    return TapNextTracker.load(name, local_weights(name, weights), device, runtime=runtime, precision=precision)
