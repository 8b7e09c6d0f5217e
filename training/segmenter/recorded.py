"""What :mod:`training.segmenter.rollouts` recorded, on the device."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from training.data import Store

MAX_POINTS = 160


@dataclass(frozen=True)
class Recorded:
    """r prompts about frames of the clips.

    Attributes:
        region: (r,) rows of the store's regions: the object on that frame.
        xy: (r, p, 2) points in canvas pixels from the corner.
        labels: (r, p) 1, 0, or -1 for no point.
        maps: (r, m, m) uint8 probability of the previous mask, times 255.
        window: (r, 4) x0, y0, x1, y1 where that lies on the canvas.
        has_previous: (r,) bool.
        weight: (r,) every clip of every run counts alike.
    """

    region: Tensor
    xy: Tensor
    labels: Tensor
    maps: Tensor
    window: Tensor
    has_previous: Tensor
    weight: Tensor

    def points(self, which: Tensor) -> tuple[Tensor, Tensor]:
        """Points and labels of some records."""
        return self.xy[which], self.labels[which].float()


def load_recorded(folder: Path, store: Store) -> Recorded | None:
    """All runs in ``folder``, None where there are none."""
    runs = [np.load(path, allow_pickle=False) for path in sorted(folder.glob("[!.]*.npz")) if ".partial" not in path.name]
    if not runs:
        return None
    device = store.images.device
    rng = np.random.default_rng(0)
    parts: list[tuple[np.ndarray, ...]] = []
    for run in runs:
        held = {name: run[name] for name in run.files}
        keys = list(zip(held["clip"].tolist(), held["frame"].tolist(), strict=True))
        rows = [k for k, key in enumerate(keys) if key in store.frames]
        xy = np.zeros((len(rows), MAX_POINTS, 2), np.float32)
        labels = np.full((len(rows), MAX_POINTS), -1, np.int8)
        for out, k in enumerate(rows):
            own = np.arange(held["start"][k], held["stop"][k])
            own = own if len(own) <= MAX_POINTS else rng.choice(own, MAX_POINTS, replace=False)
            xy[out, : len(own)], labels[out, : len(own)] = held["xy"][own], held["sign"][own]
        clips = held["clip"][rows]
        _, inverse, counts = np.unique(clips, return_inverse=True, return_counts=True)
        region = np.array([store.frames[keys[k]] for k in rows])
        parts.append((region, xy, labels, held["map"][rows], held["window"][rows].astype(np.float32), held["has"][rows],
                      1.0 / counts[inverse]))  # fmt: skip
    columns = [torch.from_numpy(np.concatenate(column)).to(device) for column in zip(*parts, strict=True)]
    columns[-1] = columns[-1].float()
    return Recorded(*columns)
