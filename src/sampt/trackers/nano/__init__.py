"""`nano`: the bundled point tracker, trained here; its weights are in the package and it needs no PyTorch."""

from __future__ import annotations

from pathlib import Path

from sampt.errors import BackendError
from sampt.onnx_files import weights_folder
from sampt.trackers.nano.runtime import FILES
from sampt.trackers.nano.tracker import NanoTracker, NanoTrackerSettings

__all__ = ["BUNDLED_WEIGHTS", "NanoTracker", "NanoTrackerSettings", "create"]

BUNDLED_WEIGHTS = Path(__file__).parent / "weights"


def create(*, weights: str | None = "default", device: str = "auto") -> NanoTracker:
    """Make the tracker.

    Args:
        weights: "default" for those in the package, or a folder as ``training/tracker/export.py`` writes it. None (random)
            needs PyTorch.
        device: "auto" and "cpu" run ONNX Runtime; anything else is a PyTorch device such as "cuda".

    Raises:
        BackendError: the weights are not there or not those of this network, or PyTorch is needed and missing.
    """
    folder = weights_folder(weights, BUNDLED_WEIGHTS, FILES, "nano", "training/tracker/export.py")
    if folder is not None and device in ("auto", "cpu"):
        from sampt.trackers.nano.onnx_runtime import OnnxRuntime

        return NanoTracker(OnnxRuntime(folder))
    try:
        from sampt.trackers.nano.torch_runtime import TorchRuntime
    except ImportError as error:
        what = "random weights" if folder is None else f"device {device!r}"
        raise BackendError(
            f"'nano' with {what} needs PyTorch and onnx ({error}). Run: pip install 'sampt[torch]', or use device 'cpu'."
        ) from error
    return NanoTracker(TorchRuntime(folder, "cpu" if device == "auto" else device))
