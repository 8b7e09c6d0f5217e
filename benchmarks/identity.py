"""Who is who: objects that look alike, and objects that are hidden for long, in made scenes of exact ground truth.

Examples:
    python -m benchmarks.identity                                          # 20 seeds of each scene
    python -m benchmarks.identity --seeds 5 --scenes hidden --set reinit.compete=false
    python -m benchmarks.identity --seeds 1 --sheet identity.png           # with a contact sheet of what was found

`alike-crossing`: two objects that look alike cross; right when on the last frame each mask has an IoU above 0.5 with its own
object. `unnamed-crossing`: the same scene, one of them named; right by the same rule. `exchange`: an object leaves while one
that looks alike enters on the other side; right when the mask is empty on the last frame. `hidden`: behind a pillar for 20 to
60 frames, out again elsewhere; right when the IoU on the last frame is above 0.5, and nothing was found on nine of ten frames
while it was hidden.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.cuts import setting
from sampt.config import SegmentConfig, with_settings
from sampt.evaluation.vos.jf import jaccard
from sampt.exporters.overlay import draw_overlay
from sampt.pipeline.segment import segment_video
from sampt.presets import PRESETS
from sampt.testing import Scene, SceneVideo, alike_crossing_scene, exchange_scene, hidden_scene
from sampt.types import BoolArray, FrameMasks, QueryMask

IOU = 0.5


@dataclass(frozen=True)
class Result:
    """What was found on each frame, and the true masks (t, o, h, w) of the named objects."""

    frames: list[FrameMasks]
    truth: BoolArray

    @property
    def found(self) -> BoolArray:
        return np.stack([frame.masks for frame in self.frames])

    def iou(self, frame_idx: int) -> list[float]:
        return [jaccard(*pair) for pair in zip(self.found[frame_idx], self.truth[frame_idx], strict=True)]


def hidden(seed: int) -> Scene:
    return hidden_scene(int(np.random.default_rng(seed).integers(20, 61)), seed=seed)


def is_own(result: Result) -> bool:
    return min(result.iou(-1)) > IOU


def is_gone(result: Result) -> bool:
    return not result.found[-1].any()


def is_found_again(result: Result) -> bool:
    away = ~result.truth[:, 0].any((1, 2))
    return result.iou(-1)[0] > IOU and float(result.found[away, 0].any((1, 2)).mean()) <= 0.1


SCENES: dict[str, tuple[Callable[[int], Scene], tuple[int, ...], Callable[[Result], bool]]] = {
    "alike-crossing": (lambda seed: alike_crossing_scene(seed=seed), (1, 2), is_own),
    "unnamed-crossing": (lambda seed: alike_crossing_scene(seed=seed), (1,), is_own),
    "exchange": (lambda seed: exchange_scene(seed=seed), (1,), is_gone),
    "hidden": (hidden, (1,), is_found_again),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0, help="reported are those from 0 on; choose settings on others")
    parser.add_argument("--scenes", nargs="+", choices=sorted(SCENES), default=sorted(SCENES))
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="a setting, value as JSON"
    )
    parser.add_argument("--sheet", type=Path, help="write a contact sheet: a row for each scene and seed")
    args = parser.parse_args()
    config = with_settings(PRESETS[args.preset], dict(args.set))
    rows, sheet = [], []
    for name in args.scenes:
        make, ids, is_right = SCENES[name]
        right, ious = 0, []
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            scene = make(seed)
            result = run(scene, ids, config)
            right += is_right(result)
            ious.append(float(np.mean(result.iou(-1))))
            print(json.dumps({"scene": name, "seed": seed, "right": is_right(result), "iou": result.iou(-1)}), file=sys.stderr)
            if args.sheet:
                sheet.append(drawn(scene, result))
        rows.append(f"| {name} | {right} of {args.seeds} | {np.mean(ious):.3f} |")
    print("\n".join(["| scene | right | mean IoU on the last frame |", "|---|---|---|", *rows]))
    if args.sheet:
        cv2.imwrite(str(args.sheet), np.concatenate(sheet)[:, :, ::-1])
    return 0


def run(scene: Scene, object_ids: tuple[int, ...], config: SegmentConfig) -> Result:
    """Segment the named objects from their first masks."""
    truth = np.stack([scene.masks(i)[[o - 1 for o in object_ids]] for i in range(scene.num_frames)])
    queries = [QueryMask(o, 0, mask) for o, mask in zip(object_ids, truth[0], strict=True)]
    return Result(list(segment_video(SceneVideo(scene), queries, config=config)), truth)


def drawn(scene: Scene, result: Result, columns: int = 8) -> Any:
    """(h, w, 3) some frames in a row, with what was found."""
    chosen = np.linspace(0, scene.num_frames - 1, columns).astype(int).tolist()
    overlays = [draw_overlay(scene.frame(i), result.frames[i]) for i in chosen]
    return np.concatenate([cv2.resize(image, (240, 135), interpolation=cv2.INTER_AREA) for image in overlays], 1)


if __name__ == "__main__":
    sys.exit(main())
