"""The part of ``nano`` that knows what an object is, whatever the prompt: U2-Net-p (Qin et al., "U2-Net", Pattern Recognition
2020), the small variant of that network (every stage 64 channels wide, 16 inside a block), which its authors trained to find
salient objects.

Of its eleven stages the two decoding ones at strides 1 and 2 are left out: what they add is edges, and our decoder makes its
own. The weights of the others are the authors', unchanged; normalisation is merged into the convolutions from the start: that
is how the weights come.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["MEAN", "SPREAD", "SURE", "WIDTH", "SaliencyNetwork", "UBlock", "resize_like"]

WIDTH = 64
INNER = 16
SURE = 4.6
"""The saliency logit counts up to here: the log-odds of 0.99."""
MEAN = (0.485, 0.456, 0.406)
"""Of the images that the network was trained on, RGB, 0 to 1."""
SPREAD = (0.229, 0.224, 0.225)


def _conv(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)


def resize_like(x: Tensor, other: Tensor) -> Tensor:
    """``x`` at the size of ``other``."""
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)


def _halve(x: Tensor) -> Tensor:
    return F.max_pool2d(x, 2, 2, ceil_mode=True)


class UBlock(nn.Module):
    """A residual U-block: a small U-shaped network beside an identity.

    Args:
        inputs: channels in.
        height: convolutions on the way down but the last, with a pooling between each two of them.
        flat: dilation takes the place of pooling.
    """

    def __init__(self, inputs: int, height: int, *, flat: bool = False) -> None:
        super().__init__()
        self.flat = flat
        self.enter = _conv(inputs, WIDTH)
        dilations = [2**i for i in range(height)] if flat else [1] * height
        bottom = dilations[-1] * 2 if flat else 2
        self.down = nn.ModuleList(_conv(INNER if i else WIDTH, INNER, d) for i, d in enumerate(dilations))
        self.bottom = _conv(INNER, INNER, bottom)
        # In the order of computation: from the bottom up.
        self.up = nn.ModuleList(
            _conv(2 * INNER, INNER if i < height - 1 else WIDTH, d) for i, d in enumerate(reversed(dilations))
        )

    def forward(self, x: Tensor) -> Tensor:
        """Features (n, 64, h, w)."""
        entered = F.relu(self.enter(x))
        x = entered
        sides: list[Tensor] = []
        for i, conv in enumerate(self.down):
            if i and not self.flat:
                x = _halve(x)
            x = F.relu(conv(x))
            sides.append(x)
        x = F.relu(self.bottom(x))
        for conv, side in zip(self.up, reversed(sides), strict=True):
            x = F.relu(conv(torch.cat([resize_like(x, side) if x.shape != side.shape else x, side], 1)))
        return x + entered


class SaliencyNetwork(nn.Module):
    """Image of a window to features and a logit of there being an object."""

    def __init__(self) -> None:
        super().__init__()
        self.stage1 = UBlock(3, 6)
        self.stage2 = UBlock(WIDTH, 5)
        self.stage3 = UBlock(WIDTH, 4)
        self.stage4 = UBlock(WIDTH, 3)
        self.stage5 = UBlock(WIDTH, 3, flat=True)
        self.stage6 = UBlock(WIDTH, 3, flat=True)
        self.stage5d = UBlock(2 * WIDTH, 3, flat=True)
        self.stage4d = UBlock(2 * WIDTH, 3)
        self.stage3d = UBlock(2 * WIDTH, 4)
        self.side3 = _conv(WIDTH, 1)

    @property
    def blocks(self) -> Sequence[UBlock]:
        """In the order of computation."""
        down = (self.stage1, self.stage2, self.stage3, self.stage4, self.stage5, self.stage6)
        return (*down, self.stage5d, self.stage4d, self.stage3d)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Find what is salient.

        Args:
            image: (n, 3, s, s) RGB in [-1, 1], s a multiple of 16; outside a frame 0.

        Returns:
            (n, 65, s/4, s/4), (n, 64, s/8, s/8) and (n, 64, s/16, s/16) features of the decoding stages; the first map of the
            first one is the logit, clamped to +-:data:`SURE`.
        """
        mean, spread = (torch.tensor(v, device=image.device, dtype=image.dtype).view(1, 3, 1, 1) for v in (MEAN, SPREAD))
        # As its authors prepare images: the brightest value of each becomes 1. No pixel of a frame is 0 exactly.
        inside = (image != 0).to(image.dtype)
        x = (image * 0.5 + 0.5) * inside
        x = x / x.amax((1, 2, 3), keepdim=True).clamp(min=0.02) + 0.5 * (1 - inside)
        x = (x - mean) / spread
        sides = []
        for k, stage in enumerate((self.stage1, self.stage2, self.stage3, self.stage4, self.stage5, self.stage6)):
            x = stage(_halve(x) if k else x)
            sides.append(x)
        at16 = self.stage5d(torch.cat([resize_like(x, sides[4]), sides[4]], 1))
        at8 = self.stage4d(torch.cat([resize_like(at16, sides[3]), sides[3]], 1))
        at4 = self.stage3d(torch.cat([resize_like(at8, sides[2]), sides[2]], 1))
        return torch.cat([self.side3(at4).clamp(-SURE, SURE), at4], 1), at8, at16
