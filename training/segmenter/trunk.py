"""The part of the network that knows what an object is: residual U-blocks (Qin et al., "U2-Net", Pattern Recognition 2020).

The small variant of that paper (every stage 64 channels wide, 16 inside a block), which its authors trained to find salient
objects, without its stages at strides 1 and 2: a small map from our encoder's features stands for the first two (it was
distilled from them), and our decoder does the fine work of the last two. It sees the window of one object. What the prompts
say is added in every decoding stage, so that with zeros there the stages compute what the authors' network computes.

Normalisation is merged into the convolutions from the start: that is how the weights come.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["INNER", "WIDTH", "ObjectTrunk", "UBlock", "halve"]

WIDTH = 64
INNER = 16


def _conv(inputs: int, outputs: int, dilation: int = 1) -> nn.Conv2d:
    return nn.Conv2d(inputs, outputs, 3, padding=dilation, dilation=dilation)


def _resize_like(x: Tensor, other: Tensor) -> Tensor:
    return F.interpolate(x, size=other.shape[-2:], mode="bilinear", align_corners=False)


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

    def forward(self, x: Tensor, given: Tensor | None = None) -> Tensor:
        """Features (n, 64, h, w); ``given``, if there is one, is added before the first nonlinearity."""
        entered = self.enter(x)
        entered = F.relu(entered if given is None else entered + given)
        x = entered
        sides: list[Tensor] = []
        for i, conv in enumerate(self.down):
            if i and not self.flat:
                x = F.max_pool2d(x, 2, 2, ceil_mode=True)
            x = F.relu(conv(x))
            sides.append(x)
        x = F.relu(self.bottom(x))
        for conv, side in zip(self.up, reversed(sides), strict=True):
            x = F.relu(conv(torch.cat([_resize_like(x, side) if x.shape != side.shape else x, side], 1)))
        return x + entered


class ObjectTrunk(nn.Module):
    """The coarse stages: a map at stride 4 to features and a logit of there being an object, with prompts on the way up.

    Args:
        prompt_widths: channels of the prompt features at strides 16, 8 and 4.
    """

    def __init__(self, prompt_widths: Sequence[int]) -> None:
        super().__init__()
        self.stage3 = UBlock(WIDTH, 4)
        self.stage4 = UBlock(WIDTH, 3)
        self.stage5 = UBlock(WIDTH, 3, flat=True)
        self.stage6 = UBlock(WIDTH, 3, flat=True)
        self.stage5d = UBlock(2 * WIDTH, 3, flat=True)
        self.stage4d = UBlock(2 * WIDTH, 3)
        self.stage3d = UBlock(2 * WIDTH, 4)
        self.side3 = _conv(WIDTH, 1)
        self.given = nn.ModuleList(nn.Conv2d(width, WIDTH, 1) for width in prompt_widths)
        for conv in self.given:
            nn.init.zeros_(conv.weight)  # type: ignore[arg-type]
            nn.init.zeros_(conv.bias)  # type: ignore[arg-type]

    def encode(self, x: Tensor) -> tuple[Tensor, ...]:
        """What does not depend on prompts: (n, 64, s / stride, s / stride) at strides 4, 8, 16 and 32.

        Args:
            x: (n, 64, s / 4, s / 4), what the authors' first two stages hand to the third.
        """
        found = [self.stage3(x)]
        for stage in (self.stage4, self.stage5, self.stage6):
            found.append(stage(halve(found[-1])))
        return tuple(found)

    def decode(self, encoded: Sequence[Tensor], prompts: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Features (n, 64, s / 4, s / 4) and logit (n, 1, s / 4, s / 4) of the object that is prompted for.

        Args:
            encoded: of :meth:`encode`.
            prompts: features of the prompts at strides 16, 8 and 4.
        """
        *sides, x = encoded
        stages = (self.stage5d, self.stage4d, self.stage3d)
        for stage, side, given, prompt in zip(stages, reversed(sides), self.given, prompts, strict=True):
            x = stage(torch.cat([_resize_like(x, side), side], 1), given(prompt))
        return x, self.side3(x)


def halve(x: Tensor) -> Tensor:
    """Half the size, the largest of every four."""
    return F.max_pool2d(x, 2, 2, ceil_mode=True)
