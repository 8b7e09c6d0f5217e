"""Masks as polygons: outlines along the edges of pixels, with fewer corners where that changes next to nothing.

Coordinates are those of COCO, CVAT and YOLO: (0, 0) is the outer corner of the top-left pixel and (w, h) that of the
bottom-right one, which is half a pixel more than sampt's own. A polygon of these formats is one closed line without holes. So
holes, and in formats with one polygon an object further parts, are joined to the outline by a cut: a line there and back of no
width. Holes run the other way round than outlines, so that the inside is the same by the even-odd and by the non-zero rule.
"""

from __future__ import annotations

from typing import Final

import cv2
import numpy as np
from pycocotools import mask as coco_mask

from sampt.exporters.boxes import find_box
from sampt.masks.rle import encode_mask
from sampt.types import BoolArray, FloatArray, IntArray

__all__ = ["MAX_RINGS", "MIN_IOU", "trace_polygon", "trace_polygons", "trace_rings"]

MIN_IOU: Final = 0.99
"""Of a mask and its polygons with fewer corners; where they are further apart, all corners stay and nothing is lost."""
MAX_RINGS: Final = 500
"""Outlines of parts and holes that an object's polygons have on a frame; of more, which only noise has, the largest."""
_TOLERANCE_PX = 0.6  # stairs of any slope are within half a pixel of a line
_MIN_SIMPLIFIED_PX = 256  # area; of smaller masks every pixel counts
_INSET_PX = 0.2  # more than the digits of YOLO's numbers lose in a video 16 384 pixels wide
_MAX_STARTS = 16  # corners of a ring that are tried as the end of a cut


def trace_polygons(mask: BoolArray) -> list[FloatArray]:
    """One polygon for each part of an (h, w) mask, the largest first; (n, 2) x and y."""
    return _trace(mask, is_joined=False)


def trace_polygon(mask: BoolArray, *, is_inset: bool = False) -> FloatArray | None:
    """One polygon for all parts of an (h, w) mask: (n, 2) x and y; None for a mask without pixels.

    Args:
        mask: of one object.
        is_inset: corners are moved into the object by 0.2 pixels in x and y. The centres of pixels stay on their sides; and a
            reader that cuts coordinates to whole numbers and fills with the border, as OpenCV's ``fillPoly`` does, gets the
            mask instead of one that is a pixel wider on its right and lower side.
    """
    return next(iter(_trace(mask, is_joined=True, is_inset=is_inset)), None)


def _trace(mask: BoolArray, *, is_joined: bool, is_inset: bool = False) -> list[FloatArray]:
    box = find_box(mask)
    if box is None:
        return []
    left, top, width, height = box
    crop = np.ascontiguousarray(mask[top : top + height, left : left + width])
    rings, parts = trace_rings(crop)
    groups = [0] * len(parts) if is_joined else parts
    is_small = np.count_nonzero(crop) < _MIN_SIMPLIFIED_PX
    found: list[FloatArray] = []
    for corners in (rings if is_small else [_simplify(ring) for ring in rings], rings):
        joined = _join(corners, groups)
        found = [_move_in(polygon, crop) if is_inset else polygon.astype(np.float64) for polygon in joined]
        if corners is rings or _iou(found, crop) >= MIN_IOU:
            break
    return [polygon + np.array([left, top]) for polygon in found]


def trace_rings(mask: BoolArray) -> tuple[list[IntArray], list[int]]:
    """The exact outlines of a mask's parts, and of their holes.

    Args:
        mask: (h, w). Pixels belong to one part when they have an edge or a corner in common; a part's outline may touch itself.

    Returns:
        rings, each (n, 2) x and y of its corners, clockwise around parts and counter-clockwise around holes, the largest first;
        and as many numbers of the parts that they belong to. No more than :data:`MAX_RINGS`.
    """
    xy, side, is_convex = _corners(mask)
    along_row, along_column = _neighbours(xy, side)
    _, labels = cv2.connectedComponents(mask.view(np.uint8), connectivity=8)
    found: list[tuple[float, IntArray, int]] = []
    is_open = np.ones(len(xy), np.bool_)
    # The first corner of a ring, from the top and the left, has its edges to the right and below.
    starts = np.flatnonzero((side == 1).all(1))
    for start in starts[np.lexsort((xy[starts, 0], xy[starts, 1]))].tolist():
        if not is_open[start]:
            continue
        ring = _trace_ring(start, along_row, along_column)
        is_open[ring] = False
        corners, is_part = xy[ring], bool(is_convex[start])
        x, y = corners[0].tolist()
        label = int(labels[y if is_part else y - 1, x])
        found.append((_area(corners), corners if is_part else corners[::-1], label))
    found.sort(key=lambda item: -item[0])
    return [ring for _, ring, _ in found[:MAX_RINGS]], [label for _, _, label in found[:MAX_RINGS]]


