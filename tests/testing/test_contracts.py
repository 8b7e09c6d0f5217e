"""The contracts pass what is right, and each kind of mistake breaks the clause that is about it."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampt.segmenters.base import SegmenterInfo
from sampt.testing import (
    SEGMENTER_CLAUSES,
    TRACKER_CLAUSES,
    ContractError,
    ExactSegmenter,
    ExactStreamTracker,
    ExactTracker,
    SegmenterLimits,
    TrackerLimits,
    check_segmenter,
    check_tracker,
    contract_scenes,
)
from sampt.testing.clauses import run_clauses
from sampt.testing.segmenter_contract import info_is_complete
from sampt.trackers.base import CausalTracker, FrameSource, StreamingTracks, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.streams import CausalTracks
from sampt.types import HiddenBy, MaskPrediction, ObjectPrompt, Points, QueryMask, Tracks

SCENES = contract_scenes()
EXACT = ExactTracker(*SCENES)
STREAM = ExactStreamTracker(*SCENES)
SEGMENTER = ExactSegmenter(*SCENES)


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES)
@pytest.mark.parametrize("tracker", [EXACT, STREAM])
def test_exact_trackers_keep_every_clause(name: str, clause: Callable[..., None], tracker: Any) -> None:
    clause(tracker, TrackerLimits(exact_tolerance_px=0.001, min_visible_accuracy=1.0, same_px=0.001, reversed_px=0.001))


@pytest.mark.parametrize(("name", "clause"), SEGMENTER_CLAUSES)
def test_exact_segmenter_keeps_every_clause(name: str, clause: Callable[..., None]) -> None:
    clause(SEGMENTER, SegmenterLimits(min_iou=0.999, same=0.0))


def test_checks_take_a_back_end_or_a_factory() -> None:
    check_tracker(EXACT)
    check_tracker(lambda: ExactStreamTracker(*SCENES))
    check_segmenter(SEGMENTER)
    check_segmenter(lambda: ExactSegmenter(*SCENES))


def run_one(kind: str, name: str, backend: Any) -> None:
    """One clause, run as the checks run it: what the backend raises breaks the clause too."""
    clauses, limits = (TRACKER_CLAUSES, TrackerLimits()) if kind == "tracker" else (SEGMENTER_CLAUSES, SegmenterLimits())
    run_clauses(kind, [(n, clause) for n, clause in clauses if n == name], lambda: backend, limits)


class Broken:
    """The exact tracker with one thing made wrong by ``spoil(tracks, video)``."""

    def __init__(self, spoil: Callable[[Tracks, FrameSource], Any], **info: Any) -> None:
        self._spoil = spoil
        self.info = replace(EXACT.info, **info)

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Any:
        return self._spoil(EXACT.track(video, points), video)


def remade(tracks: Tracks, xy: Any = None, visible: Any = None, confidence: Any = None) -> Tracks:
    seen = tracks.visible if visible is None else visible
    return Tracks(
        tracks.points,
        tracks.xy if xy is None else xy,
        seen,
        tracks.confidence if confidence is None else confidence,
        np.where(seen, HiddenBy.NONE, HiddenBy.TRACKER),
    )


def holding_still(tracks: Tracks) -> np.ndarray:
    return np.broadcast_to(tracks.points.xy, tracks.xy.shape).copy()


def moved_by_position(tracks: Tracks, video: FrameSource) -> Tracks:
    """Each point's track is off by its position in the list, except on its prompt frame."""
    xy = tracks.xy + 0.2 * np.arange(len(tracks.points))[None, :, None]
    xy[tracks.points.frame_idx, np.arange(len(tracks.points))] = tracks.points.xy
    return remade(tracks, xy)


def forward_only(tracks: Tracks, video: FrameSource) -> Tracks:
    before = np.arange(tracks.num_frames)[:, None] < tracks.points.frame_idx
    codes = np.where(before, HiddenBy.NOT_TRACKED, tracks.hidden_by)
    xy = np.where(before[..., None], tracks.points.xy, tracks.xy)
    return Tracks(tracks.points, xy, codes == 0, tracks.confidence, codes)


def drawing_global_numbers(tracks: Tracks, video: FrameSource) -> Tracks:
    np.random.random()  # noqa: NPY002 (the mistake that the clause is about)
    return tracks


def seeding_python(tracks: Tracks, video: FrameSource) -> Tracks:
    random.seed(0)
    return tracks


def writing_to_frames(tracks: Tracks, video: FrameSource) -> Tracks:
    video.read(0, 1)[:] = 0
    return tracks


