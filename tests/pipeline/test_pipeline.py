"""The whole method over scenes whose masks and tracks are known, with exact fakes: every mask has to be exact."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, ClassVar, get_args

import numpy as np
import pytest

from sampt.config import (
    PromptConfig,
    ReinitConfig,
    ReinitVariant,
    SamplingConfig,
    SegmentConfig,
    TrackingConfig,
    preset,
    with_settings,
)
from sampt.errors import BackendError, ConfigError, QueryError, SamptError, VideoError
from sampt.geometry import box_of_mask, rescale_xy
from sampt.pipeline.segment import segment_stream, segment_video
from sampt.testing import (
    ExactSegmenter,
    ExactStreamTracker,
    ExactTracker,
    RecordedClip,
    Scene,
    SceneVideo,
    crossing_scene,
    leave_and_return_scene,
    occlusion_scene,
    static_scene,
)
from sampt.testing.clauses import spread_points
from sampt.trackers.base import CausalTracker, LiveTracks, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.streams import CausalTracks
from sampt.types import (
    FrameMasks,
    FramePoints,
    HiddenBy,
    MaskPrediction,
    ObjectPrompt,
    ObjectState,
    Points,
    QueryBox,
    QueryMask,
    Tracks,
)
from sampt.video.array import ArrayVideo
from sampt.video.base import CachedVideo, ResizedVideo


def rendered_once(scene: Scene) -> Scene:
    """The scene, which keeps its frames and masks from now on."""
    for name in ("frame", "masks"):
        setattr(scene, name, lru_cache(maxsize=None)(getattr(scene, name)))
    return scene


CROSSING, OCCLUSION = rendered_once(crossing_scene(12)), rendered_once(occlusion_scene())
LEAVING, STATIC = rendered_once(leave_and_return_scene()), rendered_once(static_scene(4))
VARIANTS = get_args(ReinitVariant)
NONE_VISIBLE, RETIRED, BEFORE, PRESENT = (
    ObjectState.NO_VISIBLE_POINT,
    ObjectState.RETIRED,
    ObjectState.BEFORE_QUERY,
    ObjectState.PRESENT,
)
QUICK = SegmentConfig(
    sampling=SamplingConfig(),
    tracking=TrackingConfig(border_fraction=0),
    prompting=PromptConfig(refinement_rounds=1),
    reinit=ReinitConfig(),
)
VOS = replace(QUICK, protocol="vos")


def on(scene: Scene, object_id: int, frame_idx: int, count: int = 12) -> Points:
    return Points.of(object_id, frame_idx, spread_points(np.asarray(scene.masks(frame_idx)[object_id - 1]), count))


def box_on(scene: Scene, object_id: int, frame_idx: int) -> QueryBox:
    box = box_of_mask(scene.masks(frame_idx)[object_id - 1])
    assert box is not None
    return QueryBox(object_id, frame_idx, box)


def run(scene: Scene, queries: Any, config: SegmentConfig = QUICK, **more: Any) -> list[FrameMasks]:
    backends = {"tracker": ExactStreamTracker(scene), "segmenter": ExactSegmenter(scene)}
    results = list(segment_video(CachedVideo(SceneVideo(scene), 99), queries, config=config, **(backends | more)))
    assert [r.frame_idx for r in results] == list(range(scene.num_frames))
    return results


def assert_exact(scene: Scene, results: Sequence[FrameMasks], *, absent_at_most: int = 0) -> None:
    """Every mask is exact, and absent is only what has no visible point."""
    absent = 0
    for result in results:
        truth = scene.masks(result.frame_idx)
        for object_id, mask, state, score in zip(result.object_ids, result.masks, result.states, result.scores, strict=True):
            if state == PRESENT:
                assert np.array_equal(mask, truth[object_id - 1]), (result.frame_idx, object_id)
                assert score == 1
                continue
            own = result.points.object_id == object_id
            assert state == NONE_VISIBLE, (result.frame_idx, object_id)
            assert not result.points.visible[own & result.points.is_positive].any()
            assert not mask.any()
            assert np.isnan(score)
            absent += 1
    assert absent <= absent_at_most


def assert_same(one: Sequence[FrameMasks], two: Sequence[FrameMasks], *, ids: bool = True) -> None:
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.masks, b.masks), a.frame_idx
        assert np.array_equal(a.scores, b.scores, equal_nan=True), a.frame_idx
        assert np.array_equal(a.states, b.states), a.frame_idx
        assert np.array_equal(a.object_ids, b.object_ids)
        assert np.array_equal(a.points.hidden_by, b.points.hidden_by), a.frame_idx
        assert np.abs(a.points.xy - b.points.xy).max(initial=0) < 1e-3
        assert not ids or np.array_equal(a.points.point_id, b.points.point_id)


def assert_same_live(live: Sequence[FrameMasks], offline: Sequence[FrameMasks], *query_frames: int) -> None:
    """All is the same, but for points before the query frames of objects 1, 2, ...: only the whole video tells of these."""
    for a, b in zip(live, offline, strict=True):
        later = np.array(query_frames)[a.points.object_id - 1] > a.frame_idx
        assert (a.points.hidden_by[later] == HiddenBy.NOT_TRACKED).all()
        assert (b.points.hidden_by[later] != HiddenBy.NOT_TRACKED).all()
        one, two = (replace(r, points=r.points.select(~later)) for r in (a, b))
        assert_same([one], [two])


def states(results: Sequence[FrameMasks], position: int = 0) -> list[ObjectState]:
    return [ObjectState(int(r.states[position])) for r in results]


@pytest.mark.parametrize("frames", [(0, 0), (5, 6), (11, 3), (2, 11)])
@pytest.mark.parametrize("kind", [ExactTracker, ExactStreamTracker])
def test_masks_are_exact_forward_and_backward_from_any_query_frame(frames: tuple[int, int], kind: Any) -> None:
    queries = [on(CROSSING, 1, frames[0]), on(CROSSING, 2, frames[1])]
    assert_exact(CROSSING, run(CROSSING, queries, tracker=kind(CROSSING)))


@pytest.mark.parametrize("protocol", ["both-ways", "vos"])
@pytest.mark.parametrize("scene", [CROSSING, OCCLUSION])
def test_causal_and_whole_clip_trackers_agree(scene: Scene, protocol: Any) -> None:
    queries = [on(scene, 1, 3), Points.of(1, 8, [[3, 3]], False)]
    if scene is CROSSING:
        queries.append(on(scene, 2, 7))
    config = replace(QUICK, protocol=protocol)
    assert_same(
        run(scene, queries, config, tracker=ExactTracker(scene)), run(scene, queries, config, tracker=ExactStreamTracker(scene))
    )


@pytest.mark.parametrize("kind", [ExactTracker, ExactStreamTracker])
def test_under_protocol_vos_objects_to_come_are_no_part_of_earlier_ones(kind: Any) -> None:
    segmenter, later = ExactSegmenter(CROSSING), on(CROSSING, 2, 3)
    results = run(CROSSING, [on(CROSSING, 1, 0), later], VOS, tracker=kind(CROSSING), segmenter=segmenter)
    assert states(results, 1) == [BEFORE] * 3 + [PRESENT] * 9
    assert not {c.object_id for c in segmenter.calls if c.frame_idx < 3} & {2}
    tracks = ExactTracker(CROSSING).track(SceneVideo(CROSSING), later)
    for frame_idx in range(12):
        expected = tracks.xy[frame_idx][tracks.visible[frame_idx]]
        last = [c for c in segmenter.calls if (c.object_id, c.frame_idx) == (1, frame_idx)][-1]
        assert np.abs(last.xy[~last.is_positive] - expected).max() < 1e-3
        assert len(expected) == 12


@pytest.mark.parametrize(("negative_points", "passes"), [(1, 2), (0, 1)])
def test_the_settings_decide_about_two_passes_and_not_what_is_visible(negative_points: int, passes: int) -> None:
    # No negative point is visible on any frame, or there are those of the other object alone.
    for queries in ([on(CROSSING, 1, 0)], [on(CROSSING, 1, 0), on(CROSSING, 2, 0)]):
        segmenter = ExactSegmenter(CROSSING)
        changes = {"sampling.negative_points": negative_points, "prompting.refinement_rounds": 0}
        run(CROSSING, queries, with_settings(QUICK, changes), segmenter=segmenter)
        calls = [c for c in segmenter.calls if (c.object_id, c.frame_idx) == (1, 2)]
        assert [c.full_size for c in calls] == [False, True][-passes:]
        assert [c.has_mask_logits for c in calls] == [False, True][:passes]
        assert [len(c.xy) for c in calls] == [12, 12 * len(queries)][-passes:]


@pytest.mark.parametrize("query_frame", [0, 3, 19])
def test_an_object_is_absent_while_hidden_and_back_when_it_is_seen(query_frame: int) -> None:
    seen = [bool(OCCLUSION.masks(i)[0].any()) for i in range(OCCLUSION.num_frames)]
    hidden = [i for i, s in enumerate(seen) if not s]
    assert len(hidden) >= 3
    results = run(OCCLUSION, on(OCCLUSION, 1, query_frame, 200))
    assert_exact(OCCLUSION, results, absent_at_most=len(hidden) + 3)
    assert all(states(results)[i] == NONE_VISIBLE for i in hidden)
    assert states(results)[0] == states(results)[-1] == PRESENT


def test_one_mask_is_enough() -> None:
    results = run(CROSSING, [QueryMask(1, 0, CROSSING.masks(0)[0]), QueryMask(2, 4, CROSSING.masks(4)[1])])
    for result in results:
        assert np.array_equal(result.masks, CROSSING.masks(result.frame_idx))
    assert np.isnan(results[0].scores).tolist() == [True, False]  # on its own frame the mask is given: nobody is asked
    assert np.isnan(results[4].scores).tolist() == [False, True]
    points = results[0].points
    counts = {(int(o), bool(s)): 0 for o, s in zip(points.object_id, points.is_positive, strict=True)}
    for o, s in zip(points.object_id, points.is_positive, strict=True):
        counts[int(o), bool(s)] += 1
    assert counts == {(1, True): 16, (1, False): 1, (2, True): 16, (2, False): 1}


def square(scene: Scene) -> np.ndarray:
    """A part of object 1 on frame 5."""
    whole = scene.masks(5)[0]
    y, x = (int(v) for v in spread_points(np.asarray(whole), 1)[0][::-1])
    mask = np.zeros_like(whole)
    mask[y - 3 : y + 4, x - 3 : x + 4] = True
    return np.asarray(mask)


@pytest.mark.parametrize("reinit", [False, True])
def test_vos_protocol_is_empty_before_and_keeps_the_given_mask(reinit: bool) -> None:
    config = with_settings(VOS, {"reinit.enabled": reinit, "reinit.horizon": 5, "reinit.tracker_horizon": 6})
    mask = square(CROSSING)
    results = run(CROSSING, [QueryMask(1, 5, mask), on(CROSSING, 2, 0)], config)
    assert states(results) == [BEFORE] * 5 + [PRESENT] * 7
    assert not any(r.masks[0].any() for r in results[:5])
    assert np.array_equal(results[5].masks[0], mask)
    assert np.array_equal(results[6].masks[0], CROSSING.masks(6)[0])
    assert states(results, 1) == [PRESENT] * 12
    assert [np.isnan(r.scores[0]) for r in results] == [True] * 6 + [False] * 6


def test_a_given_mask_is_kept_both_ways_too() -> None:
    mask = square(CROSSING)
    results = run(CROSSING, QueryMask(1, 5, mask))
    assert np.array_equal(results[5].masks[0], mask)
    for i in (4, 6):
        assert np.array_equal(results[i].masks[0], CROSSING.masks(i)[0])


def test_nobody_is_asked_about_a_given_mask_or_before_the_query_frame() -> None:
    segmenter = ExactSegmenter(CROSSING)
    run(CROSSING, [QueryMask(1, 5, square(CROSSING)), on(CROSSING, 2, 8)], VOS, segmenter=segmenter)
    assert sorted({(c.frame_idx, c.object_id) for c in segmenter.calls}) == sorted(
        [(i, 1) for i in range(6, 12)] + [(i, 2) for i in range(8, 12)]
    )


class Forgetful(ExactTracker):
    """Exact, but a point that is hidden once stays hidden, as with chained flow."""

    def track(self, video: Any, points: Points, query_masks: Any = None) -> Tracks:
        exact = super().track(video, points)
        seen = exact.visible.copy()
        for n, query in enumerate(points.frame_idx):
            seen[query:, n] = np.logical_and.accumulate(seen[query:, n])
            seen[: query + 1, n] = np.logical_and.accumulate(seen[: query + 1, n][::-1])[::-1]
        return Tracks(points, exact.xy, seen, seen.astype(np.float32), np.where(seen, HiddenBy.NONE, HiddenBy.TRACKER))


def test_a_later_click_brings_an_object_back() -> None:
    first, later = on(OCCLUSION, 1, 0), on(OCCLUSION, 1, 18, 4)
    lost = run(OCCLUSION, first, tracker=Forgetful(OCCLUSION))
    assert states(lost)[-3:] == [NONE_VISIBLE] * 3
    found = run(OCCLUSION, [first, later], tracker=Forgetful(OCCLUSION))
    assert states(found)[0] == PRESENT
    assert states(found)[-3:] == [PRESENT] * 3
    assert all(np.array_equal(found[i].masks, OCCLUSION.masks(i)) for i in (0, 1, 2, 17, 18, 19))


def test_two_query_frames_of_one_object_help_each_other() -> None:
    points = Points.concat([on(LEAVING, 1, 0, 3), on(LEAVING, 1, 23, 3)])
    results = run(LEAVING, points, tracker=Forgetful(LEAVING))
    assert results[0].points.visible.tolist() == [True] * 3 + [False] * 3
    assert results[23].points.visible.tolist() == [False] * 3 + [True] * 3
    assert states(results)[0] == states(results)[23] == PRESENT


def test_a_low_score_makes_an_object_absent_there() -> None:
    segmenter = ExactSegmenter(CROSSING, score=lambda frame_idx, object_id: 0.69 if (frame_idx, object_id) == (3, 2) else 0.7)
    results = run(CROSSING, [on(CROSSING, 1, 0), on(CROSSING, 2, 0)], segmenter=segmenter)
    assert [(i, m) for m in (0, 1) for i, s in enumerate(states(results, m)) if s != PRESENT] == [(3, 1)]
    assert results[3].states[1] == ObjectState.LOW_SCORE
    assert results[3].scores[1] == pytest.approx(0.69)
    assert not results[3].masks[1].any()


def test_others_positives_prompt_as_negatives() -> None:
    segmenter = ExactSegmenter(STATIC)
    queries = [on(STATIC, 1, 0, 3), on(STATIC, 2, 0, 5)]
    run(STATIC, queries, replace(QUICK, prompting=PromptConfig(refinement_rounds=0)), segmenter=segmenter)
    last = [c for c in segmenter.calls if c.full_size]
    assert [(c.object_id, c.is_positive.sum(), (~c.is_positive).sum()) for c in last] == [(1, 3, 5), (2, 5, 3)] * 4
    segmenter = ExactSegmenter(STATIC)
    config = replace(QUICK, prompting=PromptConfig(refinement_rounds=0, max_other_points=2))
    run(STATIC, queries, config, segmenter=segmenter)
    assert {(~c.is_positive).sum() for c in segmenter.calls if c.full_size} == {2}


class Batched(ExactSegmenter):
    """The exact segmenter with another batch size; counts the frames of every encode."""

    def __init__(self, *clips: Any, batch: int = 4) -> None:
        super().__init__(*clips)
        self.batch = batch
        self.encoded: list[int] = []

    @property
    def info(self) -> Any:
        return replace(super().info, encode_batch=self.batch)

    def encode(self, frames: Any) -> Any:
        self.encoded.append(len(frames))
        return super().encode(frames)


def test_results_do_not_depend_on_the_batch() -> None:
    queries = [on(CROSSING, 1, 2), on(CROSSING, 2, 7)]
    runs = {}
    for batch, encoded in ((1, [1] * 12), (5, [5, 5, 2]), (64, [12])):
        segmenter = Batched(CROSSING, batch=batch)
        runs[batch] = run(CROSSING, queries, segmenter=segmenter)
        assert segmenter.encoded == encoded
    assert_same(runs[1], runs[5])
    assert_same(runs[1], runs[64])


def test_frames_that_nobody_asks_about_are_not_encoded() -> None:
    segmenter = Batched(CROSSING, batch=4)
    run(CROSSING, on(CROSSING, 1, 9), VOS, segmenter=segmenter)
    assert segmenter.encoded == [3]


class Notebook:
    """A memo in memory."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, str], FrameMasks] = {}

    def lookup(self, frame_idx: int, prompt_digest: str, points: FramePoints) -> FrameMasks | None:
        return self.known.get((frame_idx, prompt_digest))

    def append(self, frame_masks: FrameMasks, prompt_digest: str) -> None:
        assert (frame_masks.frame_idx, prompt_digest) not in self.known
        self.known[frame_masks.frame_idx, prompt_digest] = frame_masks


