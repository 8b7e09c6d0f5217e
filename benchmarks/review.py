"""Measure how well the review score tells bad frames, and fit it.

    python -m benchmarks.review collect FOLDER --train ../shared/training/davis2016_train_480 --davis ../shared/davis
    python -m benchmarks.review fit FOLDER [--json FILE]        the numbers of sampt/session/quality.py
    python -m benchmarks.review report FOLDER [--json FILE]     the model in the code, on DAVIS

`collect` propagates the first 40 frames of sequences in sessions of the default preset, from the first mask, from three oracle
clicks (in the middle of the largest wrong region) or from one random click, and leaves each project, its frames and the IoU of
every frame in FOLDER; what is there stays (hours on two cores). Training sequences are made harder so that there are bad
frames: every second to fifth frame alone, and smaller. Most of them were seen by the segmenter's training; those held out weigh
double.

A frame is bad when its IoU is below 0.7. Propagations that start from a bad mask are left out: a person sees that mask and
corrects it, and nothing later tells. `fit` is a logistic regression on soft labels (a sigmoid of the IoU around 0.7), each
weight of the sign that its feature says, then the logit's line for hard labels, from predictions across sequences (each
sequence by the others). The threshold has the best F1 of these predictions. Weights and limit come from the training sequences
alone; that there are few features, each with its sign, was decided after a larger set had done worse on DAVIS, too.
"""

from __future__ import annotations

import argparse
import dataclasses
import itertools
import json
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks.corrections import OBJECT, click
from benchmarks.segmenter import held_out_sequences
from sampt.evaluation.datasets import LabelMapSequence, davis_sequences, training_sequences
from sampt.evaluation.vos.jf import jaccard
from sampt.presets import preset
from sampt.session import Session
from sampt.session.quality import FEATURES, GOOD_IOU, MODEL, Model, QualityMeter, good_probability, reduce_frame
from sampt.session.review import REVIEW_BELOW, find_flags
from sampt.session.store import ResultStore
from sampt.session.types import FrameStatus
from sampt.types import BoolArray, FloatArray

FRAMES = 40
HELD_WEIGHT, SOFT_WIDTH, L2 = 2.0, 0.05, 10.0
CLIP = 4.0
"""Standardised features are not taken for farther out than that."""


class Start(NamedTuple):
    """How a propagation begins, and what makes it harder."""

    kind: str
    seed: int = 0
    stride: int = 1
    longest_side: int | None = None

    @property
    def name(self) -> str:
        return f"{self.kind}-seed{self.seed}-stride{self.stride}-side{self.longest_side or 'full'}"


HELD = [
    Start("clicks3"),
    Start("click1", seed=1),
    Start("mask", stride=3),
    Start("click1", seed=3, stride=3, longest_side=428),
    Start("clicks3", seed=2, stride=4, longest_side=320),
    Start("mask", seed=2, stride=4, longest_side=428),
]
SEEN = [
    Start("click1", seed=1, stride=3, longest_side=428),
    Start("clicks3", seed=1, stride=3, longest_side=320),
    Start("mask", seed=1, stride=5, longest_side=428),
]
TEST = [Start("clicks3"), Start("mask"), Start("click1", seed=1)]


# ---- collecting ------------------------------------------------------------------------------------------------------------


def give(session: Session, gt: BoolArray, start: Start) -> None:
    """The object's inputs on the first frame."""
    session.add_object()
    if start.kind == "mask":
        session.set_mask(OBJECT, 0, gt)
    elif start.kind == "clicks3":
        for _ in range(3):
            click(session, 0, gt)
    else:
        depth = cv2.distanceTransform(gt.astype(np.uint8), cv2.DIST_L2, 5)
        inner = np.argwhere(depth >= 0.5 * depth.max())
        y, x = inner[np.random.default_rng(start.seed).integers(len(inner))].tolist()
        session.add_point(OBJECT, 0, (x, y))


