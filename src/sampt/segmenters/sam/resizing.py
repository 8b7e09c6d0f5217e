"""Frames to the network's square, and logits back: resized as the official programs do.

That of Segment Anything resizes 8-bit frames by Pillow's bilinear filter, which averages when it shrinks, to a longest side of
1024, normalises, and pads on the right and at the bottom; here it is equal to the last bit. That of SAM 2 resizes in floating
point, by PyTorch's filter of that kind, to the whole square, whatever the shape of the frame.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from sampt.types import FloatArray, UInt8Array

__all__ = ["Fit", "find_boxes", "find_boxes_low_res", "resize_bilinear", "to_square", "upsample"]

_MEAN_RGB = (123.675, 116.28, 103.53)
_DEVIATION_RGB = (58.395, 57.12, 57.375)
_HALF = (127.5, 127.5, 127.5)
"""Both mean and deviation of SAM 3, whose images lie between -1 and 1."""
_FRACTION_BITS = 22
"""Of Pillow's integer weights for 8-bit images: 8 bits of the value, 2 to spare, the rest of 32."""
_LOGIT_STRIDE = 4
"""Pixels of the square for one of the low-resolution logits."""
_REACH = 2
"""Low-resolution locations from a positive one to the farthest that is mixed with it in a pixel: one in either step."""


@dataclass(frozen=True)
class Fit:
    """How a frame lies in the network's square.

    Attributes:
        size_hw: of the frame.
        resized_hw: what it takes of the square, from its top left corner.
        side: of the square.
        is_stretched: True when it is resized as SAM 2 does it, to all of the square.
        is_centered: True when values lie between -1 and 1, as in SAM 3; else they are divided by their usual deviation.
    """

    size_hw: tuple[int, int]
    resized_hw: tuple[int, int]
    side: int
    is_stretched: bool = False
    is_centered: bool = False

    @classmethod
    def of(cls, size_hw: tuple[int, int], side: int) -> Fit:
        """The longest side fills the square; the other is rounded half up, and at least one pixel."""
        scale = side / max(size_hw)
        height, width = (max(1, int(length * scale + 0.5)) for length in size_hw)
        return cls(size_hw, (height, width), side)

    @classmethod
    def stretched(cls, size_hw: tuple[int, int], side: int, *, is_centered: bool = False) -> Fit:
        """Both sides fill the square."""
        return cls(size_hw, (side, side), side, is_stretched=True, is_centered=is_centered)

    def scale_xy(self, xy: FloatArray) -> FloatArray:
        """(..., 2) pixels of the frame to those of the square, as the official program does it.

        Pixel centres are multiplied by the scale and half a pixel is added later, by the network. The location on the image
        would be half of (scale - 1) pixels further (``geometry.rescale_xy``), but that is how the networks were trained.
        """
        scale = np.array([self.resized_hw[1] / self.size_hw[1], self.resized_hw[0] / self.size_hw[0]])
        return np.asarray(np.asarray(xy, np.float64) * scale, np.float32)

    def scale_corners(self, corners_xy: Tensor) -> Tensor:
        """The same of (..., 2) corners of boxes on the device, in float32."""
        scale = (self.resized_hw[1] / self.size_hw[1], self.resized_hw[0] / self.size_hw[0])
        return corners_xy.float() * torch.tensor(scale, device=corners_xy.device)


def to_square(frames: UInt8Array, fit: Fit, device: torch.device) -> Tensor:
    """(b, 3, side, side) float32, normalised, of (b, h, w, 3) uint8 RGB frames."""
    height, width = fit.resized_hw
    scale = (_HALF, _HALF) if fit.is_centered else (_MEAN_RGB, _DEVIATION_RGB)
    mean, deviation = (torch.tensor(values, device=device).view(3, 1, 1) for values in scale)
    if fit.is_stretched:
        whole = torch.from_numpy(np.array(frames)).to(device).permute(0, 3, 1, 2).float()
        return (F.interpolate(whole, fit.resized_hw, mode="bilinear", antialias=True) - mean) / deviation
    if device.type == "cpu":  # Pillow itself is quicker than PyTorch's gathering, and equal
        small = [np.asarray(Image.fromarray(f).resize((width, height), Image.Resampling.BILINEAR)) for f in frames]
        images = torch.from_numpy(np.stack(small))
    else:
        images = resize_bilinear(torch.from_numpy(np.array(frames)).to(device), fit.resized_hw)
    normal = (images.permute(0, 3, 1, 2).float() - mean) / deviation
    return F.pad(normal, (0, fit.side - width, 0, fit.side - height))