def test_what_is_remembered_is_not_segmented_again() -> None:
    queries = [on(CROSSING, 1, 2), on(CROSSING, 2, 7)]
    memo = Notebook()
    first = run(CROSSING, queries, memo=memo)
    assert sorted(i for i, _ in memo.known) == list(range(12))
    segmenter = Batched(CROSSING)
    assert_same(first, run(CROSSING, queries, memo=memo, segmenter=segmenter))
    assert segmenter.encoded == []
    for key in [k for k in memo.known if k[0] in (5, 6, 11)]:
        del memo.known[key]
    assert_same(first, run(CROSSING, queries, memo=memo, segmenter=segmenter))
    assert segmenter.encoded == [2, 1]
    run(CROSSING, [on(CROSSING, 1, 2), on(CROSSING, 2, 7, 5)], memo=memo, segmenter=segmenter)  # other prompts are asked anew
    assert sum(segmenter.encoded) == 3 + 12


def reinit(variant: str, horizon: int = 5, *, base: SegmentConfig = QUICK, **more: Any) -> SegmentConfig:
    settings = ReinitConfig(enabled=True, variant=variant, horizon=horizon, tracker_horizon=horizon + 2, **more)  # type: ignore[arg-type]
    return replace(base, reinit=settings)


ONE_PASS = {"prompting.positives_first": False, "prompting.refinement_rounds": 0, "prompting.iou_threshold": 0.5}


