"""The first CoTracker: equal to the official program in all of its calls, and what the adapter makes of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from sampt.errors import BackendError  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers.cotracker.adapter import load_network as load_cotracker3  # noqa: E402
from sampt.trackers.cotracker.windows import SUPPORT_GRIDS  # noqa: E402
from sampt.trackers.cotracker_v1.adapter import CoTrackerV1, CoTrackerV1Settings, load_network  # noqa: E402
from sampt.trackers.cotracker_v1.network import CoTrackerV1Network, CoTrackerV1Sizes  # noqa: E402
from sampt.trackers.cotracker_v1.windows import support_points, whole_clip  # noqa: E402
from sampt.trackers.pips.encoder import EncoderSizes  # noqa: E402
from sampt.types import Points, Tracks  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402
from tools.parity.command import compare  # noqa: E402
from tools.parity.cotracker_v1 import compare_bare, official_network  # noqa: E402
from tools.parity.fixtures import Fixture  # noqa: E402

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
needs_shared = pytest.mark.skipif(not PARITY.is_dir(), reason="the project's shared data is not beside this checkout")
CPU = torch.device("cpu")
SMALL = CoTrackerV1Sizes(8, (48, 64), EncoderSizes(4, (8, 8, 8, 8), 8), hidden=16, heads=2, depth=2)


@cache
def official() -> Fixture:
    return Fixture.read(PARITY, "cotracker_v1")


@cache
def network_of_the_fixture() -> CoTrackerV1Network:
    return official_network(official())


def small_network() -> CoTrackerV1Network:
    """With weights by which points move by some pixels."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        network = CoTrackerV1Network(SMALL).eval().requires_grad_(False)
        torch.nn.init.normal_(network.updateformer.flow_head.weight, std=0.05)
    return network


def second_clip(num_frames: int, grid: str) -> tuple[Tracks, Points]:
    """The fixture's resized clip, through the interface."""
    frames = official().source.video(14, 120, 160, 1)[:num_frames]
    table = official().source.queries(10, 14, 120, 160, 1)
    n = len(table)
    frame_idx = np.minimum(table[:, 0], num_frames - 1).astype(np.int64)
    points = Points(table[:, 1:].astype(np.float32), frame_idx, np.ones(n, np.int64), np.ones(n, np.bool_))
    tracker = CoTrackerV1(network_of_the_fixture(), CPU, CoTrackerV1Settings(support_grid=grid))
    return tracker.track(ArrayVideo(frames), points), points


# ---- the official program ----------------------------------------------------------------------------------------------------


@needs_shared
def test_the_network_equals_the_official_one() -> None:
    for each in compare_bare(network_of_the_fixture(), official()):
        assert each.difference <= each.allowed / 10, each


@needs_shared
@pytest.mark.slow  # ten seconds of a core
def test_all_calls_equal_the_official_programs() -> None:
    found = compare(official())
    calls = [each.what.rpartition(", ")[2] for each in found if "tracks" in each.what]
    assert calls == ["bare", "predictor", "SAM-PT", "short"]
    for each in found:
        assert each.difference <= each.allowed / 10, each


@needs_shared
def test_through_the_interface_the_short_clip_is_sam_pts() -> None:
    tracks, points = second_clip(3, "paper")
    after = np.arange(3)[:, None] > points.frame_idx
    assert after.sum() > 10
    assert np.abs(tracks.xy - official().expected["tracks_short"])[after].max() < 1e-3
    assert np.abs(tracks.confidence - official().expected["visibility_short"])[after].max() < 1e-4
    inside = np.all((tracks.xy >= -0.5) & (tracks.xy < [159.5, 119.5]), -1)
    seen = official().expected["visibility_short"] > 0.7
    assert np.array_equal(tracks.visible[after], (seen & inside)[after])


@needs_shared
@pytest.mark.slow
def test_through_the_interface_support_points_count_and_only_the_order_differs() -> None:
    expected = official().expected["tracks_sampt"]
    tracks, points = second_clip(14, "paper")
    after = np.arange(14)[:, None] > points.frame_idx
    assert np.abs(tracks.xy - expected)[after].max() < 0.06  # the official order of points of one frame is another
    bare, _ = second_clip(14, "none")
    assert np.abs(bare.xy - expected)[after].max() > 0.09


# ---- what the adapter adds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
def test_random_weights_keep_the_contract(name: str, clause: Callable[..., None]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = CoTrackerV1Network(SMALL).eval().requires_grad_(False)
    clause(CoTrackerV1(network, CPU, CoTrackerV1Settings(iterations=1)), TrackerLimits(exact_tolerance_px=None))


def test_with_little_room_for_features_tracks_are_the_same() -> None:
    network = small_network()
    frames = np.random.default_rng(2).integers(0, 256, (21, 40, 52, 3), dtype=np.uint8)
    points = Points.concat([Points.of(1, t, [[20 + t, 18]]) for t in (0, 3, 9, 20)])
    found = [
        CoTrackerV1(network, CPU, CoTrackerV1Settings(2, cached_frames=room)).track(ArrayVideo(frames), points)
        for room in (1, 48)
    ]
    assert np.abs(found[0].xy - found[1].xy).max() < 1e-4
    assert np.abs(found[0].xy - points.xy).max() > 0.5  # they move


def test_before_the_window_that_has_its_frame_a_point_has_no_number() -> None:
    network = small_network()
    images = torch.rand(16, 3, 48, 64) * 255
    with torch.inference_mode():
        found = whole_clip(network, network.encode(images), torch.tensor([[20.0, 18], [30, 9]]), torch.tensor([13, 0]), 2)
    is_zero = (found.xy[0] == 0).all(-1)
    assert is_zero.tolist() == [True] * 8 + [False] * 8  # windows from frames 0 and 4 end before 13, that from 8 does not
    assert not (found.xy[1] == 0).any()


@pytest.mark.parametrize(("grid", "frames"), [("official", {0: 36}), ("paper", {0: 4, 12: 4, 24: 4}), ("none", {})])
def test_support_points_are_where_the_programs_have_them(grid: str, frames: dict[int, int]) -> None:
    xy, frame_idx = support_points(SUPPORT_GRIDS[grid], (384, 512), 30)
    assert {int(t): int((frame_idx == t).sum()) for t in frame_idx.unique()} == frames
    if frames:
        assert (xy.min(0).values * 4).tolist() == [8, 8]
        assert (xy.max(0).values * 4).tolist() == [504, 376]


def test_the_two_generations_refuse_each_others_weights(tmp_path: Path) -> None:
    torch.save(CoTrackerV1Network(SMALL).state_dict(), tmp_path / "first.pth")
    with pytest.raises(BackendError, match=r"they are those of 'cotracker-v1'\. Expected an official cotracker3-online checkp"):
        load_cotracker3("cotracker3-online", tmp_path / "first.pth")
    torch.save({"time_emb": torch.zeros(1, 16, 1110)}, tmp_path / "third.pth")
    with pytest.raises(BackendError, match=r"they are those of 'cotracker3-online'\. Expected an official checkpoint of"):
        load_network(tmp_path / "third.pth", SMALL)
    torch.save({"model": CoTrackerV1Network(SMALL).state_dict()}, tmp_path / "own.pth")
    assert load_network(tmp_path / "own.pth", SMALL).sizes == SMALL
    with pytest.raises(BackendError, match="'cotracker-v1' got weights of another network"):
        load_network(tmp_path / "own.pth", replace(SMALL, depth=1))
