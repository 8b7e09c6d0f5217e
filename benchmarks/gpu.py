"""What a GPU is measured with, in under ten minutes: presets end to end, call sequences, objects, precision, compiling.

    python -m benchmarks.gpu                                  # on the GPU that PyTorch has; gpu.json and gpu.md
    python -m benchmarks.gpu --minutes 3 --only presets --rows best fast
    python -m benchmarks.gpu --device cpu --reduced --size 96x64 --frames 4        # small networks: to see that all of it runs

Weights are random, so no masks mean anything and nothing is downloaded. That a pipeline does the work of real ones, the
networks compute and the scene's exact tracks and masks come back (benchmarks/played.py); bundled networks have their own
weights and are believed.

  presets    every preset end to end, three objects by masks on frame 0: frames a second; peak memory; time by stage, measured
             in a run of its own in which every stage waits for the GPU; and the bare loop: the encoder on every frame and the
             tracker once over the clip, with the same points. Goal: the whole at most 1.3 times the bare loop, with 12
             refinement steps.
  calls      one frame after the encoder, three objects, R = 12: ours against the official call sequence, as benchmarks/sam.py
             states it.
  objects    the same with 1, 3, 10 and 100 objects.
  precision  float32 against bfloat16: a frame to its embedding and masks (seconds, least IoU of masks), tracks of a clip
             (seconds, shift of points).
  compiled   the vision encoder and a tracker compiled by PyTorch: the first call, later ones, and those without.

Each row has a limit of its own, so that all come to pass within --minutes; a row that meets it tells how far it got. Both
files are written anew after every row: a killed run leaves those that were measured. Exit status 1: on a GPU the goal does
not hold.
"""

from __future__ import annotations

import argparse
import json
import platform
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.memory import peak_megabytes
from benchmarks.played import PLAYED, KnownScene, PlayedSegmenter, PlayedTracker, synchronize
from benchmarks.sam import OfficialSequence, compute_iou, make_prompts, read_mask
from sampt.backends.registry import list_choices
from sampt.backends.table import SEGMENTERS, TRACKERS
from sampt.config import PromptConfig, SegmentConfig
from sampt.errors import SamptError
from sampt.files.atomic import make_folder, write_atomic
from sampt.pipeline.backends import setting_options
from sampt.pipeline.preparation import prepare_queries, working_video
from sampt.pipeline.segment import segment_video
from sampt.presets import PRESETS
from sampt.prompts.refine import segment_prompts
from sampt.runs.timing import StageClock, TimedSegmenter, TimedTracker, TimedVideo
from sampt.segmenters.base import PromptableSegmenter, SegmenterView
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.sam.models import MODELS
from sampt.segmenters.sam.network import SamNetwork
from sampt.testing.scenes import demo_scene
from sampt.trackers.base import PointTracker
from sampt.trackers.create import create_tracker
from sampt.types import Points, QueryMask
from sampt.video.array import ArrayVideo

GOAL = 1.3
STEPS, OBJECTS = 12, 3
REDUCED_TRACKER = "raft-small"
SEGMENTERS_TRIED = ("mobile-sam", "sam2.1-base-plus", "hq-sam-vit-h")
TRACKERS_TRIED = ("raft", "bootstapir", "cotracker3-offline", "tapnext", "pips")
COUNTS = (1, 3, 10, 100)
_MIN_LIMIT_S = 3.0
"""A row's limit, however little time is left."""


class OutOfTimeError(Exception):
    """A row has come to its limit; it has nothing to tell yet."""


@dataclass
class Limit:
    """When a row has to end."""

    end_s: float

    def check(self) -> None:
        if self.is_over:
            raise OutOfTimeError

    @property
    def is_over(self) -> bool:
        return time.perf_counter() > self.end_s