@pytest.mark.parametrize("previous", [False, True])
def test_a_frame_is_asked_about_with_the_answer_on_the_frame_before(previous: bool) -> None:
    segmenter = ExactSegmenter(CROSSING)
    config = with_settings(reinit("on-horizon-and-sync", base=VOS, previous_mask=previous), ONE_PASS)
    results = run(CROSSING, [on(CROSSING, 1, 0)], config, segmenter=segmenter)
    assert all(r.masks.any() for r in results)
    with_logits = {call.frame_idx for call in segmenter.calls if call.has_mask_logits}
    assert with_logits == (set(range(1, CROSSING.num_frames)) if previous else set())


def test_after_a_frame_without_the_object_nothing_is_passed_on() -> None:
    gone = {3, 4}
    segmenter = ExactSegmenter(CROSSING, score=lambda frame_idx, _: 0.0 if frame_idx in gone else 1.0)
    config = with_settings(reinit("on-horizon-and-sync", 9, base=VOS, previous_mask=True), ONE_PASS)
    run(CROSSING, [on(CROSSING, 1, 0)], config, segmenter=segmenter)
    without = {call.frame_idx for call in segmenter.calls if not call.has_mask_logits}
    assert without == {0} | {frame_idx + 1 for frame_idx in gone}


class FromMasks(ExactSegmenter):
    """Answers wrongly on one frame; makes logits of a given mask; remembers what each frame was asked with."""

    def __init__(self, wrong_on: int) -> None:
        super().__init__(CROSSING)
        self.wrong_on = wrong_on
        self.asked_with: list[tuple[int, Any]] = []

    @property
    def info(self) -> Any:
        return replace(super().info, has_mask_logits=True)

    def logits_of_mask(self, mask: np.ndarray) -> Any:
        return mask.copy()

    def decode(self, embedding: Any, prompts: Any, *, full_size: bool = True) -> Any:
        answers = super().decode(embedding, prompts, full_size=full_size)
        frame_idx = self.calls[-1].frame_idx
        self.asked_with += [(frame_idx, p.mask_logits) for p in prompts]
        if frame_idx == self.wrong_on:
            answers = [replace(a, logits=None if a.logits is None else np.ones_like(a.logits)) for a in answers]
        return answers


