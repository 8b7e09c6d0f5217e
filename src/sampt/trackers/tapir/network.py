"""The network TAPIR (Doersch et al., ICCV 2023) in PyTorch, with the changes of BootsTAPIR (Doersch et al., ACCV 2024).

Parameters are called as in the official program's PyTorch checkpoints, so that those load strictly. Locations are (x, y) in
pixels of the network's image, whose top-left corner is (0, 0): the centre of its first pixel is (0.5, 0.5).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr
from sampt.trackers.tapir.mixer import BlockState, Mixer

__all__ = ["BOOTSTAPIR", "BOOTSTAPIR_CAUSAL", "TAPIR", "Levels", "Memory", "TapirNetwork", "TapirSizes", "joined"]

_STRIDES = (1, 2, 2, 1)
"""Of the four groups of blocks, after a first convolution of stride 2: fine features at stride 4, coarse ones at 8."""
_REACH = 3
"""Correlations are looked up this many cells around a location ..."""
_LOOKUP = (2 * _REACH + 1) ** 2
"""... so there are so many of them."""
_TEMPERATURE = 20.0
_PEAK_CELLS = 5.0
"""The location of a maximum is the mean of the cells nearer to it than this."""
_MAX_ROWS = 1024
"""(point, frame) pairs that are matched at a time: 64 KiB each."""


@dataclass(frozen=True)
class TapirSizes:
    """One of the published networks.

    Attributes:
        extra_blocks: more convolutions on the coarse features.
        pooled: coarser levels, each of half the size, in which correlations are looked up, too.
        is_causal: whether a frame's result needs no later frame.
        image_hw: of the network's image, multiples of 8.
        widths: channels of the four groups of blocks; the second gives the fine features, the last the coarse ones.
        hidden: channels of the mixer.
        blocks: of the mixer.
        iterations: of the refinement.
    """

    extra_blocks: int
    pooled: int
    is_causal: bool = False
    image_hw: tuple[int, int] = (256, 256)
    widths: tuple[int, int, int, int] = (64, 128, 256, 256)
    hidden: int = 512
    blocks: int = 12
    iterations: int = 4

    @property
    def fine(self) -> int:
        """Channels of the fine features."""
        return self.widths[1]

    @property
    def table(self) -> int:
        """Columns of the table: x, y, two logits, fine and coarse features."""
        return 4 + self.widths[1] + self.widths[3]


TAPIR = TapirSizes(extra_blocks=0, pooled=0)
BOOTSTAPIR = TapirSizes(extra_blocks=5, pooled=1)
BOOTSTAPIR_CAUSAL = TapirSizes(extra_blocks=5, pooled=1, is_causal=True)

Levels = tuple[Tensor, ...]
"""Features of t frames: (t, h, w, channels) fine, coarse, and each level that is pooled; fine and coarse ones of length 1."""


class Memory(NamedTuple):
    """What one refinement keeps of n points: of its mixer, and (n, w, columns) of the table that it has not given results for
    yet."""

    mixer: list[BlockState]
    waiting: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


def joined(first: Sequence[Memory], second: Sequence[Memory]) -> list[Memory]:
    """The memory of the points of both, which have been through the same number of unanswered frames."""
    return [
        Memory([BlockState(*map(_stack, x, y)) for x, y in zip(a.mixer, b.mixer, strict=True)], _stack(a.waiting, b.waiting))
        for a, b in zip(first, second, strict=True)
    ]


def _stack(first: Tensor, second: Tensor) -> Tensor:
    return torch.cat([first, second])


class _Block(nn.Module):
    """Two 3x3 convolutions beside the input (He et al. 2016, with normalisation before each)."""

    proj_conv: nn.Conv2d | None

    def __init__(self, inputs: int, outputs: int, stride: int, *, is_first: bool) -> None:
        super().__init__()
        # The official convolutions come from JAX, which puts the odd row and column of padding last.
        self._padding = (1, 1, 1, 1) if stride == 1 else (0, 2, 0, 2)
        self.proj_conv = nn.Conv2d(inputs, outputs, 1, stride, bias=False) if is_first else None
        self.bn_0 = nn.InstanceNorm2d(inputs, affine=True)
        self.conv_0 = nn.Conv2d(inputs, outputs, 3, stride, bias=False)
        self.bn_1 = nn.InstanceNorm2d(outputs, affine=True)
        self.conv_1 = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn_0(x))
        beside = x if self.proj_conv is None else self.proj_conv(y)
        y = self.conv_0(F.pad(y, self._padding))
        change: Tensor = self.conv_1(F.relu(self.bn_1(y)))
        return change + beside


class _Group(nn.Module):
    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        first, second = _Block(inputs, outputs, stride, is_first=True), _Block(outputs, outputs, 1, is_first=False)
        self.blocks = nn.ModuleList([first, second])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class _ResNet(nn.Module):
    def __init__(self, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.initial_conv = nn.Conv2d(3, widths[0], 7, 2, bias=False)
        inputs = (widths[0], *widths[:-1])
        self.block_groups = nn.ModuleList(map(_Group, inputs, widths, _STRIDES))

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Fine and coarse features, (t, channels, rows, columns)."""
        x = self.initial_conv(F.pad(images, (2, 4, 2, 4)))
        made = []
        for group in self.block_groups:
            x = group(x)
            made.append(x)
        return made[1], made[3]


