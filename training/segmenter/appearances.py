"""What the object memory says of the training images: for every region, where on its image the object may be by its appearance.

    python -m training.segmenter.appearances --data ../shared/training --out training-runs/appearances.npz

A clip's objects are matched with the clip's first frame and with another one. A photo has no other frame: its objects are
matched with the photo itself, mirrored, at another size and brightness, once with all of it and once without what lies near a
cell, which knows itself too well. ``priors.py`` draws from both.
"""

from __future__ import annotations

import argparse
import os
import tomllib
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor

from sampt.memory.features import WEIGHTS, FrameFeatures
from sampt.memory.object_memory import log_odds
from training.data import KINDS, Store, load_training_store

SIDE = 28
"""Cells of what is stored, over width and height of the image alike."""

VARIANTS = 2
SCALE = 20.0
"""Log odds times this are stored as int8."""

AWAY = 1.5 / SIDE
"""A photo's cell is not compared with those of its own mirror image that lie nearer, in its longer side."""

MIN_FRAMES_APART = 5


@dataclass(frozen=True)
class Cells:
    """What is seen of an image: (c, rows, columns) features, and (n, 2) where the cells lie, the longer side being 1."""

    values: np.ndarray
    at: np.ndarray

    @property
    def columns(self) -> np.ndarray:
        """(c, n) the features, a cell a column."""
        return self.values.reshape(len(self.values), -1)


@dataclass(frozen=True)
class Known:
    """Cells of an image of which objects are known: (n, o) the fraction of each that each object covers."""

    cells: Cells
    fractions: np.ndarray


class Matcher:
    """Matches the images of a store with others or with themselves."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.seed = seed
        self.features = FrameFeatures(WEIGHTS, threads=1)

    def see(self, row: int, rng: np.random.Generator | None = None) -> Cells:
        """The image of a region; with a generator mirrored, of another size and brightness, its cells in the image's order."""
        index = self.store.regions.image[row]
        h, w = self.store.sizes[index].int().tolist()
        image = np.ascontiguousarray(self.store.images[index, :, :h, :w].permute(1, 2, 0).numpy())
        if rng is None:
            values = self.features(image)
        else:
            gain, offset = 1 + rng.normal() * 0.2, rng.normal() * 15
            changed = np.clip(image[:, ::-1] * gain + offset, 0, 255).astype(np.uint8)
            values = self.features(changed, int(rng.choice([352, 400, 512])))[:, :, ::-1]
        rows, columns = values.shape[1:]
        y, x = np.mgrid[:rows, :columns]
        at = np.stack([(x + 0.5) / columns * w, (y + 0.5) / rows * h], -1).reshape(-1, 2) / max(h, w)
        return Cells(values, at)

    def know(self, rows: list[int], cells: Cells) -> Known:
        """What of some regions of an image each of its cells shows."""
        size = cells.values.shape[:0:-1]
        masks = [cv2.resize(region_mask(self.store, row), size, interpolation=cv2.INTER_AREA).ravel() for row in rows]
        return Known(cells, np.stack(masks, 1))

    def of_photo(self, rows: list[int]) -> np.ndarray:
        """(o, variants, 28, 28) of the regions of a photo."""
        rng = np.random.default_rng([self.seed, int(self.store.regions.image[rows[0]])])
        known, cells = self.know(rows, self.see(rows[0], rng)), self.see(rows[0])
        return np.stack([match(cells, known, away) for away in (0.0, AWAY)], 1)

    def of_clip(self, rows: list[int]) -> np.ndarray:
        """(frames, variants, 28, 28) of the one object of a clip, its frames in order."""
        rng = np.random.default_rng([self.seed, rows[0]])
        frames = [self.know([row], self.see(row)) for row in rows]
        out = []
        for k, row in enumerate(rows):
            far = [j for j in range(len(rows)) if abs(j - k) >= MIN_FRAMES_APART]
            refs = (frames[0] if k >= MIN_FRAMES_APART else None, frames[int(rng.choice(far))] if far else None)
            own = None if all(refs) else self.know([row], self.see(row, rng))
            maps = [match(frames[k].cells, ref or own, 0.0 if ref else AWAY)[0] for ref in refs]
            out.append(np.stack(maps))
        return np.stack(out)


