"""The pretrained part of the encoder: the first five stages of EfficientNet-Lite0, with weights trained on ImageNet.

Architecture: Tan and Le, ICML 2019, in the "Lite" form of the TensorFlow authors (no squeeze-and-excitation, ReLU6, stem of
fixed width). Here every normalisation is merged into its convolution, and a convolution of stride 2 is shifted by half a pixel
to the left or to the right by turns, so that the offsets, which add up in the original, cancel.
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from sampt.backends.blocks import ConvNorm, conv_from_zero, twice

__all__ = ["BACKBONE_CHANNELS", "Backbone", "Neck", "Pretrained"]

BACKBONE_CHANNELS = (24, 40, 112)
"""Channels at strides 4, 8 and 16."""

_STAGES = ((16, 1, 3, 1, 1, 0), (24, 6, 3, 2, 2, 1), (40, 6, 5, 2, 2, 0), (80, 6, 3, 2, 3, 1), (112, 6, 5, 1, 3, 0))
"""Channels, expansion, kernel, stride of the first block, blocks, and pixels that its grid is shifted to the right."""


class InvertedResidual(nn.Module):
    """Widen, filter each channel by itself, narrow (Sandler et al., CVPR 2018)."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int, shift: int) -> None:
        super().__init__()
        width = inputs * expansion
        self.expand = nn.Conv2d(inputs, width, 1) if expansion > 1 else nn.Identity()
        self.depthwise = nn.Conv2d(width, width, kernel, stride, kernel // 2, groups=width)
        self.project = nn.Conv2d(width, outputs, 1)
        self.adds = stride == 1 and inputs == outputs
        self.is_expanded = expansion > 1
        self.shift = shift
        if shift:  # what is padded on the left moves to the right
            self.depthwise.padding = (0, 0)
            self.pad = (kernel // 2 - 1, kernel // 2, kernel // 2 - 1, kernel // 2)

    def forward(self, x: Tensor) -> Tensor:
        wide = F.relu6(self.expand(x)) if self.is_expanded else x
        if self.shift:
            wide = F.pad(wide, self.pad)
        out: Tensor = self.project(F.relu6(self.depthwise(wide)))
        return out + x if self.adds else out


class Backbone(nn.Module):
    """Image to features that know what there is to see in photographs."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 32, 3, 2, 1)
        blocks: list[nn.Module] = []
        inputs = 32
        for outputs, expansion, kernel, stride, count, shift in _STAGES:
            for k in range(count):
                first = k == 0
                blocks.append(InvertedResidual(inputs, outputs, expansion, kernel, stride if first else 1, shift * first))
                inputs = outputs
        self.blocks = nn.ModuleList(blocks)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Encode (n, 3, h, w) RGB in [-1, 1], h and w multiples of 16.

        Returns:
            Features (n, 24, h/4, w/4), (n, 40, h/8, w/8), (n, 112, h/16, w/16).
        """
        x = F.relu6(self.stem(image))
        found = []
        for k, block in enumerate(self.blocks):
            x = block(x)
            if k in (2, 4, 10):
                found.append(x)
        fine, middle, coarse = found
        return fine, middle, coarse


class Neck(nn.Module):
    """Features of the backbone, joined top-down, as what is added to those of the encoder; nothing until it has learnt.

    Args:
        widths: channels of the encoder at strides 4, 8 and 16.
    """

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.coarse = ConvNorm(BACKBONE_CHANNELS[2], coarse, 1)
        self.middle = ConvNorm(BACKBONE_CHANNELS[1], middle, 1)
        self.fine = ConvNorm(BACKBONE_CHANNELS[0], fine, 1)
        self.coarse_to_middle = nn.Conv2d(coarse, middle, 1)
        self.middle_to_fine = nn.Conv2d(middle, fine, 1)
        self.add_coarse = conv_from_zero(coarse, coarse, 3)
        self.add_middle = conv_from_zero(middle, middle, 3)
        self.add_fine = conv_from_zero(fine, fine, 3)

    def forward(self, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        coarse = F.relu(self.coarse(coarse))
        middle = F.relu(self.middle(middle) + twice(self.coarse_to_middle(coarse)))
        fine = F.relu(self.fine(fine) + twice(self.middle_to_fine(middle)))
        return self.add_fine(fine), self.add_middle(middle), self.add_coarse(coarse)


class Pretrained(nn.Module):
    """Adds to an encoder's features what a backbone knows that has seen a million photographs and stays as it is.

    Args:
        widths: channels of the encoder at strides 4, 8 and 16.
    """

    def __init__(self, widths: tuple[int, int, int]) -> None:
        super().__init__()
        self.backbone = Backbone().requires_grad_(False)
        self.neck = Neck(widths)

    def forward(self, image: Tensor, fine: Tensor, middle: Tensor, coarse: Tensor) -> tuple[Tensor, ...]:
        """The encoder's features of an image at strides 4, 8 and 16, with what is added to them."""
        return tuple(a + b for a, b in zip((fine, middle, coarse), self.neck(*self.backbone(image)), strict=True))
