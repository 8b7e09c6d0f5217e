"""The one pixel convention; the only module that rescales, rounds, clips or tests coordinates.

Excepted are drawing, wire formats, and what lies on a grid of its own: windows and cells of networks, patches of
:mod:`sampt.tracks.shots`.

(0, 0) is the centre of the top-left pixel, so a frame of size (h, w) covers x in [-0.5, w - 0.5]. A point keeps its location
on the image when the image is resized: ``(xy + 0.5) * scale - 0.5``. A box is the first and the last pixel, inclusive.
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.types import BoolArray, FloatArray

__all__ = [
    "clip_xy",
    "cover_polygon",
    "cover_stroke",
    "find_mask_box",
    "inside_frame",
    "mask_at",
    "near_border",
    "pixels_around_box",
    "pixels_between",
    "pixels_within_edges",
    "rescale_box",
    "rescale_span",
    "rescale_xy",
    "round_to_pixels",
    "sample_image",
    "shrink_image",
    "size_with_longest_side",
]

SizeHW = tuple[int, int]
_MAX_SAMPLES = 32_000
"""In one call: OpenCV's remap takes fewer than 32767 rows."""


def rescale_xy(xy: FloatArray, from_hw: SizeHW, to_hw: SizeHW) -> FloatArray:
    """Move (..., 2) points of a frame of ``from_hw`` to the same locations in the frame resized to ``to_hw``."""
    scale = np.array([to_hw[1] / from_hw[1], to_hw[0] / from_hw[0]])
    return np.asarray((np.asarray(xy) + 0.5) * scale - 0.5, np.float32)


def rescale_box(box_xyxy: FloatArray, from_hw: SizeHW, to_hw: SizeHW) -> FloatArray:
    """Move a box (first and last pixel, inclusive) like the area its pixels cover."""
    edges = np.asarray(box_xyxy, np.float64).reshape(2, 2) + np.array([[-0.5], [0.5]])
    moved = rescale_xy(edges.astype(np.float32), from_hw, to_hw) + np.array([[0.5], [-0.5]])
    return np.asarray(moved.reshape(4), np.float32)


def rescale_span(span: slice, from_size: int, to_size: int) -> tuple[int, FloatArray]:
    """Where some rows (or columns) of a frame lie when it is resized from ``from_size`` rows to ``to_size``.

    Returns:
        The first row that they reach, and for it and all others that they reach, (n,), the location in ``span`` that it shows:
        0 is the centre of its first row.
    """
    scale = to_size / from_size
    first, stop = max(0, int(span.start * scale)), min(to_size, int(np.ceil(span.stop * scale)))
    return first, np.asarray((np.arange(first, stop) + 0.5) / scale - 0.5 - span.start, np.float32)


def clip_xy(xy: FloatArray, size_hw: SizeHW) -> FloatArray:
    """Move (..., 2) points to the nearest pixel centre inside the frame."""
    return np.clip(xy, 0, np.array([size_hw[1] - 1, size_hw[0] - 1], np.float32)).astype(np.float32)


def inside_frame(xy: FloatArray, size_hw: SizeHW) -> BoolArray:
    """Which of the (..., 2) points lie on a pixel of the frame."""
    limit = np.array([size_hw[1], size_hw[0]]) - 0.5
    return np.asarray(((xy >= -0.5) & (xy < limit)).all(-1))


def near_border(xy: FloatArray, size_hw: SizeHW, fraction: float) -> BoolArray:
    """Which of the (..., 2) points lie outside the frame or within ``fraction`` of its width / height of the border."""
    relative = (np.asarray(xy) + 0.5) / np.array([size_hw[1], size_hw[0]])
    return np.asarray(((relative < fraction) | (relative > 1 - fraction)).any(-1))


def round_to_pixels(xy: FloatArray, size_hw: SizeHW, *, halves_to_even: bool = False) -> tuple[np.ndarray, np.ndarray]:
    """Row and column indices of the pixels that hold the (..., 2) points, clipped to the frame.

    A point on the line between two pixels is the right or lower one's; with ``halves_to_even`` it is that of the even index,
    which is how re-initialisation and the interactive study were measured.
    """
    inside = clip_xy(xy, size_hw)
    pixels = (np.rint(inside) if halves_to_even else np.floor(inside + 0.5)).astype(np.intp)
    return pixels[..., 1], pixels[..., 0]


def pixels_between(low_xy: FloatArray, high_xy: FloatArray, size_hw: SizeHW) -> tuple[slice, slice]:
    """Rows and columns of the pixels from one (2,) location to another, rounded outward, in the frame; at least one each."""
    last_xy = np.array(size_hw[::-1]) - 1
    first = np.clip(np.floor(low_xy), 0, last_xy).astype(int)
    last = np.clip(np.ceil(high_xy), first, last_xy).astype(int)
    return slice(first[1], last[1] + 1), slice(first[0], last[0] + 1)


