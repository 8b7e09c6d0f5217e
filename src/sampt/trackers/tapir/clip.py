"""A clip of any length through a network that is not causal, in one pass over the frames and with bounded memory.

Each refinement looks some frames ahead, so its results are late by as many: 24 for each of the four. A refinement starts with
what the one before has given, and a frame's features are kept until the last one has used them. Nothing is cut: the results
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

_MAX_CACHED = 16
"""Prompt frames whose features are kept until the pass reaches them, 3.25 MiB each; those of others are computed again."""


class ClipFeatures:
    """The features of a clip's frames.

    Args:
        network: that makes them.
        video: the clip.
        prepare_image: makes a network's image, (1, 3, h, w), of an (h, w, 3) uint8 RGB frame.
        cache: features of frames by :func:`sampt.trackers.frame_key.frame_key`, shared with other clips.
    """

    def __init__(
        self,
        network: TapirNetwork,
        video: FrameSource,
        prepare_image: Callable[[UInt8Array], Tensor],
        cache: LruCache[bytes, Levels] | None = None,
    ) -> None:
        self._network, self._video, self._prepare_image = network, video, prepare_image
        self._cache: LruCache[bytes, Levels] = LruCache(0) if cache is None else cache
        self._cached: dict[int, Levels] = {}

    def templates(self, xy: Tensor, frame_idx: Tensor) -> Tensor:
        """What (n, 2) points look like, in the network's image, on the frames (n,) that they lie on; (n, channels)."""
        templates = xy.new_zeros(len(xy), self._network.sizes.table - 4)
        for frame in sorted(set(frame_idx.tolist())):
            levels = self._encode(list(self._video.read(frame, frame + 1)))[0]
            if len(self._cached) < _MAX_CACHED:
                self._cached[frame] = levels
            here = frame_idx == frame
            templates[here] = self._network.sample(tuple(level[0] for level in levels), xy[here])
        return templates

    def in_order(self, limit: int) -> Iterator[tuple[int, Levels]]:
        """First frame and features of chunks of at most ``limit`` frames, from the first frame to the last."""
        for start in range(0, self._video.num_frames, limit):
            frames = range(start, min(start + limit, self._video.num_frames))
            cached = {frame: self._cached.pop(frame) for frame in frames if frame in self._cached}
            missing = [frame for frame in frames if frame not in cached]
            cached |= zip(missing, self._encode(self._read(frames, cached)), strict=True)
            yield start, tuple(torch.cat(parts) for parts in zip(*(cached[frame] for frame in frames), strict=True))

    def _read(self, frames: range, without: Container[int]) -> Iterator[UInt8Array]:
        at_once = frames_at_once(self._video.size_hw)
        for first in frames[::at_once]:
            read = self._video.read(first, min(first + at_once, frames.stop))
            yield from (frame for i, frame in enumerate(read, first) if i not in without)

    def _encode(self, frames: Iterable[UInt8Array]) -> list[Levels]:
        """The features of each frame, (1, ...); those that are not in the store are made together."""
        found: dict[bytes, Levels] = {}
        images: dict[bytes, Tensor] = {}
        keys = []
        for frame in frames:
            keys.append(key := frame_key(frame))
            if key in found or key in images:
                continue
            known = self._cache.get(key)
            if known is None:
                images[key] = self._prepare_image(frame)
            else:
                found[key] = known
        if images:
            made = self._network.encode(torch.cat(list(images.values())))
            for i, key in enumerate(images):
                levels = tuple(level[i : i + 1].clone() for level in made)  # a view would keep all of them
                found[key] = self._cache.put(key, levels, sum(level.nbytes for level in levels))
        return [found[key] for key in keys]


class ClipPass:
    """The table of n points, chunk after chunk.

    Args:
        network: the network.
        templates: (n, channels) of :meth:`ClipFeatures.templates`.
        xy: (n, 2) query points in the network's image.
        frame_idx: (n,) the frames that they lie on.
    """

    def __init__(self, network: TapirNetwork, templates: Tensor, xy: Tensor, frame_idx: Tensor) -> None:
        self._network, self._templates, self._xy, self._frame_idx = network, templates, xy, frame_idx
        self._states = network.start(len(templates))
        self._reached = [0] * len(self._states)
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
        table = self._network.match(levels, self._templates)
        given = ((self._frame_idx >= start) & (self._frame_idx < start + table.shape[1])).nonzero()[:, 0]
        table[given, self._frame_idx[given] - start, :2] = self._xy[given]
        first = self._reached[-1]
        for i, memory in enumerate(self._states):
            if not table.shape[1]:
                break
            begin = self._reached[i] - first
            here = islice(self._window, begin, begin + table.shape[1])
            self._reached[i] += table.shape[1]
            seen = tuple(torch.stack(level) for level in zip(*here, strict=True))
            table, self._states[i] = self._network.refine(table, seen, memory, ends=ends)
        for _ in range(self._reached[-1] - first):
            self._window.popleft()
        return table
