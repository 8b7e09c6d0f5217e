"""Writing behind the computation: encoding images and computing masks use the machine at the same time."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType

import numpy as np

from sampt.runs.job import ObjectSummary
from sampt.runs.outputs import OutputSet
from sampt.runs.timing import StageClock
from sampt.types import FrameMasks, ObjectState, UInt8Array
from sampt.video.base import Video

__all__ = ["MAX_WAITING", "WriteBehind", "write_all"]

MAX_WAITING = 4
"""Frames that may wait to be written: memory stays bounded when writing is the slower part ..."""
_MAX_BYTES = 64 << 20
"""... and so many bytes of their masks, but one frame in any case: a thousand objects have 400 MB of masks on a frame."""


class WriteBehind:
    """Calls ``write`` for one frame after another, in order, in a thread of its own. Use it as a context manager.

    An error of ``write`` is raised by a later ``put`` or at the end of the block.

    Attributes:
        seconds: time spent inside ``write``; it overlaps with what the caller does.
    """

    def __init__(self, write: Callable[[UInt8Array, FrameMasks], None]) -> None:
        self._write = write
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="sampt-write")
        self._waiting: deque[tuple[Future[None], int]] = deque()
        self._is_broken = False
        self.seconds = 0.0

    def put(self, frame_rgb: UInt8Array, frame_masks: FrameMasks) -> None:
        """Hand over one frame; waits while too many are not written yet."""
        num_bytes = frame_masks.masks.nbytes
        while self._waiting and (
            len(self._waiting) >= MAX_WAITING or num_bytes + sum(size for _, size in self._waiting) > _MAX_BYTES
        ):
            self._waiting.popleft()[0].result()
        self._waiting.append((self._thread.submit(self._time_it, frame_rgb, frame_masks), num_bytes))

    def _time_it(self, frame_rgb: UInt8Array, frame_masks: FrameMasks) -> None:
        started = time.perf_counter()
        try:
            if not self._is_broken:
                self._write(frame_rgb, frame_masks)
        except BaseException:
            self._is_broken = True
            raise
        finally:
            self.seconds += time.perf_counter() - started

    def __enter__(self) -> WriteBehind:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        # What was handed over before an error elsewhere, a camera that is unplugged say, is still written.
        self._thread.shutdown(wait=True)
        while kind is None and self._waiting:
            self._waiting.popleft()[0].result()


def write_all(
    results: Iterable[FrameMasks],
    video: Video,
    outputs: OutputSet,
    summaries: dict[int, ObjectSummary],
    clock: StageClock,
    on_frame: Callable[[int], None],
) -> None:
    """Write every result with its frame, which ``video`` still has, sum it up, and call ``on_frame`` with how many are done."""
    with WriteBehind(outputs.write) as writer:
        for result in results:
            writer.put(video.read(result.frame_idx, result.frame_idx + 1)[0], result)
            _count(result, summaries)
            on_frame(result.frame_idx + 1)
    clock.seconds["write"] = writer.seconds


def _count(result: FrameMasks, summaries: dict[int, ObjectSummary]) -> None:
    for object_id, mask, score, state in zip(result.object_ids, result.masks, result.scores, result.states, strict=True):
        summary = summaries[int(object_id)]
        summary.frames_present += bool(mask.any())
        summary.last_state = ObjectState(int(state))
        if not np.isnan(score):
            summary.score_sum += float(score)
            summary.frames_scored += 1
