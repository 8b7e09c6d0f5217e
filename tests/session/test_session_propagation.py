"""What is computed, and what is not: after each edit exactly the objects and frames that it changes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from sampt.errors import QueryError
from sampt.masks.rle import decode_mask
from sampt.session import FrameStatus, FrameUpdate, Session
from sampt.session.edits import Inputs, add_object, add_point
from sampt.session.plan import plan_object, plan_spans

Pairs = Callable[[Iterable[FrameUpdate]], list[tuple[int, int]]]
BOTH = pytest.mark.parametrize("which", ["bench", "renewed_bench"])


def run(session: Session, *args: Any, **settings: Any) -> list[FrameUpdate]:
    return list(session.propagate(*args, **settings))


@BOTH
def test_all_frames_are_exact_told_once_and_encoded_once(which: str, request: pytest.FixtureRequest, pairs: Pairs) -> None:
    bench = request.getfixturevalue(which)
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        bench.click(session, object_id, 5, object_id)
    assert session.count_missing() == 80
    text = pairs(session.propagate())
    assert Counter(text) == {(o, f): 1 for o in (1, 2) for f in range(40)}
    assert text[:2] == [(1, 5), (2, 5)]
    assert [f for o, f in text if o == 1] == [*range(5, 40), *range(4, -1, -1)]
    for object_id in (1, 2):
        bench.check_exact(session, object_id, object_id, range(40))
    assert Counter(bench.segmenter.encoded) == dict.fromkeys(range(40), 1)
    assert session.count_missing() == 0
    assert session.stale() == {1: (), 2: ()}


def test_nothing_is_computed_when_nothing_is_out_of_date(two: Session, bench: Any) -> None:
    assert run(two) == []
    assert (bench.segmenter.encoded, bench.tracker.calls) == ([], [])


@BOTH
def test_a_later_click_is_a_query_of_its_own_and_frames_go_to_the_nearest(which: str, request: Any, pairs: Pairs) -> None:
    bench = request.getfixturevalue(which)
    session = request.getfixturevalue("followed")(bench)
    bench.click(session, 1, 28, 1)
    assert session.stale() == {1: (range(17, 40),), 2: ()}  # 16 is as far from 5 as 17 from 28
    assert session.count_missing() == 23
    text = pairs(session.propagate())
    assert [f for _, f in text] == [*range(28, 40), *range(27, 16, -1)]
    assert {o for o, _ in text} == {1}
    assert bench.segmenter.prompted(2) == []
    # The click agrees with what was there: both neighbours are the same as before, and what lies beyond is kept.
    assert {27, 28, 29} <= set(bench.segmenter.encoded) <= set(range(17, 40))
    assert max(Counter(bench.segmenter.encoded).values()) == 1
    assert 0 < len(set(bench.segmenter.prompted(1))) < 23
    assert bench.tracker.find_frames(2) == []
    bench.check_exact(session, 1, 1, range(40))


def test_frames_in_the_middle_go_to_the_earlier_query_frame(two: Session, bench: Any) -> None:
    bench.click(two, 1, 15, 1)
    assert two.stale([1]) == {1: (range(11, 40),)}  # 10 is in the middle


def test_what_is_corrected_is_what_the_person_saw(two: Session, bench: Any, pairs: Pairs) -> None:
    """Object 1 is the other object of the scene after all: all of that is the mask, and propagated to the middle."""
    point = two.points(30, [1])
    two.add_point(1, 30, bench.centre(1, 30), False)
    (carried,) = two._state.inputs.carried
    assert len(carried.xy) == len(point)
    np.testing.assert_array_equal(decode_mask(carried.rle), bench.scene.masks(30)[0])
    assert carried.score == two.results(30, [1])[1].score
    bench.click(two, 1, 30, 2)
    bench.click(two, 1, 30, 2)
    two.take_whole_change(1, 30)
    np.testing.assert_array_equal(two.preview(30)[1].mask(two.size_hw), bench.scene.masks(30)[1])
    run(two)
    bench.check_exact(two, 1, 2, range(18, 40))
    bench.check_exact(two, 1, 1, range(18))
    bench.check_exact(two, 2, 2, range(40))


def test_moving_a_click_makes_its_own_frames_out_of_date(two: Session, bench: Any, pairs: Pairs) -> None:
    later = bench.click(two, 1, 28, 1)
    run(two)
    bench.forget()
    first = two.clicks(5, 1)[0].point_id
    x, y = bench.centre(1, 5)
    two.move_point(first, (x + 1, y))
    assert two.stale() == {1: (range(17),), 2: ()}
    x, y = bench.centre(1, 28)
    two.move_point(later, (x, y + 1))
    assert two.stale() == {1: (range(40),), 2: ()}
    run(two, object_ids=[2])
    assert bench.segmenter.encoded == []
    run(two)
    assert bench.segmenter.prompted(1) == list(range(40))
    bench.check_exact(two, 1, 1, range(40))


def test_a_query_frame_that_is_taken_away_leaves_its_frames_to_the_other(two: Session, bench: Any, pairs: Pairs) -> None:
    later = bench.click(two, 1, 28, 1)
    run(two)
    bench.forget()
    two.delete_point(two.clicks(5, 1)[0].point_id)
    assert two.stale() == {1: (range(17),), 2: ()}
    run(two)
    assert bench.segmenter.prompted(1) == list(range(17))
    assert bench.tracker.find_frames(1) == list(range(18))  # from the last good frame, not from the prompt frame
    two.delete_point(later)
    assert two.results(3, [1]) == {}
    assert two.stale([1]) == {1: ()}


def test_undo_and_redo_bring_results_back(two: Session, bench: Any) -> None:
    bench.click(two, 1, 28, 2)
    run(two)
    bench.forget()
    assert two.undo()
    assert two.stale([1]) == {1: ()}
    bench.check_exact(two, 1, 1, range(40))
    assert two.redo()
    assert two.stale([1]) == {1: ()}
    run(two)
    assert (bench.segmenter.encoded, bench.tracker.calls) == ([], [])


def test_names_colors_and_hiding_change_no_result(two: Session, bench: Any) -> None:
    two.update_object(1, name="fish", color_rgb=(1, 2, 3), is_hidden=True)
    two.add_object("third")
    assert two.stale() == {1: (), 2: (), 3: ()}
    assert run(two) == []


def test_results_of_former_inputs_are_shown_as_stale(two: Session, bench: Any) -> None:
    x, y = bench.centre(1, 5)
    two.move_point(two.clicks(5, 1)[0].point_id, (x + 1, y))
    found = two.results(20)
    assert (found[1].is_stale, found[2].is_stale) == (True, False)
    np.testing.assert_array_equal(found[1].mask(two.size_hw), bench.scene.masks(20)[0])
    strip = two.timelines([1])[1]
    assert set(strip.state.tolist()) == {FrameStatus.STALE}
    assert np.flatnonzero(strip.has_input).tolist() == [5]


def test_only_wanted_frames_and_those_on_the_way_are_computed(bench: Any, pairs: Pairs) -> None:
    session = bench.create()
    for object_id, frame_idx in ((1, 10), (2, 30)):
        session.add_object()
        bench.click(session, object_id, frame_idx, object_id)
    wanted = range(14, 18)
    assert session.count_missing(wanted) == 8 + 17
    text = pairs(session.propagate(wanted))
    assert text == [*((1, f) for f in range(10, 18)), *((2, f) for f in range(30, 13, -1))]
    assert session.count_missing(wanted) == 0
    assert session.count_missing(range(16, 21), [1]) == 3
    assert session.count_missing(range(0)) == 0
    bench.forget()
    assert pairs(session.propagate(range(16, 21), [1])) == [(1, 18), (1, 19), (1, 20)]
    assert bench.tracker.calls == [((1,), [17, 18, 19, 20])]


def test_an_object_added_in_mid_video_leaves_the_others_alone(two: Session, bench: Any) -> None:
    third = two.add_object().object_id
    bench.click(two, third, 22, 2)
    assert two.stale() == {1: (), 2: (), third: (range(40),)}
    run(two)
    assert bench.segmenter.prompted(third) == list(range(40))
    assert bench.segmenter.prompted(1) == bench.segmenter.prompted(2) == []
    bench.check_exact(two, third, 2, range(40))


def test_locked_objects_are_neither_changed_nor_followed(bench: Any, pairs: Pairs) -> None:
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        bench.click(session, object_id, 5, object_id)
    session.update_object(2, is_locked=True)
    assert session.count_missing() == 40
    assert {o for o, _ in pairs(session.propagate())} == {1}
    assert session.stale()[2] == (range(40),)
    assert bench.segmenter.prompted(2) == []
    with pytest.raises(QueryError, match=r"^Object 2 \(Object 2\) is locked; unlock it to change it\.$"):
        bench.click(session, 2, 5, 1)
    session.update_object(2, is_locked=False)
    run(session)
    bench.check_exact(session, 2, 2, range(40))


@pytest.mark.parametrize("frames", [range(-1, 3), range(41), (0, 3)])
def test_frames_outside_the_video_are_refused_at_once(two: Session, frames: Any) -> None:
    for predict in (two.propagate, two.count_missing, two.merged_masks):
        with pytest.raises(QueryError, match=r"^The frames are .*; expected a range within 0 to 39\.$"):
            predict(frames)
    with pytest.raises(QueryError, match=r"^There is no object 7; expected one of: 1, 2\.$"):
        two.propagate(object_ids=[7])


def test_the_same_click_on_another_result_is_another_correction(two: Session, bench: Any) -> None:
    """A frame is corrected; then the first query is changed, and the same correction made again, of what is seen now."""
    location = bench.centre(1, 30)
    click = two.add_point(1, 30, location, False)
    run(two)
    first = two._state.inputs.carried
    two.delete_point(click.point_id)
    x, y = bench.centre(1, 5)
    two.move_point(two.clicks(5, 1)[0].point_id, (x + 3, y))
    run(two)
    two.add_point(1, 30, location, False)
    assert two._state.inputs.carried != first
    assert two.stale([1]) == {1: (range(18, 40),)}


@pytest.mark.parametrize(
    ("done", "wanted", "expected"),
    [
        ("", range(10), [(4, 9), (4, 0)]),
        ("4", range(10), [(4, 9), (4, 0)]),
        ("4567", range(10), [(7, 9), (4, 0)]),
        ("456 8", range(10), [(6, 9), (4, 0)]),  # frame 7 is missing: it is reached from frame 6
        ("456 89", range(10), [(6, 7), (4, 0)]),
        ("3456789", range(10), [(3, 0)]),
        ("0123456789", range(10), []),
        ("", range(4, 5), [(4, 4)]),
        ("", range(2, 3), [(4, 2)]),
        ("4", range(7, 8), [(4, 7)]),
        ("", range(0), []),
    ],
)
def test_spans_reach_all_that_is_missing(done: str, wanted: range, expected: list[tuple[int, int]]) -> None:
    inputs = add_point(add_object(Inputs(10, (8, 8)), None, None), 1, 4, (1, 1), True, lambda *_: None)
    known = {int(c) for c in done if c != " "}
    plans = {1: plan_object(inputs, 1, "")}
    spans = plan_spans(plans, wanted, lambda _, f: f in known, lambda _, f: f in known)
    assert [(span.start, span.last) for span in spans] == expected
    assert {f for span in spans for f in span.frames} | known >= set(wanted)
    # Where nothing that is known can be gone on from, the prompt frame is the start.
    spans = plan_spans(plans, wanted, lambda _, f: f in known, lambda *_: False)
    assert [(span.start, span.last) for span in spans] == [(4, last) for _, last in expected]
