"""TAP-Net (Doersch et al., "TAP-Vid: A Benchmark for Tracking Any Point in a Video", NeurIPS 2022, arXiv 2211.03726).

Its official program is in JAX; ``names.py`` brings a checkpoint of it here. Features come from a ResNet-18 in which some
channels look at the frame before or after (Lin et al., "TSM", ICCV 2019). Locations are (x, y) in pixels of the network's
image, whose top-left corner is (0, 0): the centre of its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

__all__ = ["FULL", "REACH", "TapNetNetwork", "TapNetSizes"]

_STRIDES = (1, 2, 1)
"""Of the three units of two blocks, after a convolution and a maximum of stride 2 each: features at stride 8."""
_SHIFTED_UNITS = 2
"""The first so many units look at neighbouring frames."""
_SHIFTED = 8
"""An eighth of the channels comes from the next frame, another one from the previous frame."""
REACH = 2 * _SHIFTED_UNITS
"""Frames before and after that a frame's features depend on: one for each block that looks at neighbours."""
_TEMPERATURE = 10.0
_PEAK_CELLS = 5.0
"""The location of a maximum is the mean of the cells nearer to it than this."""
_MAX_ROWS = 1024
"""(point, frame) pairs that are matched at a time: 64 KiB each."""


@dataclass(frozen=True)
class TapNetSizes:
    """Sizes of the network; those that are not given are the published ones.

    Attributes:
        image_hw: of the network's image, multiples of 8.
        widths: channels of the three units; multiples of 8.
    """

    image_hw: tuple[int, int] = (256, 256)
    widths: tuple[int, int, int] = (64, 128, 256)


FULL = TapNetSizes()


