"""CoTracker3 behind the interface of a tracker.

The offline network looks at the whole clip at once, the online one at windows of 16 frames. Points before their prompt frames
come from a second pass, over the time-reversed clip, with the features of the first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from sampt.backends.table import TRACKERS
from sampt.backends.torch_networks import load_exactly, put_on_device, quicken, repeatable
from sampt.trackers.base import FrameSource, TrackerInfo
from sampt.trackers.cotracker.features import ClipFeatures, FrameCache
from sampt.trackers.cotracker.network import OFFLINE, ONLINE, CoTrackerNetwork, CoTrackerSizes
from sampt.trackers.cotracker.outputs import FrameScale, TrackOutputs
from sampt.trackers.cotracker.stream import CoTrackerTracks
from sampt.trackers.cotracker.windows import SUPPORT_GRIDS, WindowedPass, WindowPlan, window_starts
from sampt.types import Points, QueryMask, Tracks
from sampt.weights import load_checkpoint

__all__ = ["CoTracker", "CoTrackerSettings", "load_network"]

_SIZES = {"cotracker3-offline": OFFLINE, "cotracker3-online": ONLINE}


@dataclass(frozen=True)
class CoTrackerSettings:
    """How the network is used.

    Attributes:
        iterations: of the network in each window; as many as the official predictors and SAM-PT's program run.
        visible: a point that is seen with a greater probability is visible; SAM-PT's limit. (The official predictors have 0.9
            offline, and 0.6 of the product with the confidence online.)
        longest: frames that the offline network sees at once; a longer clip is cut into windows of this length that overlap by
            half, over which points are carried as the online network does it.
        cached_frames: whose features the online tracker keeps for the pass in the other direction and for other groups of
            objects, 8 MiB each; the offline one keeps ``longest``.
        support_grid: points that are tracked beside those requested, a key of
            :data:`sampt.trackers.cotracker.windows.SUPPORT_GRIDS`.
    """

    iterations: int = 6
    visible: float = 0.7
    longest: int = 128
    cached_frames: int = 48
    support_grid: str = "official"


class CoTracker:
    """Points tracked together by CoTracker3.

    Args:
        name: "cotracker3-offline" or "cotracker3-online".
        network: the network, in evaluation mode, on ``device``.
        device: where frames are sent.
        settings: how it is used.
    """

    def __init__(
        self, name: str, network: CoTrackerNetwork, device: torch.device, settings: CoTrackerSettings | None = None
    ) -> None:
        self._name, self._network, self._device = name, network, device
        self._settings = settings or CoTrackerSettings()
        is_online = name == "cotracker3-online"
        longest, window = self._settings.longest, network.sizes.window
        self._plan = WindowPlan.online(window) if is_online else WindowPlan.offline(longest)
        self._cached = max(window, self._settings.cached_frames) if is_online else longest
        self._cache = FrameCache(network, device)

    @classmethod
    def load(
        cls,
        name: str,
        weights: Path | str | None,
        device: str,
        *,
        runtime: str = "auto",
        precision: str = "auto",
        support_grid: str = "auto",
    ) -> CoTracker:
        """See :func:`sampt.trackers.cotracker.create_offline`; ``weights`` is a path, or None for random ones."""
        network = load_network(name, weights)
        placed = put_on_device(network, network.hot, name, device, runtime=runtime, precision=precision)
        settings = CoTrackerSettings() if support_grid == "auto" else CoTrackerSettings(support_grid=support_grid)
        return cls(name, network, placed, settings)

    @property
    def info(self) -> TrackerInfo:
        latency = self._plan.length - 1 if self._plan.is_padded else None
        return replace(TRACKERS[self._name].info, window=self._plan.length, latency=latency, device=str(self._device))

    @torch.inference_mode()
    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`.

        Each pass runs only when a point needs it, and frames are read for it alone. All points take part in it, for they are
        tracked together: so the official program does.
        """
        t = video.num_frames
        outputs = TrackOutputs.of_queries(points.xy, points.frame_idx, np.arange(t))
        self._cache.reserve(min(t, self._cached) if len(points) else 0)
        clip = ClipFeatures(video, self._cache)
        if (points.frame_idx < t - 1).any():
            self._one_way(clip, video, points, range(t), outputs)
        if (points.frame_idx > 0).any():
            self._one_way(clip, video, points, range(t - 1, -1, -1), outputs)
        return Tracks(points, outputs.xy, outputs.visible, outputs.confidence)

    def start(self, points: Points) -> CoTrackerTracks:
        """See :meth:`sampt.trackers.base.StreamingTracker.start`; a result waits for up to a window."""
        cache = FrameCache(self._network, self._device)
        cache.reserve(self._plan.length)
        return CoTrackerTracks(self._pass(0, 1), cache, self._network.sizes.model_hw, self._settings.visible, points)

    def _pass(self, first: int, step: int) -> WindowedPass:
        support = SUPPORT_GRIDS[self._settings.support_grid]
        return WindowedPass(self._network, self._plan, self._settings.iterations, support, (first, step))

    def _one_way(self, clip: ClipFeatures, video: FrameSource, points: Points, order: range, outputs: TrackOutputs) -> None:
        """Fill in what lies after each prompt frame in the ``order`` of frames."""
        scale = FrameScale(video.size_hw, self._network.sizes.model_hw)
        passed = self._pass(order.start, order.step)
        since = np.asarray((points.frame_idx - order[0]) * order.step)
        passed.add(scale.to_network(points.xy, self._device), torch.from_numpy(since).to(self._device))
        for start in window_starts(self._plan, len(order)):
            if passed.reaches(start):
                frames = order[start : start + self._plan.length]
                found = scale.outputs(passed.run(start, self._cache.pyramid, clip.slots(frames)), self._settings.visible)
                rows = np.array(frames)
                outputs.fill(rows, found, (rows[:, None] - points.frame_idx) * order.step > 0)


def load_network(name: str, weights: Path | str | None, sizes: CoTrackerSizes | None = None) -> CoTrackerNetwork:
    """The network called ``name`` with the weights of an official checkpoint, or with random ones; for inference only.

    ``sizes`` are those of a network that is not the published one.

    Raises:
        BackendError: the file is missing, no checkpoint, or one of another network.
    """
    with repeatable():
        network = CoTrackerNetwork(sizes or _SIZES[name]).eval().requires_grad_(False)
    quicken(network)
    if weights is None:
        return network
    state = load_checkpoint(weights)
    steps = state["time_emb"].shape[1:2] if "time_emb" in state else ()
    other = next((kind for kind, its in _SIZES.items() if (its.window,) == tuple(steps)), None)
    if "updateformer.space_blocks.0.attn.qkv.weight" in state:
        other = "cotracker-v1"
    load_exactly(network, state, name=name, path=weights, other=other, expected=f"an official {name} checkpoint")
    return network
