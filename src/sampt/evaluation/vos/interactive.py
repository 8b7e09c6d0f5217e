"""The interactive study of the SAM-PT paper: a simulated person corrects one object's points until its masks are good.

The person sees the ground truth. Frame after frame, while the mask is not good enough and the frame has actions left: a visible
negative point on the object is taken away, else a visible positive one off it, else a point is added in the larger of what is
missed and what is too much, at the medoid of its largest piece. Points are tracked from the frame where they were added, and
are gone from the frame where they were taken away on (Rajic et al., arXiv 2307.01197, interactive experiments;
docs/algorithm.md, "Interactive study").
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Literal

import cv2
import numpy as np

from sampt.config import SegmentConfig, with_settings
from sampt.errors import EvaluationError
from sampt.evaluation.datasets import VosSequence
from sampt.evaluation.vos.jf import boundary_f, jaccard
from sampt.geometry import round_to_pixels
from sampt.pipeline.propagation import Engine, collect_masks
from sampt.pipeline.randomness import RngPurpose, rng_for
from sampt.points.sample import sample_points
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker, TrackStep, start_streaming
from sampt.types import BoolArray, FloatArray, FramePoints, HiddenBy, IntArray, Points, UInt8Array
from sampt.video import Video
from sampt.video.base import SubVideo

__all__ = ["InteractiveConfig", "StudyPoint", "run_study", "study_table"]

_OFFLINE_THRESHOLDS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95)
_ONLINE_THRESHOLD = 0.95
_NEVER = np.iinfo(np.int64).max


@dataclass(frozen=True)
class InteractiveConfig:
    """How the person works.

    Attributes:
        mode: "online": one pass over the video, to an IoU of 0.95; "offline": passes with rising thresholds, 0.1 to 0.95.
        tracking: False: a point counts on its own frame alone.
        per_frame: actions on one frame of one pass, at most.
        in_all: actions, at most.
    """

    mode: Literal["online", "offline"] = "online"
    tracking: bool = True
    per_frame: int = 3
    in_all: int = 300

    def __post_init__(self) -> None:
        if self.mode not in ("online", "offline") or self.per_frame < 1 or self.in_all < 1:
            raise EvaluationError(
                f"The study is to be {self.mode!r} with {self.per_frame} actions a frame and {self.in_all} in all; expected "
                "'online' or 'offline', and numbers from 1."
            )


@dataclass(frozen=True)
class StudyPoint:
    """Where the study stands.

    Attributes:
        actions: so far.
        iou: mean over the frames that have been seen in this pass.
        j_and_f: mean of J and F over them.
        frames: how many these are.
        threshold: of this pass.
    """

    actions: int
    iou: float
    j_and_f: float
    frames: int
    threshold: float


@dataclass
class _Person:
    """All points ever added, and when each was taken away."""

    xy: FloatArray = field(default_factory=lambda: np.zeros((0, 2), np.float32))
    frame_idx: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    is_positive: BoolArray = field(default_factory=lambda: np.zeros(0, np.bool_))
    gone_from: IntArray = field(default_factory=lambda: np.zeros(0, np.int64))
    tracks: list[TrackStep] = field(default_factory=list)
    """By a tracker of whole clips, of each point: xy (t, 2), visible (t,), confidence (t,) on the t frames from its own on."""
    actions: int = 0

    def points(self) -> Points:
        return Points(self.xy, self.frame_idx, np.ones(len(self.xy), np.int64), self.is_positive)

    def add(self, xy: FloatArray, frame_idx: int, is_positive: bool) -> None:
        self.xy = np.concatenate([self.xy, xy[None]]).astype(np.float32)
        self.frame_idx = np.append(self.frame_idx, frame_idx)
        self.is_positive = np.append(self.is_positive, is_positive)
        self.gone_from = np.append(self.gone_from, _NEVER)
        self.actions += 1


def run_study(
    sequence: VosSequence,
    object_id: int,
    tracker: PointTracker,
    segmenter: PromptableSegmenter,
    config: SegmentConfig,
    study: InteractiveConfig,
) -> Iterator[StudyPoint]:
    """Yield where the study of one object stands after every frame of every pass.

    Args:
        sequence: every frame of it is annotated.
        object_id: of its annotations.
        tracker: any that needs no masks. One that gives results at once follows the frames as they come; another one is given
            the clip from a click's frame to the end, once for every click.
        segmenter: any.
        config: settings of prompting; nothing is re-initialised.
        study: how the person works.

    Raises:
        EvaluationError: a frame has no annotation, there is no such object, or the tracker needs masks.
    """
    if len(sequence.annotated_frames) != len(sequence.frame_names) or object_id not in sequence.object_ids:
        raise EvaluationError(
            f"{sequence.name} has {len(sequence.annotated_frames)} annotations for {len(sequence.frame_names)} frames and the "
            f"objects {sequence.object_ids}; expected one for every frame, and the object {object_id}."
        )
    if study.tracking and tracker.info.needs_masks:
        raise EvaluationError(
            f"Tracker {tracker.info.name!r} matches inside the objects' masks, which a click lacks; choose one that needs none."
        )
    # Points that are gone, or of other frames, are no sign that the object is.
    settings = with_settings(config, {"prompting.min_visible": 0.0})
    engine, video, person = Engine(tracker, segmenter, settings), sequence.open(), _Person()
    for threshold in (_ONLINE_THRESHOLD,) if study.mode == "online" else _OFFLINE_THRESHOLDS:
        yield from _pass(engine, video, sequence, object_id, person, study, threshold)
        if person.actions >= study.in_all:
            return


def _pass(
    engine: Engine,
    video: Video,
    sequence: VosSequence,
    object_id: int,
    person: _Person,
    study: InteractiveConfig,
    threshold: float,
) -> Iterator[StudyPoint]:
    source = _open_points(engine.tracker, video, person, study)
    sums = np.zeros(2)
    for frame_idx in range(video.num_frames):
        frame = video.read(frame_idx, frame_idx + 1)
        step = source.push(frame)
        desk = _Desk(engine, frame, frame_idx, sequence.label_map(frame_idx) == object_id, person, step)
        mask, iou = desk.predict()
        for _ in range(study.per_frame):
            if iou >= threshold or person.actions >= study.in_all:
                break
            known = len(person.xy)
            desk.act(mask)
            if len(person.xy) > known:
                source.add(person.points().select(np.arange(known, len(person.xy))))
            mask, iou = desk.predict()
        sums += iou, (iou + boundary_f(mask, desk.gt)) / 2
        iou_mean, j_and_f = (sums / (frame_idx + 1)).tolist()
        yield StudyPoint(person.actions, iou_mean, j_and_f, frame_idx + 1, threshold)


class _PointSource(ABC):
    """The person's points during a pass."""

    @abstractmethod
    def push(self, frame: UInt8Array) -> TrackStep:
        """Where the points that are known by now are on the next (1, h, w, 3) frame; those of later frames are hidden."""

    @abstractmethod
    def add(self, points: Points) -> None:
        """Track points of the frame pushed last, too."""


