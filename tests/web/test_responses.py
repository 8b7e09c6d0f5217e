"""Responses that are written as text are those that the schemas describe."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.session.types import NeedsReview, ObjectTimeline, ReviewEvent
from sampt.web.responses import timelines_text
from sampt.web.schemas.session import TimelinesResponse


def make_timeline(scores: list[float]) -> ObjectTimeline:
    n = len(scores)
    return ObjectTimeline(
        state=np.array([0, 2, 2][:n], np.uint8),
        is_present=np.array([False, True, False][:n]),
        score=np.array(scores, np.float32),
        num_visible_points=np.arange(n),
        area_px=np.arange(n) * 100_000,
        has_input=np.array([False, True, True][:n]),
        is_reviewed=np.zeros(n, np.bool_),
        flags=np.array([0, 5, 0][:n], np.uint8),
        good_probability=np.array([np.nan, 0.314, 1][:n], np.float32),
        events=(ReviewEvent(1, 2, 1, NeedsReview(5), False),),
    )


@pytest.mark.parametrize("ids", [[], [7], [3, 1, 2]])
def test_timelines_that_are_joined_by_hand_are_what_the_schema_writes(ids: list[int]) -> None:
    text = timelines_text(12, {o: make_timeline([np.nan, 0.876, -0.25]) for o in ids})
    response = TimelinesResponse.model_validate_json(text, strict=True)
    assert response.model_dump_json().encode() == text
    assert (response.revision, [o.object_id for o in response.objects]) == (12, sorted(ids))


def test_a_timeline_has_runs_of_states_and_scores_in_percent() -> None:
    response = TimelinesResponse.model_validate_json(timelines_text(1, {4: make_timeline([np.nan, 0.876, -0.25])}))
    (timeline,) = response.objects
    assert (timeline.state, timeline.flags) == ([(0, 1), (2, 2)], [(0, 1), (5, 1), (0, 1)])
    assert (timeline.good, timeline.events[0].model_dump()) == (
        [None, 31, 100],
        {"start": 1, "stop": 2, "frame": 1, "reasons": 5, "is_reviewed": False},
    )
    assert (timeline.score, timeline.inputs, timeline.area) == ([None, 88, 0], [1, 2], [0, 100_000, 200_000])
