"""ONNX files that compute in 8-bit integers, made of trained ones: what the CPU runs, in a half to a third of the time.

Ranges of the activations are averages over images. Weights have 7 bits, so that processors without VNNI, whose 16-bit sums
saturate, compute the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

JUDGED = 24
"""Images that a file is compared on, which its ranges are not taken from."""
MAX_ERROR = 0.15
"""Mean absolute difference over mean absolute value, of every output."""


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: Sequence[np.ndarray]) -> None:
        self._left: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"picture": image}


def quantize(source: Path, out: Path, images: Sequence[np.ndarray], left_out: Callable[[onnx.GraphProto], list[str]]) -> None:
    """Write ``out``, complete or not at all, and compare it with ``source``.

    Args:
        source: the file; its input is called ``picture``.
        out: the new one.
        images: (1, 3, h, w) views in [-1, 1]; the last :data:`JUDGED` are those that it is compared on.
        left_out: names of the nodes that keep single precision.

    Raises:
        SystemExit: they differ by more than :data:`MAX_ERROR`.
    """
    partial = out.with_name(out.name + ".partial")
    with tempfile.TemporaryDirectory() as folder:
        plain = Path(folder) / "plain.onnx"
        options = onnxruntime.SessionOptions()  # weights in single precision, constants folded
        options.optimized_model_filepath = str(plain)
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
        whole = onnxruntime.InferenceSession(str(source), options, providers=["CPUExecutionProvider"])
        quantize_static(
            str(plain), str(partial), _Reader(images[:-JUDGED]), quant_format=QuantFormat.QDQ, per_channel=True,
            reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=left_out(onnx.load(str(plain)).graph), extra_options={"CalibMovingAverage": True},
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
    pairs = [(whole.run(None, {"picture": p}), session.run(None, {"picture": p})) for p in images[-JUDGED:]]
    for k, output in enumerate(whole.get_outputs()):
        error = float(np.mean([np.abs(a[k] - b[k]).mean() / np.abs(a[k]).mean() for a, b in pairs]))
        print(f"{output.name}: 8-bit and single precision differ by {error:.3f} of the mean value")
        if not error <= MAX_ERROR:
            raise SystemExit(f"{output.name} differs by {error:.3f} from single precision; expected at most {MAX_ERROR}.")
    os.replace(partial, out)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def as_view(image: np.ndarray) -> np.ndarray:
    """(1, 3, h, w) in [-1, 1] of an (h, w, 3) image of 0 to 255."""
    return (image.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None].copy()


def command_line(
    description: str | None,
    folder: Path,
    names: tuple[str, str],
    images: Callable[[Path], Sequence[np.ndarray]],
    left_out: Callable[[onnx.GraphProto], list[str]],
) -> None:
    """Read the command line and :func:`quantize`.

    Args:
        description: shown by ``--help``.
        folder: of the files, when none is given.
        names: of the file, and of the new one.
        images: makes them of the folder of training data.
        left_out: as there.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=folder, help=f"where {names[0]} lies")
    args = parser.parse_args()
    quantize(args.folder / names[0], args.folder / names[1], images(args.data), left_out)


def before_first_convolution(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes that prepare the image: a dark one has few of its 256 steps, and is made bright first."""
    first = next(k for k, node in enumerate(graph.node) if node.op_type == "Conv")
    return [node.name for node in graph.node[:first]]


def after_last_convolutions(graph: onnx.GraphProto) -> list[str]:
    """Names of the nodes between the last convolution and each output: 256 steps are too few for a root."""
    makers = {name: node for node in graph.node for name in node.output}
    found: dict[str, None] = {}
    waiting = [output.name for output in graph.output]
    while waiting:
        node = makers.get(waiting.pop())
        if node is not None and node.op_type != "Conv" and node.name not in found:
            found[node.name] = None
            waiting += node.input
    return list(found)
