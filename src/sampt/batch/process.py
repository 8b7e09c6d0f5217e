"""A worker in a process of its own: ``python -m sampt.batch.process`` takes items from standard input and replies there.

JSON lines in both directions: first the settings, then an item at a time with how many workers could share it; each is replied
to by its result. When the driver is gone, however it went, standard input ends, and the worker with it, in the middle of its
item.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import sys
import threading
from typing import Any, TextIO

from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, Worker

__all__ = ["as_line", "main"]

_ORPHANED = 3


def main() -> int:
    """Work until there is no more."""
    logging.basicConfig(format="sampt: %(message)s", level=logging.WARNING)
    replies = _own_standard_output()
    lines: queue.Queue[str] = queue.Queue()
    threading.Thread(target=_listen, args=(lines,), daemon=True).start()
    settings = BatchSettings.from_json(json.loads(lines.get()))
    _use_threads(int(os.environ.get("OMP_NUM_THREADS", "0")))
    worker = Worker(settings)
    while True:
        task = json.loads(lines.get())
        if task is None:
            return 0
        item, num_free = task
        result = worker.do(BatchItem.from_json(item), num_free)
        replies.write(as_line(vars(result)))
        replies.flush()


def _own_standard_output() -> TextIO:
    """Responses alone go there; what a library prints goes to standard error."""
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    return replies


def _listen(lines: queue.Queue[str]) -> None:
    line = ""
    for line in sys.stdin:
        if line.endswith("\n"):  # else the driver was stopped in the middle of it
            lines.put(line)
    if line != as_line(None):
        os._exit(_ORPHANED)  # nobody wants the response any more; what is half-written says so itself


def _use_threads(count: int) -> None:
    """Libraries that do not read OMP_NUM_THREADS."""
    if count:
        import cv2

        cv2.setNumThreads(count)


def as_line(value: Any) -> str:
    """A line for a worker; None for the last one."""
    return json.dumps(value) + "\n"


if __name__ == "__main__":
    raise SystemExit(main())