@pytest.mark.parametrize(("protocol", "around"), [("vos", [6]), ("both-ways", [4, 6])])
def test_a_given_mask_is_what_the_next_frame_is_asked_with_and_what_points_are_checked_against(
    protocol: str, around: list[int]
) -> None:
    """Not the segmenter's own answer on that frame, which a person has corrected by giving the mask."""
    given = CROSSING.masks(5)[0]
    queries = [QueryMask(1, 5, given)]
    for previous in (True, False):
        segmenter = FromMasks(wrong_on=5)
        config = reinit("on-horizon-and-sync", 3, previous_mask=previous, look_back=True, anchor=True)
        config = with_settings(replace(config, protocol=protocol), ONE_PASS)  # type: ignore[arg-type]
        results = run(CROSSING, queries, config, segmenter=segmenter)
        seen = [f for f, logits in segmenter.asked_with if isinstance(logits, np.ndarray) and np.array_equal(logits, given)]
        assert sorted(set(seen)) == (around if previous else [])
        if previous:
            for frame_idx in (*around, 11):
                assert np.array_equal(results[frame_idx].masks[0], CROSSING.masks(frame_idx)[0])


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("frames", [(0, 0), (3, 8), (11, 0), (2, 9)])
def test_reinitialised_masks_are_exact_both_ways(variant: str, frames: tuple[int, int]) -> None:
    queries = [on(CROSSING, 1, frames[0]), on(CROSSING, 2, frames[1])]
    results = run(CROSSING, queries, reinit(variant))
    assert_exact(CROSSING, results)
    assert [r.object_ids.tolist() for r in results] == [[1, 2]] * 12
    ids = [set(r.points.point_id.tolist()) for r in results]
    assert all(len(s) == len(r.points) for s, r in zip(ids, results, strict=True))
    assert len(set.union(*ids)) > 24  # new points were sampled on the way
    for object_id, frame_idx in enumerate(frames, 1):
        own = results[frame_idx].points.select(results[frame_idx].points.object_id == object_id)
        assert np.array_equal(own.xy, queries[object_id - 1].xy)  # those of one direction, not of both


@pytest.mark.parametrize("variant", VARIANTS)
def test_reinitialisation_is_the_same_with_causal_and_whole_clip_trackers(variant: str) -> None:
    queries = [on(CROSSING, 1, 3), QueryMask(2, 6, CROSSING.masks(6)[1])]
    config = reinit(variant)
    assert_same(run(CROSSING, queries, config), run(CROSSING, queries, config, tracker=ExactTracker(CROSSING)))


@pytest.mark.parametrize("variant", VARIANTS)
def test_reinitialisation_draws_as_many_points_as_asked(variant: str) -> None:
    config = reinit(variant, base=VOS, positive_points=7, negative_points=3)
    results = run(CROSSING, on(CROSSING, 1, 0, 20), config)
    assert len(results[0].points) == 20
    assert results[11].points.is_positive.tolist() == [True] * 7 + [False] * 3


def test_paper_v1_with_reinitialisation_draws_72_negative_points_in_every_window_of_8_frames() -> None:
    scene = rendered_once(static_scene(17))
    changes = {"reinit.enabled": True, "longest_side": None, "prompting.refinement_rounds": 0, "protocol": "vos"}

    class Windows(ExactTracker):
        lengths: ClassVar[list[int]] = []

        def track(self, video: Any, points: Points, query_masks: Any = None) -> Tracks:
            self.lengths.append(video.num_frames)
            return super().track(video, points)

    config = with_settings(preset("paper-v1"), changes)
    results = run(scene, QueryMask(1, 0, scene.masks(0)[0]), config, tracker=Windows(scene))
    assert {(int(r.points.is_positive.sum()), int((~r.points.is_positive).sum())) for r in results} == {(8, 72)}
    assert Windows.lengths == [8, 8, 3]  # from frames 0, 7 and 14 on
    plain = with_settings(config, {"reinit.enabled": False})
    assert len(run(scene, QueryMask(1, 0, scene.masks(0)[0]), plain)[0].points) == 8 + 1


def test_windows_follow_the_horizon() -> None:
    scene = rendered_once(static_scene(12))
    config = reinit("on-horizon-and-sync", base=VOS, positive_points=2, negative_points=0)
    # The variant takes the last frame of each window of 5, so new points start on frames 4 and 8.
    results = run(scene, on(scene, 1, 0, 6), config)
    assert [int(r.points.point_id.min()) for r in results] == [0] * 4 + [6] * 4 + [8] * 4
    # With another object that waits on frame 6, the second window ends there, and both go on together.
    results = run(scene, [on(scene, 1, 0, 6), on(scene, 2, 6, 6)], config)
    for object_id, starts in ((1, [4, 6, 10]), (2, [10])):
        own = [tuple(r.points.point_id[r.points.object_id == object_id]) for r in results]
        assert [i for i in range(1, 12) if own[i] != own[i - 1] and own[i - 1]] == starts


