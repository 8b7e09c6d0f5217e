"""How well the first and the best proposals of a frame cover the object, on held-out training sequences.

python -m benchmarks.proposers FOLDER objectness motion    FOLDER has a folder a sequence, of 00000.jpg with masks 00000.png

Every tenth frame of the seven sequences of davis2016_train that training leaves out (training/segmenter/config.toml); the masks
are made by `nano`.
"""

from __future__ import annotations

import argparse
import tomllib
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.finding.choose import overlap_fractions
from sampt.proposers.base import ProposerFrame
from sampt.proposers.create import create_proposer
from sampt.segmenters.create import create_segmenter
from sampt.video.array import ArrayVideo

_EVERY = 10
_BEST_OF = 5
_CONFIG = Path(__file__).parents[1] / "training" / "segmenter" / "config.toml"


def main() -> None:
    """Print a line for each proposer."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("proposers", nargs="+")
    options = parser.parse_args()
    sequences = tomllib.loads(_CONFIG.read_text(encoding="utf-8"))["data"]["held_out"]
    for name in options.proposers:
        scores = np.concatenate([_measure(options.folder / sequence, name) for sequence in sequences])
        first, best, count = scores.mean(0)
        print(f"{name}: IoU of the first {first:.3f}, best of {_BEST_OF} {best:.3f}; {count:.1f} proposals a frame")


def _measure(folder: Path, name: str) -> np.ndarray:
    """(n, 3) IoU of the first and of the best proposal, and how many there are, by frames."""
    files = sorted(folder.glob("*.jpg"))
    video = ArrayVideo(np.stack([np.asarray(Image.open(file).convert("RGB")) for file in files]))
    proposer, segmenter = create_proposer(name), create_segmenter("nano")
    rows = []
    for frame_idx in range(0, len(files), _EVERY):
        mask = np.asarray(Image.open(files[frame_idx].with_suffix(".png")).convert("L")) > 0
        found = proposer.propose(ProposerFrame(video, frame_idx, segmenter))
        ious = [overlap_fractions(proposal.mask, mask)[0] for proposal in found[:_BEST_OF]]
        rows.append((ious[0] if ious else 0.0, max(ious, default=0.0), float(len(found))))
    return np.array(rows)


if __name__ == "__main__":
    main()
