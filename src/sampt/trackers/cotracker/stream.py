"""Points on streamed frames, with the latency of a window."""

from __future__ import annotations

import numpy as np
import torch

from sampt.geometry import SizeHW
from sampt.trackers.base import StreamingTracks, TrackStep
from sampt.trackers.cotracker.features import FrameCache
from sampt.trackers.cotracker.outputs import FrameScale, TrackOutputs
from sampt.trackers.cotracker.windows import WindowedPass
from sampt.types import Points, UInt8Array

__all__ = ["CoTrackerTracks"]


class CoTrackerTracks(StreamingTracks):
    """Frames go in one by one; their points come out when no later window can change them.

    The online network sees 16 frames at a time and moves on by 8: 8 frames come out with the 16th, 8 more with the 24th. Memory
    does not grow with the frames. When all points are added before the first window is full, the results are those of ``track``
    from each prompt frame on.

    Args:
        passed: a pass that has seen nothing.
        cache: with room for one of its windows, used by nobody else.
        model_hw: size of the network's image.
        visible: see :class:`sampt.trackers.cotracker.adapter.CoTrackerSettings`.
        points: see :class:`sampt.trackers.base.StreamingTracks`.
    """

    def __init__(self, passed: WindowedPass, cache: FrameCache, model_hw: SizeHW, visible: float, points: Points) -> None:
        self._passed, self._cache, self._model_hw, self._visible = passed, cache, model_hw, visible
        self._waiting: list[bytes] = []
        """Keys of the frames that have not come out, from frame ``_start`` on."""
        self._start = 0
        self._found: tuple[int, TrackOutputs] | None = None
        """The last window: its first frame and what was found on all of its frames."""
        self._scale: FrameScale | None = None
        self._num_passed = 0
        """Points that the network has been given."""
        super().__init__(points)

    @torch.inference_mode()
    def finish(self) -> list[TrackStep]:
        newest = self._start + len(self._waiting) - 1
        if self._waiting and (self._found is None or newest >= self._found[0] + len(self._found[1].xy)):
            self._run()
        return self._come_out(len(self._waiting))

    @torch.inference_mode()
    def _push(self, frame: UInt8Array) -> list[TrackStep]:
        self._scale = self._scale or FrameScale((frame.shape[0], frame.shape[1]), self._model_hw)
        self._waiting += self._cache.keep([frame])
        if len(self._waiting) < self._passed.plan.length:
            return []
        self._run()
        return self._come_out(self._passed.plan.step)

    def _run(self) -> None:
        """Find the points on the frames that wait, if the window reaches any."""
        self._pass_new_points()
        empty = TrackOutputs.of_queries(self._xy[:0], self._frame_idx[:0], np.arange(len(self._waiting)))
        self._found = self._start, empty
        if self._scale is not None and self._passed.reaches(self._start):
            estimate = self._passed.run(self._start, self._cache.pyramid, self._cache.slots(self._waiting))
            self._found = self._start, self._scale.outputs(estimate, self._visible)

    def _pass_new_points(self) -> None:
        assert self._scale is not None, "a window is run when frames have been pushed"
        new, device = slice(self._num_passed, None), self._passed.device
        self._passed.add(self._scale.to_network(self._xy[new], device), torch.from_numpy(self._frame_idx[new]).to(device))
        self._num_passed = len(self._xy)

    def _come_out(self, count: int) -> list[TrackStep]:
        """The first frames that wait."""
        frames = np.arange(self._start, self._start + count)
        outputs = TrackOutputs.of_queries(self._xy, self._frame_idx, frames)
        if self._found is not None:
            first, found = self._found
            rows = frames - first
            here = TrackOutputs(found.xy[rows], found.visible[rows], found.confidence[rows])
            num_found = here.xy.shape[1]
            outputs.fill(np.arange(count), here, frames[:, None] > self._frame_idx[:num_found])
        self._start, self._waiting = self._start + count, self._waiting[count:]
        return [TrackStep(*row) for row in zip(*outputs, strict=True)]
