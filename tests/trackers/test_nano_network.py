"""The network of the tracker `nano` with random weights: reading of maps, matching, independence, ONNX, weights folders."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

import torch.nn.functional as F  # noqa: E402
from torch import Generator, Tensor  # noqa: E402

from sampt.backends.blocks import ConvNorm  # noqa: E402
from sampt.errors import BackendError  # noqa: E402
from sampt.trackers.nano import NanoTracker, NanoTrackerSettings, create  # noqa: E402
from sampt.trackers.nano.adapter import network_size  # noqa: E402
from sampt.trackers.nano.network import (  # noqa: E402
    COARSE,
    FINE,
    REACH,
    REFINED_PX,
    SUPPORT,
    NanoTrackerNetwork,
    _bells,
    _cells,
    _compare,
    _template,
)
from sampt.trackers.nano.onnx_runtime import OnnxRuntime  # noqa: E402
from sampt.trackers.nano.runtime import FILES, PointState  # noqa: E402
from sampt.trackers.nano.torch_runtime import TorchRuntime  # noqa: E402
from training.tracker.export import export  # noqa: E402


def random_network() -> NanoTrackerNetwork:
    """Not folded; its normalisation does something, and points are sure enough to learn what they look like."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = NanoTrackerNetwork().eval()
        for part in network.modules():
            if isinstance(part, ConvNorm):
                assert isinstance(part.norm, torch.nn.BatchNorm2d)
                part.norm.running_mean.normal_(0, 0.1)
                part.norm.running_var.uniform_(0.5, 1.5)
        with torch.no_grad():
            network.step.out[2].bias[2:] = 2.0
            network.step.out[2].weight *= 4
    return network


@pytest.fixture(scope="module")
def network() -> NanoTrackerNetwork:
    torch.set_num_threads(1)
    return random_network().fold()


