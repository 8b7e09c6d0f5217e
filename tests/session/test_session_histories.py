"""After any history of edits, undone ones and interrupted propagations, results are those of a session that was given the same.

What a correction starts from (the points seen when a frame was first clicked) is a part of what was given: it is saved with the
clicks, and the fresh session has it from the project file.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from typing import Any

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sampt.session import Session

NUM_FRAMES = 24
_FRAMES, _OBJECTS, _SHOWN = st.integers(0, NUM_FRAMES - 1), st.integers(1, 2), st.integers(1, 2)
_NUMBERS = st.integers(0, 30)
STEPS = st.one_of(
    st.tuples(st.just("click"), _OBJECTS, _FRAMES, _SHOWN, st.booleans()),
    st.tuples(st.just("move"), _NUMBERS, _SHOWN),
    st.tuples(st.just("delete"), _NUMBERS),
    st.tuples(st.just("box"), _OBJECTS, _FRAMES, st.one_of(st.none(), _SHOWN)),
    st.tuples(st.just("mask"), _OBJECTS, _FRAMES, st.one_of(st.none(), _SHOWN)),
    st.tuples(st.just("paint"), _OBJECTS, _FRAMES, _SHOWN, st.sampled_from([3.0, 40.0]), st.booleans()),
    st.tuples(st.just("absent"), _OBJECTS, _FRAMES, st.booleans()),
    st.tuples(st.just("undo")),
    st.tuples(st.just("undo")),
    st.tuples(st.just("redo")),
    st.tuples(st.just("propagate"), _FRAMES, st.integers(1, NUM_FRAMES), st.integers(0, 60)),
    st.tuples(st.just("propagate"), st.just(0), st.just(NUM_FRAMES), st.just(1000)),
    st.tuples(st.just("reopen")),
)


def take(bench: Any, session: Session, step: tuple[Any, ...]) -> Session:
    """Take a step; one that is not possible is none."""
    kind, *rest = step
    points = session.clicks()
    if kind == "click":
        object_id, frame_idx, shown, is_positive = rest
        bench.click(session, object_id, frame_idx, shown, is_positive)
    elif kind == "move" and points:
        point = points[rest[0] % len(points)]
        session.move_point(point.point_id, bench.centre(rest[1], point.frame_idx))
    elif kind == "delete" and points:
        session.delete_point(points[rest[0] % len(points)].point_id)
    elif kind in ("box", "mask"):
        object_id, frame_idx, shown = rest
        mask = None if shown is None else bench.scene.masks(frame_idx)[shown - 1]
        if kind == "mask":
            session.set_mask(object_id, frame_idx, mask)
        else:
            session.set_box(object_id, frame_idx, None if mask is None else find_box(mask))
    elif kind == "paint":
        object_id, frame_idx, shown, radius, is_erasing = rest
        session.paint(object_id, frame_idx, [bench.centre(shown, frame_idx)], radius, is_erasing=is_erasing)
    elif kind == "absent":
        session.set_absent(*rest)
    elif kind == "undo" and len(session.objects) == 2:
        session.undo()
        if len(session.objects) < 2:
            session.redo()
    elif kind == "redo":
        session.redo()
    elif kind == "propagate":
        start, stop, count = rest
        updates = session.propagate(range(start, max(start, stop)))
        for _, _ in zip(range(count), updates, strict=False):
            pass
        updates.close()  # type: ignore[attr-defined]
    elif kind == "reopen":
        session.close()
        return bench.open()
    return session


def find_box(mask: np.ndarray) -> tuple[int, int, int, int]:
    ys, xs = np.nonzero(mask)
    return int(xs.min()), int(ys.min()), int(xs.max()), int(ys.max())


def check_fractions(session: Session) -> None:
    """Known and missing frames together are those that queries cover; and what is counted is what is reported."""
    missing = session.count_missing()
    assert missing == sum(len(r) for ranges in session.stale().values() for r in ranges)
    assert sum(len(u.results) for u in session.propagate()) == missing
    assert session.count_missing() == 0


@given(st.lists(STEPS, min_size=1, max_size=14))
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_any_history_ends_with_the_results_of_what_was_given(
    make_bench: Callable[..., Any], steps: list[tuple[Any, ...]]
) -> None:
    bench = make_bench("slow", NUM_FRAMES)
    session = bench.create()
    for _ in range(2):
        session.add_object()
    for step in steps:
        session = take(bench, session, step)
    check_fractions(session)
    fresh_folder = bench.folder / "fresh.sampt"
    fresh_folder.mkdir()
    shutil.copy(bench.project / "project.json", fresh_folder)
    fresh = bench.open(fresh_folder)
    assert fresh._state.inputs == session._state.inputs
    for _ in fresh.propagate():
        pass
    for frame_idx in range(NUM_FRAMES):
        expected, found = fresh.results(frame_idx), session.results(frame_idx)
        assert expected.keys() == found.keys()
        for object_id, result in expected.items():
            other = found[object_id]
            assert (other.rle, other.state, other.score, other.is_stale) == (result.rle, result.state, result.score, False)
            for given_mask in session.given_masks(frame_idx, object_id):
                if all(c.point_id in given_mask.point_ids for c in session.clicks(frame_idx, object_id)):
                    np.testing.assert_array_equal(other.mask(session.size_hw), given_mask.mask)
    bench.close()