def test_objects_in_different_windows_prompt_against_each_other() -> None:
    segmenter = ExactSegmenter(CROSSING)
    run(CROSSING, [on(CROSSING, 1, 0), on(CROSSING, 2, 1)], reinit("at-median-area", base=VOS), segmenter=segmenter)
    # Object 1 goes on from frame 3 of its first window, so its points on frames 1 and 2 are final when object 2 is asked about.
    asked = {c.frame_idx: int((~c.is_positive).sum()) for c in segmenter.calls if c.object_id == 2 and c.frame_idx < 3}
    assert asked[1] == 12
    assert asked[2] >= 9


@pytest.mark.parametrize("variant", VARIANTS)
def test_an_object_without_a_mask_to_go_on_from_is_retired(variant: str) -> None:
    outside = [i for i in range(24) if not LEAVING.masks(i)[0].any()]
    results = run(LEAVING, on(LEAVING, 1, 0, 30), reinit(variant, 8))
    got = states(results)
    assert RETIRED in got
    start = got.index(RETIRED)
    assert start >= 8
    assert start <= max(outside) + 8
    assert got[start:] == [RETIRED] * (24 - start)
    assert all(not r.masks.any() and np.isnan(r.scores[0]) for r in results[start:])
    assert states(run(LEAVING, on(LEAVING, 1, 0, 30)))[-1] == PRESENT  # without re-initialisation it comes back


def test_a_hidden_object_is_looked_for_over_the_trackers_horizon_before_it_is_retired() -> None:
    # Hidden on frames 8 to 11, with too few pixels to sample from on frame 7: the last leg before starts on frame 6.
    def with_tracker_horizon(frames: int) -> list[ObjectState]:
        settings = ReinitConfig(enabled=True, variant="on-horizon-and-sync", horizon=4, tracker_horizon=frames)
        return states(run(OCCLUSION, on(OCCLUSION, 1, 0, 30), replace(QUICK, reinit=settings)))

    found = with_tracker_horizon(12)  # up to frame 17, on which most of the object is seen again
    assert RETIRED not in found
    assert found[:8] + found[16:] == [PRESENT] * 12
    lost = with_tracker_horizon(4)
    assert lost[:8] == [PRESENT] * 8
    assert lost[10:] == [RETIRED] * 10


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("kind", [ExactTracker, ExactStreamTracker])
def test_a_lost_object_comes_back_by_the_users_own_points(variant: str, kind: Any) -> None:
    config = with_settings(reinit(variant, 8), {"reinit.keep_queries": True})
    results = run(LEAVING, on(LEAVING, 1, 0, 30), config, tracker=kind(LEAVING))
    got = states(results)
    assert RETIRED not in got
    back = max(i for i, state in enumerate(got) if state == NONE_VISIBLE) + 1
    assert 8 < back < 20
    assert_exact(LEAVING, results, absent_at_most=sum(not LEAVING.masks(i)[0].any() for i in range(24)) + 4)
    for result in results:  # whatever a point came from, it is listed once
        assert len(np.unique(result.points.point_id)) == len(result.points)


def test_points_are_drawn_where_the_objects_own_colours_are() -> None:
    # A red square on blue; the segmenter's mask has slid half off it. Without the anchor half of the points go astray.
    frames = np.zeros((6, 60, 90, 3), np.uint8)
    frames[..., 2] = 200
    frames[:, 20:40, 30:50] = (220, 30, 20)
    frames[:, 0, 0, 1] = np.arange(6)  # frames must differ to be told apart
    true = np.zeros((6, 1, 60, 90), bool)
    true[:, 0, 20:40, 30:50] = True
    slid = true.copy()
    slid[1:] = np.roll(true[1:], 10, axis=3)
    clip = RecordedClip(frames, slid)
    settings = ReinitConfig(enabled=True, variant="on-horizon-and-sync", horizon=3, tracker_horizon=3)

    def astray(anchor: bool) -> float:
        config = replace(VOS, sampling=SamplingConfig(positive_points=40, negative_points=40), reinit=settings)
        config = with_settings(config, {"reinit.anchor": anchor})
        query = QueryMask(1, 0, true[0, 0])
        results = list(segment_video(frames, query, config=config, tracker="lucas-kanade", segmenter=ExactSegmenter(clip)))
        row = results[2].points
        x, y = row.xy.T.astype(int)
        return float((true[0, 0][y, x] != row.is_positive).mean())

    assert astray(anchor=True) < 0.02
    assert astray(anchor=False) > 0.2


def test_points_that_were_off_the_object_a_window_ago_are_no_points_of_it() -> None:
    # Nothing moves; from frame 1 on the segmenter's mask has slid half off the square.
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (1, 60, 90, 3), np.uint8), 6, 0)
    frames[:, 0, 0, 1] = np.arange(6)  # frames must differ to be told apart
    true = np.zeros((6, 1, 60, 90), bool)
    true[:, 0, 15:45, 25:55] = True
    slid = true.copy()
    slid[1:] = np.roll(true[1:], 15, axis=3)
    settings = ReinitConfig(enabled=True, variant="on-horizon-and-sync", horizon=3, tracker_horizon=3)

    def astray(look_back: bool) -> float:
        config = replace(VOS, sampling=SamplingConfig(positive_points=40, negative_points=40), reinit=settings)
        config = with_settings(config, {"reinit.look_back": look_back})
        query = QueryMask(1, 0, true[0, 0])
        segmenter = ExactSegmenter(RecordedClip(frames, slid))
        results = list(segment_video(frames, query, config=config, tracker="dis-flow", segmenter=segmenter))
        row = results[2].points
        x, y = np.rint(row.xy.T).astype(int)
        return float((true[0, 0][y, x] != row.is_positive).mean())

    assert astray(look_back=False) > 0.25
    assert astray(look_back=True) < 0.1


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_retired_object_comes_back_with_a_later_click(variant: str) -> None:
    results = run(LEAVING, [on(LEAVING, 1, 0, 30), on(LEAVING, 1, 22, 5)], reinit(variant, 8))
    got = states(results)
    assert RETIRED in got
    assert got[22:] == [PRESENT, PRESENT]
    assert np.array_equal(results[22].masks[0], LEAVING.masks(22)[0])