def pixels_within_edges(
    low_xy: FloatArray, high_xy: FloatArray, size_hw: SizeHW, *, min_pixels: int = 0
) -> tuple[slice, slice]:
    """Rows and columns of the pixels that an area touches, in the frame.

    Args:
        low_xy: (2,) its left and upper edge, in pixels from the frame's *corner*: half a pixel more than everywhere else here.
        high_xy: (2,) its right and lower edge, likewise.
        size_hw: of the frame.
        min_pixels: there are at least so many rows and columns, also where the area lies beyond the frame.
    """
    size_xy = np.array(size_hw[::-1])
    first = np.clip(np.floor(low_xy), 0, size_xy - min_pixels).astype(int)
    stop = np.maximum(np.clip(np.ceil(high_xy), 0, size_xy).astype(int), first + min_pixels)
    return slice(first[1], stop[1]), slice(first[0], stop[0])


def pixels_around_box(box_xyxy: FloatArray, margin_px: float) -> tuple[slice, slice]:
    """Rows and columns of a box grown by a margin on all sides; they begin in the frame, and may end beyond it."""
    x0, y0 = (max(0, round(float(v) - margin_px)) for v in box_xyxy[:2])
    x1, y1 = (round(float(v) + margin_px) + 1 for v in box_xyxy[2:])
    return slice(y0, y1), slice(x0, x1)


def cover_stroke(xy: np.ndarray, radius: float, size_hw: SizeHW) -> BoolArray:
    """(h, w): the pixels whose centres a round brush covers, which are no farther than its radius from a line of points.

    Args:
        xy: (n, 2) float64, where the brush was, in order; it may leave the frame.
        radius: in pixels, inclusive.
        size_hw: of the frame.
    """
    covered = np.zeros(size_hw, np.bool_)
    rows, columns = _pixels_inside(xy.min(0) - radius, xy.max(0) + radius, size_hw)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return covered
    # Each piece of the line covers one interval in a row, as a disc drawn along it is convex: +1 where it begins, -1 after it.
    changes = np.zeros((rows.stop - rows.start, columns.stop - columns.start + 1), np.int32)
    for start, end in zip(xy[: max(1, len(xy) - 1)], xy[1:] if len(xy) > 1 else xy, strict=True):
        own, _ = _pixels_inside(np.minimum(start, end) - radius, np.maximum(start, end) + radius, size_hw)
        low, high = _cross_capsule(np.arange(own.start, own.stop, dtype=np.float64), start, end, radius)
        first = np.clip(np.ceil(low), columns.start, columns.stop)
        last = np.clip(np.floor(high), columns.start - 1, columns.stop - 1)
        at = np.flatnonzero(first <= last)
        changes[at + own.start - rows.start, first[at].astype(int) - columns.start] += 1
        changes[at + own.start - rows.start, last[at].astype(int) + 1 - columns.start] -= 1
    covered[rows, columns] = np.cumsum(changes, axis=1)[:, :-1] > 0
    return covered


def _cross_capsule(y: np.ndarray, start: np.ndarray, end: np.ndarray, radius: float) -> tuple[np.ndarray, np.ndarray]:
    """Leftmost and rightmost x in the rows ``y`` that is no farther than ``radius`` from a line; none: infinities crossed."""
    (ax, ay), (dx, dy) = start, end - start
    low, high = np.full(len(y), np.inf), np.full(len(y), -np.inf)
    for centre_x, centre_y in (start, end):
        rest = radius * radius - (y - centre_y) ** 2
        half = np.sqrt(np.maximum(rest, 0))
        low = np.where(rest >= 0, np.minimum(low, centre_x - half), low)
        high = np.where(rest >= 0, np.maximum(high, centre_x + half), high)
    length = (dx * dx + dy * dy) ** 0.5
    if not length:
        return low, high
    # Between the ends: along the line from 0 to its length, and across it no farther than the radius.
    along, across = (y - ay) * dy, (y - ay) * dx
    beside = [
        _between(ax, dx, -along, length * length - along),
        _between(ax, dy, across - radius * length, across + radius * length),
    ]
    left, right = np.maximum(beside[0][0], beside[1][0]), np.minimum(beside[0][1], beside[1][1])
    is_there = left <= right
    return np.where(is_there, np.minimum(low, left), low), np.where(is_there, np.maximum(high, right), high)


