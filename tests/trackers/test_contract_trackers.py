"""Every tracker that can be created keeps every clause of the contract."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

import pytest

from sampt.backends.registry import available
from sampt.testing import TRACKER_CLAUSES, TrackerLimits
from sampt.trackers.base import PointTracker
from sampt.trackers.create import create_tracker

RANDOM = {"raft-small"}
"""No weights in the package: everything but accuracy is prompted of random ones, with one iteration for speed."""
CHECKED_ELSEWHERE = {
    *(
        "raft",
        "pips",
        "pips-pp",
        "tapnet",
        "tapnext",
        "tapnext-pp",
        "tapnext-pp-512",
        "tapir",
        "bootstapir",
        "bootstapir-causal",
    ),
    *("cotracker-v1", "cotracker3-offline", "cotracker3-online"),
    *("superglue", "lightglue", "lightglue-superpoint", "xfeat"),
    "tracks",
}
"""Large networks, whose clauses are kept by reduced ones in the tests of their own; and `tracks`, which needs a file."""


@cache
def tracker_of(name: str) -> PointTracker:
    if name not in RANDOM:
        return create_tracker(name)
    torch = pytest.importorskip("torch")
    from sampt.trackers.raft.adapter import RaftTracker, load_network

    return RaftTracker(name, load_network(name, None), torch.device("cpu"), iterations=1)


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
@pytest.mark.parametrize("tracker", [name for name in available("tracker") if name not in CHECKED_ELSEWHERE])
def test_tracker_keeps_clause(tracker: str, name: str, clause: Callable[..., None]) -> None:
    clause(tracker_of(tracker), TrackerLimits(exact_tolerance_px=None) if tracker in RANDOM else TrackerLimits())
