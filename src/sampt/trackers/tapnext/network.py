"""The network TAPNext (Zholus et al., "TAPNext: Tracking Any Point (TAP) as Next Token Prediction", ICCV 2025) in PyTorch.

A frame is cut into patches, each a token; every point is one more token. Layer by layer, each token first goes back in time
through a recurrent block of its own (RG-LRU, as in Griffin, arXiv 2402.19427), then all tokens of the frame attend to each
other (TRecViT, arXiv 2412.14294). What a point's token says in the end is where the point is. TAPNext++ (Jung et al.,
arXiv 2604.10582) is the same network with other weights.

Parameters are called as in the official PyTorch program. Letters of shapes: t frames, n tokens of a frame, q points, c width,
d width of the recurrence. Locations of points are (y, x) in [0, side], where 0 is the outer edge of the first pixel.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.backends.torch_networks import linear, quicken
from sampt.checks import shape_repr

__all__ = [
    "OFFICIAL",
    "LayerState",
    "Memory",
    "Prediction",
    "TapNextNetwork",
    "TapNextSizes",
    "certainty",
    "grown",
    "positions",
]

_WARM_UP = 4
"""Frames that the temporal convolution sees, the present one included."""
_DECAY = 8.0
"""c of the RG-LRU: the slowest decay is a sigmoid to this power."""
_VIT_EPSILON, _RMS_EPSILON = 1e-6, 1e-6
_HEAD_WIDTH = 256
_PEAK_RADIUS, _PEAK_TEMPERATURE = 20, 0.5
"""A location is the mean over bins at most so far from the likeliest, of probabilities flattened by this factor."""


@dataclass(frozen=True)
class TapNextSizes:
    """Sizes of a network.

    Attributes:
        size_hw: image in whose pixels points are given; its patches are those of the learned embedding.
        width: channels of a token (c).
        heads: of attention, and blocks of the recurrence's gates.
        lru_width: channels of the recurrence (d).
        depth: layers.
        patch: side of a patch in pixels.
        bins: along each axis, in which locations are given.
    """

    size_hw: tuple[int, int] = (256, 256)
    width: int = 768
    heads: int = 12
    lru_width: int = 768
    depth: int = 12
    patch: int = 8
    bins: int = 256


OFFICIAL = TapNextSizes()


class LayerState(NamedTuple):
    """What a layer keeps of every token's past: lru (n, d), and inputs (n, 3, d) of the frames before."""

    lru: Tensor
    inputs: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


Memory = tuple[LayerState, ...]
"""Layer by layer. Its size does not depend on the number of frames seen."""


class Prediction(NamedTuple):
    """What the network says of q points on one frame, or with a first axis of t frames.

    Attributes:
        yx: (q, 2), locations in [0.5, bins - 0.5].
        track_logits: (q, 2 * bins), those of y, then those of x.
        visible_logits: (q,).
    """

    yx: Tensor
    track_logits: Tensor
    visible_logits: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


class _RmsNorm(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + _RMS_EPSILON) * (1 + self.scale)


class _BlockDiagonal(nn.Module):
    """A linear layer in which every head sees its own channels alone."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        each = width // heads
        self.w = nn.Parameter(torch.randn(heads, each, each) / math.sqrt(each))
        self.b = nn.Parameter(torch.zeros(heads, each))

    def forward(self, x: Tensor) -> Tensor:
        heads, each, _ = self.w.shape
        blocks = torch.matmul(x.view(-1, heads, each).transpose(0, 1), self.w) + self.b[:, None]
        return blocks.transpose(0, 1).reshape(x.shape)


class _RgLru(nn.Module):
    """Real-gated linear recurrent unit: x (n, d) and the state (n, d) before it, or None on the first frame."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        # At open gates a random network forgets a tenth to a thousandth per frame, as Griffin begins its training.
        slowest = torch.linspace(0.9, 0.999, width)
        self.a_param = nn.Parameter(torch.log(torch.expm1(-torch.log(slowest) / _DECAY)))
        self.input_gate = _BlockDiagonal(width, heads)
        self.a_gate = _BlockDiagonal(width, heads)

    def forward(self, x: Tensor, state: Tensor | None) -> Tensor:
        new = x * torch.sigmoid(self.input_gate(x))
        if state is None:
            return new
        log_a = -_DECAY * torch.sigmoid(self.a_gate(x)) * F.softplus(self.a_param)
        # The new part is scaled so that the variance of the state stays what it is.
        return torch.exp(log_a) * state + new * torch.sqrt(1 - torch.exp(2 * log_a))