def _between(origin: float, slope: float, low: np.ndarray, high: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The x for which ``(x - origin) * slope`` lies from ``low`` to ``high``; none: infinities crossed."""
    if slope:
        ends = origin + low / slope, origin + high / slope
        return np.minimum(*ends), np.maximum(*ends)
    is_any = (low <= 0) & (high >= 0)
    return np.where(is_any, -np.inf, np.inf), np.where(is_any, np.inf, -np.inf)


def cover_polygon(xy: np.ndarray, size_hw: SizeHW) -> BoolArray:
    """(h, w): the pixels whose centres lie in a closed polygon; where it crosses itself, in an odd number of its turns.

    Args:
        xy: (n, 2) float64 corners, in order; they may lie outside the frame.
        size_hw: of the frame.
    """
    covered = np.zeros(size_hw, np.bool_)
    rows, columns = _pixels_inside(xy.min(0), xy.max(0), size_hw)
    if rows.start >= rows.stop or columns.start >= columns.stop:
        return covered
    crossed = np.zeros((rows.stop - rows.start, columns.stop - columns.start + 1), np.uint8)
    for (ax, ay), (bx, by) in zip(xy, np.roll(xy, -1, axis=0), strict=True):
        first = max(int(np.ceil(min(ay, by))), rows.start)
        y = np.arange(first, min(int(np.ceil(max(ay, by))), rows.stop))  # an edge has its upper end and not its lower one
        x = ax + (y - ay) * ((bx - ax) / (by - ay)) if len(y) else y
        at = np.clip(np.ceil(x), columns.start, columns.stop).astype(int) - columns.start
        crossed[y - rows.start, at] ^= 1
    covered[rows, columns] = np.bitwise_xor.accumulate(crossed, axis=1)[:, :-1] > 0
    return covered


def _pixels_inside(low_xy: np.ndarray, high_xy: np.ndarray, size_hw: SizeHW) -> tuple[slice, slice]:
    """Rows and columns of the frame whose centres lie from one (2,) location to another; there may be none."""
    stop_xy = np.array(size_hw[::-1])
    first = np.clip(np.ceil(low_xy), 0, stop_xy).astype(int)
    stop = np.clip(np.floor(high_xy) + 1, 0, stop_xy).astype(int)
    return slice(int(first[1]), int(stop[1])), slice(int(first[0]), int(stop[0]))


def mask_at(mask: BoolArray, xy: FloatArray) -> BoolArray:
    """Which of the (..., 2) points lie inside the frame and on a set pixel of the (h, w) mask."""
    size_hw = (mask.shape[0], mask.shape[1])
    return np.asarray(mask[round_to_pixels(xy, size_hw)] & inside_frame(xy, size_hw))


def sample_image(image: np.ndarray, xy: FloatArray) -> np.ndarray:
    """Bilinear values of an (h, w, c) image at (..., 2) points, (..., c); beyond the border those of the border.

    OpenCV gets the coordinates as two maps: with both in one map, remap of OpenCV 5.0.0 gives wrong values, some of them never
    written, for images of one or three channels.
    """
    flat = np.asarray(xy, np.float32).reshape(-1, 2)
    out = np.zeros((len(flat), image.shape[2]), image.dtype)
    for start in range(0, len(flat), _MAX_SAMPLES):
        x, y = np.ascontiguousarray(flat[start : start + _MAX_SAMPLES].T)
        values = cv2.remap(image, x[:, None], y[:, None], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        out[start : start + len(x)] = np.asarray(values).reshape(len(x), -1)
    return out.reshape(*np.shape(xy)[:-1], image.shape[2])


def shrink_image(image: np.ndarray, longest_side: int) -> np.ndarray:
    """An (h, w[, c]) image reduced by pixel area to a longest side; smaller ones are returned as they are.

    Halving first is exact for areas and several times faster in OpenCV than one step by an odd factor.
    """
    size_hw = (image.shape[0], image.shape[1])
    if max(size_hw) <= longest_side:
        return image
    target_hw = size_with_longest_side(size_hw, longest_side)
    while image.shape[0] >= 2 * target_hw[0] and image.shape[1] >= 2 * target_hw[1]:
        half_wh = (image.shape[1] // 2, image.shape[0] // 2)
        if image.shape[0] % 2 or image.shape[1] % 2:
            break
        image = cv2.resize(image, half_wh, interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.resize(image, target_hw[::-1], interpolation=cv2.INTER_AREA))


def find_mask_box(mask: BoolArray) -> FloatArray | None:
    """Tight (4,) box of the set pixels of an (h, w) mask, or None when none is set."""
    rows = np.flatnonzero(mask.any(1))
    if not len(rows):
        return None
    columns = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(0))
    return np.array([columns[0], rows[0], columns[-1], rows[-1]], np.float32)


def size_with_longest_side(size_hw: SizeHW, longest_side: int) -> SizeHW:
    """The size, at least one pixel each way, whose longer side is ``longest_side`` and whose shape is that of ``size_hw``."""
    scale = longest_side / max(size_hw)
    return max(1, round(size_hw[0] * scale)), max(1, round(size_hw[1] * scale))
