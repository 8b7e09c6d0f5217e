"""Images of the model card: the course of a training run, and the held-out frames on which the weights do best and worst.

python -m training.segmenter.report --log training/segmenter/log.jsonl --data ../shared/training --out docs/images
"""

from __future__ import annotations

import json
import tomllib
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np

from sampt.evaluation.vos.jf import jaccard
from sampt.segmenters.create import create_segmenter
from sampt.types import ObjectPrompt
from training.data import held_out_frames
from training.report import command_line

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent


def plot(log: Path, out: Path) -> None:
    """Loss and IoU over the crops seen, of the runs that built on each other."""
    entries = [json.loads(line) for line in log.read_text().splitlines()]
    samples = [entry["samples"] / 1000 for entry in entries]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    left.plot(samples, [entry["loss"] for entry in entries], label="loss")
    left.plot(samples, [entry["mask"] for entry in entries], label="mask part")
    left.set(xlabel="thousand crops", ylabel="loss", ylim=(0.2, 1.2))
    left.legend()
    right.plot(samples, [entry["iou_second"] for entry in entries], color="0.7", label="training, second decoding")
    held = [entry for entry in entries if "held_out" in entry]
    for key in held[-1]["held_out"] if held else ():
        right.plot(
            [e["samples"] / 1000 for e in held],
            [e["held_out"][key] for e in held],
            "o-",
            ms=3,
            label="held out, " + key.removeprefix("iou_").replace("things_", "several objects, ") + " points",
        )
    right.set(xlabel="thousand crops", ylabel="mean IoU", ylim=(0.3, 0.95))
    right.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=90)


def sheet(data: Path, out: Path, rows: int = 2, columns: int = 6, count: int = 8) -> None:
    """The frame of each held-out sequence's worst mask, then the best ones: ground truth green, mask red, clicks as dots."""
    segmenter = create_segmenter("nano")
    config = tomllib.loads((HERE / "config.toml").read_text())
    found = []
    for k, (name, frame, mask) in enumerate(held_out_frames(data, config["data"]["held_out"])):
        rng = np.random.default_rng(k)
        points = [np.argwhere(region)[:, ::-1] for region in (mask, ~mask)]
        xy = np.concatenate([p[rng.choice(len(p), count)] for p in points]).astype(np.float32)
        prompt = ObjectPrompt(1, xy, np.arange(2 * count) < count)
        prediction = segmenter.decode(segmenter.encode(frame[None])[0], [prompt])[0]
        guess = np.asarray(prediction.logits > 0)
        found.append((jaccard(guess, mask), name, frame, mask, guess, prompt, prediction.score))
    found.sort(key=lambda item: item[0])
    worst, names = [], []
    for item in found:  # one frame a sequence, or the sheet would be the same object over and over
        if item[1] not in names:
            worst.append(item)
            names.append(item[1])
    chosen = worst[:columns] + found[:-1][:: -max(1, len(found) // (2 * columns))][: columns * (rows - 1)]
    tiles = [_tile(item) for item in chosen]
    image = np.vstack([np.hstack(tiles[r * columns : (r + 1) * columns]) for r in range(rows)])
    cv2.imwrite(str(out), cv2.cvtColor(image, cv2.COLOR_RGB2BGR))


def _tile(item: tuple[float, str, np.ndarray, np.ndarray, np.ndarray, ObjectPrompt, float]) -> np.ndarray:
    iou, name, frame, mask, guess, prompt, score = item
    tile = frame.copy()
    for region, color in ((mask, (0, 255, 0)), (guess, (255, 40, 40))):
        contours, _ = cv2.findContours(region.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(tile, contours, -1, color, 1)
    for (x, y), positive in zip(prompt.xy, prompt.is_positive, strict=True):
        cv2.circle(tile, (int(x), int(y)), 2, (80, 160, 255) if positive else (255, 200, 0), -1)
    tile = cv2.copyMakeBorder(tile, 16, 2, 1, 1, cv2.BORDER_CONSTANT)
    text = f"{name}: IoU {iou:.2f}, predicted {score:.2f}"
    cv2.putText(tile, text, (4, 12), cv2.FONT_HERSHEY_SIMPLEX, 0.36, (255, 255, 255), 1, cv2.LINE_AA)
    return tile


if __name__ == "__main__":
    command_line(__doc__, HERE, plot, sheet, "nano", ".png")