class _CausalConv(nn.Module):
    """Channel by channel, a weighted sum of the present frame and the three before it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(_WARM_UP, width) / math.sqrt(_WARM_UP))
        self.b = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor, before: Tensor | None) -> tuple[Tensor, Tensor]:
        """(n, d) sums, and what to give for ``before`` on the next frame; None stands for zeros."""
        past = x.new_zeros(len(x), _WARM_UP - 1, x.shape[-1]) if before is None else before
        seen = torch.cat([past, x[:, None]], 1)
        return (seen * self.w).sum(1) + self.b, seen[:, 1:].contiguous()  # a copy: a view would keep all four


class _RecurrentBlock(nn.Module):
    def __init__(self, sizes: TapNextSizes) -> None:
        super().__init__()
        self.linear_y = nn.Linear(sizes.width, sizes.lru_width)
        self.linear_x = nn.Linear(sizes.width, sizes.lru_width)
        self.linear_out = nn.Linear(sizes.lru_width, sizes.width)
        self.conv_1d = _CausalConv(sizes.lru_width)
        self.rg_lru = _RgLru(sizes.lru_width, sizes.heads)

    def forward(self, x: Tensor, memory: LayerState | None) -> tuple[Tensor, LayerState]:
        lru, before = (None, None) if memory is None else memory
        mixed, inputs = self.conv_1d(self.linear_x(x), before)
        state = self.rg_lru(mixed, lru)
        out: Tensor = self.linear_out(state * F.gelu(self.linear_y(x), approximate="tanh"))
        return out, LayerState(state, inputs)


class _Up(nn.Module):
    """Two linear layers in one parameter."""

    def __init__(self, width: int, wider: int) -> None:
        super().__init__()
        self.w = nn.Parameter(torch.randn(2, width, wider) / math.sqrt(width))
        self.b = nn.Parameter(torch.zeros(2, 1, 1, wider))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        first, second = (linear(x, self.w[i].mT, self.b[i, 0, 0]) for i in range(2))
        return first, second


class _GatedMlp(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.ffw_up = _Up(width, 4 * width)
        self.ffw_down = nn.Linear(4 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        gate, value = self.ffw_up(x)
        out: Tensor = self.ffw_down(F.gelu(gate, approximate="tanh") * value)
        return out


class _TimeBlock(nn.Module):
    """Griffin's residual block: every token on its own, along time."""

    def __init__(self, sizes: TapNextSizes) -> None:
        super().__init__()
        self.temporal_pre_norm = _RmsNorm(sizes.width)
        self.recurrent_block = _RecurrentBlock(sizes)
        self.channel_pre_norm = _RmsNorm(sizes.width)
        self.mlp_block = _GatedMlp(sizes.width)

    def forward(self, x: Tensor, memory: LayerState | None) -> tuple[Tensor, LayerState]:
        recalled, memory = self.recurrent_block(self.temporal_pre_norm(x), memory)
        x = x + recalled
        return x + self.mlp_block(self.channel_pre_norm(x)), memory


class _Attention(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) / math.sqrt(width))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, unseen: int) -> Tensor:
        """(n, c) to (n, c). The last ``unseen`` tokens see all tokens, and the others do not see them."""
        packed = linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = packed.view(len(x), 3, self.heads, -1).permute(1, 2, 0, 3)[:, None]
        seen = len(x) - unseen
        mixed = F.scaled_dot_product_attention(q[:, :, :seen], k[:, :, :seen], v[:, :, :seen])
        if unseen:
            mixed = torch.cat([mixed, F.scaled_dot_product_attention(q[:, :, seen:], k, v)], 2)
        out: Tensor = self.out_proj(mixed[0].transpose(0, 1).reshape(x.shape))
        return out


