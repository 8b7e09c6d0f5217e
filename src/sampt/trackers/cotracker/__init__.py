"""`cotracker3-offline` and `cotracker3-online`: points followed together. They need PyTorch and downloaded weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.errors import BackendError
from sampt.weights.choice import local_weights

if TYPE_CHECKING:
    from sampt.trackers.cotracker.adapter import CoTracker

__all__ = ["create_offline", "create_online"]


def create_offline(*, weights: str | None = "default", device: str = "auto") -> CoTracker:
    """Make the tracker `cotracker3-offline`, which looks at the whole clip at once.

    Args:
        weights: "default" for ``scaled_offline.pth``, fetched as :func:`sampt.weights.fetch` says; the path of an official
            checkpoint of this network, or OWNER/NAME on the hub; or None for random ones.
        device: "auto" for the GPU when PyTorch has one, else the CPU; or a PyTorch device such as "cuda:1".

    Raises:
        BackendError: the weights cannot be fetched or are not those of this network, the device is not there, or PyTorch is
            missing.
    """
    return _create("cotracker3-offline", weights, device)


def create_online(*, weights: str | None = "default", device: str = "auto") -> CoTracker:
    """Make the tracker `cotracker3-online`, which looks at windows of 16 frames.

    Arguments and errors as for :func:`create_offline`, the checkpoint is ``scaled_online.pth``.
    """
    return _create("cotracker3-online", weights, device)


def _create(name: str, weights: str | None, device: str) -> CoTracker:
    try:
        from sampt.trackers.cotracker.adapter import CoTracker
    except ImportError as error:
        raise BackendError(f"{name!r} needs PyTorch ({error}). Run: pip install 'sampt[torch]'.") from error
    path = local_weights(name, weights)
    return CoTracker.load(name, None if path is None else str(path), device)
