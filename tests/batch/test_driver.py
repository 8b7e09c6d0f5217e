"""Sharing items among workers that response as a script says: order, retries, the record."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from sampt.batch.driver import WorkerReply, run_batch
from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, ItemResult, Status
from sampt.errors import OutputError

ITEMS = [BatchItem(name, f"{name}.mp4", ("1,0,2,3",)) for name in "abcdef"]


class Scripted:
    """Workers whose responses ``script(item, attempt)`` gives; None: the worker dies."""

    def __init__(self, num_workers: int, script: Callable[[str, int], Status | None]) -> None:
        self.num_workers, self._script = num_workers, script
        self.at_work: dict[int, str] = {}
        self.given: list[tuple[int, str]] = []
        self.free: list[int] = []

    def give(self, worker: int, item: BatchItem, num_free: int) -> None:
        assert worker not in self.at_work
        name = item.name if item.part is None else f"{item.name}{item.part[0]}/{item.part[1]}"
        self.at_work[worker] = name + "+" * item.num_parts
        self.given.append((worker, self.at_work[worker]))
        self.free.append(num_free)

    def wait(self) -> list[WorkerReply]:
        worker = min(self.at_work)
        name = self.at_work.pop(worker)
        status = self._script(name, sum(n == name for _, n in self.given))
        if status is None:
            return [(worker, None)]
        parts = 3 if status == "to share" else 0
        return [(worker, ItemResult(name[0], status, 1.0, 5, None if status == "done" else f"why {name}", num_parts=parts))]


def test_items_go_to_idle_workers_and_results_come_in_the_order_of_items(tmp_path: Path) -> None:
    pool, seen = Scripted(2, lambda *_: "done"), []
    report = run_batch(ITEMS, BatchSettings(tmp_path), pool, on_result=lambda r: seen.append(r.name))
    assert [n for _, n in pool.given] == list("abcdef")
    assert {w for w, _ in pool.given} == {0, 1}
    assert [r.name for r in report.results] == list("abcdef")
    assert sorted(seen) == list("abcdef")
    assert report.is_complete
    assert report.count("done") == 6
    lines = [json.loads(line) for line in (tmp_path / "batch.jsonl").read_text().splitlines()]
    assert [line["name"] for line in lines] == seen
    text = json.loads((tmp_path / "batch.json").read_text())
    assert text["counts"] == {"done": 6}
    assert [r["name"] for r in text["results"]] == list("abcdef")


def test_an_item_whose_worker_dies_goes_to_the_end_and_to_another(tmp_path: Path) -> None:
    pool = Scripted(2, lambda name, attempt: None if name == "b" and attempt <= 2 else "done")
    report = run_batch(ITEMS, BatchSettings(tmp_path), pool)
    assert [n for _, n in pool.given].count("b") == 3
    assert {n: r.attempts for n, r in zip("abcdef", report.results, strict=True)}["b"] == 3
    assert report.is_complete


def test_a_worker_that_dies_while_it_has_nothing_to_do_harms_nothing(tmp_path: Path) -> None:
    class Mortal(Scripted):
        """Every second response is the death of all that have worked and have nothing to do, if there are any."""

        num_waits = 0

        def wait(self) -> list[WorkerReply]:
            self.num_waits += 1
            idle = sorted({worker for worker, _ in self.given} - self.at_work.keys())
            return [(worker, None) for worker in idle] if idle and self.num_waits % 2 == 0 else super().wait()

    pool = Mortal(3, lambda *_: "done")
    report = run_batch(ITEMS, BatchSettings(tmp_path), pool)
    assert [r.status for r in report.results] == ["done"] * 6
    assert {r.attempts for r in report.results} == {1}
    assert [n for _, n in pool.given] == list("abcdef")


def test_an_item_that_kills_every_worker_is_given_up_and_the_others_are_done(tmp_path: Path) -> None:
    report = run_batch(ITEMS, BatchSettings(tmp_path), Scripted(3, lambda name, _: None if name == "c" else "done"), retries=1)
    assert [r.status for r in report.results] == ["done", "done", "broke down", "done", "done", "done"]
    assert (report.results[2].attempts, report.results[2].error) == (2, "its worker died")
    assert not report.is_complete


@pytest.mark.parametrize(("status", "attempts"), [("failed", 1), ("broke down", 3)])
def test_only_what_may_go_better_is_tried_again(tmp_path: Path, status: Status, attempts: int) -> None:
    pool = Scripted(1, lambda name, _: status if name == "d" else "done")
    report = run_batch(ITEMS, BatchSettings(tmp_path), pool)
    assert (report.results[3].status, report.results[3].error, report.results[3].attempts) == (status, "why d", attempts)
    assert report.count("done") == 5


def test_what_earlier_runs_noted_stays(tmp_path: Path) -> None:
    for status in ("failed", "done"):
        run_batch(ITEMS[:1], BatchSettings(tmp_path), Scripted(1, lambda *_, status=status: status))  # type: ignore[misc]
    lines = [json.loads(line)["status"] for line in (tmp_path / "batch.jsonl").read_text().splitlines()]
    assert lines == ["failed", "done"]


def test_an_output_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(OutputError, match="cannot be written"):
        run_batch(ITEMS, BatchSettings(tmp_path / "file" / "out"), Scripted(1, lambda *_: "done"))


def shared(name: str, _attempt: int) -> Status | None:
    return "to share" if name == "a" else "done"


def test_workers_that_would_be_idle_share_a_video(tmp_path: Path) -> None:
    pool = Scripted(4, shared)
    report = run_batch(ITEMS[:2], BatchSettings(tmp_path), pool)
    assert pool.free[:2] == [3, 3]  # of four: one has the other video
    assert [n for _, n in pool.given] == ["a", "b", "a0/3", "a1/3", "a2/3", "a+++"]
    assert [(r.name, r.status) for r in report.results] == [("a", "done"), ("b", "done")]
    assert len((tmp_path / "batch.jsonl").read_text().splitlines()) == 2  # not one for each part


def test_nothing_is_shared_while_there_is_enough_to_do(tmp_path: Path) -> None:
    pool = Scripted(2, lambda *_: "done")
    run_batch(ITEMS, BatchSettings(tmp_path), pool)
    assert pool.free[:4] == [1, 1, 1, 1]


def test_a_part_whose_worker_dies_is_done_again(tmp_path: Path) -> None:
    pool = Scripted(2, lambda name, attempt: None if name == "a1/3" and attempt == 1 else shared(name, attempt))
    report = run_batch(ITEMS[:1], BatchSettings(tmp_path), pool)
    assert [n for _, n in pool.given].count("a1/3") == 2
    assert [n for _, n in pool.given][-1] == "a+++"
    assert report.is_complete


def test_a_part_that_fails_fails_its_video_and_the_other_parts_are_not_begun(tmp_path: Path) -> None:
    pool = Scripted(1, lambda name, attempt: "failed" if name == "a0/3" else shared(name, attempt))
    report = run_batch(ITEMS[:2], BatchSettings(tmp_path), pool)
    assert [n for _, n in pool.given] == ["a", "a0/3", "b"]
    assert [(r.name, r.status, r.error) for r in report.results] == [("a", "failed", "why a0/3"), ("b", "done", None)]