class _Conv(nn.Conv2d):
    """A convolution padded as TensorFlow's "SAME" does: what is odd comes last."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, *, bias: bool = False) -> None:
        super().__init__(inputs, outputs, kernel, stride, bias=bias)

    def forward(self, input: Tensor) -> Tensor:
        return super().forward(_pad(input, self.kernel_size[0], self.stride[0]))


def _pad(x: Tensor, kernel: int, stride: int, value: float = 0.0) -> Tensor:
    """(n, c, h, w) with what a window of this size and stride needs to begin in every ``stride``-th pixel."""
    height, width = (max((-(-side // stride) - 1) * stride + kernel - side, 0) for side in x.shape[2:])
    return F.pad(x, (width // 2, width - width // 2, height // 2, height - height // 2), value=value)


def _shift(x: Tensor) -> Tensor:
    """(t, c, h, w) whose first channels are the next frame's last ones, and last channels the previous frame's first ones."""
    part = x.shape[1] // _SHIFTED
    nothing = torch.zeros_like(x[:1, :part])
    from_next, from_previous = torch.cat([x[1:, -part:], nothing]), torch.cat([nothing, x[:-1, :part]])
    return torch.cat([from_next, x[:, part:-part], from_previous], 1)


class _Block(nn.Module):
    """Two 3x3 convolutions beside the input (He et al. 2016, with normalisation before each)."""

    shortcut: _Conv | None

    def __init__(self, inputs: int, outputs: int, stride: int, *, is_first: bool, is_shifted: bool) -> None:
        super().__init__()
        self.norm_0 = nn.BatchNorm2d(inputs)
        self.conv_0 = _Conv(inputs, outputs, 3, stride)
        self.norm_1 = nn.BatchNorm2d(outputs)
        self.conv_1 = _Conv(outputs, outputs, 3)
        self.shortcut = _Conv(inputs, outputs, 1, stride) if is_first else None
        self._is_shifted = is_shifted

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm_0(x))
        beside = x if self.shortcut is None else self.shortcut(y)
        if self._is_shifted:
            y = _shift(y)
        change: Tensor = self.conv_1(F.relu(self.norm_1(self.conv_0(y))))
        return beside + change


class _ResNet(nn.Module):
    """(t, 3, h, w) images of consecutive frames to (t, c, h / 8, w / 8)."""

    def __init__(self, widths: Sequence[int]) -> None:
        super().__init__()
        self.stem = _Conv(3, widths[0], 7, 2)
        inputs = (widths[0], *widths[:-1])
        self.units = nn.ModuleList(
            nn.Sequential(
                _Block(before, width, stride, is_first=True, is_shifted=k < _SHIFTED_UNITS),
                _Block(width, width, 1, is_first=False, is_shifted=k < _SHIFTED_UNITS),
            )
            for k, (before, width, stride) in enumerate(zip(inputs, widths, _STRIDES, strict=True))
        )

    def forward(self, images: Tensor) -> Tensor:
        x = F.max_pool2d(_pad(self.stem(images), 3, 2, float("-inf")), 3, 2)
        for unit in self.units:
            x = unit(x)
        return x


class TapNetNetwork(nn.Module):
    """The network: :meth:`encode` frames, :meth:`sample` points, :meth:`match` them in frames."""

    def __init__(self, sizes: TapNetSizes = FULL) -> None:
        super().__init__()
        self.sizes = sizes
        self.resnet = _ResNet(sizes.widths)
        self.regression_1 = _Conv(1, 16, 3, bias=True)
        self.regression_2 = _Conv(16, 1, 3, bias=True)
        self.occlusion_1 = _Conv(16, 32, 3, 2, bias=True)
        self.occlusion_2 = nn.Linear(32, 16)
        self.occlusion_out = nn.Linear(16, 1)

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The part that does nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        return (self.resnet,)

    def forward(self, images: Tensor, xy: Tensor, frame_idx: Tensor) -> tuple[Tensor, Tensor]:
        """A whole clip at once.

        Args:
            images: (t, 3, h, w) in [-1, 1], of the size of the network's image.
            xy: (n, 2) points.
            frame_idx: (n,) the frames that they lie on.

        Returns:
            Locations (n, t, 2), the points' own on their frames, and (n, t) logits of being occluded.
        """
        features = self.encode(images)
        found, occluded = self.match(features, self.sample(features, frame_idx, xy))
        found[torch.arange(len(xy)), frame_idx] = xy
        return found, occluded

    def encode(self, images: Tensor) -> Tensor:
        """(t, h / 8, w / 8, c) features of length 1 of consecutive (t, 3, h, w) images in [-1, 1].

        Those of the first and last :data:`REACH` frames are the clip's own only where the clip begins or ends there.
        """
        features: Tensor = self.resnet(images).permute(0, 2, 3, 1)
        return features / features.square().sum(-1, keepdim=True).clamp(min=1e-12).sqrt()

    def sample(self, features: Tensor, frames: Tensor, xy: Tensor) -> Tensor:
        """(n, c): what points (n, 2) look like on the frames (n,) of ``features``; bilinear, beyond the border as on it."""
        _, height, width, _ = features.shape
        sides = xy.new_tensor([width, height])
        at = xy * (sides / xy.new_tensor(self.sizes.image_hw[::-1])) - 0.5
        at = torch.minimum(at.clamp(min=0), sides - 1)
        low = at.floor()
        right, down = (at - low)[..., None].unbind(1)
        (x0, y0), (x1, y1) = low.long().unbind(1), torch.minimum(low + 1, sides - 1).long().unbind(1)
        upper = torch.lerp(features[frames, y0, x0], features[frames, y0, x1], right)
        lower = torch.lerp(features[frames, y1, x0], features[frames, y1, x1], right)
        return torch.lerp(upper, lower, down)

    def match(self, features: Tensor, templates: Tensor) -> tuple[Tensor, Tensor]:
        """Search each of t frames for each of n points, by itself.

        Returns:
            Locations (n, t, 2) and (n, t) logits of being occluded.
        """
        t, limit = len(features), max(1, _MAX_ROWS // len(features))
        found = [torch.zeros(0, 3, device=features.device)]
        for first in range(0, len(templates), limit):
            costs = torch.einsum("nc,thwc->nthw", templates[first : first + limit], features)
            found.append(self._match(costs.flatten(0, 1)))
        table = torch.cat(found).view(-1, t, 3)
        return table[..., :2].clone(), table[..., 2].clone()

    def _match(self, costs: Tensor) -> Tensor:
        """(rows, 3): location and logit, from (rows, h, w) similarities."""
        seen = F.relu(self.regression_1(costs[:, None]))
        heat = (self.regression_2(seen).flatten(1) * _TEMPERATURE).softmax(1)
        height, width = costs.shape[1:]
        cell = torch.arange(height * width, device=costs.device)
        centres = torch.stack([cell % width + 0.5, cell // width + 0.5], -1)
        peak = centres[heat.argmax(1)]
        heat = heat * ((centres - peak[:, None]).square().sum(-1) < _PEAK_CELLS**2)
        location = heat @ centres / heat.sum(1, keepdim=True).clamp(min=1e-12)
        location = location * (location.new_tensor(self.sizes.image_hw[::-1]) / location.new_tensor([width, height]))
        hidden = F.relu(self.occlusion_2(self.occlusion_1(seen).mean((-1, -2))))
        return torch.cat([location, self.occlusion_out(hidden)], -1)
