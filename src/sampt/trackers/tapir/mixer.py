"""The part of TAPIR that mixes information over time, for streamed frames in chunks of any length.

Convolutions over three frames see, in the causal network, a frame and the two before it, else a frame and its two neighbours.
What lies outside the clip is zero for each of them. Here each keeps its last two inputs; so chunks give what the whole clip
gives, and where a neighbour in the future is needed the results are late: by two frames a block.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr

__all__ = ["BlockState", "Mixer"]

_FRAMES = 3
"""That a convolution over time sees."""
_COPIES = 4
"""Channels that are made of each one between the two convolutions; and the growth of the layers after them."""


class BlockState(NamedTuple):
    """What a block keeps of n points: the last inputs of its convolutions, and the inputs that it has not given results for
    yet.

    narrow (n, k, c) and wide (n, k, 4 c) with k of 1 or 2, waiting (n, w, c) with w of 0 to 2.
    """

    narrow: Tensor
    wide: Tensor
    waiting: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


class _Channels(nn.Module):
    """Two linear layers at each location."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp2_up = nn.Linear(channels, _COPIES * channels)
        self.mlp2_down = nn.Linear(_COPIES * channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        down: Tensor = self.mlp2_down(F.gelu(self.mlp2_up(x), approximate="tanh"))
        return down


class _Block(nn.Module):
    """Two convolutions over time, channel by channel, then two layers over channels; each pair beside its input."""

    def __init__(self, channels: int, *, is_causal: bool) -> None:
        super().__init__()
        self._before, self._after = (2, 0) if is_causal else (1, 1)
        wide = _COPIES * channels
        self.layer_norm = nn.LayerNorm(channels, bias=False)
        self.mlp1_up = nn.Conv1d(channels, wide, _FRAMES, groups=channels)
        self.mlp1_up_1 = nn.Conv1d(wide, wide, _FRAMES, groups=wide)
        self.layer_norm_1 = nn.LayerNorm(channels, bias=False)
        self.conv_channels_mixer = _Channels(channels)

    def start(self, num_points: int) -> BlockState:
        """Of a clip's beginning."""
        narrow, wide = self.mlp1_up.in_channels, self.mlp1_up_1.in_channels
        zeros = self.layer_norm.weight.new_zeros
        return BlockState(
            zeros(num_points, self._before, narrow), zeros(num_points, self._before, wide), zeros(num_points, 0, narrow)
        )

    def forward(self, x: Tensor, memory: BlockState, *, ends: bool) -> tuple[Tensor, BlockState]:
        after = self._after if ends else 0
        narrow = F.pad(torch.cat([memory.narrow, self.layer_norm(x)], 1), (0, 0, 0, after))
        made = F.gelu(_over_time(self.mlp1_up, narrow), approximate="tanh")
        wide = F.pad(torch.cat([memory.wide, made], 1), (0, 0, 0, after))
        copies = _over_time(self.mlp1_up_1, wide)
        change = copies.view(*copies.shape[:2], x.shape[2], _COPIES).sum(-1)
        waiting = torch.cat([memory.waiting, x], 1)
        count = change.shape[1]
        y = waiting[:, :count] + change
        y = y + self.conv_channels_mixer(self.layer_norm_1(y))
        cached = 1 - _FRAMES  # copies, for a view would keep the whole chunk
        return y, BlockState(narrow[:, cached:].clone(), wide[:, cached:].clone(), waiting[:, count:].clone())


def _over_time(conv: nn.Conv1d, x: Tensor) -> Tensor:
    """The grouped convolution ``conv``, without padding, of (n, t, c) along t; (n, t - 2, outputs), or none for t below 3.

    By hand, for with the channels last nothing has to be moved, and a few frames are no work for a convolution.
    """
    count = max(0, x.shape[1] - _FRAMES + 1)
    copies = conv.out_channels // conv.in_channels
    weight = conv.weight.view(conv.in_channels, copies, _FRAMES)
    assert conv.bias is not None
    out = conv.bias.view(conv.in_channels, copies).expand(len(x), count, -1, -1)
    for k in range(_FRAMES):
        out = torch.addcmul(out, x[:, k : k + count, :, None], weight[..., k])
    return out.flatten(2)


class Mixer(nn.Module):
    """From what is known of points on frames to a correction of it.

    Args:
        inputs: channels that go in.
        hidden: channels inside.
        outputs: channels that come out.
        blocks: number of blocks.
        is_causal: whether a frame's result needs no later frame.
    """

    def __init__(self, inputs: int, hidden: int, outputs: int, blocks: int, *, is_causal: bool) -> None:
        super().__init__()
        self.linear = nn.Linear(inputs, hidden)
        self.blocks = nn.ModuleList(_Block(hidden, is_causal=is_causal) for _ in range(blocks))
        self.layer_norm = nn.LayerNorm(hidden, bias=False)
        self.linear_1 = nn.Linear(hidden, outputs)

    def start(self, num_points: int) -> list[BlockState]:
        """The memory of a clip's beginning."""
        return [block.start(num_points) for block in self.blocks if isinstance(block, _Block)]

    def forward(self, x: Tensor, memory: list[BlockState], *, ends: bool) -> tuple[Tensor, list[BlockState]]:
        """The next frames.

        Args:
            x: (n, t, inputs), of n points on t frames.
            memory: what this gave for the frames before, or :meth:`start`.
            ends: whether the clip ends with these frames.

        Returns:
            (n, s, outputs) for the s frames that can be computed now: the causal network results all of ``x``, the other is
            late by two frames a block until the clip ends. And the memory.
        """
        x = self.linear(x)
        after = []
        for block, before in zip(self.blocks, memory, strict=True):
            x, cached = block(x, before, ends=ends)
            after.append(cached)
        return self.linear_1(self.layer_norm(x)), after
