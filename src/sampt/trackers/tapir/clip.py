"""A clip of any length through a network that is not causal, in one pass over the frames and with bounded memory.

Each refinement looks some frames ahead, so its answers are late by as many: 24 for each of the four. A refinement starts with
what the one before has answered, and a frame's features are kept until the last one has used them. Nothing is cut: the answers
are those of the whole clip at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterator
from itertools import islice

import torch
from torch import Tensor

from sampt.trackers.base import FrameSource, frames_at_once
from sampt.trackers.tapir.network import Levels, TapirNetwork
from sampt.types import UInt8Array

__all__ = ["ClipFeatures", "ClipPass"]

_MOST_KEPT = 16
"""Query frames whose features are kept until the pass reaches them, 3.25 MiB each; those of others are computed again."""


class ClipFeatures:
    """The features of a clip's frames.

    Args:
        network: that makes them.
        video: the clip.
        picture_of: makes a network's picture, (1, 3, h, w), of an (h, w, 3) uint8 RGB frame.
    """

    def __init__(self, network: TapirNetwork, video: FrameSource, picture_of: Callable[[UInt8Array], Tensor]) -> None:
        self._network, self._video, self._picture_of = network, video, picture_of
        self._kept: dict[int, Levels] = {}

    def looks(self, xy: Tensor, frame_idx: Tensor) -> Tensor:
        """What (n, 2) points look like, places in the network's picture, on the frames (n,) that they lie on; (n, channels)."""
        looks = xy.new_zeros(len(xy), self._network.sizes.table - 4)
        for frame in sorted(set(frame_idx.tolist())):
            levels = self._network.encode(self._picture_of(self._video.read(frame, frame + 1)[0]))
            if len(self._kept) < _MOST_KEPT:
                self._kept[frame] = levels
            here = frame_idx == frame
            looks[here] = self._network.sample(tuple(level[0] for level in levels), xy[here])
        return looks

    def in_order(self, most: int) -> Iterator[tuple[int, Levels]]:
        """First frame and features of chunks of at most ``most`` frames, from the first frame to the last."""
        for start in range(0, self._video.num_frames, most):
            frames = range(start, min(start + most, self._video.num_frames))
            kept = {frame: self._kept.pop(frame) for frame in frames if frame in self._kept}
            pictures = list(self._pictures(frames, kept))
            if pictures:
                made = self._network.encode(torch.cat(pictures))
                missing = (frame for frame in frames if frame not in kept)
                kept |= zip(missing, zip(*(level[:, None] for level in made), strict=True), strict=True)
            yield start, tuple(torch.cat(parts) for parts in zip(*(kept[frame] for frame in frames), strict=True))

    def _pictures(self, frames: range, without: Container[int]) -> Iterator[Tensor]:
        at_once = frames_at_once(self._video.size_hw)
        for first in frames[::at_once]:
            read = self._video.read(first, min(first + at_once, frames.stop))
            yield from (self._picture_of(frame) for i, frame in enumerate(read, first) if i not in without)


class ClipPass:
    """The table of n points, chunk after chunk.

    Args:
        network: the network.
        looks: (n, channels) of :meth:`ClipFeatures.looks`.
        xy: (n, 2) query points in the network's picture.
        frame_idx: (n,) the frames that they lie on.
    """

    def __init__(self, network: TapirNetwork, looks: Tensor, xy: Tensor, frame_idx: Tensor) -> None:
        self._network, self._looks, self._xy, self._frame_idx = network, looks, xy, frame_idx
        self._memories = network.start(len(looks))
        self._reached = [0] * len(self._memories)
        """The frame with which each refinement goes on."""
        self._window: deque[Levels] = deque()
        """Features of the frames from that of the last refinement on."""

    def push(self, start: int, levels: Levels, *, ends: bool) -> Tensor:
        """Take the next frames.

        Args:
            start: the first of them.
            levels: their features.
            ends: whether the clip ends with them.

        Returns:
            The table, (n, s, columns), of the s frames that have become final, in order.
        """
        self._window += zip(*levels, strict=True)
        table = self._network.match(levels, self._looks)
        given = ((self._frame_idx >= start) & (self._frame_idx < start + table.shape[1])).nonzero()[:, 0]
        table[given, self._frame_idx[given] - start, :2] = self._xy[given]
        first = self._reached[-1]
        for i, memory in enumerate(self._memories):
            if not table.shape[1]:
                break
            begin = self._reached[i] - first
            here = islice(self._window, begin, begin + table.shape[1])
            self._reached[i] += table.shape[1]
            seen = tuple(torch.stack(level) for level in zip(*here, strict=True))
            table, self._memories[i] = self._network.refine(table, seen, memory, ends=ends)
        for _ in range(self._reached[-1] - first):
            self._window.popleft()
        return table
