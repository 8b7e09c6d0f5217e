"""What PIPS and PIPS++ share: the encoder of images, and how its features are read around a location.

Features lie in pyramids: for each level a tensor (frames, rows, columns, channels), the first at the stride of the encoder,
each next one half as fine. Locations are (x, y) in units of the first level, (0, 0) being the centre of its first feature.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["LEVELS", "RADIUS", "Encoder", "EncoderSizes", "Pyramid", "build_pyramid", "lookup", "lookup_size", "sample_at"]

LEVELS = 4
"""Of a pyramid."""
RADIUS = 3
"""Correlations are looked up this far around a location, on each level."""
_LOCATIONS_AT_ONCE = 2048
"""Whose surroundings are gathered together; 64 MiB at 128 channels."""

Pyramid = list[Tensor]


@dataclass(frozen=True)
class EncoderSizes:
    """How large an encoder is; the published ones differ in their stride alone.

    Attributes:
        stride: pixels between two features.
        widths: channels at strides 2, 4, 8 and 16.
        features: channels that come out.
    """

    stride: int
    widths: tuple[int, int, int, int] = (64, 96, 128, 128)
    features: int = 128


def lookup_size() -> int:
    """Numbers that one look-up gives."""
    return LEVELS * (2 * RADIUS + 1) ** 2


class _Block(nn.Module):
    """Two 3x3 convolutions beside the input (He et al. 2016), instance-normalised."""

    downsample: nn.Sequential | None

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.InstanceNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.conv1(x)))
        y = F.relu(F.instance_norm(self.conv2(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class Encoder(nn.Module):
    """(n, 3, h, w) RGB in [0, 255], sides from 16 pixels, to (n, features, h // stride, w // stride); frame by frame."""

    def __init__(self, sizes: EncoderSizes) -> None:
        super().__init__()
        self._stride = sizes.stride
        first, second, third, fourth = sizes.widths
        self.conv1 = nn.Conv2d(3, first, 7, 2, 3)
        self.layer1 = nn.Sequential(_Block(first, first, 1), _Block(first, first, 1))
        self.layer2 = nn.Sequential(_Block(first, second, 2), _Block(second, second, 1))
        self.layer3 = nn.Sequential(_Block(second, third, 2), _Block(third, third, 1))
        self.layer4 = nn.Sequential(_Block(third, fourth, 2), _Block(fourth, fourth, 1))
        self.conv2 = nn.Conv2d(sum(sizes.widths), 2 * sizes.features, 3, 1, 1)
        self.conv3 = nn.Conv2d(2 * sizes.features, sizes.features, 1)

    def forward(self, images: Tensor) -> Tensor:
        size_hw = images.shape[2] // self._stride, images.shape[3] // self._stride
        x = F.relu(F.instance_norm(self.conv1(2 * (images / 255) - 1)))
        levels = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            levels.append(F.interpolate(x, size_hw, mode="bilinear", align_corners=True))
        out: Tensor = self.conv3(F.relu(F.instance_norm(self.conv2(torch.cat(levels, 1)))))
        return out


def build_pyramid(features: Tensor) -> Pyramid:
    """The pyramid of (n, channels, rows, columns) features, both sides of which are 8 or more."""
    levels = [features]
    for _ in range(LEVELS - 1):
        levels.append(F.avg_pool2d(levels[-1], 2))
    return [level.permute(0, 2, 3, 1).contiguous() for level in levels]


def sample_at(level: Tensor, frames: Tensor, xy: Tensor) -> Tensor:
    """(m, channels) bilinear features of the first ``level`` of a pyramid; beyond the border those of the border.

    Args:
        level: (frames, rows, columns, channels).
        frames: (m,) which frame each location is on.
        xy: (m, 2) locations.
    """
    _, h, w, _ = level.shape
    corner = xy.floor()
    right, down = (xy - corner).unsqueeze(-1).unbind(1)
    x0, y0 = corner.long().unbind(1)
    x1, y1 = (x0 + 1).clamp(0, w - 1), (y0 + 1).clamp(0, h - 1)
    x0, y0 = x0.clamp(0, w - 1), y0.clamp(0, h - 1)
    upper = (1 - right) * level[frames, y0, x0] + right * level[frames, y0, x1]
    lower = (1 - right) * level[frames, y1, x0] + right * level[frames, y1, x1]
    return (1 - down) * upper + down * lower


def lookup(pyramid: Pyramid, frames: Tensor, xy: Tensor, features: Tensor) -> Tensor:
    """How alike each location's features are to what lies around it, bilinear, zero outside the frame.

    A bilinear value of correlations is the same mixture of the correlations with four neighbours, and all locations around one
    share their fractions: so 8 x 8 features a level are compared, never a whole frame.

    Args:
        pyramid: of the frames.
        frames: (m,) which frame each location is on.
        xy: (m, 2) locations.
        features: (m, channels, k): k features for each location, k small.

    Returns:
        (m, k, :func:`lookup_size`): level by level, the step along x changing slowest, divided by the root of the channels.
    """
    parts = []
    for part in range(0, len(xy), _LOCATIONS_AT_ONCE):
        rows = slice(part, part + _LOCATIONS_AT_ONCE)
        levels = [_on_level(level, frames[rows], xy[rows] / 2**k, features[rows]) for k, level in enumerate(pyramid)]
        parts.append(torch.cat(levels, 2))
    return torch.cat(parts) if parts else features.new_zeros(0, features.shape[2], lookup_size())


def _on_level(level: Tensor, frames: Tensor, xy: Tensor, features: Tensor) -> Tensor:
    """(m, k, side * side) of one level, ``xy`` in its own units."""
    (_, h, w, channels), m = level.shape, len(xy)
    # Further off everything is zero; whole numbers of locations that ran far away would not fit.
    xy = torch.minimum(xy.clamp(min=-(RADIUS + 2)), xy.new_tensor([w + RADIUS + 1, h + RADIUS + 1]))
    corner = xy.floor()
    steps = torch.arange(-RADIUS, RADIUS + 2, device=xy.device)
    x, y = (corner.long()[:, :, None] + steps).unbind(1)
    inside = ((x >= 0) & (x < w))[:, :, None] & ((y >= 0) & (y < h))[:, None]
    column, row = x.clamp(0, w - 1)[:, :, None], y.clamp(0, h - 1)[:, None]
    index = (frames[:, None, None] * h + row) * w + column  # (m, along x, along y)
    around = level.view(-1, channels)[index.flatten()].view(m, -1, channels)
    alike = (around @ features).view(m, len(steps), len(steps), -1) * inside[..., None]
    right, down = (xy - corner)[:, :, None, None, None].unbind(1)
    alike = (1 - right) * alike[:, :-1] + right * alike[:, 1:]
    alike = (1 - down) * alike[:, :, :-1] + down * alike[:, :, 1:]
    out: Tensor = alike.flatten(1, 2).transpose(1, 2) / channels**0.5
    return out
