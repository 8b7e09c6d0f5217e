"""Windows over frames: the state that carries points from one to the next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sampt.trackers.cotracker.network import STRIDE, CoTrackerNetwork, Estimate

__all__ = ["SUPPORT_GRIDS", "SupportGrid", "WindowPlan", "WindowedPass", "whole_clip", "window_starts"]

_MARGIN = 64
"""A grid of support points leaves this part of the image's width free on all sides."""


@dataclass(frozen=True)
class WindowPlan:
    """How frames are cut into windows.

    Attributes:
        length: frames of a window.
        step: between the starts of two windows, less than ``length``.
        is_padded: a short window is filled up with its last frame, as the online network wants it; else it stays short.
    """

    length: int
    step: int
    is_padded: bool

    @classmethod
    def online(cls, window: int) -> WindowPlan:
        """Of the online network: windows as in training that overlap by half."""
        return cls(window, window // 2, is_padded=True)

    @classmethod
    def offline(cls, longest: int) -> WindowPlan:
        """Of the offline network: the clip itself when it has at most ``longest`` frames."""
        return cls(longest, max(1, longest // 2), is_padded=False)


def window_starts(plan: WindowPlan, num_frames: int) -> range:
    """Where the windows over a clip begin: the last one is the first that reaches the end."""
    count = max(0, -(-(num_frames - plan.length) // plan.step)) + 1
    return range(0, count * plan.step, plan.step)


@dataclass(frozen=True)
class SupportGrid:
    """Points spread over whole frames that are tracked beside the query points, which learn from them how the frame moves.

    Attributes:
        side: points in a row and in a column.
        every: there is a grid on each frame whose number this divides, which takes part in the windows that have its frame;
            None: there is one, on the earliest frame of the first window, and it takes part in all.
    """

    side: int
    every: int | None

    def locations(self, model_hw: tuple[int, int]) -> Tensor:
        """(side**2, 2) in pixels of the finest features of an image of this size."""
        height, width = model_hw
        margin = width / _MARGIN
        x = torch.linspace(margin, width - margin, self.side)
        y = torch.linspace(margin, height - margin, self.side)
        return torch.cartesian_prod(y, x).flip(1) / STRIDE


SUPPORT_GRIDS = {"official": SupportGrid(6, None), "paper": SupportGrid(2, 12), "none": None}
"""CoTracker3's own offline predictor has one grid on the first frame, SAM-PT's program one on each 12th."""


class WindowedPass:
    """Points on their way through frames in one direction; its memory is that of one window.

    A window begins with what the last one found on the frames that both have, the newest of which stands for those that are
    new, and with the query locations of points that it is the first to reach. Points that it does not reach yet take part, with
    nothing to compare: so does the official program, whose results that changes a little.

    Args:
        network: the network.
        plan: the windows.
        iterations: of the network in each window.
        support: support points, which nothing else knows of; or None.
        frames: (number of the first frame, 1 or -1): what this pass counts as frames 0, 1, ... are those of the clip from this
            number on, forward or backward.
    """

    def __init__(
        self,
        network: CoTrackerNetwork,
        plan: WindowPlan,
        iterations: int,
        support: SupportGrid | None = None,
        frames: tuple[int, int] = (0, 1),
    ) -> None:
        self.plan, self.device = plan, network.time_emb.device
        self._network, self._iterations = network, iterations
        self._support, self._frames = support, frames
        self._supported = 0
        """Frames before this one have the grids that they are to have."""
        sizes, device = network.sizes, self.device
        self._xy = torch.zeros(0, 2, device=device)
        self._frame_idx = torch.zeros(0, dtype=torch.int64, device=device)
        self._templates = [torch.zeros(0, sizes.side**2, sizes.features, device=device) for _ in range(sizes.levels)]
        self._last: Estimate | None = None
        self._reached = torch.zeros(0, dtype=torch.bool, device=device)
        """Which points the last window found."""
        self._is_query = torch.zeros(0, dtype=torch.bool, device=device)

    def add(self, xy: Tensor, frame_idx: Tensor) -> None:
        """Points (k, 2), in pixels of the finest features, that lie on frames (k,) which no window has left behind."""
        self._append(xy, frame_idx, is_query=True)

    def reaches(self, start: int) -> bool:
        """Whether the window that begins at ``start`` has any point to find."""
        return bool((self._is_query & (self._frame_idx < start + self.plan.length)).any())

    def run(self, start: int, pyramid: Sequence[Tensor], slots: Tensor) -> Estimate:
        """Find all points that were added on the window that begins at frame ``start``.

        Args:
            start: ``plan.step`` after that of the call before.
            pyramid: as the network encodes it.
            slots: (s,) int64, the window's frames in ``pyramid``; fewer than ``plan.length`` only at the end.
        """
        count = len(slots)
        if self.plan.is_padded and count < self.plan.length:
            slots = torch.cat([slots, slots[-1:].expand(self.plan.length - count)])
        self._change_support(start, count)
        is_here = (self._frame_idx >= start) & (self._frame_idx < start + count) & ~self._reached
        self._gather(pyramid, slots, is_here, start)
        found = self._network.refine(pyramid, slots, self._templates, self._first_guess(len(slots)), self._iterations)
        self._last = Estimate(*(each[:, :count] for each in found))
        self._reached = self._reached | is_here
        return self._last if self._is_query.all() else Estimate(*(each[self._is_query] for each in self._last))

    def _append(self, xy: Tensor, frame_idx: Tensor, *, is_query: bool) -> None:
        self._xy = torch.cat([self._xy, xy])
        self._frame_idx = torch.cat([self._frame_idx, frame_idx])
        self._templates = [torch.cat([t, t.new_zeros(len(xy), *t.shape[1:])]) for t in self._templates]
        self._reached = torch.cat([self._reached, self._reached.new_zeros(len(xy))])
        self._is_query = torch.cat([self._is_query, self._is_query.new_full((len(xy),), is_query)])

    def _change_support(self, start: int, count: int) -> None:
        """Let the support points of a window of ``count`` frames from ``start`` join, and those that only others had go.

        Grids join with the first window that has them and not before, for a stream knows no later frames; and they go, for
        their number would grow with the frames.
        """
        support, (first, step) = self._support, self._frames
        if support is None:
            return
        window = range(start, start + count)
        if support.every is None:
            joining = [] if self._last is not None else [window[0] if step > 0 else window[-1]]
        else:
            self._keep(self._is_query | (self._frame_idx >= start))
            joining = [i for i in window if i >= self._supported and (first + i * step) % support.every == 0]
        self._supported = window.stop
        if not joining:
            return
        xy = support.locations(self._network.sizes.model_hw).to(self.device)
        for frame_idx in joining:
            self._append(xy, torch.full((len(xy),), frame_idx, device=self.device), is_query=False)

    def _keep(self, rows: Tensor) -> None:
        """Forget all points but those where ``rows`` (n,) says so."""
        if self._last is not None:
            self._last = Estimate(*(each[rows[: len(each)]] for each in self._last))
        self._xy, self._frame_idx = self._xy[rows], self._frame_idx[rows]
        self._templates = [template[rows] for template in self._templates]
        self._reached, self._is_query = self._reached[rows], self._is_query[rows]

    def _gather(self, pyramid: Sequence[Tensor], slots: Tensor, is_here: Tensor, start: int) -> None:
        rows = is_here.nonzero()[:, 0]
        if not len(rows):
            return
        own = slots[self._frame_idx[rows] - start]
        for template, found in zip(self._templates, self._network.gather_around(pyramid, own, self._xy[rows]), strict=True):
            template[rows] = found

    def _first_guess(self, count: int) -> Estimate:
        n = len(self._xy)
        nothing = self._xy.new_zeros(n, count)
        guess = Estimate(self._xy[:, None].expand(n, count, 2), nothing, nothing)
        if self._last is None:
            return guess
        return Estimate(*(self._carry(old, fresh) for old, fresh in zip(self._last, guess, strict=True)))

    def _carry(self, old: Tensor, fresh: Tensor) -> Tensor:
        """``fresh`` with what the last window found, moved on, in the rows of the points that it found."""
        known = old[:, self.plan.step :]
        tail = known[:, -1:].expand(-1, fresh.shape[1] - known.shape[1], *known.shape[2:])
        moved = torch.cat([known, tail], 1)
        out = fresh.clone()
        out[self._reached] = moved[self._reached[: len(moved)]]
        return out


def whole_clip(
    network: CoTrackerNetwork, plan: WindowPlan, images: Tensor, xy: Tensor, frame_idx: Tensor, iterations: int
) -> Estimate:
    """The official networks' own call, for clips whose features fit in memory: one pass forward, nothing resized.

    Args:
        network: the network.
        plan: its windows.
        images: (t, 3, h, w) RGB in [0, 255]; h and w are multiples of 4.
        xy: (n, 2) query points in pixels of the images.
        frame_idx: (n,) int64.
        iterations: of the network in each window.

    Returns:
        For all t frames, those before a prompt frame, too; locations are in pixels of the finest features.
    """
    levels = [network.encode(images[i : i + 1]) for i in range(len(images))]
    pyramid = [torch.cat(level) for level in zip(*levels, strict=True)]
    slots = torch.arange(len(images), device=images.device)
    passed = WindowedPass(network, plan, iterations)
    passed.add(xy / STRIDE, frame_idx)
    t, n = len(images), len(xy)
    whole = Estimate(*(xy.new_zeros(n, t, *tail) for tail in ((2,), (), ())))
    for start in window_starts(plan, t):
        stop = min(t, start + plan.length)
        for old, new in zip(whole, passed.run(start, pyramid, slots[start:stop]), strict=True):
            old[:, start:stop] = new
    return whole
