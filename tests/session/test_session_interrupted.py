"""Propagation that is cancelled, overtaken by edits, or ended by errors or closing: what was reported is kept, nothing wrong
is."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import pytest

from sampt.errors import OutputError, VideoError
from sampt.session import FrameStatus, FrameUpdate, PropagationWatch, Session, SessionBusyError

Pairs = Callable[[Iterable[FrameUpdate]], list[tuple[int, int]]]
BOTH = pytest.mark.parametrize("which", ["bench", "renewed_bench"])


def run(session: Session, *args: Any, **settings: Any) -> list[FrameUpdate]:
    return list(session.propagate(*args, **settings))


@BOTH
def test_a_cancelled_propagation_goes_on_where_it_stopped(which: str, request: Any, pairs: Pairs) -> None:
    bench = request.getfixturevalue(which)
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        bench.click(session, object_id, 5, object_id)
    cancel = threading.Event()
    text: list[tuple[int, int]] = []
    for update in session.propagate(cancel=cancel):
        text += pairs([update])
        if update.frame_idx == 20:
            cancel.set()
    assert text[-1] == (2, 20)
    assert session.stale()[1] == (range(5), range(21, 40))
    left = session.count_missing()
    assert left == 80 - len(text)
    bench.forget()
    text += pairs(session.propagate())
    assert Counter(text) == {(o, f): 1 for o in (1, 2) for f in range(40)}
    assert set(bench.segmenter.prompted(1)) - {5, 20} == {*range(5), *range(21, 40)}
    assert min(min(frames) for _, frames in bench.tracker.calls if max(frames) > 5) == 20
    for object_id in (1, 2):
        bench.check_exact(session, object_id, object_id, range(40))
        following = [session.points(f, [object_id]) for f in (20, 21)]
        start = following[0].select(following[0].visible)
        assert set(start.point_id.tolist()) <= set(following[1].point_id.tolist())


def test_a_cancel_is_heeded_between_the_objects_of_a_frame(renewed_bench: Any) -> None:
    """With 22 objects a frame takes seconds, and a window of frames, whose masks are final together, a minute."""
    session, cancel, decode = renewed_bench.create(), threading.Event(), renewed_bench.segmenter.segmenter.decode
    for object_id in range(1, 23):
        session.add_object()
        renewed_bench.click(session, object_id, 0, 1 + object_id % 2)
    counts: list[int] = []

    def count(embedding: Any, prompts: Any, **options: Any) -> Any:
        counts.append(len(prompts))
        if sum(counts) > 100:
            cancel.set()
        return decode(embedding, prompts, **options)

    renewed_bench.segmenter.segmenter.decode = count
    stages, early = [], []
    watch = PropagationWatch(stages.append, early.append)
    found = list(session.propagate(cancel=cancel, watch=watch))
    assert cancel.is_set()
    assert sum(counts[:-1]) <= 100, "nothing is begun after the cancel"
    assert max(counts) <= 4
    assert [len(u.results) for u in found[:6]] == [4, 4, 4, 4, 4, 2], "the first masks are there before the last ones"
    assert [s for i, s in enumerate(stages) if s and s not in stages[:i]] == ["preparing", "segmenting", "tracking"]
    for update in early:
        for object_id, result in update.results.items():
            expected = renewed_bench.scene.masks(update.frame_idx)[object_id % 2]
            assert np.array_equal(result.mask(session.size_hw), expected)
    assert early, "masks of a window are seen while it is made"


def test_a_cancel_that_is_set_already_computes_nothing(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    cancel = threading.Event()
    cancel.set()
    assert run(session, cancel=cancel) == []
    assert bench.segmenter.encoded == []


def test_edits_while_it_runs_are_taken_into_account(bench: Any, pairs: Pairs) -> None:
    """On frame 12 object 1 gets a new prompt frame, object 2 is removed, and a third one comes."""
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        bench.click(session, object_id, 5, object_id)
    after: list[tuple[int, int]] = []
    has_edited = False
    for update in session.propagate(object_ids=None):
        if has_edited:
            after += pairs([update])
        if update.frame_idx == 12 and not has_edited:
            has_edited = True
            bench.click(session, 1, 28, 2)
            session.remove_object(2)
    assert {o for o, _ in after} == {1}
    assert Counter(after) == {(1, f): 1 for f in (*range(5), *range(13, 40))}
    assert session.count_missing() == 0
    bench.check_exact(session, 1, 1, range(17))
    bench.check_exact(session, 1, 2, range(17, 40))


def test_an_edit_undone_while_it_runs_leaves_nothing_missing(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 5, 1)
    for step, _ in enumerate(session.propagate()):
        if step == 0:
            bench.click(session, 1, 5, 2)
        elif step == 1:
            session.undo()
    assert session.count_missing() == 0
    bench.check_exact(session, 1, 1, range(40))


def test_edits_from_another_thread_never_leave_wrong_results(bench: Any) -> None:
    """A click jumps between the scene's objects while propagation runs; at the end all frames are of its last location."""
    session = bench.create()
    session.add_object()
    point = bench.click(session, 1, 5, 1)
    stop, seen = threading.Event(), []

    def spread() -> None:
        while not stop.is_set():
            seen.append(len(run(session)))

    worker = threading.Thread(target=spread)
    worker.start()
    for k in range(30):
        session.move_point(point, bench.centre(1 + k % 2, 5))
        session.preview(k)
        session.results(k)
        session.points(k)
        session.timelines()
    stop.set()
    worker.join(60)
    assert not worker.is_alive()
    run(session)
    bench.check_exact(session, 1, 2, range(40))