def resize_bilinear(images: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """(b, h, w, c) uint8 images resized to ``size_hw``, equal to Pillow's bilinear filter on any device.

    Widths first, then heights, rounded to 8 bits in between; a triangle of the width of an output pixel, at least of an input
    pixel, as integer weights.
    """
    return _resample(_resample(images, 2, size_hw[1]), 1, size_hw[0])


def _resample(images: Tensor, axis: int, size: int) -> Tensor:
    if images.shape[axis] == size:
        return images
    index, weights = _taps(images.shape[axis], size)
    shape = [1, 1, 1, 1]
    shape[axis] = size
    total = torch.full((1,), 1 << (_FRACTION_BITS - 1), dtype=torch.int32, device=images.device)
    for locations, weight in zip(index.T, weights.T, strict=True):
        values = images.index_select(axis, torch.from_numpy(locations.copy()).to(images.device)).int()
        total = total + values * torch.from_numpy(weight.copy()).to(images.device).view(shape)
    return (total >> _FRACTION_BITS).clamp(0, 255).to(torch.uint8)


def _taps(source: int, target: int) -> tuple[np.ndarray, np.ndarray]:
    """For each of ``target`` outputs the inputs that it is made of and their weights: (target, taps) int64 and int32."""
    scale = source / target
    reach = max(scale, 1.0)
    centre = (np.arange(target) + 0.5) * scale
    first = np.maximum((centre - reach + 0.5).astype(np.int64), 0)
    stop = np.minimum((centre + reach + 0.5).astype(np.int64), source)
    index = first[:, None] + np.arange(2 * math.ceil(reach) + 1)
    weights = np.maximum(1 - np.abs((index - centre[:, None] + 0.5) / reach), 0) * (index < stop[:, None])
    weights /= weights.sum(1, keepdims=True)
    whole = (weights * (1 << _FRACTION_BITS) + 0.5).astype(np.int32)
    used = whole.any(0)  # the last taps may be needed by none
    return np.minimum(index, source - 1)[:, used], whole[:, used]


def upsample(low_res: Tensor, fit: Fit) -> Tensor:
    """(n, h, w) logits at the frame's size from (n, side / 4, side / 4).

    To the square, cut to the frame, to its own size; or at once where the frame was stretched to the square.
    """
    if fit.is_stretched:
        return F.interpolate(low_res[:, None], fit.size_hw, mode="bilinear", align_corners=False)[:, 0]
    height, width = fit.resized_hw
    # The rest of the square is cut off anyway; one location more than the cut reaches leaves what is before it unchanged.
    rows, columns = -(-height // _LOGIT_STRIDE) + 1, -(-width // _LOGIT_STRIDE) + 1
    part = low_res[:, None, :rows, :columns]
    square = F.interpolate(part, scale_factor=float(_LOGIT_STRIDE), mode="bilinear", align_corners=False)
    cut = square[:, :, :height, :width]
    return F.interpolate(cut, fit.size_hw, mode="bilinear", align_corners=False)[:, 0]


def find_boxes(logits: Tensor) -> Tensor:
    """(n, 5): first and last column and row of what is > 0 in (n, h, w) logits as x0, y0, x1, y1, and how many pixels are."""
    limits = []
    for along in (logits.amax(1), logits.amax(2)):
        locations = (along > 0).int()
        limits.append((locations.argmax(1), along.shape[1] - 1 - locations.flip(1).argmax(1)))
    (x0, x1), (y0, y1) = limits
    return torch.stack([x0, y0, x1, y1, (logits > 0).sum((1, 2))], 1)


def find_boxes_low_res(low_res: Tensor, fit: Fit) -> Tensor:
    """:func:`find_boxes` the full-size logits, from (n, side / 4, side / 4), without going through the square.

    Upsampling is linear along rows and along columns, so it is a product with a matrix from either side. On the CPU only the
    part that a positive location reaches is made; elsewhere to find out which part that is would take longer than to make all
    of it.
    """
    down, across = _upsampling(fit, low_res.shape[1], low_res.device)
    if low_res.device.type == "cpu":
        return torch.stack([_box_near(one, down, across) for one in low_res])
    return find_boxes(down @ low_res @ across.T)


def _box_near(low_res: Tensor, down: Tensor, across: Tensor) -> Tensor:
    """(5,) box of one object."""
    parts, corner, used = [], [], []
    for matrix, along in ((down, low_res.amax(1) > 0), (across, low_res.amax(0) > 0)):
        locations = along.nonzero()
        if not len(locations):
            return torch.zeros(5, dtype=torch.int64)
        reached = (matrix[:, int(locations[0]) : int(locations[-1]) + 1] > 0).any(1).nonzero()
        if not len(reached):  # only beside the frame
            return torch.zeros(5, dtype=torch.int64)
        first, last = int(reached[0]), int(reached[-1])
        near = slice(max(int(locations[0]) - _REACH, 0), int(locations[-1]) + 1 + _REACH)
        parts.append(matrix[first : last + 1, near])
        corner.append(first)
        used.append(near)
    box = find_boxes((parts[0] @ low_res[used[0], used[1]] @ parts[1].T)[None])[0]
    return box + torch.tensor([corner[1], corner[0], corner[1], corner[0], 0]) * (box[4] > 0)


@lru_cache(maxsize=4)
def _upsampling(fit: Fit, low_side: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Matrices (h, m) and (w, m): logits along an axis of the frame from those along one of m low-resolution locations."""
    one = torch.eye(low_side, device=device)
    # A frame of equal rows is upsampled along its columns only, and the other way round: one of them is then enough.
    column = replace(fit, size_hw=(fit.size_hw[0], 1), resized_hw=(fit.resized_hw[0], 1))
    row = replace(fit, size_hw=(1, fit.size_hw[1]), resized_hw=(1, fit.resized_hw[1]))
    down = upsample(one[:, :, None].expand(-1, -1, 2), column)[:, :, 0].T
    across = upsample(one[:, None].expand(-1, 2, -1), row)[:, 0].T
    return down.contiguous(), across.contiguous()
