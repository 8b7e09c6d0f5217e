"""Windows over frames: points that are carried from one to the next, and join with the first that has their prompt frame."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from sampt.trackers.cotracker.network import STRIDE
from sampt.trackers.cotracker.windows import SupportGrid, WindowPlan, window_starts
from sampt.trackers.cotracker_v1.network import CoTrackerV1Network, WindowState

__all__ = ["WindowedPass", "sorted_by_frame", "support_points", "whole_clip"]

_SEEN = 10.0
"""The logit of being seen that a point begins with."""


def support_points(grid: SupportGrid | None, model_hw: tuple[int, int], num_frames: int) -> tuple[Tensor, Tensor]:
    """Support points of a clip: (k, 2) in pixels of the features, and (k,) int64, the frame of each."""
    if grid is None:
        return torch.zeros(0, 2), torch.zeros(0, dtype=torch.int64)
    xy = grid.locations(model_hw)
    frames = torch.arange(0, num_frames, grid.every or num_frames)
    return xy.repeat(len(frames), 1), frames.repeat_interleave(len(xy))


def sorted_by_frame(frame_idx: Tensor) -> Tensor:
    """(n,) int64: points by their frames, those of one frame as they are given."""
    return torch.argsort(frame_idx, stable=True)


class WindowedPass:
    """Points on their way through frames in one direction.

    Args:
        network: the network.
        plan: the windows.
        xy: (n, 2) in pixels of the features.
        frame_idx: (n,) int64, the prompt frame of each, counted in the direction of the pass.
        iterations: of the network in each window.
        order: (n,) int64, the points as the network is to see them, earlier frames first; None: :func:`sorted_by_frame`. The
            official program sorts by a method that leaves points of one frame in an order of its own.
    """

    def __init__(
        self,
        network: CoTrackerV1Network,
        plan: WindowPlan,
        xy: Tensor,
        frame_idx: Tensor,
        iterations: int,
        order: Tensor | None = None,
    ) -> None:
        self.plan, self._network, self._iterations = plan, network, iterations
        self.order = sorted_by_frame(frame_idx) if order is None else order
        """Which point the network's first, second, ... one is."""
        self._xy, self._frame_idx = xy[self.order], frame_idx[self.order]
        self._templates = xy.new_zeros(0, network.sizes.features)
        self._last: WindowState | None = None

    @property
    def num_known(self) -> int:
        """How many points, in the network's order, the windows so far have reached."""
        return len(self._templates)

    def reaches(self, start: int) -> bool:
        """Whether the window that begins at ``start`` has any point to find."""
        return bool((self._frame_idx < start + self.plan.length).any())

    def run(self, start: int, pyramid: Sequence[Tensor], slots: Tensor) -> WindowState:
        """Find the points that the window beginning at frame ``start`` reaches, the first ``num_known`` in the network's order.

        Args:
            start: ``plan.step`` after that of the call before.
            pyramid: as the network encodes it.
            slots: (s,) int64, the window's frames in ``pyramid``; fewer than ``plan.length`` only at the end.
        """
        count, length, known = len(slots), self.plan.length, self.num_known
        padded = torch.cat([slots, slots[-1:].expand(length - count)])
        own, reached = self._frame_idx, int((self._frame_idx < start + length).sum())
        new = slice(known, reached)
        fresh = self._network.features_at(list(pyramid), padded[own[new] - start], self._xy[new])
        self._templates = torch.cat([self._templates, fresh])
        frames = torch.arange(start, start + length, device=slots.device)
        # SAM-PT's program lengthens a clip of less than a window before it tracks; a last window is filled up later.
        begins = (frames >= own[:reached, None]) & (frames < (start + count if start else length))
        begins[:known, : length - self.plan.step] = False
        guess = self._first_guess(reached)
        found = self._network.refine(list(pyramid), padded, self._templates, begins.float(), guess, self._iterations)
        self._last = found
        return WindowState(*(each[:, :count] for each in found))

    def _first_guess(self, count: int) -> WindowState:
        """Of the first ``count`` points: what the last window found, moved on, or where they are given."""
        length = self.plan.length
        guess = WindowState(self._xy[:count, None].repeat(1, length, 1), self._xy.new_full((count, length), _SEEN))
        if self._last is not None:
            for fresh, old in zip(guess, self._last, strict=True):
                tail = old[:, -1:].expand(-1, self.plan.step, *old.shape[2:])
                fresh[: len(old)] = torch.cat([old[:, self.plan.step :], tail], 1)
        return guess


def whole_clip(
    network: CoTrackerV1Network,
    pyramid: Sequence[Tensor],
    xy: Tensor,
    frame_idx: Tensor,
    iterations: int = 6,
    order: Tensor | None = None,
) -> WindowState:
    """The official network's own call, for clips whose features are at hand: one pass forward, nothing resized.

    Args:
        network: the network.
        pyramid: of all t frames, in order, as the network encodes them; t is more than half a window.
        xy: (n, 2) query points in pixels of the images.
        frame_idx: (n,) int64.
        iterations: of the network in each window.
        order: see :class:`WindowedPass`.

    Returns:
        For all t frames, exactly 0 on those of the windows before the first that has a point's prompt frame; locations are in
        pixels of the features.
    """
    num_frames = len(pyramid[0])
    plan = WindowPlan.online(network.sizes.window)
    passed = WindowedPass(network, plan, xy / STRIDE, frame_idx, iterations, order)
    whole = WindowState(xy.new_zeros(len(xy), num_frames, 2), xy.new_zeros(len(xy), num_frames))
    slots = torch.arange(num_frames, device=xy.device)
    for start in window_starts(plan, num_frames):
        if passed.reaches(start):
            stop = min(num_frames, start + plan.length)
            found = passed.run(start, pyramid, slots[start:stop])
            for old, new in zip(whole, found, strict=True):
                old[passed.order[: passed.num_known], start:stop] = new
    return whole