@dataclass
class Bench:
    """What all rows share.

    Attributes:
        known: the clip.
        device: for the backends.
        is_reduced: networks are small, and a tracker stands in for those that are fetched.
    """

    known: KnownScene
    device: str
    is_reduced: bool
    repeats: int = 5

    def segmenter(self, name: str, **options: str) -> PromptableSegmenter:
        weights = "random" if SEGMENTERS[name].weights else "default"
        return create_segmenter(name, weights=weights, device=self.device, **options)

    def tracker(self, name: str, **options: str) -> PointTracker:
        weights = "random" if TRACKERS[name].weights else "default"
        if self.is_reduced and TRACKERS[name].weights:
            name = REDUCED_TRACKER
        choices = list_choices("tracker", name)
        options = {what: value for what, value in options.items() if value in choices.get(what, ())}
        return create_tracker(name, weights=weights, device=self.device, **options)


Row = dict[str, Any]
Measure = Callable[[Bench, Limit], Row]


# ---- presets ---------------------------------------------------------------------------------------------------------------


class Waiting(SegmenterView):
    """Waits for the GPU after the encoder, so that a stage's time is its own; a decoder's results are on the host anyway."""

    def encode(self, frames: Any) -> Any:
        embeddings = self.segmenter.encode(frames)
        synchronize()
        return embeddings


def measure_preset(name: str, bench: Bench, limit: Limit) -> Row:
    config = PRESETS[name]
    known, video = bench.known, ArrayVideo(bench.known.frames)
    queries = [QueryMask(k + 1, 0, mask) for k, mask in enumerate(known.masks[0])]
    segmenter = bench.segmenter(config.segmenter, **setting_options("segmenter", config.segmenter, config))
    tracker = bench.tracker(config.tracker, **setting_options("tracker", config.tracker, config))
    pipeline = Pipeline(bench, config, queries, tracker, segmenter)
    free_memory()
    for _ in islice(pipeline.run(StageClock(), waits=False), 2):  # to warm up
        limit.check()
    whole_s, num_frames, _ = pipeline.time(limit, waits=False)
    memory = peak_memory(bench.device)
    row: Row = {
        "tracker": tracker.info.name,
        "segmenter": config.segmenter,
        "steps": config.prompting.refinement_steps,
        "frames": num_frames,
        "frames_per_s": num_frames / whole_s,
        "peak_memory_mb": memory,
    }
    if num_frames < video.num_frames:
        return row | {"note": "stopped at its limit"}
    staged_s, _, clock = pipeline.time(limit, waits=True)
    parts = {stage: clock.seconds[stage] / staged_s for stage in ("read", "track", "encode", "decode")}
    row["fraction"] = parts | {"rest": 1 - sum(parts.values())}
    bare_s = pipeline.time_bare(limit)
    return row | {"bare_frames_per_s": num_frames / bare_s, "over_bare": whole_s / bare_s}


@dataclass(frozen=True)
class Pipeline:
    """One preset's, made and ready."""

    bench: Bench
    config: SegmentConfig
    queries: Sequence[QueryMask]
    tracker: PointTracker
    segmenter: PromptableSegmenter

    def run(self, clock: StageClock, *, waits: bool) -> Iterator[Any]:
        known, config = self.bench.known, self.config
        segmenter: Any = TimedSegmenter(Waiting(self.segmenter) if waits else self.segmenter, clock)
        tracker: Any = TimedTracker(self.tracker, clock)
        if SEGMENTERS[config.segmenter].weights:
            segmenter = PlayedSegmenter(segmenter, known, clock)
        if TRACKERS[config.tracker].weights:
            tracker = PlayedTracker(tracker, known, clock)
        video = TimedVideo(ArrayVideo(known.frames), clock)
        return segment_video(video, list(self.queries), config=config, tracker=tracker, segmenter=segmenter)

    def time(self, limit: Limit, *, waits: bool) -> tuple[float, int, StageClock]:
        """Seconds without what plays, frames done, and the clock."""
        clock, count = StageClock(), 0
        synchronize()
        start_s = time.perf_counter()
        for _ in self.run(clock, waits=waits):
            count += 1
            if limit.is_over:
                break
        synchronize()
        return time.perf_counter() - start_s - clock.seconds[PLAYED], count, clock

    def time_bare(self, limit: Limit) -> float:
        """Seconds of the encoder on every frame and of the tracker over the clip, at the working size."""
        source = ArrayVideo(self.bench.known.frames)
        working = working_video(source, self.config.longest_side)
        points = prepare_queries(source, working, list(self.queries), self.config, self.segmenter).points
        frames, batch = working.read(0, working.num_frames), self.segmenter.info.encode_batch
        clip = ArrayVideo(frames)
        synchronize()
        start_s = time.perf_counter()
        for k in range(0, len(frames), batch):
            self.segmenter.encode(frames[k : k + batch])
            limit.check()
        self.tracker.track(clip, points)
        synchronize()
        return time.perf_counter() - start_s


