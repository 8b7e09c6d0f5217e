"""Quality on DAVIS: runs sampt from the first frame's mask, scores it by the official protocol, prints it beside flow alone.

Examples:
    python -m benchmarks.quality                         # the ten sequences that are reported
    python -m benchmarks.quality --split train --workers 2 --set sampling.positive_points=64     # for tuning
    python -m benchmarks.quality --split held-out --no-baseline     # every frame of the training clips that nano never saw
"""

from __future__ import annotations

import argparse
import ast
import dataclasses
import json
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from sampt import segment_video
from sampt.config import SegmentConfig, with_settings
from sampt.errors import ConfigError, SamptError
from sampt.evaluation import (
    LabelMapSequence,
    Scores,
    SequenceScore,
    carry_by_flow,
    davis_sequences,
    score_sequence,
    select_sequences,
    training_sequences,
)
from sampt.files.palette import PALETTE
from sampt.points.sample import sample_points
from sampt.presets import preset
from sampt.types import IntArray, Points

SHARED = Path(__file__).resolve().parents[2] / "shared"
FULL = SHARED / "training" / "davis2016_train_480"
DEFAULT_DATA = {"dev": SHARED / "davis", "train": SHARED / "training" / "davis2016_train", "held-out": FULL, "seen": FULL}
NANO_CONFIG = Path(__file__).resolve().parents[1] / "training" / "segmenter" / "config.toml"


@dataclasses.dataclass(frozen=True)
class Job:
    """One sequence to run and score; label maps go to ``out/sampt`` and ``out/flow``."""

    sequence: LabelMapSequence
    config: SegmentConfig
    out: Path
    with_baseline: bool
    threads: int | None
    clicks: int


@dataclasses.dataclass(frozen=True)
class Outcome:
    num_frames: int
    seconds: float
    score: SequenceScore
    baseline: SequenceScore | None


def main() -> int:
    args = parse_arguments()
    try:
        sequences = load_sequences(args)
        config = make_config(args)
        if args.out:
            outcomes = run_all(sequences, config, args, args.out)
        else:
            with tempfile.TemporaryDirectory() as folder:
                outcomes = run_all(sequences, config, args, Path(folder))
    except SamptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(to_markdown(outcomes))
    if args.json:
        args.json.write_text(json.dumps(to_dict(outcomes, config, args), indent=1) + "\n", encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--split",
        choices=sorted(DEFAULT_DATA),
        default="dev",
        help="dev: reported; train: for choosing settings; held-out, seen: the clips of it, at 480 pixels and full frame rate, "
        "that nano was not, and was, trained on",
    )
    parser.add_argument("--data", type=Path, help="folder of the split (default: in ../shared)")
    parser.add_argument("--sequences", nargs="+", default=[], metavar="NAME", help="only these")
    add_method_arguments(parser)
    parser.add_argument("--clicks", type=int, default=0, help="start from so many clicks an object, not from its mask")
    parser.add_argument("--no-baseline", action="store_true", help="leave out flow alone")
    return parser.parse_args()


def add_method_arguments(parser: argparse.ArgumentParser) -> None:
    """What :func:`make_config` reads, how many sequences at a time, and where label maps and figures go."""
    parser.add_argument("--preset", default="default")
    parser.add_argument("--tracker", help="instead of the preset's")
    parser.add_argument("--segmenter", help="instead of the preset's")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="e.g. sampling.positive_points=64; repeatable"
    )
    parser.add_argument("--workers", type=int, default=1, help="sequences at a time; more than one: one OpenCV thread each")
    parser.add_argument("--out", type=Path, help="keep the label maps here")
    parser.add_argument("--json", type=Path, help="write all figures to this file")


def load_sequences(args: argparse.Namespace) -> list[LabelMapSequence]:
    root = args.data or DEFAULT_DATA[args.split]
    sequences = davis_sequences(root) if args.split == "dev" else training_sequences(root)
    if args.split in ("held-out", "seen"):
        held_out = tomllib.loads(NANO_CONFIG.read_text(encoding="utf-8"))["data"]["held_out"]
        sequences = [s for s in sequences if (s.name in held_out) == (args.split == "held-out")]
    return select_sequences(sequences, args.sequences) if args.sequences else sequences


def make_config(args: argparse.Namespace) -> SegmentConfig:
    """The preset with the overrides of the command line, in the protocol of video object segmentation."""
    named = {"tracker": args.tracker, "segmenter": args.segmenter}
    overrides = [f"{key}={value}" for key, value in named.items() if value is not None] + args.set
    changes: dict[str, Any] = {}
    for override in overrides:
        key, equals, text = override.partition("=")
        if not equals:
            raise ConfigError(f"--set got {override!r}, expected KEY=VALUE such as sampling.positive_points=64.")
        changes[key] = parsed(text)
    return with_settings(preset(args.preset), {**changes, "protocol": "vos"})