@pytest.fixture(scope="module")
def folder(network: NanoTrackerNetwork, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("nano")
    export(network, out)
    return out


def uniform(*shape: int, low: float = 0.0, high: float = 1.0, seed: int = 0) -> Tensor:
    return torch.rand(shape, generator=Generator().manual_seed(seed)) * (high - low) + low


def read(maps: Tensor, xy: Tensor, stride: int) -> Tensor:
    """What ``grid_sample`` says of (b, m, 2) locations in pixels, (b, m, c)."""
    h, w = maps.shape[2:]
    grid = (xy + 0.5) * 2 / torch.tensor([w * stride, h * stride]) - 1
    out = F.grid_sample(maps, grid.unsqueeze(1), padding_mode="border", align_corners=False)
    return out[:, :, 0].transpose(1, 2)


def clouds(frames: int, size_hw: tuple[int, int], shift: int = 3) -> np.ndarray:
    """(t, h, w, 3) uint8: a coarse random image that moves to the right."""
    small = uniform(1, 3, size_hw[0] // 6 + 2, (size_hw[1] + frames * shift) // 6 + 2)
    wide = F.interpolate(small, (size_hw[0], size_hw[1] + frames * shift), mode="bilinear")[0].permute(1, 2, 0)
    image = (wide * 255).byte().numpy()
    return np.stack([image[:, (frames - t) * shift : (frames - t) * shift + size_hw[1]] for t in range(frames)])


# ---- reading maps ------------------------------------------------------------------------------------------------------------

LOCATIONS = {
    "inside": uniform(2, 40, 2, low=8.0, high=40.0),
    "centres": torch.tensor([[[3.5, 3.5], [11.5, 27.5], [51.5, 35.5]], [[43.5, 3.5], [19.5, 19.5], [3.5, 35.5]]]),
    "border": torch.tensor([[[0.0, 0.0], [55.0, 39.0], [-0.5, 20.0]], [[55.5, 39.5], [2.0, 38.0], [54.0, 1.0]]]),
    "outside": torch.tensor([[[-16.0, 5.0], [71.0, 55.0], [20.0, -9.0]], [[60.0, -3.0], [-1.0, 50.0], [100.0, 20.0]]]),
}


@pytest.mark.parametrize("where", LOCATIONS)
@pytest.mark.parametrize("stride", [FINE, COARSE])
def test_a_template_is_read_bilinearly_about_its_location(where: str, stride: int) -> None:
    maps = uniform(2, 6, 40 // stride, 56 // stride, low=-1.0)
    xy = LOCATIONS[where]
    got = _template(maps, xy, stride)
    assert got.shape == (*xy.shape[:2], SUPPORT * SUPPORT, 6)
    for k in range(SUPPORT * SUPPORT):
        aside = xy + stride * torch.tensor([k % SUPPORT - SUPPORT // 2, k // SUPPORT - SUPPORT // 2])
        torch.testing.assert_close(got[:, :, k], read(maps, aside, stride), rtol=0, atol=1e-5)


def test_cells_beyond_the_border_are_those_at_the_border() -> None:
    maps = uniform(2, 3, 5, 7)
    low = torch.tensor([[[-2.0, -1.0], [4.0, 3.0], [20.0, -9.0]], [[0.0, 0.0], [6.0, 4.0], [-30.0, 2.0]]])
    got = _cells(maps, low, 4)
    assert got.shape == (2, 3, 16, 3)
    for clip in range(2):
        for point in range(3):
            for k in range(16):
                x = min(max(int(low[clip, point, 0]) + k % 4, 0), 6)
                y = min(max(int(low[clip, point, 1]) + k // 4, 0), 4)
                assert torch.equal(got[clip, point, k], maps[clip, :, y, x])


def test_on_the_centre_of_a_cell_the_template_is_that_cell() -> None:
    maps = uniform(1, 5, 6, 7)
    template = _template(maps, torch.tensor([[[8 * 4 + 3.5, 8 * 2 + 3.5]]]), COARSE)
    assert torch.equal(template[0, 0].view(3, 3, 5), maps[0, :, 1:4, 3:6].permute(1, 2, 0))


def test_comparing_is_the_product_of_the_features_about_a_cell() -> None:
    maps, cells = uniform(2, 8, 10, 14, low=-1.0), uniform(2, 3, 2, 2, low=-1.0, high=14.0, seed=1).floor()
    templates = uniform(2, 3, 8, 18, low=-1.0, seed=2)
    got = _compare(maps, cells, templates).view(2, 3, 2, REACH, REACH, 18)
    for row in (0, 3, 6):
        for column in (0, 3, 6):
            aside = (cells + torch.tensor([column - 3, row - 3]) + 0.5) * FINE - 0.5
            features = read(maps, aside.flatten(1, 2), FINE).view(2, 3, 2, 8)
            torch.testing.assert_close(got[:, :, :, row, column], features @ templates, rtol=0, atol=1e-5)


def test_bells_are_highest_at_their_cell_and_fall_as_gaussians() -> None:
    cells = torch.tensor([[[2.0, 1.0], [4.3, 3.8], [-2.0, 9.0]]])
    heights = torch.tensor([[[1.0, 0.0], [0.0, 1.0], [1.0, 2.0]]])
    bell = _bells(cells, 5, 6, (1.5, 4.0), heights)[0].view(3, 5, 6)
    assert [divmod(int(b.argmax()), 6) for b in bell] == [(1, 2), (4, 4), (4, 0)]
    assert bell[0, 1, 2] == 1
    assert float(bell[0, 3, 3]) == pytest.approx(np.exp(-(1 + 4) / (2 * 1.5**2)))
    assert float(bell[1, 0, 5]) == pytest.approx(np.exp(-(0.7**2 + 3.8**2) / (2 * 4**2)), rel=1e-5)
    both = np.exp(-(2**2 + 5**2) / (2 * 1.5**2)) + 2 * np.exp(-(2**2 + 5**2) / (2 * 4**2))
    assert float(bell[2, 4, 0]) == pytest.approx(both, rel=1e-5)


# ---- matching ----------------------------------------------------------------------------------------------------------------


def distinct(h: int, w: int) -> tuple[Tensor, Tensor]:
    """Maps of h x w coarse cells; every one of them has a direction of its own."""
    coarse = torch.eye(128)[: h * w].T.reshape(1, 128, h, w)
    fine = uniform(1, 64, 2 * h, 2 * w, low=-1.0)
    return fine, coarse


@torch.no_grad()
def test_on_the_same_frame_the_match_is_the_points_own_location(network: NanoTrackerNetwork) -> None:
    fine, coarse = distinct(8, 12)
    xy = uniform(1, 200, 2) * torch.tensor([95.0, 63.0])
    state = network.step.begin(fine, coarse, xy)
    # What is known of the last location leads nowhere: all points were seen in a corner.
    lost = state._replace(xy=torch.zeros_like(xy), seen=torch.zeros_like(state.seen))
    for known in (state, lost):
        _, match, found, strength = network.step._global(coarse, known)
        assert match.shape == (1, 200, 96)
        assert (found - xy).abs().max() <= COARSE / 2 + 1e-3
        assert (strength[..., 2] <= 1).all()
    middle = torch.tensor([[[43.5, 27.5]]])  # the centre of cell (5, 3)
    state = network.step.begin(fine, coarse, middle)
    _, match, found, strength = network.step._global(coarse, state)
    torch.testing.assert_close(found, middle, rtol=0, atol=0.05)
    assert int(match.argmax()) == 3 * 12 + 5
    torch.testing.assert_close(strength[0, 0, :2], torch.ones(2))


@torch.no_grad()
def test_cells_beyond_the_border_do_not_pull_the_location_of_a_match(network: NanoTrackerNetwork) -> None:
    fine, coarse = distinct(8, 12)
    flat = coarse.mean((2, 3), keepdim=True).expand_as(coarse)  # every cell matches alike, the corner a little better
    corner = flat.clone()
    corner[:, :, 0, 0] += 0.01 * flat[:, :, 0, 0]
    state = network.step.begin(fine, flat, torch.tensor([[[40.0, 30.0]]]))
    lost = state._replace(xy=torch.tensor([[[-4000.0, -4000.0]]]), seen=torch.zeros(1, 1))
    _, _, found, _ = network.step._global(corner, lost)
    # The mean of cells 0, 1 and 2 in each direction is cell 1.
    torch.testing.assert_close(found, torch.tensor([[[11.5, 11.5]]]), rtol=0, atol=0.3)


@torch.no_grad()
def test_the_match_follows_a_moved_frame_however_far(network: NanoTrackerNetwork) -> None:
    fine, coarse = distinct(8, 12)
    xy = torch.tensor([[[19.5, 11.5], [27.5, 35.5]]])
    state = network.step.begin(fine, coarse, xy)
    _, _, found, _ = network.step._global(coarse.roll((2, 6), (2, 3)), state)
    torch.testing.assert_close(found, xy + torch.tensor([48.0, 16.0]), rtol=0, atol=0.05)


# ---- independence ------------------------------------------------------------------------------------------------------------


@torch.no_grad()
def run_steps(network: NanoTrackerNetwork, images: Tensor, xy: Tensor) -> PointState:
    """(b, t, 3, h, w) and (b, n, 2) -> the state after the last image."""
    fine, coarse = (f.unflatten(0, images.shape[:2]) for f in network.encoder(images.flatten(0, 1)))
    state = network.step.begin(fine[:, 0], coarse[:, 0], xy)
    for k in range(1, images.shape[1]):
        state, _ = network.step(fine[:, k], coarse[:, k], state)
    return state


@torch.no_grad()
def run_refinement(network: NanoTrackerNetwork, images: Tensor, xy: Tensor, off_px: float = 3.0) -> PointState:
    """The same of the refinement, when the step is off by so many pixels."""
    fine, coarse = (f.unflatten(0, images.shape[:2]) for f in network.encoder(images.flatten(0, 1)))
    state = network.step.begin(fine[:, 0], coarse[:, 0], xy)
    for k in range(1, images.shape[1]):
        state = network.step.refine(fine[:, k], coarse[:, k], state, xy + off_px, torch.full(xy.shape[:2], 0.8))
    return state


def as_images(frames: np.ndarray) -> Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2)[None].float() / 127.5 - 1


def assert_same(got: PointState, expected: PointState) -> None:
    for name, a, b in zip(PointState._fields, got, expected, strict=True):
        np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=0, atol=2e-3 if name in ("xy", "velocity") else 1e-4)


def test_points_do_not_know_of_each_other_nor_of_their_order(network: NanoTrackerNetwork) -> None:
    images = as_images(clouds(4, (64, 96)))
    xy = uniform(1, 12, 2) * torch.tensor([95.0, 63.0])
    whole = run_steps(network, images, xy)
    assert (whole.xy - xy).norm(dim=-1).median() > 1
    order = torch.randperm(12, generator=Generator().manual_seed(0))
    assert_same(run_steps(network, images, xy[:, order]), PointState(*(part[:, order] for part in whole)))
    assert_same(run_steps(network, images, xy[:, 7:8]), PointState(*(part[:, 7:8] for part in whole)))


def test_refined_points_do_not_know_of_each_other(network: NanoTrackerNetwork) -> None:
    images = as_images(clouds(4, (64, 96)))
    xy = uniform(1, 12, 2) * torch.tensor([95.0, 63.0])
    whole = run_refinement(network, images, xy)
    assert_same(run_refinement(network, images, xy[:, 7:8]), PointState(*(part[:, 7:8] for part in whole)))


def test_the_refinement_leaves_a_point_where_the_step_says_when_it_is_unsure_or_far_off(network: NanoTrackerNetwork) -> None:
    images, xy = as_images(clouds(2, (64, 96))), uniform(1, 12, 2) * torch.tensor([95.0, 63.0])
    unsure = copy.deepcopy(network)
    with torch.no_grad():
        unsure.step.out[2].bias[3] = -20.0
    state = run_refinement(unsure, images, xy)
    assert torch.equal(state.xy, xy + 3)
    assert (state.seen == 0).all()
    far = copy.deepcopy(network)
    with torch.no_grad():
        far.step.out[2].bias[:2] = 2 * REFINED_PX / FINE
    assert torch.equal(run_refinement(far, images, xy).xy, xy + 3)
    moved = run_refinement(network, images, xy)
    assert (moved.xy != xy + 3).any()
    assert ((moved.xy - xy - 3).norm(dim=-1) < REFINED_PX).all()


def test_clips_of_a_batch_do_not_know_of_each_other(network: NanoTrackerNetwork) -> None:
    frames = clouds(4, (64, 96))
    images = torch.cat([as_images(frames), as_images(frames[::-1, :, ::-1].copy())])
    xy = uniform(2, 6, 2) * torch.tensor([95.0, 63.0])
    both = run_steps(network, images, xy)
    for k in (0, 1):
        alone = run_steps(network, images[k : k + 1], xy[k : k + 1])
        assert_same(alone, PointState(*(part[k : k + 1] for part in both)))


def test_folding_keeps_what_the_network_computes(network: NanoTrackerNetwork) -> None:
    images, xy = as_images(clouds(3, (64, 96))), uniform(1, 5, 2) * 60
    assert_same(run_steps(network, images, xy), run_steps(random_network(), images, xy))


def test_a_point_given_twice_is_one_point(network: NanoTrackerNetwork) -> None:
    images, xy = as_images(clouds(3, (64, 96))), torch.tensor([[[30.0, 20.0], [60.0, 40.0], [30.0, 20.0]]])
    state = run_steps(network, images, xy)
    torch.testing.assert_close(state.xy[:, 0], state.xy[:, 2])


# ---- runtimes ----------------------------------------------------------------------------------------------------------------


def trackers(folder: Path) -> tuple[NanoTracker, NanoTracker]:
    return NanoTracker(OnnxRuntime(folder)), NanoTracker(TorchRuntime(folder, "cpu"))


def test_the_exported_files_hold_the_networks_weights(network: NanoTrackerNetwork, folder: Path) -> None:
    images, xy = as_images(clouds(3, (64, 96))), uniform(1, 5, 2) * 60
    loaded = TorchRuntime(folder, "cpu")._network
    assert_same(run_steps(loaded, images, xy), run_steps(network, images, xy))
    assert_same(run_refinement(loaded, images, xy), run_refinement(network, images, xy))
    assert sum((folder / name).stat().st_size for name in FILES) < 10e6


@pytest.mark.parametrize("size_hw", [(61, 97), (480, 854), (16, 16), (97, 61), (96, 128)])
def test_onnx_runtime_equals_pytorch_with_points_added_in_mid_stream(folder: Path, size_hw: tuple[int, int]) -> None:
    """Sizes other than that of the export's example count: nothing of it may stay in the files."""
    frames = clouds(6, size_hw)
    limit = np.array([size_hw[1] - 1, size_hw[0] - 1])
    first, more = (np.random.default_rng(k).random((8, 2)) * limit for k in (0, 1))
    first[0] = limit
    streams = [tracker.stream() for tracker in trackers(folder)]
    for t, frame in enumerate(frames):
        one, other = (stream.push(frame) for stream in streams)
        assert len(one.xy) == (0 if t == 0 else 8 if t <= 3 else 16)
        np.testing.assert_allclose(one.xy, other.xy, rtol=0, atol=5e-3)
        np.testing.assert_allclose(one.confidence, other.confidence, rtol=0, atol=1e-3)
        assert np.isfinite(one.xy).all()
        assert (one.xy >= 0).all()
        assert (one.xy <= limit).all()
        for stream in streams:
            if t in (0, 3):
                stream.add((first if t == 0 else more).astype(np.float32))


def test_points_are_told_apart_beyond_the_size_of_the_exported_example(folder: Path) -> None:
    """A step may move points a little, not bring them to x = 143, the border of the example."""
    frames = clouds(2, (160, 384), shift=0)
    stream = NanoTracker(OnnxRuntime(folder), NanoTrackerSettings(longest_side=384)).stream()
    stream.push(frames[0])
    stream.add(np.array([[350.0, 150.0], [250.0, 140.0]], np.float32))
    xy = stream.push(frames[1]).xy
    assert xy[:, 0].min() > 180


def test_what_a_stream_keeps_does_not_grow(folder: Path) -> None:
    frames = clouds(10, (48, 64))
    for tracker in trackers(folder):
        stream = tracker.stream()
        stream.push(frames[0])
        stream.add(np.array([[10.0, 10.0], [40.0, 20.0]], np.float32))
        cached = []
        for frame in frames[1:]:
            stream.push(frame)
            level = stream._level  # type: ignore[attr-defined]
            cached.append([tuple(part.shape) for part in (*level.states[0], *level.features)])
            assert len(level.states) == 1
        assert all(shapes == cached[0] for shapes in cached)
        assert cached[0][0] == (1, 2, 2)


def test_the_size_that_the_network_sees() -> None:
    assert network_size((480, 854), 384) == (224, 384)
    assert network_size((61, 97), 384) == (240, 384)
    assert network_size((16, 16), 384) == (384, 384)
    assert network_size((4, 900), 384) == (32, 384)


def test_a_frame_that_is_scaled_up_keeps_its_points_where_they_are(folder: Path) -> None:
    """The state holds locations of the network's image; a point reported unmoved has to come back to where it was."""
    stream = NanoTracker(OnnxRuntime(folder), NanoTrackerSettings(longest_side=384)).stream()
    stream.push(clouds(1, (60, 96))[0])
    given = np.array([[0.0, 0.0], [95.0, 59.0], [10.25, 33.5]], np.float32)
    stream.add(given)
    held = stream._level.states[0].xy[0]  # type: ignore[attr-defined]
    np.testing.assert_allclose(held, (given + 0.5) * 4 - 0.5)


# ---- weights folders ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(folder: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder, tmp_path / "broken"))


def refusal(folder: Path, device: str) -> str:
    with pytest.raises(BackendError) as caught:
        create(weights=str(folder), device=device)
    message = str(caught.value)
    assert "\n" not in message
    assert "'nano'" in message
    return message


@pytest.mark.parametrize("device", ["cpu", "cpu:0"], ids=["onnx", "torch"])
@pytest.mark.parametrize("name", FILES)
def test_a_missing_file_is_named(broken: Path, name: str, device: str) -> None:
    (broken / name).unlink()
    assert f"no {name} in" in refusal(broken, device)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"], ids=["onnx", "torch"])
@pytest.mark.parametrize("cached", [0, 1000, -5000], ids=["empty", "start", "limit"])
def test_a_truncated_file_is_named(broken: Path, cached: int, device: str) -> None:
    whole = (broken / "step.onnx").read_bytes()
    (broken / "step.onnx").write_bytes(whole[:cached])
    assert "step.onnx" in refusal(broken, device)


@pytest.mark.parametrize("device", ["cpu", "cpu:0"], ids=["onnx", "torch"])
def test_another_networks_step_is_refused(broken: Path, device: str) -> None:
    shutil.copy(broken / "encoder.onnx", broken / "step.onnx")
    assert "step.onnx" in refusal(broken, device)


def test_a_device_that_is_not_there_is_refused(folder: Path) -> None:
    assert "Choose 'auto', 'cpu', or" in refusal(folder, "nonsense")


def test_random_weights_are_the_same_every_time() -> None:
    before = torch.random.get_rng_state()
    one, other = (create(weights=None)._runtime._network.state_dict() for _ in range(2))  # type: ignore[attr-defined]
    assert all(torch.equal(value, other[name]) for name, value in one.items())
    assert torch.equal(before, torch.random.get_rng_state())