def clamped_and_always_visible(tracks: Tracks, video: FrameSource) -> Tracks:
    h, w = video.size_hw
    return remade(tracks, np.clip(tracks.xy, 0, [w - 1, h - 1]), np.ones_like(tracks.visible))


def with_nan(tracks: Tracks, video: FrameSource) -> Tracks:
    return remade(tracks, np.where(tracks.visible[..., None], tracks.xy, np.nan))


def influenced_by_the_mean(tracks: Tracks, video: FrameSource) -> Tracks:
    xy = tracks.xy + (0.1 * tracks.points.xy.mean(0) if len(tracks.points) else 0)
    xy[tracks.points.frame_idx, np.arange(len(tracks.points))] = tracks.points.xy
    return remade(tracks, xy)


def swapping_axes(tracks: Tracks, video: FrameSource) -> Tracks:
    return remade(tracks, tracks.xy[..., ::-1])


def one_way_drift(tracks: Tracks, video: FrameSource) -> Tracks:
    away = np.arange(tracks.num_frames)[:, None] - tracks.points.frame_idx
    return remade(tracks, tracks.xy + 0.5 * away[..., None])


def far_confident(tracks: Tracks, video: FrameSource) -> Tracks:
    return remade(tracks, confidence=2 * tracks.confidence)


BROKEN_TRACKERS: list[tuple[Callable[[Tracks, FrameSource], Any], str, str]] = [
    (with_nan, "object_leaves_and_returns", "finite"),
    (moved_by_position, "order_does_not_matter", "another order"),
    (moved_by_position, "duplicates_agree", "its duplicate"),
    (influenced_by_the_mean, "points_are_independent", "without the other points"),
    (lambda tracks, _: remade(tracks, holding_still(tracks)), "slow_motion", "from the exact tracks"),
    (lambda tracks, _: remade(tracks, holding_still(tracks)), "objects_cross", "front object"),
    (forward_only, "bidirectional", "not tracked on all frames before"),
    (one_way_drift, "reversed_video", "time-reversed"),
    (clamped_and_always_visible, "object_leaves_and_returns", "0% of the points outside the frame are hidden"),
    (lambda tracks, _: remade(tracks, visible=np.ones_like(tracks.visible)), "object_leaves_and_returns", "outside the frame"),
    (
        lambda tracks, _: remade(tracks, visible=np.zeros_like(tracks.visible)),
        "query_point_holds",
        "hidden on their own prompt",
    ),
    (lambda tracks, _: remade(tracks, tracks.xy + 1), "one_frame_video", "1.000 px from its location"),
    (swapping_axes, "non_square_video", "from its location"),
    (far_confident, "still_video", "reaches from 0.0 to 2.0"),
    (lambda tracks, _: tracks.xy, "no_points", "returned a ndarray; expected Tracks"),
    (drawing_global_numbers, "global_random_state_is_left_alone", "global random state"),
    (seeding_python, "global_random_state_is_left_alone", "global random state"),
    (writing_to_frames, "video_is_left_alone", "wrote into the frames"),
]


@pytest.mark.parametrize(("spoil", "clause", "sentence"), BROKEN_TRACKERS)
def test_broken_tracker_breaks_its_clause(spoil: Callable[[Tracks, FrameSource], Any], clause: str, sentence: str) -> None:
    with pytest.raises(ContractError, match=re.escape(sentence)):
        run_one("tracker", clause, Broken(spoil))


def test_a_joint_tracker_may_let_points_influence_each_other() -> None:
    clauses = dict(TRACKER_CLAUSES)
    clauses["points_are_independent"](Broken(influenced_by_the_mean, is_joint=True), TrackerLimits())


def test_tracker_that_raises_on_no_points_is_named() -> None:
    def refuse(tracks: Tracks, video: FrameSource) -> Tracks:
        if not len(tracks.points):
            raise IndexError("empty")
        return tracks

    with pytest.raises(ContractError) as caught:
        check_tracker(Broken(refuse))
    assert caught.value.broken == {"no_points": "It raised IndexError: empty"}


def test_random_weights_are_not_held_to_accuracy() -> None:
    check_tracker(Broken(lambda tracks, _: remade(tracks, holding_still(tracks))), exact_tolerance_px=None)


class Remembering:
    """Moves all points a little more in every run."""

    info = EXACT.info
    runs = 0

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        self.runs += 1
        tracks = EXACT.track(video, points)
        xy = tracks.xy + 0.1 * self.runs
        xy[points.frame_idx, np.arange(len(points))] = points.xy
        return remade(tracks, xy)


def test_tracker_with_a_memory_is_caught() -> None:
    with pytest.raises(ContractError) as caught:
        check_tracker(Remembering())
    assert "second run" in caught.value.broken["runs_repeat"]