# ---- the parts -------------------------------------------------------------------------------------------------------------


def measure_calls(name: str, bench: Bench, limit: Limit) -> Row:
    segmenter: Any = bench.segmenter(name, precision="float32")
    frame = bench.known.frames[:1]
    prompts, config = make_prompts(OBJECTS, frame.shape[1:3]), PromptConfig(refinement_steps=STEPS)
    embedding = segmenter.encode(frame)[0]
    official = OfficialSequence(segmenter.runtime.network, embedding, STEPS)
    ways = (lambda: segment_prompts(segmenter, embedding, prompts, config), lambda: [official.mask(p) for p in prompts])
    (ours, ours_s), (theirs, theirs_s) = (timed(way, bench.repeats, limit) for way in ways)
    iou = min(compute_iou(read_mask(one), two) for one, two in zip(ours, theirs, strict=True))
    return {"segmenter": name, "ours_s": ours_s, "official_s": theirs_s, "over_official": ours_s / theirs_s, "min_iou": iou}


def measure_objects(name: str, count: int, bench: Bench, limit: Limit) -> Row:
    segmenter = bench.segmenter(name)
    frame = bench.known.frames[:1]
    # A hundred objects have a hundred masks of 1024 x 1024 at every step, which takes a CPU minutes.
    steps = 1 if bench.is_reduced else STEPS
    prompts, config = make_prompts(count, frame.shape[1:3]), PromptConfig(refinement_steps=steps)
    embedding = segmenter.encode(frame)[0]
    free_memory()
    _, seconds = timed(lambda: segment_prompts(segmenter, embedding, prompts, config), bench.repeats, limit)
    memory = peak_memory(bench.device)
    return {"segmenter": name, "objects": count, "frame_s": seconds, "object_s": seconds / count, "peak_memory_mb": memory}


def measure_segmenter_precision(name: str, bench: Bench, limit: Limit) -> Row:
    frame = bench.known.frames[:1]
    prompts, config = make_prompts(OBJECTS, frame.shape[1:3]), PromptConfig(refinement_steps=0)
    found = []
    for precision in ("float32", "bfloat16"):
        segmenter = bench.segmenter(name, precision=precision)
        embedding, seconds = timed(lambda s=segmenter: s.encode(frame), bench.repeats, limit)
        found.append((seconds, [read_mask(p) for p in segment_prompts(segmenter, embedding[0], prompts, config)]))
    (single_s, single), (half_s, half) = found
    iou = min(compute_iou(one, two) for one, two in zip(single, half, strict=True))
    return {"segmenter": name, "float32_s": single_s, "bfloat16_s": half_s, "ratio": half_s / single_s, "min_iou": iou}