def test_one_propagation_at_a_time(two: Session, bench: Any) -> None:
    two.add_object()
    bench.click(two, 3, 0, 1)
    first, second = two.propagate(), two.propagate()
    next(first)
    for late in (lambda: two.propagate(), lambda: next(second)):
        with pytest.raises(SessionBusyError, match=r"^A propagation of this session runs already; .*\.$"):
            late()
    first.close()  # type: ignore[attr-defined]
    assert len(run(two)) == 39


def test_closing_ends_a_propagation_and_keeps_what_was_told(bench: Any, pairs: Pairs) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    updates = session.propagate()
    text = [next(updates).frame_idx for _ in range(7)]
    session.close()
    assert list(updates) == []
    with pytest.raises(OutputError, match=r"is closed; open the project again\.$"):
        session.add_object()
    with pytest.raises(OutputError, match=r"is closed; open the project again\.$"):
        session.results(0)
    session.close()
    again = bench.open()
    assert again.stale() == {1: (range(max(text) + 1, 40),)}


def test_an_unreadable_frame_is_told_and_the_rest_can_be_computed_later(bench: Any) -> None:
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    path = bench.frames / "0025.png"
    content = path.read_bytes()
    path.write_bytes(content[:50])
    with pytest.raises(VideoError, match=r"0025\.png"):
        run(session)
    path.write_bytes(content)
    run(session)
    bench.check_exact(session, 1, 1, range(40))


def test_reading_frames_does_not_wait_for_propagation(bench: Any) -> None:
    """A propagation that is held in the middle of a frame leaves previews, results, edits and frames free."""
    held, go_on = threading.Event(), threading.Event()
    decode = bench.tracker.track

    def track(*args: Any) -> Any:
        held.set()
        assert go_on.wait(30)
        return decode(*args)

    session = bench.create()
    session.add_object()
    bench.click(session, 1, 5, 1)
    bench.tracker.track = track
    worker = threading.Thread(target=lambda: list(session.propagate()))
    worker.start()
    try:
        assert held.wait(30)
        assert session.video.read(7, 8).shape == (1, 64, 96, 3)
        session.add_object()
        bench.click(session, 2, 9, 2)
        np.testing.assert_array_equal(session.preview(9)[2].mask((64, 96)), bench.scene.masks(9)[1])
        assert session.results(5)[1].rle is not None
        assert session.timelines()[1].state[5] == FrameStatus.DONE
        assert worker.is_alive()
    finally:
        go_on.set()
        worker.join(60)
    assert session.stale() == {1: (), 2: (range(40),)}  # the second came when the first was on its way
