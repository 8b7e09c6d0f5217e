"""Images of the model card: the course of a training run, and points followed through held-out sequences.

python -m training.tracker.report --log training/tracker/log.jsonl --data ../shared/training --out docs/images
"""

from __future__ import annotations

import colorsys
import json
import tomllib
from pathlib import Path

import cv2
import matplotlib as mpl
import numpy as np

from sampt.evaluation.datasets import select_sequences, training_sequences
from sampt.points.sample import sample_points
from sampt.trackers.create import create_tracker
from sampt.types import Points
from training.report import command_line

mpl.use("Agg")
from matplotlib import pyplot as plt

HERE = Path(__file__).parent


def plot(log: Path, out: Path) -> None:
    """Losses, and TAP-Vid measures on held-out scenes, over samples."""
    entries = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
    minutes = [entry["minutes"] for entry in entries]
    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4))
    for key in ("match", "likeness", "place", "look", "visible", "certain"):
        left.plot(minutes, [entry[key] for entry in entries], label=key)
    left.set(xlabel="minutes", ylabel="parts of the loss, mean of 50 steps", yscale="log")
    left.legend()
    right.plot(minutes, [entry["within_4px"] for entry in entries], color="0.7", label="training, within 4 px")
    held = [entry for entry in entries if "held_out" in entry]
    for key in held[-1]["held_out"] if held else ():
        right.plot([e["minutes"] for e in held], [e["held_out"][key] for e in held], "o-", ms=3, label=f"held out, {key}")
    right.set(xlabel="minutes", ylim=(0, 1))
    right.legend()
    figure.tight_layout()
    figure.savefig(out, dpi=90)


def sheet(data: Path, out: Path, columns: int = 5, count: int = 32) -> None:
    """Each held-out sequence a row: points of the object, followed; filled where called visible, rings where hidden."""
    tracker = create_tracker("nano")
    config = tomllib.loads((HERE / "config.toml").read_text(encoding="utf-8"))
    rows = []
    for sequence in select_sequences(training_sequences(data / "davis2016_train"), config["data"]["held_out"]):
        video = sequence.open()
        mask = sequence.query_masks()[0].mask
        xy = sample_points(mask, count, "even", np.random.default_rng(0), video.read(0, 1)[0])
        tracks = tracker.track(video, Points.of(1, 0, xy))
        tiles = []
        for i in np.linspace(0, video.num_frames - 1, columns).round().astype(int):
            tile = video.read(int(i), int(i) + 1)[0].copy()
            for k, (x, y) in enumerate(np.round(tracks.xy[i]).astype(int)):
                color = tuple(int(255 * c) for c in colorsys.hsv_to_rgb(k / count, 1, 1))
                cv2.circle(tile, (int(x), int(y)), 3, color, -1 if tracks.visible[i, k] else 1)
            tiles.append(cv2.copyMakeBorder(tile, 1, 1, 1, 1, cv2.BORDER_CONSTANT))
        rows.append(np.hstack(tiles))
    cv2.imwrite(str(out), cv2.cvtColor(np.vstack(rows), cv2.COLOR_RGB2BGR))


if __name__ == "__main__":
    command_line(__doc__, HERE, plot, sheet, "nano-tracker", ".jpg")