def parsed(text: str) -> Any:
    """A number, True, False or None where the text is one, else the text."""
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return text


def run_all(sequences: list[LabelMapSequence], config: SegmentConfig, args: argparse.Namespace, out: Path) -> list[Outcome]:
    threads = 1 if args.workers > 1 else None
    jobs = [Job(sequence, config, out, not args.no_baseline, threads, args.clicks) for sequence in sequences]
    if args.workers == 1:
        return reported(map(run, jobs), len(jobs))
    with ProcessPoolExecutor(args.workers) as pool:
        return reported(pool.map(run, jobs), len(jobs))


def reported(outcomes: Iterable[Outcome], total: int) -> list[Outcome]:
    """The outcomes, each reported on stderr as it comes."""
    done: list[Outcome] = []
    for outcome in outcomes:
        done.append(outcome)
        print(f"{len(done)}/{total} {outcome.score.name} {outcome.score.j_and_f:.3f}", file=sys.stderr, flush=True)
    return done


def run(job: Job) -> Outcome:
    if job.threads:
        cv2.setNumThreads(job.threads)
    sequence = job.sequence
    start_s = time.perf_counter()
    queries = clicks_on(sequence, job.clicks, job.config.seed) if job.clicks else sequence.query_masks()
    frames = segment_video(sequence.open(), queries, config=job.config)
    folder = write((frame.label_map() for frame in frames), sequence, job.out / "sampt")
    seconds = time.perf_counter() - start_s
    baseline = None
    if job.with_baseline:
        carried = carry_by_flow(sequence.open(), sequence.label_map(0))
        baseline = score_sequence(write(carried, sequence, job.out / "flow"), sequence)
    return Outcome(len(sequence.annotation_paths), seconds, score_sequence(folder, sequence), baseline)


def clicks_on(sequence: LabelMapSequence, count: int, seed: int) -> Points:
    """``count`` positive clicks on every object of the first frame: the medoids of its ground-truth mask."""
    frame = sequence.open().read(0, 1)[0]
    parts = []
    for query in sequence.query_masks():
        rng = np.random.default_rng([seed, query.object_id])
        xy = sample_points(query.mask, count, "kmedoids", rng, frame)
        parts.append(Points.of(query.object_id, 0, xy))
    return Points.concat(parts)


def write(label_maps: Iterable[IntArray], sequence: LabelMapSequence, out: Path) -> Path:
    """Write one palette PNG a frame; return their folder."""
    folder = out / sequence.name
    folder.mkdir(parents=True, exist_ok=True)
    for name, labels in zip(sequence.frame_names, label_maps, strict=True):
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(PALETTE.tobytes())
        image.save(folder / f"{name}.png", compress_level=1)
    return folder


def to_markdown(outcomes: list[Outcome]) -> str:
    lines = ["| sequence | frames | J&F | J | F | flow alone J&F | J | F | frames/s |", "|---|---|---|---|---|---|---|---|---|"]
    for one in outcomes:
        lines.append(row(one.score.name, one.num_frames, one.score, one.baseline, one.seconds))
    score, baseline = totals(outcomes)
    frames, seconds = sum(one.num_frames for one in outcomes), sum(one.seconds for one in outcomes)
    return "\n".join([*lines, row("**mean**", frames, score, baseline, seconds)])


def totals(outcomes: list[Outcome]) -> tuple[SequenceScore, SequenceScore | None]:
    baselines = tuple(one.baseline for one in outcomes if one.baseline is not None)
    return Scores(tuple(one.score for one in outcomes)).total, Scores(baselines).total if baselines else None


def row(name: str, frames: int, score: SequenceScore, baseline: SequenceScore | None, seconds: float) -> str:
    values = [figures(score), figures(baseline) if baseline else "- | - | -", f"{frames / seconds:.1f}"]
    return f"| {name} | {frames} | " + " | ".join(values) + " |"


def figures(score: SequenceScore) -> str:
    return f"{score.j_and_f:.3f} | {score.j.mean:.3f} | {score.f.mean:.3f}"


def to_dict(outcomes: list[Outcome], config: SegmentConfig, args: argparse.Namespace) -> dict[str, Any]:
    baselines = tuple(one.baseline for one in outcomes if one.baseline is not None)
    return {
        "split": args.split,
        "config": dataclasses.asdict(config),
        "seconds": {one.score.name: one.seconds for one in outcomes},
        "sampt": Scores(tuple(one.score for one in outcomes)).to_dict(),
        "flow": Scores(baselines).to_dict() if baselines else None,
    }


if __name__ == "__main__":
    sys.exit(main())