def measure_tracker_precision(name: str, bench: Bench, limit: Limit) -> Row:
    points, clip = track_queries(bench), ArrayVideo(bench.known.frames)
    found = []
    for precision in ("float32", "bfloat16"):
        tracker = bench.tracker(name, precision=precision)
        tracks, seconds = timed(lambda t=tracker: t.track(clip, points), 1, limit)
        found.append((seconds, tracks.xy))
    (single_s, single), (half_s, half) = found
    shift = np.linalg.norm(single - half, axis=-1)
    return {
        "tracker": name,
        "float32_s": single_s,
        "bfloat16_s": half_s,
        "ratio": half_s / single_s,
        "median_shift_px": float(np.median(shift)),
        "max_shift_px": float(shift.max()),
    }


def measure_compiled(kind: str, name: str, bench: Bench, limit: Limit) -> Row:
    if kind == "segmenter":
        frame = bench.known.frames[:1]
        plain, compiled = (bench.segmenter(name, runtime=runtime) for runtime in ("torch", "compiled"))
        ways: list[Callable[[], Any]] = [lambda: plain.encode(frame), lambda: compiled.encode(frame)]
    else:
        points, clip = track_queries(bench), ArrayVideo(bench.known.frames)
        trackers = [bench.tracker(name, runtime=runtime) for runtime in ("torch", "compiled")]
        ways = [lambda t=tracker: t.track(clip, points) for tracker in trackers]
    _, plain_s = timed(ways[0], bench.repeats, limit)
    start_s = time.perf_counter()
    ways[1]()
    synchronize()
    first_s = time.perf_counter() - start_s
    if limit.is_over:
        return {kind: name, "torch_s": plain_s, "first_s": first_s, "note": "stopped at its limit"}
    _, later_s = timed(ways[1], bench.repeats, limit)
    return {kind: name, "torch_s": plain_s, "first_s": first_s, "compiled_s": later_s, "ratio": later_s / plain_s}


def track_queries(bench: Bench) -> Points:
    """16 points on each object of the first frame."""
    rng = np.random.default_rng(0)
    parts = []
    for k, mask in enumerate(bench.known.masks[0]):
        y, x = np.nonzero(mask)
        chosen = rng.integers(0, len(x), 16)
        parts.append(Points.of(k + 1, 0, np.stack([x[chosen], y[chosen]], -1).astype(np.float32)))
    return Points.concat(parts)


def timed(call: Callable[[], Any], repeats: int, limit: Limit) -> tuple[Any, float]:
    """What a call gives, and its median seconds after one call to warm up; fewer repeats at the limit, but one."""
    limit.check()
    result = call()
    times: list[float] = []
    for _ in range(repeats):
        synchronize()
        start_s = time.perf_counter()
        result = call()
        synchronize()
        times.append(time.perf_counter() - start_s)
        if limit.is_over:
            break
    return result, float(np.median(times))


def free_memory() -> None:
    """Peak memory counts from here."""
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()


def peak_memory(device: str) -> float:
    """MB on the GPU since :func:`free_memory`; on the CPU the most that the process has held so far."""
    is_gpu = torch.cuda.is_available() and device != "cpu"
    return torch.cuda.max_memory_allocated() / 1e6 if is_gpu else peak_megabytes()


# ---- all of it -------------------------------------------------------------------------------------------------------------


def list_rows(is_reduced: bool) -> dict[str, list[tuple[str, Measure]]]:
    """Section -> its rows: name and what measures it. What is wanted first comes first."""

    def row(function: Callable[..., Row], *arguments: Any) -> tuple[str, Measure]:
        name = " ".join(str(argument) for argument in arguments)
        return name, lambda bench, limit: function(*arguments, bench, limit)

    distinct = [name for k, name in enumerate(PRESETS) if PRESETS[name] not in list(PRESETS.values())[:k]]
    segmenters = SEGMENTERS_TRIED[:1] if is_reduced else SEGMENTERS_TRIED
    trackers = (REDUCED_TRACKER,) if is_reduced else TRACKERS_TRIED
    return {
        "presets": [row(measure_preset, name) for name in distinct],
        "calls": [row(measure_calls, name) for name in ("mobile-sam", "sam-vit-h")[: 1 if is_reduced else 2]],
        "objects": [row(measure_objects, name, count) for name in segmenters for count in COUNTS],
        "precision": [
            *(row(measure_segmenter_precision, name) for name in segmenters),
            *(row(measure_tracker_precision, name) for name in trackers),
        ],
        "compiled": [
            *(row(measure_compiled, "segmenter", name) for name in segmenters[:2]),
            row(measure_compiled, "tracker", trackers[0]),
        ],
    }


