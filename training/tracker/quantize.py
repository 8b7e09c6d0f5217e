"""Make the tracker's encoder that computes in 8-bit integers: what the CPU runs on the larger image, in a third of the time.

    python -m training.tracker.quantize --data ../shared/training

Ranges of the activations are averages over frames of training sequences, whole and in parts, held-out ones left out; see
:mod:`training.quantization`. The vectors' lengths are taken in single precision.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

import cv2
import numpy as np

from sampt.trackers.nano import BUNDLED_WEIGHTS
from sampt.trackers.nano.runtime import INT8_ENCODER
from training.data import FULL
from training.quantization import JUDGED, after_last_convolutions, as_view, command_line

COUNT = 128
SEED = 3
SIZE_HW = (176, 320)


def frames(data: Path) -> list[np.ndarray]:
    """(1, 3, h, w) views in [-1, 1]: frames as the step sees them, and parts as the refinement does."""
    held_out = tomllib.loads(Path(__file__).with_name("config.toml").read_text(encoding="utf-8"))["data"]["held_out"]
    folders = [f for f in sorted((data / FULL).iterdir()) if f.is_dir() and f.name not in held_out]
    paths = [path for folder in folders for path in sorted(folder.glob("*.jpg"))]
    rng = np.random.default_rng(SEED)
    h, w = SIZE_HW
    out = []
    for k in rng.permutation(len(paths))[: COUNT + JUDGED]:
        image = cv2.cvtColor(cv2.imread(str(paths[k])), cv2.COLOR_BGR2RGB)
        if rng.random() < 0.5:
            y, x = (int(rng.integers(0, max(1, n - m + 1))) for n, m in zip(image.shape[:2], SIZE_HW, strict=True))
            image = image[y : y + h, x : x + w]
        out.append(as_view(cv2.resize(image, (w, h), interpolation=cv2.INTER_AREA)))
    return out


if __name__ == "__main__":
    command_line(__doc__, BUNDLED_WEIGHTS, ("encoder.onnx", INT8_ENCODER), frames, after_last_convolutions)