@pytest.mark.parametrize("variant", VARIANTS)
def test_going_backward_an_object_is_retired_too(variant: str) -> None:
    results = run(LEAVING, on(LEAVING, 1, 23, 30), reinit(variant, 8))
    got = states(results)
    assert got[0] == RETIRED
    assert got[-1] == PRESENT
    back = got.index(PRESENT)
    assert set(got[:back]) <= {RETIRED, NONE_VISIBLE}


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_later_click_joins_a_re_initialised_object_on_its_frame(variant: str) -> None:
    click = on(CROSSING, 1, 7, 2)
    results = run(CROSSING, [on(CROSSING, 1, 0), click], reinit(variant))
    assert_exact(CROSSING, results)
    row = results[7].points
    for xy in click.xy:
        at = np.flatnonzero((row.xy == xy).all(1))
        assert row.visible[at].any()


def test_overlapping_output_keeps_every_mask_whole() -> None:
    frames = np.random.default_rng(0).integers(0, 255, (3, 32, 48, 3), np.uint8)
    masks = np.zeros((3, 2, 32, 48), bool)
    masks[:, 0, 5:20, 5:30], masks[:, 1, 10:28, 20:44] = True, True
    queries = [Points.of(4, 0, [[8, 8], [10, 12]]), Points.of(2, 1, [[40, 25], [35, 22]])]
    for overlapping in (False, True):
        config = replace(QUICK, overlapping=overlapping)
        segmenter = ExactSegmenter(RecordedClip(frames, masks))
        for result in segment_video(ArrayVideo(frames), queries, config=config, tracker=Still(), segmenter=segmenter):
            assert result.object_ids.tolist() == [2, 4]
            assert np.array_equal(result.masks[0], masks[0, 1])  # equal logits: the smaller id wins
            assert np.array_equal(result.masks[1], masks[0, 0] if overlapping else masks[0, 0] & ~masks[0, 1])


class Still(CausalTracker):
    """Points do not move."""

    @property
    def info(self) -> TrackerInfo:
        return TrackerInfo("still", "Apache-2.0", None, is_causal=True)

    def stream(self) -> TrackerStream:
        return _StillStream()


class _StillStream(TrackerStream):
    def __init__(self) -> None:
        self.xy = np.zeros((0, 2), np.float32)

    def add(self, xy: Any) -> None:
        self.xy = np.concatenate([self.xy, xy])

    def push(self, frame: Any) -> TrackStep:
        n = len(self.xy)
        return TrackStep(self.xy.copy(), np.ones(n, bool), np.ones(n, np.float32))


@pytest.mark.parametrize("windows", [False, True])
@pytest.mark.parametrize("longest_side", [48, 150])
def test_frames_are_worked_on_at_the_longest_side_and_masks_are_the_videos_size(longest_side: int, windows: bool) -> None:
    video = SceneVideo(STATIC)
    small_hw = (round(64 * longest_side / 96), longest_side)
    small = ResizedVideo(video, small_hw).read(0, 4)
    rows, columns = ((np.arange(n) + 0.5) * s / n for n, s in zip(small_hw, (64, 96), strict=True))
    masks = STATIC.masks(0)[:, rows.astype(int)][:, :, columns.astype(int)]
    segmenter = ExactSegmenter(RecordedClip(small, np.broadcast_to(masks, (4, *masks.shape))))
    queries = [on(STATIC, 1, 1), QueryMask(2, 2, STATIC.masks(2)[1])]
    config = reinit("at-median-area", 2) if windows else QUICK
    config = replace(config, longest_side=longest_side)
    results = list(segment_video(video, queries, config=config, tracker=Still(), segmenter=segmenter))
    for result in results:
        assert result.masks.shape == (2, 64, 96)
        truth = STATIC.masks(result.frame_idx)
        iou = (result.masks & truth).sum((1, 2)) / (result.masks | truth).sum((1, 2))
        assert iou.min() > 0.9
        assert result.points.xy[:, 0].max() <= 96
    assert np.array_equal(results[2].masks[1], STATIC.masks(2)[1])  # a given mask is kept to the pixel
    own = results[1].points.xy[: len(queries[0])] if not windows else queries[0].xy
    assert np.abs(own - queries[0].xy).max() < 1e-4
    asked = [c for c in segmenter.calls if c.object_id == 1]
    expected = rescale_xy(queries[0].xy, (64, 96), small_hw)
    assert np.abs(asked[0].xy[asked[0].is_positive][: len(expected)] - expected).max() < 1e-4


def test_the_longest_side_that_the_video_has_changes_nothing() -> None:
    queries = on(CROSSING, 1, 3)
    assert_same(run(CROSSING, queries), run(CROSSING, queries, replace(QUICK, longest_side=96)))


@pytest.mark.parametrize("tracker", ["dis-flow", "lucas-kanade"])
def test_a_live_stream_gives_what_the_offline_run_gives(tracker: str) -> None:
    queries = Points.concat([on(CROSSING, 1, 0), on(CROSSING, 2, 4)])
    frames: Iterator[np.ndarray] = (CROSSING.frame(i) for i in range(12))
    live = segment_stream(frames, queries, config=VOS, tracker=tracker, segmenter=ExactSegmenter(CROSSING))
    assert_same_live(list(live), run(CROSSING, queries, VOS, tracker=tracker), 0, 4)


def test_a_live_result_needs_no_later_frame() -> None:
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for i in range(12):
            taken.append(i)
            yield CROSSING.frame(i)

    results = segment_stream(
        camera(), on(CROSSING, 1, 0), config=QUICK, tracker=ExactStreamTracker(CROSSING), segmenter=Batched(CROSSING, batch=8)
    )
    for i in range(4):
        assert np.array_equal(next(results).masks[0], CROSSING.masks(i)[0])
        assert taken == list(range(i + 1))


class Late(ExactStreamTracker):
    """Knows where points are when ``latency`` more frames have come."""

    latency = 3

    @property
    def info(self) -> TrackerInfo:
        return replace(super().info, is_causal=False, latency=self.latency)

    def start(self, points: Points) -> LiveTracks:
        return _LateTracks(self.stream(), points, self.latency)


class _LateTracks(CausalTracks):
    def __init__(self, stream: TrackerStream, points: Points, latency: int) -> None:
        self._latency = latency
        self._steps: list[TrackStep] = []
        super().__init__(stream, points)

    def _push(self, frame: np.ndarray) -> list[TrackStep]:
        self._steps += super()._push(frame)
        return [self._steps.pop(0)] if len(self._steps) > self._latency else []

    def finish(self) -> list[TrackStep]:
        return self._steps