def measure_all(
    args: argparse.Namespace, bench: Bench, rows: dict[str, list[tuple[str, Measure]]], report: dict[str, Any]
) -> None:
    """Measure row after row, and write the report after each."""
    end_s = time.perf_counter() + 60 * args.minutes
    queue = [(section, *row) for section in args.only for row in rows[section] if args.rows is None or row[0] in args.rows]
    for k, (section, name, measure) in enumerate(queue):
        left_s = end_s - time.perf_counter()
        result: Row = {"section": section, "row": name}
        start_s = time.perf_counter()
        if left_s <= 0:
            result["note"] = "not measured: no time was left"
        else:
            limit = Limit(start_s + min(left_s, max(_MIN_LIMIT_S, 3 * left_s / (len(queue) - k))))
            try:
                result |= measure(bench, limit)
            except OutOfTimeError:
                result["note"] = "not measured: its limit was over before"
            except Exception as error:  # too little memory, no compiler: that row's result, not the end of the others
                result["note"] = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        result["took_s"] = time.perf_counter() - start_s
        report["rows"].append(result)
        report["is_complete"] = k + 1 == len(queue)
        write_report(args.output, report)
        print(f"{section} {name}: {result.get('note', 'measured')} ({result['took_s']:.1f} s)", file=sys.stderr, flush=True)


def write_report(folder: Path, report: dict[str, Any]) -> None:
    write_atomic(folder / "gpu.json", (json.dumps(report, indent=1) + "\n").encode())
    write_atomic(folder / "gpu.md", to_markdown(report).encode())


def to_markdown(report: dict[str, Any]) -> str:
    """A table for each section."""
    machine = ", ".join(f"{key} {value}" for key, value in report["machine"].items())
    lines = [f"# {report['command']}", "", machine, ""]
    if not report["is_complete"]:
        lines += ["Not complete: the run goes on, or was ended.", ""]
    for section in dict.fromkeys(row["section"] for row in report["rows"]):
        rows = [flatten(row) for row in report["rows"] if row["section"] == section]
        columns = list(dict.fromkeys(key for row in rows for key in row if key not in ("section", "row", "took_s", "note")))
        heads = [column.replace("_", " ") for column in ("row", *columns, "note")]
        lines += [f"## {section}", "", f"| {' | '.join(heads)} |", "|---" * len(heads) + "|"]
        lines += [f"| {' | '.join(cell(row.get(column, '')) for column in ('row', *columns, 'note'))} |" for row in rows]
        lines.append("")
    return "\n".join(lines)


def flatten(row: Row) -> Row:
    """Nested fractions as columns of their own."""
    parts = {f"{key} {part}": value for key, inner in row.items() if isinstance(inner, dict) for part, value in inner.items()}
    return {key: value for key, value in row.items() if not isinstance(value, dict)} | parts


def cell(value: Any) -> str:
    return (
        f"{value:.3g}"
        if isinstance(value, float) and abs(value) < 100
        else f"{value:.0f}"
        if isinstance(value, float)
        else str(value)
    )


def describe_machine(device: str) -> dict[str, str]:
    facts = {"torch": torch.__version__, "Python": platform.python_version(), "device": device}
    if torch.cuda.is_available() and device != "cpu":
        facts |= {"GPU": torch.cuda.get_device_name(), "CUDA": str(torch.version.cuda)}
    return facts


