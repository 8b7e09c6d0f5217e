"""What computes the network: ONNX Runtime or PyTorch, behind one small interface."""

from __future__ import annotations

from typing import Any, NamedTuple, Protocol

from sampt.types import FloatArray

__all__ = ["FILES", "HIDDEN", "INT8_ENCODER", "STRIDE", "Features", "PointState", "Runtime"]

FILES = ("encoder.onnx", "begin.onnx", "step.onnx", "refinement.onnx")
INT8_ENCODER = "encoder-int8.onnx"
"""Made of ``encoder.onnx``, which PyTorch reads; where it is there ONNX Runtime runs this one on the larger image, in a third
of the time."""
STRIDE = 16
"""Sides of an image are multiples of this."""
HIDDEN = 128
"""Length of the memory of a point."""

Features = tuple[Any, Any]
"""Maps (1, 64, h/4, w/4) and (1, 128, h/8, w/8) of one image, in whatever the runtime computes with."""


class PointState(NamedTuple):
    """What is carried from frame to frame for b clips of n points, in whatever the runtime computes with.

    Attributes:
        xy: (b, n, 2) position on the last frame, pixels of the network's image.
        velocity: (b, n, 2) its last step.
        seen: (b, n) in [0, 1]: confidence that it was visible and is where it should be.
        hidden: (b, n, h) the recurrent unit's memory.
        first_fine, first_coarse: (b, n, 9, c) what the point looked like on its prompt frame.
        recent_fine, recent_coarse: likewise on later frames where it was sure.
    """

    xy: Any
    velocity: Any
    seen: Any
    hidden: Any
    first_fine: Any
    first_coarse: Any
    recent_fine: Any
    recent_coarse: Any


class Runtime(Protocol):
    """Runs the parts of the network; b is 1."""

    @property
    def device(self) -> str: ...

    def encode(self, image: FloatArray, *, larger: bool = False) -> Features:
        """Features of a (1, 3, h, w) image in [-1, 1], h and w multiples of :data:`STRIDE`; ``larger``: for the refinement."""
        ...

    def begin(self, features: Features, xy: FloatArray) -> PointState:
        """The state of (n, 2) points given on the image with these features, n at least 1."""
        ...

    def join(self, state: PointState, more: PointState) -> PointState:
        """The points of both."""
        ...

    def step(self, features: Features, state: PointState) -> PointState:
        """The points on the next image."""
        ...

    def refine(self, features: Features, refined: PointState, given: FloatArray, seen: FloatArray) -> PointState:
        """The points of the refinement on the next larger image.

        Args:
            features: of that image.
            refined: their state before; positions are pixels of that image.
            given: (n, 2) where the step says that they are, in the same pixels.
            seen: (n,) its confidence.
        """
        ...

    def where(self, state: PointState) -> tuple[FloatArray, FloatArray]:
        """Positions (n, 2) and confidence (n,)."""
        ...
