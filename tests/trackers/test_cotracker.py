"""CoTracker3: equal to the official program, and what the adapter adds to it."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

import torch.nn.functional as F  # noqa: E402
from torch import Tensor  # noqa: E402

from sampt.errors import BackendError, QueryError  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers.base import TrackStep  # noqa: E402
from sampt.trackers.cotracker import create_offline, create_online  # noqa: E402
from sampt.trackers.cotracker.adapter import CoTracker, CoTrackerSettings, load_network  # noqa: E402
from sampt.trackers.cotracker.network import ONLINE, CoTrackerNetwork, CoTrackerSizes, Estimate  # noqa: E402
from sampt.trackers.cotracker.outputs import FrameScale  # noqa: E402
from sampt.trackers.cotracker.windows import SUPPORT_GRIDS, SupportGrid, WindowPlan, whole_clip, window_starts  # noqa: E402
from sampt.types import Points, Tracks  # noqa: E402

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
needs_shared = pytest.mark.skipif(not PARITY.is_dir(), reason="the project's shared data is not beside this checkout")
CPU = torch.device("cpu")
SMALL = CoTrackerSizes(8, (48, 64), 16, 32, 2, 2, 4, 16, 8, radius=2, levels=3)
KINDS = ("cotracker3-offline", "cotracker3-online")


class Clip:
    """Frames in memory; counts those that are read."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames, self.num_read = frames, 0

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.frames.shape[1], self.frames.shape[2]

    def read(self, start: int, stop: int) -> np.ndarray:
        self.num_read += stop - start
        return self.frames[start:stop]


class Counting(CoTrackerNetwork):
    """Counts the images that it encodes and the frames of the windows that it refines."""

    encoded = refined = 0

    def encode(self, images: Tensor) -> list[Tensor]:
        self.encoded += len(images)
        return super().encode(images)

    def refine(
        self, pyramid: Sequence[Tensor], slots: Tensor, templates: Sequence[Tensor], start: Estimate, iterations: int
    ) -> Estimate:
        self.refined += len(slots)
        return super().refine(pyramid, slots, templates, start, iterations)


@cache
def small_state() -> dict[str, Tensor]:
    """Weights of the reduced network with which points move by some pixels and visibility is not all the same."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(3)
        network = CoTrackerNetwork(SMALL)
        for head in (network.updateformer.flow_head, network.updateformer.vis_conf_head):
            torch.nn.init.normal_(head.weight, std=0.04)
        torch.nn.init.constant_(network.updateformer.vis_conf_head.bias, 0.4)
        return network.state_dict()


def small_network(sizes: CoTrackerSizes = SMALL) -> Counting:
    network = Counting(sizes).eval().requires_grad_(False)
    network.load_state_dict(small_state())
    return network


def small_tracker(kind: str, **settings: Any) -> tuple[CoTracker, Counting]:
    """Without support points, unless they are requested."""
    network = small_network()
    return CoTracker(kind, network, CPU, CoTrackerSettings(**({"iterations": 2, "support_grid": "none"} | settings))), network


def clip_of(num_frames: int, size_hw: tuple[int, int] = (48, 64)) -> Clip:
    """Smooth noise that moves to the right by a pixel a frame."""
    noise = np.random.default_rng(7).uniform(0, 255, (1, 3, size_hw[0] // 4 + 2, (size_hw[1] + num_frames) // 4 + 2))
    image = F.interpolate(torch.from_numpy(noise), scale_factor=4.0, mode="bilinear")[0].permute(1, 2, 0).numpy()
    frames = [image[: size_hw[0], num_frames - t : num_frames - t + size_hw[1]] for t in range(num_frames)]
    return Clip(np.stack(frames).astype(np.uint8))


def points_at(frame_idx: Sequence[int], size_hw: tuple[int, int] = (48, 64)) -> Points:
    return points_of(np.random.default_rng(8).uniform(4, np.array(size_hw[::-1]) - 5, (len(frame_idx), 2)), np.array(frame_idx))


def points_of(xy: np.ndarray, frame_idx: np.ndarray) -> Points:
    n = len(xy)
    return Points(xy.astype(np.float32), frame_idx.astype(np.int64), np.ones(n, np.int64), np.ones(n, np.bool_))


def parity() -> Any:
    spec = importlib.util.spec_from_file_location("parity", PARITY / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# ---- the official program ----------------------------------------------------------------------------------------------------


def parity_call(kind: str, folder: Path) -> tuple[CoTrackerNetwork, Clip, Points]:
    """The network with the weights of its fixture, the fixture's video and its queries."""
    file = PARITY / f"{kind.replace('-', '_')}.json"
    spec = json.loads(file.read_text())
    made, video, asked = spec["constructor"], spec["call"]["video"], spec["call"]["queries"]
    values = parity().state_dict(file)
    torch.save({"model": {key: torch.from_numpy(np.asarray(value)) for key, value in values.items()}}, folder / "w.pth")
    sizes = CoTrackerSizes(made["window_len"], tuple(made["model_resolution"]), radius=made["corr_radius"])
    network = load_network(kind, str(folder / "w.pth"), sizes)
    clip = Clip(parity().video(video["frames"], video["height"], video["width"], video["seed"]))
    queries = parity().queries(asked["count"], clip.num_frames, *clip.size_hw, asked["seed"])
    return network, clip, points_of(queries[:, 1:], queries[:, 0])