class _Alone(_PointSource):
    """Nothing is tracked: a point counts on its own frame."""

    def push(self, frame: UInt8Array) -> TrackStep:
        return TrackStep(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))

    def add(self, points: Points) -> None:
        pass


class _StreamingPoints(_PointSource):
    """By a tracker that gives results at once."""

    def __init__(self, tracker: PointTracker, points: Points) -> None:
        self._stream = start_streaming(tracker, points)

    def push(self, frame: UInt8Array) -> TrackStep:
        (step,) = self._stream.push(frame)
        return step

    def add(self, points: Points) -> None:
        self._stream.add(points)


class _FromItsFrameOn(_PointSource):
    """By a tracker of whole clips, which sees the clip from a point's frame to the end: once a point, whatever the pass."""

    def __init__(self, tracker: PointTracker, video: Video, person: _Person) -> None:
        self._tracker, self._video, self._person = tracker, video, person
        self._frame_idx = -1

    def push(self, frame: UInt8Array) -> TrackStep:
        self._frame_idx += 1
        person = self._person
        n = len(person.xy)
        step = TrackStep(person.xy.copy(), np.zeros(n, np.bool_), np.zeros(n, np.float32))
        for k in np.flatnonzero(person.frame_idx <= self._frame_idx).tolist():
            for whole, part in zip(step, person.tracks[k], strict=True):
                whole[k] = part[self._frame_idx - person.frame_idx[k]]
        return step

    def add(self, points: Points) -> None:
        rest = SubVideo(self._video, range(self._frame_idx, self._video.num_frames))
        for k in range(len(points)):  # one by one: a point that is added later changes nothing about another
            own = points.select(np.array([k]))
            first = own.with_frames(np.zeros(1, np.int64))
            tracks = self._tracker.track(rest, first)
            step = TrackStep(tracks.xy[:, 0], tracks.visible[:, 0], tracks.confidence[:, 0])
            self._person.tracks.append(step)


