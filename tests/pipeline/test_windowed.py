"""Re-initialisation over scenes whose masks and tracks are known: windows, their points, objects that are lost and found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import numpy as np
import pytest

from sampt.config import ReinitConfig, SamplingConfig, default_config, with_settings
from sampt.memory import ObjectMemory
from sampt.memory import object_memory as object_memory_module
from sampt.pipeline import recognition, windowed
from sampt.pipeline.segment import segment_video
from sampt.presets import preset
from sampt.segmenters.base import SegmenterInfo
from sampt.testing import (
    ExactSegmenter,
    ExactStreamTracker,
    ExactTracker,
    RecordedClip,
    static_scene,
)
from sampt.types import (
    MaskPrediction,
    ObjectState,
    Points,
    QueryMask,
    Tracks,
)
from tests.pipeline.scenes import (
    CROSSING,
    LEAVING,
    NONE_VISIBLE,
    OCCLUSION,
    PRESENT,
    QUICK,
    RETIRED,
    VARIANTS,
    VOS,
    Still,
    assert_exact,
    assert_same,
    on,
    reinit,
    rendered_once,
    run,
    states,
)


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
    changes = {"reinit.enabled": True, "longest_side": None, "prompting.refinement_steps": 0, "protocol": "vos"}

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
    # Object 1 goes on from frame 3 of its first window, so its points on frames 1 and 2 are final when object 2 is prompted
    # for.
    prompted = {c.frame_idx: int((~c.is_positive).sum()) for c in segmenter.calls if c.object_id == 2 and c.frame_idx < 3}
    assert prompted[1] == 12
    assert prompted[2] >= 9


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
    # Hidden on frames 8 to 11, with too few pixels to sample from on frame 7: the last span before starts on frame 6.
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
    assert_exact(LEAVING, results, absent_at_max=sum(not LEAVING.masks(i)[0].any() for i in range(24)) + 4)
    for result in results:  # whatever a point came from, it is listed once
        assert len(np.unique(result.points.point_id)) == len(result.points)


def test_points_are_drawn_where_the_objects_own_colors_are() -> None:
    # A red square on blue; the segmenter's mask has slid half off it. Without the anchor half of the points go astray.
    frames = np.zeros((6, 60, 90, 3), np.uint8)
    frames[..., 2] = 200
    frames[:, 20:40, 30:50] = (220, 30, 20)
    frames[:, 0, 0, 1] = np.arange(6)  # frames must differ to be distinguished
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


def test_prompts_say_where_the_object_may_be_by_its_looks(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = np.full((6, 96, 144, 3), 90, np.uint8)
    gt = np.zeros((6, 1, 96, 144), bool)
    for i in range(6):
        x = 16 + 16 * i
        frames[i, 32:64, x : x + 32] = (220, 30, 20)
        frames[i, 40:56:4, x : x + 32] = (250, 240, 60)
        gt[i, 0, 32:64, x : x + 32] = True

    class Noting(ExactSegmenter):
        priors: ClassVar[list[Any]] = []
        uses_prior = True

        @property
        def info(self) -> SegmenterInfo:
            return replace(super().info, uses_prior=self.uses_prior)

        def decode(self, embedding: Any, prompts: Any, *, full_size: bool = True) -> list[MaskPrediction]:
            self.priors.extend(p.prior for p in prompts)
            return super().decode(embedding, prompts, full_size=full_size)

    def priors(object_memory: bool) -> list[Any]:
        Noting.priors.clear()
        config = with_settings(default_config(), {"prompting.object_memory": object_memory, "protocol": "vos"})
        query, segmenter = QueryMask(1, 0, gt[0, 0]), Noting(RecordedClip(frames, gt))
        assert len(list(segment_video(frames, query, config=config, tracker="lucas-kanade", segmenter=segmenter))) == 6
        return list(Noting.priors)

    assert all(p is None for p in priors(object_memory=True))  # tracking has lost nothing
    monkeypatch.setattr(recognition, "is_needed", lambda *_: True)
    found = priors(object_memory=True)
    later = [p for p in found if p is not None]
    assert len(later) >= 5
    for i, logits in enumerate(later[-5:], 1):
        height, width = logits.shape
        y, x = np.unravel_index(logits.argmax(), logits.shape)
        assert abs((x + 0.5) / width * 144 - (32 + 16 * i)) < 16
        assert abs((y + 0.5) / height * 96 - 48) < 16
        assert logits.max() > 0 > np.median(logits)
    assert all(p is None for p in priors(object_memory=False))
    Noting.uses_prior = False
    assert all(p is None for p in priors(object_memory=True))


class WithPrior(ExactSegmenter):
    """One that an object memory is made for."""

    @property
    def info(self) -> SegmenterInfo:
        return replace(super().info, uses_prior=True)


@pytest.mark.parametrize(("score", "learnt"), [(0.95, [0, 2, 4]), (0.85, [0])])
def test_the_object_memory_learns_from_certain_later_masks_alone(
    score: float, learnt: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    frames = np.full((7, 96, 144, 3), 90, np.uint8)
    gt = np.zeros((7, 1, 96, 144), bool)
    for i in range(7):
        frames[i, 32:64, 16 + 4 * i : 48 + 4 * i] = (220, 30, 20)
        frames[i, 40:56:4, 16 + 4 * i : 48 + 4 * i] = (250, 240, 60)
        gt[i, 0, 32:64, 16 + 4 * i : 48 + 4 * i] = True

    noted: list[int] = []

    class Noted(ObjectMemory):
        def learn(self, frame_idx: int, frame: Any, masks: Any) -> None:
            noted.append(frame_idx)
            super().learn(frame_idx, frame, masks)

    monkeypatch.setattr(recognition, "ObjectMemory", Noted)
    changes = {"reinit.horizon": 3, "reinit.tracker_horizon": 3, "reinit.variant": "on-horizon-and-sync", "protocol": "vos"}
    query, segmenter = QueryMask(1, 0, gt[0, 0]), WithPrior(RecordedClip(frames, gt), score=score)
    config = with_settings(default_config(), changes)
    assert len(list(segment_video(frames, query, config=config, tracker="lucas-kanade", segmenter=segmenter))) == 7
    assert noted == learnt


@pytest.mark.parametrize("object_memory", [True, False])
def test_a_mask_of_something_else_is_no_mask_of_the_object(object_memory: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The square is gone on frame 4; points stay there, and to the segmenter they show what is there."""
    frames = np.full((10, 96, 144, 3), 90, np.uint8)
    frames[:4, 32:64, 48:80] = (220, 30, 20)
    frames[:4, 40:56:4, 48:80] = (250, 240, 60)
    shown = np.zeros((10, 1, 96, 144), bool)
    shown[:, 0, 32:64, 48:80] = True

    def is_red(frame: Any) -> Any:
        red = (frame[::8, ::8, 0] > 200).astype(np.float32)
        return np.stack([red, 1 - red])

    monkeypatch.setattr(object_memory_module, "bundled_features", lambda: is_red)
    changes = {"prompting.object_memory": object_memory, "reinit.horizon": 4, "reinit.tracker_horizon": 4, "protocol": "vos"}
    config = with_settings(default_config(), changes | {"tracking.shot_cuts": False})
    query, segmenter = QueryMask(1, 0, shown[0, 0]), WithPrior(RecordedClip(frames, shown))
    results = list(segment_video(frames, query, config=config, tracker=Still(), segmenter=segmenter))
    assert all(r.masks.any() for r in results[:4])
    assert [bool(r.masks.any()) for r in results[4:]] == [not object_memory] * 6
    if object_memory:
        assert results[4].states[0] == ObjectState.LOW_SCORE
        assert results[4].scores[0] < 0.2