def misses_goal(report: dict[str, Any]) -> bool:
    """Whether a preset with all refinement steps takes longer than the goal on a GPU."""
    if "GPU" not in report["machine"]:
        return False
    return any(row.get("steps") == STEPS and row.get("over_bare", 0.0) > GOAL for row in report["rows"])


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    sections = list(list_rows(is_reduced=True))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=9.5, help="for all of it (default: 9.5)")
    parser.add_argument("--device", default="auto", help="as for sampt segment (default: auto)")
    parser.add_argument("--size", default="854x480", help="of the frames, WIDTHxHEIGHT (default: 854x480)")
    parser.add_argument("--frames", type=int, default=24, help="of the clip (default: 24)")
    parser.add_argument("--repeats", type=int, default=5, help="of each call that is timed (default: 5)")
    parser.add_argument("--only", nargs="+", choices=sections, default=sections, help="sections (default: all)")
    parser.add_argument("--rows", nargs="+", metavar="ROW", help="of these sections (default: all), as the tables call them")
    parser.add_argument("--reduced", action="store_true", help="small networks, one tracker instead of all that are fetched")
    parser.add_argument("-o", "--output", type=Path, default=Path(), help="folder of gpu.json and gpu.md (default: here)")
    args = parser.parse_args(arguments)
    try:
        width, height = (int(part) for part in args.size.split("x"))
        if min(width, height) < 16:
            raise ValueError
    except ValueError:
        parser.error(f"--size got {args.size!r}, expected WIDTHxHEIGHT of at least 16 pixels, such as 854x480")
    if args.frames < 2 or args.minutes <= 0 or args.repeats < 1:
        parser.error("expected at least 2 --frames, 1 of --repeats and more than 0 --minutes")
    args.size_hw = height, width
    return args


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    device = ("cuda" if torch.cuda.is_available() else "cpu") if args.device == "auto" else args.device
    if args.reduced:
        reduce_models()
    try:
        make_folder(args.output)
        bench = Bench(KnownScene(demo_scene(args.frames, args.size_hw)), device, args.reduced, args.repeats)
        report: dict[str, Any] = {
            "command": "python -m benchmarks.gpu " + " ".join(sys.argv[1:] if arguments is None else arguments),
            "machine": describe_machine(device),
            "size_hw": list(args.size_hw),
            "num_frames": args.frames,
            "num_objects": OBJECTS,
            "is_complete": False,
            "rows": [],
        }
        measure_all(args, bench, list_rows(args.reduced), report)
    except SamptError as error:
        print(f"benchmarks.gpu: {error}", file=sys.stderr)
        return 2
    print(to_markdown(report))
    return int(misses_goal(report))


# ---- small networks --------------------------------------------------------------------------------------------------------


def reduce_models() -> None:
    """Every model of the Segment Anything family becomes a small one of its kind, in this process."""
    for name, model in MODELS.items():
        kind = "hq" if "hq-sam-vit" in name else "vit" if name.startswith("sam-vit") else "hiera" if "sam2" in name else None
        if name in ("mobile-sam", "edgetam", "light-hq-sam"):
            kind = {"mobile-sam": "vit", "edgetam": "hiera", "light-hq-sam": "hq"}[name]
        if kind:
            MODELS[name] = replace(model, builder=f"benchmarks.gpu:build_small_{kind}")


def build_small_vit() -> SamNetwork:
    from sampt.segmenters.sam.network import VitSizes, build_vit

    return build_vit(VitSizes(32, 2, 2, (1,), side=128))


def build_small_hq() -> SamNetwork:
    from sampt.segmenters.hq_sam.network import build_vit
    from sampt.segmenters.sam.network import VitSizes

    return build_vit(VitSizes(32, 2, 2, (1,), side=128))


def build_small_hiera() -> SamNetwork:
    from sampt.segmenters.sam2.network import HieraSizes, build

    return build(HieraSizes(16, 1, (1, 1, 2, 1), (3,), side=128))


if __name__ == "__main__":
    sys.exit(main())
