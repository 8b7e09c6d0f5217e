"""`sam2.1-tiny`, `-small`, `-base-plus`, `-large`: SAM 2.1 on single frames. They need `sampt[sam]` and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.segmenters.sam.create import create_model

if TYPE_CHECKING:
    from sampt.segmenters.sam.adapter import SamSegmenter

__all__ = ["create_base_plus", "create_large", "create_small", "create_tiny"]


def create_tiny(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `sam2.1-tiny`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("sam2.1-tiny", weights, device, runtime, precision)


def create_small(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `sam2.1-small`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("sam2.1-small", weights, device, runtime, precision)


def create_base_plus(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `sam2.1-base-plus`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("sam2.1-base-plus", weights, device, runtime, precision)


def create_large(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `sam2.1-large`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("sam2.1-large", weights, device, runtime, precision)
