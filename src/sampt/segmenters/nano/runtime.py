"""What computes the network: ONNX Runtime or PyTorch, behind one small interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sampt.types import FloatArray

__all__ = [
    "FEATURES",
    "FILES",
    "SALIENCY",
    "SALIENT_CHANNELS",
    "STRIDE",
    "STRIDES",
    "Features",
    "Place",
    "PromptArrays",
    "Runtime",
    "Salient",
    "cut",
]

FILES = ("encoder.onnx", "decoder.onnx", "saliency.onnx")
STRIDES = (2, 4, 8, 16)
"""Pixels of a picture to one place of each feature map."""
STRIDE = STRIDES[-1]
FEATURES = ("stem", "fine", "middle", "coarse")
"""Names of the four maps."""

SALIENCY = ("salient_fine", "salient_middle", "salient_coarse")
"""Names of what the saliency network hands to the decoder."""

SALIENT_CHANNELS = (65, 64, 64)
"""Channels of these."""


def saliency_side(side: int) -> int:
    """Pixels of the picture that the saliency network sees of a window of ``side`` pixels: it needs more than the decoder."""
    return STRIDE * round(1.4 * side / STRIDE)


Features = tuple[Any, ...]
"""Four maps (1, c, h / stride, w / stride) of one picture, in whatever the runtime computes with."""

Salient = tuple[Any, ...]
"""The three maps (1, c, h, w) that the saliency network finds in one window, likewise."""


@dataclass(frozen=True)
class Place:
    """Where a window lies in an encoded picture.

    Attributes:
        features: of the picture.
        x, y: the window's top-left corner in the picture's pixels, multiples of 16; the window may reach beyond the picture.
        salient: what the saliency network finds in the window, None where it has not looked.
    """

    features: Features
    x: int
    y: int
    salient: Salient | None = None


@dataclass(frozen=True, eq=False)
class PromptArrays:
    """Prompts of n windows as :meth:`sampt.segmenters.nano.network.NanoDecoder.forward` takes them, all float32.

    Attributes:
        inside: (n, 1, s/4, s/4).
        points_xy: (n, p, 2) from the window's corner.
        labels: (n, p): 1, 0, or -1 for no point.
        box: (n, 4).
        previous: (n, 1, s/4, s/4).
        has_previous: (n,).
    """

    inside: FloatArray
    points_xy: FloatArray
    labels: FloatArray
    box: FloatArray
    previous: FloatArray
    has_previous: FloatArray


class Runtime(Protocol):
    """Runs the parts of the network."""

    @property
    def device(self) -> str: ...

    def encode(self, pictures: FloatArray) -> list[Features]:
        """Features of each of (n, 3, h, w) pictures in [-1, 1], h and w multiples of 16."""
        ...

    def find_salient(self, pictures: FloatArray) -> list[Salient]:
        """What is salient in each of (n, 3, s, s) pictures in [-1, 1], s a multiple of 16."""
        ...

    def decode(self, places: Sequence[Place], side: int, prompts: PromptArrays) -> tuple[FloatArray, FloatArray]:
        """Logits (n, s, s) and predicted IoU (n,) in [0, 1] of n windows of ``side`` pixels; ``salient`` of all or of none."""
        ...


def cut(features: Any, out: Any, x: int, y: int) -> None:
    """Copy the window at column x and row y of (c, h, w) features into (c, s, s) ``out``, 0 where they have nothing."""
    height, width = features.shape[-2:]
    side = out.shape[-1]
    y0, y1, x0, x1 = max(y, 0), min(y + side, height), max(x, 0), min(x + side, width)
    if y1 > y0 and x1 > x0:
        out[:, y0 - y : y1 - y, x0 - x : x1 - x] = features[:, y0:y1, x0:x1]
