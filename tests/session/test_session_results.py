"""What results are made into: exported masks, points with their ids, masks at the video's size; results of other settings."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from sampt.config import SegmentConfig, with_settings
from sampt.session import FrameStatus, FrameUpdate, Session
from sampt.types import ObjectState

Pairs = Callable[[Iterable[FrameUpdate]], list[tuple[int, int]]]
BOTH = pytest.mark.parametrize("which", ["bench", "renewed_bench"])


def run(session: Session, *args: Any, **settings: Any) -> list[FrameUpdate]:
    return list(session.propagate(*args, **settings))


def test_an_object_hidden_for_a_while_comes_back(make_bench: Callable[..., Any]) -> None:
    bench = make_bench("occlusion", 20)
    session = bench.create()
    session.add_object()
    for dx in (-4, 0, 4):
        x, y = bench.centre(1, 0)
        session.add_point(1, 0, (x + dx, y))
    run(session)
    hidden = [f for f in range(20) if not bench.scene.masks(f)[0].any()]
    assert hidden
    for frame_idx in range(20):
        found = session.results(frame_idx)[1]
        assert found.state in (ObjectState.PRESENT, ObjectState.NO_VISIBLE_POINT)
        if frame_idx in hidden:
            assert (found.state, found.rle, found.score) == (ObjectState.NO_VISIBLE_POINT, None, None)
    bench.check_exact(session, 1, 1, [0, 1, 18, 19])
    strip = session.timelines()[1]
    assert not strip.is_present[hidden].any()
    assert strip.state.tolist() == [FrameStatus.DONE] * 20


@BOTH
def test_points_keep_their_ids_and_share_none_with_others(which: str, request: Any) -> None:
    bench = request.getfixturevalue(which)
    session = request.getfixturevalue("followed")(bench)
    by_id: dict[int, tuple[int, bool]] = {}
    for frame_idx in range(40):
        points = session.points(frame_idx)
        assert len(set(points.point_id.tolist())) == len(points)
        for key, object_id, sign in zip(points.point_id, points.object_id, points.is_positive, strict=True):
            assert by_id.setdefault(int(key), (int(object_id), bool(sign))) == (int(object_id), bool(sign))
    on_query, forward, backward = (set(session.points(f).point_id.tolist()) for f in (5, 6, 4))
    assert on_query <= forward
    assert on_query <= backward


@pytest.mark.parametrize("config", [{}, {"overlapping": True}])
def test_exported_masks_are_disjoint_unless_asked_otherwise(make_bench: Callable[..., Any], config: dict[str, Any]) -> None:
    """Two objects of the session are one of the scene: pixels go to the first, or to both."""
    bench = make_bench()
    bench.config = with_settings(bench.config, config)
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        bench.click(session, object_id, 5, 1)
    session.add_object("never clicked")
    run(session, range(3, 9), [1])
    run(session, range(5, 7), [2])
    frames = {f.frame_idx: f for f in session.merged_masks()}
    assert sorted(frames) == list(range(3, 9))
    for frame_idx, found in frames.items():
        expected = bench.scene.masks(frame_idx)[0]
        np.testing.assert_array_equal(found.masks[0], expected)
        is_known = frame_idx in (5, 6)
        assert found.masks[1].any() == (is_known and bool(config))
        assert np.isnan(found.scores).tolist() == [False, not is_known, True]
        assert found.states[2] == ObjectState.BEFORE_QUERY
        assert set(found.points.object_id.tolist()) == ({1, 2} if is_known else {1})
    assert [f.frame_idx for f in session.merged_masks(range(5, 20), [2])] == [5, 6]


def test_a_given_mask_wins_over_the_segmenter(two: Session, bench: Any) -> None:
    """Where a person drew object 2 over object 1, the pixels are object 2's."""
    mask = bench.scene.masks(30)[0] | bench.scene.masks(30)[1]
    two.set_mask(2, 30, mask)
    run(two)
    found = next(iter(two.merged_masks(range(30, 31))))
    assert not found.masks[0].any()
    np.testing.assert_array_equal(found.masks[1], mask)
    assert found.states[0] == ObjectState.HIDDEN_BY_OTHERS


def test_masks_come_at_the_videos_size_when_less_is_worked_on(make_bench: Callable[..., Any]) -> None:
    bench = make_bench("slow", 10)
    config = with_settings(bench.config, {"tracker": "lucas-kanade", "segmenter": "grabcut", "longest_side": 64})
    session = bench.create(config=config, tracker=None, segmenter=None)
    session.add_object()
    session.set_mask(1, 0, bench.scene.masks(0)[0])
    run(session)
    for frame_idx in (0, 4, 9):
        found, expected = session.results(frame_idx)[1].mask((64, 96)), bench.scene.masks(frame_idx)[0]
        assert (found & expected).sum() / (found | expected).sum() > 0.8
        points = session.points(frame_idx)
        inside = points.select(points.is_positive & points.visible)
        x, y = np.rint(inside.xy).astype(int).T
        assert expected[y, x].mean() > 0.9


def test_other_settings_make_results_stale_and_leave_them(two: Session, bench: Any) -> None:
    two.close()
    again = bench.open(segmenter=type(bench.segmenter)(bench.scene))
    assert again.stale() == {1: (), 2: ()}
    again.close()
    named = type("Other", (type(bench.segmenter),), {"info": property(lambda self: _renamed(self.segmenter.info))})
    other = bench.open(segmenter=named(bench.scene))
    assert other.stale() == {1: (range(40),), 2: (range(40),)}
    assert other.results(7)[1].is_stale
    assert other.results(7)[1].rle is not None


def _renamed(info: Any) -> Any:
    return type(info)("other", info.license_code, info.license_weights, info.encode_batch)


def test_settings_that_no_session_can_keep_are_refused(bench: Any) -> None:
    for change in ({"protocol": "vos"}, {"sampling.one_click": True}):
        with pytest.raises(Exception, match=r"; a session .*[.:]") as caught:
            bench.create(config=with_settings(SegmentConfig(), change))
        assert "\n" not in str(caught.value)
    assert not bench.project.exists()


def test_memory_of_a_long_session_does_not_grow_with_its_results(make_bench: Callable[..., Any]) -> None:
    """Results of 400 frames, looked at one by one, leave nothing behind in memory but their few numbers."""
    bench = make_bench("slow", 400)
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate(range(200)):
        pass
    bench.forget()
    for frame_idx in range(400):
        bench.scene.masks(frame_idx)  # the bench caches them
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        for update in session.propagate():
            session.results(update.frame_idx)
        for _ in session.merged_masks():
            pass
        bench.forget()
        gc.collect()  # what a propagation held together goes with it
        after = tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
    assert after - before < 1000 * 200  # a mask alone has 6144 pixels
