"""What is no backend, or raises, is reported once, and a traceback leads to the line at fault."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from sampt.testing.clauses import ContractError
from sampt.testing.contracts import check_tracker
from sampt.testing.fakes import ExactStreamTracker
from sampt.trackers.base import FrameSource, TrackerInfo
from sampt.types import Points, QueryMask, Tracks


def factory_that_raises() -> Any:
    raise KeyError("encoder")


@pytest.mark.parametrize(
    ("factory", "message"),
    [
        (ExactStreamTracker, r"Got the class ExactStreamTracker; expected a tracker, such as ExactStreamTracker\(\), or a fun"),
        (
            lambda: ExactStreamTracker,
            r"The factory of the tracker made the class ExactStreamTracker; expected an object with tr",
        ),
        (lambda: None, r"^The factory of the tracker made a NoneType; expected an object with track\(\)\.$"),
        (factory_that_raises, r"^The factory of the tracker raised KeyError: 'encoder'$"),
    ],
)
def test_what_makes_no_tracker_is_reported_once(factory: Any, message: str) -> None:
    with pytest.raises(ContractError, match=message) as caught:
        check_tracker(factory)
    assert caught.value.broken == {}
    assert isinstance(caught.value.__cause__, KeyError) == (factory is factory_that_raises)


class AtFault:
    info = TrackerInfo("at-fault", "MIT", None)

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        raise KeyError(video.num_frames)


def test_what_a_tracker_raises_first_is_the_cause_of_the_error() -> None:
    with pytest.raises(ContractError, match=r"one_frame_video: It raised KeyError: 1\n") as caught:
        check_tracker(AtFault())
    assert isinstance(caught.value.__cause__, KeyError)
    assert caught.value.__cause__.args == (1,)
