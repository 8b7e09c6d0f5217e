"""The fixture of the first CoTracker: its network alone, its official predictor, and SAM-PT's adapter, each repeated."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.trackers.cotracker.network import STRIDE
from sampt.trackers.cotracker.windows import SUPPORT_GRIDS, SupportGrid
from sampt.trackers.cotracker_v1.adapter import load_network
from sampt.trackers.cotracker_v1.network import CoTrackerV1Network, CoTrackerV1Sizes
from sampt.trackers.cotracker_v1.windows import sorted_by_frame, support_points, whole_clip
from sampt.trackers.pips.encoder import Pyramid
from tools.parity.fixtures import Comparison, Fixture

__all__ = ["compare_bare", "cotracker_v1", "official_network"]

_VISIBLE = 0.9
"""The official predictor's limit."""
_PADDED = 8
"""SAM-PT's adapter repeats the last frame of a shorter clip until there are so many."""


# The official program sorts points by their frames with torch.sort, which leaves those of one frame in an order that depends on
# its version and on the processor, and the network's results depend on that order. These are the orders in which PyTorch 2.13
# put the points of the fixture's calls, ten and the support points behind them, forward and on the time-reversed clip; where
# none is given they stayed as they were.
_ORDERS = {
    "grid": (
        [35, *range(24, 35), 23, *range(36, 46), 12, 1, 2, 3, 4, 10, 11, 0, *range(13, 23), 7, 6, 8, 9, 5],
        [5, 9, 8, 6, 7, 38, *range(26, 38), 23, *range(39, 46), 15, 1, 2, 3, 4, *range(10, 15), 25, *range(16, 23), 0, 24],
    ),
    "sampt": (
        [1, 2, 3, 4, 13, 0, 10, 11, 12, 7, 6, 8, 9, 5, 14, 15, 16, 17],
        [17, 16, 15, 14, 5, 9, 8, 6, 7, 0, 10, 11, 12, 13, 4, 3, 2, 1],
    ),
    "short": (None, None),
}


class _Queries(NamedTuple):
    """Points on a clip: (n, 2) in pixels of the network's image, and (n,) int64, the frame of each."""

    xy: Tensor
    frame_idx: Tensor


class _Clip(NamedTuple):
    """The clip that is resized, its points, and what locations are multiplied by to be pixels of its own frames."""

    pyramid: Pyramid
    queries: _Queries
    ratio_xy: np.ndarray


def cotracker_v1(fixture: Fixture) -> list[Comparison]:
    """All four calls of the fixture."""
    network = official_network(fixture)
    with torch.inference_mode():
        clip = _second_clip(network, fixture)
        return [*compare_bare(network, fixture), *_with_grid(network, fixture, clip), *_sampt(network, fixture, clip)]


def official_network(fixture: Fixture) -> CoTrackerV1Network:
    """The network with the weights of the fixture, as large as its first video."""
    video = fixture.spec["call"]["video"]
    with fixture.checkpoint() as path:
        return load_network(path, CoTrackerV1Sizes(fixture.spec["constructor"]["S"], (video["height"], video["width"])))


@torch.inference_mode()
def compare_bare(network: CoTrackerV1Network, fixture: Fixture) -> list[Comparison]:
    """The network's own call, forward, without support points."""
    call = fixture.spec["call"]
    pyramid = network.encode(_frames(fixture, "video"))
    queries = _points(fixture, "queries", call["video"])
    found = whole_clip(network, pyramid, queries.xy, queries.frame_idx, call["iters"])
    features = network.features_at(pyramid, queries.frame_idx, queries.xy / STRIDE)
    return [
        fixture.near("CoTracker v1 tracks, bare", (found.xy * STRIDE).transpose(0, 1).numpy(), "tracks"),
        # A window that a point is not in has the probability of a logit of 0, as in the official program.
        fixture.near("CoTracker v1 visibility, bare", found.visible.sigmoid().T.numpy(), "visibility"),
        fixture.near("CoTracker v1 features", features.numpy(), "feat_init"),
    ]


