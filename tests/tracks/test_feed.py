"""Tracks frame by frame are those of the whole clip, whatever kind of tracker they come from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampt.config import TrackingConfig
from sampt.errors import BackendError
from sampt.testing import ExactStreamTracker, ExactTracker, SceneVideo, crossing_scene, leave_and_return_scene, slow_scene
from sampt.trackers.create import create_tracker
from sampt.tracks.feed import streaming_feed, track_feed, track_whole
from sampt.types import FramePoints, HiddenBy, Points, QueryMask, Tracks

SCENE = crossing_scene(12)
VIDEO = SceneVideo(SCENE)
POINTS = Points.concat(
    [
        Points.of(1, 0, [[24, 28], [1, 1]]),
        Points.of(1, 7, [[55, 32]]),
        Points.of(2, 4, [[60, 34], [90, 5]], [True, False]),
        Points.of(2, 11, [[26, 35]]),
    ]
)
STRICT = TrackingConfig(border_fraction=0.1, patch_filter=True, patch_threshold=0.2)
FIELDS = ("xy", "confidence", "hidden_by")
NOT_TRACKED = int(HiddenBy.NOT_TRACKED)


def find_rows(feed: Any) -> list[FramePoints]:
    rows = []
    for expected, (frame_idx, frame, row) in enumerate(feed):
        assert frame_idx == expected
        assert np.array_equal(frame, SCENE.frame(frame_idx))
        rows.append(row)
    return rows


def assert_rows_are(rows: Sequence[FramePoints], tracks: Tracks) -> None:
    assert len(rows) == tracks.num_frames
    for i, row in enumerate(rows):
        for name in FIELDS:
            assert np.array_equal(getattr(row, name), getattr(tracks, name)[i]), (i, name)
        assert row.point_id.tolist() == list(range(len(tracks.points)))


@pytest.mark.parametrize("config", [TrackingConfig(), STRICT])
@pytest.mark.parametrize("tracker", [create_tracker("dis-flow"), create_tracker("lucas-kanade"), ExactStreamTracker(SCENE)])
def test_a_causal_trackers_feed_is_its_tracks_filtered(tracker: Any, config: TrackingConfig) -> None:
    whole = track_whole(VIDEO, POINTS, tracker, config)
    assert_rows_are(find_rows(track_feed(VIDEO, POINTS, tracker, config, backward=True)), whole)


@pytest.mark.parametrize("config", [TrackingConfig(), TrackingConfig(patch_filter=True, patch_threshold=0.2)])
@pytest.mark.parametrize("backward", [True, False])
def test_causal_and_whole_clip_trackers_feed_the_same(config: TrackingConfig, backward: bool) -> None:
    causal = find_rows(track_feed(VIDEO, POINTS, ExactStreamTracker(SCENE), config, backward=backward))
    whole = find_rows(track_feed(VIDEO, POINTS, ExactTracker(SCENE), config, backward=backward))
    for i, (one, two) in enumerate(zip(causal, whole, strict=True)):
        assert np.abs(one.xy - two.xy).max() < 1e-3, i
        assert np.array_equal(one.hidden_by, two.hidden_by), i
        assert np.array_equal(one.confidence, two.confidence), i


def test_without_backward_points_wait_where_they_are_given() -> None:
    for tracker in (ExactStreamTracker(SCENE), ExactTracker(SCENE)):
        for i, row in enumerate(find_rows(track_feed(VIDEO, POINTS, tracker, TrackingConfig(), backward=False))):
            later = POINTS.frame_idx > i
            assert (row.hidden_by[later] == NOT_TRACKED).all()
            assert not (row.hidden_by[~later] == NOT_TRACKED).any()
            assert np.array_equal(row.xy[later], POINTS.xy[later])
            assert not row.confidence[later].any()


def test_filters_hide_and_spare_the_query_frame() -> None:
    whole = track_whole(VIDEO, POINTS, ExactTracker(SCENE), TrackingConfig(border_fraction=0.1))
    exact = SCENE.point_positions(POINTS)
    relative = (exact.xy + 0.5) / np.array([96, 64])
    border = ((relative < 0.1) | (relative > 0.9)).any(-1)
    expected = np.where(exact.visible & border, HiddenBy.BORDER, exact.hidden_by)
    expected[POINTS.frame_idx, np.arange(len(POINTS))] = HiddenBy.NONE
    assert np.array_equal(whole.hidden_by, expected)
    assert (expected == HiddenBy.BORDER).sum() >= 10


def test_the_patch_filter_works_away_from_the_query_frame_both_ways() -> None:
    scene = slow_scene(9)
    background = Points.of(1, 4, [[48, 10]])

    class Slipping(ExactTracker):
        """Slips off the background onto object 1 two frames after the prompt frame, and onto object 2 two frames before."""

        def track(self, video: Any, points: Points, query_masks: Any = None) -> Tracks:
            xy = np.broadcast_to(points.xy, (9, 1, 2)).copy()
            xy[6:], xy[:3] = (28, 32), (74, 32)
            seen = np.ones((9, 1), bool)
            return Tracks(points, xy, seen, seen.astype(np.float32), np.zeros((9, 1), np.uint8))

    tracks = track_whole(SceneVideo(scene), background, Slipping(scene), TrackingConfig(patch_filter=True, patch_threshold=0.1))
    after, patch = int(HiddenBy.AFTER_PATCH), int(HiddenBy.PATCH)
    assert tracks.hidden_by[:, 0].tolist() == [after, after, patch, 0, 0, 0, patch, after, after]


def test_live_frames_feed_what_a_forward_run_feeds() -> None:
    for name in ("dis-flow", "lucas-kanade"):
        tracker = create_tracker(name)
        offline = find_rows(track_feed(VIDEO, POINTS, tracker, TrackingConfig(), backward=False))
        stream = find_rows(streaming_feed((SCENE.frame(i) for i in range(12)), POINTS, tracker, TrackingConfig()))
        for one, two in zip(offline, stream, strict=True):
            assert all(np.array_equal(getattr(one, f), getattr(two, f)) for f in FIELDS)


def test_live_frames_are_taken_only_when_asked_for() -> None:
    taken: list[int] = []

    def camera() -> Any:
        for i in range(12):
            taken.append(i)
            yield SCENE.frame(i)

    feed = streaming_feed(camera(), POINTS, create_tracker("dis-flow"), TrackingConfig())
    assert len(taken) <= 1
    for i in range(3):
        assert next(feed)[0] == i
        assert taken == list(range(i + 1))
    assert list(streaming_feed(iter(()), POINTS, create_tracker("dis-flow"), TrackingConfig())) == []


def test_live_frames_want_a_causal_tracker_at_once() -> None:
    with pytest.raises(BackendError, match=r"Tracker 'exact' needs the whole clip; for streamed frames choose another one"):
        streaming_feed(iter(()), POINTS, ExactTracker(SCENE), TrackingConfig())


def test_a_causal_tracker_without_stream_is_told() -> None:
    class Lying(ExactTracker):
        info = replace(ExactTracker(SCENE).info, is_causal=True)  # type: ignore[assignment]

    with pytest.raises(BackendError, match=r"says that it is causal but has no stream\(\); see CausalTracker"):
        list(track_feed(VIDEO, POINTS, Lying(SCENE), TrackingConfig(), backward=True))


class Grouped(ExactTracker):
    """An exact tracker whose points influence each other and that wants masks; it notes what it is prompted."""

    def __init__(self, *scenes: Any, is_causal: bool = False) -> None:
        super().__init__(*scenes)
        self.asked: list[tuple[tuple[int, ...], list[int]]] = []
        self._causal = is_causal

    @property
    def info(self) -> Any:
        return replace(super().info, is_joint=True, needs_masks=True, is_causal=self._causal)

    def track(self, video: Any, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        self.asked.append((points.object_ids, [m.object_id for m in query_masks or ()]))
        return super().track(video, points, query_masks)


@pytest.mark.parametrize("is_causal", [False, True])
def test_joint_trackers_get_objects_in_groups_with_their_masks(is_causal: bool) -> None:
    scene = leave_and_return_scene(3)
    rng = np.random.default_rng(0)
    ids = rng.permutation(np.repeat(np.arange(1, 8), 2))
    points = Points.concat(Points.of(int(i), 0, rng.uniform(10, 50, 2)) for i in ids)
    masks = [QueryMask(int(i), 0, np.ones(scene.size_hw, bool)) for i in range(1, 8)]
    tracker = Grouped(scene, is_causal=is_causal)
    rows = list(track_feed(SceneVideo(scene), points, tracker, TrackingConfig(group_size=3), backward=True, query_masks=masks))
    assert tracker.asked == [((1, 2, 3), [1, 2, 3]), ((4, 5, 6), [4, 5, 6]), ((7,), [7])]
    exact = scene.point_positions(points)
    assert np.abs(np.stack([row.xy for _, _, row in rows]) - exact.xy).max() < 1e-4


def test_other_trackers_get_all_points_together() -> None:
    class Noting(ExactTracker):
        asked: list[int] = []  # noqa: RUF012

        def track(self, video: Any, points: Points, query_masks: Any = None) -> Tracks:
            self.asked.append(len(points))
            return super().track(video, points, query_masks)

    track_whole(VIDEO, POINTS, Noting(SCENE), TrackingConfig(group_size=1))
    assert Noting.asked == [len(POINTS)]
