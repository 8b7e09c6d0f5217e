"""`nano`: the bundled promptable network, trained here; its weights are in the package and it needs no PyTorch."""

from __future__ import annotations

from pathlib import Path

from sampt.errors import BackendError
from sampt.onnx_files import weights_folder
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
    files = ("encoder.onnx", "decoder.onnx")
    folder = weights_folder(weights, BUNDLED_WEIGHTS, files, "nano", "training/segmenter/export.py")
    if folder is not None and device in ("auto", "cpu"):
        from sampt.segmenters.nano.onnx_runtime import OnnxRuntime

        return NanoSegmenter(OnnxRuntime(folder))
    try:
        from sampt.segmenters.nano.torch_runtime import TorchRuntime
    except ImportError as error:
        what = "random weights" if folder is None else f"device {device!r}"
        raise BackendError(
            f"'nano' with {what} needs PyTorch and onnx ({error}). Run: pip install 'sampt[torch]', or use device 'cpu'."
        ) from error
    return NanoSegmenter(TorchRuntime(folder, "cpu" if device == "auto" else device))