def propagate(sequence: LabelMapSequence, start: Start, folder: Path) -> None:
    """A project in ``folder``, its frames, and the IoU of each; what is there already stays."""
    if (folder / "ious.json").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    (folder / "frames").mkdir(parents=True)
    video = sequence.open()
    frames = range(0, video.num_frames, start.stride)[:FRAMES]
    for i, frame in enumerate(frames):
        image = np.asarray(video.read(frame, frame + 1)[0])[..., ::-1]
        cv2.imwrite(str(folder / "frames" / f"{i:05d}.jpg"), image, [cv2.IMWRITE_JPEG_QUALITY, 97])
    chosen = preset("default")
    config = dataclasses.replace(chosen, seed=start.seed, longest_side=start.longest_side or chosen.longest_side)
    ious = {}
    with Session.create(folder / "frames", folder / "clip.sampt", config=config) as session:
        give(session, sequence.label_map(0) > 0, start)
        for update in session.propagate():
            gt = sequence.label_map(frames[update.frame_idx]) > 0
            ious[update.frame_idx] = jaccard(update.results[OBJECT].mask(session.size_hw), gt)
    (folder / "ious.json").write_text(json.dumps(ious))
    print(f"{start.name} {sequence.name} {np.mean(list(ious.values())):.3f}", flush=True)


def collect(folder: Path, train: Path, davis: Path) -> None:
    held = held_out_sequences(train)
    names = {sequence.name for sequence in held}
    seen = [sequence for sequence in training_sequences(train) if sequence.name not in names]
    groups = [("train", held, HELD), ("train", seen, SEEN), ("davis", list(davis_sequences(davis)), TEST)]
    (folder / "held.json").write_text(json.dumps(sorted(names)))
    for part, sequences, starts in groups:
        for start in starts:
            for sequence in sequences:
                propagate(sequence, start, folder / part / start.name / sequence.name)


# ---- features --------------------------------------------------------------------------------------------------------------


@dataclasses.dataclass(frozen=True, eq=False)
class Frames:
    """n propagated frames: features (n, k), IoU (n,), the sequence and the start of each, and whether it is unlike those around
    it (:func:`sampt.session.review.find_flags`)."""

    features: FloatArray
    iou: FloatArray
    sequence: np.ndarray
    start: np.ndarray
    is_unlike: BoolArray

    @property
    def is_good(self) -> BoolArray:
        return np.asarray(self.iou >= GOOD_IOU)

    def select(self, keep: np.ndarray) -> Frames:
        parts = (self.features, self.iou, self.sequence, self.start, self.is_unlike)
        return Frames(*(part[keep] for part in parts))


def measure(folder: Path) -> Iterator[tuple[FloatArray, float, bool]]:
    """Features, IoU and unlikeness of the frames of one project, all but the first; none where the first one is bad."""
    ious = {int(i): iou for i, iou in json.loads((folder / "ious.json").read_text()).items()}
    if ious.get(0, 1.0) < GOOD_IOU:
        return
    store, meter = ResultStore(folder / "clip.sampt" / "masks.journal"), None
    entries = [store.newest(OBJECT, i) for i in sorted(ious)]
    assert None not in entries, "every frame that was reported has a result"
    known = [(e.score, e.num_visible, e.area_px) for e in entries if e is not None]
    score, points, area = (np.array(column) for column in zip(*known, strict=True))
    state = np.full(len(known), FrameStatus.DONE, np.uint8)
    is_unlike = find_flags(state, score.astype(np.float32), points, area) > 0
    for i, entry in zip(sorted(ious), entries, strict=True):
        assert entry is not None
        image = cv2.imread(str(folder / "frames" / f"{i:05d}.jpg"))
        record, reduced = store.read(entry), reduce_frame(np.ascontiguousarray(image[..., ::-1]))
        if meter is None:
            meter = QualityMeter(record, reduced)
        else:
            yield meter.measure(record, reduced), ious[i], bool(is_unlike[i])
    store.close()


def load(folder: Path, part: str) -> Frames:
    rows, ious, sequences, starts, unlike = [], [], [], [], []
    for path in sorted((folder / part).glob("*/*/ious.json")):
        for features, iou, is_unlike in measure(path.parent):
            rows.append(features)
            unlike.append(is_unlike)
            ious.append(iou)
            sequences.append(path.parent.name)
            starts.append(path.parent.parent.name)
    return Frames(np.array(rows), np.array(ious), np.array(sequences), np.array(starts), np.array(unlike))


