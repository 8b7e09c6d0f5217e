"""Logits that the network predicts in a window: made to agree with clicks, and brought to the frame's size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.geometry import pixels_within_edges, round_to_pixels
from sampt.segmenters.nano.runtime import Positions
from sampt.segmenters.nano.settings import NanoSettings
from sampt.segmenters.nano.sharpen import guided_upsample
from sampt.segmenters.nano.windows import Window, find_mass_extent, make_window
from sampt.types import BoolArray, FloatArray, ObjectPrompt, UInt8Array

__all__ = [
    "MAX_LOGIT",
    "LowResLogits",
    "convert_mask",
    "enforce_clicks",
    "enforce_clicks_at_pixels",
    "select_certain_points",
    "upsample_to_frame",
]

MAX_LOGIT = 8.0
SURE_LOGIT = 4.0
CLICK_LOGIT = 2.0
MIN_CLICK_LOGIT = 0.5


@dataclass(frozen=True, eq=False)
class LowResLogits:
    """A prediction at the network's own resolution: what a prompt takes as ``mask_logits``.

    Attributes:
        logits: (s, s) float32 of the window.
        window: where it lies on the frame.
        size_hw: of the frame.
    """

    logits: FloatArray
    window: Window
    size_hw: tuple[int, int]

    __repr__ = shape_repr

    @property
    def nbytes(self) -> int:
        return int(self.logits.nbytes)


def select_certain_points(prompt: ObjectPrompt) -> tuple[FloatArray, BoolArray]:
    """(k, 2) xy and signs of the points that a person put there; of two at one location the later one counts."""
    return prompt.xy[prompt.is_certain], prompt.is_positive[prompt.is_certain]


def convert_mask(mask: BoolArray, settings: NanoSettings) -> LowResLogits:
    """The logits that predict an (h, w) mask."""
    s = settings
    size_hw = (mask.shape[0], mask.shape[1])
    low, high = find_mass_extent(mask)
    centre: Positions = (low + high) / 2
    window = make_window(size_hw, centre, float((high - low).max()) * s.mask_extent, s.side, s.shared_longest)
    scale = np.array(window.scale)
    first = window.to_window(np.full(2, 0.5, np.float32)) - 0.5
    matrix = np.array([[scale[0], 0, first[0]], [0, scale[1], first[1]]])
    coverage = mask.astype(np.float32)
    if scale.min() < 1:  # a pixel of the window is a mean
        reach = (2 * round(0.5 / scale[0] - 0.5) + 1, 2 * round(0.5 / scale[1] - 0.5) + 1)
        coverage = np.asarray(cv2.blur(coverage, reach), np.float32)
    warped = cv2.warpAffine(coverage, matrix, (s.side, s.side), flags=cv2.INTER_LINEAR)
    return LowResLogits(np.asarray((2 * warped - 1) * MAX_LOGIT, np.float32), window, size_hw)


def enforce_clicks(prompt: ObjectPrompt, low_res: LowResLogits, click_radius: float) -> LowResLogits:
    """The logits with the sign of every certain click that they contradict around that click.

    What clicks beside each other add is not summed: a click that is repeated adds nothing.
    """
    xy, signs = select_certain_points(prompt)
    at = low_res.window.to_window(xy + 0.5)
    side = low_res.logits.shape[0]
    more, less = np.zeros((2, side, side), np.float32)
    for (x, y), sign in zip(at, np.where(signs, 1.0, -1.0), strict=True):
        column, row = math.floor(x), math.floor(y)
        if not (0 <= column < side and 0 <= row < side) or sign * low_res.logits[row, column] > 0:
            continue
        axis = np.arange(side) + 0.5
        near = np.exp(-((axis - x)[None] ** 2 + (axis - y)[:, None] ** 2) / (2 * click_radius**2))
        added = np.float32(sign * CLICK_LOGIT - low_res.logits[row, column]) * near.astype(np.float32)
        more, less = np.maximum(more, added), np.minimum(less, added)
    if not more.any() and not less.any():
        return low_res
    return replace(low_res, logits=np.clip(low_res.logits + more + less, -MAX_LOGIT, MAX_LOGIT))


def upsample_to_frame(frame: UInt8Array, low_res: LowResLogits, settings: NanoSettings) -> FloatArray:
    """(h, w) logits: those of the window sharpened on the frame, the surest background elsewhere."""
    s = settings
    full = np.full(low_res.size_hw, -MAX_LOGIT, np.float32)
    # What is sure counts no more than what is fairly sure: the filter is to move borders.
    signal = np.clip(low_res.logits, -SURE_LOGIT, SURE_LOGIT)
    rows, columns = _find_part_of_interest(low_res)
    guide = frame[rows, columns]
    if guide.size == 0:
        return full
    low = np.array([columns.start, rows.start], np.float32)
    shrink = np.minimum(np.array(low_res.window.scale), 1.0)
    size = np.maximum(np.ceil(np.array(guide.shape[1::-1]) * shrink), 1).astype(int)
    step = np.array(guide.shape[1::-1]) / size
    scale = np.array(low_res.window.scale)
    corner = low_res.window.to_window(low + step / 2) - 0.5
    matrix = np.array([[step[0] * scale[0], 0, corner[0]], [0, step[1] * scale[1], corner[1]]])
    coarse = cv2.warpAffine(
        signal, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    fine = guided_upsample(np.asarray(coarse, np.float32), guide, s.sharpen_radius, s.sharpen_epsilon)
    full[rows, columns] = fine
    return full


def enforce_clicks_at_pixels(prompt: ObjectPrompt, full: FloatArray) -> None:
    """Give the pixels under certain clicks their sign, in place: the edge filter may have moved a border across a click."""
    xy, signs = select_certain_points(prompt)
    rows, columns = round_to_pixels(xy, (full.shape[0], full.shape[1]), halves_to_even=True)
    full[rows, columns] = np.where(
        signs, np.maximum(full[rows, columns], MIN_CLICK_LOGIT), np.minimum(full[rows, columns], -MIN_CLICK_LOGIT)
    )


def _find_part_of_interest(low_res: LowResLogits) -> tuple[slice, slice]:
    """Rows and columns of the frame within the window where the mask is, and a little around."""
    margin = 8
    near = low_res.logits > -4.0
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    height, width = low_res.logits.shape
    low = np.array([max(columns[0] - margin, 0), max(rows[0] - margin, 0)], np.float32)
    high = np.array([min(columns[-1] + 1 + margin, width), min(rows[-1] + 1 + margin, height)], np.float32)
    return pixels_within_edges(low_res.window.to_frame(low), low_res.window.to_frame(high), low_res.size_hw)
