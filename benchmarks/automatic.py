"""Measure which of the objects in a frame automatic masks find, at several thresholds.

    python -m benchmarks.automatic --train ../shared/training [--segmenter nano]      where the thresholds were chosen
    python -m benchmarks.automatic --davis ../shared/davis

Frames: the held-out images of several objects and the first frames of the held-out training sequences; of DAVIS the first frame
of each sequence. The grid prompts once, and the thresholds are applied to what it gives: printed is, for each pair of them, how
many masks stay on average, on how many frames none does, and the fraction of the objects that one of them meets with an IoU
above 0.5 and above 0.7. Few things in a frame have ground truth, so that nothing is said of masks that meet none.
"""

from __future__ import annotations

import argparse
import json
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.prompts import THINGS
from benchmarks.segmenter import CONFIG, every, held_out_sequences
from sampt.evaluation.datasets import LabelMapSequence, davis_sequences, read_label_map
from sampt.evaluation.vos.jf import jaccard
from sampt.segmenters.automatic import AutomaticMaskConfig, distinct_boxes, generate_masks
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.create import create_segmenter

THRESHOLDS = ((0.0, 0.0), (0.4, 0.8), (0.5, 0.8), (0.6, 0.8), (0.7, 0.8), (0.5, 0.85), (0.6, 0.85), (0.8, 0.9), (0.88, 0.95))
Frames = Iterator[tuple[np.ndarray, list[np.ndarray]]]


def training_frames(root: Path) -> Frames:
    """(frame RGB, masks of its objects) of the held-out images and of the first frames of the held-out sequences."""
    for name in tomllib.loads(CONFIG.read_text())["data"]["held_out_things"]:
        path = root / THINGS / f"{name}.jpg"
        ids = read_label_map(path.with_suffix(".png"))
        yield cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB), [ids == i for i in np.unique(ids[ids > 0])]
    yield from first_frames(held_out_sequences(root / "davis2016_train"))


def first_frames(sequences: Sequence[LabelMapSequence]) -> Frames:
    """(frame RGB, [mask]) of each sequence."""
    for _, frames, masks in every(10**6, sequences):
        yield frames[0], [masks[0]]


def measure(
    segmenter: PromptableSegmenter, frames: Frames, thresholds: Sequence[tuple[float, float]]
) -> dict[str, list[float]]:
    """For each pair of thresholds: masks a frame, frames without one, fraction of objects met above 0.5 and above 0.7."""
    found: dict[str, list[tuple[int, list[float]]]] = {}
    unfiltered = AutomaticMaskConfig(score_threshold=0.0, stability_threshold=0.0, nms_threshold=1.0, max_masks=10**6)
    settings = AutomaticMaskConfig.for_segmenter(segmenter.info)
    for frame, masks in frames:
        made = generate_masks(frame, segmenter, unfiltered)
        ious = np.array([[jaccard(m.mask, mask) for mask in masks] for m in made])
        boxes = np.stack([m.box_xyxy for m in made]).astype(np.int64)
        scores, stability = (np.array([getattr(m, name) for m in made]) for name in ("score", "stability"))
        for score, stable in thresholds:
            passing = np.flatnonzero((scores > score) & (stability >= stable))
            kept = passing[distinct_boxes(boxes[passing], scores[passing], settings.nms_threshold, settings.max_masks)]
            best = ious[kept].max(0) if len(kept) else np.zeros(len(masks))
            found.setdefault(f"{score} {stable}", []).append((len(kept), best.tolist()))
    return {name: _summary(values) for name, values in found.items()}


def _summary(frames: Sequence[tuple[int, list[float]]]) -> list[float]:
    counts = np.array([count for count, _ in frames])
    best = np.concatenate([ious for _, ious in frames])
    return [float(v) for v in (counts.mean(), (counts == 0).sum(), (best > 0.5).mean(), (best > 0.7).mean())]


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--davis", type=Path, help="folder with ImageSets, JPEGImages and Annotations")
    where.add_argument("--train", type=Path, help=f"folder that holds davis2016_train and {THINGS}")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--weights", default="default", help="weights of the segmenter")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    segmenter = create_segmenter(options.segmenter, weights=options.weights)
    frames = first_frames(davis_sequences(options.davis)) if options.davis else training_frames(options.train)
    figures = measure(segmenter, frames, THRESHOLDS)
    print("score, stability   masks a frame   frames without   objects met above 0.5   above 0.7")
    for pair, (count, none, half, high) in figures.items():
        print(f"{pair:18s} {count:13.1f} {none:16.0f} {half:23.2f} {high:11.2f}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
