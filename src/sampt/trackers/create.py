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
        name: a name of :func:`sampt.backends.registry.available`.
        weights: "default"; a path; OWNER/NAME on the Hugging Face hub, for back ends that say so; "random" or None for random
            ones without any download.
        device: "auto", "cpu", or what the back end understands.
        runtime: what runs the network, of :mod:`sampt.backends.options`; other values than "auto" only for
            back ends with that choice.
        precision: of the computation, likewise.
        support_grid: points that are followed beside those asked for, likewise.

    Raises:
        BackendError: the name or a value is unknown, the back end has no such choice, or cannot be imported or made.
    """
    options = {"runtime": runtime, "precision": precision, "support_grid": support_grid}
    tracker: PointTracker = create_backend("tracker", name, weights, device, options)
    return tracker
