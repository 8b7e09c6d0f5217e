"""Choose the limits of `dis-flow`: mean J&F of the default preset on davis2016_train for a list of limits.

Examples:
    python scripts/tune_tracker.py                           # the limits below, one after another (about a minute each)
    python scripts/tune_tracker.py --limit 0.02,0.25,9       # error_side,error_step,colour of trackers.chained.ChainLimits

The vos protocol from the first frame's mask; first and last frames are not scored. Never run it on the sequences that
figures are reported on.
"""

from __future__ import annotations

import argparse
import dataclasses
import sys
from pathlib import Path

import numpy as np

from sampt.config import preset
from sampt.evaluation.datasets import DavisSequence, training_sequences
from sampt.evaluation.metrics import boundary_f, jaccard
from sampt.pipeline import segment_video
from sampt.trackers.chained import ChainLimits
from sampt.trackers.dis_flow import DisFlowTracker

TRAINING = Path(__file__).resolve().parents[2] / "shared" / "training" / "davis2016_train"
CANDIDATES = ["0.007,0.05,9", "0.02,0.25,7", "0.02,0.25,9", "0.02,0.25,12", "0.02,0.25,18", "0.02,0.25,1000"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--limit", action="append", help="error_side,error_step,colour; repeat it (default: a list)")
    parser.add_argument("--data", type=Path, default=TRAINING, help="folder of NAME_00000.jpg and .png")
    parser.add_argument("--seed", type=int, default=72)
    args = parser.parse_args()
    sequences = training_sequences(args.data)
    print("| error_side | error_step | colour | J&F | J | F |\n|---|---|---|---|---|---|")
    for text in args.limit or CANDIDATES:
        side, step, colour = (float(part) for part in text.split(","))
        limits = ChainLimits(error_side=side, error_step=step, colour=colour)
        j, f = np.mean([scores(sequence, limits, args.seed) for sequence in sequences], axis=0)
        print(f"| {side:g} | {step:g} | {colour:g} | {(j + f) / 2:.3f} | {j:.3f} | {f:.3f} |", flush=True)
    return 0


def scores(sequence: DavisSequence, limits: ChainLimits, seed: int) -> tuple[float, float]:
    """Mean J and F over the scored frames of a sequence with one object."""
    config = dataclasses.replace(preset("default"), protocol="vos", seed=seed)
    video = sequence.open()
    overlaps, boundaries = [], []
    for result in segment_video(video, sequence.query_masks(), config=config, tracker=DisFlowTracker(limits)):
        if 0 < result.frame_idx < video.num_frames - 1:
            truth = sequence.label_map(result.frame_idx) == 1
            overlaps.append(jaccard(result.masks[0], truth))
            boundaries.append(boundary_f(result.masks[0], truth))
    return float(np.mean(overlaps)), float(np.mean(boundaries))


if __name__ == "__main__":
    sys.exit(main())
