"""The network CoTracker3 (Karaev et al., "CoTracker3: Simpler and Better Point Tracking by Pseudo-Labelling Real Videos",
arXiv 2410.11831) in PyTorch.

Parameters are called as in the official program's checkpoints ("virual_tracks" is its spelling), so that those load strictly.
There are two published sets of weights, offline and online; their networks differ in the number of time steps alone. Letters:
n points, s frames looked at together, c channels of features. Locations (x, y) are in pixels of the finest features, which are
4 times coarser than the image: pixel k there is pixel 4 k of the image, as the official program divides.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr

__all__ = ["OFFLINE", "ONLINE", "STRIDE", "CoTrackerNetwork", "CoTrackerSizes", "Estimate"]

STRIDE = 4
"""The finest features are this much coarser than the image."""
_OCTAVES = 10
"""Motion is given to the network as sines of 1, 2, 4, ... 512 times itself."""
_MAX_VALUES = 1 << 24
"""Features gathered at a time (64 MiB); the points of a window are compared with its frames in parts of that size."""


@dataclass(frozen=True)
class CoTrackerSizes:
    """Sizes of a network; those that are not given are the published ones.

    Attributes:
        window: frames that it was trained on, for each of which there is a time embedding; others are interpolated.
        model_hw: of the image in training; multiples of 4. Motion is given in parts of it.
        features: channels that are compared; a multiple of 4.
        hidden: channels of the transformer.
        heads: of its attention.
        depth: of its blocks, along time and along points by turns.
        virtual_tracks: through which points learn of each other.
        compared_hidden: channels inside the perceptron that reads correlations.
        compared: channels that it makes of them, for each level.
        radius: features are compared this far around each location, on each level.
        levels: of the features, each half as fine as the one before.
    """

    window: int
    model_hw: tuple[int, int] = (384, 512)
    features: int = 128
    hidden: int = 384
    heads: int = 8
    depth: int = 3
    virtual_tracks: int = 64
    compared_hidden: int = 384
    compared: int = 256
    radius: int = 3
    levels: int = 4

    @property
    def side(self) -> int:
        """Of the square that is compared, in features."""
        return 2 * self.radius + 1

    @property
    def inputs(self) -> int:
        """Channels of a point on a frame: visibility, confidence, correlations, motion to the next and previous frame."""
        return 2 + self.levels * self.compared + 4 * (1 + 2 * _OCTAVES)


OFFLINE = CoTrackerSizes(window=60)
ONLINE = CoTrackerSizes(window=16)


class Estimate(NamedTuple):
    """Where points are on the frames of a window.

    Attributes:
        xy: (n, s, 2) in pixels of the finest features.
        visible: (n, s) logits.
        confidence: (n, s) logits of being placed right.
    """

    xy: Tensor
    visible: Tensor
    confidence: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


class _ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside the input (He et al. 2016); every convolution is normalised and cut at zero."""

    downsample: nn.Sequential | None

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1)
        self.norm = nn.InstanceNorm2d(outputs)
        self.downsample = None
        if stride > 1:
            self.downsample = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride), nn.InstanceNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norm(self.conv1(x)))
        y = F.relu(self.norm(self.conv2(y)))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class _Encoder(nn.Module):
    """(k, 3, h, w) in [-1, 1] to (k, c, h/4, w/4): what four strides see, brought to one size and mixed."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        first, second = channels // 2, channels // 4 * 3
        self.conv1 = nn.Conv2d(3, first, 7, 2, 3)
        self.layer1 = nn.Sequential(_ResidualBlock(first, first, 1), _ResidualBlock(first, first, 1))
        self.layer2 = nn.Sequential(_ResidualBlock(first, second, 2), _ResidualBlock(second, second, 1))
        self.layer3 = nn.Sequential(_ResidualBlock(second, channels, 2), _ResidualBlock(channels, channels, 1))
        self.layer4 = nn.Sequential(_ResidualBlock(channels, channels, 2), _ResidualBlock(channels, channels, 1))
        self.norm = nn.InstanceNorm2d(2 * channels)
        self.conv2 = nn.Conv2d(first + second + 2 * channels, 2 * channels, 3, 1, 1)
        self.conv3 = nn.Conv2d(2 * channels, channels, 1)

    def forward(self, image: Tensor) -> Tensor:
        size_hw = image.shape[2] // STRIDE, image.shape[3] // STRIDE
        x = F.relu(F.instance_norm(self.conv1(image)))
        seen = []
        for layer in (self.layer1, self.layer2, self.layer3, self.layer4):
            x = layer(x)
            seen.append(F.interpolate(x, size_hw, mode="bilinear", align_corners=True))
        out: Tensor = self.conv3(F.relu(self.norm(self.conv2(torch.cat(seen, 1)))))
        return out


class _Perceptron(nn.Module):
    def __init__(self, inputs: int, hidden: int, outputs: int, *, approximate: str) -> None:
        super().__init__()
        self.fc1 = nn.Linear(inputs, hidden)
        self.fc2 = nn.Linear(hidden, outputs)
        self._approximate = approximate

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(F.gelu(self.fc1(x), approximate=self._approximate))
        return out


class _Attention(nn.Module):
    """(b, k, hidden) attends to (b, m, hidden)."""

    def __init__(self, hidden: int, heads: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(hidden, hidden)
        self.to_kv = nn.Linear(hidden, 2 * hidden)
        self.to_out = nn.Linear(hidden, hidden)
        self._heads = heads

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        q, k, v = (
            part.unflatten(-1, (self._heads, -1)).transpose(1, 2)
            for part in (self.to_q(x), *self.to_kv(context).chunk(2, dim=-1))
        )
        out: Tensor = self.to_out(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))
        return out


class _SelfBlock(nn.Module):
    """A transformer's block whose tokens attend to each other."""

    def __init__(self, sizes: CoTrackerSizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.hidden, elementwise_affine=False, eps=1e-6)
        self.attn = _Attention(sizes.hidden, sizes.heads)
        self.mlp = _Perceptron(sizes.hidden, 4 * sizes.hidden, sizes.hidden, approximate="tanh")

    def forward(self, x: Tensor) -> Tensor:
        normed = self.norm(x)
        x = x + self.attn(normed, normed)
        out: Tensor = x + self.mlp(self.norm(x))
        return out