# ---- fitting ---------------------------------------------------------------------------------------------------------------


def regress(frames: Frames, weights: FloatArray) -> Model:
    """Weights that are not negative, by an accelerated projected gradient."""
    mean, deviation = frames.features.mean(0), frames.features.std(0) + 1e-9
    rows = np.clip((frames.features - mean) / deviation, -CLIP, CLIP)
    rows = np.concatenate([rows, np.ones((len(rows), 1))], axis=1)
    labels = 1 / (1 + np.exp(-np.clip((frames.iou - GOOD_IOU) / SOFT_WIDTH, -30, 30)))
    steepest = 0.25 * np.linalg.eigvalsh((rows * weights[:, None]).T @ rows)[-1] + L2
    found = ahead = np.zeros(rows.shape[1])
    speed = 1.0
    for _ in range(5000):
        gradient = rows.T @ (weights * (1 / (1 + np.exp(-rows @ ahead)) - labels))
        gradient[:-1] += L2 * ahead[:-1]
        new = ahead - gradient / steepest
        new[:-1] = np.maximum(new[:-1], 0)
        faster = (1 + (1 + 4 * speed**2) ** 0.5) / 2
        ahead = new + (speed - 1) / faster * (new - found)
        found, speed = new, faster
    return Model(tuple(mean.tolist()), tuple(deviation.tolist()), tuple(found[:-1].tolist()), float(found[-1]))


def predict(frames: Frames, model: Model) -> FloatArray:
    return np.array([good_probability(row, model) for row in frames.features])


def weigh(frames: Frames, held: Sequence[str]) -> FloatArray:
    return np.where(np.isin(frames.sequence, list(held)), HELD_WEIGHT, 1.0)


def cross_validate(frames: Frames, held: Sequence[str]) -> FloatArray:
    """(n,) probabilities, each sequence's by a model of the others."""
    found = np.zeros(len(frames.iou))
    for name in np.unique(frames.sequence):
        own = frames.sequence == name
        others = frames.select(~own)
        found[own] = predict(frames.select(own), regress(others, weigh(others, held)))
    return found


def fit_line(probability: FloatArray, is_good: BoolArray, weights: FloatArray) -> tuple[float, float]:
    """Slope and offset from logits to the logits of hard labels, by Newton's method."""
    kept = np.clip(probability, 1e-6, 1 - 1e-6)
    rows = np.stack([np.log(kept / (1 - kept)), np.ones(len(kept))], axis=1)
    line = np.array([1.0, 0.0])
    for _ in range(50):
        p = 1 / (1 + np.exp(-rows @ line))
        hessian = (rows * (weights * p * (1 - p))[:, None]).T @ rows + 1e-6 * np.eye(2)
        line = line - np.linalg.solve(hessian, rows.T @ (weights * (p - is_good)))
    return float(line[0]), float(line[1])


def with_line(model: Model, slope: float, offset: float) -> Model:
    return model._replace(weight=tuple(slope * w for w in model.weight), bias=slope * model.bias + offset)


# ---- figures ---------------------------------------------------------------------------------------------------------------


def rate(probability: FloatArray, is_good: BoolArray, below: float) -> dict[str, float]:
    """Recall and precision of the frames flagged, and the area under the curve of all thresholds."""
    flagged, bad = probability < below, ~is_good
    hits = int((flagged & bad).sum())
    order = np.empty(len(probability))
    order[np.argsort(probability, kind="stable")] = np.arange(len(probability))
    pairs = int(bad.sum()) * int(is_good.sum())
    area = float((order[is_good].sum() - is_good.sum() * (is_good.sum() - 1) / 2) / pairs) if pairs else float("nan")
    return {
        "frames": float(len(is_good)),
        "bad": float(bad.sum()),
        "flagged": float(flagged.sum()),
        "recall": hits / max(1, int(bad.sum())),
        "precision": hits / max(1, int(flagged.sum())),
        "auc": area,
    }


