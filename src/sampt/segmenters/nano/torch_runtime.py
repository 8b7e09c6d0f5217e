"""The network by PyTorch, on a GPU say, with the weights of the same ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from sampt.backends.folded import FoldedRuntime
from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.runtime import STRIDES, EncodedWindow, Features, Overlay, PromptArrays, Salient, cut
from sampt.types import FloatArray

__all__ = ["TorchRuntime"]


class TorchRuntime(FoldedRuntime[NanoNetwork]):
    """The network on a PyTorch device; without the pretrained part of the encoder where ``backbone`` is False."""

    def __init__(self, folder: Path | None, device: str, *, backbone: bool = True) -> None:
        self._backbone = backbone
        super().__init__(NanoNetwork, folder, ("encoder", "decoder", "saliency"), device)

    @torch.inference_mode()
    def encode(self, images: FloatArray) -> list[Features]:
        encoder, image = self._network.encoder, torch.from_numpy(images).to(self._device)
        maps = encoder(image)[: len(STRIDES)] if self._backbone else encoder.learnt(image)
        return [tuple(m[k : k + 1] for m in maps) for k in range(len(images))]

    @torch.inference_mode()
    def find_salient(self, images: FloatArray, overlay: Overlay) -> list[Salient]:
        maps = self._network.find_salient(torch.from_numpy(images).to(self._device), overlay)
        return [tuple(m[k : k + 1] for m in maps) for k in range(len(images))]

    @torch.inference_mode()
    def decode(self, windows: Sequence[EncodedWindow], side: int, prompts: PromptArrays) -> tuple[FloatArray, FloatArray]:
        maps = []
        for k, stride in enumerate(STRIDES):
            like = windows[0].features[k]
            out = like.new_zeros((len(windows), like.shape[1], side // stride, side // stride))
            for one, window in zip(out, windows, strict=True):
                cut(window.features[k][0], one, window.x // stride, window.y // stride)
            maps.append(out)
        salient = [window.salient for window in windows if window.salient is not None]
        maps += map(torch.cat, zip(*salient, strict=True)) if salient else self._network.without_saliency(maps[0])
        arrays = (torch.from_numpy(getattr(prompts, f.name)).to(self._device) for f in fields(prompts))
        logits, score = self._network.decoder(*maps, *arrays)
        return np.asarray(logits[:, 0].cpu().numpy()), np.asarray(torch.sigmoid(score).cpu().numpy())
