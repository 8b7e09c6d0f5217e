"""Find and measure the constants of the segmenter ``grabcut``.

    python -m tools.tune_grabcut fit --train TRAIN     constants, by five-fold cross-validation over sequences
    python -m tools.tune_grabcut carried --train TRAIN mean IoU and F with points carried by optical flow, beside baselines

TRAIN is a folder of NAME_NNNNN.jpg and .png (id 1 = object). Single frames with true points: benchmarks/segmenter.py.
"""

from __future__ import annotations

import argparse
import functools
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.segmenter import Case, by_box, click_cases, spearman
from sampt.config import SamplingConfig
from sampt.evaluation.datasets import training_sequences
from sampt.evaluation.vos.jf import boundary_f, jaccard
from sampt.geometry import rescale_xy
from sampt.points.sample import sample_object_points
from sampt.segmenters.grabcut import GrabCutSegmenter, GrabCutSettings
from sampt.segmenters.grabcut.cut import min_cut
from sampt.segmenters.grabcut.score import SCORE_FEATURES, score_features
from sampt.segmenters.grabcut.unary import FEATURE_NAMES, Evidence, FrameFeatures, gather_evidence, unary_features
from sampt.trackers.create import create_tracker
from sampt.types import ObjectPrompt
from sampt.video.array import ArrayVideo

TRAIN_FRAMES = (1, 3, 7, 12, 18)
POINT_COUNTS = (16, 64, 128, 256)
FOLDS = 5


def train_sequences(folder: Path) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """Name, frames (t, h, w, 3) and masks (t, h, w) of every sequence, up to the last frame looked at."""
    for sequence in training_sequences(folder):
        video = sequence.open()
        count = min(video.num_frames, TRAIN_FRAMES[-1] + 1)
        yield sequence.name, video.read(0, count), np.stack([sequence.label_map(i) == 1 for i in range(count)])


def carried_cases(folder: Path, margins: tuple[float | None, ...], counts: tuple[int, ...]) -> list[Case]:
    """Points sampled on each sequence's first mask and carried to later frames by ``dis-flow``."""
    cases = []
    tracker = create_tracker("dis-flow")
    for name, frames, masks in train_sequences(folder):
        groups = [(count, margin) for count in counts for margin in margins]
        points = []
        for k, (count, margin) in enumerate(groups):
            config = SamplingConfig(
                positive_points=count,
                negative_points=count,
                positive_sampler="kmedoids" if count <= 128 else "random",
                negative_sampler="kmedoids" if count <= 128 else "random",
                negative_margin=margin,
            )
            points.append(sample_object_points(masks[0], frames[0], k + 1, 0, config, np.random.default_rng(k)))
        tracks = tracker.track(ArrayVideo(frames), type(points[0]).concat(points))
        for t in (t for t in TRAIN_FRAMES if t < len(frames) and masks[t].sum() >= 30):
            for k, (count, margin) in enumerate(groups):
                own = tracks.visible[t] & (tracks.points.object_id == k + 1)
                positive = tracks.points.is_positive[own]
                if positive.any():
                    prompt = ObjectPrompt(1, tracks.xy[t][own], positive)
                    cases.append(Case(name, f"{count} margin {margin}", frames[t], masks[t], prompt))
    return cases


# ---- fitting ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Sample:
    """Features of a case: of all pixels of the window for the cut, of some for the fit."""

    case: Case
    features: np.ndarray
    labels: np.ndarray
    window: tuple[slice, slice]


def weigh(case: Case, segmenter: GrabCutSegmenter) -> tuple[FrameFeatures, Evidence, tuple[slice, slice]]:
    """The features of a case's frame, what its prompt says of them, and the window that is decided on."""
    features_of_frame = segmenter.encode(case.frame[None])[0]
    evidence = gather_evidence(
        rescale_xy(case.prompt.xy, features_of_frame.size_hw, features_of_frame.low_hw),
        case.prompt.is_positive,
        features_of_frame.low_hw,
    )
    window = segmenter._window(features_of_frame, evidence, None)
    return features_of_frame, evidence, window


def draw_sample(case: Case, segmenter: GrabCutSegmenter, rng: np.random.Generator, pixels: int = 1500) -> Sample:
    features_of_frame, evidence, window = weigh(case, segmenter)
    features = unary_features(features_of_frame, evidence, window)
    gt = cv2.resize(case.gt.astype(np.float32), features_of_frame.low_hw[::-1], interpolation=cv2.INTER_AREA)[window] > 0.5
    index = rng.choice(gt.size, pixels, replace=True)
    return Sample(case, features.reshape(-1, features.shape[-1])[index], gt.ravel()[index], window)


