"""What a person says: objects, clicks, boxes and masks, back and forth; previews; what is refused changes nothing."""

from __future__ import annotations

import io
import json
import threading
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.config import with_settings
from sampt.errors import OutputError, QueryError
from sampt.exporters.base import object_named
from sampt.exporters.registry import export
from sampt.files.palette import pick_display_color
from sampt.masks.rle import encode_mask
from sampt.session import Session
from sampt.session.edits import MAX_STEPS, Inputs, add_object, add_point
from sampt.session.plan import plan_object
from sampt.types import ObjectState

NAN = float("nan")


def describe(session: Session) -> tuple[Any, ...]:
    return session.objects, session.clicks(), session.boxes(), tuple((m.object_id, m.frame_idx) for m in session.given_masks())


def test_edits_and_the_way_back_and_forth(bench: Any) -> None:
    session = bench.create()
    mask = bench.scene.masks(3)[0]
    steps: list[Callable[[], Any]] = [
        lambda: session.add_object("fish", (1, 2, 3)),
        lambda: session.add_object(),
        lambda: session.add_point(1, 4, (20.25, 30.5)),
        lambda: session.add_point(1, 4, (0, 0), False),
        lambda: session.add_point(2, 4, (70, 30)),
        lambda: session.move_point(1, (21, 31)),
        lambda: session.set_box(2, 0, (60, 20, 80.5, 50)),
        lambda: session.set_box(2, 0, (60, 20, 81, 50)),
        lambda: session.set_mask(1, 3, mask),
        lambda: session.update_object(1, name=" shark ", is_hidden=True),
        lambda: session.delete_point(2),
        lambda: session.set_box(2, 0, None),
        lambda: session.set_mask(1, 3, None),
        lambda: session.remove_object(2),
    ]
    seen = [describe(session)]
    revisions = [session.revision]
    for step in steps:
        step()
        seen.append(describe(session))
        revisions.append(session.revision)
    assert revisions == sorted(set(revisions))
    assert len({repr(s) for s in seen}) == len(seen)

    def reopened() -> Session:
        session.close()
        again: Session = bench.open()
        return again

    for i, expected in enumerate(reversed(seen[:-1])):
        session = reopened() if i in (0, 5, 9) else session  # steps outlive the program
        assert session.undo()
        assert describe(session) == expected
    session = reopened()
    assert (session.undo(), session.can_undo, session.can_redo) == (False, False, True)
    for i, expected in enumerate(seen[1:]):
        session = reopened() if i in (3, 8) else session
        assert session.redo()
        assert describe(session) == expected
    assert (session.redo(), session.can_redo) == (False, False)


@pytest.mark.parametrize("steps", ["none", [1], {"undo": [{"kept": {"clicks": [9, 0]}, "items": {"clicks": []}}]}, {"undo": 5}])
def test_steps_that_are_damaged_are_left_out(bench: Any, steps: Any) -> None:
    with bench.create() as session:
        session.add_object()
        before = describe(session)
    path = bench.project / "project.json"
    data = json.loads(path.read_text())
    assert len(data["steps"]["undo"]) == 1
    path.write_text(json.dumps({**data, "steps": steps}))
    again = bench.open()
    assert (describe(again), again.can_undo) == (before, False)


def test_what_edits_answer_and_questions_about_inputs(bench: Any) -> None:
    session = bench.create()
    first, second = session.add_object("a"), session.add_object(color_rgb=(9, 8, 7))
    assert (first.name, first.color_rgb) == ("a", pick_display_color(1))
    assert (second.name, second.color_rgb) == ("Object 2", (9, 8, 7))
    click = session.add_point(1, np.int64(4), np.array([20.25, 30.5], np.float32))
    assert (click.xy, click.frame_idx, click.is_positive) == ((20.25, 30.5), 4, True)
    assert session.move_point(click.point_id, (1, 2)).xy == (1.0, 2.0)
    session.add_point(2, 4, (5, 5))
    bench.click(session, 2, 6, 2)
    session.set_mask(2, 6, bench.scene.masks(6)[1])
    np.testing.assert_array_equal(session.given_masks(6, 2)[0].mask, bench.scene.masks(6)[1])
    assert [c.point_id for c in session.clicks(4)] == [1, 2]
    assert [c.point_id for c in session.clicks(object_id=2)] == [2, 3]
    assert [c.point_id for c in session.clicks(6, 2)] == [3]
    assert session.clicks(6, 1) == ()
    assert session.update_object(2, is_locked=True).is_locked
    assert not session.update_object(2, is_locked=False).is_locked


