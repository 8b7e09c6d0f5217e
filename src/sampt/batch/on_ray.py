"""Workers on a Ray cluster, each an actor that does what a local worker does."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import Any

from sampt.batch.driver import WorkerReply, check_counts
from sampt.batch.items import BatchItem
from sampt.batch.work import BatchSettings, ItemResult
from sampt.errors import BatchError

__all__ = ["RayPool"]

_REACHED_S = 10.0
_WAIT_S = 1.0  # Ray's own waiting does not let signals through: Control-C is heeded between two of them


class RayPool:
    """``num_workers`` actors, one item each; one that dies, by itself or with its node, is replaced.

    The output has to be a location that every node reaches, and so have the videos; sampt is installed on all of them.

    Args:
        settings: of the batch.
        address: of the cluster; "auto" for the one that this machine belongs to, "local" for a new one on this machine.
        num_workers: None for as many as the cluster has room for.
        threads: CPUs that each worker takes, and threads that it computes with. A worker whose device is not the CPU takes a
            GPU, too.

    Raises:
        BatchError: Ray is not installed, there is no cluster at the address, or it has no room for a worker.
    """

    def __init__(
        self, settings: BatchSettings, address: str = "auto", num_workers: int | None = None, threads: int | None = None
    ) -> None:
        try:
            import ray
        except ImportError as error:
            raise BatchError(f"--ray needs Ray ({error}). Run: pip install 'sampt[ray]'.") from error
        threads = 1 if threads is None else threads
        check_counts(num_workers, threads)
        self._ray, self._settings, self._threads = ray, settings, threads
        self._was_connected = ray.is_initialized()
        if not self._was_connected:
            _connect(ray, address)
        self._needs: dict[str, float] = {"num_cpus": threads}
        if settings.options.device.partition(":")[0] not in ("auto", "cpu"):
            self._needs["num_gpus"] = 1
        self.num_workers = num_workers or self._room()
        self._actors: dict[int, Any] = {}
        self._starting: dict[Any, int] = {}  # an actor's is_ready() -> its worker, as long as the cluster has no room for it
        self._not_begun: dict[int, tuple[dict[str, Any], int]] = {}  # items of workers whose actor is not placed yet
        self._pending: dict[Any, int] = {}

    def give(self, worker: int, item: BatchItem, num_free: int = 1) -> None:
        """Let a worker that has nothing to do, 0 to ``num_workers - 1``, do ``item``, which ``num_free`` could share."""
        if worker not in self._actors:
            self._actors[worker] = self._start_actor()
            self._starting[self._actors[worker].is_ready.remote()] = worker
        self._not_begun[worker] = (item.to_json(), num_free)
        if worker not in self._starting.values():
            self._begin(worker)

    def wait(self) -> list[WorkerReply]:
        """The workers that have ended their items since the last call, at least one, each with its result or None: it died."""
        replies: list[WorkerReply] = []
        while not replies:
            self._give_to_placed_actors()
            ended, _ = self._ray.wait([*self._pending, *self._starting], num_returns=1, timeout=_WAIT_S)
            for reference in ended:
                replies += self._note_placed(reference) if reference in self._starting else self._collect_reply(reference)
        return replies

    def _give_to_placed_actors(self) -> None:
        """An actor waits as long as the cluster has no room for it, forever after the loss of a node; its item must not."""
        starting = {worker: reference for reference, worker in self._starting.items()}
        free = [w for w in self._actors if w not in starting and w not in self._pending.values()]
        for worker, other in zip([w for w in self._not_begun if w in starting], free, strict=False):
            self._actors[worker], self._actors[other] = self._actors[other], self._actors[worker]
            self._starting[starting[worker]] = other
            self._begin(worker)

    def _begin(self, worker: int) -> None:
        self._pending[self._actors[worker].do.remote(*self._not_begun.pop(worker))] = worker

    def _note_placed(self, reference: Any) -> list[WorkerReply]:
        worker = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError:
            del self._actors[worker]
            return [(worker, None)] if self._not_begun.pop(worker, None) else []
        if worker in self._not_begun:
            self._begin(worker)
        return []

    def _collect_reply(self, reference: Any) -> list[WorkerReply]:
        worker = self._pending.pop(reference)
        try:
            return [(worker, ItemResult(**self._ray.get(reference)))]
        except self._ray.exceptions.RayError:  # the actor is dead, its node is gone, or its memory was taken
            del self._actors[worker]
            return [(worker, None)]

    def __enter__(self) -> RayPool:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        for actor in self._actors.values():
            self._ray.kill(actor)
        if not self._was_connected:
            self._ray.shutdown()

    def _room(self) -> int:
        there = self._ray.cluster_resources()
        room = int(there.get("CPU", 0) // self._threads)
        if "num_gpus" in self._needs:
            room = min(room, int(there.get("GPU", 0)))
        if not room:
            raise BatchError(
                f"The Ray cluster has {there.get('CPU', 0):g} CPUs and {there.get('GPU', 0):g} GPUs, no room for a worker; "
                f"expected {self._threads} CPUs{' and a GPU' if 'num_gpus' in self._needs else ''} for each."
            )
        return room

    def _start_actor(self) -> Any:
        environment = {"env_vars": {"OMP_NUM_THREADS": str(self._threads)}}
        remote = self._ray.remote(_Actor).options(**self._needs, runtime_env=environment)
        return remote.remote(self._settings.to_json())


class _Actor:
    def __init__(self, settings: dict[str, Any]) -> None:
        from sampt.batch.work import Worker

        self._worker = Worker(BatchSettings.from_json(settings))

    def is_ready(self) -> bool:
        return True

    def do(self, item: dict[str, Any], num_free: int) -> dict[str, Any]:
        return vars(self._worker.do(BatchItem.from_json(item), num_free))


def _connect(ray: Any, address: str) -> None:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        if host and port.isdecimal():  # Ray itself tries for minutes
            socket.create_connection((host, int(port)), timeout=_REACHED_S).close()
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (ConnectionError, ValueError, RuntimeError, OSError) as error:
        line = " ".join(str(error).split())
        raise BatchError(f"There is no Ray cluster at {address!r} ({line}); start one with `ray start --head`.") from error
