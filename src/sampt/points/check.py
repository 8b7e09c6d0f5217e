"""Do the queries fit the video? One clear error otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sampt.errors import QueryError
from sampt.geometry import inside_frame
from sampt.types import Points, QueryMask

__all__ = ["check_queries"]


def check_queries(points: Points, masks: Sequence[QueryMask], num_frames: int | None, size_hw: tuple[int, int]) -> None:
    """Raise QueryError unless every query lies inside the video and every object has a positive point or a mask.

    Args:
        points: clicks, in pixels of the video's frames.
        masks: given masks, of the video's frame size.
        num_frames: of the video; None when it is not known yet.
        size_hw: of the video's frames.
    """
    if not len(points) and not masks:
        raise QueryError("No object is named: give at least one point or one mask.")
    _check_frames(points, masks, num_frames)
    outside = np.flatnonzero(~inside_frame(points.xy, size_hw))
    if len(outside):
        i = outside[0]
        x, y = points.xy[i]
        raise QueryError(
            f"The point ({x:g}, {y:g}) of object {points.object_id[i]} lies outside the frame, which is "
            f"{size_hw[1]} wide and {size_hw[0]} high; x goes from 0 to {size_hw[1] - 1}, y from 0 to {size_hw[0] - 1}."
        )
    seen: set[tuple[int, int]] = set()
    for mask in masks:
        if mask.mask.shape != size_hw:
            raise QueryError(
                f"The mask of object {mask.object_id} is {mask.mask.shape[1]}x{mask.mask.shape[0]} pixels, the video's frames "
                f"are {size_hw[1]}x{size_hw[0]}; give a mask of the frame's size."
            )
        if (mask.object_id, mask.frame_idx) in seen:
            raise QueryError(f"Object {mask.object_id} has two masks on frame {mask.frame_idx}; give one.")
        seen.add((mask.object_id, mask.frame_idx))
    _check_positives(points, masks)


def _check_frames(points: Points, masks: Sequence[QueryMask], num_frames: int | None) -> None:
    if num_frames is None:
        return
    frames = [*points.frame_idx.tolist(), *(m.frame_idx for m in masks)]
    if max(frames) >= num_frames:
        raise QueryError(
            f"A query is on frame {max(frames)}, but the video has {num_frames} frames, numbered from 0 to {num_frames - 1}."
        )


def _check_positives(points: Points, masks: Sequence[QueryMask]) -> None:
    with_mask = {m.object_id for m in masks}
    for object_id in points.object_ids:
        if object_id not in with_mask and not points.is_positive[points.object_id == object_id].any():
            raise QueryError(f"Object {object_id} has only negative points; give at least one positive point (sign +) on it.")
