"""Measure what a second click does, and how many clicks a good mask takes.

    python -m benchmarks.clicks --davis ../shared/davis [--segmenter nano] [--json FILE]
    python -m benchmarks.clicks --train ../shared/training/davis2016_train      the held-out training sequences

Pairs: on the first frame of each sequence random clicks on the object, each with a second one 0 to 80 pixels (of a frame of
854) away, on the object, too. A pair fails when the second click costs more than 0.1 IoU. Equal clicks: the same click three
times must give the mask of one. Corrections: every 20th frame, from one click on the object's centre; then, nine times, a click
in the middle of the largest wrong region with the mask before as a further input, as in the page. NoC is the number of clicks
to an IoU of 0.85 and 0.90 (ten where it is not reached).
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from benchmarks.segmenter import every, held_out_sequences
from sampt.evaluation.datasets import davis_sequences
from sampt.evaluation.vos.jf import jaccard
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.create import create_segmenter
from sampt.types import MaskPrediction, ObjectPrompt

PAIRS = 20
REACH = 80 / 854
Frames = list[tuple[str, np.ndarray, np.ndarray]]


def click_pairs(mask: np.ndarray, count: int, rng: np.random.Generator) -> list[np.ndarray]:
    """(2, 2) float (x, y) of pairs of clicks on ``mask``, the second at a uniform distance of up to 80 / 854 of the width."""
    pixels = np.argwhere(mask)[:, ::-1].astype(np.float32)
    pairs = []
    for _ in range(count):
        first = pixels[rng.integers(len(pixels))]
        distance = np.hypot(*(pixels - first).T)
        wanted = rng.uniform(0, REACH * max(mask.shape))
        off = np.abs(distance - wanted)
        near = np.flatnonzero(off <= max(off.min(), 1.0))  # the object may end before that distance
        pairs.append(np.stack([first, pixels[rng.choice(near)]]))
    return pairs


def predict(
    segmenter: PromptableSegmenter, embedding: Any, xy: np.ndarray, signs: Sequence[bool], before: Any
) -> MaskPrediction:
    prompt = ObjectPrompt(1, np.asarray(xy, np.float32), np.asarray(signs, bool), mask_logits=before)
    return segmenter.decode(embedding, [prompt])[0]


def measure_pairs(segmenter: PromptableSegmenter, frames: Frames) -> dict[str, float]:
    """Fraction of second clicks that cost more than 0.1 IoU, and whether equal clicks count once."""
    lost, equal = [], []
    for name, images, masks in frames:
        embedding = segmenter.encode(images[:1])[0]
        rng = np.random.default_rng([ord(letter) for letter in name])
        for pair in click_pairs(masks[0], PAIRS, rng):
            one, two, three = (
                predict(segmenter, embedding, xy, [True] * len(xy), None).logits > 0
                for xy in (pair[:1], pair, np.repeat(pair[:1], 3, axis=0))
            )
            lost.append(jaccard(one, masks[0]) - jaccard(two, masks[0]))
            equal.append(np.array_equal(one, three))
    losses = np.array(lost)
    return {
        "pairs": len(losses),
        "lose_more_than_0.1": float((losses > 0.1).mean()),
        "mean_gain": float(-losses.mean()),
        "equal_clicks_count_once": float(np.mean(equal)),
    }


def middle_of_largest(wrong: np.ndarray) -> tuple[np.ndarray, float]:
    """(2,) x, y of the pixel deepest inside the largest connected region, and the region's area; the frame's border counts."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(wrong.astype(np.uint8), connectivity=4)
    if count < 2:
        return np.zeros(2, np.float32), 0.0
    largest = 1 + int(np.argmax(stats[1:, cv2.CC_STAT_AREA]))
    region = np.pad(labels == largest, 1).astype(np.uint8)
    depth = cv2.distanceTransform(region, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return np.array([x, y], np.float32), float(stats[largest, cv2.CC_STAT_AREA])


def correct(segmenter: PromptableSegmenter, embedding: Any, gt: np.ndarray, clicks: int) -> list[float]:
    """IoU after each of ``clicks`` clicks, each set by what was wrong after the one before."""
    xy, signs, before, ious = [middle_of_largest(gt)[0]], [True], None, []
    for _ in range(clicks):
        prediction = predict(segmenter, embedding, np.stack(xy), signs, before)
        before = prediction.low_res_logits
        mask = np.asarray(prediction.logits > 0)
        ious.append(float(jaccard(mask, gt)))
        missing, extra = middle_of_largest(gt & ~mask), middle_of_largest(mask & ~gt)
        is_positive = missing[1] >= extra[1]
        xy.append((missing if is_positive else extra)[0])
        signs.append(is_positive)
    return ious


def measure_corrections(segmenter: PromptableSegmenter, frames: Frames, clicks: int = 10) -> dict[str, float]:
    """Clicks to an IoU, and the fraction of clicks that cost more than 0.1."""
    courses = []
    for _, images, masks in frames:
        for image, gt in zip(images, masks, strict=True):
            if gt.sum() >= 30:
                courses.append(correct(segmenter, segmenter.encode(image[None])[0], gt, clicks))
    course = np.array(courses)
    figures = {"frames": float(len(course))}
    for target in (0.85, 0.90):
        reached = course >= target
        figures[f"noc_{target:.2f}"] = float(np.where(reached.any(1), reached.argmax(1) + 1, clicks).mean())
    figures["cost_more_than_0.1"] = float((np.diff(course, axis=1) < -0.1).mean())
    figures |= {f"iou_{n}": float(course[:, n - 1].mean()) for n in (1, 2, 3, 5, clicks)}
    return figures


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--davis", type=Path, help="folder with ImageSets, JPEGImages and Annotations")
    where.add_argument("--train", type=Path, help="folder of davis2016_train; its held-out sequences are used")
    parser.add_argument("--segmenter", default="nano")
    parser.add_argument("--weights", default="default", help="weights of the segmenter")
    parser.add_argument("--measure", nargs="+", choices=["pairs", "corrections"], default=["pairs", "corrections"])
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    sequences = davis_sequences(options.davis) if options.davis else held_out_sequences(options.train)
    frames = list(every(20 if options.davis else 8, sequences))
    segmenter = create_segmenter(options.segmenter, weights=options.weights)
    measures = {"pairs": measure_pairs, "corrections": measure_corrections}
    found = {name: measures[name](segmenter, frames) for name in options.measure}
    for name, figures in found.items():
        print(name, json.dumps({key: round(value, 4) for key, value in figures.items()}), flush=True)
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
