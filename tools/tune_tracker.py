"""Choose settings of a tracker: mean J&F of the default preset on davis2016_train, one line a setting.

Examples:
    python -m tools.tune_tracker nano                      # sizes, limits of visibility; sequences held out of training
    python -m tools.tune_tracker nano --nano 256,0.2 --nano 384,0.15     # longest_side,visible of NanoTrackerSettings
    python -m tools.tune_tracker dis-flow                  # limits of the chain, on all thirty sequences (a minute each)
    python -m tools.tune_tracker dis-flow --limit 0.02,0.25,9       # error_side,error_step,colour of ChainLimits

The vos protocol from the first frame's mask; first and last frames are not scored. Never run it on the sequences that
figures are reported on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from sampt.config import SegmentConfig, with_settings
from sampt.evaluation import LabelMapSequence, select_sequences, training_sequences
from sampt.evaluation.vos.jf import boundary_f, jaccard
from sampt.pipeline.segment import segment_video
from sampt.presets import preset
from sampt.trackers.base import PointTracker
from sampt.trackers.chained import ChainLimits
from sampt.trackers.dis_flow import DisFlowTracker
from sampt.trackers.nano import BUNDLED_WEIGHTS, NanoTracker, NanoTrackerSettings
from sampt.trackers.nano.onnx_runtime import OnnxRuntime

ROOT = Path(__file__).resolve().parents[1]
TRAINING = ROOT.parent / "shared" / "training" / "davis2016_train"
LIMITS = ["0.007,0.05,9", "0.02,0.25,7", "0.02,0.25,9", "0.02,0.25,12", "0.02,0.25,18", "0.02,0.25,1000"]
NANO = ["256,0.2", "320,0.2", "384,0.1", "384,0.15", "384,0.2", "384,0.3", "448,0.2"]


def main() -> int:
    args = parse_arguments()
    sequences = training_sequences(args.data)
    if args.tracker == "nano":
        config = tomllib.loads((ROOT / "training" / "tracker" / "config.toml").read_text(encoding="utf-8"))
        sequences = select_sequences(sequences, config["data"]["held_out"])
    base = preset("default")
    if args.tracker == "dis-flow":  # chosen before these were there, and its points are not worth following throughout
        base = with_settings(
            base, {"reinit.keep_queries": False, "reinit.backward_consistency": False, "prompting.min_visible": 0.0}
        )
    print(f"| setting | seed | J&F | J | F | {' | '.join(s.name for s in sequences)} |\n" + "|---" * (5 + len(sequences)) + "|")
    for label, tracker in candidates(args):
        for seed in args.seeds:
            config = dataclasses.replace(base, protocol="vos", seed=seed)
            each = np.array([scores(sequence, tracker, config) for sequence in sequences])
            j, f = each.mean(0)
            own = " | ".join(f"{value:.3f}" for value in each.mean(1))
            print(f"| {label} | {seed} | {(j + f) / 2:.3f} | {j:.3f} | {f:.3f} | {own} |", flush=True)
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tracker", choices=["nano", "dis-flow"])
    parser.add_argument("--nano", action="append", help="longest_side,visible; repeat it (default: a list)")
    parser.add_argument("--limit", action="append", help="error_side,error_step,colour; repeat it (default: a list)")
    parser.add_argument("--weights", type=Path, default=BUNDLED_WEIGHTS, help="folder of ONNX files for nano")
    parser.add_argument("--data", type=Path, default=TRAINING, help="folder of NAME_00000.jpg and .png")
    parser.add_argument("--seeds", type=int, nargs="+", default=[72, 1])
    return parser.parse_args()


def candidates(args: argparse.Namespace) -> Iterator[tuple[str, PointTracker]]:
    """What is compared, with a name."""
    if args.tracker == "nano":
        runtime = OnnxRuntime(args.weights)
        for text in args.nano or NANO:
            side, visible = text.split(",")
            settings = NanoTrackerSettings(longest_side=int(side), visible=float(visible))
            yield f"longest_side {side}, visible {visible}", NanoTracker(runtime, settings)
        return
    for text in args.limit or LIMITS:
        side, step, color = (float(part) for part in text.split(","))
        limits = ChainLimits(error_side=side, error_step=step, color=color)
        yield f"error_side {side:g}, error_step {step:g}, colour {color:g}", DisFlowTracker(limits)


def scores(sequence: LabelMapSequence, tracker: PointTracker, config: SegmentConfig) -> tuple[float, float]:
    """Mean J and F over the scored frames of a sequence with one object."""
    video = sequence.open()
    overlaps, boundaries = [], []
    for result in segment_video(video, sequence.query_masks(), config=config, tracker=tracker):
        if 0 < result.frame_idx < video.num_frames - 1:
            gt = sequence.label_map(result.frame_idx) == 1
            overlaps.append(jaccard(result.masks[0], gt))
            boundaries.append(boundary_f(result.masks[0], gt))
    return float(np.mean(overlaps)), float(np.mean(boundaries))


if __name__ == "__main__":
    sys.exit(main())
