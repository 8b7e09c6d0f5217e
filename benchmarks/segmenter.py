"""Measure segmenters on single frames, with points of the ground-truth mask.

    python -m benchmarks.segmenter --davis ../shared/davis [--segmenter nano grabcut box] [--json FILE]
    python -m benchmarks.segmenter --train ../shared/training/davis2016_train      the held-out training sequences

DAVIS is a folder with ImageSets, JPEGImages and Annotations, of which every 10th frame is prompted for; TRAIN one of
NAME_NNNNN.jpg and .png, of which every 4th frame of the sequences that training/segmenter/config.toml holds out. Every choice
is made on the second; the first is for reporting. Printed for each kind of prompt: mean IoU, mean boundary F and milliseconds;
for each segmenter also the rank correlation of predicted and true IoU, and the IoU lost when a tenth of the points are wrong.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import time
import tomllib
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from sampt.evaluation.datasets import LabelMapSequence, davis_sequences, select_sequences, training_sequences
from sampt.evaluation.vos.jf import boundary_f, jaccard
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.create import create_segmenter
from sampt.types import ObjectPrompt

COUNTS = (1, 3, 8, 16, 32, 64, 128)
CONFIG = Path(__file__).parents[1] / "training" / "segmenter" / "config.toml"


@dataclasses.dataclass(frozen=True, eq=False)
class Case:
    """One frame to segment: what is prompted and what is true."""

    sequence: str
    kind: str
    frame: np.ndarray
    gt: np.ndarray
    prompt: ObjectPrompt


# ---- cases -----------------------------------------------------------------------------------------------------------------


def held_out_sequences(folder: Path) -> list[LabelMapSequence]:
    """The training sequences that no network was trained on."""
    return select_sequences(training_sequences(folder), tomllib.loads(CONFIG.read_text())["data"]["held_out"])


def every(step: int, sequences: Iterable[LabelMapSequence]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, frames (t, h, w, 3) uint8 RGB and masks (t, h, w) bool of every ``step``-th frame of each sequence."""
    for sequence in sequences:
        video = sequence.open()
        frames = range(0, video.num_frames, step)
        masks = np.stack([sequence.label_map(i) > 0 for i in frames])
        yield sequence.name, np.stack([video.read(i, i + 1)[0] for i in frames]), masks


def gt_points(mask: np.ndarray, count: int, negatives: int, wrong: float, rng: np.random.Generator) -> ObjectPrompt:
    """Random points of the mask and of its surroundings; a fraction ``wrong`` of either bears the other's sign."""
    parts, signs = [], []
    for region, number, sign in ((mask, count, True), (~mask, negatives, False)):
        pixels = np.argwhere(region)[:, ::-1]
        parts.append(pixels[rng.choice(len(pixels), number, replace=len(pixels) < number)])
        flipped = np.zeros(number, bool)
        flipped[rng.permutation(number)[: round(wrong * number)]] = True
        signs.append(np.full(number, sign) ^ flipped)
    return ObjectPrompt(1, np.concatenate(parts).astype(np.float32), np.concatenate(signs))


def click_cases(sequences: Iterable[tuple[str, np.ndarray, np.ndarray]], counts: Sequence[int], wrong: float) -> list[Case]:
    """Points of the ground-truth mask on every frame given: with as many negatives, and without any where no point is wrong."""
    cases = []
    for name, frames, masks in sequences:
        for t in range(len(frames)):
            for count in counts if masks[t].sum() >= 30 else ():
                if wrong * count < 0.5 and wrong:  # not one point would be wrong
                    continue
                for negatives in (count, 0) if wrong == 0 else (count,):
                    prompt = gt_points(masks[t], count, negatives, wrong, np.random.default_rng([t, count]))
                    if wrong:  # tracked points go wrong, not a person's
                        prompt = dataclasses.replace(prompt, is_certain=np.zeros(len(prompt.xy), np.bool_))
                    if prompt.is_positive.any():
                        cases.append(Case(name, f"{count}+{negatives} wrong {wrong:g}", frames[t], masks[t], prompt))
    return cases


# ---- methods ---------------------------------------------------------------------------------------------------------------

