"""Brush, eraser, polygon and absence: exact under the tool, with clicks beside, undone, saved, and as far as they say."""

from __future__ import annotations

import json
import re
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.errors import LimitError, QueryError
from sampt.exporters.base import ExportObject
from sampt.exporters.registry import export
from sampt.geometry import cover_polygon, cover_stroke
from sampt.session import FrameStatus, Session
from sampt.session.types import AbsentInput
from sampt.types import BoolArray, ObjectState
from tests.session.test_session_corrections import LosesIt

HW = (64, 96)


def run(session: Session) -> list[int]:
    return sorted(u.frame_idx for u in session.propagate())


def shown(session: Session, frame_idx: int, object_id: int = 1) -> BoolArray:
    found = session.preview(frame_idx).get(object_id)
    return np.zeros(HW, np.bool_) if found is None else found.mask(HW)


def test_strokes_and_polygons_cover_what_the_rule_says() -> None:
    """Against distances and crossings looked up pixel by pixel, also where they leave the frame or are a single point."""
    rng = np.random.default_rng(0)
    y, x = np.mgrid[: HW[0], : HW[1]].astype(np.float64)
    for _ in range(60):
        xy = rng.uniform(-15, 110, (int(rng.integers(1, 5)), 2)).round(int(rng.integers(0, 3)))
        radius = float(rng.choice([0.4, 1, 2.5, 9]))
        distance = np.full(HW, np.inf)
        for (ax, ay), (bx, by) in zip(xy, [*xy[1:], xy[-1]], strict=True):
            length2 = (bx - ax) ** 2 + (by - ay) ** 2
            t = np.clip(((x - ax) * (bx - ax) + (y - ay) * (by - ay)) / length2, 0, 1) if length2 else 0 * x
            distance = np.minimum(distance, np.hypot(x - ax - t * (bx - ax), y - ay - t * (by - ay)))
        wrong = cover_stroke(xy, radius, HW) ^ (distance <= radius)
        assert not wrong[np.abs(distance - radius) > 1e-9].any()
        corners = rng.uniform(-15, 110, (int(rng.integers(3, 9)), 2))
        crossings = np.zeros(HW, int)
        for (ax, ay), (bx, by) in zip(corners, np.roll(corners, -1, axis=0), strict=True):
            is_crossed = (ay > y) != (by > y)
            crossings += is_crossed & (x >= ax + (y - ay) * (bx - ax) / (by - ay))
        np.testing.assert_array_equal(cover_polygon(corners, HW), crossings % 2 == 1)
    assert cover_stroke(np.array([[4.0, 4.0]]), 0.4, HW).sum() == 1
    assert cover_polygon(np.array([[10, 10], [20, 10], [20, 20], [10, 20.0]]), HW).sum() == 100


