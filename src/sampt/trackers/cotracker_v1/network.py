"""The first CoTracker (Karaev et al., "CoTracker: It is Better to Track Together", arXiv 2307.07635v1) in PyTorch.

Parameters are called as in the official checkpoint `cotracker_stride_4_wind_8.pth`, so that it loads strictly. Letters: n
points, s frames of a window, c channels of features. Locations (x, y) are in pixels of the features, which are 4 times coarser
than the image: pixel k there is pixel 4 k of the image.

A token is a point on a frame: how far it is from where it began, how alike its surroundings are to its own feature, that
feature, and two flags. Tokens attend along time and, on each frame, to those of all other points.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr
from sampt.trackers.pips.encoder import LEVELS, Encoder, EncoderSizes, Pyramid, build_pyramid, lookup, lookup_size, sample_at

__all__ = ["FULL", "CoTrackerV1Network", "CoTrackerV1Sizes", "WindowState"]

_ENCODING = 64
"""Channels that a coordinate of the motion is written with, sines and cosines."""
_FASTEST = 1000.0
"""Frequencies of these reach up to here, in steps of a 64th of two."""


@dataclass(frozen=True)
class CoTrackerV1Sizes:
    """Sizes of a network; those that are not given are the published ones.

    Attributes:
        window: frames of a window.
        model_hw: of the image that frames are resized to; multiples of 4, and 32 or more.
        encoder: of images; its stride is 4.
        hidden: channels of the transformer.
        heads: of its attention.
        depth: of its blocks, along time and along points by turns.
    """

    window: int = 8
    model_hw: tuple[int, int] = (384, 512)
    encoder: EncoderSizes = EncoderSizes(4)
    hidden: int = 384
    heads: int = 8
    depth: int = 6

    @property
    def features(self) -> int:
        """Channels that are compared."""
        return self.encoder.features

    @property
    def levels(self) -> int:
        """Of the features, each half as fine as the one before."""
        return LEVELS

    @property
    def inputs(self) -> int:
        """Channels of a token: motion, correlations, the feature, and two flags (see `_pair_flags`)."""
        return 2 + 2 * _ENCODING + lookup_size() + self.features + 2


FULL = CoTrackerV1Sizes()


class WindowState(NamedTuple):
    """What is known of n points in a window.

    Attributes:
        xy: (n, s, 2) in pixels of the features.
        visible: (n, s) logits of being seen.
    """

    xy: Tensor
    visible: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


class _Attention(nn.Module):
    """(b, k, hidden) whose tokens attend to each other."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.qkv = nn.Linear(hidden, 3 * hidden)
        self.proj = nn.Linear(hidden, hidden)
        self._heads = heads

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (part.unflatten(-1, (self._heads, -1)).transpose(1, 2) for part in self.qkv(x).chunk(3, dim=-1))
        out: Tensor = self.proj(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class _Perceptron(nn.Module):
    def __init__(self, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(hidden, 4 * hidden)
        self.fc2 = nn.Linear(4 * hidden, hidden)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x), approximate="tanh"))
        return out


