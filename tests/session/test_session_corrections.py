"""Corrections: every click has its pixel, whatever the segmenter says; what is far from it stays unless a person takes it."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from sampt.errors import QueryError
from sampt.geometry import find_mask_box, mask_at
from sampt.segmenters.base import SegmenterInfo, SegmenterView
from sampt.session.corrections import force_signs, is_large_elsewhere, limit_change, obeys
from sampt.session.types import Click
from sampt.types import BoolArray, MaskPrediction, ObjectPrompt

HW = (64, 96)


def click(x: float, y: float, is_positive: bool = True) -> Click:
    return Click(1, 1, 0, (x, y), is_positive)


def boxes(*corners: tuple[int, int, int, int]) -> BoolArray:
    mask = np.zeros(HW, np.bool_)
    for x0, y0, x1, y1 in corners:
        mask[y0:y1, x0:x1] = True
    return mask


def test_a_click_takes_the_part_of_a_change_that_is_its_own() -> None:
    before = boxes((10, 10, 30, 30))
    after = boxes((14, 10, 40, 30), (60, 40, 90, 60))  # it grows to the right, shrinks on the left, and something far appears
    np.testing.assert_array_equal(limit_change(before, after, click(35, 20)), boxes((10, 10, 40, 30)))
    np.testing.assert_array_equal(limit_change(before, after, click(12, 20, False)), boxes((14, 10, 30, 30)))
    np.testing.assert_array_equal(limit_change(before, after, click(50, 5)), before)
    assert is_large_elsewhere(limit_change(before, after, click(35, 20)), after)
    assert not is_large_elsewhere(boxes((10, 10, 40, 30)), boxes((11, 10, 40, 30)))


def test_a_change_that_lies_mainly_elsewhere_ends_near_the_click() -> None:
    """A click on a spur of 6 pixels, beside which the segmenter would remove the whole body, too."""
    body, spur = boxes((40, 10, 90, 60)), boxes((10, 30, 40, 36))
    limited = limit_change(body | spur, np.zeros(HW, np.bool_), click(14, 33, False))
    rows, columns = np.nonzero((body | spur) & ~limited)
    assert np.hypot(columns - 14, rows - 33).max() <= 15
    assert (limited & body).sum() == body.sum()
    # In the middle of a change all of it is meant, however long.
    middle = limit_change(body | spur, spur, click(64, 34, False))
    np.testing.assert_array_equal(middle, spur)


def test_every_click_has_its_pixel_and_a_little_around_it() -> None:
    nothing = np.zeros((200, 1000), np.bool_)
    clicks = [click(500, 100), click(504, 100, False), click(0, 0), click(999.4, 199.4)]
    forced = force_signs(nothing, clicks)
    assert obeys(forced, clicks) == 4
    assert obeys(nothing, clicks) == 1
    assert find_mask_box(forced[:, 400:600])[2] == 102  # half of the way to the negative click beside
    assert forced[100, 494:503].all()
    assert not forced[100, 503:].any()
    np.testing.assert_array_equal(force_signs(forced, clicks), forced)
    np.testing.assert_array_equal(nothing, np.zeros_like(nothing))
    twice = [click(5, 5), click(5, 5, False)]
    assert not force_signs(np.ones((20, 20), np.bool_), twice)[5, 5]


class Scripted(SegmenterView):
    """Predicts what a function of the prompt says, on any frame; makes mask logits of masks if it is told to."""

    def __init__(self, segmenter: Any, script: Callable[[ObjectPrompt], BoolArray], has_mask_logits: bool = False) -> None:
        super().__init__(segmenter)
        self.script, self.prompts = script, []
        self._info = dataclasses.replace(segmenter.info, has_mask_logits=has_mask_logits)

    @property
    def info(self) -> SegmenterInfo:
        return self._info

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        self.prompts += prompts
        found = []
        for prompt in prompts:
            mask = self.script(prompt)
            logits = np.where(mask, np.float32(3), np.float32(-3)) if full_size else None
            found.append(
                MaskPrediction(prompt.object_id, 0.9, ("of", mask), find_mask_box(mask) if mask.sum() > 1 else None, logits)
            )
        return found

    def make_mask_logits(self, mask: BoolArray) -> Any:
        return "made", mask


def corrected(bench: Any, script: Callable[[ObjectPrompt], BoolArray], **settings: Any) -> Any:
    """A session with an object clicked on frame 0 and propagated to frame 12 by exact backends, then opened with others."""
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate(range(13)):
        pass
    session.close()
    return bench.open(segmenter=Scripted(bench.segmenter, script, **settings))


def test_a_segmenter_that_never_obeys_is_overruled_on_a_propagated_frame(bench: Any) -> None:
    """It always finds the object where it was; in previews and after propagation every click has its sign all the same."""
    with corrected(bench, lambda prompt: bench.scene.masks(12)[0]) as session:
        inside = bench.centre(1, 12)
        given = [(inside, False), ((80.0, 8.0), True), ((80.0, 8.0), False), ((5.0, 60.0), True)]
        for i, (xy, is_positive) in enumerate(given):
            session.add_point(1, 12, xy, is_positive)
            mask = session.preview(12)[1].mask(HW)
            expected = dict(given[: i + 1])
            assert mask_at(mask, np.array(list(expected), np.float32)).tolist() == list(expected.values())
        assert (mask ^ bench.scene.masks(12)[0]).sum() < 20
        for _ in session.propagate(range(12, 13)):
            pass
        np.testing.assert_array_equal(session.results(12)[1].mask(HW), mask)


def test_tracked_points_make_way_near_a_contradiction_and_then_farther_away(bench: Any) -> None:
    bench.config = dataclasses.replace(
        bench.config, sampling=dataclasses.replace(bench.config.sampling, positive_points=24, expand_clicks=True)
    )
    with corrected(bench, lambda prompt: bench.scene.masks(12)[0]) as session:
        x, y = bench.centre(1, 12)
        session.add_point(1, 12, (x, y), False)
        session.preview(12)
        near = [np.linalg.norm(p.xy[p.is_positive] - (x, y), axis=1).min() for p in session._previewer._segmenter.prompts]
        counts = [int(p.is_positive.sum()) for p in session._previewer._segmenter.prompts]
        assert near == sorted(near)
        assert near[0] >= 8
        assert 24 > counts[0] > counts[-1] == 1
        session.add_point(1, 12, (x + 20, y), True)
        session._previewer._segmenter.prompts.clear()
        session.preview(12)
        last = session._previewer._segmenter.prompts[-1]
        assert last.xy.tolist() == [[x, y], [x + 20, y]]  # in the end the person's clicks alone


def test_the_segmenter_starts_from_the_mask_that_is_shown(bench: Any) -> None:
    """Where it can: the clicks and that mask, without any tracked point."""
    shown = bench.scene.masks(12)[0]
    with corrected(bench, lambda prompt: shown | boxes((70, 40, 90, 60)), has_mask_logits=True) as session:
        session.add_point(1, 12, (80, 50))
        result = session.preview(12)[1].mask(HW)
        (prompt,) = session._previewer._segmenter.prompts
        assert prompt.xy.tolist() == [[80, 50]]
        assert prompt.mask_logits[0] == "made"
        np.testing.assert_array_equal(prompt.mask_logits[1], shown)
        np.testing.assert_array_equal(result, shown | boxes((70, 40, 90, 60)))
        session.add_point(1, 12, (40, 5))
        session.preview(12)
        prompt = session._previewer._segmenter.prompts[-1]
        np.testing.assert_array_equal(prompt.mask_logits[1], result)


def test_a_large_change_elsewhere_is_taken_only_when_the_person_says_so(bench: Any) -> None:
    other = boxes((50, 30, 90, 60))
    shown, grown = bench.scene.masks(12)[0], boxes((2, 2, 8, 8))
    with corrected(bench, lambda prompt: other | grown, has_mask_logits=True) as session:
        session.add_point(1, 12, (5, 5))
        found = session.preview(12)[1]
        np.testing.assert_array_equal(found.mask(HW), shown | grown)
        np.testing.assert_array_equal(dataclasses.replace(found, rle=found.whole_rle).mask(HW), other | grown)
        session.take_whole_change(1, 12)
        taken = session.preview(12)[1]
        np.testing.assert_array_equal(taken.mask(HW), other | grown)
        assert taken.whole_rle is None
        assert session.clicks(12)[0].is_whole
        session.undo()
        assert session.preview(12)[1] == found
        session.redo()
    with bench.open(segmenter=Scripted(bench.segmenter, lambda prompt: other | grown, has_mask_logits=True)) as again:
        assert again.preview(12)[1].rle == taken.rle


def test_use_only_my_clicks_forgets_what_was_propagated(bench: Any) -> None:
    """Also for later clicks, after a restart, and until it is undone; one negative click alone then leaves nothing."""
    where = boxes((60, 30, 90, 60))
    with corrected(bench, lambda prompt: where, has_mask_logits=True) as session:
        session.add_point(1, 12, bench.centre(1, 12), False)
        before = session.preview(12)[1]
        session.use_clicks_alone(1, 12)
        assert session.clicks_alone() == ((1, 12),)
        assert session.preview(12)[1].rle is None
        session.add_point(1, 12, (70, 40))
        session._previewer._segmenter.prompts.clear()
        np.testing.assert_array_equal(session.preview(12)[1].mask(HW), where)
        assert [p.mask_logits for p in session._previewer._segmenter.prompts] == [None]
        session.undo()
        session.undo()
        assert session.preview(12)[1].rle == before.rle
        session.redo()
        session.redo()
    with bench.open(segmenter=Scripted(bench.segmenter, lambda prompt: where)) as again:
        np.testing.assert_array_equal(again.preview(12)[1].mask(HW), where)
        again.delete_point(again.clicks(12)[0].point_id)
        again.delete_point(again.clicks(12)[0].point_id)
        assert again.clicks_alone() == ()


def test_choices_need_a_click_on_the_frame(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 3, 1)
    for choose in (session.take_whole_change, session.use_clicks_alone):
        with pytest.raises(QueryError, match=r"There is no click on object 1 on frame 4; click on it first\."):
            choose(1, 4)
        with pytest.raises(QueryError, match=r"There is no object 7"):
            choose(7, 3)
    session.update_object(1, is_locked=True)
    for choose in (session.take_whole_change, session.use_clicks_alone):
        with pytest.raises(QueryError, match="is locked"):
            choose(1, 3)


def test_projects_of_an_older_sampt_open(bench: Any) -> None:
    """They say neither which mask a correction started from nor whether a whole change was taken."""
    with corrected(bench, lambda prompt: bench.scene.masks(12)[0]) as session:
        session.add_point(1, 12, bench.centre(1, 12), False)
    path = bench.project / "project.json"
    data = json.loads(path.read_text())
    assert data["carried"][0].pop("rle")
    for entry in data["clicks"]:
        del entry["is_whole"]
    path.write_text(json.dumps(data))
    with bench.open() as again:
        assert not mask_at(again.preview(12)[1].mask(HW), np.array([bench.centre(1, 12)], np.float32)).any()


def test_frames_marked_good_stay_whatever_is_said_elsewhere(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate(range(13)):
        pass
    session.set_reviewed(1, 9)
    before = session.results(9)[1]
    for frame_idx in (0, 12):  # the other object is meant after all
        session.add_point(1, frame_idx, bench.centre(1, frame_idx), False)
        bench.click(session, 1, frame_idx, 2)
        session.use_clicks_alone(1, frame_idx)
    assert session.stale()[1][0] == range(9)
    assert session.results(9)[1] == before
    for _ in session.propagate():
        pass
    assert session.results(9)[1] == before
    bench.check_exact(session, 1, 2, [1, 5, 8, 10, 11, 12])
    timeline = session.timelines()[1]
    assert np.flatnonzero(timeline.is_reviewed).tolist() == [9]
    assert timeline.flags[9] == 0
    assert session.reviewed() == {1: (range(9, 10),)}
    session.close()
    with bench.open() as again:
        assert again.results(9)[1] == before
        again.set_reviewed(1, 9, False)
        assert again.stale()[1] == (range(9, 10),)
        again.undo()
        assert again.stale()[1] == ()
        bench.click(again, 1, 9, 2)  # what is said there is the stronger word
        assert again.reviewed() == {1: ()}
        assert again.stale()[1] != ()


def test_only_a_result_can_be_marked_good(bench: Any) -> None:
    session = bench.create()
    session.add_object("fish")
    with pytest.raises(QueryError, match=r"fish has no result on frame 3 yet that could be marked; propagate it first\."):
        session.set_reviewed(1, 3)
    with pytest.raises(QueryError, match=r"There is no object 2"):
        session.set_reviewed(2, 3)
    with pytest.raises(QueryError, match=r"The frame is 99"):
        session.set_reviewed(1, 99, False)
    bench.click(session, 1, 3, 1)
    session.set_reviewed(1, 3)  # what its click shows
    session.move_point(1, (1, 1))
    assert session.reviewed() == {1: ()}
    assert session.undo()
    assert session.reviewed() == {1: (range(3, 4),)}


class LosesIt(SegmenterView):
    """Exact, but it takes object 2 for object 1 on some frames, if it is told to."""

    def __init__(self, segmenter: Any, frames: range) -> None:
        super().__init__(segmenter)
        self.frames = frames
        self.is_wrong = True

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        clip_idx, frame_idx = embedding
        found = super().decode(embedding, prompts, full_size=full_size)
        if not self.is_wrong or frame_idx not in self.frames:
            return found
        mask = self.segmenter.segmenter._clips[clip_idx].masks(frame_idx)[1]
        logits = np.where(mask, np.float32(3), np.float32(-3))
        return [dataclasses.replace(p, logits=logits if full_size else None, box_xyxy=find_mask_box(mask)) for p in found]


def test_a_correction_goes_as_far_as_it_changes_something(bench: Any) -> None:
    """Frames 28 to 31 are lost. Corrected on 30, the object is the same again on 27 and 32: what was seen beyond stays, and is
    not computed again."""
    losing = LosesIt(bench.segmenter, range(28, 32))
    session = bench.create(segmenter=losing)
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate():
        pass
    before = {f: session.results(f)[1].rle for f in range(40)}
    points = {f: session.points(f).point_id.tolist() for f in range(40)}
    losing.is_wrong = False
    session.add_point(1, 30, bench.centre(2, 30), False)
    bench.click(session, 1, 30, 1)
    session.use_clicks_alone(1, 30)
    session.undo()
    session.take_whole_change(1, 30)
    bench.forget()
    reported = sorted(u.frame_idx for u in session.propagate())
    assert reported == list(range(16, 40))
    assert session.count_missing() == 0
    assert set(bench.segmenter.encoded) <= set(range(26, 34))
    bench.check_exact(session, 1, 1, range(28, 32))
    for frame_idx in [*range(27), *range(33, 40)]:
        assert session.results(frame_idx)[1].rle == before[frame_idx]
        assert session.points(frame_idx).point_id.tolist() == points[frame_idx]
    session.close()
    with bench.open() as again:
        assert again.count_missing() == 0


def test_where_both_directions_differ_the_correction_counts(bench: Any) -> None:
    """It was another object that was followed all along: nothing of that stays."""
    losing = LosesIt(bench.segmenter, range(1, 40))
    session = bench.create(segmenter=losing)
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate():
        pass
    losing.is_wrong = False
    session.add_point(1, 30, bench.centre(2, 30), False)
    bench.click(session, 1, 30, 1)
    session.take_whole_change(1, 30)
    for _ in session.propagate():
        pass
    bench.check_exact(session, 1, 1, range(16, 40))
