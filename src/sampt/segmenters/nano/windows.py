"""What the network sees: square windows of the frame, and the encoded images that they are read from.

A frame is encoded at sizes a factor of the square root of two apart ("levels"), each the first time that a window needs it, and
every window of that size reads its part. Windows so small that their level would be larger than ``shared_longest`` are encoded
by themselves: a level costs the whole frame, and few objects are that small.

Within this folder a position on a frame is in pixels from the *corner* of the frame, half a pixel more than the convention of
:mod:`sampt.geometry`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.geometry import pixels_within_edges, shrink_image, size_with_longest_side
from sampt.segmenters.nano.runtime import STRIDE, EncodedWindow, Features, Positions, Runtime, Salient, lay_over, saliency_side
from sampt.types import BoolArray, FloatArray, UInt8Array

__all__ = [
    "Encoded",
    "View",
    "Window",
    "encode_windows",
    "find_mass_extent",
    "find_robust_extent",
    "make_window",
    "prepare_image",
]


@dataclass(frozen=True)
class Window:
    """A square of the frame that the decoder sees.

    Attributes:
        x0, y0: its corner, pixels from the frame's corner.
        scale: pixels of the window to one of the frame, (across, down); the two differ by rounding only.
        level: longest side of the encoded frame that it is part of, or None when it is encoded by itself.
    """

    x0: float
    y0: float
    scale: tuple[float, float]
    level: int | None

    def to_window(self, xy: Positions) -> FloatArray:
        """(..., 2) positions on the frame as positions in the window, both from the corner."""
        return np.asarray((xy - np.array([self.x0, self.y0])) * np.array(self.scale), np.float32)

    def to_frame(self, xy: Positions) -> FloatArray:
        """The inverse of :meth:`to_window`."""
        return np.asarray(xy / np.array(self.scale) + np.array([self.x0, self.y0]), np.float32)


@dataclass(eq=False)
class Encoded:
    """A frame and what has been encoded of it.

    Attributes:
        frame: (h, w, 3) uint8 RGB.
        levels: features by level.
    """

    frame: UInt8Array
    levels: dict[int, Features] = field(default_factory=dict)

    __repr__ = shape_repr

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.frame.shape[0], self.frame.shape[1]


_SMALLEST_LEVEL = 128
"""First and second windows climb the same ladder, though they differ in size: what was encoded for one serves the other."""


def choose_level(wanted: float) -> int:
    """The longest side, of those a factor of sqrt(2) apart, that is nearest to ``wanted``."""
    step = round(2 * math.log2(max(wanted, _SMALLEST_LEVEL) / _SMALLEST_LEVEL))
    return round(_SMALLEST_LEVEL * 2 ** (step / 2))


def make_window(size_hw: tuple[int, int], centre: Positions, extent: float, side: int, shared_longest: int) -> Window:
    """The window of about ``extent`` frame pixels around ``centre``, moved into the frame as far as it fits.

    Args:
        size_hw: of the frame.
        centre: (2,) from the frame's corner.
        extent: side of the square, frame pixels; at most the frame's longest side.
        side: of the window in its own pixels, a multiple of 16.
        shared_longest: the largest level at which the whole frame is encoded.
    """
    longest = max(size_hw)
    size_xy = np.array(size_hw[::-1], np.float64)
    extent = min(max(extent, 16.0), float(longest))
    level = choose_level(side * longest / extent)
    if level > shared_longest:
        corner = _find_corner_inside(centre, extent, size_xy)
        x0, y0 = np.round(corner)
        scale = side / round(extent)
        return Window(float(x0), float(y0), (scale, scale), None)
    level_xy = np.array(size_with_longest_side(size_hw, level)[::-1], np.float64)
    scale_xy = level_xy / size_xy
    corner = _find_corner_inside(centre * scale_xy, side, level_xy)
    # Where the frame ends the window has to reach its end, elsewhere the nearest place will do.
    at_end = corner >= level_xy - side
    x, y = np.where(at_end, np.ceil(corner / STRIDE), np.round(corner / STRIDE)) * STRIDE
    return Window(x / scale_xy[0], y / scale_xy[1], (float(scale_xy[0]), float(scale_xy[1])), level)


def _find_corner_inside(centre: Positions, side: float, size_xy: Positions) -> Positions:
    """Corner of the square, inside the frame; centred on it along an axis on which it is too large."""
    low = np.minimum(side / 2, size_xy / 2)
    return np.asarray(np.clip(centre, low, size_xy - low) - side / 2)


def prepare_image(frame: UInt8Array, size_hw: tuple[int, int]) -> FloatArray:
    """(1, 3, h, w) in [-1, 1] of a frame resized to ``size_hw``; 0 from there to the next multiples of 16."""
    if size_hw[0] < frame.shape[0] or size_hw[1] < frame.shape[1]:
        frame = np.asarray(shrink_image(frame, max(size_hw)), np.uint8)
    if frame.shape[:2] != size_hw:
        frame = np.asarray(cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_LINEAR), np.uint8)
    out = np.zeros((1, 3, *(math.ceil(n / STRIDE) * STRIDE for n in size_hw)), np.float32)
    _write_image(out[0, :, : size_hw[0], : size_hw[1]], frame)
    return out


def _write_image(out: FloatArray, image: np.ndarray) -> None:
    """Write an (h, w, 3) uint8 image into (3, h, w) ``out``, from 0 .. 255 to [-1, 1]."""
    np.multiply(image.transpose(2, 0, 1), 1 / 127.5, out=out, casting="unsafe")
    out -= 1.0


def _encode_level(encoded: Encoded, level: int, runtime: Runtime) -> Features:
    """Features of the whole frame at ``level``, computed once."""
    if level not in encoded.levels:
        image = prepare_image(encoded.frame, size_with_longest_side(encoded.size_hw, level))
        encoded.levels[level] = runtime.encode(image)[0]
    return encoded.levels[level]


@dataclass(frozen=True)
class View:
    """What the saliency network sees of the frame, stretched into a square: x0, y0, x1, y1 whole pixels, edges."""

    x0: int
    y0: int
    x1: int
    y1: int

    @classmethod
    def around(cls, low: Positions, high: Positions, margin: float, size_hw: tuple[int, int]) -> View:
        """The box from ``low`` to ``high``, widened by ``margin`` times its longer side and a hundredth of the frame's."""
        more = margin * float((high - low).max()) + 0.01 * max(size_hw)
        rows, columns = pixels_within_edges(low - more, high + more, size_hw, min_pixels=1)
        return cls(int(columns.start), int(rows.start), int(columns.stop), int(rows.stop))

    def crop(self, frame: UInt8Array, side: int) -> FloatArray:
        """(1, 3, side, side) in [-1, 1]."""
        part = frame[self.y0 : self.y1, self.x0 : self.x1]
        shrinks = part.shape[0] > side and part.shape[1] > side
        out = np.zeros((1, 3, side, side), np.float32)
        _write_image(out[0], cv2.resize(part, (side, side), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))
        return out


