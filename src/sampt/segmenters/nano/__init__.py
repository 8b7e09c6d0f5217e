"""`nano`: the bundled promptable network, trained here; its weights are in the package and it needs no PyTorch."""

from __future__ import annotations

from pathlib import Path

from sampt.backends.onnx_files import choose_runtime, find_folder
from sampt.segmenters.nano.runtime import FILES, Runtime
from sampt.segmenters.nano.segmenter import NanoSegmenter, NanoSettings

__all__ = ["BUNDLED_WEIGHTS", "NanoSegmenter", "NanoSettings", "create"]

BUNDLED_WEIGHTS = Path(__file__).parent / "weights"


def create(*, weights: str | None = "default", device: str = "auto") -> NanoSegmenter:
    """Make the segmenter.

    Args:
        weights: "default" for those in the package, or a folder with ``encoder.onnx`` and ``decoder.onnx`` as
            ``training/segmenter/export.py`` writes them. None (random) needs PyTorch.
        device: "auto" and "cpu" run ONNX Runtime; anything else is a PyTorch device such as "cuda".

    Raises:
        BackendError: the weights are not there or not those of this network, or PyTorch is needed and missing.
    """
    folder = find_folder(weights, BUNDLED_WEIGHTS, FILES, "nano", "training/segmenter/export.py")
    return NanoSegmenter(choose_runtime(folder, device, _onnx, _torch))


def _onnx(folder: Path) -> Runtime:
    from sampt.segmenters.nano.onnx_runtime import OnnxRuntime

    return OnnxRuntime(folder)


def _torch(folder: Path | None, device: str) -> Runtime:
    from sampt.segmenters.nano.torch_runtime import TorchRuntime

    return TorchRuntime(folder, device)
