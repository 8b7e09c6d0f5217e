"""The network PIPS (Harley et al., "Particle Video Revisited", ECCV 2022, arXiv 2204.04153) in PyTorch.

Parameters are called as in the official program's checkpoint, so that it loads strictly. A window has a fixed number of frames,
8 as published. Points are (x, y) in pixels of the images, (0, 0) at the centre of the first one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from sampt.checks import shape_repr
from sampt.trackers.pips.encoder import Encoder, EncoderSizes, Pyramid, build_pyramid, lookup, lookup_size, sample_at

__all__ = ["FULL", "PipsNetwork", "PipsSizes", "PipsWindow"]

_ENCODING = 64
"""Channels that a coordinate of the motion is written with, sines and cosines."""
_FASTEST = 1000.0
"""Frequencies of these reach up to here, in steps of a 64th of two."""


@dataclass(frozen=True)
class PipsSizes:
    """How large the network is.

    Attributes:
        frames: of a window.
        encoder: of images.
        width: channels of the mixer.
        depth: layers of the mixer.
    """

    frames: int = 8
    encoder: EncoderSizes = EncoderSizes(4)
    width: int = 512
    depth: int = 12


FULL = PipsSizes()


class PipsWindow(NamedTuple):
    """Where n points are in a window: xy (n, frames, 2) in pixels, visibility (n, frames) logits."""

    xy: Tensor
    visibility: Tensor

    def __repr__(self) -> str:
        return shape_repr(self)


class _Residual(nn.Module):
    """A layer beside its input, which it sees normalised."""

    def __init__(self, width: int, layer: nn.Module) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.fn = layer

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.fn(self.norm(x))
        return x + change


class _Mean(nn.Module):
    """(n, frames, channels) to (n, channels)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(1)


def _mixer(inputs: int, outputs: int, sizes: PipsSizes) -> nn.Sequential:
    """(n, frames, inputs) to (n, outputs), mixing frames and channels in turn (Tolstikhin et al., MLP-Mixer, 2021)."""
    frames, width = sizes.frames, sizes.width

    def layer() -> nn.Sequential:
        # The identity keeps the numbers in the official names, where a dropout stands.
        over_frames = nn.Conv1d(frames, 4 * frames, 1), nn.GELU(), nn.Identity(), nn.Conv1d(4 * frames, frames, 1)
        over_channels = nn.Linear(width, 4 * width), nn.GELU(), nn.Identity(), nn.Linear(4 * width, width)
        return nn.Sequential(*(_Residual(width, nn.Sequential(*parts)) for parts in (over_frames, over_channels)))

    layers = (layer() for _ in range(sizes.depth))
    return nn.Sequential(nn.Linear(inputs, width), *layers, nn.LayerNorm(width), _Mean(), nn.Linear(width, outputs))


class _DeltaBlock(nn.Module):
    """How points move and how their features change: (n, frames, 2) in strides, (n, frames, channels)."""

    def __init__(self, sizes: PipsSizes) -> None:
        super().__init__()
        self._frames = sizes.frames
        channels = sizes.encoder.features
        inputs = channels + lookup_size() + 3 * _ENCODING + 3
        self.to_delta = _mixer(inputs, sizes.frames * (channels + 2), sizes)

    def forward(self, features: Tensor, alike: Tensor, motion_xyt: Tensor) -> tuple[Tensor, Tensor]:
        delta = self.to_delta(torch.cat([features, alike, _encode(motion_xyt)], 2))
        delta = delta.view(len(features), self._frames, -1)
        return delta[..., :2], delta[..., 2:]


def _encode(motion_xyt: Tensor) -> Tensor:
    """(n, frames, 3) as sines and cosines in turn, coordinate by coordinate, then as it is."""
    frequencies = torch.arange(0, _ENCODING, 2, device=motion_xyt.device, dtype=motion_xyt.dtype) * (_FASTEST / _ENCODING)
    phases = motion_xyt[..., None] * frequencies
    return torch.cat([torch.stack([phases.sin(), phases.cos()], -1).flatten(2), motion_xyt], 2)


class PipsNetwork(nn.Module):
    """Tracks points, each by itself, through the frames of a window.

    Args:
        sizes: :data:`FULL`, or smaller ones for tests.
    """

    def __init__(self, sizes: PipsSizes) -> None:
        super().__init__()
        self.sizes = sizes
        channels = sizes.encoder.features
        self.fnet = Encoder(sizes.encoder)
        self.delta_block = _DeltaBlock(sizes)
        self.norm = nn.GroupNorm(1, channels)
        self.ffeat_updater = nn.Sequential(nn.Linear(channels, channels), nn.GELU())
        self.vis_predictor = nn.Sequential(nn.Linear(channels, 1))

    @property
    def hot(self) -> tuple[nn.Module, ...]:
        """The parts that do nearly all of the work, for :func:`sampt.backends.torch_networks.put_on_device`."""
        return self.fnet, self.delta_block

    def encode(self, images: Tensor) -> Pyramid:
        """What any number of windows need of (n, 3, h, w) RGB in [0, 255] images; sides from 8 strides."""
        return build_pyramid(self.fnet(images))

    def features_at(self, pyramid: Pyramid, frames: Tensor, xy: Tensor) -> Tensor:
        """(n, channels): what points (n, 2) look like on frames (n,) of the pyramid; kept for the whole track."""
        return sample_at(pyramid[0], frames, xy / self.sizes.encoder.stride)

    def track(self, pyramid: Pyramid, frames: Tensor, xy: Tensor, features: Tensor, iterations: int = 6) -> PipsWindow:
        """Follow n points from the first frame of a window, each its own.

        Args:
            pyramid: of all frames that occur.
            frames: (n, frames) those of each point's window, in order; the last one repeated where there are no more.
            xy: (n, 2) where the points are on the first, and stay.
            features: (n, channels) of :meth:`features_at`.
            iterations: of the update.
        """
        n, length = frames.shape
        stride, channels = self.sizes.encoder.stride, features.shape[1]
        locations = (xy / stride)[:, None].repeat(1, length, 1)
        start = locations[:, 0].clone()
        now = features[:, None].repeat(1, length, 1)
        times = torch.linspace(0, length, length, device=xy.device, dtype=xy.dtype).view(1, length, 1).expand(n, -1, -1)
        for _ in range(iterations):
            alike = lookup(pyramid, frames.flatten(), locations.flatten(0, 1), now.flatten(0, 1)[:, :, None])
            motion = torch.cat([locations - locations[:, :1], times], 2)
            step, change = self.delta_block(now, alike.view(n, length, -1), motion)
            now = now + self.ffeat_updater(self.norm(change.reshape(-1, channels))).view(n, length, channels)
            locations = locations + step
            locations[:, 0] = start
        return PipsWindow(locations * stride, self.vis_predictor(now)[..., 0])

    def forward(self, images: Tensor, xy: Tensor, iterations: int = 6) -> tuple[PipsWindow, Tensor]:
        """The window of (frames, 3, h, w) images for points (n, 2) on the first, and their features there."""
        pyramid = self.encode(images)
        frames = torch.arange(len(images), device=xy.device).expand(len(xy), -1)
        features = self.features_at(pyramid, frames[:, 0], xy)
        return self.track(pyramid, frames, xy, features, iterations), features
