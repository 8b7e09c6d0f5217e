"""What formats of other programs want of masks: boxes, run lengths row by row, and the name of the clip."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from sampt.exporters.base import ExportFrame, ExportObject, named_by_id
from sampt.types import BoolArray, IntArray
from sampt.video.base import Video

__all__ = ["BoxTables", "clip_name", "find_box", "run_lengths"]


def clip_name(video: Video) -> str:
    """The name of the video's file or folder, without its ending."""
    return Path(video.label).stem


def find_box(mask: BoolArray) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of the set pixels of an (h, w) mask; None when there is none."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (x, y, width, height) if width else None


def run_lengths(mask: BoolArray) -> IntArray:
    """Lengths of the runs of an (h, w) mask read row by row, first of unset pixels (0 when the first pixel is set)."""
    flat = np.concatenate(([False], mask.ravel()))
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate(([0], ends, [mask.size]))).astype(np.int64)


class BoxTables:
    """The boxes of objects over the frames; 40 bytes a box."""

    def __init__(self, objects: Sequence[ExportObject]) -> None:
        self._rows = {object_id: array("q") for object_id in named_by_id(objects)}

    def add(self, frame: ExportFrame) -> None:
        """Note the boxes of one frame."""
        for object_id, mask in zip(frame.result.object_ids.tolist(), frame.result.masks, strict=True):
            if box := find_box(mask):
                self._rows[object_id].extend((frame.frame_idx, *box))

    def tables(self) -> dict[int, IntArray]:
        """For every object that is present at all, by id: (n, 5) frame, left, top, width, height."""
        return {object_id: np.frombuffer(row, np.int64).reshape(-1, 5) for object_id, row in self._rows.items() if row}
