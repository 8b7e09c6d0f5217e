"""Segmenters by name."""

from __future__ import annotations

from sampt.backends.registry import create_backend
from sampt.segmenters.base import PromptableSegmenter

__all__ = ["create_segmenter"]


def create_segmenter(
    name: str, *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> PromptableSegmenter:
    """Make the segmenter called ``name``; arguments and errors as for a tracker, without a support grid.

    See :func:`sampt.trackers.create.create_tracker`.
    """
    options = {"runtime": runtime, "precision": precision}
    segmenter: PromptableSegmenter = create_backend("segmenter", name, weights, device, options)
    return segmenter
