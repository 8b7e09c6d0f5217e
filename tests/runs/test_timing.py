"""Seconds by stage, on a clock that ticks as the test says."""

from __future__ import annotations

import pytest

from sampt.runs.timing import StageClock


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    time_s = [100.0]
    monkeypatch.setattr("time.perf_counter", lambda: time_s[0])
    return time_s


def test_inner_stage_is_taken_out_of_the_outer_one(now: list[float]) -> None:
    clock = StageClock()
    with clock.stage("track"):
        now[0] += 1
        with clock.stage("read"):
            now[0] += 10
            with clock.stage("track"):
                now[0] += 100
        now[0] += 1000
    now[0] += 10_000
    with clock.stage("read"):
        now[0] += 20
    assert clock.seconds == {"track": 1101, "read": 30}


def test_time_until_an_error_counts(now: list[float]) -> None:
    clock = StageClock()

    def fail() -> None:
        with clock.stage("decode"):
            now[0] += 3
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    with clock.stage("encode"):
        now[0] += 4
    assert clock.seconds == {"decode": 3, "encode": 4}