def test_ids_are_not_given_twice_even_after_undo(bench: Any) -> None:
    """Results of an object that is gone are never taken for those of a new one."""
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate():
        pass
    session.undo()
    session.undo()
    assert session.objects == ()
    assert session.add_object().object_id == 2
    assert bench.click(session, 2, 0, 2) == 2
    assert session.results(7) == {}
    session.close()
    again = bench.open()
    assert again.add_object().object_id == 3


def test_a_new_edit_ends_redo_and_the_oldest_steps_make_way(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    session.add_object()
    session.undo()
    session.update_object(1, name="other")
    assert not session.can_redo
    for i in range(MAX_STEPS + 5):
        session.update_object(1, name=f"name {i}")
    steps = 0
    while session.undo():
        steps += 1
    assert steps == MAX_STEPS
    assert session.objects[0].name == "name 4"


def test_an_edit_that_changes_nothing_is_no_step(bench: Any) -> None:
    session = bench.create()
    session.add_object("a")
    before = session.revision
    session.update_object(1, name="a")
    session.set_box(1, 3, None)
    assert session.revision == before
    session.undo()
    assert session.objects == ()


@pytest.mark.parametrize(
    ("edit", "message"),
    [
        (
            lambda s: s.add_point(1, 0, (96, 5)),
            r"The point \(96, 5\) lies outside the frame; x goes from 0 to 95, y from 0 to 63",
        ),
        (lambda s: s.add_point(1, 0, (-0.6, 5)), r"lies outside the frame"),
        (lambda s: s.add_point(1, 0, (NAN, 5)), r"The point is .*; expected 2 finite numbers"),
        (lambda s: s.add_point(1, 0, (1, 2, 3)), r"expected 2 finite numbers"),
        (lambda s: s.add_point(1, 0, ("x", 5)), r"expected 2 finite numbers"),
        (lambda s: s.add_point(1, 40, (5, 5)), r"The frame is 40; expected a whole number from 0 to 39"),
        (lambda s: s.add_point(1, -1, (5, 5)), r"The frame is -1"),
        (lambda s: s.add_point(1, 1.5, (5, 5)), r"The frame is 1\.5"),
        (lambda s: s.add_point(1, True, (5, 5)), r"The frame is True"),
        (lambda s: s.add_point(9, 0, (5, 5)), r"There is no object 9; expected one of: 1, 2"),
        (lambda s: s.move_point(99, (5, 5)), r"There is no point 99"),
        (lambda s: s.move_point(1, (500, 5)), r"lies outside the frame"),
        (lambda s: s.delete_point(99), r"There is no point 99"),
        (lambda s: s.remove_object(9), r"There is no object 9"),
        (
            lambda s: s.set_box(1, 0, (5, 5, 4, 9)),
            r"The box is .*; expected its first and last pixel .* inside the frame of 96x64",
        ),
        (lambda s: s.set_box(1, 0, (5, 5, 400, 9)), r"The box is "),
        (lambda s: s.set_box(1, 0, (5, 5, 9)), r"expected 4 finite numbers"),
        (lambda s: s.set_mask(1, 0, np.zeros((64, 96), np.bool_)), r"The mask of object 1 on frame 0 is empty"),
        (lambda s: s.set_mask(1, 0, np.ones((64, 95), np.bool_)), r"bool of shape \(64, 95\); expected a bool array of shape"),
        (lambda s: s.set_mask(1, 0, np.ones((64, 96), np.uint8)), r"uint8 of shape"),
        (lambda s: s.add_object("  "), r"An object's name is '  '; expected one line of 1 to 100 characters"),
        (lambda s: s.add_object("a\nb"), r"An object's name is 'a\\nb'"),
        (lambda s: s.add_object("x" * 101), r"An object's name is 'x+'"),
        (
            lambda s: s.add_object(color_rgb=(1, 2, 256)),
            r"A colour is \(1, 2, 256\); expected three whole numbers from 0 to 255",
        ),
        (lambda s: s.update_object(1, color_rgb="red"), r"A colour is 'red'"),
        (lambda s: s.add_point(2, 0, (5, 5)), r"Object 2 \(Object 2\) is locked; unlock it to change it"),
        (lambda s: s.move_point(2, (5, 5)), r"is locked"),
        (lambda s: s.delete_point(2), r"is locked"),
        (lambda s: s.set_box(2, 0, (1, 1, 2, 2)), r"is locked"),
        (lambda s: s.set_mask(2, 0, None), r"is locked"),
        (lambda s: s.remove_object(2), r"is locked"),
        (lambda s: s.preview(40), r"The frame is 40"),
        (lambda s: s.results("a"), r"The frame is 'a'"),
        (lambda s: s.points(0, [9]), r"There is no object 9"),
        (lambda s: s.preview(0, [9]), r"There is no object 9"),
        (lambda s: s.timelines([9]), r"There is no object 9"),
        (lambda s: s.stale([9]), r"There is no object 9"),
    ],
)
def test_mistakes_are_one_line_and_change_nothing(bench: Any, edit: Callable[[Session], Any], message: str) -> None:
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        session.add_point(object_id, 0, (20, 30))
    session.update_object(2, is_locked=True)
    before = describe(session), session.revision, (bench.project / "project.json").read_bytes(), session.can_redo
    with pytest.raises(QueryError, match=message) as caught:
        edit(session)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(".")
    assert (describe(session), session.revision, (bench.project / "project.json").read_bytes(), session.can_redo) == before


def test_what_cannot_be_saved_has_not_happened(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    session.add_point(1, 0, (20, 30))
    before = describe(session), session.revision
    blocker = bench.project / "project.json.partial"
    blocker.mkdir()
    for edit in (lambda: session.add_point(1, 0, (5, 5)), session.undo, lambda: session.remove_object(1)):
        with pytest.raises(OutputError, match=r"project\.json cannot be written") as caught:
            edit()
        assert "\n" not in str(caught.value)
    assert (describe(session), session.revision) == before
    blocker.rmdir()
    assert session.undo()
    assert session.redo()
    assert describe(session) == before[0]


def test_many_clicks_on_a_frame_encode_it_once(bench: Any) -> None:
    session = bench.create()
    for _ in range(2):
        session.add_object()
    for k in range(6):
        object_id = 1 + k % 2
        bench.click(session, object_id, 9, object_id)
        found = session.preview(9)
        np.testing.assert_array_equal(found[object_id].mask((64, 96)), bench.scene.masks(9)[object_id - 1])
    assert bench.segmenter.encoded == [9]
    assert (found[1].score, found[1].state, found[1].num_visible_points, found[1].is_stale) == (
        1,
        ObjectState.PRESENT,
        3,
        False,
    )
    assert len(bench.segmenter.prompted(1)) == 3  # not again when the other object was clicked
    bench.forget()
    session.preview(9)
    session.preview(9, [2])
    assert bench.segmenter.segmenter.calls == []


def test_frames_clicked_in_turn_are_encoded_once_while_their_embeddings_fit(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    for frame_idx in (3, 20, 3, 20, 3):
        bench.click(session, 1, frame_idx, 1)
        session.preview(frame_idx)
    assert bench.segmenter.encoded == [3, 20]


def test_the_preview_is_the_result(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 9, 1)
    session.add_point(1, 9, (90, 5), False)
    before = session.preview(9)[1]
    for _ in session.propagate():
        pass
    bench.forget()
    assert session.preview(9)[1].rle == before.rle == session.results(9)[1].rle
    assert session.preview(12) == session.results(12)
    assert bench.segmenter.encoded == []


def test_previews_from_several_threads_encode_once(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 9, 1)
    start, found = threading.Barrier(4), []

    def look() -> None:
        start.wait()
        found.append(session.preview(9)[1].rle)

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert bench.segmenter.encoded == [9]


def test_boxes_and_masks_are_previewed_too(bench: Any) -> None:
    session = bench.create()
    for _ in range(3):
        session.add_object()
    ys, xs = np.nonzero(bench.scene.masks(4)[1])
    session.set_box(1, 4, (xs.min(), ys.min(), xs.max(), ys.max()))
    given = np.zeros((64, 96), np.bool_)
    given[10:20, 30:50] = True
    session.set_mask(2, 4, given)
    found = session.preview(4)
    np.testing.assert_array_equal(found[1].mask((64, 96)), bench.scene.masks(4)[1])
    np.testing.assert_array_equal(found[2].mask((64, 96)), given)
    assert (found[1].score, found[2].score) == (1, None)
    assert 3 not in found
    assert {c.object_id for c in bench.segmenter.segmenter.calls} == {1}
    bench.click(session, 2, 4, 1)  # a click on a frame with a given mask corrects that
    np.testing.assert_array_equal(session.preview(4)[2].mask((64, 96)), given | bench.scene.masks(4)[0])
    session.set_box(2, 4, (xs.min(), ys.min(), xs.max(), ys.max()))  # the last word, from which that click takes nothing
    assert session.given_masks() == ()
    assert session.preview(4)[2].mask((64, 96))[bench.scene.masks(4)[1]].all()


def test_a_negative_point_where_nothing_is_known_waits_for_a_positive_one(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 4, 2, is_positive=False)
    assert session.preview(4) == {}
    assert session.stale() == {1: ()}
    assert session.count_missing() == 0
    assert np.flatnonzero(session.timelines()[1].has_input).tolist() == [4]
    bench.click(session, 1, 4, 1)
    np.testing.assert_array_equal(session.preview(4)[1].mask((64, 96)), bench.scene.masks(4)[0])
    assert session.preview(4)[1].num_visible_points == 1
    assert session.stale() == {1: (range(40),)}


def test_a_click_on_nothing_has_its_pixel_and_is_propagated(bench: Any) -> None:
    """The segmenter finds nothing there; the person does."""
    session = bench.create()
    session.add_object()
    session.add_point(1, 0, (1, 1))
    found = session.preview(0)[1]
    assert (found.state, np.argwhere(found.mask((64, 96))).max()) == (ObjectState.PRESENT, 2)
    assert found.mask((64, 96))[1, 1]
    for _ in session.propagate():
        pass
    assert session.results(0)[1].rle == found.rle
    assert session.count_missing() == 0


def test_a_first_click_on_a_result_carries_its_points_once(bench: Any) -> None:
    bench.config = with_settings(bench.config, {"sampling.expand_clicks": True})
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate():
        pass
    points = session.points(30)
    seen = points.select(points.visible)
    assert seen.is_positive.sum() == 5
    x, y = bench.centre(1, 30)
    first = session.add_point(1, 30, (x, y), False)
    inputs: Inputs = session._state.inputs
    assert len(inputs.carried) == 1
    np.testing.assert_allclose(inputs.carried[0].xy, seen.xy, atol=0.006)
    session.add_point(1, 30, (x + 1, y), False)
    assert session._state.inputs.carried == inputs.carried
    session.delete_point(first.point_id)
    assert session._state.inputs.carried == inputs.carried
    session.delete_point(session.clicks(30)[0].point_id)
    assert session._state.inputs.carried == ()
    assert session.stale() == {1: ()}


def test_carried_points_next_to_a_click_of_the_other_sign_do_not_count(bench: Any) -> None:
    """A negative click in the middle of the mask takes the points around it; positive ones far away stay."""
    bench.config = with_settings(bench.config, {"sampling.positive_points": 24, "sampling.expand_clicks": True})
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate():
        pass
    x, y = bench.centre(1, 30)
    session.add_point(1, 30, (x, y), False)
    bench.forget()
    session.preview(30)
    prompted = bench.segmenter.segmenter.calls[-1]
    positive = prompted.xy[prompted.is_positive]
    assert 0 < len(positive) < 24
    assert np.linalg.norm(positive - (x, y), axis=1).min() > 5
    assert [x, y] in prompted.xy[~prompted.is_positive].tolist()
    assert prompted.xy[prompted.is_certain].tolist() == [[x, y]]  # what a person says counts; what was tracked is evidence


def test_the_plan_shares_frames_among_query_frames() -> None:
    """Every frame goes to the prompt frame that is nearest, ties to the earlier, for any prompt frames."""
    rng = np.random.default_rng(0)
    for _ in range(50):
        num_frames = int(rng.integers(1, 30))
        prompted = sorted(set(rng.integers(0, num_frames, rng.integers(1, 6)).tolist()))
        inputs = Inputs(num_frames, (10, 10))
        inputs = add_object(inputs, None, None)
        for frame_idx in rng.permutation(prompted).tolist():
            inputs = add_point(inputs, 1, frame_idx, (1, 1), True, lambda *_: None)
        plan = plan_object(inputs, 1, "")
        for frame_idx in range(num_frames):
            nearest = min(prompted, key=lambda f: (abs(f - frame_idx), f))
            query = plan.at(frame_idx)
            assert query is not None
            assert query.frame_idx == nearest
            assert frame_idx in query.frames


def test_steps_to_undo_hold_masks_of_a_certain_size_only(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    session = bench.create()
    session.add_object()
    rng = np.random.default_rng(0)
    masks = [rng.random(session.size_hw) > 0.5 for _ in range(6)]
    size = len(encode_mask(masks[0]).counts)
    monkeypatch.setattr("sampt.session.edits.MAX_STEP_BYTES", int(2.5 * size))
    for mask in masks:  # each replaces the one before
        session.set_mask(1, 0, mask)
    for mask in (masks[4], masks[3]):
        assert session.undo()
        np.testing.assert_array_equal(session.given_masks()[0].mask, mask)
    assert not session.undo()
    for mask in masks[4:]:
        assert session.redo()
        np.testing.assert_array_equal(session.given_masks()[0].mask, mask)
    for x in range(20):  # what holds no mask is not concerned
        session.add_point(1, 1, (x, 5))
    assert [session.undo() for _ in range(22)] == [True] * 22


def test_previews_are_remembered_up_to_a_size(bench: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampt.session.session._MAX_PREVIEW_BYTES", 500)
    monkeypatch.setattr("sampt.session.steps._CACHED_BYTES", 500)
    session = bench.create()
    session.add_object()
    for frame_idx in range(12):
        bench.click(session, 1, frame_idx, 1)
        session.preview(frame_idx)
    kept = [len(session._previews.get(digest).rle.counts) for digest in list(session._previews)]
    assert 1 < len(kept) < 12
    assert sum(kept) == session._previews.num_bytes <= 500
    bench.forget()
    session.preview(11)
    assert bench.segmenter.prompted(1) == []
    session.preview(0)
    assert bench.segmenter.prompted(1) == [0]


def test_an_object_made_after_255_others_were_removed_is_exported_as_png(bench: Any, tmp_path: Path) -> None:
    """Its id is 256: ids are not used twice, since results and undo go by them; the PNG has the smallest free value."""
    session = bench.create()
    for _ in range(255):
        session.remove_object(session.add_object().object_id)
    assert session.add_object().object_id == 256
    mask = np.asarray(bench.scene.masks(0)[0])
    session.set_mask(256, 0, mask)
    for _ in session.propagate():
        pass
    objects = [object_named(256)]
    path = tmp_path / "o.zip"
    export("png", session.merged_masks(range(session.num_frames), [256]), session.video, objects, path)
    with zipfile.ZipFile(path) as archive:
        labels = np.asarray(Image.open(io.BytesIO(archive.read(archive.namelist()[0]))))
        assert json.loads(archive.read("objects.json")) == [{"value": 1, "object_id": 256, "name": objects[0].name}]
    assert np.array_equal(labels, mask.astype(np.uint8))