def test_brush_eraser_and_polygon_are_exact_and_leave_the_rest(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    run(session)
    before = session.results(12)[1].mask(HW)
    session.paint(1, 12, [(2, 2), (30, 2.5)], 2)
    stroke = cover_stroke(np.array([[2, 2], [30, 2.5]]), 2, HW)
    np.testing.assert_array_equal(shown(session, 12), before | stroke)
    x, y = bench.centre(1, 12)
    session.paint(1, 12, [(x, y)], 3, is_erasing=True)
    hole = cover_stroke(np.array([[x, y]]), 3, HW)
    np.testing.assert_array_equal(shown(session, 12), (before | stroke) & ~hole)
    corners = [(70, 40), (90, 40), (90, 60)]
    session.fill_polygon(1, 12, corners)
    polygon = cover_polygon(np.array(corners, float), HW)
    session.fill_polygon(1, 12, [(0, 0), (10, 0), (10, 10), (0, 10)], is_cut=True)
    expected = ((before | stroke) & ~hole) | polygon
    expected[:10, :10] = False
    np.testing.assert_array_equal(shown(session, 12), expected)
    revision = session.revision
    session.paint(1, 12, [(x, y)], 2, is_erasing=True)  # nothing is there
    assert session.revision == revision
    assert session.stale() == {1: (range(7, 40),)}
    run(session)
    result = session.results(12)[1]
    np.testing.assert_array_equal(result.mask(HW), expected)
    assert (result.state, result.score, result.is_stale) == (ObjectState.PRESENT, None, False)
    points = session.points(12)
    assert expected[points.xy[points.is_positive][:, 1].astype(int), points.xy[points.is_positive][:, 0].astype(int)].all()
    for _ in range(4):
        session.undo()
    assert session.given_masks() == ()
    np.testing.assert_array_equal(session.results(12)[1].mask(HW), before)
    for _ in range(4):
        session.redo()
    np.testing.assert_array_equal(shown(session, 12), expected)
    session.close()
    again = bench.open()
    np.testing.assert_array_equal(again.results(12)[1].mask(HW), expected)
    assert again.count_missing() == 0
    again.set_mask(1, 12, None)  # takes the edit away
    np.testing.assert_array_equal(again.results(12)[1].mask(HW), before)


def test_a_brush_begins_a_mask_and_clicks_correct_it(bench: Any) -> None:
    """A click after the brush counts, one before it is in the mask, or gone where the brush says otherwise."""
    session = bench.create()
    session.add_object()
    session.paint(1, 20, [(50, 60)], 2)
    patch = cover_stroke(np.array([[50.0, 60.0]]), 2, HW)
    np.testing.assert_array_equal(shown(session, 20), patch)
    assert [p.frame_idx for p in session._state.plans()[1].prompt_frames] == [20]
    point_id = bench.click(session, 1, 20, 1)
    both = bench.scene.masks(20)[0] | patch
    np.testing.assert_array_equal(shown(session, 20), both)
    session.paint(1, 20, [(50, 60)], 2, is_erasing=True)
    assert session.given_masks()[0].point_ids == (point_id,)
    session.add_point(1, 20, (90, 5), False)
    np.testing.assert_array_equal(shown(session, 20), bench.scene.masks(20)[0])
    session.paint(1, 20, [bench.centre(1, 20)], 1, is_erasing=True)
    assert [c.is_positive for c in session.clicks()] == [False]
    session.undo()
    moved = bench.centre(2, 20)
    session.move_point(point_id, moved)  # what it did is in the mask; where it is now it is a new click
    np.testing.assert_array_equal(shown(session, 20), bench.scene.masks(20)[0] | bench.scene.masks(20)[1])
    session.delete_point(point_id)
    np.testing.assert_array_equal(shown(session, 20), bench.scene.masks(20)[0])
    bench.click(session, 1, 20, 2)
    session.use_clicks_alone(1, 20)
    assert session.given_masks() == ()
    np.testing.assert_array_equal(shown(session, 20), bench.scene.masks(20)[1])


def test_what_is_drawn_wins_over_other_objects_also_with_clicks_on_it(two: Session, bench: Any) -> None:
    x, y = bench.centre(1, 30)
    two.paint(2, 30, [(x, y)], 3)
    two.add_point(2, 30, (90, 5), False)
    run(two)
    found = next(iter(two.merged_masks(range(30, 31))))
    drawn = cover_stroke(np.array([[x, y]]), 3, HW)
    assert found.masks[1][drawn].all()
    np.testing.assert_array_equal(found.masks[0], bench.scene.masks(30)[0] & ~drawn)


def test_a_mask_erased_to_nothing_says_that_of_its_frame_alone(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    run(session)
    session.paint(1, 20, [(0, 0), (96, 64)], 200, is_erasing=True)
    assert not shown(session, 20).any()
    assert session.stale() == {1: ()}
    assert session.results(20)[1].state == ObjectState.GIVEN_ABSENT
    bench.check_exact(session, 1, 1, [*range(20), *range(21, 40)])
    x, y = bench.centre(1, 0)
    session.move_point(1, (x + 1, y))  # propagated through that frame
    assert run(session) == [*range(20), *range(21, 40)]
    assert session.count_missing() == 0
    assert not next(iter(session.merged_masks(range(20, 21)))).masks.any()
    bench.click(session, 1, 20, 1, is_positive=False)
    assert not shown(session, 20).any()
    bench.click(session, 1, 20, 2)
    np.testing.assert_array_equal(shown(session, 20), bench.scene.masks(20)[1])


def test_a_drawn_correction_reaches_as_far_as_it_changes_something(bench: Any) -> None:
    """As one of clicks does: good frames between two keyframes stay."""
    losing = LosesIt(bench.segmenter, range(28, 32))
    session = bench.create(segmenter=losing)
    session.add_object()
    bench.click(session, 1, 0, 1)
    run(session)
    before = {f: session.results(f)[1].rle for f in range(40)}
    losing.is_wrong = False
    right, wrong = bench.scene.masks(30)
    session.edit_mask(1, 30, wrong & ~right, False)
    session.edit_mask(1, 30, right)
    run(session)
    bench.check_exact(session, 1, 1, range(28, 32))
    for frame_idx in [*range(27), *range(33, 40)]:
        assert session.results(frame_idx)[1].rle == before[frame_idx]


def test_absent_from_here_until_a_later_input(bench: Any, tmp_path: Any) -> None:
    """Nothing is computed there, from neither side, and it is exported as absent; undone, saved, and taken away again."""
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    run(session)
    session.set_reviewed(1, 20)
    bench.forget()
    session.set_absent(1, 10)
    assert session.absent() == {1: (range(10, 40),)}
    assert session.reviewed() == {1: ()}
    assert (session.count_missing(), bench.tracker.calls) == (0, [])
    assert session.results(25)[1].state == ObjectState.GIVEN_ABSENT
    timeline = session.timelines()[1]
    assert set(timeline.state.tolist()) == {FrameStatus.DONE}
    assert np.flatnonzero(timeline.is_present).tolist() == list(range(10))
    assert np.flatnonzero(timeline.has_input).tolist() == [0, 10]
    assert not timeline.flags.any()
    assert session.coverage().is_complete
    assert [f.masks.any() for f in session.merged_masks()] == [True] * 10 + [False] * 30
    export("png", session.merged_masks(), session.video, [ExportObject(1, "a", (9, 9, 9))], tmp_path / "out.zip")
    bench.click(session, 1, 30, 1)
    assert session.absent() == {1: (range(10, 30),)}
    assert run(session) == list(range(30, 40))
    assert min(bench.tracker.find_frames(1)) == 30
    session.set_reviewed(1, 15)
    session.set_absent(1, 20)  # it is, already
    assert len(session._state.inputs.absent) == 1
    session.paint(1, 20, [(5, 5)], 3, is_erasing=True)
    session.add_point(1, 20, (5, 5), False)
    assert session.absent() == {1: (range(10, 30),)}
    session.close()
    again = bench.open()
    assert again.absent() == {1: (range(10, 30),)}
    again.set_absent(1, 25, False)
    assert again.absent() == {1: ()}
    assert again.results(15)[1].state == ObjectState.GIVEN_ABSENT  # it was marked good
    assert [again.results(f)[1].is_stale for f in (14, 16)] == [False, True]  # of the keyframes 0 and 30
    again.undo()
    again.paint(1, 10, [(5, 5)], 3)
    assert again.absent() == {1: ()}
    again.undo()
    assert again._state.inputs.absent == (AbsentInput(1, 10),)
    again.set_absent(1, 0)  # instead of the click there
    assert [c.frame_idx for c in again.clicks()] == [30, 20]
    assert again._state.inputs.absent == (AbsentInput(1, 0),)
    assert again.absent() == {1: (range(30),)}


def test_projects_whose_clicks_changed_no_mask_stay_as_they_are(bench: Any) -> None:
    """In those of an older sampt clicks on a frame with a mask had no effect; results of them are still good."""
    session = bench.create()
    session.add_object()
    session.set_mask(1, 5, bench.scene.masks(5)[0])
    run(session)
    (mask,) = session.given_masks()
    bench.click(session, 1, 30, 2)
    session.close()
    path = bench.project / "project.json"
    data = json.loads(path.read_text())
    del data["absent"], data["masks"][0]["point_ids"], data["masks"][0]["is_edited"]
    data["clicks"][0]["frame_idx"], data["carried"] = 5, []
    path.write_text(json.dumps(data))
    again = bench.open()
    assert again.given_masks()[0] == mask.__class__(1, 5, mask.rle, (1,))
    np.testing.assert_array_equal(shown(again, 5), bench.scene.masks(5)[0])
    point_id = bench.click(again, 1, 5, 2)
    assert shown(again, 5)[bench.scene.masks(5)[1]].all()
    again.delete_point(point_id)
    again.delete_point(1)
    assert again.count_missing() == 0


def test_the_example_of_the_documents(bench: Any, capsys: pytest.CaptureFixture[str]) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    session.close()
    text = (Path(__file__).parents[2] / "docs" / "ui.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"```python\n(import sampt\n.*?)```", text, re.DOTALL)
    opened = types.SimpleNamespace(Session=types.SimpleNamespace(open=lambda path: bench.open()))
    exec(code.replace("import sampt\n", ""), {"sampt": opened})
    assert len(capsys.readouterr().out.splitlines()) == 30


MISTAKES: list[tuple[Callable[[Session], Any], str]] = [
    (lambda s: s.paint(1, 40, [(5, 5)], 2), r"The frame is 40; expected a whole number from 0 to 39"),
    (lambda s: s.paint(9, 0, [(5, 5)], 2), r"There is no object 9"),
    (lambda s: s.paint(2, 0, [(5, 5)], 2), r"Object 2 \(Object 2\) is locked"),
    (lambda s: s.paint(1, 0, [], 2), r"A stroke is of something else; expected at least 1, each two finite numbers"),
    (lambda s: s.paint(1, 0, [(5, float("nan"))], 2), r"A stroke is of something else"),
    (lambda s: s.paint(1, 0, [(5, 5)], 0), r"The radius is 0; expected a number of pixels above 0"),
    (lambda s: s.paint(1, 0, [(5, 5)], 1001), r"The radius is 1001 pixels; expected at most 1000"),
    (lambda s: s.paint(1, 0, [(5, 5)] * 2001, 1), r"A stroke is of 2001 points; expected at most 2000"),
    (
        lambda s: s.paint(1, 0, [(500, 5)], 2),
        r"The stroke covers no pixel's centre; expected one inside",
    ),
    (lambda s: s.fill_polygon(1, 0, [(1, 1), (5, 5)]), r"A polygon is of 2 corners; expected at least 3"),
    (lambda s: s.fill_polygon(1, 0, [(1, 1, 1)] * 3), r"A polygon is of something else; expected at least 3"),
    (
        lambda s: s.fill_polygon(1, 0, [(i, i * i) for i in range(1001)]),
        r"A polygon is of 1001 corners; expected at most",
    ),
    (lambda s: s.fill_polygon(1, 0, [(1, 1), (5, 5), (9, 9)]), r"The polygon covers no pixel's centre"),
    (
        lambda s: s.edit_mask(1, 0, np.ones((64, 95), np.bool_)),
        r"The area is bool of shape \(64, 95\); expected a",
    ),
    (lambda s: s.edit_mask(1, 0, np.ones(HW, np.uint8)), r"The area is uint8"),
    (lambda s: s.set_absent(1, 41), r"The frame is 41"),
    (lambda s: s.set_absent(2, 0), r"is locked"),
]


def test_mistakes_are_one_line_and_change_nothing(bench: Any) -> None:
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        session.add_point(object_id, 0, (20, 30))
    session.update_object(2, is_locked=True)
    before = session.revision, (bench.project / "project.json").read_bytes()
    for edit, message in MISTAKES:
        with pytest.raises((QueryError, LimitError), match=message) as caught:
            edit(session)
        assert "\n" not in str(caught.value)
        assert (session.revision, (bench.project / "project.json").read_bytes()) == before, message
