"""The network on the CPU by ONNX Runtime; no PyTorch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np
import onnxruntime

from sampt.backends.onnx_files import check_inputs, open_session
from sampt.segmenters.nano.runtime import (
    FEATURES,
    INT8_SALIENCY,
    SALIENCY,
    SALIENT_CHANNELS,
    STRIDES,
    EncodedWindow,
    Features,
    Overlay,
    PromptArrays,
    Salient,
    cut,
)
from sampt.types import FloatArray

__all__ = ["OnnxRuntime"]


class OnnxRuntime:
    """The files of a folder.

    Args:
        folder: of the files.
        pretrained: False without the two pretrained networks.
    """

    device = "cpu"

    def __init__(self, folder: Path, *, pretrained: bool = True) -> None:
        def open_file(name: str) -> onnxruntime.InferenceSession:
            return open_session(folder / name, "nano")

        self._encoder, self._decoder = open_file("encoder.onnx"), open_file("decoder.onnx")
        self._pretrained = open_file("pretrained.onnx") if pretrained else None
        self._saliency = open_file(INT8_SALIENCY) if pretrained else None
        expected = [*FEATURES, *SALIENCY, *(field.name for field in fields(PromptArrays))]
        check_inputs(self._decoder, expected, "nano", "decoder.onnx")

    def encode(self, images: FloatArray) -> list[Features]:
        maps = self._encoder.run(None, {"picture": images})
        if self._pretrained is not None:
            maps[1:] = self._pretrained.run(None, {"picture": images, **dict(zip(FEATURES[1:], maps[1:], strict=True))})
        return [tuple(m[k : k + 1] for m in maps) for k in range(len(images))]

    def find_salient(self, images: FloatArray, overlay: Overlay) -> list[Salient]:
        assert self._saliency is not None, "made without the saliency network"
        fine, *others = self._saliency.run(None, {"picture": images})
        maps = [
            np.matmul(np.matmul(down[:, None], m), across[:, None].swapaxes(2, 3))
            for m, (down, across) in zip((fine[:, :1], fine[:, 1:], *others), overlay, strict=True)
        ]
        return [tuple(m[k : k + 1] for m in maps) for k in range(len(images))]

    def decode(self, windows: Sequence[EncodedWindow], side: int, prompts: PromptArrays) -> tuple[FloatArray, FloatArray]:
        feeds = {field.name: getattr(prompts, field.name) for field in fields(prompts)}
        for k, (name, stride) in enumerate(zip(FEATURES, STRIDES, strict=True)):
            channels = windows[0].features[k].shape[1]
            features = np.zeros((len(windows), channels, side // stride, side // stride), np.float32)
            for out, window in zip(features, windows, strict=True):
                cut(window.features[k][0], out, window.x // stride, window.y // stride)
            feeds[name] = features
        for k, (name, channels) in enumerate(zip(SALIENCY, SALIENT_CHANNELS, strict=True)):
            found = [window.salient[k] for window in windows if window.salient is not None]
            feeds[name] = np.concatenate(found) if found else np.zeros((len(windows), channels, 1, 1), np.float32)
        logits, score = self._decoder.run(None, feeds)
        return logits[:, 0], 1 / (1 + np.exp(-np.clip(score, -30, 30)))
