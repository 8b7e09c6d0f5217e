"""The network on the CPU by ONNX Runtime; no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sampt.backends.onnx_files import check_inputs, open_session
from sampt.trackers.nano.runtime import FILES, HIDDEN, INT8_ENCODER, Features, PointState
from sampt.types import FloatArray

__all__ = ["OnnxRuntime"]


class OnnxRuntime:
    """The files of a folder.

    Args:
        folder: holds :data:`FILES`, and :data:`INT8_ENCODER` where it was made.
        integers: False to encode the larger image in single precision all the same, as PyTorch does. The smaller one, by
            which points are called visible, always is: in integers a point may be seen in another shot.
    """

    device = "cpu"

    def __init__(self, folder: Path, *, integers: bool = True) -> None:
        self._encoder, self._begin, self._step, self._refinement = (open_session(folder / name, "nano") for name in FILES)
        has_integers = integers and (folder / INT8_ENCODER).exists()
        self._larger_encoder = open_session(folder / INT8_ENCODER, "nano") if has_integers else self._encoder
        check_inputs(self._step, ["fine", "coarse", *PointState._fields], "nano", "step.onnx")
        check_inputs(
            self._refinement, ["fine", "coarse", *PointState._fields, "given", "given_seen"], "nano", "refinement.onnx"
        )

    def encode(self, image: FloatArray, *, larger: bool = False) -> Features:
        encoder = self._larger_encoder if larger else self._encoder
        fine, coarse = encoder.run(None, {"picture": image})
        return fine, coarse

    def begin(self, features: Features, xy: FloatArray) -> PointState:
        n = len(xy)
        locations = np.asarray(xy, np.float32)[None]
        fine, coarse = self._begin.run(None, {"fine": features[0], "coarse": features[1], "xy": locations})
        memory = np.zeros((1, n, HIDDEN), np.float32)
        return PointState(locations, np.zeros_like(locations), np.ones((1, n), np.float32), memory, fine, coarse, fine, coarse)

    def join(self, state: PointState, more: PointState) -> PointState:
        return PointState(*(np.concatenate(pair, 1) for pair in zip(state, more, strict=True)))

    def step(self, features: Features, state: PointState) -> PointState:
        return _after(state, self._step.run(None, {"fine": features[0], "coarse": features[1], **state._asdict()}))

    def refine(self, features: Features, refined: PointState, given: FloatArray, seen: FloatArray) -> PointState:
        feeds = {"fine": features[0], "coarse": features[1], **refined._asdict()}
        feeds |= {"given": np.asarray(given, np.float32)[None], "given_seen": np.asarray(seen, np.float32)[None]}
        return _after(refined, self._refinement.run(None, feeds))

    def where(self, state: PointState) -> tuple[FloatArray, FloatArray]:
        return state.xy[0], state.seen[0]


def _after(state: PointState, outputs: Sequence[Any]) -> PointState:
    """The state that a graph gives, with what never changes of the one before."""
    xy, velocity, seen, memory, recent_fine, recent_coarse = outputs
    return PointState(xy, velocity, seen, memory, state.first_fine, state.first_coarse, recent_fine, recent_coarse)