def choose_threshold(probability: FloatArray, is_good: BoolArray) -> float:
    """That of the best F1."""

    def f1(below: float) -> float:
        found = rate(probability, is_good, below)
        return 2 * found["recall"] * found["precision"] / max(1e-9, found["recall"] + found["precision"])

    return max((round(float(t), 2) for t in np.arange(0.2, 0.96, 0.02)), key=f1)


def reliability(probability: FloatArray, is_good: BoolArray) -> list[dict[str, float]]:
    """How many of the frames with about a probability are good."""
    rows = []
    for low, high in itertools.pairwise((0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 0.95, 1.0)):
        own = (probability >= low) & ((probability < high) | (high == 1.0))
        if own.any():
            means = {"said": float(probability[own].mean()), "good": float(is_good[own].mean())}
            rows.append({"from": low, "to": high, "frames": float(own.sum()), **means})
    return rows


def show(name: str, probability: FloatArray, frames: Frames, below: float) -> dict[str, float]:
    found = rate(probability, frames.is_good, below)
    print(
        "{:26s} frames {frames:5.0f}  bad {bad:4.0f}  flagged {flagged:4.0f}  recall {recall:.2f}  precision {precision:.2f}  "
        "auc {auc:.3f}".format(name, **found),
        flush=True,
    )
    return found


def fit(folder: Path) -> dict[str, object]:
    frames, held = load(folder, "train"), json.loads((folder / "held.json").read_text())
    weights = weigh(frames, held)
    crossed = cross_validate(frames, held)
    slope, offset = fit_line(crossed, frames.is_good, weights)
    logit = np.log(np.clip(crossed, 1e-6, 1 - 1e-6) / np.clip(1 - crossed, 1e-6, 1))
    crossed = np.asarray(1 / (1 + np.exp(-(slope * logit + offset))))
    below = choose_threshold(crossed, frames.is_good)
    model = with_line(regress(frames, weights), slope, offset)
    for name, values in model._asdict().items():
        print(f"    {name}={tuple(round(v, 4) for v in values) if isinstance(values, tuple) else round(values, 4)},")
    for name, weight in zip(FEATURES, model.weight, strict=True):
        print(f"{name:14s} {weight:.3f}")
    print(f"REVIEW_BELOW = {below}")
    is_held = np.isin(frames.sequence, held)
    figures: dict[str, object] = {
        "cross-validation": show("cross-validation", crossed, frames, below),
        "held out": show("held out", crossed[is_held], frames.select(is_held), below),
        "reliability": reliability(crossed, frames.is_good),
    }
    for row in reliability(crossed, frames.is_good):
        print("said {said:.2f}  good {good:.2f}  frames {frames:.0f}".format(**row))
    return figures


def report(folder: Path) -> dict[str, object]:
    frames = load(folder, "davis")
    probability = predict(frames, MODEL)
    figures: dict[str, object] = {}
    for start in np.unique(frames.start):
        own = frames.start == start
        figures[str(start)] = show(str(start), probability[own], frames.select(own), REVIEW_BELOW)
    score = 1 / (1 + np.exp(-frames.features[:, list(FEATURES).index("score")]))
    figures["all"] = show("all", probability, frames, REVIEW_BELOW)
    figures["predicted IoU alone"] = show("predicted IoU below 0.7", score, frames, GOOD_IOU)
    figures["unlike those around"] = show("unlike those around", 1.0 - frames.is_unlike, frames, 0.5)
    figures["reliability"] = reliability(probability, frames.is_good)
    for row in reliability(probability, frames.is_good):
        print("said {said:.2f}  good {good:.2f}  frames {frames:.0f}".format(**row))
    return figures


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("step", choices=("collect", "fit", "report"))
    parser.add_argument("folder", type=Path, help="of what `collect` leaves")
    parser.add_argument("--train", type=Path, help="folder of davis2016_train_480")
    parser.add_argument("--davis", type=Path, help="folder with ImageSets, JPEGImages and Annotations")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    if options.step == "collect":
        if options.train is None or options.davis is None:
            parser.error("collect needs --train and --davis")
        options.folder.mkdir(parents=True, exist_ok=True)
        collect(options.folder, options.train, options.davis)
        return
    figures = fit(options.folder) if options.step == "fit" else report(options.folder)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
