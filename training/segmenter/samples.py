"""What a batch of the click segmenter's training holds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

Settings = dict[str, Any]


@dataclass(frozen=True)
class Prompts:
    """One set of prompts for every sample: points (b, p, 2), labels (b, p) in 1, 0, -1; box (b, 4); stale mask."""

    points: Tensor
    labels: Tensor
    box: Tensor
    previous: Tensor
    has_previous: Tensor


@dataclass(frozen=True)
class Batch:
    """Samples and their prompts.

    Attributes:
        image: (b, 3, s, s) in [-1, 1].
        seen: (b, 3, l, l) what the saliency network sees: the part ``view`` (b, 4) x0, y0, x1, y1 of the image, stretched.
        target: (b, 1, s, s) 0 or 1.
        inside: (b, 1, s, s).
        memory: (b, 1, s / 4, s / 4) log odds of the object memory; 0 where it knows nothing.
        first, second: two sets of prompts.
        is_recorded: whether the prompts are those of a run through the clip.
    """

    image: Tensor
    seen: Tensor
    view: Tensor
    target: Tensor
    inside: Tensor
    memory: Tensor
    first: Prompts
    second: Prompts
    is_recorded: bool = False


@dataclass(frozen=True)
class Placement:
    """Where crops lie: ``centre`` (b, 2), ``half`` (b,) of their side on the canvas, ``matrix`` (b, 2, 2) turn and stretch."""

    centre: Tensor
    half: Tensor
    matrix: Tensor

    def grid(self, side: int) -> Tensor:
        """(b, side, side, 2) canvas positions, from its corner, of the pixels."""
        axis = (torch.arange(side, device=self.half.device) + 0.5) / side * 2 - 1
        unit = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, -1, 2)
        xy = (unit @ self.matrix.transpose(1, 2)) * self.half.view(-1, 1, 1) + self.centre.unsqueeze(1)
        return xy.view(-1, side, side, 2)

    def to_crop(self, xy: Tensor, side: int) -> Tensor:
        """(b, p, 2) canvas positions as pixels of the crops, from the corner."""
        unit = (xy - self.centre.unsqueeze(1)) / self.half.view(-1, 1, 1)
        return (unit @ torch.linalg.inv(self.matrix).transpose(1, 2) + 1) * (side / 2)


def shrink(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True)
