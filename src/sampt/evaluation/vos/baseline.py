"""The baseline that point prompting has to beat: the first mask, carried along by optical flow alone."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from sampt.trackers.base import FrameSource, frames_in_order
from sampt.types import IntArray

__all__ = ["carry_by_flow"]


def carry_by_flow(video: FrameSource, first_labels: IntArray) -> Iterator[IntArray]:
    """Carry the objects of the first frame through ``video`` by dense inverse search flow.

    Each frame's soft masks are the last frame's, looked up where the flow says that each pixel comes from; a pixel belongs to
    the object whose soft mask is at least one half there.

    Args:
        video: the frames, each side at least 64 pixels.
        first_labels: (h, w) object ids of frame 0, 0 for background.

    Yields:
        (h, w) int64 object ids, one map a frame; the first one is ``first_labels``.
    """
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    x, y = np.meshgrid(*(np.arange(n, dtype=np.float32) for n in first_labels.shape[::-1]))
    ids = [int(i) for i in np.unique(first_labels) if i]
    soft = [(first_labels == i).astype(np.float32) for i in ids]
    last: np.ndarray | None = None
    for _, frame in frames_in_order(video, 0, video.num_frames, backward=False):
        grey = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if last is not None:
            step = np.asarray(flow.calc(grey, last, None))  # type: ignore[call-overload]  # None: no flow to start from
            soft = [cv2.remap(mask, x + step[..., 0], y + step[..., 1], cv2.INTER_LINEAR) for mask in soft]  # 0 outside
        last = grey
        labels = np.zeros(grey.shape, np.int64)
        for object_id, mask in zip(ids[::-1], soft[::-1], strict=True):  # on a tie of two halves the smaller id wins
            labels[mask >= 0.5] = object_id
        yield labels
