"""The first CoTracker behind the interface of a tracker: windows of 8 frames, in both directions, with support points."""

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
from sampt.trackers.cotracker.network import Estimate
from sampt.trackers.cotracker.outputs import FrameScale, TrackOutputs
from sampt.trackers.cotracker.windows import SUPPORT_GRIDS, WindowPlan, window_starts
from sampt.trackers.cotracker_v1.network import FULL, CoTrackerV1Network, CoTrackerV1Sizes, WindowState
from sampt.trackers.cotracker_v1.windows import WindowedPass, support_points
from sampt.types import Points, QueryMask, Tracks
from sampt.weights import load_checkpoint

__all__ = ["CoTrackerV1", "CoTrackerV1Settings", "load_network"]

NAME = "cotracker-v1"


@dataclass(frozen=True)
class CoTrackerV1Settings:
    """How the network is used.

    Attributes:
        iterations: of the network in each window; as many as the official predictor and SAM-PT's program run.
        visible: a point that is seen with a greater probability is visible; SAM-PT's limit. (The official predictor has 0.9.)
        cached_frames: whose features are kept for the pass in the other direction and for other groups of objects, 8 MiB each.
        support_grid: points that are tracked beside those requested, a key of
            :data:`sampt.trackers.cotracker.windows.SUPPORT_GRIDS`.
    """

    iterations: int = 6
    visible: float = 0.7
    cached_frames: int = 48
    support_grid: str = "official"


class CoTrackerV1:
    """Points tracked together by the first CoTracker.

    Args:
        network: the network, in evaluation mode, on ``device``.
        device: where frames are sent.
        settings: how it is used.
    """

    def __init__(self, network: CoTrackerV1Network, device: torch.device, settings: CoTrackerV1Settings | None = None) -> None:
        self._network, self._device = network, device
        self._settings = settings or CoTrackerV1Settings()
        self._plan = WindowPlan.online(network.sizes.window)
        self._cache = FrameCache(network, device, keeps_corners=False)

    @classmethod
    def load(
        cls,
        weights: Path | str | None,
        device: str,
        *,
        runtime: str = "auto",
        precision: str = "auto",
        support_grid: str = "auto",
    ) -> CoTrackerV1:
        """See :func:`sampt.trackers.cotracker_v1.create`; ``weights`` is a path, or None for random ones."""
        network = load_network(weights)
        placed = put_on_device(network, network.hot, NAME, device, runtime=runtime, precision=precision)
        settings = CoTrackerV1Settings() if support_grid == "auto" else CoTrackerV1Settings(support_grid=support_grid)
        return cls(network, placed, settings)

    @property
    def info(self) -> TrackerInfo:
        return replace(TRACKERS[NAME].info, window=self._plan.length, device=str(self._device))

    @torch.inference_mode()
    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`.

        Each pass runs only when a point needs it. All points take part in it, for they are tracked together.
        """
        t = video.num_frames
        outputs = TrackOutputs.of_queries(points.xy, points.frame_idx, np.arange(t))
        if len(points):
            self._cache.reserve(max(self._plan.length, min(t, self._settings.cached_frames)))
        clip = ClipFeatures(video, self._cache)
        if (points.frame_idx < t - 1).any():
            self._one_way(clip, video, points, range(t), outputs)
        if (points.frame_idx > 0).any():
            self._one_way(clip, video, points, range(t - 1, -1, -1), outputs)
        return Tracks(points, outputs.xy, outputs.visible, outputs.confidence)

    def _one_way(self, clip: ClipFeatures, video: FrameSource, points: Points, order: range, outputs: TrackOutputs) -> None:
        """Fill in what lies after each prompt frame in the ``order`` of frames."""
        model_hw = self._network.sizes.model_hw
        scale = FrameScale(video.size_hw, model_hw, keeps_corners=False)
        support = support_points(SUPPORT_GRIDS[self._settings.support_grid], model_hw, len(order))
        frame_idx = torch.cat([torch.tensor(points.frame_idx), support[1]])
        since = ((frame_idx - order[0]) * order.step).to(self._device)
        xy = torch.cat([scale.to_network(points.xy, self._device), support[0].to(self._device)])
        passed = WindowedPass(self._network, self._plan, xy, since, self._settings.iterations)
        for start in window_starts(self._plan, len(order)):
            if passed.reaches(start):
                rows = np.array(order[start : start + self._plan.length])
                state = passed.run(start, self._cache.pyramid, clip.slots(rows.tolist()))
                reached = passed.order[: passed.num_known]
                self._fill(outputs, rows, scale, state, reached, (rows[:, None] - points.frame_idx) * order.step > 0)

    def _fill(
        self,
        outputs: TrackOutputs,
        rows: np.ndarray,
        scale: FrameScale,
        state: WindowState,
        reached: torch.Tensor,
        wanted: np.ndarray,
    ) -> None:
        """Take over what was found of the points ``reached`` on frames ``rows``, where ``wanted`` (r, n), without support."""
        num_points = wanted.shape[1]
        is_query = reached < num_points
        xy, visible = (each[is_query] for each in state)
        found = scale.outputs(Estimate(xy, visible, torch.full_like(visible, torch.inf)), self._settings.visible)
        columns = reached[is_query].cpu().numpy()
        whole = TrackOutputs(*(np.zeros((len(rows), num_points, *each.shape[2:]), each.dtype) for each in found))
        for old, new in zip(whole, found, strict=True):
            old[:, columns] = new
        is_reached = np.isin(np.arange(num_points), columns)
        outputs.fill(rows, whole, wanted & is_reached)


def load_network(weights: Path | str | None, sizes: CoTrackerV1Sizes = FULL) -> CoTrackerV1Network:
    """The network with the weights of an official checkpoint, or with random ones; for inference only.

    ``sizes`` are those of a network that is not the published one.

    Raises:
        BackendError: the file is missing, no checkpoint, or one of another network.
    """
    with repeatable():
        network = CoTrackerV1Network(sizes).eval().requires_grad_(False)
    quicken(network)
    if weights is None:
        return network
    state = load_checkpoint(weights)
    other = f"cotracker3-{'online' if state['time_emb'].shape[1] == 16 else 'offline'}" if "time_emb" in state else None
    expected = "an official checkpoint of stride 4 and window 8 (cotracker_stride_4_wind_8.pth)"
    load_exactly(network, state, name=NAME, path=weights, other=other, expected=expected)
    return network
