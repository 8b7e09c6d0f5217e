"""Trackers by name."""

from __future__ import annotations

from sampt.backends.registry import create_backend
from sampt.trackers.base import PointTracker

__all__ = ["create_tracker"]


def create_tracker(
    name: str,
    *,
    weights: str | None = "default",
    device: str = "auto",
    runtime: str = "auto",
    precision: str = "auto",
    support_grid: str = "auto",
) -> PointTracker:
    """Make the tracker called ``name``.

    Args:
        name: a name of :func:`sampt.backends.registry.available`, or tracks:FILE for tracks made elsewhere.
        weights: "default" for its official checkpoint, found or fetched as :func:`sampt.weights.fetch` says, or for what is in
            the package; the path of such a checkpoint; OWNER/NAME on the Hugging Face hub, for backends that say so;
            "random" or None for random ones without any download.
        device: "auto" for the GPU where the backend runs on PyTorch and this has one, else the CPU; "cpu"; or what the backend
        understands, such as "cuda:1".
        runtime: what runs the network, of :mod:`sampt.backends.options`; other values than "auto" only for backends with that
            choice. "compiled": PyTorch compiles the heavy parts of the network when they are first called.
        precision: of products and convolutions in these parts, likewise.
        support_grid: points that are tracked beside those requested and left out of the result, likewise. Of CoTracker,
            each version: "official", which "auto" means, 6 x 6 on the first frame; "paper", 2 x 2 on every 12th frame, as in
            SAM-PT's program; "none".

    Raises:
        BackendError: the name or a value is unknown, the backend has no such choice, or cannot be
            imported or made: a package is missing, the weights cannot be fetched or are of another network, the device is
            not there or cannot compute so.
    """
    kind, colon, file = name.partition(":")
    if kind == "tracks" and colon:
        name, weights = kind, file
    options = {"runtime": runtime, "precision": precision, "support_grid": support_grid}
    tracker: PointTracker = create_backend("tracker", name, weights, device, options)
    return tracker
