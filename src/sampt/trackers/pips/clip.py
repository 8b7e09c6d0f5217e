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

__all__ = ["ClipFeatures", "ClipTracks", "FeatureStore", "to_numpy"]

_KEPT_BYTES = 1 << 30
"""Of features, as long as that is enough for what a method needs at a time; so both directions share those of shorter clips."""
_KEPT_FRAMES = 48
"""At least so many, if bytes allow: two windows of re-initialisation share what they have in common."""
_PIXELS_AT_ONCE = 1 << 20
"""Frames of together so many pixels are encoded in one go."""


class FeatureStore:
    """Room for the pyramids of frames of one size, known by content; those not asked for for longest make way.

    Args:
        kept_bytes: of what is kept beyond what is asked for at a time.
    """

    def __init__(self, kept_bytes: int = _KEPT_BYTES) -> None:
        self._kept_bytes = kept_bytes
        self._size_hw: SizeHW | None = None
        self._at_least = self._wanted = self._room = 0
        self._rows: OrderedDict[bytes, int] = OrderedDict()
        self.pyramid: Pyramid = []
        """Of all frames that are kept; valid until some are added."""

    def __contains__(self, key: object) -> bool:
        return key in self._rows

    def reserve(self, size_hw: SizeHW, at_least: int, num_frames: int) -> None:
        """See to it that ``at_least`` pictures of a size can be asked for together, and ``num_frames`` kept if bytes allow."""
        grown = max(self._wanted, at_least, num_frames, _KEPT_FRAMES)
        if size_hw != self._size_hw or at_least > self._at_least or grown > self._wanted:
            self._rows.clear()
            self.pyramid = []
        self._size_hw, self._at_least, self._wanted = size_hw, max(at_least, self._at_least), grown

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
            self._room = max(self._at_least, min(self._wanted, self._kept_bytes // each))
            self.pyramid = [level.new_empty(self._room, *level.shape[1:]) for level in encoded]
        for key in keys:
            is_full = len(self._rows) == self._room
            self._rows[key] = self._rows.popitem(last=False)[1] if is_full else len(self._rows)
        place = torch.tensor([self._rows[key] for key in keys], device=self.pyramid[0].device)
        for level, new in zip(self.pyramid, encoded, strict=True):
            level[place] = new


class ClipFeatures:
    """The pyramids of a clip's frames by their index: made when first asked for, shared with other clips by ``store``.

    Args:
        video: the clip.
        encode: pyramids of (b, h, w, 3) uint8 RGB frames.
        size_hw: of the pictures that are encoded.
        store: where pyramids are kept, always by the same ``encode``.
        at_least: so many frames can always be asked for together.
    """

    def __init__(
        self,
        video: FrameSource,
        encode: Callable[[UInt8Array], Pyramid],
        size_hw: SizeHW,
        store: FeatureStore,
        *,
        at_least: int,
    ) -> None:
        self._video, self._encode, self._store = video, encode, store
        store.reserve(size_hw, at_least, video.num_frames)
        self._batch = max(1, _PIXELS_AT_ONCE // (size_hw[0] * size_hw[1]))
        self._keys: dict[int, bytes] = {}
        self._chunk: tuple[int, UInt8Array] | None = None

    @property
    def pyramid(self) -> Pyramid:
        """Of all frames that are kept; valid until frames are asked for again."""
        return self._store.pyramid

    def rows_of(self, frames: Sequence[int]) -> dict[int, int]:
        """Where in ``pyramid`` each of at most ``at_least`` different frames is; they are read in the order given."""
        known = {frame: key for frame in frames if (key := self._keys.get(frame)) in self._store and key is not None}
        self._store.touch(known.values())
        for indices, pictures in self._batches([frame for frame in frames if frame not in known]):
            keys = [frame_key(picture) for picture in pictures]
            self._keys.update(zip(indices, keys, strict=True))
            self._store.touch(keys)
            new = {key: i for i, key in enumerate(keys) if key not in self._store}
            if new:
                self._store.add(list(new), self._encode(pictures[list(new.values())]))
        return {frame: self._store.row(self._keys[frame]) for frame in frames}

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
    """Results in the making, on the pictures that the network sees; points start where they were given, on all frames.

    Attributes:
        query_xy: (n, 2) the points.
        xy: (t, n, 2) float32.
        confidence: (t, n) float32 in [0, 1].
    """

    def __init__(self, video: FrameSource, points: Points, picture_hw: tuple[int, int]) -> None:
        self._points, self._frame_hw, self._picture_hw = points, video.size_hw, picture_hw
        shape = video.num_frames, len(points)
        self.query_xy = points.xy if picture_hw == video.size_hw else rescale_xy(points.xy, video.size_hw, picture_hw)
        self.xy: FloatArray = np.broadcast_to(self.query_xy, (*shape, 2)).astype(np.float32)
        self.confidence: FloatArray = np.ones(shape, np.float32)

    def finished(self, limit: float) -> Tracks:
        """The tracks, on the clip's frames: visible with a confidence above ``limit``, inside the frame, and where given."""
        same_size = self._picture_hw == self._frame_hw
        xy = self.xy if same_size else rescale_xy(self.xy, self._picture_hw, self._frame_hw)
        visible = (self.confidence > limit) & inside_frame(xy, self._frame_hw)
        own = (self._points.frame_idx, np.arange(len(self._points)))
        xy[own], visible[own], self.confidence[own] = self._points.xy, True, 1
        return Tracks(self._points, xy, visible, self.confidence)


def to_numpy(values: Tensor) -> FloatArray:
    """On the CPU, as float32."""
    return np.asarray(values.float().cpu().numpy())
