"""Boxes that another program detected, behind the interface of a proposer."""

from __future__ import annotations

import logging

import numpy as np

from sampt.backends.table import PROPOSERS
from sampt.errors import BackendError
from sampt.geometry import SizeHW, rescale_box
from sampt.proposers.base import MAX_PROPOSALS, Proposal, ProposerFrame, ProposerInfo, masks_of_boxes
from sampt.proposers.boxes.rows import FileBoxes
from sampt.types import IntArray

__all__ = ["BoxesProposer"]

_LOG = logging.getLogger(__name__)


class BoxesProposer:
    """The boxes of a file on each frame, each a mask by the segmenter of the frame.

    Args:
        boxes: of the file.
    """

    info: ProposerInfo = PROPOSERS["boxes"].info

    def __init__(self, boxes: FileBoxes) -> None:
        self._boxes = boxes
        self._checked_hw: SizeHW | None = None

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`sampt.proposers.base.Proposer.propose`; of more boxes on a frame than 100 the best ones count.

        Raises:
            BackendError: the file is of another video: of frames of another size, with boxes outside of this one's, or
                beyond its end; or its images cannot be matched to frames.
        """
        self._check_fits(frame)
        image = self._boxes.find_image(frame.source_name, frame.source_idx)
        rows = np.zeros(0, np.int64) if image is None else np.flatnonzero(self._boxes.image == image)
        if len(rows) > MAX_PROPOSALS:
            _LOG.warning(
                "%s has %d boxes on frame %d; the best %d are used.",
                self._boxes.path,
                len(rows),
                frame.source_idx,
                MAX_PROPOSALS,
            )
        rows = rows[np.argsort(-self._boxes.scores[rows], kind="stable")][:MAX_PROPOSALS]
        if not len(rows):
            return []
        labels = [self._boxes.labels[k] for k in rows]
        return masks_of_boxes(frame, self._boxes_on(frame, rows), self._boxes.scores[rows], labels)

    def _boxes_on(self, frame: ProposerFrame, rows: IntArray) -> np.ndarray:
        """(n, 4) float32 first and last pixels, within the frame that is worked at."""
        height, width = frame.source_hw
        edges = self._edges(rows, frame.source_hw)
        edges = np.clip(edges, 0, [width, height, width, height])
        own = [rescale_box(box - np.array([0, 0, 1, 1]), frame.source_hw, frame.size_hw) for box in edges]
        last = np.array([*frame.size_hw[::-1], *frame.size_hw[::-1]], np.float32) - 1
        return np.clip(np.asarray(own, np.float32), 0, last)

    def _edges(self, rows: IntArray | slice, source_hw: SizeHW) -> np.ndarray:
        """(n, 4) float64 x and y of the first and last edges, in pixels of the video's own frames from their corner."""
        edges = self._boxes.edges[rows]
        return edges * np.array([*source_hw[::-1], *source_hw[::-1]]) if self._boxes.is_relative else edges

    def _check_fits(self, frame: ProposerFrame) -> None:
        """Refuse a file of another video, once for a size of frames."""
        if self._checked_hw == frame.source_hw:
            return
        boxes, (height, width) = self._boxes, frame.source_hw
        for size_hw in sorted(set(boxes.sizes_hw.values()) - {frame.source_hw}):
            raise BackendError(
                f"{boxes.path} is of frames of {size_hw[1]}x{size_hw[0]}, and the video has {width}x{height}; expected "
                "detections on this video's own frames."
            )
        edges = self._edges(slice(None), frame.source_hw)
        outside = (edges[:, 0] >= width) | (edges[:, 1] >= height) | (edges[:, 2] <= 0) | (edges[:, 3] <= 0)
        if outside.any():
            k = int(np.argmax(outside))
            shown = ", ".join(f"{v:g}" for v in edges[k])
            raise BackendError(
                f"{boxes.where(k)}: the box from x, y to x, y = {shown} lies outside of the video's frames of {width}x{height}"
                "; expected detections on this video, in pixels of its own frames."
            )
        first = boxes.first_number(frame.source_name)
        if first is not None and frame.num_source_frames is not None and first >= frame.num_source_frames:
            raise BackendError(
                f"{boxes.path} has boxes from frame {first} on, and the video has frames 0 to {frame.num_source_frames - 1}; "
                "expected detections on this video."
            )
        self._checked_hw = frame.source_hw
