"""Clips changed as cameras and files change them."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.tracker.motion import MotionDraws


class ClipDegrader(MotionDraws):
    """Draws changes of clips.

    Args:
        settings: the configuration; its table ``image`` is read.
        generator: of all that is drawn.
        device: of the clips.
    """

    def __init__(self, settings: dict[str, Any], generator: Generator, device: torch.device) -> None:
        super().__init__(generator, device)
        self.settings = settings

    def degrade(self, frames: Tensor) -> Tensor:
        """Exposure, light, colour, sharpness, compression and noise; all but the last two change slowly."""
        s = self.settings["image"]
        b, t, _, h, w = frames.shape
        on = self.switch(s["change"], b, 1, 1, 1, 1)
        drift = self.smooth(b, 3, t, 8.0).transpose(1, 2).reshape(b, t, 3, 1, 1) * 0.05
        common = self.smooth(b, 1, t, 6.0).transpose(1, 2).reshape(b, t, 1, 1, 1) * 0.15
        light = F.interpolate(self.normal(b, t and 2, 4, 4), (h, w), mode="bicubic", align_corners=False)
        mix = self.smooth(b, 2, t, 8.0).transpose(1, 2).reshape(b, t, 2, 1, 1)
        light = (light.unsqueeze(1) * mix).sum(2, keepdim=True) * 0.08
        static = self.normal(b, 1, 3, 1, 1) * 0.08 + self.normal(b, 1, 1, 1, 1) * 0.2
        frames = (frames * (1 + on * (common + drift + light) + static)).clamp(1e-3, 1)
        frames = frames.pow(torch.exp(self.normal(b, 1, 1, 1, 1) * s["gamma"]))
        grey = frames.mean(2, keepdim=True)
        frames = grey + (frames - grey) * (1 - self.switch(s["grey"], b, 1, 1, 1, 1))
        flat = frames.flatten(0, 1)
        if float(self.uniform(1)) < s["soft"]:
            flat = F.avg_pool2d(F.pad(flat, (1, 1, 1, 1), mode="replicate"), 3, 1)
        if float(self.uniform(1)) < s["compressed"]:
            flat = compress_blocks(flat, float(self.log_uniform(1, low=0.02, high=0.12)))
        noise = self.switch(0.5, b, 1, 1, 1, 1) * self.uniform(b, 1, 1, 1, 1, high=s["noise"])
        return (flat.view_as(frames) + self.normal(*frames.shape) * noise).clamp(0, 1)


def compress_blocks(images: Tensor, step: float) -> Tensor:
    """Blocks of 8 x 8 as JPEG has them: cosine transform, rounded to multiples of a step that grows with frequency."""
    m, c, h, w = images.shape
    k = torch.arange(8, device=images.device).float()
    basis = torch.cos(math.pi * (k.view(1, 8) + 0.5) * k.view(8, 1) / 8) * 0.5
    basis[0] /= math.sqrt(2)
    blocks = images.view(m, c, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5)
    spectrum = basis @ blocks @ basis.T
    steps = step * (1 + (k.view(8, 1) + k.view(1, 8)) / 2)
    spectrum = torch.round(spectrum / steps) * steps
    blocks = basis.T @ spectrum @ basis
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(m, c, h, w)
