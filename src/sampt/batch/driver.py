"""Sharing a batch among workers: an item at a time each, dead workers' items to others, a record of what became of all."""

from __future__ import annotations

import dataclasses
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, ItemResult
from sampt.outputs.files import make_folder, output_errors, write_atomic

__all__ = ["LOG_NAME", "REPORT_NAME", "Answer", "BatchReport", "Pool", "run_batch"]

LOG_NAME, REPORT_NAME = "batch.jsonl", "batch.json"

Answer = tuple[int, ItemResult | None]
"""A worker and what it answers; None when it died."""


class Pool(Protocol):
    """Workers, wherever they are. Each does an item at a time."""

    num_workers: int

    def give(self, worker: int, item: BatchItem) -> None:
        """Let an idle worker do ``item``."""
        ...

    def wait(self) -> list[Answer]:
        """Wait until some have ended their items; they are idle again, and one that died will be another one."""
        ...


@dataclass(frozen=True)
class BatchReport:
    """What became of a batch.

    Attributes:
        results: one an item, in the order of the items.
        seconds: wall time.
    """

    results: list[ItemResult]
    seconds: float

    def count(self, *statuses: str) -> int:
        """How many items have one of ``statuses``."""
        return sum(r.status in statuses for r in self.results)

    @property
    def is_complete(self) -> bool:
        """Whether every video has its results."""
        return self.count("done", "was done") == len(self.results)


def run_batch(
    items: Sequence[BatchItem],
    settings: BatchSettings,
    pool: Pool,
    *,
    retries: int = 2,
    on_result: Callable[[ItemResult], None] | None = None,
) -> BatchReport:
    """Do all items.

    An item whose worker dies, or in which something breaks down that is not the fault of what it was given, is tried again, by
    whichever worker is free. An item that is complete in the output, with the same input and settings, is not done again: so
    a batch that was interrupted goes on when it is started again.

    Args:
        items: what to do.
        settings: what they have in common.
        pool: the workers.
        retries: how often an item is tried again.
        on_result: called with every item's last result.

    Returns:
        The report, which is also in ``batch.json`` of the output; ``batch.jsonl`` has a line for each result as it comes.

    Raises:
        OutputError: the output cannot be written.
    """
    start = time.perf_counter()
    log = make_folder(settings.output) / LOG_NAME
    waiting, idle = deque(items), deque(range(pool.num_workers))
    at_work: dict[int, BatchItem] = {}
    attempts: Counter[str] = Counter()
    results: dict[str, ItemResult] = {}
    while waiting or at_work:
        while waiting and idle:
            worker = idle.popleft()
            at_work[worker] = waiting.popleft()
            attempts[at_work[worker].name] += 1
            pool.give(worker, at_work[worker])
        for worker, answer in pool.wait():
            item = at_work.pop(worker)
            idle.append(worker)
            result = answer or ItemResult(item.name, "broke down", 0.0, error="its worker died")
            if result.status == "broke down" and attempts[item.name] <= retries:
                waiting.append(item)  # last, so that an item that kills workers does not hold up the others
                continue
            results[item.name] = dataclasses.replace(result, attempts=attempts[item.name])
            _note(log, results[item.name])
            if on_result is not None:
                on_result(results[item.name])
    report = BatchReport([results[item.name] for item in items], time.perf_counter() - start)
    write_atomic(settings.output / REPORT_NAME, _as_json(report), sync=True)
    return report


def _note(log: Path, result: ItemResult) -> None:
    with output_errors(log), log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(vars(result)) + "\n")


def _as_json(report: BatchReport) -> bytes:
    counts = Counter(r.status for r in report.results)
    values: dict[str, Any] = {"seconds": report.seconds, "counts": counts, "results": [vars(r) for r in report.results]}
    return (json.dumps(values, indent=1) + "\n").encode()
