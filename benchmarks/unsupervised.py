"""Objects that nobody named, on DAVIS: found without the first mask, segmented, and scored by the official unsupervised rules.

Examples:
    python -m benchmarks.unsupervised --workers 2              # the ten sequences that are reported
    python -m benchmarks.unsupervised --train --workers 2      # the held-out training sequences, for choosing settings
    python -m benchmarks.unsupervised --train --sequences flamingo --proposer automatic --find-every 0

Objects are found once. "One": the most salient one is segmented alone, and scored as DAVIS-2016 does without given masks.
"Best": up to five are segmented together, and the annotated object is scored by the one that fits it best, as DAVIS-2017 does
without given masks. docs/algorithm.md, "Protocols without given masks".
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import sys
import tempfile
import time
from collections.abc import Iterable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import cv2

from benchmarks.finding import Method, add_find_arguments, find_config
from benchmarks.quality import SHARED, add_method_arguments, load_sequences, make_config, write
from sampt.config import FindConfig, SegmentConfig, with_settings
from sampt.errors import SamptError
from sampt.evaluation import LabelMapSequence, Scores, SequenceScore, score_sequence

MAX_FOUND = 5


@dataclasses.dataclass(frozen=True)
class Job:
    """A sequence to find objects in; label maps go to ``out/one`` and, where there are several objects, ``out/best``."""

    sequence: LabelMapSequence
    config: SegmentConfig
    find: FindConfig
    out: Path
    threads: int | None


@dataclasses.dataclass(frozen=True)
class Outcome:
    """Scores of a sequence: of the most salient object, and of the best among up to five.

    ``found`` has, for each object, the frame that it was named on and its score; ``seconds`` those of all the work.
    """

    one: SequenceScore
    best: SequenceScore
    found: tuple[tuple[int, float], ...]
    seconds: float


def main() -> int:
    args = parse_arguments()
    try:
        sequences = load_sequences(args)
        config = with_settings(make_config(args), {"protocol": "bidirectional"})
        find = find_config(args, MAX_FOUND)
        if args.out:
            outcomes = run_all(sequences, config, find, args.workers, args.out)
        else:
            with tempfile.TemporaryDirectory() as folder:
                outcomes = run_all(sequences, config, find, args.workers, Path(folder))
    except SamptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(to_markdown(outcomes))
    if args.json:
        args.json.write_text(json.dumps(to_dict(outcomes, config, find, args), indent=1) + "\n", encoding="utf-8")
    return 0


def parse_arguments(arguments: list[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--train", action="store_const", const="held-out", default="dev", dest="split", help="held-out training sequences"
    )
    parser.add_argument("--data", type=Path, help=f"folder of the sequences (default: in {SHARED})")
    parser.add_argument("--sequences", nargs="+", default=[], metavar="NAME", help="only these")
    add_find_arguments(parser)
    add_method_arguments(parser)
    return parser.parse_args(arguments)


def run_all(
    sequences: list[LabelMapSequence], config: SegmentConfig, find: FindConfig, workers: int, out: Path
) -> list[Outcome]:
    jobs = [Job(sequence, config, find, out, 1 if workers > 1 else None) for sequence in sequences]
    if workers == 1:
        return reported(map(run, jobs), len(jobs))
    with ProcessPoolExecutor(workers) as pool:
        return reported(pool.map(run, jobs), len(jobs))


def reported(outcomes: Iterable[Outcome], total: int) -> list[Outcome]:
    """The outcomes, each reported on stderr as it comes."""
    done: list[Outcome] = []
    for outcome in outcomes:
        done.append(outcome)
        figures = f"one {outcome.one.j_and_f:.3f}, best {outcome.best.j_and_f:.3f}"
        print(f"{len(done)}/{total} {outcome.one.name} {figures} of {len(outcome.found)}", file=sys.stderr, flush=True)
    return done


def run(job: Job, method: Method | None = None) -> Outcome:
    """Find, segment and score; ``method`` is that of the job's settings when left out."""
    if job.threads:
        cv2.setNumThreads(job.threads)
    method, sequence = method or Method(job.config, job.find), job.sequence
    start_s = time.perf_counter()
    video = sequence.open()
    found = method.found(video)
    one = write(method.label_maps(video, found, 1), sequence, job.out / "one")
    best = one
    if len(found.objects) > 1:
        best = write(method.label_maps(video, found), sequence, job.out / "best")
    seconds = time.perf_counter() - start_s
    return Outcome(
        score_sequence(one, sequence, "davis-2016-unsupervised"),
        score_sequence(best, sequence, "davis-2017-unsupervised"),
        tuple((item.frame_idx, item.score) for item in found.objects),
        seconds,
    )


def to_markdown(outcomes: list[Outcome]) -> str:
    lines = [
        f"| sequence | one J&F | J | F | best of {MAX_FOUND} J&F | J | F | found | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    lines += [row(one.one.name, one.one, one.best, str(len(one.found)), one.seconds) for one in outcomes]
    one, best = totals(outcomes)
    found = f"{sum(len(item.found) for item in outcomes) / len(outcomes):.1f}"
    return "\n".join([*lines, row("**mean**", one, best, found, sum(item.seconds for item in outcomes))])


def totals(outcomes: list[Outcome]) -> tuple[SequenceScore, SequenceScore]:
    return Scores(tuple(item.one for item in outcomes)).total, Scores(tuple(item.best for item in outcomes)).total


def row(name: str, one: SequenceScore, best: SequenceScore, found: str, seconds: float) -> str:
    figures = (f"{s.j_and_f:.3f} | {s.j.mean:.3f} | {s.f.mean:.3f}" for s in (one, best))
    return f"| {name} | {' | '.join(figures)} | {found} | {seconds:.0f} |"


def to_dict(outcomes: list[Outcome], config: SegmentConfig, find: FindConfig, args: argparse.Namespace) -> dict[str, Any]:
    return {
        "split": args.split,
        "config": dataclasses.asdict(config),
        "find": dataclasses.asdict(find),
        "found": {item.one.name: [{"frame": f, "score": s} for f, s in item.found] for item in outcomes},
        "seconds": {item.one.name: item.seconds for item in outcomes},
        "one": Scores(tuple(item.one for item in outcomes), "", "davis-2016-unsupervised").to_dict(),
        "best": Scores(tuple(item.best for item in outcomes), "", "davis-2017-unsupervised").to_dict(),
    }


if __name__ == "__main__":
    sys.exit(main())
