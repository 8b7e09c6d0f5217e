"""`grabcut`: the classical, point-promptable segmenter. It needs no weights and runs on the CPU."""

from __future__ import annotations

from sampt.backends.options import check_device
from sampt.errors import BackendError
from sampt.segmenters.grabcut.adapter import GrabCutSegmenter, GrabCutSettings

__all__ = ["GrabCutSegmenter", "GrabCutSettings", "create"]


def create(*, weights: str | None = "default", device: str = "auto") -> GrabCutSegmenter:
    """Make the segmenter.

    Raises:
        BackendError: weights are given (it has none), or the device is not the CPU.
    """
    check_device(device, "grabcut")
    if weights not in ("default", None):
        raise BackendError(f"'grabcut' has no weights but got {weights!r}; leave weights out.")
    return GrabCutSegmenter()
