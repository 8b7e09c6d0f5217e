"""Measure what corrections do to frames of a tracked video, in a session as a person uses it.

    python -m benchmarks.corrections --davis ../shared/davis [--keep FOLDER] [--json FILE]
    python -m benchmarks.corrections --train ../shared/training/davis2016_train_480      the held-out training sequences

Corrections: the first 40 frames of each clip are propagated from three oracle clicks on the first one; then five oracle clicks
go to the frame with the lowest IoU. An oracle click lies in the middle of the largest wrong region, with that region's sign.
Printed for each clip: how many of the five have their sign at their pixel, the IoU before and after each of them, and that of
the same clicks in a session on that frame alone ("nothing"); and how many of the frames between the keyframes are worse than
before by more than 0.02 once the correction is propagated, and their mean IoU before and after.

First frames: ten oracle clicks on the first frame of every sequence; the fraction of the further ones that cost more than 0.1
IoU. The choice "take the whole change" is never made. Constants are chosen on TRAIN; DAVIS is for reporting. ``--keep`` leaves
the propagated projects in FOLDER, and starts from those that are there.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from benchmarks.clicks import middle_of_largest
from benchmarks.segmenter import held_out_sequences
from sampt.evaluation.datasets import LabelMapSequence, davis_sequences, select_sequences
from sampt.evaluation.vos.jf import jaccard
from sampt.session import Session
from sampt.types import BoolArray, UInt8Array

CLIPS = ("dog", "camel", "soapbox", "bmx-trees", "libby", "dance-twirl")
FRAMES, CLICKS, FIRST_CLICKS = 40, 5, 10
OBJECT = 1


@dataclass(frozen=True)
class Correction:
    """What five clicks did: IoU before and after each, IoU of the same clicks alone, and how many were obeyed."""

    clip: str
    frame: int
    obeyed: int
    ious: list[float]
    nothing: list[float]
    between: dict[str, float]


def choose_click(mask: BoolArray, gt: BoolArray) -> tuple[tuple[float, float], bool]:
    """Where an oracle clicks, (x, y), and whether on the object."""
    missing, extra = middle_of_largest(gt & ~mask), middle_of_largest(mask & ~gt)
    is_positive = missing[1] >= extra[1]
    x, y = (missing if is_positive else extra)[0].tolist()
    return (x, y), is_positive


def show(session: Session, frame: int) -> BoolArray:
    """The mask that is shown on a frame."""
    found = session.preview(frame).get(OBJECT)
    return np.zeros(session.size_hw, np.bool_) if found is None else found.mask(session.size_hw)


def click(session: Session, frame: int, gt: BoolArray) -> tuple[tuple[float, float], bool]:
    """One oracle click."""
    xy, is_positive = choose_click(show(session, frame), gt)
    session.add_point(OBJECT, frame, xy, is_positive)
    return xy, is_positive


def write_frame(path: Path, frame: UInt8Array) -> None:
    cv2.imwrite(str(path), np.asarray(frame)[..., ::-1])


def propagate(sequence: LabelMapSequence, folder: Path) -> None:
    """A project of the clip's first frames, propagated from three oracle clicks; what is there already stays."""
    if (folder / "done").exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    video = sequence.open()
    (folder / "frames").mkdir(parents=True)
    for i in range(min(FRAMES, video.num_frames)):
        write_frame(folder / "frames" / f"{i:05d}.png", video.read(i, i + 1)[0])
    with Session.create(folder / "frames", folder / "clip.sampt") as session:
        session.add_object()
        for _ in range(3):
            click(session, 0, sequence.label_map(0) > 0)
        for _ in session.propagate():
            pass
    (folder / "done").touch()


def measure(sequence: LabelMapSequence, folder: Path, scratch: Path) -> Correction:
    """Correct the worst frame of a copy of the propagated project, and propagate that."""
    shutil.copytree(folder / "clip.sampt", scratch / "clip.sampt")
    with Session.open(scratch / "clip.sampt", video=folder / "frames") as session:
        gt = np.stack([sequence.label_map(i) > 0 for i in range(session.num_frames)])
        before = [jaccard(show(session, i), gt[i]) for i in range(session.num_frames)]
        frame = int(np.argmin(before))
        alone = tmp_session(folder / "frames", frame, scratch)
        ious, nothing, obeyed = [before[frame]], [], 0
        for _ in range(CLICKS):
            (x, y), is_positive = click(session, frame, gt[frame])
            mask = show(session, frame)
            obeyed += int(mask[round(y), round(x)] == is_positive)
            ious.append(jaccard(mask, gt[frame]))
            alone.add_point(OBJECT, 0, (x, y), is_positive)
            nothing.append(jaccard(show(alone, 0), gt[frame]))
        alone.close()
        for _ in session.propagate():
            pass
        after = [jaccard(show(session, i), gt[i]) for i in range(session.num_frames)]
    others = [i for i in range(1, len(before)) if i != frame]
    between = {
        "before": float(np.mean([before[i] for i in others])),
        "after": float(np.mean([after[i] for i in others])),
        "spoilt": float(np.mean([after[i] < before[i] - 0.02 for i in others])),
        "worst": float(min(after[i] - before[i] for i in others)),
    }
    return Correction(sequence.name, frame, obeyed, ious, nothing, between)


