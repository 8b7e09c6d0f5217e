"""What computes the network: ONNX Runtime or PyTorch, behind one small interface."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.types import FloatArray

__all__ = [
    "FEATURES",
    "FILES",
    "INT8_SALIENCY",
    "PARTS",
    "SALIENCY",
    "SALIENT_CHANNELS",
    "SALIENT_MAPS",
    "STRIDE",
    "STRIDES",
    "EncodedWindow",
    "Features",
    "Overlay",
    "Positions",
    "PromptArrays",
    "Runtime",
    "Salient",
    "cut",
    "lay_over",
    "saliency_side",
]

Positions: TypeAlias = npt.NDArray[np.floating[Any]]
"""(..., 2) x and y."""

PARTS = ("encoder", "pretrained", "decoder", "saliency")
"""Of the network; each has a file."""
FILES = tuple(f"{part}.onnx" for part in PARTS)
INT8_SALIENCY = "saliency-int8.onnx"
"""The saliency network in 8-bit integers: what the CPU runs, in half the time."""

STRIDES = (2, 4, 8, 16)
"""Pixels of an image to one cell of each feature map."""
STRIDE = STRIDES[-1]
FEATURES = ("stem", "fine", "middle", "coarse")
"""Names of the four maps."""

SALIENT_MAPS = ("fine", "middle", "coarse")
"""Names of what the saliency network gives: 65, 64 and 64 maps, the first one a logit, at strides 4, 8 and 16."""

SALIENCY = ("salient_logit", "salient_fine", "salient_middle", "salient_coarse")
"""Names of what the decoder is given of it."""

SALIENT_CHANNELS = (1, 64, 64, 64)
"""Channels of these."""

_SALIENT_STRIDES = ((4, 2), (4, 4), (8, 8), (16, 16))
"""Pixels of the view, and of the window, to one cell of these."""


def saliency_side(side: int) -> int:
    """Pixels of the image that the saliency network sees for a window of ``side`` pixels: it needs more than the decoder."""
    return STRIDE * round(2.0 * side / STRIDE)


def lay_over(low: Positions, high: Positions, side: int) -> list[tuple[FloatArray, FloatArray]]:
    """How what the saliency network finds in a view is laid over a window, map by map of :data:`SALIENCY`.

    Args:
        low, high: (n, 2) corners (x, y) of the views, in pixels of their windows from its corner.
        side: of the windows.

    Returns:
        for each map weights (n, cells, samples) down and across: a window's map is ``down @ map @ across.T``; bilinear, a mean
        where the window is coarser, 0 beyond the view.
    """
    seen = saliency_side(side)
    return [
        (_axis_weights(low[:, 1] / side, high[:, 1] / side, side // b, seen // a),
         _axis_weights(low[:, 0] / side, high[:, 0] / side, side // b, seen // a))
        for a, b in _SALIENT_STRIDES
    ]  # fmt: skip


def _axis_weights(low: Positions, high: Positions, cells: int, samples: int) -> FloatArray:
    """(n, cells, samples) what each of the samples from ``low`` to ``high`` gives to each of the cells from 0 to 1."""
    extent = (high - low).reshape(-1, 1, 1)
    centre = ((np.arange(cells) + 0.5) / cells).reshape(1, -1, 1)
    at = (centre - low.reshape(-1, 1, 1)) / extent * samples - 0.5
    step = np.maximum(1.0, samples / (extent * cells))
    at = np.where(
        (at >= -0.5) & (at < samples - 0.5), np.clip(at, 0, samples - 1), -2 * samples
    )  # beyond the view: nothing near
    weight = np.maximum(0.0, 1.0 - np.abs(at - np.arange(samples)) / step)
    return np.asarray(weight / np.maximum(weight.sum(2, keepdims=True), 1e-6), np.float32)


Features = tuple[Any, ...]
"""Four maps (1, c, h / stride, w / stride) of one image, in whatever the runtime computes with."""

Salient = tuple[Any, ...]
"""The four maps (1, c, h, w) of what the saliency network finds, laid over one window, likewise."""

Overlay = Sequence[tuple[FloatArray, FloatArray]]
"""What :func:`lay_over` gives."""


@dataclass(frozen=True)
class EncodedWindow:
    """Where a window lies in an encoded image.

    Attributes:
        features: of the image.
        x, y: the window's top-left corner in the image's pixels, multiples of 16; the window may reach beyond the image.
        salient: what the saliency network finds there, None where it has not run.
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
        tracked: (n,) fraction of the points that nobody clicked.
        memory: (n, 1, s/4, s/4) log odds, by its appearance, that the object is there; 0: nothing is known.
    """

    inside: FloatArray
    points_xy: FloatArray
    labels: FloatArray
    box: FloatArray
    previous: FloatArray
    has_previous: FloatArray
    tracked: FloatArray
    memory: FloatArray

    __repr__ = shape_repr


class Runtime(Protocol):
    """Runs the parts of the network."""

    @property
    def device(self) -> str: ...

    def encode(self, images: FloatArray) -> list[Features]:
        """Features of each of (n, 3, h, w) images in [-1, 1], h and w multiples of 16."""
        ...

    def find_salient(self, images: FloatArray, overlay: Overlay) -> list[Salient]:
        """What is salient in each of (n, 3, s, s) images in [-1, 1], s a multiple of 16, laid over n windows."""
        ...

    def decode(self, windows: Sequence[EncodedWindow], side: int, prompts: PromptArrays) -> tuple[FloatArray, FloatArray]:
        """Logits (n, s, s) and predicted IoU (n,) in [0, 1] of n windows of ``side`` pixels; ``salient`` of all or of none."""
        ...


def cut(features: Any, out: Any, x: int, y: int) -> None:
    """Copy the window at column x and row y of (c, h, w) features into (c, s, s) ``out``, 0 where they have nothing."""
    height, width = features.shape[-2:]
    side = out.shape[-1]
    y0, y1, x0, x1 = max(y, 0), min(y + side, height), max(x, 0), min(x + side, width)
    if y1 > y0 and x1 > x0:
        out[:, y0 - y : y1 - y, x0 - x : x1 - x] = features[:, y0:y1, x0:x1]