class LookingAhead(Broken):
    """Says that it is causal, but locations depend on the length of the clip, and ``stream`` gives something else."""

    def stream(self) -> TrackerStream:
        return STREAM.stream()


def test_causal_tracker_that_looks_ahead_is_caught() -> None:
    def spoil(tracks: Tracks, video: FrameSource) -> Tracks:
        return one_way_drift(tracks, video) if video.num_frames > 6 else tracks

    clause = dict(TRACKER_CLAUSES)["causal_needs_no_later_frame"]
    with pytest.raises(ContractError, match="when later frames are cut off"):
        clause(LookingAhead(spoil, is_causal=True), TrackerLimits())


def test_live_results_that_are_not_those_of_track_are_caught() -> None:
    clause = dict(TRACKER_CLAUSES)["streaming_results_are_those_of_track"]
    with pytest.raises(ContractError, match=r"start\(\) and track\(\) differ on frame 1"):
        clause(LookingAhead(one_way_drift, is_causal=True), TrackerLimits())
    with pytest.raises(ContractError, match=r"no start\(\) and no stream\(\)"):
        clause(Broken(lambda tracks, _: tracks, is_causal=True), TrackerLimits())
    with pytest.raises(
        ContractError, match=r"0 frames have come out of start\(\) after 3 were pushed; expected all but the last 2"
    ):
        clause(Late(lambda tracks, _: tracks, latency=2), TrackerLimits())


class Late(Broken):
    """Says that it waits for two frames, but keeps all until the end."""

    def start(self, points: Points) -> StreamingTracks:
        class Keeping(CausalTracks):
            def push(self, frames: np.ndarray) -> list[TrackStep]:
                return []

        return Keeping(STREAM.stream(), points)


class StuckStream(CausalTracker):
    """A causal tracker whose points never move."""

    info = TrackerInfo("stuck", "Apache-2.0", None, is_causal=True)

    def stream(self) -> TrackerStream:
        class Stream(TrackerStream):
            xy = np.zeros((0, 2), np.float32)

            def push(self, frame: np.ndarray) -> TrackStep:
                return TrackStep(self.xy, np.ones(len(self.xy), np.bool_), np.ones(len(self.xy), np.float32))

            def add(self, xy: np.ndarray) -> None:
                self.xy = np.concatenate([self.xy, xy])

        return Stream()


def test_a_tracker_that_never_moves_breaks_the_accuracy_clauses_alone() -> None:
    with pytest.raises(ContractError) as caught:
        check_tracker(StuckStream())
    assert set(caught.value.broken) == {"slow_motion", "bidirectional", "object_leaves_and_returns", "objects_cross"}


class BrokenSegmenter:
    """The exact segmenter with its predictions made wrong by ``spoil(predictions, prompts)``."""

    def __init__(self, spoil: Callable[[list[MaskPrediction], Sequence[ObjectPrompt]], Any]) -> None:
        self._spoil = spoil
        self.info: Any = SEGMENTER.info

    def encode(self, frames: np.ndarray) -> Any:
        return SEGMENTER.encode(frames)

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> Any:
        return self._spoil(SEGMENTER.decode(embedding, prompts, full_size=full_size), prompts)


Answers = list[MaskPrediction]


def each(
    change: Callable[[MaskPrediction, ObjectPrompt], MaskPrediction],
) -> Callable[[Answers, Sequence[ObjectPrompt]], Answers]:
    return lambda predictions, prompts: [change(a, p) for a, p in zip(predictions, prompts, strict=True)]


def mixing_up(predictions: Answers, prompts: Sequence[ObjectPrompt]) -> Answers:
    """Every prediction has the id of its own prompt and the mask of the next one."""
    return [replace(predictions[(k + 1) % len(predictions)], object_id=a.object_id) for k, a in enumerate(predictions)]


def with_logits(prediction: MaskPrediction, change: Callable[[np.ndarray], np.ndarray]) -> MaskPrediction:
    return prediction if prediction.logits is None else replace(prediction, logits=change(prediction.logits))


def first_point_wins(prediction: MaskPrediction, prompt: ObjectPrompt) -> MaskPrediction:
    first = float(prompt.xy[0, 0]) if len(prompt.xy) else 0.0
    return with_logits(prediction, lambda logits: (logits * (1 + first / 1000)).astype(np.float32))


def needing_points(prediction: MaskPrediction, prompt: ObjectPrompt) -> MaskPrediction:
    return replace(prediction, score=float(prompt.is_positive.mean() >= 0) if len(prompt.xy) else float("nan"))