def _open_points(tracker: PointTracker, video: Video, person: _Person, study: InteractiveConfig) -> _PointSource:
    """How a pass tracks points."""
    if not study.tracking:
        return _Alone()
    if tracker.info.streaming_latency == 0:
        return _StreamingPoints(tracker, person.points())
    return _FromItsFrameOn(tracker, video, person)


class _Desk:
    """One frame in front of the person."""

    def __init__(
        self,
        engine: Engine,
        frame: UInt8Array,
        frame_idx: int,
        gt: BoolArray,
        person: _Person,
        step: TrackStep,
    ) -> None:
        self._engine, self._frame, self._frame_idx = engine, frame, frame_idx
        self.gt, self._person, self._step = gt, person, step
        self._embedding = engine.segmenter.encode(frame)[0]

    def _row(self) -> FramePoints:
        """The points that count here, those added on this very frame among them."""
        person = self._person
        n, known = len(person.xy), len(self._step.xy)
        here = person.frame_idx == self._frame_idx
        xy, visible = person.xy.copy(), here.copy()
        xy[:known], visible[:known] = self._step.xy, self._step.visible
        visible |= here
        xy[here] = person.xy[here]
        visible &= person.gone_from > self._frame_idx
        hidden_by = np.where(visible, HiddenBy.NONE, HiddenBy.TRACKER).astype(np.uint8)
        return FramePoints(np.arange(n), np.ones(n, np.int64), person.is_positive, xy, np.ones(n, np.float32), hidden_by)

    def predict(self) -> tuple[BoolArray, float]:
        """The mask as the points are now, and its IoU."""
        size_hw = self.gt.shape[:2]
        prompts = self._engine.prompts(self._frame_idx, self._row(), [1])
        predictions = self._engine.predict(self._embedding, prompts, (size_hw[0], size_hw[1]))
        mask = collect_masks(predictions, [1])[0].mask((size_hw[0], size_hw[1]))
        return mask, jaccard(mask, self.gt)

    def act(self, mask: BoolArray) -> None:
        """One correction."""
        row = self._row()
        pixels = round_to_pixels(row.xy, (self.gt.shape[0], self.gt.shape[1]), halves_to_even=True)
        wrong = row.visible & (self.gt[pixels] != row.is_positive)
        for is_positive in (False, True):
            found = np.flatnonzero(wrong & (row.is_positive == is_positive))
            if len(found):
                self._person.gone_from[found[0]] = self._frame_idx
                self._person.actions += 1
                return
        missed, too_much = self.gt & ~mask, mask & ~self.gt
        is_missed = np.count_nonzero(missed) >= np.count_nonzero(too_much)
        piece = _largest_piece(missed if is_missed else too_much)
        rng = rng_for(self._engine.config.seed, RngPurpose.SIMULATED_PERSON, self._frame_idx, self._person.actions)
        xy = sample_points(piece, 1, "kmedoids", rng, self._frame[0])[0]
        self._person.add(xy, self._frame_idx, bool(is_missed))


def _largest_piece(region: BoolArray) -> BoolArray:
    """The largest set of its pixels that touch."""
    count, labels, stats, _ = cv2.connectedComponentsWithStats(region.view(np.uint8), connectivity=8)
    return np.asarray(labels == 1 + int(np.argmax(stats[1:count, cv2.CC_STAT_AREA])))


def study_table(points: Sequence[StudyPoint], marks: Sequence[int] = (1, 2, 5, 10, 20, 50, 100, 200, 300)) -> str:
    """A Markdown table: where the study stood when so many actions had been made for the first time, and at its end."""
    lines = ["| actions | IoU | J&F | frames | threshold |", "|---|---|---|---|---|"]
    shown = [next((p for p in points if p.actions >= mark), None) for mark in marks]
    for point in dict.fromkeys([*(p for p in shown if p is not None), *points[-1:]]):
        lines.append(f"| {point.actions} | {point.iou:.3f} | {point.j_and_f:.3f} | {point.frames} | {point.threshold:g} |")
    return "\n".join(lines)
