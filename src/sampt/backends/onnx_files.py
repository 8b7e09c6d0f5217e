"""Networks kept as ONNX files: where they lie, and how ONNX Runtime opens them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import onnxruntime

from sampt.errors import BackendError

__all__ = ["check_inputs", "choose_runtime", "find_folder", "open_session"]


R = TypeVar("R")


def choose_runtime(folder: Path | None, device: str, onnx: Callable[[Path], R], torch: Callable[[Path | None, str], R]) -> R:
    """ONNX Runtime for weights on the CPU, PyTorch for anything else.

    Args:
        folder: of ONNX files, or None for random weights.
        device: "auto" and "cpu" run ONNX Runtime; anything else is a PyTorch device such as "cuda".
        onnx, torch: make the runtimes; the second one imports PyTorch only when it is called.

    Raises:
        BackendError: PyTorch is needed and missing.
    """
    if folder is not None and device in ("auto", "cpu"):
        return onnx(folder)
    try:
        return torch(folder, "cpu" if device == "auto" else device)
    except ImportError as error:
        what = "random weights" if folder is None else f"device {device!r}"
        raise BackendError(
            f"'nano' with {what} needs PyTorch and onnx ({error}). Run: pip install 'sampt[torch]', or use device 'cpu'."
        ) from error


def find_folder(weights: str | None, bundled: Path, files: Sequence[str], name: str, exporter: str) -> Path | None:
    """The folder that a backend reads its ONNX files from, or None for random weights.

    Args:
        weights: "default", a folder, or None.
        bundled: the folder in the package.
        files: what has to be there.
        name: of the backend, for the error.
        exporter: what writes such a folder, for the error.

    Raises:
        BackendError: one of the files is missing.
    """
    if weights is None:
        return None
    folder = bundled if weights == "default" else Path(weights)
    for file in files:
        if not (folder / file).is_file():
            raise BackendError(f"{name!r} found no {file} in {folder}; expected what {exporter} writes, or 'default'.")
    return folder


def open_session(path: Path, name: str, *, threads: int | None = None) -> onnxruntime.InferenceSession:
    """Open one file on the CPU.

    Args:
        path: the file.
        name: of the backend, for the error.
        threads: that one call uses; None for as many as OMP_NUM_THREADS says, which ONNX Runtime itself does not read, or for
            one a core.

    Raises:
        BackendError: it is no network that ONNX Runtime can run.
    """
    options = onnxruntime.SessionOptions()
    setting = os.environ.get("OMP_NUM_THREADS", "")
    options.intra_op_num_threads = threads or (int(setting) if setting.isdecimal() else 0)
    options.log_severity_level = 3  # its warnings about the graph are for those who export it
    options.enable_cpu_mem_arena = False  # shapes change with the number of objects: it would keep memory for each
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own that it does not publish
        line = str(error).splitlines()[0]
        raise BackendError(f"{name!r} cannot read its weights in {path}: {line}. Export them again.") from error


def check_inputs(session: onnxruntime.InferenceSession, expected: Sequence[str], name: str, file: str) -> None:
    """Refuse a file of another network.

    Raises:
        BackendError: the inputs are not the expected ones, in order.
    """
    got = [item.name for item in session.get_inputs()]
    if got != [*expected]:
        raise BackendError(f"{name!r} got a {file} with inputs {', '.join(got)}; expected {', '.join(expected)}.")