def _corners(mask: BoolArray) -> tuple[IntArray, IntArray, BoolArray]:
    """The corners of all outlines: (n, 2) x and y; (n, 2) of -1 or 1, to which side their two edges lie; (n,) whether the
    object is within these edges. A point where two pixels touch is two corners, of what is outside there.
    """
    padded = np.pad(mask, 1).view(np.uint8)
    a, b, c, d = padded[:-1, :-1], padded[:-1, 1:], padded[1:, :-1], padded[1:, 1:]
    count = a + b + c + d
    touching = (count == 2) & (a == d)
    points, sides, convex = [], [], []
    for quarter, side in ((a, (-1, -1)), (b, (1, -1)), (c, (-1, 1)), (d, (1, 1))):
        is_convex = (count == 1) & (quarter == 1)
        yx = np.argwhere(is_convex | ((count == 3) | touching) & (quarter == 0))
        points.append(yx[:, ::-1])
        sides.append(np.tile(np.array(side), (len(yx), 1)))
        convex.append(is_convex[yx[:, 0], yx[:, 1]])
    return np.concatenate(points), np.concatenate(sides), np.concatenate(convex)


def _neighbours(xy: IntArray, side: IntArray) -> tuple[IntArray, IntArray]:
    """For each corner the one at the other end of its edge along the row, and along the column.

    Along a line corners are ends of edges in turn; of two at one point, that with the edge to the left (above) comes first.
    """
    found = []
    for across, along in ((1, 0), (0, 1)):
        order = np.lexsort((side[:, along], xy[:, along], xy[:, across]))
        other = np.empty(len(xy), np.int64)
        other[order[::2]], other[order[1::2]] = order[1::2], order[::2]
        found.append(other)
    return found[0], found[1]


def _trace_ring(start: int, along_row: IntArray, along_column: IntArray) -> list[int]:
    """All corners of a ring, beginning along the row."""
    ring, now = list[int](), start
    while True:
        other = int(along_row[now])
        ring += [now, other]
        now = int(along_column[other])
        if now == start:
            return ring


def _area(corners: IntArray) -> float:
    x, y = corners[:, 0], corners[:, 1]
    return abs(float(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1)))) / 2


def _simplify(ring: IntArray) -> IntArray:
    """The ring with some of its corners; all of them where too few would be left."""
    kept = cv2.approxPolyDP(ring.astype(np.int32)[:, None], _TOLERANCE_PX, True)[:, 0]
    return kept.astype(np.int64) if len(kept) > 2 else ring


def _join(rings: list[IntArray], groups: list[int]) -> list[IntArray]:
    """One polygon a group, in the order in which the groups first come."""
    joined: dict[int, IntArray] = {}
    for ring, group in zip(rings, groups, strict=True):
        joined[group] = _cut(joined[group], ring) if group in joined else ring
    return list(joined.values())


def _cut(polygon: IntArray, ring: IntArray) -> IntArray:
    """The polygon and a further ring, joined where they are close to each other."""
    starts = np.linspace(0, len(ring) - 1, min(len(ring), _MAX_STARTS)).astype(np.int64)
    apart = (polygon[None] - ring[starts, None]).astype(np.float32)
    nearest = int(np.argmin((apart**2).sum(2)))
    start, at = int(starts[nearest // len(polygon)]), nearest % len(polygon)
    there = np.concatenate([polygon[: at + 1], np.roll(ring, -start, 0), ring[start : start + 1]])
    return np.concatenate([there, polygon[at:]])


def _iou(polygons: list[FloatArray], mask: BoolArray) -> float:
    """Of the polygons as pycocotools fills them, and the mask."""
    height, width = mask.shape
    filled = coco_mask.merge(coco_mask.frPyObjects([p.ravel().tolist() for p in polygons], height, width))
    wanted = {"size": [height, width], "counts": encode_mask(mask).counts.encode("ascii")}
    return float(coco_mask.iou([filled], [wanted], [0])[0, 0])


def _move_in(polygon: IntArray, mask: BoolArray) -> FloatArray:
    """The corners, a little inside."""
    padded = np.pad(mask, 1).astype(np.int64)
    x, y = polygon.T
    a, b, c, d = padded[y, x], padded[y, x + 1], padded[y + 1, x], padded[y + 1, x + 1]
    way = np.stack([b + d - a - c, c + d - a - b], 1)
    is_touching = a + b + c + d == 2  # two pixels touch there: one of them is as good as the other
    way[is_touching] = 1
    way[is_touching & (b == 1) & (c == 1), 1] = -1
    moved: FloatArray = polygon + _INSET_PX * np.sign(way)
    return moved
