"""An answer of the network: its logits in a window, the clicks that it has to obey, and the mask at the frame's size."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import cv2
import numpy as np

from sampt.segmenters.nano.runtime import Positions
from sampt.segmenters.nano.settings import NanoSettings
from sampt.segmenters.nano.sharpen import guided_upsample
from sampt.segmenters.nano.windows import Window, mass_extent, place_window
from sampt.types import BoolArray, FloatArray, ObjectPrompt, UInt8Array

__all__ = ["MAX_LOGIT", "LowResolution", "at_frame_size", "certain_points", "obey", "obey_at_pixels", "of_mask"]

MAX_LOGIT = 8.0
SURE_LOGIT = 4.0
OBEYED_LOGIT = 2.0
LEAST_LOGIT = 0.5


@dataclass(frozen=True, eq=False)
class LowResolution:
    """An answer at the network's own resolution.

    Attributes:
        logits: (s, s) float32 of the window.
        window: where it lies on the frame.
        size_hw: of the frame.
    """

    logits: FloatArray
    window: Window
    size_hw: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return int(self.logits.nbytes)


def certain_points(prompt: ObjectPrompt) -> tuple[FloatArray, BoolArray]:
    """(k, 2) xy and signs of the points that a person put there; of two at one place the later one counts."""
    return prompt.xy[prompt.is_certain], prompt.is_positive[prompt.is_certain]


def of_mask(mask: BoolArray, settings: NanoSettings) -> LowResolution:
    """The answer that an (h, w) mask would be."""
    s = settings
    size_hw = (mask.shape[0], mask.shape[1])
    low, high = mass_extent(mask)
    centre: Positions = (low + high) / 2
    window = place_window(size_hw, centre, float((high - low).max()) * s.mask_extent, s.side, s.shared_longest)
    scale = np.array(window.scale)
    first = window.to_window(np.full(2, 0.5, np.float32)) - 0.5
    matrix = np.array([[scale[0], 0, first[0]], [0, scale[1], first[1]]])
    share = mask.astype(np.float32)
    if scale.min() < 1:  # a pixel of the window is a mean
        reach = (2 * round(0.5 / scale[0] - 0.5) + 1, 2 * round(0.5 / scale[1] - 0.5) + 1)
        share = np.asarray(cv2.blur(share, reach), np.float32)
    seen = cv2.warpAffine(share, matrix, (s.side, s.side), flags=cv2.INTER_LINEAR)
    return LowResolution(np.asarray((2 * seen - 1) * MAX_LOGIT, np.float32), window, size_hw)


def obey(prompt: ObjectPrompt, answer: LowResolution, click_radius: float) -> LowResolution:
    """The answer with the sign of every certain click that it contradicts around that click."""
    xy, signs = certain_points(prompt)
    at = answer.window.to_window(xy + 0.5)
    side = answer.logits.shape[0]
    logits = answer.logits
    for (x, y), sign in zip(at, np.where(signs, 1.0, -1.0), strict=True):
        column, row = math.floor(x), math.floor(y)
        if not (0 <= column < side and 0 <= row < side) or sign * answer.logits[row, column] > 0:
            continue
        axis = np.arange(side) + 0.5
        near = np.exp(-((axis - x)[None] ** 2 + (axis - y)[:, None] ** 2) / (2 * click_radius**2))
        logits = logits + np.float32(sign * OBEYED_LOGIT - answer.logits[row, column]) * near.astype(np.float32)
    return answer if logits is answer.logits else replace(answer, logits=np.clip(logits, -MAX_LOGIT, MAX_LOGIT))


def at_frame_size(frame: UInt8Array, look: LowResolution, settings: NanoSettings) -> FloatArray:
    """(h, w) logits: those of the window sharpened on the frame, the surest background elsewhere."""
    s = settings
    full = np.full(look.size_hw, -MAX_LOGIT, np.float32)
    # What is sure counts no more than what is fairly sure: the filter is to move borders.
    signal = np.clip(look.logits, -SURE_LOGIT, SURE_LOGIT)
    rows, columns = _part_of_interest(look)
    guide = frame[rows, columns]
    if guide.size == 0:
        return full
    low = np.array([columns.start, rows.start], np.float32)
    shrink = np.minimum(np.array(look.window.scale), 1.0)
    size = np.maximum(np.ceil(np.array(guide.shape[1::-1]) * shrink), 1).astype(int)
    step = np.array(guide.shape[1::-1]) / size
    scale = np.array(look.window.scale)
    corner = look.window.to_window(low + step / 2) - 0.5
    matrix = np.array([[step[0] * scale[0], 0, corner[0]], [0, step[1] * scale[1], corner[1]]])
    coarse = cv2.warpAffine(
        signal, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )  # fmt: skip
    fine = guided_upsample(np.asarray(coarse, np.float32), guide, s.sharpen_radius, s.sharpen_epsilon)
    full[rows, columns] = fine
    return full


def obey_at_pixels(prompt: ObjectPrompt, full: FloatArray) -> None:
    """Give the pixels under certain clicks their sign, in place: the edge filter may have moved a border across a click."""
    xy, signs = certain_points(prompt)
    columns, rows = np.clip(np.rint(xy).astype(int), 0, np.array(full.shape[::-1]) - 1).T
    full[rows, columns] = np.where(
        signs, np.maximum(full[rows, columns], LEAST_LOGIT), np.minimum(full[rows, columns], -LEAST_LOGIT)
    )


def _part_of_interest(look: LowResolution) -> tuple[slice, slice]:
    """Rows and columns of the frame within the window where the mask is, and a little around."""
    margin = 8
    near = look.logits > -4.0
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    height, width = look.logits.shape
    low = np.array([max(columns[0] - margin, 0), max(rows[0] - margin, 0)], np.float32)
    high = np.array([min(columns[-1] + 1 + margin, width), min(rows[-1] + 1 + margin, height)], np.float32)
    size_xy = np.array(look.size_hw[::-1])
    x0, y0 = np.clip(np.floor(look.window.to_frame(low)), 0, size_xy).astype(int)
    x1, y1 = np.clip(np.ceil(look.window.to_frame(high)), 0, size_xy).astype(int)
    return slice(y0, y1), slice(x0, x1)
