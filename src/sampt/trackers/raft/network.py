"""The network RAFT (Teed and Deng, "RAFT: Recurrent All-Pairs Field Transforms for Optical Flow", ECCV 2020) in PyTorch.

Parameters are called as in the official program's checkpoints, so that those load strictly. There are two published sizes, full
("things", "sintel", ...) and small. Every tensor is (n, channels, height, width); flow is (x, y) in pixels of its own grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr

__all__ = ["FULL", "SMALL", "Encoded", "RaftNetwork", "RaftSizes"]

STRIDE = 8
"""Features and flow are computed on a grid this much coarser than the image."""
_MAX_CORRELATIONS = 1 << 30
"""Correlations kept at a time (4 GiB, with the pyramid 5.3), enough for 1080p; larger images are looked up in parts, which is
slower. 480p takes 0.16 GiB each way."""


@dataclass(frozen=True)
class RaftSizes:
    """One of the two published networks.

    Attributes:
        small: bottlenecks, a plain GRU and bilinear upsampling; else residual blocks, a separable GRU and learned upsampling.
        widths: channels at strides 2, 4 and 8 of the encoders.
        features: channels that are correlated.
        hidden: channels of the GRU's state.
        context: channels of the source image that the GRU sees in every iteration.
        radius: correlations are looked up this far around each location, on each level.
        levels: of the correlation pyramid.
    """

    small: bool
    widths: tuple[int, int, int]
    features: int
    hidden: int
    context: int
    radius: int
    levels: int = 4

    @property
    def lookup_size(self) -> int:
        """Channels that one look-up gives."""
        return self.levels * (2 * self.radius + 1) ** 2


FULL = RaftSizes(small=False, widths=(64, 96, 128), features=256, hidden=128, context=128, radius=4)
SMALL = RaftSizes(small=True, widths=(32, 64, 96), features=128, hidden=96, context=64, radius=3)


class Encoded(NamedTuple):
    """What the network keeps of an image, at stride 8: as a target ``features``, as a source all three."""

    features: Tensor
    hidden: Tensor
    context: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


def _norm(kind: str, channels: int) -> nn.Module:
    if kind == "batch":
        return nn.BatchNorm2d(channels)
    return nn.InstanceNorm2d(channels) if kind == "instance" else nn.Identity()


class _Block(nn.Module):
    """Two 3x3 convolutions beside the input (He et al. 2016); every convolution is normalised and cut at zero."""

    downsample: nn.Sequential | None

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm1, self.norm2 = _norm(norm, outputs), _norm(norm, outputs)
        self.downsample = None
        if stride > 1:
            self.norm3 = _norm(norm, outputs)  # under two names in the checkpoints, and here; the second is the one that counts
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), self.norm3)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class _Bottleneck(nn.Module):
    """The same with a 3x3 convolution of a quarter of the channels between two 1x1 convolutions."""

    downsample: nn.Sequential | None

    def __init__(self, inputs: int, outputs: int, norm: str, stride: int) -> None:
        super().__init__()
        narrow = outputs // 4
        self.conv1 = nn.Conv2d(inputs, narrow, 1)
        self.conv2 = nn.Conv2d(narrow, narrow, 3, stride, 1)
        self.conv3 = nn.Conv2d(narrow, outputs, 1)
        self.norm1, self.norm2, self.norm3 = _norm(norm, narrow), _norm(norm, narrow), _norm(norm, outputs)
        self.downsample = None
        if stride > 1:
            self.norm4 = _norm(norm, outputs)
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), self.norm4)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm1(self.conv1(x)))
        y = F.relu(self.norm2(self.conv2(y)))
        y = F.relu(self.norm3(self.conv3(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class _Encoder(nn.Module):
    """(n, 3, h, w) in [-1, 1] to (n, outputs, h/8, w/8)."""

    def __init__(self, sizes: RaftSizes, outputs: int, norm: str) -> None:
        super().__init__()
        block = _Bottleneck if sizes.small else _Block
        first, second, third = sizes.widths
        self.conv1 = nn.Conv2d(3, first, 7, 2, 3)
        self.norm1 = _norm(norm, first)
        self.layer1 = nn.Sequential(block(first, first, norm, 1), block(first, first, norm, 1))
        self.layer2 = nn.Sequential(block(first, second, norm, 2), block(second, second, norm, 1))
        self.layer3 = nn.Sequential(block(second, third, norm, 2), block(third, third, norm, 1))
        self.conv2 = nn.Conv2d(third, outputs, 1)

    def forward(self, image: Tensor) -> Tensor:
        x = F.relu(self.norm1(self.conv1(image)))
        out: Tensor = self.conv2(self.layer3(self.layer2(self.layer1(x))))
        return out


class _Correlations:
    """How alike each location of the source is to each of the target, at four resolutions of the target.

    The mean over 2x2 locations of a correlation is the correlation with the mean of the features, so that the pyramid of any
    part of the source can be made from the pooled target. Correlations that all fit are made once, else in parts at each
    look-up.
    """

    def __init__(self, source: Tensor, target: Tensor, sizes: RaftSizes, limit: int) -> None:
        self._n, channels, self._h, self._w = source.shape
        self._sizes = sizes
        self._source = source.flatten(2).transpose(1, 2) / channels**0.5  # (n, h * w, channels)
        self._targets = [target]
        for _ in range(sizes.levels - 1):
            self._targets.append(F.avg_pool2d(self._targets[-1], 2))
        locations = self._h * self._w
        self._part = max(1, min(locations, limit // (self._n * locations)))
        self._cached = self._pyramid(0, locations) if self._part == locations else None
        steps = torch.arange(-sizes.radius, sizes.radius + 1, device=source.device, dtype=source.dtype)
        # The official order of the channels: the step along x changes slowest.
        self._window_xy = torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)

    def lookup(self, xy: Tensor) -> Tensor:
        """Correlations of every source location with the surroundings of ``xy`` (n, 2, h, w): (n, levels * side**2, h, w)."""
        flat_xy = xy.flatten(2).transpose(1, 2)
        parts = []
        for start in range(0, self._h * self._w, self._part):
            part_xy = flat_xy[:, start : start + self._part]
            pyramid = self._cached or self._pyramid(start, start + self._part)
            parts.append(self._sample(pyramid, part_xy))
        return torch.cat(parts, 1).transpose(1, 2).reshape(self._n, -1, self._h, self._w)

    def _pyramid(self, start: int, stop: int) -> list[Tensor]:
        """For source locations [start, stop): one (n * locations, 1, h, w) for each level."""
        source = self._source[:, start:stop]
        return [(source @ t.flatten(2)).reshape(-1, 1, *t.shape[2:]) for t in self._targets]

    def _sample(self, pyramid: list[Tensor], xy: Tensor) -> Tensor:
        """(n, locations, channels) bilinear values around (n, locations, 2); zero outside."""
        out = []
        for level, correlations in enumerate(pyramid):
            size_wh = xy.new_tensor([correlations.shape[3], correlations.shape[2]])
            at_xy = xy.reshape(-1, 1, 1, 2) / 2**level + self._window_xy
            # Pixel k of s lies at (2 k + 1) / s - 1. The official program's 2 k / (s - 1) - 1 is the same location, save that
            # it divides by zero where the coarsest level has one pixel.
            grid = (2 * at_xy + 1) / size_wh - 1
            out.append(F.grid_sample(correlations, grid, align_corners=False).reshape(self._n, xy.shape[1], -1))
        return torch.cat(out, 2)


class _MotionEncoder(nn.Module):
    """What was looked up and the flow so far, to 82 (small) or 128 channels, the last two of which are the flow itself."""

    convc2: nn.Conv2d | None

    def __init__(self, sizes: RaftSizes) -> None:
        super().__init__()
        alike, alike_out, flow, flow_out, out = (96, 96, 64, 32, 80) if sizes.small else (256, 192, 128, 64, 126)
        self.convc1 = nn.Conv2d(sizes.lookup_size, alike, 1)
        self.convc2 = None if sizes.small else nn.Conv2d(alike, alike_out, 3, padding=1)
        self.convf1 = nn.Conv2d(2, flow, 7, padding=3)
        self.convf2 = nn.Conv2d(flow, flow_out, 3, padding=1)
        self.conv = nn.Conv2d(alike_out + flow_out, out, 3, padding=1)
        self.outputs = out + 2

    def forward(self, flow: Tensor, correlation: Tensor) -> Tensor:
        alike = F.relu(self.convc1(correlation))
        if self.convc2 is not None:
            alike = F.relu(self.convc2(alike))
        moved = F.relu(self.convf2(F.relu(self.convf1(flow))))
        out = F.relu(self.conv(torch.cat([alike, moved], 1)))
        return torch.cat([out, flow], 1)


def _gru_step(update: nn.Conv2d, reset: nn.Conv2d, candidate: nn.Conv2d, hidden: Tensor, x: Tensor) -> Tensor:
    """One step of a convolutional gated recurrent unit (Cho et al. 2014)."""
    both = torch.cat([hidden, x], 1)
    fraction = torch.sigmoid(update(both))
    cached = torch.sigmoid(reset(both)) * hidden
    return (1 - fraction) * hidden + fraction * torch.tanh(candidate(torch.cat([cached, x], 1)))


class _Gru(nn.Module):
    """3x3 gates."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        self.convz, self.convr, self.convq = (nn.Conv2d(hidden + inputs, hidden, 3, padding=1) for _ in range(3))

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        return _gru_step(self.convz, self.convr, self.convq, hidden, x)


