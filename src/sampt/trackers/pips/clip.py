"""What PIPS and PIPS++ do with a clip alike: each frame is encoded once, within a bound, and results are put down."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from sampt.geometry import inside_frame, rescale_xy
from sampt.trackers.base import FrameSource, frames_at_once
from sampt.trackers.pips.encoder import Pyramid
from sampt.types import FloatArray, HiddenBy, Points, Tracks, UInt8Array

__all__ = ["ClipFeatures", "ClipTracks", "to_numpy"]

_KEPT_BYTES = 1 << 30
"""Of features, as long as that is enough for what a method needs at a time; so both directions share those of shorter clips."""
_PIXELS_AT_ONCE = 1 << 20
"""Frames of together so many pixels are encoded in one go."""


class ClipFeatures:
    """The pyramids of a clip's frames: made when first asked for, kept while there is room.

    Args:
        video: the clip.
        encode: pyramids of (b, h, w, 3) uint8 RGB frames.
        size_hw: of the pictures that are encoded.
        at_least: so many frames can always be asked for together.
        kept_bytes: more are kept within so many bytes.
    """

    def __init__(
        self,
        video: FrameSource,
        encode: Callable[[UInt8Array], Pyramid],
        size_hw: tuple[int, int],
        *,
        at_least: int,
        kept_bytes: int = _KEPT_BYTES,
    ) -> None:
        self._video, self._encode = video, encode
        self._at_least, self._kept_bytes = at_least, kept_bytes
        self._batch = max(1, _PIXELS_AT_ONCE // (size_hw[0] * size_hw[1]))
        self._rows: OrderedDict[int, int] = OrderedDict()
        """Frame -> its place in the pyramid; the one that was asked for longest ago comes first."""
        self._room = 0
        self._chunk: tuple[int, UInt8Array] | None = None
        self.pyramid: Pyramid = []
        """Of all frames that are kept; valid until frames are asked for again."""

    def rows_of(self, frames: Sequence[int]) -> dict[int, int]:
        """Where in ``pyramid`` each of at most ``at_least`` different frames is; they are read in the order given."""
        for frame in frames:
            if frame in self._rows:
                self._rows.move_to_end(frame)
        missing = [frame for frame in frames if frame not in self._rows]
        for indices, pictures in self._batches(missing):
            self._keep(indices, self._encode(pictures))
        return {frame: self._rows[frame] for frame in frames}

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

    def _keep(self, indices: Sequence[int], encoded: Pyramid) -> None:
        if not self.pyramid:
            each = sum(level[0].numel() * level.element_size() for level in encoded)
            self._room = min(self._video.num_frames, max(self._at_least, self._kept_bytes // each))
            self.pyramid = [level.new_empty(self._room, *level.shape[1:]) for level in encoded]
        rows = []
        for frame in indices:
            row = len(self._rows) if len(self._rows) < self._room else self._rows.popitem(last=False)[1]
            self._rows[frame] = row
            rows.append(row)
        place = torch.tensor(rows, device=self.pyramid[0].device)
        for level, new in zip(self.pyramid, encoded, strict=True):
            level[place] = new


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
        return Tracks(self._points, xy, visible, self.confidence, np.where(visible, HiddenBy.NONE, HiddenBy.TRACKER))


def to_numpy(values: Tensor) -> FloatArray:
    """On the CPU, as float32."""
    return np.asarray(values.float().cpu().numpy())