def longer_batches_score_less(predictions: Answers, prompts: Sequence[ObjectPrompt]) -> Answers:
    return [replace(a, score=1 / len(predictions)) for a in predictions]


BROKEN_SEGMENTERS: list[tuple[Callable[..., Any], str, str]] = [
    (mixing_up, "batch_equals_one_by_one", "a batch of 3 prompts and the prompt alone"),
    (mixing_up, "mixed_numbers_of_points", "a batch of 4 prompts and the prompt alone"),
    (lambda predictions, _: predictions[::-1], "order_of_prompts", "expected [1, 1, 2]"),
    (longer_batches_score_less, "batch_equals_one_by_one", "Scores differ"),
    (each(first_point_wins), "order_of_points", "points of the prompt are in another order"),
    (each(needing_points), "box_and_previous_logits", "score is nan"),
    (each(lambda a, _: with_logits(a, lambda x: x.T)), "one_prompt", "shape (96, 64)"),
    (each(lambda a, _: with_logits(a, lambda x: x.astype(np.float64))), "one_prompt", "float64"),
    (each(lambda a, _: with_logits(a, lambda x: x * np.float32("inf"))), "points_on_the_edge", "NaN or infinity"),
    (each(lambda a, _: replace(a, score=1.5)), "one_prompt", "score is 1.5"),
    (each(lambda a, _: replace(a, low_res_logits=None)), "low_resolution_only", "low_res_logits"),
    (each(lambda a, _: replace(a, box_xyxy=None)), "odd_sizes", "expected the tight box"),
    (each(lambda a, _: replace(with_logits(a, lambda x: x * 0 - 1), box_xyxy=None)), "easy_objects", "IoU 0.00"),
    (lambda predictions, _: predictions or None, "no_prompts", "expected []"),
]


@pytest.mark.parametrize(("spoil", "clause", "sentence"), BROKEN_SEGMENTERS)
def test_broken_segmenter_breaks_its_clause(spoil: Callable[..., Any], clause: str, sentence: str) -> None:
    with pytest.raises(ContractError, match=re.escape(sentence)):
        run_one("segmenter", clause, BrokenSegmenter(spoil))


def test_box_that_changes_with_full_size_is_caught() -> None:
    class Sloppy(BrokenSegmenter):
        def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> Any:
            predictions = SEGMENTER.decode(embedding, prompts, full_size=full_size)
            return predictions if full_size else [replace(a, box_xyxy=a.box_xyxy + 1) for a in predictions]  # type: ignore[operator]

    with pytest.raises(ContractError) as caught:
        check_segmenter(Sloppy(lambda predictions, _: predictions))
    assert list(caught.value.broken) == ["low_resolution_only"]


def test_hidden_state_of_the_last_frame_is_caught() -> None:
    class LastFrame(BrokenSegmenter):
        """What ``set_image`` does: the prediction is about the frame encoded last, whatever embedding is given."""

        def encode(self, frames: np.ndarray) -> Any:
            self.last = SEGMENTER.encode(frames)[-1]
            return [None] * len(frames)

        def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> Any:
            return SEGMENTER.decode(self.last, prompts, full_size=full_size)

    with pytest.raises(ContractError) as caught:
        check_segmenter(LastFrame(lambda predictions, _: predictions))
    assert list(caught.value.broken) == ["stateless", "frames_in_a_batch"]


def test_writing_into_the_frame_is_caught() -> None:
    class Normalising(BrokenSegmenter):
        def encode(self, frames: np.ndarray) -> Any:
            embeddings = SEGMENTER.encode(frames)
            frames //= 2
            return embeddings

    with pytest.raises(ContractError) as caught:
        check_segmenter(Normalising(lambda predictions, _: predictions))
    assert "wrote into the frame" in caught.value.broken["frame_is_left_alone"]


def test_info_without_a_license_is_caught() -> None:
    segmenter = BrokenSegmenter(lambda predictions, _: predictions)
    segmenter.info = SegmenterInfo("mine", "", None)
    with pytest.raises(ContractError) as caught:
        check_segmenter(segmenter)
    assert list(caught.value.broken) == ["info_is_complete"]


@pytest.mark.parametrize("flag", ["has_refinement", "has_candidates", "has_mask_logits"])
def test_a_flag_that_promises_a_missing_method_is_caught(flag: str) -> None:
    segmenter = BrokenSegmenter(lambda predictions, _: predictions)
    segmenter.info = replace(segmenter.info, **{flag: True})
    with pytest.raises(ContractError, match=f"info.{flag} is True"):
        info_is_complete(segmenter)
