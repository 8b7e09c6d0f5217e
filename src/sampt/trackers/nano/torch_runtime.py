"""The network by PyTorch, on a GPU say, with the weights of the same ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sampt.backends.folded import FoldedRuntime
from sampt.trackers.nano.network import NanoTrackerNetwork
from sampt.trackers.nano.runtime import Features, PointState
from sampt.types import FloatArray

__all__ = ["PARTS", "TorchRuntime"]


PARTS = ("encoder", "step")


class TorchRuntime(FoldedRuntime[NanoTrackerNetwork]):
    """The network on a PyTorch device."""

    def __init__(self, folder: Path | None, device: str) -> None:
        super().__init__(NanoTrackerNetwork, folder, PARTS, device)

    @torch.inference_mode()
    def encode(self, image: FloatArray, *, larger: bool = False) -> Features:
        fine, coarse = self._network.encoder(torch.from_numpy(image).to(self._device))
        return fine, coarse

    @torch.inference_mode()
    def begin(self, features: Features, xy: FloatArray) -> PointState:
        return self._network.step.begin(*features, torch.from_numpy(np.asarray(xy, np.float32))[None].to(self._device))

    @torch.inference_mode()
    def join(self, state: PointState, more: PointState) -> PointState:
        return PointState(*(torch.cat(pair, 1) for pair in zip(state, more, strict=True)))

    @torch.inference_mode()
    def step(self, features: Features, state: PointState) -> PointState:
        after, _ = self._network.step(*features, state)
        return PointState(*after)

    @torch.inference_mode()
    def refine(self, features: Features, refined: PointState, given: FloatArray, seen: FloatArray) -> PointState:
        at, sure = (torch.from_numpy(np.asarray(a, np.float32))[None].to(self._device) for a in (given, seen))
        return self._network.step.refine(*features, refined, at, sure)

    def where(self, state: PointState) -> tuple[FloatArray, FloatArray]:
        return np.asarray(state.xy[0].cpu().numpy()), np.asarray(state.seen[0].cpu().numpy())