def _with_grid(network: CoTrackerV1Network, fixture: Fixture, clip: _Clip) -> list[Comparison]:
    """The official predictor: queries are put where they were given, and seen."""
    pyramid, queries, ratio = clip
    xy, visibility = _both_ways(network, pyramid, queries, SUPPORT_GRIDS["official"], "grid")
    xy, visible = xy * ratio, visibility > _VISIBLE
    own = queries.frame_idx.numpy(), np.arange(len(queries.xy))
    xy[own], visible[own] = queries.xy.numpy() * ratio, True
    return [
        fixture.near("CoTracker v1 tracks, predictor", xy, "tracks_grid"),
        fixture.near("CoTracker v1 visibility, predictor", visible, "visible_grid"),
    ]


def _sampt(network: CoTrackerV1Network, fixture: Fixture, clip: _Clip) -> list[Comparison]:
    """SAM-PT's adapter on the whole clip and on its first three frames."""
    pyramid, queries, ratio = clip
    grid = SUPPORT_GRIDS["paper"]
    whole = _both_ways(network, pyramid, queries, grid, "sampt")
    count = len(fixture.expected["tracks_short"])
    padded = [level[torch.arange(_PADDED).clamp(max=count - 1)] for level in pyramid]
    early = _Queries(queries.xy, queries.frame_idx.clamp(max=count - 1))
    short = _both_ways(network, padded, early, grid, "short")
    return [
        fixture.near("CoTracker v1 tracks, SAM-PT", whole[0] * ratio, "tracks_sampt"),
        fixture.near("CoTracker v1 visibility, SAM-PT", whole[1], "visibility_sampt"),
        fixture.near("CoTracker v1 tracks, short", short[0][:count] * ratio, "tracks_short"),
        fixture.near("CoTracker v1 visibility, short", short[1][:count], "visibility_short"),
    ]


def _both_ways(
    network: CoTrackerV1Network, pyramid: Pyramid, queries: _Queries, grid: SupportGrid | None, call: str
) -> tuple[np.ndarray, np.ndarray]:
    """(t, n, 2) pixels of the network's image and (t, n) probabilities: forward, and backward where that found exactly 0."""
    num_frames, count = len(pyramid[0]), len(queries.xy)
    support_xy, support_idx = support_points(grid, network.sizes.model_hw, num_frames)
    xy = torch.cat([queries.xy, support_xy * STRIDE])
    frame_idx = torch.cat([queries.frame_idx, support_idx])
    found = []
    turned = [level.flip(0) for level in pyramid]
    for features, since in ((pyramid, frame_idx), (turned, num_frames - 1 - frame_idx)):
        order = _ORDERS[call][len(found)]
        rows = sorted_by_frame(since) if order is None else torch.tensor(order)
        state = whole_clip(network, features, xy, since, order=rows)
        found.append(((state.xy * STRIDE).transpose(0, 1).numpy(), state.visible.sigmoid().T.numpy()))
    (forward, visible), (backward, visible_before) = found
    is_missing = forward == 0
    forward = np.where(is_missing, backward[::-1], forward)
    return forward[:, :count], np.where(is_missing[..., 0], visible_before[::-1], visible)[:, :count]


def _second_clip(network: CoTrackerV1Network, fixture: Fixture) -> _Clip:
    height, width = network.sizes.model_hw
    size = fixture.spec["call"]["video2"]
    ratio = np.array([size["width"] / width, size["height"] / height], np.float32)
    queries = _points(fixture, "queries2", size)
    frames = F.interpolate(_frames(fixture, "video2"), (height, width), mode="bilinear", align_corners=False)
    return _Clip(network.encode(frames), queries._replace(xy=queries.xy / torch.from_numpy(ratio)), ratio)


def _frames(fixture: Fixture, name: str) -> Tensor:
    video = fixture.spec["call"][name]
    frames = fixture.source.video(video["frames"], video["height"], video["width"], video["seed"])
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float()


def _points(fixture: Fixture, name: str, size: dict[str, int]) -> _Queries:
    call = fixture.spec["call"][name]
    table = fixture.source.queries(call["count"], size["frames"], size["height"], size["width"], call["seed"])
    return _Queries(torch.from_numpy(table[:, 1:]), torch.from_numpy(table[:, 0]).long())