class _ExtraBlock(nn.Module):
    """Normalises, then adds two convolutions to what is normalised."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layer_norm = nn.LayerNorm(channels)
        self.conv = nn.Conv2d(channels, 4 * channels, 3, padding=1)
        self.conv_1 = nn.Conv2d(4 * channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.layer_norm(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        change: Tensor = self.conv_1(F.gelu(self.conv(x), approximate="tanh"))
        return x + change


class _ExtraConvs(nn.Module):
    def __init__(self, channels: int, blocks: int) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(_ExtraBlock(channels) for _ in range(blocks))

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


class TapirNetwork(nn.Module):
    """The network: :meth:`encode` frames, :meth:`sample` points, :meth:`match` them in frames, :meth:`refine` the table.

    The table, (n, t, columns), is what is known of n points on t frames: x, y, the logit of being occluded, the logit of being
    far from x, y, and what the point looks like there, fine and coarse features.
    """

    extra_convs: _ExtraConvs | None

    def __init__(self, sizes: TapirSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.resnet_torch = _ResNet(sizes.widths)
        self.extra_convs = _ExtraConvs(sizes.widths[3], sizes.extra_blocks) if sizes.extra_blocks else None
        self.torch_cost_volume_track_mods = nn.ModuleDict(
            {
                "hid1": nn.Conv2d(1, 16, 3, padding=1),
                "hid2": nn.Conv2d(16, 1, 3, padding=1),
                "hid3": nn.Conv2d(16, 32, 3, 2),
                "hid4": nn.Linear(32, 16),
                "occ_out": nn.Linear(16, 2),
            }
        )
        inputs = sizes.table + (2 + sizes.pooled) * _LOOKUP
        self.torch_pips_mixer = Mixer(inputs, sizes.hidden, sizes.table, sizes.blocks, is_causal=sizes.is_causal)

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The parts that do nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        return self.resnet_torch, *([] if self.extra_convs is None else [self.extra_convs]), self.torch_pips_mixer

    @property
    def lateness(self) -> int:
        """Frames by which each refinement's results are late: 0 for the causal network."""
        return 0 if self.sizes.is_causal else 2 * self.sizes.blocks

    def forward(self, images: Tensor, xy: Tensor, frame_idx: Tensor) -> Tensor:
        """A whole clip at once.

        Args:
            images: (t, 3, h, w) in [-1, 1], of the size of the network's image.
            xy: (n, 2) points.
            frame_idx: (n,) the frames that they lie on.

        Returns:
            The table, (n, t, columns).
        """
        levels = self.encode(images)
        templates = xy.new_zeros(len(xy), self.sizes.table - 4)
        for frame in sorted(set(frame_idx.tolist())):
            here = frame_idx == frame
            templates[here] = self.sample(tuple(level[frame] for level in levels), xy[here])
        table = self.match(levels, templates)
        own = torch.arange(len(xy), device=xy.device)
        table[own, frame_idx, :2] = xy
        for memory in self.start(len(xy)):
            table, _ = self.refine(table, levels, memory, ends=True)
        return table

    def encode(self, images: Tensor) -> Levels:
        """Features of (t, 3, h, w) images in [-1, 1]; a frame's do not depend on the other frames."""
        fine, coarse = self.resnet_torch(images)
        if self.extra_convs is not None:
            coarse = self.extra_convs(coarse)
        levels = [F.normalize(x, dim=1, eps=1e-6) for x in (fine, coarse)]
        for _ in range(self.sizes.pooled):
            levels.append(F.avg_pool2d(levels[-1], 2))
        return tuple(x.permute(0, 2, 3, 1).contiguous() for x in levels)

    def sample(self, levels: Levels, xy: Tensor) -> Tensor:
        """What (n, 2) points look like on a frame with ``levels`` of (h, w, channels): (n, fine and coarse channels)."""
        templates = []
        for level in levels[:2]:
            size_xy = xy.new_tensor([level.shape[1], level.shape[0]])
            cells = xy * (size_xy / self._image_xy(xy))
            # Beyond the outermost centres of cells it is as on them.
            cells = torch.minimum(cells.clamp(min=0.5), size_xy - 0.5)
            grid = (2 * cells / size_xy - 1)[None, None]
            templates.append(F.grid_sample(level.permute(2, 0, 1)[None], grid, align_corners=False)[0, :, 0].T)
        return torch.cat(templates, 1)

    def match(self, levels: Levels, templates: Tensor) -> Tensor:
        """The table before refinement: each frame is searched for each point, by itself.

        Args:
            levels: features of t frames.
            templates: (n, channels) of :meth:`sample`.

        Returns:
            The table, (n, t, columns).
        """
        coarse = levels[1]
        t = len(coarse)
        wanted = _parts(templates[:, self.sizes.fine :], t)
        found = [self._match(torch.einsum("nc,thwc->nthw", part, coarse).flatten(0, 1)) for part in wanted]
        locations = torch.cat(found).view(len(templates), t, 4)
        return torch.cat([locations, templates[:, None].expand(-1, t, -1)], -1)

    def _match(self, costs: Tensor) -> Tensor:
        """(rows, 4): location and logits, from (rows, h, w) similarities."""
        layers = self.torch_cost_volume_track_mods
        seen = F.relu(layers["hid1"](costs[:, None]))
        heat = (layers["hid2"](seen)[:, 0].flatten(1) * _TEMPERATURE).softmax(1)
        h, w = costs.shape[1:]
        cell = torch.arange(h * w, device=costs.device)
        centres = torch.stack([cell % w + 0.5, cell // w + 0.5], -1)
        peak = centres[heat.argmax(1)]
        near = (centres - peak[:, None]).square().sum(-1) < _PEAK_CELLS**2
        heat = heat * near
        location = heat @ centres / heat.sum(1, keepdim=True).clamp(min=1e-12)
        location = location * (self._image_xy(location) / location.new_tensor([w, h]))
        hidden = F.relu(layers["hid3"](F.pad(seen, (0, 2, 0, 2)))).mean((-1, -2))
        logits = layers["occ_out"](F.relu(layers["hid4"](hidden)))
        return torch.cat([location, logits], -1)

    def start(self, num_points: int) -> list[Memory]:
        """For each refinement, the memory of a clip's beginning."""
        waiting = self.torch_pips_mixer.linear.weight.new_zeros(num_points, 0, self.sizes.table)
        return [Memory(self.torch_pips_mixer.start(num_points), waiting) for _ in range(self.sizes.iterations)]

    def refine(self, table: Tensor, levels: Levels, memory: Memory, *, ends: bool) -> tuple[Tensor, Memory]:
        """One refinement of the next frames.

        Args:
            table: (n, t, columns).
            levels: features of the same t frames.
            memory: what this gave for the frames before, or that of :meth:`start`.
            ends: whether the clip ends with these frames.

        Returns:
            The better table of the frames that can be computed, in order: all of these in the causal network; in the other
            those that lie :attr:`lateness` frames back, and at the end all that is left. And the memory.
        """
        # The location itself is not given: what is mixed is the same wherever it happens.
        known = torch.cat([torch.zeros_like(table[..., :2]), table[..., 2:], self._lookup(table, levels)], -1)
        change, mixer = self.torch_pips_mixer(known, memory.mixer, ends=ends)
        waiting = torch.cat([memory.waiting, table], 1)
        count = change.shape[1]
        return waiting[:, :count] + change, Memory(mixer, waiting[:, count:].clone())

    def _lookup(self, table: Tensor, levels: Levels) -> Tensor:
        """(n, t, 49 x levels) correlations around the locations of the table with what it says that the points look like."""
        parts = []
        for part in _parts(table, table.shape[1]):
            xy, templates = part[..., :2], part[..., 4:]
            wanted = [templates[..., : self.sizes.fine], *[templates[..., self.sizes.fine :]] * (1 + self.sizes.pooled)]
            scaled = [xy * (xy.new_tensor([x.shape[2], x.shape[1]]) / self._image_xy(xy)) for x in levels]
            parts.append(torch.cat(list(map(_correlations, levels, scaled, wanted)), -1))
        return torch.cat(parts)

    def _image_xy(self, like: Tensor) -> Tensor:
        return like.new_tensor(self.sizes.image_hw[::-1])


def _parts(points: Tensor, num_frames: int) -> Iterator[Tensor]:
    """Consecutive parts of (n, ...) points that are matched at a time."""
    limit = max(1, _MAX_ROWS // num_frames)
    for start in range(0, len(points), limit):
        yield points[start : start + limit]


def _correlations(level: Tensor, xy: Tensor, wanted: Tensor) -> Tensor:
    """Similarity of ``wanted`` to the features on 7 x 7 locations, one cell apart, around each location.

    The 49 locations lie alike between the cells: it is enough to compare with 8 x 8 cells and to interpolate what comes out.

    Args:
        level: (t, h, w, c); zero outside.
        xy: (n, t, 2) in cells, the centre of the first one at 0.5.
        wanted: (n, t, c).

    Returns:
        (n, t, 49), row by row.
    """
    t, h, w, c = level.shape
    location = xy - 0.5
    first = location.floor()
    fraction = (location - first)[..., None, None]
    reach = torch.arange(-_REACH, _REACH + 2, device=xy.device)
    columns, rows = (first[..., i, None].long() + reach for i in (0, 1))
    is_inside = ((rows >= 0) & (rows < h))[..., :, None] & ((columns >= 0) & (columns < w))[..., None, :]
    frame = torch.arange(t, device=xy.device)[:, None] * h
    cells = ((frame + rows.clamp(0, h - 1)) * w)[..., :, None] + columns.clamp(0, w - 1)[..., None, :]
    near = level.reshape(-1, c)[cells.flatten(2)]
    similar = (near @ wanted[..., None]).view(cells.shape) * is_inside
    similar = torch.lerp(similar[..., :-1, :], similar[..., 1:, :], fraction[..., 1, :, :])
    return torch.lerp(similar[..., :-1], similar[..., 1:], fraction[..., 0, :, :]).flatten(2)
