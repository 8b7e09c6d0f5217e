"""`hq-sam-vit-b`, `hq-sam-vit-l`, `hq-sam-vit-h`: Segment Anything in High Quality. They need `sampt[sam]` and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.segmenters.sam.create import create_model

if TYPE_CHECKING:
    from sampt.segmenters.sam.adapter import SamSegmenter

__all__ = ["create_vit_b", "create_vit_h", "create_vit_l"]


def create_vit_b(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `hq-sam-vit-b`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("hq-sam-vit-b", weights, device, runtime, precision)


def create_vit_l(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `hq-sam-vit-l`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("hq-sam-vit-l", weights, device, runtime, precision)


def create_vit_h(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `hq-sam-vit-h`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("hq-sam-vit-h", weights, device, runtime, precision)
