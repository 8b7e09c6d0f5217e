"""Suggestions: what is new on a frame, changed by nothing before it is accepted, and then a given mask like any other."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sampt.config import FindConfig, with_settings
from sampt.errors import BackendError, OutputError, QueryError
from sampt.geometry import find_mask_box
from sampt.masks.rle import encode_mask
from sampt.proposers.base import Proposal, masks_of_boxes
from sampt.session import Session, Suggestion
from sampt.testing import ExactProposer
from sampt.types import BoolArray
from tests.session.conftest import STEADY


def shown(session: Session, frame_idx: int, object_id: int = 1) -> BoolArray:
    return session.preview(frame_idx)[object_id].mask(session.size_hw)


def test_suggestions_are_what_is_new_and_become_given_masks(bench: Any) -> None:
    """Known are previews and propagated results, of this frame; an accepted one is undone, saved, propagated."""
    session, proposer = bench.create(), ExactProposer(bench.scene, labels=("a\ndog", "c" * 300))
    masks, revision = bench.scene.masks(3), session.revision
    found = session.suggest(3, proposer)
    assert (session.revision, session.objects, session.can_undo) == (revision, (), False), "nothing was added unasked"
    assert [(s.frame_idx, s.score, s.label) for s in found] == [(3, 0.9, "a\ndog"), (3, 0.9, "c" * 300)]
    for one, expected in zip(found, masks, strict=True):
        np.testing.assert_array_equal(one.mask, expected)
    (second,) = session.accept(found[1])
    assert (second.object_id, second.name, second.color_rgb) == (1, "c" * 100, found[1].color_rgb)
    assert found[1].color_rgb != found[0].color_rgb
    (given,) = session.given_masks()
    assert (given.object_id, given.frame_idx, given.is_edited) == (1, 3, False)
    np.testing.assert_array_equal(shown(session, 3), masks[1])
    assert [s.label for s in session.suggest(3, proposer)] == ["a\ndog"], "a preview is known"
    assert len(session.suggest(4, proposer)) == 2, "nothing of the object is known on this frame"
    for _ in session.propagate(range(5)):
        pass
    bench.check_exact(session, 1, 2, range(5))
    assert [s.label for s in session.suggest(4, proposer)] == ["a\ndog"], "a result is known"
    (added,) = session.accept(found[0])
    assert (added.name, added.color_rgb) == ("a dog", found[0].color_rgb)
    assert len({session.add_object().color_rgb, *(o.color_rgb for o in session.objects)}) == 3
    assert session.suggest(4, proposer, FindConfig(region=(0, 0, 1, 1))) == []
    for count in (2, 1, 0):
        session.undo()
        assert len(session.objects) == count
    session.redo()
    session.close()
    with pytest.raises(OutputError, match="is closed"):
        session.suggest(3, proposer)
    again = bench.open()
    np.testing.assert_array_equal(shown(again, 3), masks[1])
    assert again.count_missing(range(5)) == 0


def test_clicks_correct_an_accepted_mask_as_one_from_a_file(bench: Any) -> None:
    session, (w, h) = bench.create(), (96, 64)
    mask = np.zeros((h, w), np.bool_)
    mask[2:12, 2:30] = True
    accepted = session.accept(Suggestion(7, encode_mask(mask), 0.5, None, (1, 2, 3)))[0]
    by_file = session.add_object().object_id
    session.set_mask(by_file, 7, mask)
    results = []
    for object_id in (accepted.object_id, by_file):
        bench.click(session, object_id, 7, 1)
        np.testing.assert_array_equal(shown(session, 7, object_id), mask | bench.scene.masks(7)[0])
        session.add_point(object_id, 7, (4, 4), False)
        session.paint(object_id, 7, [(60, 5)], 2)
        for _ in session.propagate(range(5, 10), [object_id]):
            pass
        bench.click(session, object_id, 9, 1)
        results.append([shown(session, f, object_id) for f in (5, 7, 9)])
    assert not results[0][1][4, 4]
    for ours, given in zip(*results, strict=True):
        np.testing.assert_array_equal(ours, given)


def test_suggestions_at_another_working_size_come_at_the_videos(make_bench: Any) -> None:
    class Boxes(ExactProposer):
        def propose(self, frame: Any) -> list[Proposal]:
            assert (frame.size_hw, frame.source_hw, frame.image.shape) == ((32, 48), (64, 96), (32, 48, 3))
            mask = np.zeros(frame.size_hw, np.bool_)
            mask[4:12, 8:20] = True
            return [Proposal(mask, 1.0)]

    bench = make_bench("slow", 3, with_settings(STEADY, {"longest_side": 48}))
    session = bench.create()
    (found,) = session.suggest(1, Boxes(bench.scene))
    expected = np.zeros((64, 96), np.bool_)
    expected[8:24, 16:40] = True
    np.testing.assert_array_equal(found.mask, expected)
    session.accept(found)
    assert session.suggest(1, Boxes(bench.scene)) == []


def test_boxes_of_another_program_are_matched_by_name_and_labelled(bench: Any) -> None:
    x0, y0, x1, y1 = (float(v) for v in find_mask_box(bench.scene.masks(7)[1]))  # type: ignore[union-attr]
    box = {"image_id": 3, "category_id": 1, "bbox": [x0, y0, x1 - x0 + 1, y1 - y0 + 1], "score": 0.75, "id": 1}
    content = {
        "images": [{"id": 3, "file_name": "some/folder/0007.png", "width": 96, "height": 64}],
        "annotations": [box],
        "categories": [{"id": 1, "name": "pebble"}],
    }
    file = bench.folder / "boxes.json"
    file.write_text(json.dumps(content))
    session = bench.create()
    assert session.suggest(3, f"boxes:{file}") == []
    (found,) = session.suggest(7, config=FindConfig(proposer=f"boxes:{file}"))
    np.testing.assert_array_equal(found.mask, bench.scene.masks(7)[1])
    assert (session.accept(found)[0].name, found.score) == ("pebble", 0.75)


class Prompting(ExactProposer):
    """Has the segmenter make the masks, and says so before."""

    def __init__(self, clip: Any, before: Callable[[], object] = int) -> None:
        super().__init__(clip)
        self.before = before

    def propose(self, frame: Any) -> list[Proposal]:
        found = super().propose(frame)
        self.before()
        boxes = np.stack([np.asarray(find_mask_box(one.mask)) for one in found])
        return masks_of_boxes(frame, boxes, np.array([one.score for one in found], np.float32))


def test_a_search_is_cancelled_and_mistakes_are_one_line(bench: Any) -> None:
    session, cancel = bench.create(), threading.Event()
    session.accept(*session.suggest(0, ExactProposer(bench.scene)))
    session.remove_object(1)
    steps = 0

    def count() -> None:
        nonlocal steps
        steps += 1

    assert len(session.suggest(0, Prompting(bench.scene), on_step=count)) == 1
    assert steps >= 4, "reading, encoding and decoding are heeded"
    bench.forget()
    assert session.suggest(0, Prompting(bench.scene, cancel.set), cancel=cancel) == []
    assert bench.segmenter.segmenter.calls == [], "it ended before the segmenter was prompted"

    class Broken(ExactProposer):
        def propose(self, _: Any) -> list[Proposal]:
            return [Proposal(np.ones((3, 4), np.bool_), 1.0)]

    for kind, text, run in (
        (QueryError, "The frame is 40; expected", lambda: session.suggest(40, ExactProposer(bench.scene))),
        (BackendError, "Unknown proposer 'nothing'", lambda: session.suggest(0, "nothing")),
        (BackendError, r"'exact' gave a bool mask of shape \(3, 4\)", lambda: session.suggest(0, Broken(bench.scene))),
        (
            QueryError,
            "expected a bool array",
            lambda: session.accept(Suggestion(0, encode_mask(np.ones((3, 4), np.bool_)), 1, "x", (1, 2, 3))),
        ),
    ):
        with pytest.raises(kind, match=text) as caught:
            run()
        assert "\n" not in str(caught.value)
    assert len(session.objects) == 1
