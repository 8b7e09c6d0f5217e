"""Objects that enter later, in made scenes of exact ground truth: are all of them found, and each of them once?

Examples:
    python -m benchmarks.entering                                 # seeds 0 to 19, which are reported
    python -m benchmarks.entering --first-seed 100 --seeds 10     # for choosing settings
    python -m benchmarks.entering --seeds 1 --sheet entering.png  # with a contact sheet of what was found

An object is found when a found one has an IoU of 0.5 or more with it over all frames together, those without it included.
A found object belongs to the object that at least half of its pixels lie on; those beyond the first of each are doubles,
identities too many. Others lie on none.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.cuts import setting
from benchmarks.finding import Method, add_find_arguments, find_config
from sampt.config import with_settings
from sampt.errors import SamptError
from sampt.exporters.overlay import draw_overlay
from sampt.finding import FoundObjects
from sampt.presets import PRESETS
from sampt.testing import Scene, SceneVideo, entering_scene
from sampt.types import BoolArray, FrameMasks

IOU = 0.5
MAX_FOUND = 20


@dataclass(frozen=True)
class Result:
    """What became of the objects of a scene.

    Attributes:
        ious: of each object with the found one that fits it best, over all frames together.
        doubles: found objects beyond the first of each object.
        others: found objects that lie on none.
    """

    ious: tuple[float, ...]
    doubles: int
    others: int

    @property
    def num_found(self) -> int:
        return sum(iou >= IOU for iou in self.ious)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0, help="reported are those from 0 on; choose settings on others")
    add_find_arguments(parser)
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default")
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="a setting, value as JSON"
    )
    parser.add_argument("--sheet", type=Path, help="write a contact sheet: a row for each seed")
    args = parser.parse_args()
    results, sheet = [], []
    try:
        method = Method(with_settings(PRESETS[args.preset], dict(args.set)), find_config(args, MAX_FOUND))
        for seed in range(args.first_seed, args.first_seed + args.seeds):
            scene = entering_scene(seed=seed)
            found, frames = run(scene, method)
            results.append(judge(scene, frames))
            named = [{"frame": item.frame_idx, "score": round(item.score, 3)} for item in found.objects]
            print(json.dumps({"seed": seed, **vars(results[-1]), "objects": named}), file=sys.stderr, flush=True)
            if args.sheet:
                sheet.append(drawn(scene, frames))
    except SamptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(to_markdown(results))
    if args.sheet:
        cv2.imwrite(str(args.sheet), np.concatenate(sheet)[:, :, ::-1])
    return 0


def run(scene: Scene, method: Method) -> tuple[FoundObjects, list[FrameMasks]]:
    """What is found of a scene, and its masks on every frame; none where nothing is found."""
    video = SceneVideo(scene)
    found = method.found(video)
    return found, list(method.frames(video, found)) if found.objects else []


def judge(scene: Scene, frames: Sequence[FrameMasks]) -> Result:
    """Compare the masks of found objects with the exact ones."""
    if not frames:
        return Result((0.0,) * scene.num_objects, 0, 0)
    shared, gt_sizes, sizes = 0, 0, 0
    for frame in frames:
        gt = flat(scene.masks(frame.frame_idx))
        masks = flat(frame.masks)
        shared = shared + gt @ masks.T
        gt_sizes, sizes = gt_sizes + gt.sum(1), sizes + masks.sum(1)
    overlaps, areas = np.asarray(shared), np.asarray(sizes)
    ious = overlaps / np.maximum(np.asarray(gt_sizes)[:, None] + areas - overlaps, 1)
    is_own = (overlaps >= 0.5 * areas) & (areas > 0)
    owned = is_own.sum(1)
    others = int(np.count_nonzero((areas > 0) & ~is_own.any(0)))
    return Result(tuple(ious.max(1).tolist()), int(np.maximum(owned - 1, 0).sum()), others)


def flat(masks: BoolArray) -> np.ndarray:
    """(m, h, w) masks as (m, pixels) numbers, whose products count pixels."""
    return masks.reshape(len(masks), -1).astype(np.float32)


def to_markdown(results: Sequence[Result]) -> str:
    objects = sum(len(result.ious) for result in results)
    found = sum(result.num_found for result in results)
    first = sum(result.ious[0] >= IOU for result in results)
    mean = float(np.mean([iou for result in results for iou in result.ious]))
    doubles, with_doubles = sum(r.doubles for r in results), sum(r.doubles > 0 for r in results)
    return "\n".join(
        [
            "| scenes | objects | recall | of those that enter | mean IoU | double identities | scenes with any | others |",
            "|---|---|---|---|---|---|---|---|",
            f"| {len(results)} | {objects} | {found / objects:.3f} | {(found - first) / (objects - len(results)):.3f} | "
            f"{mean:.3f} | {doubles} | {with_doubles} | {sum(r.others for r in results)} |",
        ]
    )


def drawn(scene: Scene, frames: Sequence[FrameMasks]) -> np.ndarray:
    """Six frames beside each other, with what was found."""
    chosen = np.linspace(0, scene.num_frames - 1, 6).astype(int).tolist()
    images = [draw_overlay(scene.frame(i), frames[i]) if frames else scene.frame(i) for i in chosen]
    height, width = scene.size_hw
    return np.concatenate([cv2.resize(image, (width // 2, height // 2), interpolation=cv2.INTER_AREA) for image in images], 1)


if __name__ == "__main__":
    sys.exit(main())
