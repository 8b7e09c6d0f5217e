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
class View:
    """A frame of which objects are known: (c, n) features of its cells, (n, 2) where these lie, 0 to 1, (n, o) fractions."""

    values: np.ndarray
    at: np.ndarray
    fractions: np.ndarray


class Matcher:
    """Matches the images of a store with others or with themselves."""

    def __init__(self, store: Store, seed: int) -> None:
        self.store = store
        self.seed = seed
        self.features = FrameFeatures(WEIGHTS, threads=1)

    def image(self, index: int) -> np.ndarray:
        """(h, w, 3) uint8 RGB."""
        h, w = self.store.sizes[index].int().tolist()
        return np.ascontiguousarray(self.store.images[index, :, :h, :w].permute(1, 2, 0).numpy())

    def view(self, row_indices: list[int], rng: np.random.Generator | None = None) -> View:
        """Of the image of some regions; with a generator mirrored and changed."""
        regions = self.store.regions
        index = int(regions.image[row_indices[0]])
        image = self.image(index)
        h, w = image.shape[:2]
        masks = []
        for row in row_indices:
            ids = self.store.labels[regions.labels[row], :h, :w].numpy()
            masks.append(regions.table[row].numpy()[ids].astype(np.float32))
        longest = None
        if rng is not None:
            image = np.ascontiguousarray(image[:, ::-1])
            gain, offset = 1 + rng.normal() * 0.2, rng.normal() * 15
            image = np.clip(image * gain + offset, 0, 255).astype(np.uint8)
            longest = int(rng.choice([352, 400, 512]))
        values = self.features(image, longest)
        if rng is not None:
            values = values[:, :, ::-1]
        rows, columns = values.shape[1:]
        fractions = [cv2.resize(m, (columns, rows), interpolation=cv2.INTER_AREA).ravel() for m in masks]
        y, x = np.mgrid[:rows, :columns]
        at = np.stack([(x + 0.5) / columns * w, (y + 0.5) / rows * h], -1).reshape(-1, 2) / max(h, w)
        return View(values.reshape(len(values), -1), at, np.stack(fractions, 1))

    def prior(self, index: int, known: View, away: float) -> np.ndarray:
        """(o, 28, 28) log odds on an image by what is known; cells nearer than ``away`` are not compared."""
        image = self.image(index)
        values = self.features(image)
        rows, columns = values.shape[1:]
        h, w = image.shape[:2]
        y, x = np.mgrid[:rows, :columns]
        at = np.stack([(x + 0.5) / columns * w, (y + 0.5) / rows * h], -1).reshape(-1, 2) / max(h, w)
        near = None
        if away:
            near = np.linalg.norm(at[:, None] - known.at[None], axis=2) < away
        found = log_odds(values.reshape(len(values), -1), known.values, known.fractions, 1 - known.fractions, near)
        maps = found.T.reshape(-1, rows, columns)
        return np.stack([cv2.resize(m, (SIDE, SIDE), interpolation=cv2.INTER_LINEAR) for m in maps])

    def of_photo(self, row_indices: list[int]) -> np.ndarray:
        """(o, variants, 28, 28) of the regions of a photo."""
        index = int(self.store.regions.image[row_indices[0]])
        known = self.view(row_indices, np.random.default_rng([self.seed, index]))
        return np.stack([self.prior(index, known, away) for away in (0.0, AWAY)], 1)

    def of_clip(self, rows: list[int]) -> np.ndarray:
        """(frames, variants, 28, 28) of the one object of a clip, its frames in order."""
        rng = np.random.default_rng([self.seed, rows[0]])
        views = [self.view([row]) for row in rows]
        out = []
        for k, row in enumerate(rows):
            far = [j for j in range(len(rows)) if abs(j - k) >= MIN_FRAMES_APART]
            index = int(self.store.regions.image[row])
            refs = (views[0] if k >= MIN_FRAMES_APART else None, views[int(rng.choice(far))] if far else None)
            own = None
            maps = []
            for ref in refs:
                if ref is None and own is None:
                    own = self.view([row], rng)
                known = ref or own
                assert known is not None
                maps.append(self.prior(index, known, 0.0 if ref else AWAY)[0])
            out.append(np.stack(maps))
        return np.stack(out)


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
                h, w = store.sizes[regions.image[row]].int().tolist()
                mask = regions.table[row].numpy()[store.labels[regions.labels[row], :h, :w].numpy()].astype(np.float32)
                fraction = cv2.resize(mask, (SIDE, SIDE), interpolation=cv2.INTER_AREA)
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
