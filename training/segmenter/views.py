"""What the saliency network sees of the crops, as in the segmenter."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.segmenters.nano.settings import NanoSettings
from training.segmenter.samples import Prompts


def choose_views(prompts: Prompts, inside: Tensor) -> Tensor:
    """(b, 4) what the saliency network sees, as in the segmenter: around box or positive points, or all of the crop."""
    side = inside.shape[-1]
    s = NanoSettings()
    positive = prompts.labels == 1
    count = positive.sum(1)
    left_out = torch.where(count >= 10, 0.05, 0.0)
    ordered = prompts.points.masked_fill(~positive.unsqueeze(2), math.inf).sort(1).values

    def quantile(q: Tensor) -> Tensor:
        at = q * (count - 1).clamp(min=0)
        low = at.floor().long().view(-1, 1, 1).expand(-1, 1, 2)
        high = torch.minimum(low + 1, (count - 1).clamp(min=0).view(-1, 1, 1))
        a, b = ordered.gather(1, low)[:, 0], ordered.gather(1, high)[:, 0]
        return a + (b - a) * (at - at.floor()).unsqueeze(1)

    many = count > s.few_points
    low, high = (torch.where(many.unsqueeze(1), quantile(q), 0.0) for q in (left_out, 1 - left_out))
    boxed = prompts.box[:, 2] > prompts.box[:, 0]
    low, high = (torch.where(boxed.unsqueeze(1), c, p) for c, p in ((prompts.box[:, :2], low), (prompts.box[:, 2:], high)))
    more = s.view_margin * (high - low).amax(1, keepdim=True) + 0.02 * side
    low, high = low - more, high + more
    around = (many | boxed).unsqueeze(1)
    axis = torch.arange(side, device=inside.device, dtype=torch.float32)
    there = torch.stack([inside.amax(2)[:, 0], inside.amax(3)[:, 0]], 1) > 0  # columns, rows
    first = torch.where(there, axis, side).amin(2).clamp(max=side - 8)
    last = torch.maximum(torch.where(there, axis + 1, 0).amax(2), first + 8)
    low = torch.minimum(torch.maximum(torch.where(around, low, first), first), last - 8)
    high = torch.maximum(torch.minimum(torch.where(around, high, last), last), low + 8)
    return torch.cat([low, high], 1)


def crop_views(large: Tensor, view: Tensor, side: int) -> Tensor:
    """(b, 3, l, l) the parts ``view`` of ``large`` images (b, 3, l, l), stretched; in pixels of crops of ``side``."""
    axis = (torch.arange(large.shape[-1], device=large.device) + 0.5) / large.shape[-1]
    x, y = (view[:, k, None] + axis * (view[:, k + 2] - view[:, k]).unsqueeze(1) for k in (0, 1))
    x, y = x.unsqueeze(1).expand(-1, len(axis), -1), y.unsqueeze(2).expand(-1, -1, len(axis))
    unit = torch.stack([x, y], -1) * (2 / side) - 1
    return F.grid_sample(large, unit, mode="bilinear", align_corners=False)