def test_a_tracker_that_waits_gives_live_results_that_late() -> None:
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for i in range(12):
            taken.append(i)
            yield CROSSING.frame(i)

    queries = Points.concat([on(CROSSING, 1, 0), on(CROSSING, 2, 4)])
    results = segment_stream(camera(), queries, config=VOS, tracker=Late(CROSSING), segmenter=ExactSegmenter(CROSSING))
    found = []
    for i in range(12):
        found.append(next(results))
        assert len(taken) == min(i + Late.latency + 1, 12)
    assert next(results, None) is None
    assert_same_live(found, run(CROSSING, queries, VOS, tracker=ExactStreamTracker(CROSSING)), 0, 4)


@pytest.mark.parametrize("longest_side", [None, 48])
def test_masks_on_the_first_frame_and_expanded_clicks_start_a_live_stream(longest_side: int | None) -> None:
    sampling = SamplingConfig(positive_points=12, negative_points=2, expand_clicks=True)
    config = replace(VOS, sampling=sampling, longest_side=longest_side)
    queries = [on(CROSSING, 1, 0, 1), QueryMask(2, 0, CROSSING.masks(0)[1])]
    frames = (CROSSING.frame(i) for i in range(12))
    scene = CROSSING if longest_side is None else None
    parts = {"tracker": "dis-flow", "segmenter": "grabcut" if scene is None else ExactSegmenter(CROSSING)}
    live = list(segment_stream(frames, queries, config=config, **parts))  # type: ignore[arg-type]
    assert_same(live, list(segment_video(SceneVideo(CROSSING), queries, config=config, **parts)))
    assert len(live[0].points) == 1 + 12 + 2 + 12 + 2


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (
            QueryMask(1, 2, CROSSING.masks(2)[0]),
            "A mask is on frame 2 of a live video, of which only frame 0 is there; click it",
        ),
        (Points.of(1, 3, [[30, 30]]), "A click is on frame 3 of a live video.*--no-expand-clicks"),
    ],
)
def test_a_live_stream_cannot_sample_points_on_frames_to_come(queries: Any, message: str) -> None:
    config = replace(QUICK, sampling=SamplingConfig(expand_clicks=True))
    with pytest.raises(QueryError, match=message):
        segment_stream(iter([CROSSING.frame(0)]), queries, config=config, **EXACT)  # type: ignore[arg-type]


def test_clicks_are_expanded_to_points_of_the_segmenters_mask() -> None:
    sampling = SamplingConfig(positive_points=30, negative_points=4, expand_clicks=True)
    config = replace(QUICK, sampling=sampling)
    results = run(CROSSING, [on(CROSSING, 1, 5, 1), on(CROSSING, 2, 8, 1)], config)
    assert_exact(CROSSING, results)
    for object_id, frame_idx in ((1, 5), (2, 8)):
        row = results[frame_idx].points
        row = row.select(row.object_id == object_id)
        assert row.is_positive.sum() == 31  # the click and what is sampled
        assert (~row.is_positive).sum() == 4
        inside = CROSSING.masks(frame_idx)[object_id - 1][row.xy[:, 1].astype(int), row.xy[:, 0].astype(int)]
        assert np.array_equal(inside, row.is_positive)


@pytest.mark.parametrize("longest_side", [None, 48])
def test_a_box_is_followed_by_points_of_the_segmenters_mask(longest_side: int | None) -> None:
    sampling = SamplingConfig(positive_points=30, negative_points=4)
    queries = [box_on(CROSSING, 1, 5), on(CROSSING, 2, 8)]
    config = replace(QUICK, sampling=sampling, longest_side=longest_side)
    parts = {} if longest_side is None else {"segmenter": "grabcut", "tracker": "dis-flow"}
    results = run(CROSSING, queries, config, **parts)
    row = results[5].points
    row = row.select(row.object_id == 1)
    assert (row.is_positive.sum(), (~row.is_positive).sum()) == (30, 4)
    assert [len(r.object_ids) for r in results] == [2] * 12
    if longest_side is None:
        assert_exact(CROSSING, results)


def test_clicks_of_the_object_go_with_its_box() -> None:
    asked: list[ObjectPrompt] = []

    class Listening(ExactSegmenter):
        def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
            asked.extend(prompts)
            return super().decode(embedding, prompts, full_size=full_size)

    box = box_on(CROSSING, 1, 5)
    clicks = [on(CROSSING, 1, 5, 2), on(CROSSING, 1, 7, 3), on(CROSSING, 2, 5, 4)]
    run(CROSSING, [*clicks, box], segmenter=Listening(CROSSING))
    boxed = asked[:2]
    assert [(p.object_id, len(p.xy), p.box_xyxy.tolist()) for p in boxed] == [(1, 2, box.box_xyxy.tolist())] * 2  # type: ignore[union-attr]
    assert boxed[0].mask_logits is None
    assert boxed[1].mask_logits is not None


def test_a_box_without_an_object_in_it_is_refused() -> None:
    empty = QueryBox(1, 0, np.array([0, 0, 1, 1]))
    with pytest.raises(QueryError, match="found nothing in the box of object 1 on frame 0"):
        run(CROSSING, empty)


def test_a_box_on_the_first_frame_starts_a_live_stream() -> None:
    queries = [box_on(CROSSING, 1, 0), on(CROSSING, 1, 0, 2), on(CROSSING, 2, 3)]
    frames = (CROSSING.frame(i) for i in range(12))
    live = list(segment_stream(frames, queries, config=VOS, **EXACT))  # type: ignore[arg-type]
    assert_same_live(live, run(CROSSING, queries, VOS, tracker=ExactStreamTracker(CROSSING)), 0, 3)
    with pytest.raises(QueryError, match="A box is on frame 3 of a live video"):
        segment_stream(iter([CROSSING.frame(0)]), box_on(CROSSING, 1, 3), config=VOS, **EXACT)  # type: ignore[arg-type]


def test_clicks_beside_a_given_mask_do_not_replace_it() -> None:
    sampling = SamplingConfig(positive_points=30, negative_points=0, expand_clicks=True)
    part = square(CROSSING)
    row = run(CROSSING, [on(CROSSING, 1, 5, 1), QueryMask(1, 5, part)], replace(QUICK, sampling=sampling))[5].points
    assert len(row) == 31
    assert part[row.xy[1:, 1].astype(int), row.xy[1:, 0].astype(int)].all()