@needs_shared
@pytest.mark.parametrize("kind", [pytest.param(KINDS[0], marks=pytest.mark.slow), KINDS[1]])
def test_tracks_equal_the_official_program(kind: str, tmp_path: Path) -> None:
    file = PARITY / f"{kind.replace('-', '_')}.npz"
    spec = json.loads(file.with_suffix(".json").read_text())
    network, clip, points = parity_call(kind, tmp_path)
    expected = np.load(file)
    plan = WindowPlan.online(16) if kind == KINDS[1] else WindowPlan.offline(60)
    xy, visible, confidence = found_on(network, plan, clip, points, spec["call"]["iters"])
    assert xy.shape == expected["tracks"].shape
    assert np.abs(xy - expected["tracks"]).max() < 0.01  # agreement requested: 0.02 px and 1e-3; seen: 1e-3 and 2e-6
    assert np.abs(visible - expected["visibility"]).max() < 5e-4
    assert np.abs(confidence - expected["confidence"]).max() < 5e-4
    if (
        kind == KINDS[0]
    ):  # the same through the interface, from each prompt frame on; 28 frames in both directions would take long
        tracks = CoTracker(kind, network, CPU, CoTrackerSettings(spec["call"]["iters"], support_grid="none")).track(
            clip, points
        )
        after = np.arange(clip.num_frames)[:, None] > points.frame_idx
        assert np.abs(tracks.xy - expected["tracks"])[after].max() < 0.01
        product = expected["visibility"] * expected["confidence"]
        assert np.abs(tracks.confidence - product)[after].max() < 1e-3


@needs_shared
@pytest.mark.slow
def test_with_support_points_tracks_equal_the_official_predictor(tmp_path: Path) -> None:
    """``CoTrackerPredictor`` of co-tracker 82e02e8 with the fixture's weights; ``backward_tracking`` for all ten points."""
    network, clip, points = parity_call(KINDS[0], tmp_path)
    expected = np.load(Path(__file__).parent / "data" / "cotracker3_offline_support.npz")
    tracker, plain = (CoTracker(KINDS[0], network, CPU, CoTrackerSettings(support_grid=grid)) for grid in ("official", "none"))
    assert CoTrackerSettings().support_grid == "official"
    assert np.abs(tracker.track(clip, points).xy - expected["tracks"]).max() < 1e-3
    one = points.select(np.arange(10) == 0)
    assert np.abs(tracker.track(clip, one).xy - expected["one_click"]).max() < 1e-3
    assert np.abs(plain.track(clip, one).xy - expected["one_click"]).max() > 1  # what they change


