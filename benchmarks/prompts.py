"""Measure a segmenter on single frames with prompts of other kinds than true points: boxes, a random click, poor images,
several objects.

    python -m benchmarks.prompts --davis ../shared/davis [--segmenter nano] [--weights FOLDER] [--json FILE]
    python -m benchmarks.prompts --train ../shared/training/davis2016_train      the held-out training sequences

Frames: every 20th of DAVIS, every 8th stored one of the held-out training sequences. Printed is the mean IoU with

- the object's box, its box with every edge moved by a normal 5 % of the side, one random click on the object;
- 16 + 16 random true points on the frame as it is, grey, with a fifth of the light, as a JPEG of quality 8, turned by 90
  degrees;
- with --things ../shared/training, on the images that training/segmenter/config.toml holds out: 8 + 8 points of each of
  several objects, half of the negative ones on the others.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from benchmarks.segmenter import CONFIG, every, gt_points, held_out_sequences
from sampt.evaluation.datasets import davis_sequences, read_label_map
from sampt.evaluation.vos.jf import jaccard
from sampt.geometry import find_mask_box
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.create import create_segmenter
from sampt.types import ObjectPrompt

THINGS = "davis2017_challenge_first_frames"


def _jpeg(frame: np.ndarray) -> np.ndarray:
    coded = cv2.imencode(".jpg", frame[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 8])[1]
    return np.ascontiguousarray(cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1])


def _grey(frame: np.ndarray) -> np.ndarray:
    return np.repeat(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)[..., None], 3, axis=2)


CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "as it is": lambda frame: frame,
    "grey": _grey,
    "a fifth of the light": lambda frame: (frame * 0.2).astype(np.uint8),
    "JPEG quality 8": _jpeg,
}


def box_prompt(mask: np.ndarray, off: float, rng: np.random.Generator) -> ObjectPrompt:
    """The tight box, every edge moved by a normal share ``off`` of the box's side."""
    box = find_mask_box(mask)
    size = np.tile(box[2:] - box[:2] + 1, 2)
    moved = np.clip(box + rng.normal(0, off, 4) * size, 0, np.tile(mask.shape[::-1], 2) - 1)
    return ObjectPrompt(1, np.zeros((0, 2), np.float32), np.zeros(0, bool), box_xyxy=moved.astype(np.float32))


def iou(segmenter: PromptableSegmenter, frame: np.ndarray, prompt: ObjectPrompt, mask: np.ndarray) -> float:
    prediction = segmenter.decode(segmenter.encode(np.ascontiguousarray(frame)[None])[0], [prompt])[0]
    return float(jaccard(np.asarray(prediction.logits > 0), mask))


def turned(prompt: ObjectPrompt, width: int) -> ObjectPrompt:
    """The prompt on the frame turned by 90 degrees, counter-clockwise."""
    xy = np.stack([prompt.xy[:, 1], width - 1 - prompt.xy[:, 0]], 1)
    return ObjectPrompt(prompt.object_id, xy, prompt.is_positive)


def measure_frames(segmenter: PromptableSegmenter, frames: list[tuple[str, np.ndarray, np.ndarray]]) -> dict[str, float]:
    found: dict[str, list[float]] = {}
    for name, images, masks in frames:
        for t, (frame, mask) in enumerate(zip(images, masks, strict=True)):
            if mask.sum() < 30:
                continue
            rng = np.random.default_rng([t, *map(ord, name)])
            prompts = {
                "box": box_prompt(mask, 0.0, rng),
                "box 5 % off": box_prompt(mask, 0.05, rng),
                "one random click": gt_points(mask, 1, 0, 0.0, rng),
            }
            for kind, prompt in prompts.items():
                found.setdefault(kind, []).append(iou(segmenter, frame, prompt, mask))
            points = gt_points(mask, 16, 16, 0.0, rng)
            for kind, change in CHANGES.items():
                found.setdefault(f"16+16 {kind}", []).append(iou(segmenter, change(frame), points, mask))
            quarter = iou(segmenter, np.rot90(frame), turned(points, mask.shape[1]), np.rot90(mask))
            found.setdefault("16+16 turned by 90 degrees", []).append(quarter)
    return {kind: float(np.mean(values)) for kind, values in found.items()}


def measure_things(segmenter: PromptableSegmenter, folder: Path, names: list[str]) -> dict[str, float]:
    """Mean IoU of the objects of images with several, all prompted together."""
    ious = []
    for name in names:
        ids = read_label_map(folder / f"{name}.png")
        frame = np.ascontiguousarray(cv2.imread(str(folder / f"{name}.jpg"))[..., ::-1])
        rng = np.random.default_rng([ord(letter) for letter in name])
        objects = [int(i) for i in np.unique(ids[ids > 0]) if (ids == i).sum() >= 30]
        prompts = []
        for i in objects:
            points = gt_points(ids == i, 8, 8, 0.0, rng)
            others = np.argwhere((ids > 0) & (ids != i))[:, ::-1]
            xy = points.xy.copy()
            if len(others):
                xy[12:] = others[rng.choice(len(others), 4)]
            prompts.append(ObjectPrompt(i, xy, points.is_positive))
        predictions = segmenter.decode(segmenter.encode(frame[None])[0], prompts)
        ious += [float(jaccard(np.asarray(a.logits > 0), ids == i)) for a, i in zip(predictions, objects, strict=True)]
    return {"objects": float(len(ious)), "8+8 among several": float(np.mean(ious))}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--davis", type=Path, help="folder with ImageSets, JPEGImages and Annotations")
    where.add_argument("--train", type=Path, help="folder of davis2016_train; its held-out sequences are used")
    parser.add_argument("--things", type=Path, help=f"folder that holds {THINGS}")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--weights", default="default", help="weights of the segmenter")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    sequences = davis_sequences(options.davis) if options.davis else held_out_sequences(options.train)
    segmenter = create_segmenter(options.segmenter, weights=options.weights)
    figures = measure_frames(segmenter, list(every(20 if options.davis else 8, sequences)))
    if options.things:
        names = tomllib.loads(CONFIG.read_text())["data"]["held_out_things"]
        figures |= measure_things(segmenter, options.things / THINGS, names)
    for kind, value in figures.items():
        print(f"{kind:30s} {value:.3f}", flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
