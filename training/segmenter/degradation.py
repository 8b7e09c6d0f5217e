"""Colours, exposure, sharpness, noise and JPEG blocks, changed at random."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.draws import Draws
from training.segmenter.samples import Settings

_LUMA = (0.299, 0.587, 0.114)
# The quantisation table of brightness that the standard (ITU-T T.81, annex K) gives as an example; colour has one of its own,
# for which, coarser throughout, half as much again is near enough here.
_QUANTA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


class Degrader(Draws):
    """Changes images in [-1, 1] as cameras and files do.

    Args:
        settings: the configuration; its table ``color`` is read.
        generator: of all that is drawn.
        device: of the images.
    """

    def __init__(self, settings: Settings, generator: Generator, device: torch.device) -> None:
        super().__init__(generator, device)
        self.settings = settings

    def shift_colors(self, image: Tensor) -> Tensor:
        """Another gain and offset for each channel: what is pasted in comes from another photo."""
        b = len(image)
        s = self.settings["color"]
        gain = 1 + self.normal(b, 3, 1, 1) * s["gain"] / 2
        return (image * gain + self.normal(b, 3, 1, 1) * s["offset"]).clamp(-1, 1)

    def degrade(self, image: Tensor) -> Tensor:
        """Exposure, white balance, gamma, grey, blur and noise."""
        s = self.settings["color"]
        b, _, side, _ = image.shape
        on = self.chance(s["probability"], b).float().view(b, 1, 1, 1)
        gain = 1 + on * (self.normal(b, 1, 1, 1) + 0.4 * self.normal(b, 3, 1, 1)) * s["gain"]
        offset = on * (self.normal(b, 1, 1, 1) + 0.4 * self.normal(b, 3, 1, 1)) * s["offset"]
        unit = ((image * gain + offset) * 0.5 + 0.5).clamp(0, 1)
        unit = (unit + 1e-3).pow(torch.exp(on * self.normal(b, 1, 1, 1) * s["gamma"]))
        dark = self.chance(s["dark"], b).view(b, 1, 1, 1)
        unit = torch.where(dark, unit * self.uniform(b, 1, 1, 1, low=0.12, high=0.5), unit)
        grey = unit.mean(1, keepdim=True)
        depth = torch.where(self.chance(s["grey"], b).view(b, 1, 1, 1), 0.0, 1 + on * 0.3 * self.normal(b, 1, 1, 1))
        unit = grey + (unit - grey) * depth
        which = torch.nonzero(self.chance(s["blur"], b))[:, 0]
        if len(which):
            small = F.interpolate(
                unit[which], scale_factor=float(self.uniform(1, low=0.3, high=0.8)), mode="bilinear", antialias=True
            )
            unit[which] = F.interpolate(small, (side, side), mode="bilinear", align_corners=False)
        noise = self.uniform(b, 1, 1, 1) * s["noise"] * on
        unit = (unit + noise * self.normal(*unit.shape)).clamp(0, 1)
        which = torch.nonzero(self.chance(s["jpeg"], b))[:, 0]
        if len(which):
            quality = self.log_uniform(len(which), low=s["jpeg_quality"][0], high=s["jpeg_quality"][1])
            unit[which] = compress_jpeg(unit[which], quality)
        return unit * 2 - 1


def compress_jpeg(unit: Tensor, quality: Tensor) -> Tensor:
    """Images (n, 3, s, s) in 0 .. 1, s a multiple of 8, as JPEGs of the qualities (n,), below 50, show them."""
    n, _, side, _ = unit.shape
    device = unit.device
    luma = (unit * torch.tensor(_LUMA, device=device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    color = unit - luma
    # Colour is kept at half the size.
    color = F.interpolate(F.avg_pool2d(color, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    k = torch.arange(8, device=device, dtype=torch.float32)
    dct = torch.cos((2 * k + 1) * k.view(8, 1) * (math.pi / 16)) * torch.where(k == 0, math.sqrt(1 / 8), 0.5).view(8, 1)
    table = torch.tensor(_QUANTA, device=device, dtype=torch.float32) / 255 * (50 / quality).view(n, 1, 1, 1, 1, 1)
    blocks = torch.cat([luma - 0.5, color], 1).view(n, 4, side // 8, 8, side // 8, 8).transpose(3, 4)
    step = table * torch.tensor([1.0, 1.5, 1.5, 1.5], device=device).view(1, 4, 1, 1, 1, 1)
    rounded = torch.round(dct @ blocks @ dct.t() / step) * step
    out = (dct.t() @ rounded @ dct).transpose(3, 4).reshape(n, 4, side, side)
    return (out[:, 1:] + out[:, :1] + 0.5).clamp(0, 1)
