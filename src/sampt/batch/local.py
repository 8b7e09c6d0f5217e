"""Workers on this machine, each a process."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from types import TracebackType

from sampt.backends.machine import num_cores
from sampt.batch.driver import WorkerReply, check_counts
from sampt.batch.items import BatchItem
from sampt.batch.process import as_line
from sampt.batch.work import BatchSettings, ItemResult

__all__ = ["LocalPool"]

_ENDED_S = 10.0
_LISTENED_S = 1.0
_HEEDED_S = 0.5
"""Windows heeds Ctrl-C when a wait ends, not while it lasts."""


class LocalPool:
    """``num_workers`` processes, one item each; one that dies is replaced when it gets its next item.

    Args:
        settings: of the batch. ``options.device`` may list several, separated by commas: workers take them in turn.
        num_workers: at least 1.
        threads: that each worker computes with; None shares the cores among them.

    Raises:
        BatchError: there cannot be so many.
    """

    def __init__(self, settings: BatchSettings, num_workers: int, threads: int | None = None) -> None:
        check_counts(num_workers, threads)
        self.num_workers = num_workers
        self._settings = settings
        self._threads = threads or max(1, num_cores() // num_workers)
        self._processes: dict[int, subprocess.Popen[str]] = {}
        self._listeners: dict[int, threading.Thread] = {}
        self._lines: queue.SimpleQueue[tuple[int, subprocess.Popen[str], str]] = queue.SimpleQueue()

    def give(self, worker: int, item: BatchItem, num_free: int = 1) -> None:
        """Let a worker that has nothing to do, 0 to ``num_workers - 1``, do ``item``, which ``num_free`` could share."""
        task = [item.to_json(), num_free]
        process = self._processes.get(worker) or self._start_worker(worker)
        try:
            self._send(process, task)
        except OSError:  # it died while it had nothing to do
            self._drop(worker)
            self._send(self._start_worker(worker), task)

    def wait(self) -> list[WorkerReply]:
        """The workers that have ended their items since the last call, at least one, each with its result or None: it died."""
        replies: list[WorkerReply] = []
        while not replies or not self._lines.empty():
            try:
                worker, process, line = self._lines.get(timeout=_HEEDED_S)
            except queue.Empty:
                continue
            if self._processes.get(worker) is not process:
                continue  # it was dropped
            if line.endswith("\n"):
                replies.append((worker, ItemResult(**json.loads(line))))
            else:
                self._drop(worker)
                replies.append((worker, None))
        return replies

    def __enter__(self) -> LocalPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for worker, process in list(self._processes.items()):
            if kind is None:
                self._send(process, None)
            else:
                process.kill()
            self._drop(worker)

    def _start_worker(self, worker: int) -> subprocess.Popen[str]:
        devices: Sequence[str] = self._settings.options.device.split(",")
        options = dataclasses.replace(self._settings.options, device=devices[worker % len(devices)].strip())
        values = dataclasses.replace(self._settings, options=options).to_json()
        with _interruptions_held():
            process = subprocess.Popen(
                [sys.executable, "-m", "sampt.batch.process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                encoding="utf-8",
                env={**os.environ, "OMP_NUM_THREADS": str(self._threads)},
                # Ctrl-C is the driver's, which ends the workers.
                start_new_session=True,
                creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
            )
            self._processes[worker] = process
            # Windows waits for no pipes, so that each has a thread that does.
            listener = threading.Thread(target=self._listen, args=(worker, process), daemon=True)
            self._listeners[worker] = listener
            listener.start()
        self._send(process, values)
        return process

    def _send(self, process: subprocess.Popen[str], value: object) -> None:
        assert process.stdin is not None
        process.stdin.write(as_line(value))
        process.stdin.flush()

    def _listen(self, worker: int, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                self._lines.put((worker, process, line))
        finally:
            self._lines.put((worker, process, ""))

    def _drop(self, worker: int) -> None:
        process, listener = self._processes.pop(worker), self._listeners.pop(worker)
        assert process.stdout is not None
        assert process.stdin is not None
        with contextlib.suppress(OSError):
            process.stdin.close()
        try:
            process.wait(_ENDED_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        listener.join(_LISTENED_S)
        if not listener.is_alive():  # else a process of the worker's own holds the other end
            process.stdout.close()


@contextlib.contextmanager
def _interruptions_held() -> Iterator[None]:
    """SIGINT waits until the end of the block, and what is started inside never gets one.

    A worker is the driver's to end; one that is interrupted while it imports would tell where in a traceback.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
