"""Sharing a batch among workers: an item at a time each, dead workers' items to others, a record of what became of all."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from sampt.batch.items import BatchItem
from sampt.batch.work import PARTS_NAME, BatchSettings, ItemResult
from sampt.errors import BatchError
from sampt.files.atomic import make_folder, output_errors, write_atomic

__all__ = ["LOG_NAME", "REPORT_NAME", "BatchReport", "Pool", "WorkerReply", "check_counts", "run_batch"]

LOG_NAME, REPORT_NAME = "batch.jsonl", "batch.json"

WorkerReply = tuple[int, ItemResult | None]
"""A worker and what it replies; None when it died."""


class Pool(Protocol):
    """Workers, wherever they are. Each does an item at a time."""

    num_workers: int

    def give(self, worker: int, item: BatchItem, num_free: int) -> None:
        """Let an idle worker do ``item``, which ``num_free`` workers could share."""
        ...

    def wait(self) -> list[WorkerReply]:
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


def check_counts(num_workers: int | None, threads: int | None) -> None:
    """Raises BatchError when there are to be no workers, or workers without a thread; None is left to the pool."""
    for count, what in ((num_workers, "workers"), (threads, "threads a worker")):
        if count is not None and count < 1:
            raise BatchError(f"There are to be {count} {what}; expected 1 or more.")


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
    a batch that was interrupted goes on when it is started again. When workers would be idle, a long video without
    re-initialisation is shared among them by its objects; its results are the same.

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
    results = {}
    for result in _Round(items, pool, retries).results():
        results[result.name] = result
        _note(log, result)
        if on_result is not None:
            on_result(result)
    with contextlib.suppress(OSError):
        (settings.output / PARTS_NAME).rmdir()  # when nothing is left in it
    report = BatchReport([results[item.name] for item in items], time.perf_counter() - start)
    write_atomic(settings.output / REPORT_NAME, _as_json(report), sync=True)
    return report


class _Round:
    """Who does what, and what is still to do."""

    def __init__(self, items: Sequence[BatchItem], pool: Pool, retries: int) -> None:
        self._pool, self._retries = pool, retries
        self._waiting, self._idle = deque(items), deque(range(pool.num_workers))
        self._at_work: dict[int, BatchItem] = {}
        self._attempts: Counter[tuple[str, tuple[int, int] | None, int]] = Counter()
        self._unfinished: dict[str, int] = {}  # parts of shared videos that are not done

    def results(self) -> Iterator[ItemResult]:
        """Every item's last result, as they come."""
        while self._waiting or self._at_work:
            while self._waiting and self._idle:
                self._give(self._idle.popleft(), self._waiting.popleft())
            for worker, reply in self._pool.wait():
                item = self._at_work.pop(worker, None)
                if item is None:
                    continue  # it died while it had nothing to do; the pool starts another when it is given something
                self._idle.append(worker)
                result = self._judge(item, reply)
                if result is not None:
                    yield result

    def _give(self, worker: int, item: BatchItem) -> None:
        self._at_work[worker] = item
        self._attempts[_key(item)] += 1
        self._pool.give(worker, item, 1 + max(0, len(self._idle) - len(self._waiting)))

    def _judge(self, item: BatchItem, reply: ItemResult | None) -> ItemResult | None:
        """The item's last result, or None when there is more to do for it."""
        result = reply or ItemResult(item.name, "broke down", 0.0, error="its worker died")
        if result.status == "to share":
            parts = [dataclasses.replace(item, part=(k, result.num_parts)) for k in range(result.num_parts)]
            self._unfinished[item.name] = len(parts)
            self._waiting.extendleft(reversed(parts))
            return None
        if item.part is not None and item.name not in self._unfinished:
            return None  # another part has failed for good
        attempts = self._attempts[_key(item)]
        if result.status == "broke down" and attempts <= self._retries:
            self._waiting.append(item)  # last, so that an item that kills workers does not hold up the others
            return None
        if item.part is not None:
            if result.status == "done":
                self._unfinished[item.name] -= 1
                if not self._unfinished[item.name]:
                    self._waiting.appendleft(dataclasses.replace(item, part=None, num_parts=item.part[1]))
                return None
            del self._unfinished[item.name]
            self._waiting = deque(other for other in self._waiting if other.name != item.name)
        return dataclasses.replace(result, attempts=attempts)


def _key(item: BatchItem) -> tuple[str, tuple[int, int] | None, int]:
    return item.name, item.part, item.num_parts


def _note(log: Path, result: ItemResult) -> None:
    with output_errors(log), log.open("a", encoding="utf-8") as file:
        file.write(json.dumps(vars(result)) + "\n")


def _as_json(report: BatchReport) -> bytes:
    counts = Counter(r.status for r in report.results)
    values: dict[str, Any] = {"seconds": report.seconds, "counts": counts, "results": [vars(r) for r in report.results]}
    return (json.dumps(values, indent=1) + "\n").encode()
