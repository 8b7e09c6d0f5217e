"""Make the saliency network's ONNX file that computes in 8-bit integers: what the CPU runs, in half the time.

    python -m training.segmenter.quantize --data ../shared/training

The network is frozen, so this is done once; `export.py` copies the file. Ranges of the activations are averages over crops of
training images (BSDS500 and the challenge's first frames, held-out ones left out). Weights have 7 bits, so that processors
without VNNI, whose 16-bit sums saturate, compute the same.
"""

from __future__ import annotations

import argparse
import os
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

from sampt.segmenters.nano import BUNDLED_WEIGHTS
from sampt.segmenters.nano.runtime import INT8_SALIENCY, saliency_side
from training.data import THINGS, parse_sequence

COUNT = 96
SEED = 3
MAX_ERROR = 0.15  # mean absolute difference over mean absolute value, of every output


def crops(data: Path, held_out: set[str]) -> list[np.ndarray]:
    """(1, 3, s, s) views in [-1, 1]: parts of photos, stretched into squares as the segmenter stretches them."""
    paths = [p for p in sorted((data / THINGS).glob("*.jpg")) if parse_sequence(p) not in held_out]
    paths += sorted((data / "bsds500").glob("*.jpg"))
    rng = np.random.default_rng(SEED)
    side = saliency_side(160)
    out = []
    for k in rng.permutation(len(paths))[: 2 * COUNT]:
        image = cv2.cvtColor(cv2.imread(str(paths[k])), cv2.COLOR_BGR2RGB)
        size = (rng.uniform(0.4, 1.0, 2) * image.shape[:2]).astype(int)
        y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(image.shape[:2], size, strict=True))
        part = cv2.resize(image[y : y + size[0], x : x + size[1]], (side, side), interpolation=cv2.INTER_AREA)
        out.append((part.astype(np.float32) / 127.5 - 1).transpose(2, 0, 1)[None].copy())
    return out


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    def __init__(self, images: list[np.ndarray]) -> None:
        self._left: Iterator[np.ndarray] = iter(images)

    def get_next(self) -> dict[str, np.ndarray] | None:
        image = next(self._left, None)
        return None if image is None else {"picture": image}


def quantize(source: Path, out: Path, images: list[np.ndarray]) -> None:
    """Write ``out``, complete or not at all, and compare it with ``source`` on images that its ranges were not taken from.

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
            str(plain), str(partial), _Reader(images[:COUNT]), quant_format=QuantFormat.QDQ, per_channel=True,
            reduce_range=True, activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8,
            nodes_to_exclude=_before_first_convolution(plain), extra_options={"CalibMovingAverage": True},
        )  # fmt: skip
    session = onnxruntime.InferenceSession(str(partial), providers=["CPUExecutionProvider"])
    pairs = [(whole.run(None, {"picture": p}), session.run(None, {"picture": p})) for p in images[COUNT : COUNT + 24]]
    for k, output in enumerate(whole.get_outputs()):
        error = float(np.mean([np.abs(a[k] - b[k]).mean() / np.abs(a[k]).mean() for a, b in pairs]))
        print(f"{output.name}: 8-bit and single precision differ by {error:.3f} of the mean value")
        if error > MAX_ERROR:
            raise SystemExit(f"{output.name} differs by {error:.3f} from single precision; expected at most {MAX_ERROR}.")
    os.replace(partial, out)
    print(f"{out}: {out.stat().st_size / 1e6:.2f} MB")


def _before_first_convolution(path: Path) -> list[str]:
    """Names of the nodes that prepare the image: a dark one has few of its 256 steps, and is made bright first."""
    nodes = onnx.load(str(path)).graph.node
    first = next(k for k, node in enumerate(nodes) if node.op_type == "Conv")
    return [node.name for node in nodes[:first]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--folder", type=Path, default=BUNDLED_WEIGHTS, help="where saliency.onnx lies")
    args = parser.parse_args()
    held_out = tomllib.loads(Path(__file__).with_name("config.toml").read_text(encoding="utf-8"))["data"]["held_out_things"]
    quantize(args.folder / "saliency.onnx", args.folder / INT8_SALIENCY, crops(args.data, set(held_out)))


if __name__ == "__main__":
    main()
