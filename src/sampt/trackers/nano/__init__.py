"""`nano`: the bundled point tracker, trained here; its weights are in the package and it needs no PyTorch."""

from __future__ import annotations

from pathlib import Path

from sampt.backends.onnx_files import choose_runtime, find_folder
from sampt.trackers.nano.adapter import NanoTracker, NanoTrackerSettings
from sampt.trackers.nano.runtime import FILES, Runtime

__all__ = ["BUNDLED_WEIGHTS", "NanoTracker", "NanoTrackerSettings", "create"]

BUNDLED_WEIGHTS = Path(__file__).parent / "weights"


def create(*, weights: str | None = "default", device: str = "auto") -> NanoTracker:
    """Make the tracker; see :func:`sampt.trackers.create.create_tracker`.

    Weights of one's own are a folder as ``training/tracker/export.py`` writes it. "auto" and "cpu" run ONNX Runtime; random
    weights and any other device need PyTorch.
    """
    folder = find_folder(weights, BUNDLED_WEIGHTS, FILES, "nano", "training/tracker/export.py")
    return NanoTracker(choose_runtime(folder, device, _onnx, _torch))


def _onnx(folder: Path) -> Runtime:
    from sampt.trackers.nano.onnx_runtime import OnnxRuntime

    return OnnxRuntime(folder)


def _torch(folder: Path | None, device: str) -> Runtime:
    from sampt.trackers.nano.torch_runtime import TorchRuntime

    return TorchRuntime(folder, device)
