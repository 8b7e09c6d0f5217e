"""`pips-pp`: points followed by PIPS++. It needs PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.backends.options import needing_torch, runs_on_torch
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.pips_pp.adapter import PipsPpTracker

__all__ = ["create"]


@runs_on_torch
def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> PipsPpTracker:
    """Make the tracker `pips-pp`.

    Args:
        weights: "default" for the official checkpoint, found as :func:`sampt.weights.fetch` says; the path of such a file, or
            OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".
        runtime: "torch", which "auto" means, or "compiled": PyTorch compiles the heavy parts of the network when they are
            first called.
        precision: of products and convolutions in these parts: "float32", which "auto" means, "bfloat16" or "float16".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there or cannot compute
            so, or PyTorch is missing.
    """
    with needing_torch("pips-pp"):
        from sampt.trackers.pips_pp.adapter import PipsPpTracker
    return PipsPpTracker.load(local_weights("pips-pp", weights), device, runtime=runtime, precision=precision)
