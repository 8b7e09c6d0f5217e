"""Every tracker that can be created keeps every clause of the contract."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from sampt.plugins import available, create_tracker
from sampt.testing import TRACKER_CLAUSES, TrackerLimits


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
@pytest.mark.parametrize("tracker", available("tracker"))
def test_tracker_keeps_clause(tracker: str, name: str, clause: Callable[..., None]) -> None:
    clause(create_tracker(tracker), TrackerLimits())
