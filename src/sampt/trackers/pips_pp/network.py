"""The network PIPS++ (Zheng et al., "PointOdyssey", ICCV 2023, arXiv 2307.15055) in PyTorch.

Parameters are called as in the official program's checkpoint, so that it loads strictly. A window has any number of frames from
two. Points are (x, y) in pixels of the images, (0, 0) at the centre of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr
from sampt.trackers.pips.encoder import Encoder, EncoderSizes, Pyramid, build_pyramid, lookup, lookup_size, sample_at

__all__ = ["FULL", "PipsPpNetwork", "PipsPpSizes", "PipsPpWindow", "Templates"]

_BACK = (2, 4)
"""Besides its look on the first frame, a point has those of so many frames ago."""


@dataclass(frozen=True)
class PipsPpSizes:
    """How large the network is.

    Attributes:
        encoder: of images.
        width: channels of the first convolution over time; they double after the second, fourth, ... block.
        blocks: of two convolutions over time.
    """

    encoder: EncoderSizes = EncoderSizes(8)
    width: int = 128
    blocks: int = 8


FULL = PipsPpSizes()


class Templates(NamedTuple):
    """What n points look like: (n, channels) on the first frame, (frames, n, channels) two and four frames before each."""

    first: Tensor
    recent: Tensor
    older: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


class PipsPpWindow(NamedTuple):
    """Where points are in a window, (frames, n, 2) in pixels, and what they look like, for the next window."""

    xy: Tensor
    templates: Templates

    def __repr__(self) -> str:
        return shape_repr(self)


class _Conv(nn.Module):
    """Over three moments, as many out as in; a module of its own for the sake of the official names."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(inputs, outputs, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.conv(x)
        return out


class _Block(nn.Module):
    """Two convolutions beside the input, each after a normalisation over time and a cut at zero."""

    def __init__(self, inputs: int, outputs: int, is_first: bool) -> None:
        super().__init__()
        self._is_first = is_first
        self._added = outputs - inputs
        self.conv1, self.conv2 = _Conv(inputs, outputs), _Conv(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.conv1(x if self._is_first else F.relu(F.instance_norm(x)))
        y = self.conv2(F.relu(F.instance_norm(y)))
        before = self._added // 2  # new channels start as zeros on both sides of the old ones
        return y + F.pad(x, (0, 0, before, self._added - before))


class _DeltaBlock(nn.Module):
    """(n, frames, channels) of correlations and (n, frames, 2) motion from frame to frame to (n, frames, 2) in strides."""

    def __init__(self, sizes: PipsPpSizes) -> None:
        super().__init__()
        self._channels = sizes.encoder.features
        inputs = 3 * lookup_size() + sizes.encoder.features + 2
        widths = [sizes.width * 2 ** (k // 2) for k in range(sizes.blocks)]
        self.first_block_conv = _Conv(inputs, sizes.width)
        pairs = zip([sizes.width, *widths], widths, strict=False)
        self.basicblock_list = nn.ModuleList(_Block(a, b, k == 0) for k, (a, b) in enumerate(pairs))
        self.dense = nn.Linear(widths[-1], 2)

    def forward(self, alike: Tensor, motion_xy: Tensor) -> Tensor:
        x = torch.cat([alike, _encode(motion_xy, self._channels)], 2).transpose(1, 2)
        x = F.relu(self.first_block_conv(x))
        for block in self.basicblock_list:
            x = block(x)
        out: Tensor = self.dense(F.relu(x).transpose(1, 2))
        return out


def _encode(motion_xy: Tensor, channels: int) -> Tensor:
    """(n, frames, 2) as sines and cosines of x, sines and cosines of y, then as it is: (n, frames, channels + 2)."""
    count = channels // 4
    powers = torch.arange(count, device=motion_xy.device) / (count - 1)
    phases = motion_xy[..., None] / 10000**powers
    return torch.cat([torch.stack([phases.sin(), phases.cos()], 3).flatten(2), motion_xy], 2)


class PipsPpNetwork(nn.Module):
    """Tracks points, each by itself, through the frames of a window of any length.

    Args:
        sizes: :data:`FULL`, or smaller ones for tests.
    """

    def __init__(self, sizes: PipsPpSizes) -> None:
        super().__init__()
        self.sizes = sizes
        self.fnet = Encoder(sizes.encoder)
        self.delta_block = _DeltaBlock(sizes)
        self.norm = nn.GroupNorm(1, sizes.encoder.features)  # never used, by the official program neither; it has weights

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The parts that do nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        return self.fnet, self.delta_block

    def encode(self, images: Tensor) -> Pyramid:
        """What any number of windows need of (n, 3, h, w) RGB in [0, 255] images; sides from 8 strides."""
        return build_pyramid(self.fnet(images))

    def track(
        self, pyramid: Pyramid, frames: Tensor, xy: Tensor, templates: Templates | None = None, iterations: int = 6
    ) -> PipsPpWindow:
        """Improve the tracks of n points through a window.

        Args:
            pyramid: of all frames that occur.
            frames: (frames,) those of the window, in order; two or more.
            xy: (frames, n, 2) where the points are taken to be; on the first frame they stay there.
            templates: of the window before; None: what the points look like on the first frame.
            iterations: of the update.
        """
        length, n, _ = xy.shape
        locations = xy / self.sizes.encoder.stride
        start = locations[0].clone()
        if templates is None:
            first = sample_at(pyramid[0], frames[:1].expand(n), start)
            everywhere = first.expand(length, -1, -1)
            templates = Templates(first, everywhere, everywhere)
        at = frames[:, None].expand(length, n).flatten()
        for k in range(iterations):
            if k:
                templates = templates._replace(**self._earlier(pyramid, frames, locations))
            stacked = torch.stack([templates.first.expand(length, -1, -1), templates.recent, templates.older], -1)
            alike = lookup(pyramid, at, locations.flatten(0, 1), stacked.flatten(0, 1))
            motion = locations.diff(dim=0)
            motion = torch.cat([motion, motion[-1:]])
            step = self.delta_block(alike.view(length, n, -1).transpose(0, 1), motion.transpose(0, 1))
            locations = locations + step.transpose(0, 1)
            locations[0] = start
        return PipsPpWindow(locations * self.sizes.encoder.stride, templates)

    def _earlier(self, pyramid: Pyramid, frames: Tensor, locations: Tensor) -> dict[str, Tensor]:
        """What the points look like where they now seem to have been two and four frames before each frame."""
        length, n, _ = locations.shape
        found = []
        for back in _BACK:
            then = (torch.arange(length, device=frames.device) - back).clamp(min=0)
            at = frames[then][:, None].expand(length, n).flatten()
            found.append(sample_at(pyramid[0], at, locations[then].flatten(0, 1)).view(length, n, -1))
        return {"recent": found[0], "older": found[1]}

    def forward(self, images: Tensor, xy: Tensor, iterations: int = 6) -> Tensor:
        """(frames, n, 2) tracks through (frames, 3, h, w) images of points that start as (frames, n, 2)."""
        frames = torch.arange(len(images), device=xy.device)
        return self.track(self.encode(images), frames, xy, None, iterations).xy