def fit_soft_iou(samples: list[Sample], start: np.ndarray, sharpness: float = 2.0, steps: int = 400) -> np.ndarray:
    """Weights of the features with the highest mean soft IoU over the samples (Adam from ``start``, deterministic)."""
    x = np.stack([s.features for s in samples])[..., :-1]  # the last feature is 1
    y = np.stack([s.labels for s in samples]).astype(np.float32)
    mean, spread = x.mean((0, 1)), x.std((0, 1)) + 1e-6
    x = np.dstack([(x - mean) / spread, np.ones_like(x[..., :1])])
    b = np.append(start[:-1] * spread, start[-1] + start[:-1] @ mean).astype(np.float32)
    b0, m, v = b.copy(), np.zeros_like(b), np.zeros_like(b)
    for k in range(1, steps + 1):
        p = 1 / (1 + np.exp(-np.clip(x @ b * sharpness, -30, 30)))
        both, either = (p * y).sum(1), (p + y - p * y).sum(1) + 1
        slope = (y / either[:, None] - (both / either**2)[:, None] * (1 - y)) * p * (1 - p) * sharpness
        gradient = -np.einsum("nk,nkd->d", slope, x) / len(x) + 1e-3 * (b - b0)
        m, v = 0.9 * m + 0.1 * gradient, 0.99 * v + 0.01 * gradient**2
        b = b - 0.05 * (1 - k / steps) * (m / (1 - 0.9**k)) / (np.sqrt(v / (1 - 0.99**k)) + 1e-8)
    slopes = b[:-1] / spread
    return np.append(slopes, b[-1] - slopes @ mean).astype(np.float64)


def assign_folds(cases: list[Case]) -> dict[str, int]:
    return {name: i % FOLDS for i, name in enumerate(sorted({case.sequence for case in cases}))}


def fit(cases: list[Case], held_out: list[Case]) -> None:
    """Print cross-validated figures, then the constants from all cases."""
    start = np.array(GrabCutSettings().weights)
    rng = np.random.default_rng(0)
    samples = [draw_sample(case, GrabCutSegmenter(), rng) for case in cases]
    folds = assign_folds(cases)
    per_fold = [fit_soft_iou([s for s in samples if folds[s.case.sequence] != f], start) for f in range(FOLDS)]
    for smoothness in (3.0, 5.0, 7.0):
        segmenters = [GrabCutSegmenter(GrabCutSettings(weights=tuple(b), smoothness=smoothness)) for b in per_fold]
        print(f"cross-validated, smoothness {smoothness:g}")
        report(
            held_out,
            lambda c, s=segmenters: s[folds[c.sequence]].decode(s[0].encode(c.frame[None])[0], [c.prompt])[0].logits > 0,
        )
    weights = fit_soft_iou(samples, start)
    for name, weight in zip(FEATURE_NAMES, weights, strict=True):
        print(f"{weight:8.3f}  {name}")
    fit_score(held_out, GrabCutSegmenter(GrabCutSettings(weights=tuple(weights))))


def fit_score(cases: list[Case], segmenter: GrabCutSegmenter) -> None:
    """Ridge regression of the true IoU; prints cross-validated rank correlation, then the constants."""
    x, y = [], []
    for case in cases:
        features_of_frame, evidence, window = weigh(case, segmenter)
        logits = segmenter._unary(features_of_frame, evidence, window, None, None)
        mask = min_cut(logits, features_of_frame.edges[window], GrabCutSettings().smoothness)
        x.append(score_features(features_of_frame, evidence, window, logits, mask))
        y.append(jaccard(by_grabcut(case, segmenter), case.gt))
    features, gt = np.stack(x).astype(np.float64), np.array(y)
    folds = assign_folds(cases)
    fold = np.array([folds[case.sequence] for case in cases])
    guess = np.zeros(len(gt))
    for f in range(FOLDS):
        guess[fold == f] = features[fold == f] @ ridge(features[fold != f], gt[fold != f])
    guess = np.clip(guess, 0, 1)
    error = np.abs(guess - gt).mean()
    print(f"score, cross-validated: Spearman {spearman(guess, gt):.3f}, mean absolute error {error:.3f}")
    for low in np.arange(0, 1, 0.1):
        inside = (guess >= low) & (guess < low + 0.1)
        if inside.any():
            print(f"  predicted {low:.1f}..{low + 0.1:.1f}: {inside.sum():4d} masks, true IoU {gt[inside].mean():.2f}")
    for name, weight in zip(SCORE_FEATURES, ridge(features, gt), strict=True):
        print(f"{weight:8.3f}  {name}")