class _SpaceBlock(nn.Module):
    """A layer of a vision transformer: all tokens of a frame together."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.ln_1 = nn.LayerNorm(width, eps=_VIT_EPSILON)
        self.self_attention = _Attention(width, heads)
        self.ln_2 = nn.LayerNorm(width, eps=_VIT_EPSILON)
        # The official one has dropout between; the numbers in the names count it.
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, width))

    def forward(self, x: Tensor, unseen: int) -> Tensor:
        x = x + self.self_attention(self.ln_1(x), unseen)
        out: Tensor = x + self.mlp(self.ln_2(x))
        return out


class _Layer(nn.Module):
    def __init__(self, sizes: TapNextSizes) -> None:
        super().__init__()
        self.ssm_block = _TimeBlock(sizes)
        self.vit_block = _SpaceBlock(sizes.width, sizes.heads)

    def forward(self, x: Tensor, memory: LayerState | None, unseen: int) -> tuple[Tensor, LayerState]:
        x, memory = self.ssm_block(x, memory)
        return self.vit_block(x, unseen), memory


def _head(width: int, outputs: int) -> nn.Sequential:
    hidden = _HEAD_WIDTH
    first = (nn.Linear(width, hidden), nn.LayerNorm(hidden), nn.GELU())
    return nn.Sequential(*first, nn.Linear(hidden, hidden), nn.LayerNorm(hidden), nn.GELU(), nn.Linear(hidden, outputs))


class TapNextNetwork(nn.Module):
    """TAPNext of these sizes, with random weights. Frames are (t, 3, h, w) in [-1, 1], one video at a time.

    Args:
        sizes: of the network.
    """

    def __init__(self, sizes: TapNextSizes = OFFICIAL) -> None:
        super().__init__()
        self.sizes = sizes
        width, grid_hw = sizes.width, (sizes.size_hw[0] // sizes.patch, sizes.size_hw[1] // sizes.patch)
        self.grid_hw = grid_hw
        self.lin_proj = nn.Conv2d(3, width, sizes.patch, sizes.patch)
        self.blocks = nn.ModuleList([_Layer(sizes) for _ in range(sizes.depth)])
        self.encoder_norm = nn.LayerNorm(width)
        self.mask_token = nn.Parameter(torch.randn(1, 1, 1, width))
        self.unknown_token = nn.Parameter(torch.randn(1, 1, width))
        self.point_query_token = nn.Parameter(torch.randn(1, 1, 1, width))
        self.image_pos_emb = nn.Parameter(torch.randn(1, grid_hw[0] * grid_hw[1], width))
        self.register_buffer("query_pos_embed", positions(sizes.size_hw, width))
        self.query_pos_embed: Tensor
        self.visible_head = _head(width, 1)
        self.coordinate_head = _head(width, 2 * sizes.bins)
        quicken(self)

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The parts that do nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        return tuple(self.blocks)

    def forward(
        self, frames: Tensor, queries: Tensor, memory: Memory | None = None, first_idx: int = 0
    ) -> tuple[Prediction, Memory]:
        """Track points through frames, as the official program does when it knows all points beforehand.

        Before its frame a point has the token "unknown", on its frame one that says where it is, then the token "mask".

        Args:
            frames: (t, 3, h, w) in [-1, 1]; h and w may be other than those of ``sizes``, in which queries are given anyway.
            queries: (q, 3): index of the frame, y, x.
            memory: what an earlier call with the same points gave for the frames before, or None at the start.
            first_idx: index of the first frame given here.

        Returns:
            The prediction with a first axis of t frames, and the memory after the last one.
        """
        known = self.query_tokens(queries[:, 1:])
        predictions = []
        for frame_idx, image in enumerate(self.image_tokens(frames), first_idx):
            times = queries[:, :1]
            rest = torch.where(times > frame_idx, self.unknown_token[0], self.mask_token[0, 0])
            tokens = torch.cat([image, torch.where(times == frame_idx, known, rest)])
            rows, memory = self.step(tokens, memory)
            predictions.append(self.predict(rows[len(image) :]))
        assert memory is not None, "at least one frame is given"
        return Prediction(*(torch.stack(part) for part in zip(*predictions, strict=True))), memory

    def image_tokens(self, frames: Tensor) -> Tensor:
        """(t, patches, c) tokens of (t, 3, h, w) frames in [-1, 1]."""
        patches: Tensor = self.lin_proj(frames)
        locations: Tensor = self.image_pos_emb
        if tuple(patches.shape[-2:]) != self.grid_hw:
            learned = locations.view(1, *self.grid_hw, -1).permute(0, 3, 1, 2)
            finer = F.interpolate(learned, tuple(patches.shape[-2:]), mode="bicubic", align_corners=False)
            locations = finer.flatten(2).mT
        return patches.flatten(2).mT + locations

    def query_tokens(self, yx: Tensor) -> Tensor:
        """(q, c) tokens that say that points lie at (q, 2) locations (y, x) in the pixels of ``sizes``.

        The embedding is mixed from the four pixels around, and fades within half a pixel of the border.
        """
        first = torch.floor(yx - 0.5)
        fraction = yx - 0.5 - first
        height, width = self.sizes.size_hw
        mixed = torch.zeros_like(self.query_pos_embed[0, :1]).expand(len(yx), -1)
        for dy, dx in ((0, 0), (0, 1), (1, 0), (1, 1)):
            y, x = first[:, 0] + dy, first[:, 1] + dx
            weight = (1 - dy - fraction[:, 0]).abs() * (1 - dx - fraction[:, 1]).abs()
            weight = weight * ((y >= 0) & (y < height) & (x >= 0) & (x < width))
            pixel = y.clamp(0, height - 1).long() * width + x.clamp(0, width - 1).long()
            mixed = mixed + weight[:, None] * self.query_pos_embed[0, pixel]
        return self.point_query_token[0, 0] + mixed

    def step(self, tokens: Tensor, memory: Memory | None, unseen: int = 0) -> tuple[Tensor, Memory]:
        """One frame through all layers.

        Args:
            tokens: (n, c): those of the image, then those of points.
            memory: of the same tokens after the frame before, or None on the first frame.
            unseen: so many tokens at the end are not seen by the others.

        Returns:
            (n, c), normalised, and the memory after this frame.
        """
        x, layers = tokens, []
        for i, block in enumerate(self.blocks):
            x, layer = block(x, None if memory is None else memory[i], unseen)
            layers.append(layer)
        return self.encoder_norm(x), tuple(layers)

    def predict(self, rows: Tensor) -> Prediction:
        """What (q, c) rows of points, as :meth:`step` gives them, say of their points."""
        logits = self.coordinate_head(rows)
        return Prediction(_locations(logits.view(len(rows), 2, self.sizes.bins)), logits, self.visible_head(rows)[:, 0])


def _locations(logits: Tensor) -> Tensor:
    """(q, 2) from (q, 2, bins): the mean bin around the likeliest, given by its centre."""
    bins = torch.arange(logits.shape[-1], device=logits.device)
    near = (bins - logits.argmax(-1, keepdim=True)).abs() <= _PEAK_RADIUS
    fractions = torch.softmax(_PEAK_TEMPERATURE * logits, -1) * near
    return (fractions * bins).sum(-1) / fractions.sum(-1) + 0.5


def certainty(prediction: Prediction, radius: int = 8) -> Tensor:
    """(q,) in [0, 1]: the probability that the network gives to bins within ``radius`` of the location that it tells.

    The official program has it as an option, with this radius in PyTorch and 6 in JAX: there a point may be called visible
    where this times the sigmoid of its visibility is over 0.5.
    """
    fractions = torch.softmax(torch.stack(prediction.track_logits.chunk(2, -1), -2), -1)
    last = fractions.shape[-1] - 1
    around = torch.floor(prediction.yx - radius - 0.5)[..., None] + torch.arange(2 * radius + 2, device=fractions.device)
    fractions = fractions.gather(-1, around.clamp(0, last).long()) * ((around >= 0) & (around <= last))
    off = (around + 0.5 - prediction.yx[..., None]).square()  # (q, 2, window)
    near = off[..., 0, :, None] + off[..., 1, None, :] <= radius**2 + 1e-8
    return torch.einsum("...y,...x,...yx->...", fractions[..., 0, :], fractions[..., 1, :], near.to(fractions.dtype))


def grown(memory: Memory, count: int) -> Memory:
    """``memory`` with ``count`` copies of the last token's put before it."""

    def more(rows: Tensor) -> Tensor:
        return torch.cat([rows, rows[-1:].expand(count, *rows.shape[1:])])

    return tuple(LayerState(more(layer.lru), more(layer.inputs)) for layer in memory)


def positions(size_hw: tuple[int, int], width: int) -> Tensor:
    """(1, h * w, width): sines and cosines of every pixel's x, then of its y, at wavelengths up to 2 pi 10000 (MoCo v3)."""
    height, columns, quarter = *size_hw, width // 4
    frequencies = 10_000.0 ** -(torch.arange(quarter, dtype=torch.float64) / (quarter - 1))

    def waves(count: int) -> Tensor:
        angles = torch.arange(count, dtype=torch.float64)[:, None] * frequencies
        return torch.cat([angles.sin(), angles.cos()], 1).float()

    of_x = waves(columns)[None].expand(height, -1, -1)
    of_y = waves(height)[:, None].expand(-1, columns, -1)
    return torch.cat([of_x, of_y], 2).reshape(1, height * columns, -1)