class _SeparableGru(nn.Module):
    """One step with gates of 1x5, then one with 5x1."""

    def __init__(self, hidden: int, inputs: int) -> None:
        super().__init__()
        total = hidden + inputs
        self.convz1, self.convr1, self.convq1 = (nn.Conv2d(total, hidden, (1, 5), padding=(0, 2)) for _ in range(3))
        self.convz2, self.convr2, self.convq2 = (nn.Conv2d(total, hidden, (5, 1), padding=(2, 0)) for _ in range(3))

    def forward(self, hidden: Tensor, x: Tensor) -> Tensor:
        hidden = _gru_step(self.convz1, self.convr1, self.convq1, hidden, x)
        return _gru_step(self.convz2, self.convr2, self.convq2, hidden, x)


class _FlowHead(nn.Module):
    def __init__(self, hidden: int, width: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(hidden, width, 3, padding=1)
        self.conv2 = nn.Conv2d(width, 2, 3, padding=1)

    def forward(self, hidden: Tensor) -> Tensor:
        out: Tensor = self.conv2(F.relu(self.conv1(hidden)))
        return out


class _UpdateBlock(nn.Module):
    """One iteration: a new state, and how the flow changes."""

    mask: nn.Sequential | None

    def __init__(self, sizes: RaftSizes) -> None:
        super().__init__()
        self.encoder = _MotionEncoder(sizes)
        gru = _Gru if sizes.small else _SeparableGru
        self.gru = gru(sizes.hidden, sizes.context + self.encoder.outputs)
        self.flow_head = _FlowHead(sizes.hidden, 128 if sizes.small else 256)
        self.mask = None
        if not sizes.small:
            self.mask = nn.Sequential(nn.Conv2d(sizes.hidden, 256, 3, padding=1), nn.ReLU(), nn.Conv2d(256, 9 * STRIDE**2, 1))

    def forward(self, hidden: Tensor, context: Tensor, correlation: Tensor, flow: Tensor) -> tuple[Tensor, Tensor]:
        hidden = self.gru(hidden, torch.cat([context, self.encoder(flow, correlation)], 1))
        return hidden, self.flow_head(hidden)

    def upsample(self, flow: Tensor, hidden: Tensor) -> Tensor:
        """Flow of the coarse grid to flow in pixels: (n, 2, 8 h, 8 w)."""
        n, _, h, w = flow.shape
        if self.mask is None:
            return STRIDE * F.interpolate(flow, scale_factor=float(STRIDE), mode="bilinear", align_corners=True)
        # Each pixel is a convex combination of the 3x3 coarse neighbours; 0.25 balanced gradients in training.
        weights = torch.softmax(0.25 * self.mask(hidden).view(n, 1, 9, STRIDE, STRIDE, h, w), 2)
        neighbours = F.unfold(STRIDE * flow, 3, padding=1).view(n, 2, 9, 1, 1, h, w)
        fine = (weights * neighbours).sum(2)  # (n, 2, row in cell, column in cell, h, w)
        return fine.permute(0, 1, 4, 2, 5, 3).reshape(n, 2, STRIDE * h, STRIDE * w)


class RaftNetwork(nn.Module):
    """Optical flow from a source to a target image.

    Args:
        sizes: :data:`FULL` or :data:`SMALL`.
        max_correlations: how many correlations may be in memory at a time (4 bytes each, a third more for the pyramid).
    """

    def __init__(self, sizes: RaftSizes, max_correlations: int = _MAX_CORRELATIONS) -> None:
        super().__init__()
        self.sizes = sizes
        self._limit = max_correlations
        self.fnet = _Encoder(sizes, sizes.features, "instance")
        self.cnet = _Encoder(sizes, sizes.hidden + sizes.context, "none" if sizes.small else "batch")
        self.update_block = _UpdateBlock(sizes)

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The parts that do nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        mask = self.update_block.mask  # called once a flow, not by the block itself
        return self.fnet, self.cnet, self.update_block, *([] if mask is None else [mask])

    def encode(self, images: Tensor) -> Encoded:
        """What any number of flows from and to ``images`` need.

        Args:
            images: (n, 3, h, w) RGB in [0, 255]; h and w are multiples of 8 and at least 64.
        """
        scaled = 2 * (images / 255) - 1
        hidden, context = self.cnet(scaled).split([self.sizes.hidden, self.sizes.context], 1)
        return Encoded(self.fnet(scaled), torch.tanh(hidden), F.relu(context))

    def flow(self, source: Encoded, target: Tensor, iterations: int = 12) -> Tensor:
        """(n, 2, h, w) flow in pixels from the images of ``source`` to those whose features are ``target``."""
        correlations = _Correlations(source.features, target, self.sizes, self._limit)
        n, _, h, w = target.shape
        y, x = torch.meshgrid(*(torch.arange(k, device=target.device, dtype=target.dtype) for k in (h, w)), indexing="ij")
        grid_xy = torch.stack([x, y]).expand(n, 2, h, w)
        flow, hidden = torch.zeros_like(grid_xy), source.hidden
        for _ in range(iterations):
            correlation = correlations.lookup(grid_xy + flow)
            hidden, change = self.update_block(hidden, source.context, correlation, flow)
            flow = flow + change
        return self.update_block.upsample(flow, hidden)

    def bidirectional(self, first: Encoded, second: Encoded, iterations: int = 12) -> tuple[Tensor, Tensor]:
        """Flow from ``first`` to ``second`` and back, as :meth:`flow` gives it; in one batch when the memory allows."""
        n, _, h, w = first.features.shape
        if 2 * n * (h * w) ** 2 > self._limit:
            return self.flow(first, second.features, iterations), self.flow(second, first.features, iterations)
        sources = Encoded(*(torch.cat(pair) for pair in zip(first, second, strict=True)))
        there, back = self.flow(sources, torch.cat([second.features, first.features]), iterations).chunk(2)
        return there, back

    def forward(self, source: Tensor, target: Tensor, iterations: int = 12) -> Tensor:
        """(n, 2, h, w) flow in pixels between images as :meth:`encode` takes them."""
        return self.flow(self.encode(source), self.encode(target).features, iterations)