class _CrossBlock(nn.Module):
    """A transformer's block whose tokens attend to others."""

    def __init__(self, sizes: CoTrackerSizes) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(sizes.hidden, elementwise_affine=False, eps=1e-6)
        self.norm_context = nn.LayerNorm(sizes.hidden)
        self.cross_attn = _Attention(sizes.hidden, sizes.heads)
        self.mlp = _Perceptron(sizes.hidden, 4 * sizes.hidden, sizes.hidden, approximate="tanh")

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.cross_attn(self.norm(x), self.norm_context(context))
        out: Tensor = x + self.mlp(self.norm(x))
        return out


class _UpdateFormer(nn.Module):
    """What is known of points on frames (n, s, inputs) to changes of (x, y, visibility, confidence) (n, s, 4).

    Tokens attend to those of the same track on other frames; then, on each frame, virtual tracks attend to the points, each
    other, and are attended to by the points. So the work grows with n, not with its square.
    """

    def __init__(self, sizes: CoTrackerSizes) -> None:
        super().__init__()
        self.input_transform = nn.Linear(sizes.inputs, sizes.hidden)
        self.flow_head = nn.Linear(sizes.hidden, 2)
        self.vis_conf_head = nn.Linear(sizes.hidden, 2)
        self.virual_tracks = nn.Parameter(torch.randn(1, sizes.virtual_tracks, 1, sizes.hidden))
        self.time_blocks = nn.ModuleList(_SelfBlock(sizes) for _ in range(sizes.depth))
        self.space_virtual_blocks = nn.ModuleList(_SelfBlock(sizes) for _ in range(sizes.depth))
        self.space_point2virtual_blocks = nn.ModuleList(_CrossBlock(sizes) for _ in range(sizes.depth))
        self.space_virtual2point_blocks = nn.ModuleList(_CrossBlock(sizes) for _ in range(sizes.depth))
        for head in (self.flow_head, self.vis_conf_head):  # so that an untrained network leaves points about where they are
            nn.init.trunc_normal_(head.weight, std=0.001)
            nn.init.zeros_(head.bias)

    def forward(self, known: Tensor) -> Tensor:
        n, s = known.shape[:2]
        points = self.input_transform(known)
        tokens = torch.cat([points, self.virual_tracks[0].expand(-1, s, -1)])
        blocks = (
            self.time_blocks,
            self.space_virtual2point_blocks,
            self.space_virtual_blocks,
            self.space_point2virtual_blocks,
        )
        for in_time, to_virtual, among_virtual, to_points in zip(*blocks, strict=True):
            by_frame = in_time(tokens).transpose(0, 1)
            points, virtual = by_frame[:, :n], by_frame[:, n:]
            virtual = among_virtual(to_virtual(virtual, points))
            tokens = torch.cat([to_points(points, virtual), virtual], 1).transpose(0, 1)
        return torch.cat([self.flow_head(tokens[:n]), self.vis_conf_head(tokens[:n])], -1)