def tmp_session(frames: Path, frame: int, scratch: Path) -> Session:
    """A session on one frame alone."""
    (scratch / "alone").mkdir()
    shutil.copy(frames / f"{frame:05d}.png", scratch / "alone" / "00000.png")
    session = Session.create(scratch / "alone", scratch / "alone.sampt")
    session.add_object()
    return session


def measure_first(sequence: LabelMapSequence, scratch: Path) -> list[float]:
    """IoU after each of ten oracle clicks on the first frame."""
    (scratch / "first").mkdir()
    write_frame(scratch / "first" / "00000.png", sequence.open().read(0, 1)[0])
    gt = sequence.label_map(0) > 0
    ious = []
    with Session.create(scratch / "first", scratch / "first.sampt") as session:
        session.add_object()
        for _ in range(FIRST_CLICKS):
            click(session, 0, gt)
            ious.append(jaccard(show(session, 0), gt))
    return ious


def report(found: Sequence[Correction]) -> dict[str, float]:
    """The means, printed clip by clip."""
    for c in found:
        course = " ".join(f"{iou:.2f}" for iou in c.ious)
        nothing = " ".join(f"{iou:.2f}" for iou in c.nothing)
        between = "between: {before:.3f} -> {after:.3f}, spoilt {spoilt:.2f}, worst {worst:+.2f}".format(**c.between)
        print(
            f"{c.clip:18s} frame {c.frame:2d}  obeyed {c.obeyed}/{CLICKS}  {course}  nothing {nothing}  {between}", flush=True
        )
    ious, nothing = np.array([c.ious for c in found]), np.array([c.nothing for c in found])
    return {
        "clips": float(len(found)),
        "obeyed": float(np.mean([c.obeyed for c in found]) / CLICKS),
        "before": float(ious[:, 0].mean()),
        "after_1": float(ious[:, 1].mean()),
        "after_5": float(ious[:, -1].mean()),
        "nothing_5": float(nothing[:, -1].mean()),
        "below_nothing": float((nothing - ious[:, 1:]).max()),
        "cost_more_than_0.1": float((np.diff(ious, axis=1) < -0.1).mean()),
        "between_before": float(np.mean([c.between["before"] for c in found])),
        "between_after": float(np.mean([c.between["after"] for c in found])),
        "spoilt": float(np.mean([c.between["spoilt"] for c in found])),
    }


def run(clips: Sequence[LabelMapSequence], sequences: Sequence[LabelMapSequence], keep: Path) -> dict[str, dict[str, float]]:
    found, courses = [], []
    for sequence in clips:
        propagate(sequence, keep / sequence.name)
        with tempfile.TemporaryDirectory() as scratch:
            found.append(measure(sequence, keep / sequence.name, Path(scratch)))
        report(found[-1:])
    for sequence in sequences:
        with tempfile.TemporaryDirectory() as scratch:
            courses.append(measure_first(sequence, Path(scratch)))
        print(f"{sequence.name:18s} first frame  {' '.join(f'{iou:.2f}' for iou in courses[-1])}", flush=True)
    steps = np.diff(np.array(courses), axis=1)
    first = {
        "further_clicks": float(steps.size),
        "cost_more_than_0.1": float((steps < -0.1).mean()),
        "worst": float(steps.min()),
        "iou_1": float(np.mean([c[0] for c in courses])),
        "iou_10": float(np.mean([c[-1] for c in courses])),
    }
    return {"corrections": report(found), "first frames": first}


def main(arguments: list[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    where = parser.add_mutually_exclusive_group(required=True)
    where.add_argument("--davis", type=Path, help="folder with ImageSets, JPEGImages and Annotations")
    where.add_argument("--train", type=Path, help="folder of davis2016_train; its held-out sequences are used")
    parser.add_argument("--keep", type=Path, help="leave the propagated projects there, and use those that are there")
    parser.add_argument("--json", type=Path, help="write the figures there too")
    options = parser.parse_args(arguments)
    sequences = list(davis_sequences(options.davis) if options.davis else held_out_sequences(options.train))
    clips = select_sequences(sequences, CLIPS) if options.davis else sequences
    with tempfile.TemporaryDirectory() as scratch:
        figures = run(clips, sequences, options.keep or Path(scratch))
    for name, row in figures.items():
        print(name, json.dumps({key: round(value, 4) for key, value in row.items()}), flush=True)
    if options.json:
        options.json.write_text(json.dumps(figures, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
