"""PIPS behind the interface of a tracker: windows of eight frames, linked where the point is seen best.

From the frame where a point is, a window of eight frames is looked at. The next window starts on the last of its frames on
which the point is surely visible. Points are at different frames, therefore; those within a window of each other go through
the network together, and each frame is encoded once for all of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from sampt.backends.table import TRACKERS
from sampt.backends.torch_networks import put_on_device, quicken
from sampt.trackers.base import FrameSource, TrackerInfo
from sampt.trackers.pips.checkpoint import load_official
from sampt.trackers.pips.clip import ClipFeatures, ClipTracks, FeatureCache, to_numpy
from sampt.trackers.pips.encoder import Pyramid
from sampt.trackers.pips.network import FULL, PipsNetwork, PipsSizes
from sampt.types import BoolArray, FloatArray, IntArray, Points, QueryMask, Tracks, UInt8Array

__all__ = ["PipsTracker", "load_network", "next_links"]

NAME = "pips"
_ITERATIONS = 6
"""As in the official program."""
_VISIBLE = 0.5
_SURE = np.float32(0.9)
"""A window starts where a point is visible with more than this ..."""
_LESS_SURE = np.float32(0.02)
"""... or this much less, as often as needed."""
_MIN_STRIDES = 16
"""On the coarsest level of fewer there are fewer than two locations, for which the official program divides by zero; so what is
done there is ours to choose: a side below this many strides is enlarged to it."""
_POINTS_AT_ONCE = 256


class PipsTracker:
    """PIPS with linked windows.

    Args:
        network: the network, in evaluation mode, on ``device``.
        device: where frames are sent.
        iterations: of the network's update.
    """

    def __init__(self, network: PipsNetwork, device: torch.device, *, iterations: int = _ITERATIONS) -> None:
        self._network, self._device, self._iterations = network, device, iterations
        self._cache = FeatureCache()

    @classmethod
    def load(cls, weights: Path | str | None, device: str, *, runtime: str = "auto", precision: str = "auto") -> PipsTracker:
        """See :func:`sampt.trackers.pips.create`; ``weights`` is a path, or None for random ones."""
        network = load_network(weights)
        quicken(network)
        return cls(network, put_on_device(network, network.hot, NAME, device, runtime=runtime, precision=precision))

    @property
    def info(self) -> TrackerInfo:
        return replace(TRACKERS[NAME].info, window=self._network.sizes.frames, device=str(self._device))

    @torch.inference_mode()
    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`."""
        min_side = _MIN_STRIDES * self._network.sizes.encoder.stride
        image_hw = max(video.size_hw[0], min_side), max(video.size_hw[1], min_side)

        def encode(frames: UInt8Array) -> Pyramid:
            images = torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2).float()
            if image_hw != video.size_hw:
                images = F.interpolate(images, image_hw, mode="bilinear", align_corners=False)
            return self._network.encode(images)

        tracks = ClipTracks(video, points, image_hw)
        # Points of one batch start less than a window apart.
        min_frames = 2 * self._network.sizes.frames - 1
        features = ClipFeatures(video, encode, image_hw, self._cache, min_frames=min_frames)
        for backward in (True, False):
            _Sweep(self, features, tracks, points.frame_idx, backward=backward).run()
        return tracks.finished(_VISIBLE)

    @property
    def network(self) -> PipsNetwork:
        """The network."""
        return self._network

    def window(
        self, pyramid: Pyramid, rows: torch.Tensor, xy: FloatArray, templates: torch.Tensor
    ) -> tuple[FloatArray, FloatArray]:
        """Where (n, 2) points are in their windows, (n, frames, 2), and how visible, (n, frames) in [0, 1]."""
        found = self._network.track(pyramid, rows, torch.from_numpy(xy).to(self._device), templates, self._iterations)
        return to_numpy(found.xy), np.nan_to_num(to_numpy(found.visibility.sigmoid()))


