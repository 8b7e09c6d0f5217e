"""Record what the segmenter is prompted with when whole clips are segmented: tracked points with their mistakes, and the mask
of the frame before with its own.

    python -m training.segmenter.rollouts --data ../shared/training --out training-runs/rollouts

Drawn prompts are wrong here and there; a tracker's and a pipeline's mistakes lie together and agree with each other. Each run
below goes through every training sequence and leaves one ``.npz``; a finished one is not made again. ``augment.py`` draws from
them beside its own prompts (DAgger: Ross, Gordon and Bagnell, AISTATS 2011).
"""

from __future__ import annotations

import argparse
import os
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sampt import create_tracker, segment_video
from sampt.config import with_settings
from sampt.evaluation.datasets import read_label_map
from sampt.points.sample import sample_points
from sampt.presets import preset
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.nano import create, create_fast
from sampt.types import ObjectPrompt, Points, QueryMask
from training.data import FULL, parse_sequence

MAP_SIDE = 40
MIN_AREA = 60  # pixels of the object: what is smaller is hardly seen


@dataclass(frozen=True)
class Plan:
    """One way through the clips: from the first frame's mask, or from so many clicks."""

    name: str
    tracker: str
    fast: bool = False
    clicks: int = 0


PLANS = (
    Plan("mask-nano", "nano"),
    Plan("mask-flow-fast", "dis-flow", fast=True),
    Plan("clicks-nano", "nano", clicks=3),
    Plan("mask-lucas-kanade", "lucas-kanade", fast=True),
    Plan("click-nano-fast", "nano", fast=True, clicks=1),
)


class Recorder:
    """A segmenter that notes its prompts on the frames of a clip."""

    def __init__(self, segmenter: PromptableSegmenter, frames: np.ndarray) -> None:
        self._segmenter = segmenter
        self._index = {frame.tobytes(): i for i, frame in enumerate(frames)}
        self.records: list[tuple[int, ObjectPrompt]] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._segmenter, name)

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> Any:
        frame_idx = self._index[embedding.frame.tobytes()]
        self.records += [(frame_idx, prompt) for prompt in prompts]
        return self._segmenter.decode(embedding, prompts, full_size=full_size)


def record(plan: Plan, jpegs: Sequence[Path], segmenter: PromptableSegmenter, seed: int) -> list[tuple[int, ObjectPrompt]]:
    """(frame, prompt) of all prompts in one clip."""
    frames = np.stack([cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB) for path in jpegs])
    mask = read_label_map(jpegs[0].with_suffix(".png")) > 0
    rng = np.random.default_rng([seed, len(jpegs)])
    start: Any = [QueryMask(1, 0, mask)]
    if plan.clicks:
        start = Points.of(1, 0, sample_points(mask, plan.clicks, "random", rng, frames[0]))
    config = with_settings(preset("default"), {"protocol": "vos", "seed": seed})
    recorder = Recorder(segmenter, frames)
    for _ in segment_video(frames, start, tracker=create_tracker(plan.tracker), segmenter=recorder, config=config):
        pass
    return recorder.records


def run_plan(plan: Plan, clips: dict[str, list[Path]], seed: int, out: Path) -> None:
    """All clips of a plan to ``out/NAME.npz``."""
    segmenter = create_fast() if plan.fast else create()
    columns: dict[str, list[Any]] = {k: [] for k in ("clip", "frame", "start", "stop", "xy", "sign", "map", "window", "has")}
    total = 0
    for name, jpegs in clips.items():
        for frame_idx, prompt in record(plan, jpegs, segmenter, seed):
            if (read_label_map(jpegs[frame_idx].with_suffix(".png")) > 0).sum() < MIN_AREA or not len(prompt.xy):
                continue
            previous: Any = prompt.mask_logits
            probability = np.zeros((MAP_SIDE, MAP_SIDE), np.float32)
            window = (0.0, 0.0, 1.0, 1.0)
            if previous is not None:
                probability = cv2.resize(1 / (1 + np.exp(-previous.logits)), (MAP_SIDE, MAP_SIDE), interpolation=cv2.INTER_AREA)
                side = previous.logits.shape[0]
                low, high = previous.window.to_frame(np.array([[0, 0], [side, side]], np.float32))
                window = (*map(float, low), *map(float, high))
            values = (name, frame_idx, total, total + len(prompt.xy), prompt.xy + 0.5, prompt.is_positive)
            values += (np.rint(probability * 255).astype(np.uint8), window, previous is not None)
            for column, value in zip(columns.values(), values, strict=True):
                column.append(value)
            total += len(prompt.xy)
        print(plan.name, name, len(columns["clip"]), flush=True)
    arrays = {k: np.concatenate(v) if k in ("xy", "sign") else np.array(v) for k, v in columns.items()}
    arrays["xy"] = arrays["xy"].astype(np.float32)
    partial = out / f"{plan.name}.partial.npz"
    np.savez_compressed(partial, **arrays)
    os.replace(partial, out / f"{plan.name}.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--plans", nargs="*", default=[plan.name for plan in PLANS], choices=[plan.name for plan in PLANS])
    parser.add_argument("--config", type=Path, default=Path(__file__).with_name("config.toml"))
    args = parser.parse_args()
    settings = tomllib.loads(args.config.read_text(encoding="utf-8"))
    clips: dict[str, list[Path]] = {}
    for path in sorted((args.data / FULL).glob("*/*.jpg")):
        if parse_sequence(path) not in settings["data"]["held_out"]:
            clips.setdefault(parse_sequence(path), []).append(path)
    args.out.mkdir(parents=True, exist_ok=True)
    for plan in PLANS:
        if plan.name in args.plans and not (args.out / f"{plan.name}.npz").exists():
            run_plan(plan, clips, settings["seed"], args.out)


if __name__ == "__main__":
    main()
