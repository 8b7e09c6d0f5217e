"""Compare point trackers; one Markdown table a measure.

Examples:
    python -m benchmarks.tracker                                                     # every measure, default trackers
    python -m benchmarks.tracker --measure badja --tracker dis-flow --tracker raft-small=../shared/weights/raft-small.pth
    python -m benchmarks.tracker --measure masks --sequences camel dog --frames 40
    python -m benchmarks.tracker --measure masks --split train --sequences flamingo motorbike     # for choosing settings

Measures (shares are in [0, 1]; `-`: there is nothing to divide by):
  synthetic  TAP-Vid measures on held-out generated clips with exact tracks, 24 and 100 frames: mean over the clips.
  badja      PCK: the fraction of annotated visible joints whose tracked location is nearer than 4, 8, 16 px of the 480p frame,
             called visible or not. "forward": each joint is given on the first frame on which it is annotated as
             visible; "backward": on the last one. The frame on which it is given does not count. The mean is over the files.
  masks      64 points of each object's ground-truth mask on the first frame, tracked forward. "inside": of the points called
             visible, the fraction on their object's ground-truth mask; on frame 10, on frame 30, on all frames after the first.
             "kept": of all points, the fraction that is called visible and is inside, on the same frames; truly hidden points
             are among them, so 1 may be out of reach. "wrongly hidden": DAVIS knows no visibility of points, so: of all points
             on the frames on which their object's mask covers at least half its area on the first frame, the fraction that is
             called hidden. Objects and frames of a sequence are counted together; the mean is over the sequences that have a
             value.
  speed      frames/s of track() over frames in memory, points all over the first frame: median of the repeats, which go round
             all trackers, after a clip of 5 frames to warm up.
  streaming  64 points on the first frame and 16 on the middle one, pushed frame by frame through stream(), against track() on
             the same frames; on the first sequence, or on all of --sequences.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sampt.errors import EvaluationError, SamptError
from sampt.evaluation import (
    LabelMapSequence,
    davis_point_tracks,
    davis_sequences,
    mean_tap_vid,
    pck,
    select_sequences,
    training_sequences,
)
from sampt.evaluation import tap_vid_score as score_clip
from sampt.geometry import mask_at
from sampt.points.sample import sample_points
from sampt.trackers.base import PointTracker
from sampt.trackers.create import create_tracker
from sampt.types import Points, Tracks
from sampt.video import SubVideo, Video
from sampt.video.array import ArrayVideo

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared"
TRACKERS = ["nano", "dis-flow", "lucas-kanade"]
BASELINE = "dis-flow"
CLIP_FRAMES = (24, 100)
PCK_PX = (4.0, 8.0, 16.0)
MASK_POINTS = 64
MASK_FRAMES = (10, 30)
SPEED_POINTS = (64, 512)
WARM_UP_FRAMES = 5
STREAM_POINTS = (64, 16)
SAME_PX = 1e-3
"""Nearer than this, stream() and track() agree."""

Row = dict[str, Any]
"""Figures of one line, by column; None where there is nothing to divide by."""


def main() -> int:
    args = parse_arguments()
    try:
        trackers = load_trackers(args)
        measures = args.measure or list(MEASURES)
        if set(measures) != {"synthetic"}:
            chosen_sequences(args)  # a wrong folder or name is reported before hours of work, not after them
        found = {}
        for name in measures:
            found[name] = MEASURES[name](trackers, args)
            print(to_markdown(name, found[name]), end="\n\n", flush=True)
    except SamptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    if args.json:
        args.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--tracker", action="append", metavar="NAME[=WEIGHTS]", help=f"repeatable (default: {', '.join(TRACKERS)})"
    )
    parser.add_argument("--measure", action="append", choices=list(MEASURES), help="repeatable (default: all)")
    parser.add_argument(
        "--split", choices=("dev", "train"), default="dev", help="videos: dev of --davis, or train of --data, for choosing"
    )
    parser.add_argument("--davis", type=Path, default=SHARED / "davis", help="folder with ImageSets, JPEGImages, Annotations")
    parser.add_argument("--data", type=Path, default=SHARED / "training", help="folder of which the held-out clips are made")
    parser.add_argument("--sequences", nargs="+", default=[], metavar="NAME", help="only these of the split")
    parser.add_argument("--frames", type=positive, help="at most so many frames of each video")
    parser.add_argument("--clips", type=positive, default=16, help="generated clips of each length")
    parser.add_argument("--repeats", type=positive, default=3, help="runs of each tracker that are timed")
    parser.add_argument("--seed", type=int, default=72, help="of the points and the generated clips")
    parser.add_argument("--device", default="auto", help="where the trackers run")
    parser.add_argument("--json", type=Path, help="write all figures to this file")
    return parser.parse_args()


def positive(text: str) -> int:
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text} is below 1")
    return value


def load_trackers(args: argparse.Namespace) -> dict[str, PointTracker]:
    """By name; by all that was given where a name comes again, with other weights."""
    trackers: dict[str, PointTracker] = {}
    for text in args.tracker or TRACKERS:
        name, equals, weights = text.partition("=")
        label = text if name in trackers else name
        trackers[label] = create_tracker(name, weights=weights if equals else "default", device=args.device)
    return trackers


# ---- what the measures share -----------------------------------------------------------------------------------------------


def progress(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def chosen_sequences(args: argparse.Namespace) -> list[LabelMapSequence]:
    train = args.split == "train"
    sequences = training_sequences(args.data / "davis2016_train") if train else davis_sequences(args.davis)
    return select_sequences(sequences, args.sequences) if args.sequences else sequences


def opened(sequence: LabelMapSequence, args: argparse.Namespace) -> Video:
    """The first ``--frames`` frames."""
    video = sequence.open()
    return SubVideo(video, range(min(args.frames or video.num_frames, video.num_frames)))


def in_memory(video: Video) -> ArrayVideo:
    return ArrayVideo(video.read(0, video.num_frames))


def points_over_frame(video: Video, frame_idx: int, count: int, seed: int) -> Points:
    """So many points spread over the whole frame."""
    everywhere = np.ones(video.size_hw, np.bool_)
    frame = video.read(frame_idx, frame_idx + 1)[0]
    return Points.of(1, frame_idx, sample_points(everywhere, count, "even", np.random.default_rng([seed, count]), frame))


def fraction(part: int | float, whole: int | float) -> float | None:
    return float(part / whole) if whole else None


def mean_row(tracker: str, name: str, rows: Iterable[Row]) -> Row:
    """Means of the shares; a row without a value in a column is left out there."""
    columns: dict[str, list[float]] = {}
    for row in rows:
        for key, value in row.items():
            if value is None or isinstance(value, float):
                columns.setdefault(key, []).extend([] if value is None else [value])
    return {"tracker": tracker, name: "**mean**"} | {key: fraction(sum(v), len(v)) for key, v in columns.items()}


def with_means(trackers: Iterable[str], name: str, rows: list[Row]) -> list[Row]:
    """The rows of each tracker together, their mean after them."""
    out = []
    for tracker in trackers:
        own = [row for row in rows if row["tracker"] == tracker]
        out += [*own, mean_row(tracker, name, own)]
    return out


def to_markdown(title: str, rows: list[Row]) -> str:
    columns = list(rows[0]) if rows else []
    lines = [f"### {title}", "", "| " + " | ".join(columns) + " |", "|" + "---|" * len(columns)]
    lines += ["| " + " | ".join(cell(row.get(column)) for column in columns) + " |" for row in rows]
    return "\n".join(lines)


def cell(value: Any) -> str:
    if value is None:
        return "-"
    return f"{value:.3f}" if isinstance(value, float) else str(value)


# ---- measures --------------------------------------------------------------------------------------------------------------


def synthetic(trackers: dict[str, PointTracker], args: argparse.Namespace) -> list[Row]:
    rows = []
    for frames in sorted({min(frames, args.frames or frames) for frames in CLIP_FRAMES}):
        scores: dict[str, list[Any]] = {name: [] for name in trackers}
        for i, clip in enumerate(held_out_clips(args, frames)):
            video, points = ArrayVideo(clip.frames), Points.of(1, 0, clip.points_xy)
            for name, tracker in trackers.items():
                tracks = tracker.track(video, points)
                score = score_clip(
                    tracks.xy, tracks.visible, clip.xy, clip.visible, points.frame_idx, (video.size_hw[0], video.size_hw[1])
                )
                scores[name].append(score)
                progress(f"synthetic, {frames} frames, clip {i + 1}/{args.clips}: {name} AJ {score.average_jaccard:.3f}")
        rows += tap_vid_rows(frames, scores)
    return rows


def held_out_clips(args: argparse.Namespace, frames: int) -> Iterator[Any]:
    """Clips of ``training.tracker.scenes``, which needs PyTorch."""
    if not args.data.is_dir():
        raise EvaluationError(f"{args.data} is not a folder; expected the folder of training data (--data).")
    sys.path.insert(0, str(ROOT))  # training/ is not installed
    try:
        from training.tracker.scenes import held_out_clips as generated
    except ImportError as error:
        raise EvaluationError(f"Clips cannot be generated: {error}. Install PyTorch, or leave out this measure.") from error
    finally:
        sys.path.remove(str(ROOT))
    try:
        yield from generated(args.data, frames, args.clips, args.seed)
    except SystemExit as error:  # how training/ tells that a folder is missing or empty
        raise EvaluationError(str(error)) from error


def tap_vid_rows(frames: int, scores: dict[str, list[Any]]) -> list[Row]:
    means = {name: mean_tap_vid(values) for name, values in scores.items()}
    base = means[BASELINE].average_jaccard if BASELINE in means else None
    return [
        {
            "tracker": name,
            "frames": frames,
            "clips": len(scores[name]),
            "average Jaccard": mean.average_jaccard,
            "delta_avg": mean.delta_avg,
            "occlusion accuracy": mean.occlusion_accuracy,
            f"average Jaccard / {BASELINE}": fraction(mean.average_jaccard, base) if base is not None else None,
        }
        for name, mean in means.items()
    ]


def badja(trackers: dict[str, PointTracker], args: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    known = davis_point_tracks(args.davis)
    for gt, sequence in known:
        if args.sequences and sequence.name not in args.sequences:
            continue
        video = opened(sequence, args)
        gt = gt.until(video.num_frames)
        for name, tracker in trackers.items():
            row: Row = {"tracker": name, "sequence": sequence.name, "joints": len(gt.queries)}
            for way, queries in (("forward", gt.queries), ("backward", gt.last_queries)):
                tracks = tracker.track(video, queries)
                fractions = pck(tracks.xy[gt.frame_idx], gt.xy, gt.scored(queries), PCK_PX)
                row |= {f"{way} @{limit:g}": value for limit, value in zip(PCK_PX, fractions, strict=True)}
            rows.append(row)
            progress(f"badja, {sequence.name}: {name} PCK@8 {row['forward @8']:.3f}")
    if not rows:
        names = ", ".join(sequence.name for _, sequence in known)
        raise EvaluationError(f"--sequences got none that has annotated joints; expected some of {names}.")
    return with_means(trackers, "sequence", rows)


def masks(trackers: dict[str, PointTracker], args: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    for sequence in chosen_sequences(args):
        video = opened(sequence, args)
        points = points_in_masks(sequence, video, args.seed)
        labels = np.stack([sequence.label_map(i).astype(np.uint8) for i in range(video.num_frames)])
        for name, tracker in trackers.items():
            row = {"tracker": name, "sequence": sequence.name} | mask_figures(tracker.track(video, points), labels)
            rows.append(row)
            progress(f"masks, {sequence.name}: {name} kept {cell(row['kept, all'])}")
    return with_means(trackers, "sequence", rows)


def points_in_masks(sequence: LabelMapSequence, video: Video, seed: int) -> Points:
    """Evenly spread points of each object's ground-truth mask on the first frame."""
    frame = video.read(0, 1)[0]
    parts = []
    for query in sequence.query_masks():
        rng = np.random.default_rng([seed, query.object_id])
        parts.append(Points.of(query.object_id, 0, sample_points(query.mask, MASK_POINTS, "even", rng, frame)))
    return Points.concat(parts)


