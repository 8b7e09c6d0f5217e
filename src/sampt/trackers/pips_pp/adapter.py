"""PIPS++ behind the interface of a tracker: all points of a prompt frame go through windows of 128 frames together.

Windows follow each other with one frame in common; the last one is moved back so that it is full. What is not tracked yet
stands still. All prompt frames are worked on side by side, in the order of time, so that each frame is encoded once for all.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F

from sampt.backends.table import TRACKERS
from sampt.backends.torch_networks import put_on_device, quicken
from sampt.checks import shape_repr
from sampt.trackers.base import FrameSource, TrackerInfo
from sampt.trackers.pips.checkpoint import load_official
from sampt.trackers.pips.clip import ClipFeatures, ClipTracks, FeatureCache, to_numpy
from sampt.trackers.pips.encoder import Pyramid
from sampt.trackers.pips_pp.network import FULL, PipsPpNetwork, PipsPpSizes, Templates
from sampt.types import IntArray, Points, QueryMask, Tracks, UInt8Array

__all__ = ["PipsPpTracker", "load_network"]

NAME = "pips-pp"
_ITERATIONS = 16
_WINDOW = 128
_IMAGE_HW = (512, 896)
"""These three as in the official program, which brings frames of any shape to this size."""
_POINTS_AT_ONCE = 64


@dataclass
class _Group:
    """Points of one prompt frame.

    Attributes:
        columns: which points.
        query: moment of the prompt frame, in the direction of the sweep.
        templates: left by the window before.
    """

    columns: IntArray
    query: int
    templates: Templates | None = None

    __repr__ = shape_repr


class PipsPpTracker:
    """PIPS++.

    Args:
        network: the network, in evaluation mode, on ``device``.
        device: where frames are sent.
        iterations: of the network's update.
        window: frames looked at together, from 2.
        image_hw: frames are resized to this; sides from 64 and multiples of 8.
    """

    def __init__(
        self,
        network: PipsPpNetwork,
        device: torch.device,
        *,
        iterations: int = _ITERATIONS,
        window: int = _WINDOW,
        image_hw: tuple[int, int] = _IMAGE_HW,
    ) -> None:
        self._network, self._device, self._iterations = network, device, iterations
        self._window, self._image_hw = window, image_hw
        self._cache = FeatureCache()

    @classmethod
    def load(cls, weights: Path | str | None, device: str, *, runtime: str = "auto", precision: str = "auto") -> PipsPpTracker:
        """See :func:`sampt.trackers.pips_pp.create`; ``weights`` is a path, or None for random ones."""
        network = load_network(weights)
        quicken(network)
        return cls(network, put_on_device(network, network.hot, NAME, device, runtime=runtime, precision=precision))

    @property
    def info(self) -> TrackerInfo:
        return replace(TRACKERS[NAME].info, window=self._window, device=str(self._device))

    @torch.inference_mode()
    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`."""
        tracks = ClipTracks(video, points, self._image_hw)
        features = ClipFeatures(video, self._encode, self._image_hw, self._cache, min_frames=self._window)
        for backward in (True, False):
            self._sweep(features, tracks, points.frame_idx, backward=backward)
        return tracks.finished(0.0)

    def _encode(self, frames: UInt8Array) -> Pyramid:
        images = torch.from_numpy(frames).to(self._device).permute(0, 3, 1, 2).float()
        return self._network.encode(F.interpolate(images, self._image_hw, mode="bilinear", align_corners=False))

    def _sweep(self, features: ClipFeatures, tracks: ClipTracks, frame_idx: IntArray, *, backward: bool) -> None:
        """Track all points to the end of the clip, or to its start; moments count in the direction of the sweep."""
        last = len(tracks.xy) - 1
        xy = tracks.xy[:: -1 if backward else 1]  # a view
        groups = _groups(last - frame_idx if backward else frame_idx, last)
        waiting = [(group.query, k) for k, group in enumerate(groups)]
        heapq.heapify(waiting)
        while waiting:
            start, k = heapq.heappop(waiting)
            group = groups[k]
            stop = min(start + self._window, last + 1)
            start = max(group.query, stop - self._window)
            rows = features.find_rows([last - m if backward else m for m in range(start, stop)])
            frames = torch.tensor(list(rows.values()), device=self._device)
            locations = torch.from_numpy(xy[start:stop, group.columns]).to(self._device)
            found = self._network.track(features.pyramid, frames, locations, group.templates, self._iterations)
            xy[start:stop, group.columns] = to_numpy(found.xy)
            xy[stop:, group.columns] = xy[stop - 1, group.columns]
            if stop <= last:
                group.templates = found.templates
                heapq.heappush(waiting, (stop - 1, k))


def _groups(query: IntArray, last: int) -> list[_Group]:
    """The points that have frames to be tracked on, by their prompt frame, not too many together."""
    groups = []
    for moment in np.unique(query[query < last]):
        columns = np.flatnonzero(query == moment)
        parts = range(0, len(columns), _POINTS_AT_ONCE)
        groups += [_Group(columns[part : part + _POINTS_AT_ONCE], int(moment)) for part in parts]
    return groups


def load_network(weights: Path | str | None, sizes: PipsPpSizes = FULL) -> PipsPpNetwork:
    """The network, as :func:`sampt.trackers.pips.checkpoint.load_official` gives it."""
    return load_official(lambda: PipsPpNetwork(sizes), NAME, weights)
