"""`boxes`: detections of any program, from a file or a folder; written as ``boxes:FILE``."""

from __future__ import annotations

from pathlib import Path

from sampt.backends.options import check_no_weights
from sampt.errors import BackendError
from sampt.proposers.boxes.proposer import BoxesProposer
from sampt.proposers.boxes.read import read_boxes

__all__ = ["BoxesProposer", "create"]


def create(*, weights: str | None = "default", device: str = "auto", argument: str | None = None) -> BoxesProposer:
    """Make the proposer `boxes` of the file or folder ``argument``; the device is that of the segmenter.

    Raises:
        BackendError: no file is given, or it cannot be read as detections.
        LimitError: it holds too many.
    """
    check_no_weights(weights, "boxes")
    if not argument:
        raise BackendError("The proposer 'boxes' needs a file of detections; write it as boxes:FILE.")
    return BoxesProposer(read_boxes(Path(argument).expanduser()))
