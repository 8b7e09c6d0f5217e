"""The network by PyTorch, on a GPU say, with the weights of the same ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from sampt.backends.folded import FoldedRuntime
from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.runtime import STRIDES, Features, Overlay, Place, PromptArrays, Salient, cut
from sampt.types import FloatArray

__all__ = ["TorchRuntime"]


class TorchRuntime(FoldedRuntime[NanoNetwork]):
    """The network on a PyTorch device."""

    def __init__(self, folder: Path | None, device: str) -> None:
        super().__init__(NanoNetwork, folder, ("encoder", "decoder", "saliency"), device)

    @torch.inference_mode()
    def encode(self, pictures: FloatArray) -> list[Features]:
        maps = self._network.encoder(torch.from_numpy(pictures).to(self._device))
        return [tuple(m[k : k + 1] for m in maps) for k in range(len(pictures))]

    @torch.inference_mode()
    def find_salient(self, pictures: FloatArray, overlay: Overlay) -> list[Salient]:
        maps = self._network.find_salient(torch.from_numpy(pictures).to(self._device), overlay)
        return [tuple(m[k : k + 1] for m in maps) for k in range(len(pictures))]

    @torch.inference_mode()
    def decode(self, places: Sequence[Place], side: int, prompts: PromptArrays) -> tuple[FloatArray, FloatArray]:
        windows = []
        for k, stride in enumerate(STRIDES):
            like = places[0].features[k]
            out = like.new_zeros((len(places), like.shape[1], side // stride, side // stride))
            for window, place in zip(out, places, strict=True):
                cut(place.features[k][0], window, place.x // stride, place.y // stride)
            windows.append(out)
        salient = [place.salient for place in places if place.salient is not None]
        windows += map(torch.cat, zip(*salient, strict=True)) if salient else self._network.without_saliency(windows[0])
        arrays = (torch.from_numpy(getattr(prompts, f.name)).to(self._device) for f in fields(prompts))
        logits, score = self._network.decoder(*windows, *arrays)
        return np.asarray(logits[:, 0].cpu().numpy()), np.asarray(torch.sigmoid(score).cpu().numpy())
