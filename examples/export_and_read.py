"""Segment to a folder, export for training, and read the export back with what a training program would use.

    python examples/export_and_read.py sampt-demo/clip.mp4 150,180 185,175 120,182 -o run

Writes run/ (masks, overlay, run.json) and, beside it, run-coco.json; `sampt export run KIND` has the other formats.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from PIL import Image
from pycocotools import mask as coco_mask

import sampt
from sampt.exporters.base import object_named
from sampt.exporters.registry import export
from sampt.runs.saved import SavedRun

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("video", type=Path)
parser.add_argument("clicks", nargs="+", metavar="X,Y")
parser.add_argument("-o", "--output", type=Path, default=Path("run"))
arguments = parser.parse_args()

clicks = sampt.Points.of(1, 0, [[float(v) for v in click.split(",")] for click in arguments.clicks])
sampt.run_job(sampt.Job(arguments.video, sampt.Queries.of(clicks), arguments.output, labels={1: "thing"}))

run = SavedRun(arguments.output)  # an hour or a year later
objects = [object_named(i, run.labels.get(i)) for i in run.object_ids]
frames = run.frames(range(run.video.num_frames), run.object_ids)
target = arguments.output.with_name(f"{arguments.output.name}-coco.json")
export("coco-instances", frames, run.video, objects, target, classes=run.classes)

content = json.loads(target.read_text())
names = {item["id"]: item["name"] for item in content["categories"]}
for item in content["annotations"]:
    image = next(i for i in content["images"] if i["id"] == item["image_id"])
    codes = item["segmentation"]
    if isinstance(codes, list):  # polygons
        codes = coco_mask.merge(coco_mask.frPyObjects(codes, image["height"], image["width"]))
    elif isinstance(codes["counts"], list):  # run lengths as numbers
        codes = coco_mask.frPyObjects(codes, image["height"], image["width"])
    mask = coco_mask.decode(codes).astype(bool)  # (h, w)
    print(f"{image['file_name']}: {names[item['category_id']]}, {mask.sum()} pixels, box {item['bbox']}")

first = np.asarray(Image.open(sorted((arguments.output / "masks").iterdir())[0]))
print(f"the masks as images: {first.shape}, ids {np.unique(first).tolist()}")
