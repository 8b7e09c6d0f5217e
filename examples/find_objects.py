"""Find objects that nobody named, choose among them, and segment those through the clip.

    python examples/find_objects.py sampt-demo/clip.mp4 --max 3 -o found

`sampt segment VIDEO --find` does the same in one command; here is what lies between.
"""

import argparse
from pathlib import Path

import sampt

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("video", type=Path)
parser.add_argument("--max", type=int, default=5, metavar="N", help="at most so many objects")
parser.add_argument("--every", type=int, default=12, metavar="N", help="look on every so many frames")
parser.add_argument("-o", "--output", type=Path, default=Path("found"), help="a folder for the results")
arguments = parser.parse_args()

found = sampt.find_objects(arguments.video, find=sampt.FindConfig(max_objects=arguments.max, every=arguments.every))
for item in found.objects:
    print(f"object {item.object_id}: best on frame {item.frame_idx}, {item.mask.sum()} pixels there, score {item.score:.2f}")
if not found.objects:
    raise SystemExit("Nothing was found; a smaller FindConfig(min_area=...) finds smaller things.")

result = sampt.run_job(sampt.Job(arguments.video, found.queries, arguments.output))
print(f"{arguments.output}: {result.num_frames} frames with masks, an overlay video, tracks and run.json")
