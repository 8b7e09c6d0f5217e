"""`pips-pp`: points followed by PIPS++. It needs PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.errors import BackendError
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.pips_pp.adapter import PipsPpTracker

__all__ = ["create"]


def create(*, weights: str | None = "default", device: str = "auto") -> PipsPpTracker:
    """Make the tracker `pips-pp`.

    Args:
        weights: "default" for the official checkpoint, found as :func:`sampt.weights.fetch` says; the path of such a file, or
            OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there, or PyTorch is
            missing.
    """
    try:
        from sampt.trackers.pips_pp.adapter import PipsPpTracker
    except ImportError as error:
        raise BackendError(f"'pips-pp' needs PyTorch ({error}). Run: pip install 'sampt[torch]'.") from error
    path = local_weights("pips-pp", weights)
    return PipsPpTracker.load(None if path is None else str(path), device)