class _Block(nn.Module):
    """A transformer's block that normalises before each part."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(hidden, elementwise_affine=False, eps=1e-6)
        self.attn = _Attention(hidden, heads)
        self.mlp = _Perceptron(hidden)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.attn(self.norm(x))
        out: Tensor = x + self.mlp(self.norm(x))
        return out


class _UpdateFormer(nn.Module):
    """(n, s, inputs) tokens to (n, s, 2 + c): how points move and how their features change."""

    def __init__(self, sizes: CoTrackerV1Sizes) -> None:
        super().__init__()
        self.input_transform = nn.Linear(sizes.inputs, sizes.hidden)
        self.flow_head = nn.Linear(sizes.hidden, 2 + sizes.features)
        self.time_blocks = nn.ModuleList(_Block(sizes.hidden, sizes.heads) for _ in range(sizes.depth))
        self.space_blocks = nn.ModuleList(_Block(sizes.hidden, sizes.heads) for _ in range(sizes.depth))
        nn.init.trunc_normal_(self.flow_head.weight, std=0.001)  # so that an untrained network leaves points where they are
        nn.init.zeros_(self.flow_head.bias)

    def forward(self, tokens: Tensor) -> Tensor:
        x = self.input_transform(tokens)
        for in_time, among_points in zip(self.time_blocks, self.space_blocks, strict=True):
            x = among_points(in_time(x).transpose(0, 1)).transpose(0, 1)
        out: Tensor = self.flow_head(x)
        return out


class CoTrackerV1Network(nn.Module):
    """Refines where points are on the frames of a window.

    Args:
        sizes: :data:`FULL`, or a reduced network.
    """

    def __init__(self, sizes: CoTrackerV1Sizes = FULL) -> None:
        super().__init__()
        self.sizes = sizes
        channels = sizes.features
        self.fnet = Encoder(sizes.encoder)
        self.updateformer = _UpdateFormer(sizes)
        self.norm = nn.GroupNorm(1, channels)
        self.ffeat_updater = nn.Sequential(nn.Linear(channels, channels), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(channels, 1))

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The parts that do nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        return self.fnet, self.updateformer

    def encode(self, images: Tensor) -> Pyramid:
        """Features of (k, 3, h, w) RGB in [0, 255] images, of each by itself; for each level (k, rows, columns, c)."""
        return build_pyramid(self.fnet(images))

    def features_at(self, pyramid: Pyramid, slots: Tensor, xy: Tensor) -> Tensor:
        """(n, c): what points (n, 2), in pixels of the features, look like on the images (n,) ``slots`` of the pyramid."""
        return sample_at(pyramid[0], slots, xy)

    def refine(
        self,
        pyramid: Pyramid,
        slots: Tensor,
        templates: Tensor,
        begins: Tensor,
        start: WindowState,
        iterations: int,
    ) -> WindowState:
        """A better estimate for a window.

        Args:
            pyramid: of some frames, as :meth:`encode` gives it.
            slots: (s,) int64, the frames of the window in ``pyramid``, in order; one may stand there several times.
            templates: (n, c) of :meth:`features_at`, from each point's prompt frame.
            begins: (n, s) 1 where a point has begun and no window before had it on this frame, else 0.
            start: first guess.
            iterations: how often it is made better.
        """
        (n, s), channels = begins.shape, templates.shape[1]
        xy, features = start.xy, templates[:, None].expand(-1, s, -1)
        flags = _pair_flags(begins, start.visible)
        where = self._position(pyramid[0], xy[:, 0])[:, None] + _waves(torch.arange(s, device=xy.device), self.sizes.inputs)
        frames = slots.repeat(n)
        for _ in range(iterations):
            alike = lookup(pyramid, frames, xy.flatten(0, 1), features.flatten(0, 1)[:, :, None]).view(n, s, -1)
            change = self.updateformer(torch.cat([_encode(xy - xy[:, :1]), alike, features, flags], -1) + where)
            features = features + self.ffeat_updater(self.norm(change[..., 2:].flatten(0, 1))).view(n, s, channels)
            xy = xy + change[..., :2]
        return WindowState(xy, self.vis_predictor(features)[..., 0])

    def _position(self, features: Tensor, xy: Tensor) -> Tensor:
        """(n, inputs): where points (n, 2) are, as sines and cosines of x, then of y.

        Between whole numbers it is bilinear, and beyond the border that of the border, as a table of all features is read.
        """
        sides = xy.new_tensor([features.shape[2] - 1, features.shape[1] - 1])
        at = torch.minimum(xy.clamp(min=0), sides)
        low = at.floor()
        table = _waves(torch.arange(int(sides.max()) + 2, device=xy.device), self.sizes.inputs // 2)
        index = low.long()
        return torch.lerp(table[index], table[index + 1], (at - low)[..., None]).flatten(1)


def _pair_flags(begins: Tensor, visible: Tensor) -> Tensor:
    """(n, s, 2) from twice (n, s): the two flags of each token.

    The official program lays all points' rows one after the other, "begins" before "visible", and cuts that into pairs. So a
    token has flags of other points, or of other frames, and the order of the points matters; the weights were trained so.
    """
    return torch.cat([begins, visible]).view(*begins.shape, 2)


def _encode(motion: Tensor) -> Tensor:
    """(..., 2) as it is, then coordinate by coordinate as sines and cosines in turn."""
    frequencies = torch.arange(0, _ENCODING, 2, device=motion.device, dtype=motion.dtype) * (_FASTEST / _ENCODING)
    phases = motion[..., None] * frequencies
    return torch.cat([motion, torch.stack([phases.sin(), phases.cos()], -1).flatten(-3)], -1)


def _waves(at: Tensor, channels: int) -> Tensor:
    """(k,) numbers as (k, channels): sines, then cosines, of falling frequencies (Vaswani et al. 2017)."""
    half = channels // 2
    frequencies = 1e4 ** -(torch.arange(half, dtype=torch.float64) / half)
    angles = at.cpu().double()[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1).float().to(at.device)