def encode_windows(
    encoded: Encoded, windows: list[Window], side: int, runtime: Runtime, views: Sequence[View] | None = None
) -> list[EncodedWindow]:
    """Where the decoder reads each window; windows that are not part of a level are encoded together here.

    Args:
        encoded: the frame.
        windows: of ``side`` pixels.
        side: likewise.
        runtime: computes what is missing.
        views: what the saliency network sees for each window; None: it does not run.
    """
    out: list[EncodedWindow] = []
    own = [window for window in windows if window.level is None]
    images = [_crop_window(encoded.frame, window, side) for window in own]
    features = iter(runtime.encode(np.concatenate(images))) if own else iter(())
    salient: list[Salient | None] = [None] * len(windows)
    if views:
        seen = [view.crop(encoded.frame, saliency_side(side)) for view in views]
        corners = [window.to_window(np.array([[v.x0, v.y0], [v.x1, v.y1]])) for window, v in zip(windows, views, strict=True)]
        low, high = np.stack(corners, 1)
        salient = [*runtime.find_salient(np.concatenate(seen), lay_over(low, high, side))]
    for window, found in zip(windows, salient, strict=True):
        if window.level is None:
            out.append(EncodedWindow(next(features), 0, 0, found))
        else:
            x, y = (round(at * scale) for at, scale in zip((window.x0, window.y0), window.scale, strict=True))
            out.append(EncodedWindow(_encode_level(encoded, window.level, runtime), x, y, found))
    return out


def _crop_window(frame: UInt8Array, window: Window, side: int) -> FloatArray:
    """(1, 3, side, side) of the window alone; 0 outside the frame."""
    x0, y0, extent = round(window.x0), round(window.y0), round(side / window.scale[0])
    left, top = max(x0, 0), max(y0, 0)
    part = frame[top : y0 + extent, left : x0 + extent]
    out = np.zeros((1, 3, side, side), np.float32)
    scale = side / extent
    size = (max(1, round(part.shape[0] * scale)), max(1, round(part.shape[1] * scale)))
    at_y, at_x = round((top - y0) * scale), round((left - x0) * scale)
    size = (min(size[0], side - at_y), min(size[1], side - at_x))
    image = cv2.resize(part, size[::-1], interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    _write_image(out[0, :, at_y : at_y + size[0], at_x : at_x + size[1]], image)
    return out


def find_robust_extent(xy: FloatArray) -> tuple[Positions, Positions]:
    """First and last of the (n, 2) positions along each axis, a twentieth left out at either end when they are many."""
    fraction = 0.05 if len(xy) >= 10 else 0.0
    low, high = np.quantile(xy, [fraction, 1 - fraction], axis=0)
    return low, high


def find_mass_extent(mask: BoolArray) -> tuple[FloatArray, FloatArray]:
    """Corners of the box that holds a mask but for specks: a two-hundredth of its pixels at each side."""
    bounds = []
    for axis in (0, 1):
        mass = np.cumsum(mask.sum(axis))
        first, last = np.searchsorted(mass, [0.005 * mass[-1], 0.995 * mass[-1]])
        bounds.append((first, last + 1))
    (x0, x1), (y0, y1) = bounds
    return np.array([x0, y0], np.float32), np.array([x1, y1], np.float32)
