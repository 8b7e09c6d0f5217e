"""Features of frames that tell things apart: those of a classifier of photographs, which is never trained here."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np

from sampt.backends.onnx_files import open_session
from sampt.geometry import size_with_longest_side
from sampt.types import FloatArray, UInt8Array

__all__ = ["CELL", "LONGEST_SIDE", "WEIGHTS", "FrameFeatures"]

WEIGHTS = Path(__file__).parent / "weights" / "backbone.onnx"

CELL = 16
"""Pixels of the reduced frame to one cell of the features."""

LONGEST_SIDE = 448
"""Of the reduced frame. Chosen on davis2016_train (docs/benchmarks.md, "Object memory")."""


class FrameFeatures:
    """Computes the features of frames, on the CPU.

    EfficientNet-Lite0 (Tan and Le, ICML 2019) up to a sixteenth of the image's size, as its authors trained it on ImageNet.
    The mean over the frame is taken off, and every cell's vector has length 1, so that products are cosines.
    """

    def __init__(self, weights: Path = WEIGHTS, *, threads: int | None = None) -> None:
        self._session = open_session(weights, "object memory", threads=threads)

    def __call__(self, frame: UInt8Array, longest_side: int | None = None) -> FloatArray:
        """Features (c, h', w') float32 of an (h, w, 3) uint8 RGB frame; h' and w' cells cover it evenly.

        Args:
            frame: (h, w, 3).
            longest_side: of the reduced frame (default: :data:`LONGEST_SIDE`).
        """
        height, width = size_with_longest_side((frame.shape[0], frame.shape[1]), longest_side or LONGEST_SIDE)
        size = (max(CELL, round(width / CELL) * CELL), max(CELL, round(height / CELL) * CELL))
        small = cv2.resize(frame, size, interpolation=cv2.INTER_AREA if size[0] < frame.shape[1] else cv2.INTER_LINEAR)
        image = small.transpose(2, 0, 1)[None].astype(np.float32) / 127.5 - 1
        (found,) = self._session.run(None, {"image": image})
        values = found[0] - found[0].mean((1, 2), keepdims=True)
        return np.asarray(values / np.maximum(np.linalg.norm(values, axis=0), 1e-6), np.float32)


@functools.cache
def bundled_features() -> FrameFeatures:
    """The bundled network, opened once."""
    return FrameFeatures()
