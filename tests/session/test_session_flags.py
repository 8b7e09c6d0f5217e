"""Where a person should look."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sampt.session import FrameStatus, NeedsReview, ReviewEvent
from sampt.session.review import REVIEW_BELOW, find_doubts, find_events, find_flags

DROP, FEW, JUMP = NeedsReview.SCORE_DROP, NeedsReview.FEW_POINTS, NeedsReview.AREA_JUMP
NAN = float("nan")


def flags(num_frames: int = 60, state: Any = FrameStatus.DONE, **changes: dict[int, float]) -> dict[int, NeedsReview]:
    """The flagged frames of an object with score 0.9, 20 points and 1000 pixels, but for the changes."""
    values = {"score": np.full(num_frames, 0.9), "points": np.full(num_frames, 20.0), "area": np.full(num_frames, 1000.0)}
    for name, at in changes.items():
        for frame_idx, value in at.items():
            values[name][frame_idx] = value
    states = np.broadcast_to(np.asarray(state, np.uint8), (num_frames,))
    found = find_flags(
        states, values["score"].astype(np.float32), values["points"].astype(np.int64), values["area"].astype(np.int64)
    )
    assert found.dtype == np.uint8
    return {int(i): NeedsReview(int(found[i])) for i in np.flatnonzero(found)}


def test_an_even_object_needs_no_look() -> None:
    assert flags() == {}
    assert flags(1) == {}


def test_a_score_well_below_those_around_it() -> None:
    assert flags(score={30: 0.79}) == {30: DROP}
    assert flags(score={30: 0.81}) == {}
    assert flags(score={0: 0.5, 59: 0.5}) == {0: DROP, 59: DROP}
    assert flags(score={30: NAN}) == {}


def test_the_side_of_a_change_that_is_worse_is_flagged_until_it_becomes_normal() -> None:
    assert flags(score=dict.fromkeys(range(30, 60), 0.5)) == dict.fromkeys(range(30, 38), DROP)
    assert flags(score=dict.fromkeys(range(30), 0.5)) == dict.fromkeys(range(22, 30), DROP)
    assert flags(score=dict.fromkeys(range(30, 40), 0.5)) == dict.fromkeys(range(30, 40), DROP)


def test_one_good_frame_does_not_make_its_neighbours_bad() -> None:
    assert flags(score={0: 1.0, 30: 1.0, 59: 1.0}) == {}
    assert flags(points={0: 100, 30: 100}) == {}


def test_few_visible_points() -> None:
    assert flags(points={20: 4}) == {20: FEW}
    assert flags(points={20: 5}) == {}
    assert flags(points=dict.fromkeys(range(60), 1)) == {}


def test_jumps_of_the_area() -> None:
    assert flags(area={30: 1700}) == {30: JUMP, 31: JUMP}
    assert flags(area={30: 1500}) == {}
    assert flags(area={30: 0}) == {30: JUMP, 31: JUMP}
    assert flags(area={f: 1000 * 1.05**f for f in range(60)}) == {}
    assert flags(area=dict.fromkeys(range(60), 3) | {30: 12}) == {}  # a few pixels
    assert flags(area=dict.fromkeys(range(60), 0) | {30: 30, 31: 30}) == {30: JUMP, 32: JUMP}


def test_frames_without_a_result_have_no_flags_and_are_no_neighbours() -> None:
    state = np.full(60, FrameStatus.DONE)
    state[30:] = FrameStatus.UNKNOWN
    unknown = dict.fromkeys(range(30, 60), 0.0)
    score = dict.fromkeys(range(30, 60), NAN)
    assert flags(state=state, area=unknown, points=unknown, score=score) == {}
    state[30] = FrameStatus.STALE
    assert flags(state=state, area=unknown, points=unknown, score=score) == {30: JUMP | FEW}


def test_doubts_are_events_with_one_frame_to_look_at_until_a_person_has() -> None:
    good = np.full(40, 0.95, np.float32)
    good[0], good[10:14], good[16], good[30] = np.nan, (0.4, 0.2, 0.2, 0.3), 0.1, REVIEW_BELOW
    good[25] = 0.3
    reasons = np.zeros(40, np.uint8)
    reasons[10], reasons[12] = FEW, JUMP
    found = find_doubts(good, reasons)
    assert np.flatnonzero(found).tolist() == [10, 11, 12, 13, 16, 25]
    assert (found[10], found[11], found[12]) == (FEW, DROP, JUMP)
    reviewed = np.zeros(40, np.bool_)
    reviewed[25] = True
    assert find_events(found, good, reviewed) == (
        ReviewEvent(10, 17, 16, FEW | DROP | JUMP, is_reviewed=False),
        ReviewEvent(25, 26, 25, DROP, is_reviewed=True),
    )
    assert find_events(np.zeros(5, np.uint8), good[:5], reviewed[:5]) == ()


def test_a_session_flags_the_frames_where_its_segmenter_is_unsure(bench: Any) -> None:
    segmenter = type(bench.segmenter)(bench.scene, score=lambda frame_idx, _: 0.6 if frame_idx in (12, 13) else 0.95)
    session = bench.create(segmenter=segmenter)
    session.add_object()
    bench.click(session, 1, 0, 1)
    for _ in session.propagate():
        pass
    strip = session.timelines()[1]
    assert np.flatnonzero(strip.flags).tolist() == [12, 13]
    assert strip.score[12] == pytest.approx(0.6)
    assert strip.area_px.tolist() == [int(bench.scene.masks(f)[0].sum()) for f in range(40)]
    assert strip.num_visible_points.tolist() == [1] * 40
