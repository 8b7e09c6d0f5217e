"""Score a folder of masks against ground truth: J (region), F (contour) and their mean, as DAVIS defines them.

    python examples/score_masks.py PREDICTED GROUND_TRUTH

Both folders hold label maps of the same names, one a frame: PNG, 0 for the background, an object's id elsewhere. The first and
the last frame do not count, as in the official protocol; --all counts them. `sampt eval score` does this for whole datasets, by
their own rules.
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.evaluation import boundary_f, jaccard

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("predicted", type=Path)
parser.add_argument("ground_truth", type=Path)
parser.add_argument("--all", action="store_true", help="score the first and the last frame, too")
arguments = parser.parse_args()

names = sorted(path.name for path in arguments.ground_truth.glob("*.png"))
scored = names if arguments.all else names[1:-1]
missing = [name for name in scored if not (arguments.predicted / name).is_file()]
if not scored or missing:
    raise SystemExit(f"{len(scored)} frames to score, {len(missing)} of them not in {arguments.predicted}; expected all there.")

maps = [[np.asarray(Image.open(folder / n)) for n in scored] for folder in (arguments.predicted, arguments.ground_truth)]
object_ids = sorted({int(i) for frame in maps[1] for i in np.unique(frame)} - {0})
for object_id in object_ids:
    pairs = [(pred == object_id, gt == object_id) for pred, gt in zip(*maps, strict=True)]
    j, f = (float(np.mean([measure(*pair) for pair in pairs])) for measure in (jaccard, boundary_f))
    print(f"object {object_id}: J {j:.3f}  F {f:.3f}  J&F {(j + f) / 2:.3f}  ({len(scored)} frames)")
