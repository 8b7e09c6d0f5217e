"""PIPS: equal to the official program, linked as it links, and what the adapter adds to it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

import torch.nn.functional as F  # noqa: E402

from sampt.errors import BackendError  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers import pips, pips_pp  # noqa: E402
from sampt.trackers.pips.adapter import PipsTracker, load_network, next_links  # noqa: E402
from sampt.trackers.pips.clip import ClipFeatures, FeatureCache  # noqa: E402
from sampt.trackers.pips.encoder import EncoderSizes, Pyramid, build_pyramid, lookup, sample_at  # noqa: E402
from sampt.trackers.pips.network import FULL, PipsNetwork, PipsSizes  # noqa: E402
from sampt.types import HiddenBy, Points, Tracks  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402
from sampt.video.base import SubVideo  # noqa: E402
from sampt.weights.checkpoint import without_wrappers  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
CPU = torch.device("cpu")
SMALL = PipsSizes(8, EncoderSizes(4, (8, 8, 8, 8), 16), width=32, depth=2)
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")


class Clip:
    """Smooth noise that drifts, so that there is something to correlate."""

    def __init__(self, num_frames: int, size_hw: tuple[int, int] = (72, 90), seed: int = 0) -> None:
        h, w = size_hw
        noise = torch.rand(1, 3, h // 6 + 2, (w + 3 * num_frames) // 6 + 2, generator=torch.Generator().manual_seed(seed))
        wide = F.interpolate(noise, (h, w + 3 * num_frames), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0)
        images = (255 * wide).round().byte().numpy()
        self.frames = np.stack([images[:, 3 * k : 3 * k + w] for k in range(num_frames)])
        self.num_frames, self.size_hw = num_frames, size_hw
        self.reads: list[range] = []

    def read(self, start: int, stop: int) -> np.ndarray:
        self.reads.append(range(start, stop))
        return self.frames[start:stop]


class Counting(PipsNetwork):
    """Counts the images that it encodes and the windows of points that it follows."""

    def __init__(self, sizes: PipsSizes) -> None:
        super().__init__(sizes)
        self.encoded = 0
        self.batches: list[int] = []

    def encode(self, images: torch.Tensor) -> Pyramid:
        self.encoded += len(images)
        return super().encode(images)

    def track(self, *given: Any) -> Any:
        self.batches.append(len(given[1]))
        return super().track(*given)


def lively(network: torch.nn.Module, gain: float = 1.0) -> Any:
    """Weights that move points by some pixels and hide some."""
    draw = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        value = torch.randn(parameter.shape, generator=draw)
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 25
        parameter.data = gain * value / fan_in**0.5 + (parameter.dim() == 1)
    return network.eval().requires_grad_(False)


def counting() -> Counting:
    network: Counting = lively(Counting(SMALL))
    network.delta_block.to_delta[-1].bias.data *= 0.05
    network.delta_block.to_delta[-1].weight.data *= 0.3
    network.vis_predictor[0].bias.data[:] = 0
    return network


def parity() -> Any:
    spec = importlib.util.spec_from_file_location("parity", SHARED / "parity" / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chained_alone(network: PipsNetwork, clip: Clip, frame_idx: int, xy: np.ndarray, iterations: int) -> tuple[Any, Any]:
    """One point forward from its prompt frame as the official demonstration goes on: every window made from its images."""
    last, length = clip.num_frames - 1, network.sizes.frames
    xys, seen = np.full((clip.num_frames, 2), np.nan, np.float32), np.zeros(clip.num_frames, np.float32)
    xys[frame_idx], here, template = xy, frame_idx, None
    while here < last:
        images = torch.from_numpy(clip.frames[np.minimum(np.arange(here, here + length), last)]).permute(0, 3, 1, 2).float()
        pyramid = network.encode(images)
        at, location = torch.arange(length)[None], torch.from_numpy(xys[here][None])
        template = network.features_at(pyramid, at[:, 0], location) if template is None else template
        found = PipsNetwork.track(network, pyramid, at, location, template, iterations)
        real = min(length, last - here + 1)
        xys[here + 1 : here + real] = found.xy[0, 1:real]
        seen[here + 1 : here + real] = found.visibility[0, 1:real].sigmoid()
        limit, step = 0.9, real - 1
        while seen[here + step] <= limit:
            step -= 1
            if step == 0:
                limit, step = limit - 0.02, real - 1
        here += step
    return xys, seen


@needs_shared
def test_window_equals_the_official_program() -> None:
    source = parity()
    values = source.state_dict(SHARED / "parity" / "pips.json")
    official = {f"module.{key}": torch.from_numpy(np.asarray(value)) for key, value in values.items()}
    network = PipsNetwork(FULL).eval()
    network.load_state_dict(without_wrappers(official), strict=True)
    images = torch.from_numpy(source.video(8, 96, 128)).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        window, features = network(images, torch.from_numpy(source.queries(9, 8, 96, 128)[:, 1:]), 6)
    expected = np.load(SHARED / "parity" / "pips.npz")
    assert np.abs(expected["tracks"] - expected["tracks"][0]).max() > 5
    # Agreement requested: 0.02 px and 5e-3; seen: 1.5e-4, 8e-5, 5e-6.
    assert np.abs(window.xy.transpose(0, 1).numpy() - expected["tracks"]).max() < 2e-3
    assert np.abs(window.visibility.T.numpy() - expected["visibility"]).max() < 1e-3
    assert np.abs(features.numpy() - expected["features"]).max() < 1e-4


def test_look_up_equals_whole_correlation_maps() -> None:
    """By its definition: a map of all correlations, halved by means, sampled bilinearly with zeros outside."""
    draw = torch.Generator().manual_seed(2)
    features = torch.randn(3, 16, 19, 17, generator=draw)
    xy = torch.rand(40, 2, generator=draw) * 30 - 6
    xy[0], xy[1], xy[2] = torch.tensor([-1e9, 1e9]), torch.tensor([4.0, 7.0]), torch.tensor([16.0, 18.0])
    frames, templates = torch.arange(40) % 3, torch.randn(40, 16, 2, generator=draw)
    ours = lookup(build_pyramid(features), frames, xy, templates)
    expected = []
    level = features
    for k in range(4):
        h, w = level.shape[2:]
        maps = torch.einsum("mchw,mck->mkhw", level[frames], templates) / 4
        steps = torch.arange(-3.0, 4)
        at = xy[:, None, None] / 2**k + torch.stack(torch.meshgrid(steps, steps, indexing="ij"), -1)
        grid = (2 * at + 1) / torch.tensor([w, h]) - 1
        expected.append(F.grid_sample(maps, grid.clamp(-1e4, 1e4), align_corners=False).flatten(2))
        level = F.avg_pool2d(level, 2)
    assert ours.shape == (40, 2, 196)
    assert torch.allclose(ours, torch.cat(expected, 2), atol=1e-4)
    assert ours[0].abs().max() == 0


def test_features_are_bilinear_and_those_of_the_border_outside() -> None:
    y, x = torch.meshgrid(torch.arange(9.0), torch.arange(8.0), indexing="ij")
    level = build_pyramid(torch.stack([torch.stack([x, y]), torch.stack([y, x])]))[0]
    at = torch.tensor([[1.25, 3.5], [-0.5, 20.0], [7.4, 0.0], [1.25, 3.5]])
    found = sample_at(level, torch.tensor([0, 0, 0, 1]), at)
    assert torch.allclose(found, torch.tensor([[1.25, 3.5], [0, 8], [7, 0], [3.5, 1.25]]))


def test_windows_are_linked_at_the_latest_sure_frame() -> None:
    visible = np.array(
        [
            [0.95, 0.2, 0.92, 0.1, 0.5, 0.9, 0.89],  # 0.9 is not more than 0.9
            [0.1, 0.87, 0.1, 0.865, 0.1, 0.2, 0.3],  # both count from 0.86 on
            [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
            [0.95, 0.96, 0.1, 1.0, 1.0, 1.0, 1.0],  # the clip ends after the third
            [0.99, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1],
        ],
        np.float32,
    )
    real = np.ones_like(visible, np.bool_)
    real[3, 3:] = False
    assert next_links(visible, real).tolist() == [3, 4, 7, 2, 1]
    assert next_links(visible[:0], real[:0]).tolist() == []


def test_tracks_are_those_of_each_point_alone_with_windows_from_images() -> None:
    """Late queries, several prompt frames, both directions: against one point and one window at a time."""
    clip, network = Clip(26), counting()
    queries = [(0, 20.5, 30.25), (0, 70, 50), (9, 44, 12.5), (11, 3, 70), (25, 60, 33), (24, 11, 20), (17, 80, 8)]
    points = Points.concat([Points.of(1, t, [[x, y]]) for t, x, y in queries])
    tracks = PipsTracker(network, CPU, iterations=3).track(clip, points)
    backward = Clip(26)
    backward.frames = backward.frames[::-1]
    for k, (t, x, y) in enumerate(queries):
        for source, start in ((clip, t), (backward, 25 - t)):
            xy, seen = chained_alone(network, source, start, np.array([x, y], np.float32), 3)
            ours, confidence = tracks.xy[:, k], tracks.confidence[:, k]
            if source is backward:
                ours, confidence = ours[::-1], confidence[::-1]
            # Random weights amplify rounding from window to window, by how much depends on the processor.
            assert np.abs(ours[start : start + 8] - xy[start : start + 8]).max() < 0.01
            assert np.abs(ours[start:] - xy[start:]).max() < 0.1
            assert np.abs(confidence[start + 1 :] - seen[start + 1 :]).max(initial=0) < 1e-2
        assert tracks.xy[t, k].tolist() == [x, y]
        assert tracks.visible[t, k]
    assert np.ptp(tracks.xy, axis=0).min() > 1  # they do move
    assert 0.1 < tracks.visible.mean() < 0.9  # some are seen, some are not


def test_each_frame_is_encoded_once_and_read_once_each_way_and_points_go_together() -> None:
    clip, network = Clip(40, (64, 64)), counting()
    xy = np.random.default_rng(0).uniform(4, 60, (8, 2))
    PipsTracker(network, CPU, iterations=2).track(clip, Points.of(1, 0, xy))
    assert network.encoded == 40
    assert sum(len(part) for part in clip.reads) == 40
    alone = []
    for point in xy:
        network.batches.clear()
        PipsTracker(network, CPU, iterations=2).track(clip, Points.of(1, 0, [point]))
        alone.append(len(network.batches))
    network.batches.clear()
    PipsTracker(network, CPU, iterations=2).track(clip, Points.of(1, 0, xy))
    assert sum(network.batches) == sum(alone)  # no window of a point is made twice ...
    assert len(network.batches) == max(alone) < sum(alone) / 2  # ... and no more calls than for the slowest point


def test_frames_are_shared_between_directions() -> None:
    clip, network = Clip(30, (64, 64)), counting()
    points = Points.concat([Points.of(1, t, [[30, 30], [40, 20]]) for t in (0, 14, 29)])
    PipsTracker(network, CPU, iterations=1).track(clip, points)
    assert network.encoded == 30


def test_windows_share_the_features_of_frames_that_both_have() -> None:
    frames, network = np.random.default_rng(5).integers(0, 256, (20, 64, 64, 3), np.uint8), counting()
    points = Points.of(1, 3, [[30, 30], [40, 20]])
    windows = [SubVideo(ArrayVideo(frames), r) for r in (range(12), range(19, 7, -1))]
    alone = [PipsTracker(network, CPU, iterations=1).track(window, points).xy for window in windows]
    network.encoded, tracker = 0, PipsTracker(network, CPU, iterations=1)
    shared = [tracker.track(window, points).xy for window in windows]
    assert network.encoded == 20
    assert np.abs(np.stack(alone) - np.stack(shared)).max() < 1e-3
    tracker.track(ArrayVideo(frames[:3, :, :48]), Points.of(1, 0, [[30, 30]]))  # frames of another size
    assert network.encoded == 23


def test_frames_that_no_point_needs_are_not_encoded() -> None:
    clip, network = Clip(30, (64, 64)), counting()
    PipsTracker(network, CPU, iterations=1).track(clip, Points.of(1, 25, [[30, 30]]))
    assert network.encoded == 30
    network.encoded = 0
    PipsTracker(network, CPU, iterations=1).track(Clip(1, (64, 64)), Points.of(1, 0, [[30, 30]]))
    PipsTracker(network, CPU, iterations=1).track(clip, Points.concat([]))
    assert network.encoded == 0


def test_features_are_bounded_and_right_after_they_were_given_up() -> None:
    clip, network = Clip(40, (64, 64)), counting()
    cache = ClipFeatures(
        clip,
        lambda frames: network.encode(torch.from_numpy(frames).permute(0, 3, 1, 2).float()),
        clip.size_hw,
        FeatureCache(cache_bytes=0),
        min_frames=5,
    )
    first = {frame: cache.pyramid[0][row].clone() for frame, row in cache.find_rows(range(5)).items()}
    for start in range(1, 36):
        cache.find_rows(range(start, start + 5))
    assert network.encoded == 40
    assert [len(level) for level in cache.pyramid] == [5] * 4
    again = cache.find_rows([3, 2, 39])
    assert network.encoded == 42  # frame 39 is still there
    assert torch.allclose(cache.pyramid[0][again[2]], first[2], atol=1e-5)
    assert torch.allclose(cache.pyramid[0][again[3]], first[3], atol=1e-5)


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 40), (63, 200), (65, 67)])
def test_frames_of_any_size_are_tracked(size_hw: tuple[int, int]) -> None:
    clip = Clip(3, size_hw)
    corners = [[0, 0], [size_hw[1] - 1, size_hw[0] - 1], [0, size_hw[0] - 1]]
    tracks = PipsTracker(counting(), CPU, iterations=1).track(clip, Points.of(1, 1, corners))
    assert np.isfinite(tracks.xy).all()
    assert tracks.xy[1].tolist() == corners


def test_many_points_are_followed_in_parts() -> None:
    clip, network = Clip(4, (64, 64)), counting()
    xy = np.random.default_rng(1).uniform(0, 63, (2000, 2))
    tracks = PipsTracker(network, CPU, iterations=1).track(clip, Points.of(1, 0, xy))
    assert max(network.batches) <= 256
    few = PipsTracker(network, CPU, iterations=1).track(clip, Points.of(1, 0, xy[[0, 999, 1999]]))
    assert np.abs(tracks.xy[:, [0, 999, 1999]] - few.xy).max() < 0.01


def test_visible_means_more_than_one_half_and_inside() -> None:
    class Moved(PipsNetwork):
        def track(self, *given: Any) -> Any:
            found = super().track(*given)
            logits = torch.tensor([9.0, 0.01, -0.01, 3, 3, 3, 3, 3])
            return found._replace(xy=given[2][:, None] + 4 * torch.arange(8.0)[:, None], visibility=logits.expand(1, 8))

    points = Points.of(1, 0, [[50, 40]])
    tracks: Tracks = PipsTracker(Moved(SMALL).eval(), CPU).track(Clip(8, (64, 64)), points)
    assert tracks.xy[:, 0, 0].tolist() == [50, 54, 58, 62, 66, 70, 74, 78]
    assert tracks.visible[:, 0].tolist() == [True, True, False, True, False, False, False, False]
    assert tracks.hidden_by[:, 0].tolist() == [0, 0, HiddenBy.TRACKER, 0, 1, 1, 1, 1]
    assert tracks.confidence[[0, 3], 0].tolist() == pytest.approx([1, 0.952574], abs=1e-5)


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
def test_small_network_keeps_clause(name: str, clause: Callable[..., None]) -> None:
    clause(PipsTracker(load_network(None, SMALL), CPU, iterations=2), TrackerLimits(exact_tolerance_px=None))


def test_random_weights_are_always_the_same_and_touch_no_global_generator() -> None:
    before = torch.get_rng_state()
    first, second = (load_network(None, SMALL).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(before, torch.get_rng_state())
    tracker = pips.create(weights=None, device="cpu")
    info = tracker.info
    assert (info.name, info.window, info.is_causal, info.license_code, info.license_weights) == ("pips", 8, False, "MIT", "MIT")


def message_of(create: Callable[..., Any], path: Path, content: object) -> str:
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(BackendError) as caught:
        create(weights=str(path), device="cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


def test_official_layout_loads_and_wrong_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    state = load_network(None).state_dict()
    torch.save({"model_state_dict": state, "optimizer_state_dict": {}}, path)
    assert pips.create(weights=str(path), device="cpu").info.device == "cpu"
    assert message_of(pips_pp.create, path, None).endswith(
        "; they are those of 'pips'. Expected an official pips-pp checkpoint."
    )
    half = {name: value for k, (name, value) in enumerate(state.items()) if k % 2}
    assert message_of(pips.create, path, {"model_state_dict": half}).startswith(
        "'pips' got weights of another network in FILE: 100 parameters are missing, unknown or of another size, the first is "
        "'delta_block.to_delta.0.weight'. Expected an official pips checkpoint."
    )
    assert message_of(pips.create, path, path.read_bytes()[:1000]).startswith("FILE cannot be read as weights (")
    path.unlink()
    assert message_of(pips.create, path, None).startswith("No file of weights is at FILE; expected a checkpoint")


def test_default_weights_offline_are_refused_with_the_location_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(BackendError, match=r"^'pips' is not in the cache and SAMPT_OFFLINE is set; fetch .*aharley/pips"):
        pips.create()


def test_without_pytorch_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it fails, as where it is not installed
from sampt.trackers import pips, pips_pp
for module in (pips, pips_pp):
    try:
        module.create()
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    for name, line in zip(("pips", "pips-pp"), done.stdout.splitlines(), strict=True):
        assert line.startswith(f"BackendError '{name}' needs PyTorch (")
        assert line.endswith("Run: pip install 'sampt[torch]'.")
