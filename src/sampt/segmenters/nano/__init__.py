"""`nano` and `nano-fast`: the bundled promptable network; its weights are in the package and it needs no PyTorch."""

from __future__ import annotations

import functools
from pathlib import Path

from sampt.backends.onnx_files import choose_runtime, find_folder
from sampt.segmenters.nano.adapter import NanoSegmenter
from sampt.segmenters.nano.runtime import FILES, INT8_SALIENCY, Runtime
from sampt.segmenters.nano.settings import NanoSettings

__all__ = ["BUNDLED_WEIGHTS", "NanoSegmenter", "NanoSettings", "create", "create_fast"]

BUNDLED_WEIGHTS = Path(__file__).parent / "weights"


def create(*, weights: str | None = "default", device: str = "auto") -> NanoSegmenter:
    """Make the segmenter.

    Args:
        weights: "default" for those in the package, or a folder with what ``training/segmenter/export.py`` writes. None: random
            ones; needs PyTorch.
        device: "auto" and "cpu" run ONNX Runtime; anything else is a PyTorch device such as "cuda".

    Raises:
        BackendError: the weights are not there or not those of this network, or PyTorch is needed and missing.
    """
    return NanoSegmenter(_runtime(weights, device))


def create_fast(*, weights: str | None = "default", device: str = "auto") -> NanoSegmenter:
    """Make the segmenter without its pretrained networks: nearly twice as fast, and it knows less of what an object is.

    Arguments and errors as of :func:`create`.
    """
    return NanoSegmenter(_runtime(weights, device, pretrained=False), NanoSettings(saliency=False), name="nano-fast")


def _runtime(weights: str | None, device: str, *, pretrained: bool = True) -> Runtime:
    folder = find_folder(weights, BUNDLED_WEIGHTS, (*FILES, INT8_SALIENCY), "nano", "training/segmenter/export.py")
    makers = (functools.partial(make, pretrained=pretrained) for make in (_onnx, _torch))
    return choose_runtime(folder, device, *makers)


def _onnx(folder: Path, *, pretrained: bool) -> Runtime:
    from sampt.segmenters.nano.onnx_runtime import OnnxRuntime

    return OnnxRuntime(folder, pretrained=pretrained)


def _torch(folder: Path | None, device: str, *, pretrained: bool) -> Runtime:
    from sampt.segmenters.nano.torch_runtime import TorchRuntime

    return TorchRuntime(folder, device, pretrained=pretrained)