def test_one_click_replaces_the_mask_by_the_segmenters_own() -> None:
    config = replace(QUICK, sampling=SamplingConfig(positive_points=30, negative_points=4, one_click=True))
    part = square(CROSSING)
    results = run(CROSSING, QueryMask(1, 5, part), config)
    assert_exact(CROSSING, results)
    row = results[5].points
    inside = part[row.xy[:, 1].astype(int), row.xy[:, 0].astype(int)]
    assert row.is_positive.sum() == 30
    assert not inside[row.is_positive].all()  # points come from the whole object
    assert (~row.is_positive).sum() == 4


def test_one_click_prompts_once_without_refinement() -> None:
    segmenter = ExactSegmenter(CROSSING)
    settings = {"sampling.one_click": True, "prompting.refinement_rounds": 3}
    run(CROSSING, QueryMask(1, 5, square(CROSSING)), with_settings(QUICK, settings), segmenter=segmenter)
    first, second = segmenter.calls[:2]
    assert (first.frame_idx, len(first.xy), first.has_mask_logits, first.box_xyxy, first.full_size) == (5, 1, False, None, True)
    assert (second.frame_idx, len(second.xy)) == (0, 16)  # then the video


def test_one_click_under_protocol_vos_keeps_the_given_mask_on_its_frame() -> None:
    settings = {"sampling.one_click": True, "sampling.positive_points": 30}
    part = square(CROSSING)
    results = run(CROSSING, QueryMask(1, 5, part), with_settings(VOS, settings))
    assert np.array_equal(results[5].masks[0], part)
    assert states(results) == [BEFORE] * 5 + [PRESENT] * 7
    assert_exact(CROSSING, results[6:])
    row = results[5].points
    assert not part[row.xy[:, 1].astype(int), row.xy[:, 0].astype(int)][row.is_positive].all()


def test_one_click_on_nothing_is_told() -> None:
    config = replace(QUICK, sampling=SamplingConfig(one_click=True))
    mask = np.zeros((64, 96), bool)
    mask[:3, :3] = True
    with pytest.raises(QueryError, match=r"The segmenter found nothing at the centre of object 1 on frame 5; give points or"):
        run(CROSSING, QueryMask(1, 5, mask), config)


class Masked(ExactTracker):
    """Wants masks; keeps what it gets."""

    @property
    def info(self) -> Any:
        return replace(super().info, needs_masks=True)

    def track(self, video: Any, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        self.masks = query_masks
        return super().track(video, points)


def test_trackers_that_match_inside_masks_get_the_segmenters() -> None:
    tracker = Masked(CROSSING)
    run(CROSSING, [on(CROSSING, 1, 0), on(CROSSING, 2, 7)], tracker=tracker)
    assert tracker.masks is not None
    assert [(m.object_id, m.frame_idx) for m in tracker.masks] == [(1, 0), (2, 7)]
    for m in tracker.masks:
        assert np.array_equal(m.mask, CROSSING.masks(m.frame_idx)[m.object_id - 1])


def test_the_seed_alone_decides() -> None:
    query = QueryMask(1, 0, CROSSING.masks(0)[0])
    one, two, other = (run(CROSSING, query, replace(QUICK, seed=seed)) for seed in (1, 1, 2))
    assert_same(one, two)
    assert not np.array_equal(one[0].points.xy, other[0].points.xy)


VIDEO = SceneVideo(CROSSING)
EXACT = {"tracker": ExactStreamTracker(CROSSING), "segmenter": ExactSegmenter(CROSSING)}


@pytest.mark.parametrize(
    ("queries", "changed", "error", "message"),
    [
        (Points.of(1, 12, [[3, 3]]), {}, QueryError, "on frame 12, but the video has 12 frames"),
        (Points.of(1, 0, [[96, 3]]), {}, QueryError, "lies outside the frame"),
        (Points.of(1, 0, [[9, 3]], False), {}, QueryError, "only negative points"),
        ([], {}, QueryError, "No object is named"),
        ([3], {}, QueryError, "A query is a int, expected Points, QueryMask or QueryBox"),
        (QueryMask(1, 0, np.ones((3, 3), bool)), {}, QueryError, "give a mask of the frame's size"),
        (Points.of(1, 0, [[3, 3]]), {"tracker": "reft"}, BackendError, "Unknown tracker 'reft'"),
        (Points.of(1, 0, [[3, 3]]), {"segmenter": "sam"}, BackendError, "Unknown segmenter 'sam'"),
    ],
)
@pytest.mark.parametrize("config", [QUICK, reinit("at-median-area")], ids=["steady", "windows"])
def test_errors_are_raised_at_once(
    queries: Any, changed: dict[str, Any], error: type[SamptError], message: str, config: SegmentConfig
) -> None:
    with pytest.raises(error, match=message) as caught:
        segment_video(VIDEO, queries, config=config, **(EXACT | changed))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("frames", "changed", "error", "message"),
    [
        ([], {}, VideoError, "The stream has no frame"),
        ([np.zeros((4, 4), np.uint8)], {}, VideoError, r"Frame 0 of the stream is uint8 \(4, 4\); expected a uint8 RGB array"),
        ([np.zeros((64, 96, 3))], {}, VideoError, r"Frame 0 of the stream is float64 \(64, 96, 3\)"),
        ([[1]], {}, VideoError, "Frame 0 of the stream is list"),
        ([CROSSING.frame(0)], {"tracker": ExactTracker(CROSSING)}, BackendError, "needs the whole clip"),
        ([CROSSING.frame(0)], {"config": reinit("at-median-area")}, ConfigError, "is read once: switch re-initialisation off"),
        ([CROSSING.frame(0)[:20]], {}, QueryError, "lies outside the frame"),
    ],
)
def test_errors_of_a_stream_are_raised_at_once(frames: Any, changed: Any, error: type[SamptError], message: str) -> None:
    with pytest.raises(error, match=message):
        segment_stream(iter(frames), Points.of(1, 0, [[30, 30]]), **({"config": QUICK} | EXACT | changed))


def test_a_stream_whose_size_changes_is_told() -> None:
    frames = [CROSSING.frame(0), CROSSING.frame(1)[:40]]
    results = segment_stream(frames, Points.of(1, 0, [[30, 30]]), config=QUICK, **EXACT)  # type: ignore[arg-type]
    next(results)
    with pytest.raises(VideoError, match=r"Frame 1 .* is uint8 \(40, 96, 3\); expected a uint8 RGB array \(64, 96, 3\)"):
        next(results)
