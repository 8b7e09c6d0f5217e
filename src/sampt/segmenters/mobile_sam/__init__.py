"""`mobile-sam` and `light-hq-sam`: Segment Anything with the small TinyViT encoder. They need `sampt[sam]` and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.segmenters.sam.create import create_model

if TYPE_CHECKING:
    from sampt.segmenters.sam.adapter import SamSegmenter

__all__ = ["create", "create_light_hq"]


def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `mobile-sam`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("mobile-sam", weights, device, runtime, precision)


def create_light_hq(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `light-hq-sam`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("light-hq-sam", weights, device, runtime, precision)
