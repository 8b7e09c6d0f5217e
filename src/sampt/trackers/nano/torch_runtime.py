"""The network by PyTorch, on a GPU say, with the weights of the same ONNX files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from sampt.backends.blocks import load_from_onnx
from sampt.backends.torch_networks import repeatable, running_on
from sampt.trackers.nano.network import NanoTrackerNetwork
from sampt.trackers.nano.runtime import Features, PointState
from sampt.types import FloatArray

__all__ = ["TorchRuntime", "load_network"]


def load_network(folder: Path | None) -> NanoTrackerNetwork:
    """The folded network with the weights of a folder of ONNX files, or random ones.

    Raises:
        BackendError: the files do not hold exactly this network's weights.
    """
    with repeatable():
        network = NanoTrackerNetwork().fold()
    if folder is not None:
        load_from_onnx(network.encoder, folder / "encoder.onnx", "nano")
        load_from_onnx(network.step, folder / "step.onnx", "nano")
    return network


class TorchRuntime:
    """The network on a PyTorch device."""

    def __init__(self, folder: Path | None, device: str) -> None:
        with running_on(device, "nano") as self._device:
            self._network = load_network(folder).to(self._device)

    @property
    def device(self) -> str:
        return str(self._device)

    @torch.inference_mode()
    def encode(self, image: FloatArray) -> Features:
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

    def where(self, state: PointState) -> tuple[FloatArray, FloatArray]:
        return np.asarray(state.xy[0].cpu().numpy()), np.asarray(state.seen[0].cpu().numpy())
