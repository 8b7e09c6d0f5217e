"""`edgetam`: EdgeTAM on single frames, SAM 2 with a small encoder. It needs `sampt[sam]` and weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sampt.segmenters.sam.create import create_model

if TYPE_CHECKING:
    from sampt.segmenters.sam.adapter import SamSegmenter

__all__ = ["create"]


def create(
    *, weights: str | None = "default", device: str = "auto", runtime: str = "auto", precision: str = "auto"
) -> SamSegmenter:
    """Make `edgetam`; see :func:`~sampt.segmenters.sam.create.create_model`."""
    return create_model("edgetam", weights, device, runtime, precision)