def ridge(x: np.ndarray, y: np.ndarray, strength: float = 1e-3) -> np.ndarray:
    return np.linalg.solve(x.T @ x + strength * len(x) * np.eye(x.shape[1]), x.T @ y)


# ---- measuring -------------------------------------------------------------------------------------------------------------


def report(cases: list[Case], segment: Callable[[Case], np.ndarray]) -> None:
    """Mean IoU, boundary F and time of each kind of case."""
    figures = defaultdict(list)
    for case in cases:
        start = time.perf_counter()
        mask = segment(case)
        elapsed = time.perf_counter() - start
        figures[case.kind].append((jaccard(mask, case.gt), boundary_f(mask, case.gt), elapsed * 1e3))
    for kind, rows in figures.items():
        iou, f, ms = np.mean(rows, 0)
        print(f"  {kind:28s} {len(rows):4d} frames  IoU {iou:.3f}  F {f:.3f}  {ms:6.1f} ms", flush=True)


def by_grabcut(case: Case, segmenter: GrabCutSegmenter) -> np.ndarray:
    prediction = segmenter.decode(segmenter.encode(case.frame[None])[0], [case.prompt])[0]
    return np.asarray(prediction.logits > 0)


def report_score(cases: list[Case]) -> None:
    """Rank correlation of the segmenter's own score with the true IoU."""
    segmenter = GrabCutSegmenter()
    predictions = [segmenter.decode(segmenter.encode(case.frame[None])[0], [case.prompt])[0] for case in cases]
    gt = np.array([jaccard(prediction.logits > 0, case.gt) for prediction, case in zip(predictions, cases, strict=True)])
    score = np.array([prediction.score for prediction in predictions])
    print(f"predicted against true IoU: Spearman {spearman(score, gt):.3f}, mean error {np.abs(score - gt).mean():.3f}")


def by_plain_grabcut(case: Case) -> np.ndarray:
    """Baseline: ``cv2.grabCut`` as its manual has it: discs at the points, the grown bounding box, five rounds."""
    labels = np.full(case.gt.shape, cv2.GC_BGD, np.uint8)
    positive = case.prompt.xy[case.prompt.is_positive]
    grow = max(10.0, 0.15 * float(np.ptp(positive, 0).max()))
    (x0, y0), (x1, y1) = (positive.min(0) - grow).astype(int), (positive.max(0) + grow).astype(int)
    labels[max(0, y0) : y1 + 1, max(0, x0) : x1 + 1] = cv2.GC_PR_FGD
    for (x, y), sign in zip(np.round(case.prompt.xy).astype(int), case.prompt.is_positive, strict=True):
        cv2.circle(labels, (int(x), int(y)), 2, cv2.GC_FGD if sign else cv2.GC_BGD, -1)
    if not (labels == cv2.GC_BGD).any() or not (labels & 1).any():
        return np.asarray(labels & 1, bool)
    cv2.grabCut(case.frame, labels, None, np.zeros((1, 65)), np.zeros((1, 65)), 5, cv2.GC_INIT_WITH_MASK)
    return np.asarray(labels & 1, bool)


METHODS: dict[str, Callable[[Case], np.ndarray]] = {
    "grabcut": functools.partial(by_grabcut, segmenter=GrabCutSegmenter()),
    "box of the positives": lambda case: by_box(case)[0],
    "plain cv2.grabCut": by_plain_grabcut,
}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("task", choices=("fit", "carried"))
    parser.add_argument("--train", type=Path, required=True)
    parser.add_argument("--only-grabcut", action="store_true", help="leave out the baselines; plain cv2.grabCut takes minutes")
    options = parser.parse_args(arguments)
    carried = carried_cases(options.train, (None, 0.5), POINT_COUNTS)
    if options.task == "fit":
        firsts = [(n, f[:1], m[:1]) for n, f, m in train_sequences(options.train)]
        clicks = click_cases(firsts, (1, 3, 8), 0.0)
        fit(carried + clicks, carried + clicks)
        return
    report_score(carried)
    for name, method in METHODS.items():
        if name == "grabcut" or not options.only_grabcut:
            print(name)
            report(carried, method)


if __name__ == "__main__":
    main(sys.argv[1:])
