"""The network by PyTorch, on a GPU say, with the weights of the same ONNX files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import torch

from sampt.backends.folded import FoldedRuntime
from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.runtime import PARTS, STRIDES, EncodedWindow, Features, Overlay, PromptArrays, Salient, cut
from sampt.types import FloatArray

__all__ = ["TorchRuntime"]


class TorchRuntime(FoldedRuntime[NanoNetwork]):
    """The network on a PyTorch device; ``pretrained`` False: what is encoded is without the pretrained part."""

    def __init__(self, folder: Path | None, device: str, *, pretrained: bool = True) -> None:
        self._pretrained = pretrained
        super().__init__(NanoNetwork, folder, PARTS, device)

    @torch.inference_mode()
    def encode(self, images: FloatArray) -> list[Features]:
        image = torch.from_numpy(images).to(self._device)
        maps = self._network.encoder(image)
        if self._pretrained:
            maps = (maps[0], *self._network.pretrained(image, *maps[1:]))
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
