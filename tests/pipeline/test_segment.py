"""Points that are tracked throughout, over scenes whose masks and tracks are known: every mask has to be exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampt.config import (
    PromptConfig,
    with_settings,
)
from sampt.geometry import rescale_xy
from sampt.pipeline.segment import segment_video
from sampt.testing import (
    ExactSegmenter,
    ExactStreamTracker,
    ExactTracker,
    RecordedClip,
    Scene,
    SceneVideo,
)
from sampt.types import (
    FrameMasks,
    FramePoints,
    HiddenBy,
    ObjectState,
    Points,
    QueryMask,
    Tracks,
)
from sampt.video.array import ArrayVideo
from sampt.video.base import ResizedVideo
from tests.pipeline.scenes import (
    BEFORE,
    CROSSING,
    LEAVING,
    NONE_VISIBLE,
    OCCLUSION,
    PRESENT,
    QUICK,
    STATIC,
    VOS,
    Batched,
    Still,
    assert_exact,
    assert_same,
    on,
    reinit,
    run,
    square,
    states,
)


@pytest.mark.parametrize("frames", [(0, 0), (5, 6), (11, 3), (2, 11)])
@pytest.mark.parametrize("kind", [ExactTracker, ExactStreamTracker])
def test_masks_are_exact_forward_and_backward_from_any_query_frame(frames: tuple[int, int], kind: Any) -> None:
    queries = [on(CROSSING, 1, frames[0]), on(CROSSING, 2, frames[1])]
    assert_exact(CROSSING, run(CROSSING, queries, tracker=kind(CROSSING)))


@pytest.mark.parametrize("protocol", ["bidirectional", "vos"])
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


@pytest.mark.parametrize(("negative_points", "plan"), [(1, 2), (0, 1)])
def test_the_settings_decide_about_two_passes_and_not_what_is_visible(negative_points: int, plan: int) -> None:
    # No negative point is visible on any frame, or there are those of the other object alone.
    for queries in ([on(CROSSING, 1, 0)], [on(CROSSING, 1, 0), on(CROSSING, 2, 0)]):
        segmenter = ExactSegmenter(CROSSING)
        changes = {"sampling.negative_points": negative_points, "prompting.refinement_steps": 0}
        run(CROSSING, queries, with_settings(QUICK, changes), segmenter=segmenter)
        calls = [c for c in segmenter.calls if (c.object_id, c.frame_idx) == (1, 2)]
        assert [c.full_size for c in calls] == [False, True][-plan:]
        assert [c.has_mask_logits for c in calls] == [False, True][:plan]
        assert [len(c.xy) for c in calls] == [12, 12 * len(queries)][-plan:]


@pytest.mark.parametrize("prompt_frame", [0, 3, 19])
def test_an_object_is_absent_while_hidden_and_back_when_it_is_seen(prompt_frame: int) -> None:
    seen = [bool(OCCLUSION.masks(i)[0].any()) for i in range(OCCLUSION.num_frames)]
    hidden = [i for i, s in enumerate(seen) if not s]
    assert len(hidden) >= 3
    results = run(OCCLUSION, on(OCCLUSION, 1, prompt_frame, 200))
    assert_exact(OCCLUSION, results, absent_at_max=len(hidden) + 3)
    assert all(states(results)[i] == NONE_VISIBLE for i in hidden)
    assert states(results)[0] == states(results)[-1] == PRESENT


def test_one_mask_is_enough() -> None:
    results = run(CROSSING, [QueryMask(1, 0, CROSSING.masks(0)[0]), QueryMask(2, 4, CROSSING.masks(4)[1])])
    for result in results:
        assert np.array_equal(result.masks, CROSSING.masks(result.frame_idx))
    assert np.isnan(results[0].scores).tolist() == [True, False]  # on its own frame the mask is given: nobody is prompted
    assert np.isnan(results[4].scores).tolist() == [False, True]
    points = results[0].points
    counts = {(int(o), bool(s)): 0 for o, s in zip(points.object_id, points.is_positive, strict=True)}
    for o, s in zip(points.object_id, points.is_positive, strict=True):
        counts[int(o), bool(s)] += 1
    assert counts == {(1, True): 16, (1, False): 1, (2, True): 16, (2, False): 1}


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
    run(STATIC, queries, replace(QUICK, prompting=PromptConfig(refinement_steps=0)), segmenter=segmenter)
    last = [c for c in segmenter.calls if c.full_size]
    assert [(c.object_id, c.is_positive.sum(), (~c.is_positive).sum()) for c in last] == [(1, 3, 5), (2, 5, 3)] * 4
    segmenter = ExactSegmenter(STATIC)
    config = replace(QUICK, prompting=PromptConfig(refinement_steps=0, max_other_points=2))
    run(STATIC, queries, config, segmenter=segmenter)
    assert {(~c.is_positive).sum() for c in segmenter.calls if c.full_size} == {2}


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
    run(
        CROSSING, [on(CROSSING, 1, 2), on(CROSSING, 2, 7, 5)], memo=memo, segmenter=segmenter
    )  # other prompts are prompted anew
    assert sum(segmenter.encoded) == 3 + 12


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
        gt = STATIC.masks(result.frame_idx)
        iou = (result.masks & gt).sum((1, 2)) / (result.masks | gt).sum((1, 2))
        assert iou.min() > 0.9
        assert result.points.xy[:, 0].max() <= 96
    assert np.array_equal(results[2].masks[1], STATIC.masks(2)[1])  # a given mask is kept to the pixel
    own = results[1].points.xy[: len(queries[0])] if not windows else queries[0].xy
    assert np.abs(own - queries[0].xy).max() < 1e-4
    prompted = [c for c in segmenter.calls if c.object_id == 1]
    expected = rescale_xy(queries[0].xy, (64, 96), small_hw)
    assert np.abs(prompted[0].xy[prompted[0].is_positive][: len(expected)] - expected).max() < 1e-4


def test_the_longest_side_that_the_video_has_changes_nothing() -> None:
    queries = on(CROSSING, 1, 3)
    assert_same(run(CROSSING, queries), run(CROSSING, queries, replace(QUICK, longest_side=96)))


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
