"""Do the queries fit the video? One clear error otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sampt.errors import QueryError
from sampt.geometry import inside_frame
from sampt.types import Points, QueryBox, QueryMask

__all__ = ["check_queries"]


def check_queries(
    points: Points,
    masks: Sequence[QueryMask],
    num_frames: int | None,
    size_hw: tuple[int, int],
    boxes: Sequence[QueryBox] = (),
) -> None:
    """Raise QueryError unless every query lies inside the video and every object has a positive point, a mask or a box.

    Args:
        points: clicks, in pixels of the video's frames.
        masks: given masks, of the video's frame size.
        num_frames: of the video; None when it is not known yet.
        size_hw: of the video's frames.
        boxes: given boxes, in pixels of the video's frames.
    """
    if not len(points) and not masks and not boxes:
        raise QueryError("No object is named: give at least one point, one mask or one box.")
    _check_frames([*points.frame_idx.tolist(), *(m.frame_idx for m in masks), *(b.frame_idx for b in boxes)], num_frames)
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
    _check_boxes(boxes, seen, size_hw)
    _check_positives(points, {*(m.object_id for m in masks), *(b.object_id for b in boxes)})


def _check_boxes(boxes: Sequence[QueryBox], seen: set[tuple[int, int]], size_hw: tuple[int, int]) -> None:
    """``seen``: objects and frames with a mask."""
    boxed: set[tuple[int, int]] = set()
    for box in boxes:
        key = (box.object_id, box.frame_idx)
        if not inside_frame(box.box_xyxy.reshape(2, 2), size_hw).all():
            x0, y0, x1, y1 = box.box_xyxy.tolist()
            raise QueryError(
                f"The box ({x0:g}, {y0:g}, {x1:g}, {y1:g}) of object {box.object_id} reaches outside the frame; x goes from 0 "
                f"to {size_hw[1] - 1}, y from 0 to {size_hw[0] - 1}."
            )
        if key in boxed or key in seen:
            what = "a mask and a box" if key in seen else "two boxes"
            raise QueryError(f"Object {box.object_id} has {what} on frame {box.frame_idx}; give one.")
        boxed.add(key)


def _check_frames(frames: Sequence[int], num_frames: int | None) -> None:
    if num_frames is not None and max(frames) >= num_frames:
        raise QueryError(
            f"A query is on frame {max(frames)}, but the video has {num_frames} frames, numbered from 0 to {num_frames - 1}."
        )


def _check_positives(points: Points, named: set[int]) -> None:
    """``named``: objects with a mask or a box."""
    for object_id in points.object_ids:
        if object_id not in named and not points.is_positive[points.object_id == object_id].any():
            raise QueryError(f"Object {object_id} has only negative points; give at least one positive point (sign +) on it.")