class CoTrackerNetwork(nn.Module):
    """Refines where points are on the frames of a window.

    Args:
        sizes: :data:`OFFLINE`, :data:`ONLINE` or a reduced network.
        max_values: how many values of features may be gathered at a time (4 bytes each).
    """

    time_emb: Tensor

    def __init__(self, sizes: CoTrackerSizes, max_values: int = _MAX_VALUES) -> None:
        super().__init__()
        self.sizes = sizes
        self._limit = max_values
        self.fnet = _Encoder(sizes.features)
        self.updateformer = _UpdateFormer(sizes)
        self.corr_mlp = _Perceptron(sizes.side**4, sizes.compared_hidden, sizes.compared, approximate="none")
        self.register_buffer("time_emb", _waves(sizes.window, sizes.inputs))

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The parts that do nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        return self.fnet, self.updateformer, self.corr_mlp

    def encode(self, images: Tensor) -> list[Tensor]:
        """Features of ``images``, of each by itself.

        Args:
            images: (k, 3, h, w) RGB in [0, 255]; h and w are multiples of 4 (the tracker gives ``model_hw``).

        Returns:
            For each level (k, h, w, c), the finest first, which has vectors of length 1; each level after it is the mean of
            2x2 of the one before.
        """
        features = self.fnet(2 * (images / 255) - 1)
        level = features / features.square().sum(1, keepdim=True).clamp(min=1e-12).sqrt()
        levels = [level]
        for _ in range(self.sizes.levels - 1):
            level = F.avg_pool2d(level, 2)
            levels.append(level)
        return [each.permute(0, 2, 3, 1).contiguous() for each in levels]

    def gather_around(self, pyramid: Sequence[Tensor], slots: Tensor, xy: Tensor) -> list[Tensor]:
        """Features around query points: for each level (n, side**2, c).

        Args:
            pyramid: of some frames, as :meth:`encode` gives it.
            slots: (n,) int64, the frame of each point in ``pyramid``.
            xy: (n, 2) in pixels of the finest features.
        """
        found = []
        for level, features in enumerate(pyramid):
            rows, part_xy = self._surroundings(features, slots, xy / 2**level)
            found.append(_between(rows, part_xy).flatten(1, 2))
        return found

    def refine(
        self, pyramid: Sequence[Tensor], slots: Tensor, templates: Sequence[Tensor], start: Estimate, iterations: int
    ) -> Estimate:
        """A better estimate for a window.

        Args:
            pyramid: of some frames, as :meth:`encode` gives it.
            slots: (s,) int64, the frames of the window in ``pyramid``, in order; one may stand there several times.
            templates: what :meth:`gather_around` gave for the query points; zeros for one that the window does not reach.
            start: first guess.
            iterations: how often it is made better.
        """
        xy, visible, confidence = start
        time = self._time(len(slots))
        for _ in range(iterations):
            logits = torch.stack([visible, confidence], -1)
            known = torch.cat([logits, self._compare(pyramid, slots, templates, xy), self._motion(xy)], -1)
            change = self.updateformer(known + time)
            xy = xy + change[..., :2]
            visible, confidence = visible + change[..., 2], confidence + change[..., 3]
        return Estimate(xy, visible, confidence)

    def _time(self, count: int) -> Tensor:
        """(1, s, inputs), stretched when the window is not as long as in training."""
        if count == self.time_emb.shape[1]:
            return self.time_emb
        return F.interpolate(self.time_emb.transpose(1, 2), size=count, mode="linear").transpose(1, 2)

    def _motion(self, xy: Tensor) -> Tensor:
        """(n, s, 84): where a point comes from and goes to, in parts of the image, and sines of multiples of that."""
        height, width = self.sizes.model_hw
        step = (xy[:, 1:] - xy[:, :-1]) / xy.new_tensor([width / STRIDE, height / STRIDE])
        motion = torch.cat([F.pad(-step, (0, 0, 0, 1)), F.pad(step, (0, 0, 1, 0))], -1)
        times = 2.0 ** torch.arange(_OCTAVES, device=xy.device, dtype=xy.dtype)
        angles = (motion[..., None, :] * times[:, None]).flatten(2)
        return torch.cat([motion, torch.sin(torch.cat([angles, angles + 0.5 * torch.pi], -1))], -1)

    def _compare(self, pyramid: Sequence[Tensor], slots: Tensor, templates: Sequence[Tensor], xy: Tensor) -> Tensor:
        """(n, s, levels * compared): what the surroundings of ``xy`` have in common with those of the query points."""
        part = max(1, self._limit // (len(slots) * (self.sizes.side + 1) ** 2 * self.sizes.features))
        parts = []
        for first in range(0, len(xy), part):
            of_part = slice(first, first + part)
            levels = [
                self.corr_mlp(self._correlations(features, slots, template[of_part], xy[of_part] / 2**level))
                for level, (features, template) in enumerate(zip(pyramid, templates, strict=True))
            ]
            parts.append(torch.cat(levels, -1))
        return torch.cat(parts)

    def _correlations(self, features: Tensor, slots: Tensor, template: Tensor, xy: Tensor) -> Tensor:
        """(n, s, side**4): every feature around (n, s, 2) ``xy`` with every one of (n, side**2, c) ``template``.

        A location between four features has the mean of their correlations, for these are linear; so features are compared
        where they are, and the few correlations are interpolated, not the many channels.
        """
        rows, part_xy = self._surroundings(features, slots.expand(len(xy), -1), xy)
        alike = rows.flatten(1, 3) @ template.transpose(1, 2)
        return _between(alike.view(*rows.shape[:-1], -1), part_xy).flatten(2)

    def _surroundings(self, features: Tensor, slots: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Features on the grid around locations, those of the border beyond it.

        Args:
            features: (k, h, w, c).
            slots: (...) int64 in [0, k).
            xy: (..., 2).

        Returns:
            (..., side + 1, side + 1, c), x before y as the official program has it, and how far (..., 2) the locations are from
            the grid.
        """
        _, height, width, channels = features.shape
        corner = xy.floor()
        steps = torch.arange(-self.sizes.radius, self.sizes.radius + 2, device=xy.device)
        x = (corner[..., :1] + steps).clamp(0, width - 1).long()
        y = (corner[..., 1:] + steps).clamp(0, height - 1).long()
        index = (slots[..., None, None] * height + y[..., None, :]) * width + x[..., :, None]
        rows = features.view(-1, channels).index_select(0, index.flatten())
        return rows.view(*index.shape, channels), xy - corner


def _between(grid: Tensor, part_xy: Tensor) -> Tensor:
    """Bilinear values: (..., k + 1, k + 1, d) on a grid, x before y, to (..., k, k, d) moved on by (..., 2) in [0, 1)."""
    part_x, part_y = part_xy[..., None, None, None, :].unbind(-1)
    along_x = torch.lerp(grid[..., :-1, :, :], grid[..., 1:, :, :], part_x)
    return torch.lerp(along_x[..., :-1, :], along_x[..., 1:, :], part_y)


def _waves(count: int, channels: int) -> Tensor:
    """(1, count, channels): sines, then cosines, of falling frequencies (Vaswani et al. 2017)."""
    half = channels // 2
    frequencies = 1e4 ** -(torch.arange(half, dtype=torch.float64) / half)
    angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
    return torch.cat([angles.sin(), angles.cos()], 1)[None].float()