def test_points_that_were_off_the_object_a_window_ago_are_no_points_of_it() -> None:
    # Nothing moves; from frame 1 on the segmenter's mask has slid half off the square.
    rng = np.random.default_rng(0)
    frames = np.repeat(rng.integers(0, 256, (1, 60, 90, 3), np.uint8), 6, 0)
    frames[:, 0, 0, 1] = np.arange(6)  # frames must differ to be distinguished
    true = np.zeros((6, 1, 60, 90), bool)
    true[:, 0, 15:45, 25:55] = True
    slid = true.copy()
    slid[1:] = np.roll(true[1:], 15, axis=3)
    settings = ReinitConfig(enabled=True, variant="on-horizon-and-sync", horizon=3, tracker_horizon=3)

    def astray(backward_consistency: bool) -> float:
        config = replace(VOS, sampling=SamplingConfig(positive_points=40, negative_points=40), reinit=settings)
        config = with_settings(config, {"reinit.backward_consistency": backward_consistency})
        query = QueryMask(1, 0, true[0, 0])
        segmenter = ExactSegmenter(RecordedClip(frames, slid))
        results = list(segment_video(frames, query, config=config, tracker="dis-flow", segmenter=segmenter))
        row = results[2].points
        x, y = np.rint(row.xy.T).astype(int)
        return float((true[0, 0][y, x] != row.is_positive).mean())

    assert astray(backward_consistency=False) > 0.25
    assert astray(backward_consistency=True) < 0.1


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


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("clicks", "message"), [([], "ends within the video"), ([on(CROSSING, 1, 6, 2)], "go on from a later")]
)
def test_a_window_that_ends_one_frame_too_far_fails_and_does_not_stall(
    monkeypatch: pytest.MonkeyPatch, clicks: list[Points], message: str
) -> None:
    right_length = windowed._WindowedRun._length
    monkeypatch.setattr(windowed._WindowedRun, "_length", lambda *args: right_length(*args) + 1)
    with pytest.raises(AssertionError, match=message):
        run(CROSSING, [on(CROSSING, 1, 0), *clicks], reinit("on-horizon-and-sync"))