class _Sweep:
    """All points on their way to the end of the clip, or to its start; moments count in the direction of the sweep."""

    def __init__(
        self, tracker: PipsTracker, features: ClipFeatures, tracks: ClipTracks, frame_idx: IntArray, *, backward: bool
    ) -> None:
        self._tracker, self._features, self._backward = tracker, features, backward
        self._last = len(tracks.xy) - 1
        self._length = tracker.network.sizes.frames
        order = slice(None, None, -1 if backward else 1)
        self._xy, self._confidence = tracks.xy[order], tracks.confidence[order]  # views
        self._link = self._last - frame_idx if backward else frame_idx.copy()
        """The moment at which each point's next window starts."""
        self._templates: list[torch.Tensor | None] = [None] * len(frame_idx)
        """(channels,) what each point looks like on its prompt frame, once that was its turn."""

    def run(self) -> None:
        """Track all points as far as there are frames."""
        while len(waiting := np.flatnonzero(self._link < self._last)):
            waiting = waiting[np.argsort(self._link[waiting], kind="stable")][:_POINTS_AT_ONCE]
            first = self._link[waiting[0]]
            self._track(waiting[self._link[waiting] < first + self._length])

    def _track(self, batch: IntArray) -> None:
        """One window for each of the points ``batch``, whose windows start less than a window apart."""
        moments = self._link[batch, None] + np.arange(self._length)
        is_real = moments[:, 1:] <= self._last
        moments = np.minimum(moments, self._last)
        rows = self._rows(self._last - moments if self._backward else moments)
        start_xy = self._xy[self._link[batch], batch]
        templates = self._collect_templates(batch, rows[:, 0], start_xy)
        xy, visible = self._tracker.window(self._features.pyramid, rows, start_xy, templates)
        which, step = np.nonzero(is_real)
        cells = moments[which, step + 1], batch[which]
        self._xy[cells], self._confidence[cells] = xy[which, step + 1], visible[which, step + 1]
        self._link[batch] += next_links(visible[:, 1:], is_real)

    def _rows(self, frames: IntArray) -> torch.Tensor:
        """The locations of (n, window) frames in the pyramid; they are read in the direction of the sweep."""
        needed, inverse = np.unique(frames, return_inverse=True)
        rows = self._features.find_rows([int(frame) for frame in (needed[::-1] if self._backward else needed)])
        table = np.array([rows[int(frame)] for frame in needed])
        return torch.from_numpy(table[inverse.reshape(frames.shape)]).to(self._features.pyramid[0].device)

    def _collect_templates(self, batch: IntArray, rows: torch.Tensor, xy: FloatArray) -> torch.Tensor:
        """(n, channels) of the points ``batch``; those whose first window this is are on their prompt frames now."""
        new = np.array([k for k, point in enumerate(batch) if self._templates[point] is None], np.int64)
        if len(new):
            there = torch.from_numpy(xy[new]).to(rows.device)
            fresh = self._tracker.network.features_at(
                self._features.pyramid, rows[torch.from_numpy(new).to(rows.device)], there
            )
            for k, template in zip(new, fresh, strict=True):
                self._templates[batch[k]] = template
        return torch.stack([template for point in batch if (template := self._templates[point]) is not None])


def next_links(visible: FloatArray, is_real: BoolArray) -> IntArray:
    """How many frames further each point's next window starts.

    Args:
        visible: (n, k) in [0, 1], on the frames after the first of the window.
        is_real: (n, k) False for frames after the end of the clip; the first one is always there.

    Returns:
        (n,) from 1: to the latest frame with more than 0.9; where there is none, with more than 0.88, and so on.
    """
    found = np.zeros(len(visible), np.int64)
    limit = _SURE
    while not found.all():
        is_sure = (visible > limit) & is_real
        latest = visible.shape[1] - np.argmax(is_sure[:, ::-1], axis=1)
        found = np.where((found == 0) & is_sure.any(1), latest, found)
        limit = limit - _LESS_SURE  # ends below 0 at the latest
    return found


def load_network(weights: Path | str | None, sizes: PipsSizes = FULL) -> PipsNetwork:
    """The network, as :func:`sampt.trackers.pips.checkpoint.load_official` gives it."""
    return load_official(lambda: PipsNetwork(sizes), NAME, weights)