def found_on(
    network: CoTrackerNetwork, plan: WindowPlan, clip: Clip, points: Points, iterations: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network says of all frames: xy (t, n, 2) in pixels of the clip, which is not resized; probabilities (t, n)."""
    images = torch.from_numpy(clip.frames).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        found = whole_clip(network, plan, images, torch.tensor(points.xy), torch.tensor(points.frame_idx), iterations)
        xy, visible, confidence = (x.transpose(0, 1).numpy() for x in (found.xy * 4, *(p.sigmoid() for p in found[1:])))
    return xy, visible, confidence


def straightforward(
    network: CoTrackerNetwork, frames: np.ndarray, points: Points, plan: WindowPlan, iterations: int
) -> tuple[Tensor, Tensor, Tensor]:
    """The windows as the official program walks them: the whole padded clip at once, sampled by ``grid_sample``.

    Gives (t, n, 2) in pixels of the finest features, and logits (t, n).
    """
    t, n, sizes = len(frames), len(points), network.sizes
    xy, since = torch.tensor(points.xy) / 4, torch.tensor(points.frame_idx)
    padded = np.concatenate([frames, np.repeat(frames[-1:], -t % plan.length if plan.is_padded else 0, 0)])
    pyramid = [f.permute(0, 3, 1, 2) for f in network.encode(torch.from_numpy(padded).permute(0, 3, 1, 2).float())]
    around = torch.arange(-sizes.radius, sizes.radius + 1.0)
    offsets = torch.stack(torch.meshgrid(around, around, indexing="ij"), -1)  # x changes slowest

    def sample(features: Tensor, at: Tensor) -> Tensor:
        """(k, c, h, w) features at (k, m, 2) locations: (k, m, side**2, c)."""
        size = at.new_tensor([max(features.shape[3] - 1, 1), max(features.shape[2] - 1, 1)])
        grid = 2 * (at[:, :, None] + offsets.flatten(0, 1)) / size - 1
        return F.grid_sample(features, grid, align_corners=True, padding_mode="border").permute(0, 2, 3, 1)

    templates = [sample(f[since], xy[:, None] / 2**k)[:, 0] for k, f in enumerate(pyramid)]
    whole = [torch.zeros(t, n, 2), torch.zeros(t, n), torch.zeros(t, n)]
    guess = [xy.expand(plan.length, n, 2), torch.zeros(plan.length, n), torch.zeros(plan.length, n)]
    for start in range(0, plan.step * max(1, (t - plan.length + plan.step - 1) // plan.step + 1), plan.step):
        stop = start + plan.length if plan.is_padded else min(t, start + plan.length)
        if start:
            overlap = plan.length - plan.step
            known = since < start + overlap
            for k, predicted in enumerate(whole):
                before = predicted[start : start + overlap]
                moved = torch.cat([before, before[-1:].expand(plan.step, *before.shape[1:])])
                guess[k] = torch.where(known[:, None] if k == 0 else known, moved, guess[k])
        at, visible, confidence = (g[: stop - start] for g in guess)
        time = F.interpolate(network.time_emb.transpose(1, 2), stop - start, mode="linear").transpose(1, 2)
        for _ in range(iterations):
            levels = []
            for k, (features, template) in enumerate(zip(pyramid, templates, strict=True)):
                here = sample(features[start:stop], at / 2**k)
                reached = template * (since < start + plan.length)[:, None, None]
                levels.append(network.corr_mlp(torch.einsum("snpc,nqc->nspq", here, reached).flatten(2)))
            step = (at[1:] - at[:-1]) / at.new_tensor([sizes.model_hw[1] / 4, sizes.model_hw[0] / 4])
            nothing = torch.zeros(1, n, 2)
            motion = torch.cat([torch.cat([-step, nothing]), torch.cat([nothing, step])], -1).transpose(0, 1)
            angles = torch.cat([motion * 2**k for k in range(10)], -1)
            parts = [visible.T[..., None], confidence.T[..., None], *levels, motion, angles.sin(), angles.cos()]
            change = network.updateformer(torch.cat(parts, -1) + time).transpose(0, 1)
            at, visible, confidence = at + change[..., :2], visible + change[..., 2], confidence + change[..., 3]
        for predicted, new in zip(whole, (at, visible, confidence), strict=True):
            predicted[start:stop] = new[: t - start]
    return whole[0], whole[1], whole[2]


@pytest.mark.parametrize("num_frames", [1, 3, 8, 9, 12, 13, 21])
@pytest.mark.parametrize("plan", [WindowPlan.offline(8), WindowPlan.online(8)], ids=KINDS)
def test_windows_carry_points_as_the_official_program_does(plan: WindowPlan, num_frames: int) -> None:
    network = small_network()
    clip = clip_of(num_frames, (40, 52))  # not the size that motion is reported in
    points = points_at([0, 0, *(i for i in (2, 5, 8, 11, 15, 20) if i < num_frames)], clip.size_hw)
    with torch.inference_mode():
        xy, visible, confidence = straightforward(network, clip.frames, points, plan, 2)
    found = found_on(network, plan, clip, points, 2)
    assert np.abs(found[0] - (xy * 4).numpy()).max() < 2e-3
    assert np.abs(found[1] - visible.sigmoid().numpy()).max() < 1e-4
    assert np.abs(found[2] - confidence.sigmoid().numpy()).max() < 1e-4
    assert np.abs(found[0] - points.xy).max() > 1  # the points move


def test_the_offline_network_sees_a_clip_that_fits_at_once() -> None:
    tracker, network = small_tracker("cotracker3-offline", longest=32)
    clip, points = clip_of(21), points_at([0, 7])
    with torch.inference_mode():
        xy = straightforward(network, clip.frames, points, WindowPlan.offline(21), 2)[0]
    tracks = tracker.track(clip, points)
    assert np.abs(tracks.xy[1:, 0] - (xy * 4).numpy()[1:, 0]).max() < 2e-3
    assert network.refined == 2 * 21  # and once more, backward


@pytest.mark.parametrize(
    ("length", "num_frames", "starts"),
    [
        (16, 1, [0]),
        (16, 8, [0]),
        (16, 16, [0]),
        (16, 17, [0, 8]),
        (16, 24, [0, 8]),
        (16, 28, [0, 8, 16]),
        (16, 33, [0, 8, 16, 24]),
    ],
)
def test_windows_begin_where_the_official_program_has_them(length: int, num_frames: int, starts: list[int]) -> None:
    assert list(window_starts(WindowPlan.online(length), num_frames)) == starts


def test_points_compared_in_parts_are_the_same() -> None:
    parts = CoTrackerNetwork(SMALL, max_values=1).eval().requires_grad_(False)
    parts.load_state_dict(small_state())
    clip, points = clip_of(8), points_at([0, 3, 3, 5])
    settings = CoTrackerSettings(iterations=2)
    found = [CoTracker("cotracker3-online", n, CPU, settings).track(clip, points) for n in (parts, small_network())]
    assert np.abs(found[0].xy - found[1].xy).max() < 1e-3


# ---- what the adapter adds ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
@pytest.mark.parametrize("kind", KINDS)
def test_random_weights_keep_the_contract(kind: str, name: str, clause: Callable[..., None]) -> None:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        network = CoTrackerNetwork(SMALL).eval().requires_grad_(False)
    settings = CoTrackerSettings(iterations=2, longest=16, cached_frames=8)
    clause(CoTracker(kind, network, CPU, settings), TrackerLimits(exact_tolerance_px=None))


@pytest.mark.parametrize("grid", ["none", "paper"])  # the official grid is on the first frame in both directions
@pytest.mark.parametrize("kind", KINDS)
def test_before_its_query_frame_a_point_is_tracked_on_the_reversed_clip(kind: str, grid: str) -> None:
    tracker, _ = small_tracker(kind, longest=8, support_grid=grid)
    clip, points = clip_of(13), points_at([0, 4, 6, 12])
    turned = Points(points.xy, 12 - points.frame_idx, points.object_id, points.is_positive)
    forward, backward = tracker.track(clip, points), tracker.track(Clip(clip.frames[::-1]), turned)
    assert np.abs(forward.xy - backward.xy[::-1]).max() < 1e-3
    assert np.array_equal(forward.visible, backward.visible[::-1])
    assert np.abs(forward.confidence - backward.confidence[::-1]).max() < 1e-4
    assert np.abs(forward.xy[:4, 1] - points.xy[1]).max() > 0.5
    assert 0.1 < forward.visible.mean() < 0.9


@pytest.mark.parametrize(("kind", "refined"), [("cotracker3-offline", 12), ("cotracker3-online", 16)])
def test_a_pass_runs_only_when_a_point_needs_it(kind: str, refined: int) -> None:
    for frame_idx, factor in (([0, 0], 1), ([11], 1), ([0, 11], 2), ([5], 2)):
        tracker, network = small_tracker(kind)
        tracker.track(clip_of(12), points_at(frame_idx))
        assert (network.encoded, network.refined) == (12, factor * refined), frame_idx


@pytest.mark.parametrize("grid", SUPPORT_GRIDS)
def test_windows_before_the_first_query_frame_are_left_out(grid: str) -> None:
    tracker, network = small_tracker("cotracker3-online", support_grid=grid)
    clip = clip_of(32)
    tracker.track(clip, points_at([20]))
    # Windows start at 0, 4, ... 24. Forward, those from 16, 20 and 24 reach frame 20; backward, where it is frame 11, all but
    # the first do.
    assert network.refined == 8 * (3 + 6)
    assert clip.num_read == 32


def test_frames_are_read_and_encoded_once_for_directions_groups_and_windows() -> None:
    for kind in KINDS:
        tracker, network = small_tracker(kind, longest=16)
        clip = clip_of(16)
        tracker.track(clip, points_at([0, 9]))
        assert (clip.num_read, network.encoded) == (16, 16)
        tracker.track(clip, points_at([3]))  # the next group of objects
        assert (clip.num_read, network.encoded) == (32, 16)
        tracker.track(Clip(clip.frames[4:12]), points_at([0]))  # the next window of re-initialisation
        assert network.encoded == 16


def test_memory_is_that_of_a_window_however_long_the_clip() -> None:
    for kind in KINDS:
        tracker, network = small_tracker(kind, longest=8, cached_frames=10)
        clip = clip_of(60)
        tracks = tracker.track(clip, points_at([0, 30]))
        assert len(tracker._cache.pyramid[0]) == (10 if kind == "cotracker3-online" else 8)
        assert 60 < network.encoded < 120
        assert clip.num_read == network.encoded
        whole, _ = small_tracker(kind, longest=8, cached_frames=10)
        whole._cache.reserve(60)
        assert np.abs(whole.track(clip, points_at([0, 30])).xy - tracks.xy).max() < 1e-3


@pytest.mark.parametrize(("grid", "limit"), [("official", 2 + 36), ("paper", 2 + 4), ("none", 2)])
def test_support_points_do_not_grow_with_the_frames(grid: str, limit: int) -> None:
    tracker, network = small_tracker("cotracker3-online", support_grid=grid)
    sizes: list[int] = []
    refine = network.refine

    def noted(*given: Any) -> Estimate:
        sizes.append(len(given[3].xy))
        return refine(*given)

    network.refine = noted  # type: ignore[method-assign]
    clip, points = clip_of(60), points_at([0, 3])
    live = tracker.start(points)
    steps = [*live.push(clip.frames), *live.finish()]
    assert {len(step.xy) for step in steps} == {2}
    assert (max(sizes), len(sizes)) == (limit, 14)
    if grid == "paper":
        assert sizes[:6] == [6, 2, 6, 6, 2, 6]  # windows of 8 frames, 4 apart, of which 0, 12, 24 ... have a grid


def test_support_points_lie_where_the_official_program_has_them() -> None:
    for side, corner in ((6, 7), (2, 3)):
        locations = SupportGrid(side, None).locations((384, 512)).numpy() * 4
        assert locations.shape == (side**2, 2)
        assert np.allclose(locations[[0, side - 1, side**2 - 1]], [[8, 8], [504, 8], [504, 376]])
        assert np.allclose(locations[corner], [8 + 496 / (side - 1), 8 + 368 / (side - 1)], atol=1e-4)


def test_still_frames_share_their_features() -> None:
    tracker, network = small_tracker("cotracker3-offline")
    tracks = tracker.track(Clip(np.repeat(clip_of(1).frames, 9, 0)), points_at([0]))
    assert network.encoded == 1
    assert tracks.xy.shape == (9, 1, 2)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_is_read_where_there_is_nothing_to_find(kind: str) -> None:
    tracker, network = small_tracker(kind)
    one, many = clip_of(1), clip_of(5)
    tracks = tracker.track(one, points_at([0, 0]))
    assert (one.num_read, network.encoded) == (0, 0)
    assert tracks.visible.all()
    assert np.array_equal(tracks.xy[0], tracks.points.xy)
    assert tracker.track(many, Points.concat([])).xy.shape == (5, 0, 2)
    assert many.num_read == 0


def test_two_thousand_points_and_points_on_the_border() -> None:
    tracker, _ = small_tracker("cotracker3-offline")
    clip = clip_of(5, (30, 41))
    border = Points.of(1, 0, [[0, 0], [40, 0], [0, 29], [40, 29], [20, 0]])
    many = Points.of(2, 4, np.random.default_rng(1).uniform(0, 29, (2000, 2)))
    tracks = tracker.track(clip, Points.concat([border, many]))
    assert tracks.xy.shape == (5, 2005, 2)
    assert np.array_equal(tracks.xy[0, :5], border.xy)
    assert np.array_equal(tracks.xy[4, 5:], many.xy)
    assert tracks.visible[0, :5].all()


def test_locations_keep_the_centres_of_the_corner_pixels() -> None:
    scale = FrameScale((101, 201), (384, 512))
    corners = scale.to_network(np.array([[0, 0], [200, 100], [100, 50]], np.float32), CPU)
    assert np.allclose(corners.numpy() * 4, [[0, 0], [511, 383], [255.5, 191.5]])
    found = Estimate(corners[:, None], torch.full((3, 1), 9.0), torch.full((3, 1), 9.0))
    assert np.allclose(scale.outputs(found, 0.7).xy, [[[0, 0], [200, 100], [100, 50]]], atol=1e-4)
    assert np.isfinite(FrameScale((1, 1), (384, 512)).outputs(found, 0.7).xy).all()


def test_a_point_is_visible_when_it_is_seen_inside_the_frame() -> None:
    logit = np.log(np.array([0.71, 0.69, 0.99]) / np.array([0.29, 0.31, 0.01])).astype(np.float32)
    found = Estimate(
        torch.tensor([[[5.0, 5.0]], [[5.0, 5.0]], [[-1.0, 5.0]]]), torch.from_numpy(logit)[:, None], torch.zeros(3, 1)
    )
    outputs = FrameScale((384, 512), (384, 512)).outputs(found, 0.7)
    assert outputs.visible.tolist() == [[True, False, False]]
    assert np.allclose(outputs.confidence, [[0.355, 0.345, 0.495]], atol=1e-5)
    assert outputs.xy[0, 2].tolist() == [-4, 20]


# ---- streaming ---------------------------------------------------------------------------------------------------------------


def together(steps: Sequence[TrackStep]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.stack([s.xy for s in steps]), np.stack([s.visible for s in steps]), np.stack([s.confidence for s in steps])


def demand_same_after_queries(steps: Sequence[TrackStep], tracks: Tracks) -> None:
    from_query = np.arange(tracks.num_frames)[:, None] >= tracks.points.frame_idx
    xy, visible, confidence = together(steps)
    assert np.abs(xy - np.where(from_query[..., None], tracks.xy, tracks.points.xy)).max() < 1e-3
    assert np.array_equal(visible, tracks.visible & from_query)
    assert np.abs(confidence - tracks.confidence * from_query).max() < 1e-4


@pytest.mark.parametrize(
    ("num_frames", "grid"), [*((n, "none") for n in (1, 5, 8, 11, 12, 22)), (5, "paper"), (29, "paper"), (29, "official")]
)
def test_a_stream_gives_what_the_whole_clip_gives(num_frames: int, grid: str) -> None:
    tracker, network = small_tracker("cotracker3-online", support_grid=grid)
    clip, points = clip_of(num_frames), points_at([i for i in (0, 0, 3, 7, 9, 16) if i < num_frames])
    tracks = tracker.track(clip, points)
    live, encoded = tracker.start(points), network.encoded
    steps: list[TrackStep] = []
    counts = []
    for frame in clip.frames:
        reused = frame.copy()
        come = live.push(reused[None])
        reused[:] = 0
        counts.append(len(come))
        steps += come
    steps += live.finish()
    assert len(steps) == num_frames
    assert counts == [4 if i >= 7 and i % 4 == 3 else 0 for i in range(num_frames)]
    demand_same_after_queries(steps, tracks)
    assert network.encoded == encoded + num_frames
    assert live.finish() == []


def test_points_may_join_live_tracks_late() -> None:
    tracker, _ = small_tracker("cotracker3-online")
    live, clip, steps = tracker.start(points_at([])), clip_of(20), []
    for i, frame in enumerate(clip.frames):
        steps += live.push(frame[None])
        if i in (7, 10):  # 7: right after a window, in which the point had no part
            live.add(Points.of(1, i, [[10.0 + i, 20]]))
    steps += live.finish()
    assert [len(s.xy) for s in steps] == [0] * 4 + [2] * 16
    first = together(steps[4:8])
    assert first[1].tolist() == [[False, False]] * 3 + [[True, False]]
    assert (first[0] == [[17, 20], [20, 20]]).all()
    assert np.abs(steps[12].xy - [[17, 20], [20, 20]]).max() > 0.3
    with pytest.raises(QueryError, match="lies on frame 3 of a stream, where frame 19 is the last one"):
        live.add(Points.of(1, 3, [[0, 0]]))


def test_a_point_added_on_the_last_frame_of_all_comes_out() -> None:
    tracker, _ = small_tracker("cotracker3-online")
    live = tracker.start(points_at([]))
    steps = live.push(clip_of(8).frames)
    live.add(Points.of(1, 7, [[3, 4]]))
    assert len(steps) == 4
    rest = together(live.finish())
    assert rest[1][:, 0].tolist() == [False, False, False, True]
    assert (rest[0] == [3, 4]).all()


def test_only_the_online_network_follows_live_frames() -> None:
    assert [small_tracker(name)[0].info.streaming_latency for name in ("cotracker3-online", "cotracker3-offline")] == [7, None]


# ---- weights -----------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def online_state() -> dict[str, Tensor]:
    return load_network("cotracker3-online", None).state_dict()


def test_random_weights_are_always_the_same_and_touch_no_global_generator(online_state: dict[str, Tensor]) -> None:
    before = torch.get_rng_state()
    again = create_online(weights=None, device="cpu")
    assert torch.equal(before, torch.get_rng_state())
    state = again._network.state_dict()
    assert all(torch.equal(state[key], online_state[key]) for key in state)
    info = again.info
    assert (info.name, info.window, info.is_joint, info.is_causal) == ("cotracker3-online", 16, True, False)
    assert (info.license_code, info.license_weights) == ("CC-BY-NC-4.0", "CC-BY-NC-4.0")


@needs_shared
@pytest.mark.parametrize("kind", KINDS)
def test_names_shapes_and_time_embedding_are_the_official_ones(kind: str) -> None:
    spec = json.loads((PARITY / f"{kind.replace('-', '_')}.json").read_text())
    with torch.device("meta"):
        state = CoTrackerNetwork(replace(ONLINE, window=spec["constructor"]["window_len"])).state_dict()
    assert {key: list(value.shape) for key, value in state.items()} == {k: v[0] for k, v in spec["parameters"].items()}


def test_checkpoints_load_plain_and_under_their_key(tmp_path: Path, online_state: dict[str, Tensor]) -> None:
    changed = {key: value + 1 for key, value in online_state.items()}
    for content in (changed, {"model": changed}):
        torch.save(content, tmp_path / "w.pth")
        loaded = create_online(weights=str(tmp_path / "w.pth"), device="cpu")._network.state_dict()
        assert all(torch.equal(loaded[key], changed[key]) for key in changed)


def test_wrong_files_are_refused_in_one_line(tmp_path: Path, online_state: dict[str, Tensor]) -> None:
    def message(content: object, create: Callable[..., CoTracker]) -> str:
        path = tmp_path / "w.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        with pytest.raises(BackendError) as caught:
            create(weights=str(path), device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(path), "FILE")

    assert message(online_state, create_offline) == (
        "'cotracker3-offline' got weights of another network in FILE: 1 parameters are missing, unknown or of another size, the"
        " first is 'time_emb'; they are those of 'cotracker3-online'. Expected an official cotracker3-offline checkpoint."
    )
    half = dict(list(online_state.items())[: len(online_state) // 2])
    assert "are missing, unknown or of another size" in message(half, create_online)
    assert message(b"no checkpoint", create_online).startswith("FILE cannot be read as weights (it is no file of PyTorch")
    torch.save(online_state, tmp_path / "whole.pth")
    cut = (tmp_path / "whole.pth").read_bytes()[:100_000]
    assert message(cut, create_online).startswith("FILE cannot be read as weights (it is incomplete)")


@pytest.mark.parametrize("create", [create_offline, create_online])
def test_default_weights_offline_are_refused_with_the_location_to_get_them(
    create: Callable[..., CoTracker], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    kind = create.__name__.removeprefix("create_")
    with pytest.raises(BackendError, match=rf"^'cotracker3-{kind}' is not in the cache and .*scaled_{kind}\.pth"):
        create()


def test_devices_that_are_not_there_are_refused() -> None:
    with pytest.raises(
        BackendError, match=r"^'cotracker3-online' cannot run on device 'cuda:99': .*Choose 'auto', 'cpu', or a"
    ):
        create_online(weights=None, device="cuda:99")


def test_without_pytorch_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it fails, as where it is not installed
from sampt.trackers.cotracker import create_online
try:
    create_online()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BackendError 'cotracker3-online' needs PyTorch (")
    assert done.stdout.rstrip().endswith("Run: pip install 'sampt[torch]'.")
