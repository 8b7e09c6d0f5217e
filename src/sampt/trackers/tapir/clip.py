"""A clip of any length through a network that is not causal, in one pass over the frames and with bounded memory.

Each refinement looks some frames ahead, so its answers are late by as many: 24 for each of the four. A refinement starts with
what the one before has answered, and a frame's features are kept until the last one has used them. Nothing is cut: the answers
are those of the whole clip at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Container, Iterable, Iterator
from itertools import islice

import torch
from torch import Tensor

from sampt.backends.lru_cache import LruCache
from sampt.trackers.base import FrameSource, frames_at_once
from sampt.trackers.frame_key import frame_key
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
        store: features of frames by :func:`sampt.trackers.frame_key.frame_key`, shared with other clips.
    """

    def __init__(
        self,
        network: TapirNetwork,
        video: FrameSource,
        picture_of: Callable[[UInt8Array], Tensor],
        store: LruCache[bytes, Levels] | None = None,
    ) -> None:
        self._network, self._video, self._picture_of = network, video, picture_of
        self._store: LruCache[bytes, Levels] = LruCache(0) if store is None else store
        self._kept: dict[int, Levels] = {}

    def looks(self, xy: Tensor, frame_idx: Tensor) -> Tensor:
        """What (n, 2) points look like, places in the network's picture, on the frames (n,) that they lie on; (n, channels)."""
        looks = xy.new_zeros(len(xy), self._network.sizes.table - 4)
        for frame in sorted(set(frame_idx.tolist())):
            levels = self._encoded(list(self._video.read(frame, frame + 1)))[0]
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
            missing = [frame for frame in frames if frame not in kept]
            kept |= zip(missing, self._encoded(self._read(frames, kept)), strict=True)
            yield start, tuple(torch.cat(parts) for parts in zip(*(kept[frame] for frame in frames), strict=True))

    def _read(self, frames: range, without: Container[int]) -> Iterator[UInt8Array]:
        at_once = frames_at_once(self._video.size_hw)
        for first in frames[::at_once]:
            read = self._video.read(first, min(first + at_once, frames.stop))
            yield from (frame for i, frame in enumerate(read, first) if i not in without)

    def _encoded(self, frames: Iterable[UInt8Array]) -> list[Levels]:
        """The features of each frame, (1, ...); those that are not in the store are made together."""
        found: dict[bytes, Levels] = {}
        pictures: dict[bytes, Tensor] = {}
        keys = []
        for frame in frames:
            keys.append(key := frame_key(frame))
            if key in found or key in pictures:
                continue
            known = self._store.get(key)
            if known is None:
                pictures[key] = self._picture_of(frame)
            else:
                found[key] = known
        if pictures:
            made = self._network.encode(torch.cat(list(pictures.values())))
            for i, key in enumerate(pictures):
                levels = tuple(level[i : i + 1].clone() for level in made)  # a view would keep all of them
                found[key] = self._store.put(key, levels, sum(level.nbytes for level in levels))
        return [found[key] for key in keys]


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