def region_mask(store: Store, row: int) -> np.ndarray:
    """(h, w) float32, 1 on a region of its image."""
    regions = store.regions
    h, w = store.sizes[regions.image[row]].int().tolist()
    return np.asarray(regions.table[row].numpy()[store.labels[regions.labels[row], :h, :w].numpy()], np.float32)


def match(cells: Cells, known: Known, away: float) -> np.ndarray:
    """(o, 28, 28) log odds on an image by what is known; cells nearer than ``away`` are not compared."""
    near = np.linalg.norm(cells.at[:, None] - known.cells.at[None], axis=2) < away if away else None
    found = log_odds(cells.columns, known.cells.columns, known.fractions, 1 - known.fractions, near)
    maps = found.T.reshape(-1, *cells.values.shape[1:])
    return np.stack([cv2.resize(m, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for m in maps])


def match_all(store: Store, seed: int) -> np.ndarray:
    """(r, variants, 28, 28) int8 of all regions."""
    matcher = Matcher(store, seed)
    regions = store.regions
    out = np.zeros((len(regions), VARIANTS, SIDE, SIDE), np.int8)
    clips: dict[str, list[int]] = {}
    for (clip, _), row in sorted(store.frames.items()):
        clips.setdefault(clip, []).append(row)
    in_clips = {row for rows in clips.values() for row in rows}
    photos: dict[tuple[int, int], list[int]] = {}
    for row in range(len(regions)):
        if row not in in_clips:
            photos.setdefault((int(regions.image[row]), int(regions.labels[row])), []).append(row)
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as workers:
        groups = [(matcher.of_clip, rows) for rows in clips.values()] + [(matcher.of_photo, rows) for rows in photos.values()]
        jobs = [(rows, workers.submit(make, rows)) for make, rows in groups]
        for k, (rows, job) in enumerate(jobs):
            out[rows] = np.clip(np.rint(job.result() * SCALE), -127, 127)
            if k % 500 == 0:
                print(k, len(jobs), flush=True)
    return out


def load_appearances(path: Path, store: Store) -> Tensor | None:
    """(r, variants, 28, 28) int8 on the store's device; None where there is no such file.

    Raises:
        SystemExit: the file was made for other images.
    """
    if not path.exists():
        return None
    held = np.load(path, allow_pickle=False)
    if not np.array_equal(held["box"], store.regions.box.cpu().numpy()):
        raise SystemExit(f"{path} was made for other images than those in the store. Run training.segmenter.appearances again.")
    return torch.from_numpy(held["prior"]).to(store.images.device)


def report(store: Store, prior: np.ndarray) -> None:
    """Print how well object and background are distinguished, by kind and variant."""
    regions = store.regions
    rng = np.random.default_rng(0)
    for kind, name in enumerate(KINDS):
        rows = np.flatnonzero((regions.kind == kind).numpy())
        for variant in range(VARIANTS):
            losses, hits = [], []
            for row in rng.choice(rows, min(len(rows), 300), replace=False):
                fraction = cv2.resize(region_mask(store, row), (SIDE, SIDE), interpolation=cv2.INTER_AREA)
                m = prior[row, variant] / SCALE
                on, off = fraction > 0.7, fraction < 0.1
                if on.sum() >= 3 and off.sum() >= 3:
                    losses.append(np.log1p(np.exp(-m[on])).mean() / 2 + np.log1p(np.exp(m[off])).mean() / 2)
                    hits.append(((m[on] > 0).mean(), (m[off] > 0).mean()))
            print(
                name, variant, len(losses), "entropy", round(float(np.mean(losses)), 3), np.mean(hits, 0).round(3), flush=True
            )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    args = parser.parse_args()
    settings = tomllib.loads(args.config.read_text(encoding="utf-8"))
    store = load_training_store(args.data, settings["data"], "cpu")
    prior = match_all(store, settings["seed"])
    report(store, prior)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    partial = args.out.with_name(args.out.stem + ".partial.npz")
    np.savez_compressed(partial, prior=prior, box=store.regions.box.numpy())
    os.replace(partial, args.out)


if __name__ == "__main__":
    main()
