"""EdgeTAM (Zhou et al., "EdgeTAM: On-Device Track Anything Model", CVPR 2025, arXiv 2501.07256) for single frames.

It is SAM 2 with another encoder of images, RepViT-M1 (Wang et al., "RepViT: Revisiting Mobile CNN From ViT Perspective", CVPR
2024, arXiv 2307.09283), whose parameters are called as in `timm`, from which the official program takes it. The rest is that
of :mod:`sampt.segmenters.sam2.network`.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import NamedTuple

import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr
from sampt.segmenters.sam.network import SIDE
from sampt.segmenters.sam2.network import Sam2Network, decoder_and_prompts

__all__ = ["REPVIT_M1", "RepVitSizes", "build", "build_edgetam"]

_WIDTH = 256
"""Channels of the embedding."""


@dataclass(frozen=True)
class RepVitSizes:
    """Sizes of the encoder; each of four stages but the first halves the locations.

    Attributes:
        widths: channels of the stages.
        depths: blocks of the stages.
        side: of the square image, in pixels; a multiple of 32.
    """

    widths: tuple[int, int, int, int] = (48, 96, 192, 384)
    depths: tuple[int, int, int, int] = (2, 2, 14, 2)
    side: int = SIDE


REPVIT_M1 = RepVitSizes()


class _ConvNorm(nn.Sequential):
    """Convolution and batch normalisation."""

    def __init__(self, inputs: int, outputs: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=False)
        super().__init__(OrderedDict(c=conv, bn=nn.BatchNorm2d(outputs)))


class _Mixer(nn.Module):
    """Channel by channel: a 3x3 convolution, one of single pixels, and the input, added up."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv = _ConvNorm(width, width, 3, groups=width)
        self.conv1 = _ConvNorm(width, width, 1, groups=width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x) + self.conv1(x) + x
        return out


class _Gate(nn.Module):
    """Channels weighted by what is in the whole image (squeeze and excitation, Hu et al. 2018)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        inner = max(8, (width // 4 + 4) // 8 * 8)  # a quarter, to the nearest multiple of 8
        self.fc1 = nn.Conv2d(width, inner, 1)
        self.fc2 = nn.Conv2d(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        weights: Tensor = self.fc2(F.relu(self.fc1(x.mean((2, 3), keepdim=True))))
        return x * weights.sigmoid()


class _Perceptron(nn.Module):
    """Pixel by pixel."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(width, 2 * width)
        self.conv2 = _ConvNorm(2 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.gelu(self.conv1(x)))
        return out


class _Block(nn.Module):
    """Pixels are mixed, then channels; every other block of a stage has a gate between."""

    def __init__(self, width: int, *, has_gate: bool) -> None:
        super().__init__()
        self.token_mixer = _Mixer(width)
        self.se = _Gate(width) if has_gate else nn.Identity()
        self.channel_mixer = _Perceptron(width)

    def forward(self, x: Tensor) -> Tensor:
        mixed: Tensor = self.se(self.token_mixer(x))
        out: Tensor = mixed + self.channel_mixer(mixed)
        return out


class _Downsample(nn.Module):
    """From one stage to the next: half the locations, other channels."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.pre_block = _Block(inputs, has_gate=False)
        self.spatial_downsample = _ConvNorm(inputs, inputs, 3, 2, groups=inputs)
        self.channel_downsample = _ConvNorm(inputs, outputs)
        self.ffn = _Perceptron(outputs)

    def forward(self, x: Tensor) -> Tensor:
        fewer: Tensor = self.channel_downsample(self.spatial_downsample(self.pre_block(x)))
        out: Tensor = fewer + self.ffn(fewer)
        return out


class _Stage(nn.Module):
    def __init__(self, inputs: int | None, width: int, depth: int) -> None:
        super().__init__()
        self.downsample = nn.Identity() if inputs is None else _Downsample(inputs, width)
        self.blocks = nn.Sequential(*(_Block(width, has_gate=k % 2 == 0) for k in range(depth)))

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.blocks(self.downsample(x))
        return out


class _Stem(nn.Module):
    """A quarter of the sides."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.conv1 = _ConvNorm(3, width // 2, 3, 2)
        self.conv2 = _ConvNorm(width // 2, width, 3, 2)

    def forward(self, images: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.gelu(self.conv1(images)))
        return out


class _RepVit(nn.Module):
    """(b, 3, side, side) images to four levels of features, at strides 4, 8, 16 and 32."""

    def __init__(self, sizes: RepVitSizes) -> None:
        super().__init__()
        self.stem = _Stem(sizes.widths[0])
        inputs = (None, *sizes.widths[:-1])
        self.stages_0, self.stages_1, self.stages_2, self.stages_3 = (
            _Stage(before, width, depth) for before, width, depth in zip(inputs, sizes.widths, sizes.depths, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        x: Tensor = self.stem(images)
        levels: list[Tensor] = []
        for stage in (self.stages_0, self.stages_1, self.stages_2, self.stages_3):
            x = stage(x)
            levels.append(x)
        return levels


class _Backbone(nn.Module):
    """Only there for the official names."""

    def __init__(self, sizes: RepVitSizes) -> None:
        super().__init__()
        self.body = _RepVit(sizes)

    def forward(self, images: Tensor) -> list[Tensor]:
        levels: list[Tensor] = self.body(images)
        return levels


class _Neck(nn.Module):
    """All levels with as many channels; the coarsest one is added to the next one (Lin et al. 2017), and is left out then."""

    def __init__(self, sizes: RepVitSizes) -> None:
        super().__init__()
        self.convs = nn.ModuleList(nn.Conv2d(width, _WIDTH, 1) for width in sizes.widths[::-1])

    def forward(self, levels: list[Tensor]) -> list[Tensor]:
        coarsest, *others = (conv(level) for conv, level in zip(self.convs, levels[::-1], strict=True))
        summed = others[0] + F.interpolate(coarsest, scale_factor=2.0, mode="nearest")
        return [*others[:0:-1], summed]


class Levels(NamedTuple):
    """Features (b, 256, h, w) at strides 4, 8 and 16, under the name that `transformers` has for them."""

    fpn_hidden_states: list[Tensor]

    def __repr__(self) -> str:
        return shape_repr(self)


class _VisionEncoder(nn.Module):
    """Stands in for the one of SAM 2."""

    def __init__(self, sizes: RepVitSizes) -> None:
        super().__init__()
        self.backbone = _Backbone(sizes)
        self.neck = _Neck(sizes)

    def forward(self, images: Tensor) -> Levels:
        """Look at (b, 3, side, side) normalised images."""
        return Levels(self.neck(self.backbone(images)))


def build(sizes: RepVitSizes) -> Sam2Network:
    """EdgeTAM of these sizes."""
    prompts, decoder = decoder_and_prompts(sizes.side)
    return Sam2Network(_VisionEncoder(sizes), prompts, decoder, sizes.side)


def build_edgetam() -> Sam2Network:
    """As :func:`build`, as published."""
    return build(REPVIT_M1)