Method = Callable[[Case], tuple[np.ndarray, float]]
"""Mask and predicted IoU (NaN: none)."""


def by_segmenter(segmenter: PromptableSegmenter) -> Method:
    def method(case: Case) -> tuple[np.ndarray, float]:
        prediction = segmenter.decode(segmenter.encode(case.frame[None])[0], [case.prompt])[0]
        return np.asarray(prediction.logits > 0), prediction.score

    return method


def by_box(case: Case) -> tuple[np.ndarray, float]:
    """Baseline: the bounding box of the positive points."""
    mask = np.zeros(case.gt.shape, bool)
    xy = np.round(case.prompt.xy[case.prompt.is_positive]).astype(int)
    (x0, y0), (x1, y1) = xy.min(0), xy.max(0)
    mask[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1] = True
    return mask, float("nan")


def method_called(name: str, weights: str) -> Method:
    return by_box if name == "box" else by_segmenter(create_segmenter(name, weights=weights))


# ---- measuring -------------------------------------------------------------------------------------------------------------


def spearman(a: np.ndarray, b: np.ndarray) -> float:
    """Rank correlation; equal values share their mean rank."""

    def ranks(values: np.ndarray) -> np.ndarray:
        _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
        return (np.cumsum(counts) - (counts - 1) / 2)[inverse]

    return float(np.corrcoef(ranks(a), ranks(b))[0, 1])


def measure(cases: list[Case], method: Method) -> dict[str, dict[str, float]]:
    """Figures of each kind of case, and ``all`` with the correlation of predicted and true IoU."""
    rows: dict[str, list[tuple[float, float, float, float]]] = defaultdict(list)
    for case in cases:
        start = time.perf_counter()
        mask, score = method(case)
        elapsed = (time.perf_counter() - start) * 1e3
        rows[case.kind].append((jaccard(mask, case.gt), boundary_f(mask, case.gt), elapsed, score))
    figures = {}
    for kind, values in rows.items():
        iou, f = np.mean(values, 0)[:2]
        figures[kind] = {
            "frames": len(values),
            "iou": float(iou),
            "f": float(f),
            "ms": float(np.median([v[2] for v in values])),
        }
    pairs = np.array([(v[0], v[3]) for values in rows.values() for v in values])
    if np.isfinite(pairs[:, 1]).all():
        error = float(np.abs(pairs[:, 0] - pairs[:, 1]).mean())
        figures["all"] = {"spearman": spearman(pairs[:, 1], pairs[:, 0]), "score_error": error}
    return figures


def show(name: str, figures: dict[str, dict[str, float]]) -> None:
    print(name)
    for kind, row in figures.items():
        if kind != "all":
            print(f"  {kind:18s} {row['frames']:4.0f} frames  IoU {row['iou']:.3f}  F {row['f']:.3f}  {row['ms']:6.1f} ms")
    if "all" in figures:
        print("  predicted against true IoU: Spearman {spearman:.3f}, mean error {score_error:.3f}".format(**figures["all"]))
    for kind in figures:
        if kind.endswith("wrong 0.1") and (right := figures.get(kind.replace("0.1", "0"))):
            print(f"  a tenth wrong at {kind.split()[0]}: IoU {right['iou'] - figures[kind]['iou']:+.3f} lost", flush=True)


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--davis", type=Path, help="folder with ImageSets, JPEGImages and Annotations")
    where.add_argument("--train", type=Path, help="folder of davis2016_train; its held-out sequences are used")
    parser.add_argument("--segmenter", nargs="+", default=["nano", "grabcut", "box"], help="names of backends, or 'box'")
    parser.add_argument("--weights", default="default", help="weights of the segmenters")
    parser.add_argument("--counts", nargs="+", type=int, default=COUNTS, help="positives a frame")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    chosen = every(10, davis_sequences(options.davis)) if options.davis else every(4, held_out_sequences(options.train))
    sequences = list(chosen)
    cases = [case for wrong in (0.0, 0.1) for case in click_cases(sequences, options.counts, wrong)]
    found = {}
    for name in options.segmenter:
        found[name] = measure(cases, method_called(name, options.weights))
        show(name, found[name])
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