@pytest.mark.timeout(60)
def test_a_run_whose_objects_do_not_go_on_fails_and_does_not_stall(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(windowed, "next_prompt_frames", lambda areas, *_: [0] * len(areas))
    with pytest.raises(AssertionError, match="go on from a later frame"):
        run(CROSSING, on(CROSSING, 1, 0), reinit("on-horizon-and-sync"))


def test_a_segmenter_that_heeds_no_prior_is_not_prompted_with_points_that_look_like_something_else(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The square jumps to the right on frame 3, half of the points stay behind."""
    frames = np.full((8, 96, 144, 3), 90, np.uint8)
    gt = np.zeros((8, 1, 96, 144), bool)
    for i in range(8):
        x = 32 if i < 3 else 48
        frames[i, 32:64, x : x + 32] = (220, 30, 20)
        gt[i, 0, 32:64, x : x + 32] = True
        frames[i, 0, i] = 255  # no two frames are equal

    def is_red(frame: Any) -> Any:
        red = (frame[4::8, 4::8, 0] > 200).astype(np.float32)
        return np.stack([red, 1 - red])

    class Noting(ExactSegmenter):
        points: ClassVar[dict[int, np.ndarray]] = {}

        def decode(self, embedding: Any, prompts: Any, *, full_size: bool = True) -> list[MaskPrediction]:
            found = super().decode(embedding, prompts, full_size=full_size)
            for prompt in prompts:
                assert prompt.prior is None
                self.points[self.calls[-1].frame_idx] = prompt.xy[prompt.is_positive]
            return found

    monkeypatch.setattr(object_memory_module, "bundled_features", lambda: is_red)
    changes = {"reinit.horizon": 8, "reinit.tracker_horizon": 8, "protocol": "vos", "tracking.shot_cuts": False}
    on = {}
    for object_memory in (True, False):
        config = with_settings(default_config(), changes | {"prompting.object_memory": object_memory})
        query, segmenter = QueryMask(1, 0, gt[0, 0]), Noting(RecordedClip(frames, gt))
        assert len(list(segment_video(frames, query, config=config, tracker=Still(), segmenter=segmenter))) == 8
        on[object_memory] = {i: (xy[:, 0] >= 48) for i, xy in Noting.points.items()}
    for i in range(1, 8):
        assert 0.3 < on[False][i].mean() < 0.7
        assert len(on[True][i]) == (len(on[False][i]) if i < 3 else on[False][i].sum())
        assert i < 3 or on[True][i].all()


def test_a_part_that_looks_like_something_else_goes_but_not_where_the_user_clicks() -> None:
    frames = np.full((6, 96, 144, 3), 90, np.uint8)
    red, blue = np.zeros((2, 96, 144), bool)
    red[24:72, 16:64] = True
    blue[24:72, 80:128] = True
    frames[:, red], frames[:, blue] = (220, 30, 20), (20, 60, 230)
    frames[:, 24:72:4, 16:128] = (250, 240, 60)
    frames[:, :8, 0, 0] = np.arange(6)[:, None]  # the exact segmenter knows a frame by its pixels
    gt = np.stack([red] + 5 * [red | blue])[:, None]
    clicks = Points.of(1, 0, [[40, 48]]), Points.of(1, 3, [[40, 48], [104, 48]])

    def found(parts: bool) -> list[np.ndarray]:
        config = with_settings(default_config(), {"memory.parts": parts, "protocol": "vos"})
        segmenter = WithPrior(RecordedClip(frames, gt))
        results = segment_video(frames, Points.concat(clicks), config=config, tracker="lucas-kanade", segmenter=segmenter)
        return [frame.masks[0] for frame in results]

    kept, whole = found(parts=True), found(parts=False)
    for i in (1, 2):
        assert kept[i][red].all()
        assert not kept[i][blue].any()
        assert whole[i][blue].all()
    assert kept[3][red | blue].all()
