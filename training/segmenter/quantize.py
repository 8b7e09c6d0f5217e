"""Make the saliency network's ONNX file that computes in 8-bit integers: what the CPU runs, in half the time.

    python -m training.segmenter.quantize --data ../shared/training

The network is frozen, so this is done once; `export.py` copies the file. Ranges of the activations are averages over crops of
training images (BSDS500 and the challenge's first frames, held-out ones left out); see :mod:`training.quantization`.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import cv2
import numpy as np

from sampt.segmenters.nano import BUNDLED_WEIGHTS
from sampt.segmenters.nano.runtime import INT8_SALIENCY, saliency_side
from training.data import THINGS, parse_sequence
from training.quantization import JUDGED, as_view, before_first_convolution, command_line

COUNT = 96
SEED = 3


def crops(data: Path) -> list[np.ndarray]:
    """(1, 3, s, s) views in [-1, 1]: parts of photos, stretched into squares as the segmenter stretches them."""
    held_out = tomllib.loads(Path(__file__).with_name("config.toml").read_text(encoding="utf-8"))["data"]["held_out_things"]
    paths = [p for p in sorted((data / THINGS).glob("*.jpg")) if parse_sequence(p) not in held_out]
    paths += sorted((data / "bsds500").glob("*.jpg"))
    rng = np.random.default_rng(SEED)
    side = saliency_side(160)
    out = []
    for k in rng.permutation(len(paths))[: COUNT + JUDGED]:
        image = cv2.cvtColor(cv2.imread(str(paths[k])), cv2.COLOR_BGR2RGB)
        size = (rng.uniform(0.4, 1.0, 2) * image.shape[:2]).astype(int)
        y, x = (int(rng.integers(0, n - m + 1)) for n, m in zip(image.shape[:2], size, strict=True))
        part = cv2.resize(image[y : y + size[0], x : x + size[1]], (side, side), interpolation=cv2.INTER_AREA)
        out.append(as_view(part))
    return out


if __name__ == "__main__":
    command_line(__doc__, BUNDLED_WEIGHTS, ("saliency.onnx", INT8_SALIENCY), crops, before_first_convolution)