def mask_figures(tracks: Tracks, labels: np.ndarray) -> Row:
    """The fractions of the measure `masks`; see the top of this file."""
    object_id = tracks.points.object_id
    inside = np.zeros(tracks.visible.shape, np.bool_)
    covers = np.zeros(tracks.visible.shape, np.bool_)
    for i in np.unique(object_id):
        gt, own = labels == i, object_id == i
        area = gt.sum((1, 2))
        covers[:, own] = (2 * area >= area[0])[:, None]
        for t in range(len(labels)):
            inside[t, own] = mask_at(gt[t], tracks.xy[t, own])
    spans = {str(t): slice(t, t + 1) for t in MASK_FRAMES} | {"all": slice(1, None)}
    row: Row = {}
    for kind in ("inside", "kept"):
        for span, frames in spans.items():
            seen = tracks.visible[frames]
            right = int((seen & inside[frames]).sum())
            row[f"{kind}, {span}"] = fraction(right, int(seen.sum()) if kind == "inside" else seen.size)
    covered = covers[1:]
    row["wrongly hidden"] = fraction(int((covered & ~tracks.visible[1:]).sum()), int(covered.sum()))
    return row


def speed(trackers: dict[str, PointTracker], args: argparse.Namespace) -> list[Row]:
    sequence = chosen_sequences(args)[0]
    video = in_memory(opened(sequence, args))
    points = {count: points_over_frame(video, 0, count, args.seed) for count in SPEED_POINTS}
    for name, tracker in trackers.items():
        progress(f"speed: {name} warms up")
        tracker.track(SubVideo(video, range(min(WARM_UP_FRAMES, video.num_frames))), points[SPEED_POINTS[0]])
    seconds: dict[tuple[str, int], list[float]] = {(name, count): [] for name in trackers for count in SPEED_POINTS}
    for _ in range(args.repeats):  # round all trackers, so that what else the machine does meets all of them
        for (name, count), found in seconds.items():
            start_s = time.perf_counter()
            trackers[name].track(video, points[count])
            found.append(time.perf_counter() - start_s)
            progress(f"speed: {name}, {count} points: {video.num_frames / found[-1]:.1f} frames/s")
    few, many = SPEED_POINTS
    fps = {key: video.num_frames / statistics.median(found) for key, found in seconds.items()}
    return [
        {
            "tracker": name,
            "clip": f"{sequence.name}, {video.num_frames} frames of {video.size_hw[1]}x{video.size_hw[0]}",
            f"frames/s, {few} points": fps[name, few],
            f"frames/s, {many} points": fps[name, many],
            f"time of {many} / time of {few}": fps[name, few] / fps[name, many],
            f"frames/s / {BASELINE}, {few} points": fps[name, few] / fps[BASELINE, few] if BASELINE in trackers else None,
        }
        for name in trackers
    ]


