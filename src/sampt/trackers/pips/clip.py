"""What PIPS and PIPS++ do with a clip alike: each frame is encoded once, within a bound, and results are put down."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sampt.geometry import SizeHW, inside_frame, rescale_xy
from sampt.trackers.base import FrameSource, frames_at_once
from sampt.trackers.frame_key import frame_key
from sampt.trackers.pips.encoder import Pyramid
from sampt.types import FloatArray, Points, Tracks, UInt8Array

__all__ = ["ClipFeatures", "ClipTracks", "FeatureCache", "to_numpy"]

_CACHE_BYTES = 1 << 30
"""Of features, as long as that is enough for what a method needs at a time; so both directions share those of shorter clips."""
_CACHED_FRAMES = 48
"""At least so many, if bytes allow: two windows of re-initialisation share what they have in common."""
_PIXELS_AT_ONCE = 1 << 20
"""Frames of together so many pixels are encoded in one go."""


class FeatureCache:
    """Room for the pyramids of frames of one size, known by content; those not requested for longest make way.

    Args:
        cache_bytes: of what is kept beyond what is requested at a time.
    """

    def __init__(self, cache_bytes: int = _CACHE_BYTES) -> None:
        self._cache_bytes = cache_bytes
        self._size_hw: SizeHW | None = None
        self._min_frames = self._wanted = self._room = 0
        self._rows: OrderedDict[bytes, int] = OrderedDict()
        self.pyramid: Pyramid = []
        """Of all frames that are kept; valid until some are added."""

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def reserve(self, size_hw: SizeHW, min_frames: int, num_frames: int) -> None:
        """See to it that ``min_frames`` images of a size can be requested together, and ``num_frames`` kept if bytes allow."""
        grown = max(self._wanted, min_frames, num_frames, _CACHED_FRAMES)
        if size_hw != self._size_hw or min_frames > self._min_frames or grown > self._wanted:
            self._rows.clear()
            self.pyramid = []
        self._size_hw, self._min_frames, self._wanted = size_hw, max(min_frames, self._min_frames), grown

    def touch(self, keys: Iterable[bytes]) -> None:
        """Those of ``keys`` that are there will be the last to make way."""
        for key in keys:
            if key in self._rows:
                self._rows.move_to_end(key)

    def row(self, key: bytes) -> int:
        """Where in ``pyramid`` a frame that is there lies."""
        return self._rows[key]

    def add(self, keys: Sequence[bytes], encoded: Pyramid) -> None:
        """Keep the pyramids of frames that are not there."""
        if not self.pyramid:
            each = sum(level[0].numel() * level.element_size() for level in encoded)
            self._room = max(self._min_frames, min(self._wanted, self._cache_bytes // each))
            self.pyramid = [level.new_empty(self._room, *level.shape[1:]) for level in encoded]
        for key in keys:
            is_full = len(self._rows) == self._room
            self._rows[key] = self._rows.popitem(last=False)[1] if is_full else len(self._rows)
        location = torch.tensor([self._rows[key] for key in keys], device=self.pyramid[0].device)
        for level, new in zip(self.pyramid, encoded, strict=True):
            level[location] = new


class ClipFeatures:
    """The pyramids of a clip's frames by their index: made when first requested, shared with other clips by ``cache``.

    Args:
        video: the clip.
        encode: pyramids of (b, h, w, 3) uint8 RGB frames.
        size_hw: of the images that are encoded.
        cache: where pyramids are kept, always by the same ``encode``.
        min_frames: so many frames can always be requested together.
    """

    def __init__(
        self,
        video: FrameSource,
        encode: Callable[[UInt8Array], Pyramid],
        size_hw: SizeHW,
        cache: FeatureCache,
        *,
        min_frames: int,
    ) -> None:
        self._video, self._encode, self._cache = video, encode, cache
        cache.reserve(size_hw, min_frames, video.num_frames)
        self._batch = max(1, _PIXELS_AT_ONCE // (size_hw[0] * size_hw[1]))
        self._keys: dict[int, bytes] = {}
        self._chunk: tuple[int, UInt8Array] | None = None

    @property
    def pyramid(self) -> Pyramid:
        """Of all frames that are kept; valid until frames are requested again."""
        return self._cache.pyramid

    def find_rows(self, frames: Sequence[int]) -> dict[int, int]:
        """Where in ``pyramid`` each of at most ``min_frames`` different frames is; they are read in the order given."""
        known = {frame: key for frame in frames if (key := self._keys.get(frame)) in self._cache and key is not None}
        self._cache.touch(known.values())
        for indices, images in self._batches([frame for frame in frames if frame not in known]):
            keys = [frame_key(image) for image in images]
            self._keys.update(zip(indices, keys, strict=True))
            self._cache.touch(keys)
            new = {key: i for i, key in enumerate(keys) if key not in self._cache}
            if new:
                self._cache.add(list(new), self._encode(images[list(new.values())]))
        return {frame: self._cache.row(self._keys[frame]) for frame in frames}

    def _batches(self, missing: Sequence[int]) -> Iterator[tuple[list[int], UInt8Array]]:
        """Frames that are read together, as many as are encoded together."""
        step = frames_at_once(self._video.size_hw)
        at = 0
        while at < len(missing):
            number = missing[at] // step
            batch = [frame for frame in missing[at : at + self._batch] if frame // step == number]
            frames = self._read(number, step)
            yield batch, np.array(frames[[frame - number * step for frame in batch]], order="C")
            at += len(batch)

    def _read(self, number: int, step: int) -> UInt8Array:
        """The frames of a chunk; the last chunk is kept."""
        if self._chunk is None or self._chunk[0] != number:
            self._chunk = None  # first, so that there are never two
            stop = min((number + 1) * step, self._video.num_frames)
            self._chunk = number, self._video.read(number * step, stop)
        return self._chunk[1]


class ClipTracks:
    """Results in the making, on the images that the network sees; points start where they were given, on all frames.

    Attributes:
        query_xy: (n, 2) the points.
        xy: (t, n, 2) float32.
        confidence: (t, n) float32 in [0, 1].
    """

    def __init__(self, video: FrameSource, points: Points, image_hw: tuple[int, int]) -> None:
        self._points, self._frame_hw, self._image_hw = points, video.size_hw, image_hw
        shape = video.num_frames, len(points)
        self.query_xy = points.xy if image_hw == video.size_hw else rescale_xy(points.xy, video.size_hw, image_hw)
        self.xy: FloatArray = np.broadcast_to(self.query_xy, (*shape, 2)).astype(np.float32)
        self.confidence: FloatArray = np.ones(shape, np.float32)

    def finished(self, limit: float) -> Tracks:
        """The tracks, on the clip's frames: visible with a confidence above ``limit``, inside the frame, and where given."""
        same_size = self._image_hw == self._frame_hw
        xy = self.xy if same_size else rescale_xy(self.xy, self._image_hw, self._frame_hw)
        visible = (self.confidence > limit) & inside_frame(xy, self._frame_hw)
        own = (self._points.frame_idx, np.arange(len(self._points)))
        xy[own], visible[own], self.confidence[own] = self._points.xy, True, 1
        return Tracks(self._points, xy, visible, self.confidence)


def to_numpy(values: Tensor) -> FloatArray:
    """On the CPU, as float32."""
    return np.asarray(values.float().cpu().numpy())
