"""Cuts between shots: an object of one shot is absent in another one and found again after it.

Examples:
    python -m benchmarks.cuts                                    # 12 splices of ../shared/training/davis2016_train
    python -m benchmarks.cuts --splices 30 --no-reinit
    python -m benchmarks.cuts --set tracking.shot_cuts=false     # as without it

A splice is 8 frames of a sequence with the first mask given, 12 of another one, and 6 more of the first. `false` is the number
of splices with a pixel in the other shot and their pixels; `found` of how many the object is seen on the last of the 6 frames
(in at least a quarter of its true pixels); `J` is over these 6 frames; `J without cut` over the same frames when the other shot
is left out.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sampt.config import SegmentConfig, with_settings
from sampt.pipeline.segment import segment_stream, segment_video
from sampt.presets import PRESETS
from sampt.types import FrameMasks, QueryMask, UInt8Array

LENGTHS = (8, 12, 6)


def main() -> int:
    args = parse_arguments()
    config = with_settings(PRESETS[args.preset], dict(args.set))
    names = sorted({p.stem.rpartition("_")[0] for p in args.train.glob("*.jpg")})
    if len(names) < 2:
        raise SystemExit(f"{args.train} has {len(names)} sequences NAME_00000.jpg; expected two at least.")
    rng = np.random.default_rng(args.seed)
    rows = []
    for _ in range(args.splices):
        first, other = rng.choice(names, 2, replace=False)
        rows.append(measure(args.train, first, other, config, args.streaming))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    false = [row["false"] for row in rows]
    print("| splices | false | highest score there | found | J | J without cut |\n|---|---|---|---|---|---|")
    print(
        f"| {len(rows)} | {np.count_nonzero(false)} ({sum(false)}) | {max(row['score'] for row in rows):.2f} "
        f"| {sum(row['found'] for row in rows)} | {np.mean([row['j'] for row in rows]):.3f} "
        f"| {np.mean([row['j_uncut'] for row in rows]):.3f} |"
    )
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--train", type=Path, default=Path("../shared/training/davis2016_train"), help="folder of sequences")
    parser.add_argument("--splices", type=int, default=12, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="which")
    parser.add_argument("--preset", choices=sorted(PRESETS), default="default", help="settings")
    parser.add_argument(
        "--set", type=setting, action="append", default=[], metavar="NAME=VALUE", help="a setting, value as JSON"
    )
    parser.add_argument("--streaming", action="store_true", help="frames that are read once, without re-initialisation")
    return parser.parse_args()


def setting(text: str) -> tuple[str, Any]:
    name, _, value = text.partition("=")
    return name, json.loads(value)


def measure(folder: Path, first: str, other: str, config: SegmentConfig, streaming: bool) -> dict[str, Any]:
    """One splice."""
    before, between, after = LENGTHS
    frames, masks = read(folder, first, before + after)
    shot, _ = read(folder, other, between, frames.shape[1:3])
    spliced = run(np.concatenate([frames[:before], shot[:between], frames[before:]]), masks[0], config, streaming)
    uncut = run(frames, masks[0], config, streaming)[before:]
    there, back = spliced[before:-after], spliced[-after:]
    scores = [float(r.scores[0]) for r in there if r.masks[0].any()]
    return {
        "splice": f"{first}+{other}",
        "false": int(sum(r.masks[0].sum() for r in there)),
        "score": max(scores, default=0.0),
        "found": bool((back[-1].masks[0] & masks[-1]).sum() >= 0.25 * masks[-1].sum()),
        "j": mean_iou(back, masks[before:]),
        "j_uncut": mean_iou(uncut, masks[before:]),
    }


def run(frames: UInt8Array, mask: np.ndarray, config: SegmentConfig, streaming: bool) -> list[FrameMasks]:
    query = QueryMask(1, 0, mask)
    if streaming:
        return list(segment_stream(frames, query, config=with_settings(config, {"reinit.enabled": False})))
    return list(segment_video(frames, query, config=config))


def mean_iou(results: list[FrameMasks], masks: np.ndarray) -> float:
    found = np.stack([r.masks[0] for r in results])
    union = (found | masks).sum((1, 2))
    return float(np.mean((found & masks).sum((1, 2)) / np.maximum(union, 1)))


def read(folder: Path, name: str, count: int, size_hw: tuple[int, int] | None = None) -> tuple[UInt8Array, np.ndarray]:
    """The first ``count`` frames (t, h, w, 3) of a sequence and its masks (t, h, w)."""
    paths = sorted(folder.glob(f"{name}_*.jpg"))[:count]
    frames = [cv2.cvtColor(cv2.imread(str(p)), cv2.COLOR_BGR2RGB) for p in paths]
    masks = [cv2.imread(str(p.with_suffix(".png")), cv2.IMREAD_GRAYSCALE) > 0 for p in paths]
    if size_hw is not None:
        frames = [cv2.resize(f, size_hw[::-1], interpolation=cv2.INTER_AREA) for f in frames]
    return np.stack(frames), np.stack(masks)


if __name__ == "__main__":
    sys.exit(main())