def streaming(trackers: dict[str, PointTracker], args: argparse.Namespace) -> list[Row]:
    rows: list[Row] = []
    sequences = chosen_sequences(args)
    for sequence in sequences if args.sequences else sequences[:1]:
        video = in_memory(opened(sequence, args))
        starts = zip((0, video.num_frames // 2), STREAM_POINTS, strict=True)
        points = Points.concat([points_over_frame(video, frame_idx, count, args.seed) for frame_idx, count in starts])
        for name, tracker in trackers.items():
            progress(f"streaming, {sequence.name}: {name}")
            rows.append({"tracker": name, "sequence": sequence.name} | stream_figures(tracker, video, points))
    return rows


def stream_figures(tracker: PointTracker, video: Video, points: Points) -> Row:
    """Largest difference of location, and the fraction of visibilities that differ, from each point's prompt frame on."""
    if not tracker.info.is_causal:
        return {"largest difference (px)": None, "visibility differs (share)": None, "agrees": "no stream"}
    tracks = tracker.track(video, points)
    stream = tracker.stream()  # type: ignore[attr-defined]
    largest, differing, compared = 0.0, 0, 0
    tracked = np.zeros(0, np.intp)
    for t in range(video.num_frames):
        step = stream.push(video.read(t, t + 1)[0])
        if len(tracked):
            largest = max(largest, float(np.abs(step.xy - tracks.xy[t, tracked]).max()))
            differing += int((step.visible != tracks.visible[t, tracked]).sum())
            compared += len(tracked)
        new = np.flatnonzero(points.frame_idx == t)
        if len(new):
            stream.add(points.xy[new])
            tracked = np.concatenate([tracked, new])
    agrees = "yes" if largest < SAME_PX and not differing else "no"
    return {"largest difference (px)": largest, "visibility differs (share)": fraction(differing, compared), "agrees": agrees}


MEASURES: dict[str, Callable[[dict[str, PointTracker], argparse.Namespace], list[Row]]] = {
    "synthetic": synthetic,
    "badja": badja,
    "masks": masks,
    "speed": speed,
    "streaming": streaming,
}


if __name__ == "__main__":
    sys.exit(main())
