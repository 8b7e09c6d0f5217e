"""Speed of scoring: J and F of 700 frames against a plain per-frame program on scikit-image, which must give the same values.

Examples:
    python -m benchmarks.scoring                      # the ten sequences of ../shared/davis, 700 frames of 854x480
    python -m benchmarks.scoring --frames 20          # are the values equal? no verdict on time

The predictions are the ground-truth masks of three frames before, moved by a few pixels. Both programs read the same files,
score the same frames by the DAVIS protocol and start after all modules are imported; sampt uses ``--workers`` threads, the
plain one is one loop: read two PNGs, J by NumPy, F by scikit-image's ``binary_dilation`` with its ``disk``. The ten sequences
have 668 scored frames, so the first of them is scored twice. ``--plain numpy`` takes a dilation by shifted copies of the whole
frame where scikit-image is not installed; it gives no verdict, either.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.errors import SamptError
from sampt.evaluation import LabelMapSequence, Scores, davis_sequences, score_folder

DAVIS = Path(__file__).resolve().parents[2] / "shared" / "davis"
MIN_FRAMES, LIMIT_S, LIMIT_RATIO = 700, 30.0, 0.25
LAG_FRAMES, MOVE_PX = 3, 5

Dilation = Callable[[np.ndarray, int], np.ndarray]


def main() -> int:
    args = parse_arguments()
    try:
        dilate = DILATIONS[args.plain]()
        sequences = davis_sequences(args.data)
    except ModuleNotFoundError:
        print("error: scikit-image is not installed. Run: pip install 'sampt[dev]', or take --plain numpy.", file=sys.stderr)
        return 2
    except SamptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    groups = planned(sequences, args.frames or MIN_FRAMES)
    with tempfile.TemporaryDirectory() as folder:
        predict(sequences, Path(folder))
        ours_s, ours = timed(lambda: [score_folder(folder, group, workers=args.workers) for group in groups])
        plain_s, plain = timed(lambda: [plain_scores(Path(folder), group, dilate) for group in groups])
    frames = sum(scored_frames(group) for group in groups)
    if [per_frame(scores) for scores in ours] != plain:
        print("error: both programs give different values", file=sys.stderr)
        return 1
    print(f"{frames} frames, equal values, J&F of the first round {ours[0].total.j_and_f:.4f}")
    print("| program | seconds | ms/frame |\n|---|---|---|")
    for name, seconds in ((f"sampt, {args.workers} workers", ours_s), (f"plain, {args.plain}", plain_s)):
        print(f"| {name} | {seconds:.1f} | {seconds / frames * 1000:.1f} |")
    if args.frames or args.plain != "scikit-image":
        return 0
    passed = ours_s < LIMIT_S and ours_s <= LIMIT_RATIO * plain_s
    verdict = "passed" if passed else "missed"
    print(f"ratio {ours_s / plain_s:.3f} (limit {LIMIT_RATIO}), {ours_s:.1f} s (limit {LIMIT_S:.0f}): {verdict}")
    return 0 if passed else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=DAVIS, help="folder in DAVIS layout (default: ../shared/davis)")
    parser.add_argument("--workers", type=int, default=2, help="threads of sampt (default: 2)")
    parser.add_argument("--frames", type=int, help="score only about so many frames, without a verdict")
    parser.add_argument("--plain", choices=sorted(DILATIONS), default="scikit-image", help="dilation of the plain program")
    return parser.parse_args()


def timed(work: Callable[[], list]) -> tuple[float, list]:
    start_s = time.perf_counter()
    result = work()
    return time.perf_counter() - start_s, result


def scored_frames(group: list[LabelMapSequence]) -> int:
    return sum(len(sequence.annotation_paths) - 2 for sequence in group)


def planned(sequences: list[LabelMapSequence], frames: int) -> list[list[LabelMapSequence]]:
    """Groups of sequences, scored one after the other, that have at least ``frames`` scored frames together."""
    groups: list[list[LabelMapSequence]] = [[]]
    while sum(map(scored_frames, groups)) < frames:
        if len(groups[-1]) == len(sequences):
            groups.append([])
        groups[-1].append(sequences[len(groups[-1])])
    return groups


def predict(sequences: list[LabelMapSequence], folder: Path) -> None:
    for sequence in sequences:
        (folder / sequence.name).mkdir()
        for i, name in enumerate(sequence.frame_names):
            labels = np.roll(sequence.label_map(max(0, i - LAG_FRAMES)), MOVE_PX, 1)
            Image.fromarray(labels.astype(np.uint8)).save(folder / sequence.name / f"{name}.png")


def per_frame(scores: Scores) -> list[list[tuple[float, float]]]:
    return [list(zip(s.objects[0].j_frames, s.objects[0].f_frames, strict=True)) for s in scores.sequences]


def plain_scores(folder: Path, group: list[LabelMapSequence], dilate: Dilation) -> list[list[tuple[float, float]]]:
    """(J, F) of each scored frame of each sequence."""
    found = []
    for sequence in group:
        found.append([])
        for path in sequence.annotation_paths[1:-1]:
            true = np.asarray(Image.open(path)) > 0
            pred = np.asarray(Image.open(folder / sequence.name / path.name)) > 0
            found[-1].append((plain_j(pred, true), plain_f(pred, true, dilate)))
    return found


def plain_j(pred: np.ndarray, true: np.ndarray) -> float:
    union = np.sum(pred | true)
    return float(np.sum(pred & true) / union) if union else 1.0


def plain_f(pred: np.ndarray, true: np.ndarray, dilate: Dilation) -> float:
    radius = math.ceil(0.008 * np.linalg.norm(true.shape))
    own, other = contour(pred), contour(true)
    if not own.any() or not other.any():
        return float(own.any() == other.any())
    precision = np.sum(own & dilate(other, radius)) / np.sum(own)
    recall = np.sum(other & dilate(own, radius)) / np.sum(other)
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


def contour(mask: np.ndarray) -> np.ndarray:
    found = np.zeros_like(mask)
    found[:, :-1] |= mask[:, :-1] != mask[:, 1:]
    found[:-1] |= mask[:-1] != mask[1:]
    found[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
    return found


def scikit_image() -> Dilation:
    import skimage.morphology as morphology  # only where it is requested

    warnings.simplefilter("ignore", FutureWarning)  # binary_dilation goes in 0.28: grey dilation does the same then
    dilation = getattr(morphology, "binary_dilation", morphology.dilation)
    return lambda mask, radius: np.asarray(dilation(mask, morphology.disk(radius)), bool)


def shifted_copies() -> Dilation:
    def dilate(mask: np.ndarray, radius: int) -> np.ndarray:
        (h, w), padded, grown = mask.shape, np.pad(mask, radius), np.zeros_like(mask)
        for y in range(2 * radius + 1):
            for x in range(2 * radius + 1):
                if (y - radius) ** 2 + (x - radius) ** 2 <= radius**2:
                    grown |= padded[y : y + h, x : x + w]
        return grown

    return dilate


DILATIONS: dict[str, Callable[[], Dilation]] = {"scikit-image": scikit_image, "numpy": shifted_copies}


if __name__ == "__main__":
    sys.exit(main())
