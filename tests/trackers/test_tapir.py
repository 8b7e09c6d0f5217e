"""TAPIR: equal to the official program, whole clips equal their chunks, and what the adapter adds to it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

import torch.nn.functional as F  # noqa: E402

from sampt.errors import BackendError  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers import tapir  # noqa: E402
from sampt.trackers.base import track_frames  # noqa: E402
from sampt.trackers.tapir.adapter import CausalTapirTracker, FrameView, TapirTracker, load_network  # noqa: E402
from sampt.trackers.tapir.clip import ClipFeatures, ClipPass  # noqa: E402
from sampt.trackers.tapir.network import (  # noqa: E402
    BOOTSTAPIR,
    BOOTSTAPIR_CAUSAL,
    TAPIR,
    Levels,
    TapirNetwork,
    TapirSizes,
    _correlations,
)
from sampt.types import HiddenBy, Points  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402
from sampt.video.base import SubVideo  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")
CPU = torch.device("cpu")
REDUCED = {"image_hw": (64, 64), "widths": (8, 16, 24, 32), "hidden": 24, "blocks": 2, "iterations": 3}
SIZES = {
    "tapir": replace(TAPIR, **REDUCED),
    "bootstapir": replace(BOOTSTAPIR, extra_blocks=1, **REDUCED),
    "bootstapir-causal": replace(BOOTSTAPIR_CAUSAL, extra_blocks=1, **REDUCED),
}
FACTORIES = {"tapir": tapir.create, "bootstapir": tapir.create_boots, "bootstapir-causal": tapir.create_boots_causal}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Networks this small wait for each other's threads longer than they compute."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


def parity() -> Any:
    spec = importlib.util.spec_from_file_location("parity", SHARED / "parity" / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@cache
def reduced(name: str) -> TapirNetwork:
    """With weights large enough that points move and frames matter."""
    network = load_network(name, None, SIZES[name])
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        if parameter.ndim > 1:
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
    return network


def tracker(name: str) -> TapirTracker | CausalTapirTracker:
    view = FrameView(name, reduced(name), CPU)
    return CausalTapirTracker(view) if reduced(name).sizes.is_causal else TapirTracker(view, frames_at_once=4)


class Clip:
    """Noise that moves; notes what is read."""

    def __init__(self, num_frames: int, size_hw: tuple[int, int] = (64, 64)) -> None:
        noise = np.random.default_rng(0).integers(0, 256, (size_hw[0], size_hw[1] + num_frames, 3), dtype=np.uint8)
        self.frames = np.stack([noise[:, k : k + size_hw[1]] for k in range(num_frames)])
        self.num_frames, self.size_hw = num_frames, size_hw
        self.num_read = 0

    def read(self, start: int, stop: int) -> np.ndarray:
        assert 0 <= start < stop <= self.num_frames
        self.num_read += stop - start
        return self.frames[start:stop]


def images(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def some_points(num_frames: int, count: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    """Locations in a 64 x 64 image, the first two on its corners, and frames; the first and the last one among them."""
    rng = np.random.default_rng(5)
    xy = np.concatenate([[[0, 0], [64, 64]], rng.uniform(0, 64, (count - 2, 2))]).astype(np.float32)
    frame_idx = np.concatenate([[0, num_frames - 1], rng.integers(0, num_frames, count - 2)])
    return torch.from_numpy(xy), torch.from_numpy(frame_idx)


@needs_shared
@pytest.mark.parametrize(
    ("fixture", "sizes"),
    [
        pytest.param("tapir", TAPIR, marks=pytest.mark.slow),
        ("bootstapir", BOOTSTAPIR),
        ("causal_bootstapir", BOOTSTAPIR_CAUSAL),
    ],
)
def test_network_equals_the_official_program(fixture: str, sizes: TapirSizes) -> None:
    source = parity()
    with torch.device("meta"):
        network = TapirNetwork(replace(sizes, image_hw=(128, 128))).eval()
    official = source.state_dict(SHARED / "parity" / f"{fixture}.json")
    network.load_state_dict({k: torch.from_numpy(np.asarray(v)) for k, v in official.items()}, strict=True, assign=True)
    queries = torch.from_numpy(source.queries(9, 10, 128, 128))
    with torch.inference_mode():
        table = network(images(source.video(10, 128, 128)), queries[:, 1:], queries[:, 0].long()).numpy()
    expected = np.load(SHARED / "parity" / f"{fixture}.npz")
    assert expected["tracks"].shape == (9, 10, 2)
    assert np.abs(table[..., :2] - expected["tracks"]).max() < 1e-3  # agreement requested: 0.05 px; seen: 6e-5
    assert np.abs(table[..., 2] - expected["occlusion"]).max() < 1e-4  # requested: 5e-3; seen: 2e-5
    assert np.abs(table[..., 3] - expected["expected_dist"]).max() < 1e-4


@pytest.mark.parametrize("name", ["tapir", "bootstapir"])
@pytest.mark.parametrize(("num_frames", "chunk"), [(1, 4), (2, 1), (5, 16), (23, 1), (23, 5), (40, 16)])
def test_chunks_give_what_the_whole_clip_gives(name: str, num_frames: int, chunk: int) -> None:
    network, clip = reduced(name), Clip(num_frames)
    xy, frame_idx = some_points(num_frames)
    with torch.inference_mode():
        whole = network(images(clip.frames), xy, frame_idx)
        features = ClipFeatures(network, clip, FrameView(name, network, CPU).image)
        passed = ClipPass(network, features.templates(xy, frame_idx), xy, frame_idx)
        parts = []
        for start, levels in features.in_order(chunk):
            parts.append(passed.push(start, levels, ends=start + len(levels[0]) == num_frames))
            # Three refinements, of which two wait for frames: their lateness and a chunk is all that is kept.
            assert len(passed._window) <= 2 * network.lateness + chunk
    assert torch.allclose(torch.cat(parts, 1), whole, atol=1e-4)
    moved = (whole[..., :2] - xy[:, None]).norm(dim=-1)
    assert num_frames == 1 or moved.max() > 3


def test_as_many_blocks_and_refinements_as_the_official_network_has_give_the_same_in_chunks() -> None:
    sizes = replace(TAPIR, **(REDUCED | {"blocks": 12, "iterations": 4}))
    network, clip = load_network("tapir", None, sizes), Clip(110)
    assert network.lateness == 24
    xy, frame_idx = some_points(110)
    points = Points(xy.numpy() - 0.5, frame_idx.numpy(), np.ones(7, int), np.ones(7, bool))
    found = TapirTracker(FrameView("tapir", network, CPU)).track(clip, points)
    with torch.inference_mode():
        whole = network(images(clip.frames), xy, frame_idx)[..., :2].transpose(0, 1).numpy() - 0.5
    whole[frame_idx, np.arange(7)] = points.xy
    assert np.abs(found.xy - whole).max() < 1e-3


def test_a_refinement_sees_as_far_as_its_lateness_says() -> None:
    network = reduced("tapir")
    assert network.lateness == 4
    frames = torch.randn(1, 30, network.sizes.table, generator=torch.Generator().manual_seed(0))
    levels = tuple(torch.zeros(30, 8, 8, width) for width in (16, 32))  # nothing to be seen
    other = frames.clone()
    other[:, 15, 2:] += 1
    with torch.inference_mode():
        first, second = (network.refine(x, levels, network.start(1)[0], ends=True)[0] for x in (frames, other))
    changed = (first - second).abs().amax((0, 2)).nonzero()[:, 0]
    assert changed.tolist() == list(range(15 - 4, 15 + 4 + 1))


class Counting(TapirNetwork):
    """Counts the images that it encodes."""

    encoded = 0

    def encode(self, images: torch.Tensor) -> Levels:
        self.encoded += len(images)
        return super().encode(images)


def test_each_frame_of_a_clip_is_encoded_once() -> None:
    network, clip = Counting(SIZES["tapir"]).eval(), Clip(11)
    counting = TapirTracker(FrameView("tapir", network, CPU), frames_at_once=4)
    tracks = counting.track(clip, Points(np.full((5, 2), 20), np.array([0, 3, 4, 10, 3]), np.ones(5, int), np.ones(5, bool)))
    assert network.encoded == 11
    assert clip.num_read == 11 + 4  # the prompt frames first
    assert (tracks.hidden_by != HiddenBy.NOT_TRACKED).all()
    counting.track(clip, Points.concat([]))
    assert network.encoded == 11


def test_windows_share_the_features_of_frames_that_both_have() -> None:
    network, clip = Counting(SIZES["tapir"]).eval(), Clip(11)
    tracker, points = TapirTracker(FrameView("tapir", network, CPU)), Points.of(1, 1, [[20, 20], [30, 25]])
    first, second = SubVideo(ArrayVideo(clip.frames), range(8)), SubVideo(ArrayVideo(clip.frames), range(10, 2, -1))
    alone = [TapirTracker(FrameView("tapir", network, CPU)).track(video, points).xy for video in (first, second)]
    network.encoded = 0
    shared = [tracker.track(video, points).xy for video in (first, second)]
    assert network.encoded == 11
    assert np.abs(np.stack(alone) - np.stack(shared)).max() < 1e-3


def test_causal_network_computes_nothing_without_points_and_each_frame_once() -> None:
    network = Counting(SIZES["bootstapir-causal"]).eval()
    stream = CausalTapirTracker(FrameView("bootstapir-causal", network, CPU)).stream()
    frames = Clip(5).frames
    for frame in frames[:2]:
        stream.push(frame)
    assert network.encoded == 0
    stream.add(np.array([[3, 4]], np.float32))
    stream.push(frames[2])
    stream.add(np.array([[30, 40], [5, 6]], np.float32))
    stream.add(np.zeros((0, 2), np.float32))
    assert len(stream.push(frames[3]).xy) == 3
    assert network.encoded == 3


def test_stream_gives_what_the_causal_network_gives_for_the_clip_from_each_query_frame_on() -> None:
    network, clip = reduced("bootstapir-causal"), Clip(12)
    xy, frame_idx = some_points(12, 9)
    points = Points(xy.numpy() - 0.5, frame_idx.numpy(), np.ones(9, int), np.ones(9, bool))
    found = np.full((12, 9, 2), np.nan, np.float32)
    sure = np.zeros((12, 9), np.float32)
    for frame, columns, step, _ in track_frames(tracker("bootstapir-causal").stream, enumerate(clip.frames), points):
        found[frame, columns], sure[frame, columns] = step.xy, step.confidence
    for point, first in enumerate(frame_idx.tolist()):
        with torch.inference_mode():
            table = network(images(clip.frames[first:]), xy[point : point + 1], torch.zeros(1, dtype=torch.long))[0, 1:]
        assert np.abs(found[first + 1 :, point] + 0.5 - table[:, :2].numpy()).max(initial=0) < 1e-3
        confidence = (1 - table[:, 2].sigmoid()) * (1 - table[:, 3].sigmoid())
        assert np.abs(sure[first + 1 :, point] - confidence.numpy()).max(initial=0) < 1e-4
        assert np.isnan(found[:first, point]).all()


def test_frames_whose_memory_is_used_again_are_tracked_alike() -> None:
    frames, ends = Clip(3).frames, []
    for reused in (None, np.empty_like(frames[0])):
        stream = tracker("bootstapir-causal").stream()
        for k, frame in enumerate(frames):
            memory = frame.copy() if reused is None else reused
            memory[:] = frame
            step = stream.push(memory)
            if k == 0:
                memory[:] = 0
                stream.add(np.array([[50, 60]], np.float32))
        ends.append(step.xy)
    assert np.array_equal(ends[0], ends[1])


def test_many_points_are_matched_in_parts_alike() -> None:
    network = reduced("bootstapir")
    rng = torch.Generator().manual_seed(2)
    xy = torch.rand(1500, 2, generator=rng) * 64
    with torch.inference_mode():
        video = images(Clip(2).frames)
        many = network(video, xy, torch.zeros(1500, dtype=torch.long))
        few = network(video, xy[1200:1210], torch.zeros(10, dtype=torch.long))
    assert torch.allclose(many[1200:1210], few, atol=1e-4)


def test_correlations_are_those_of_interpolated_features() -> None:
    rng = torch.Generator().manual_seed(3)
    level, wanted = torch.randn(2, 6, 9, 5, generator=rng), torch.randn(4, 2, 5, generator=rng)
    xy = torch.tensor([[4.3, 2.9], [0.5, 0.5], [-2.4, 8.75], [1e6, -1e6]])[:, None].repeat(1, 2, 1)
    found = _correlations(level, xy, wanted)
    reach = torch.arange(-3.0, 4)
    around = torch.stack(torch.meshgrid(reach, reach, indexing="xy"), -1).view(49, 2)
    for frame in range(2):
        grid = 2 * (xy[:, frame, None] + around) / torch.tensor([9, 6]) - 1
        features = F.grid_sample(level[frame].permute(2, 0, 1)[None], grid[None], align_corners=False)[0]
        assert torch.allclose(found[:, frame], torch.einsum("cns,nc->ns", features, wanted[:, frame]), atol=1e-4)
    assert (found[3] == 0).all()
    assert (found[2] != 0).any()


def test_looks_at_the_border_are_those_of_the_outermost_cells() -> None:
    network = reduced("tapir")
    fine, coarse = torch.arange(256.0).view(16, 16, 1), torch.arange(64.0).view(8, 8, 1)
    templates = network.sample((fine, coarse), torch.tensor([[0.0, 0.0], [64.0, 64.0], [2.0, 2.0], [4.0, 2.0], [64.0, 32.0]]))
    expected = [[0, 0], [255, 63], [0, 0], [0.5, 0], [(127 + 143) / 2, (31 + 39) / 2]]
    assert torch.allclose(templates, torch.tensor(expected), atol=1e-4)


def test_locations_count_from_the_corner_in_the_network_and_from_the_centre_here() -> None:
    view = FrameView("tapir", load_network("tapir", None, replace(TAPIR, **{**REDUCED, "image_hw": (256, 256)})), CPU)
    xy = np.array([[0, 0], [853, 479], [426.5, 239.5]], np.float32)
    locations = view.locations(xy, (480, 854))
    expected = [[0.5 * 256 / 854, 0.5 * 256 / 480], [853.5 * 256 / 854, 479.5 * 256 / 480], [128, 128]]
    assert torch.allclose(locations, torch.tensor(expected), atol=1e-3)
    table = torch.cat([locations, torch.zeros(3, 2)], 1)[:, None]
    assert np.abs(view.to_step(table, (480, 854)).xy[0] - xy).max() < 1e-3


def test_points_are_visible_when_they_are_seen_sure_and_inside() -> None:
    view = FrameView("tapir", reduced("tapir"), CPU)
    logit = float(torch.logit(torch.tensor(1 - 0.1**0.5)))  # two of them make a confidence of 0.1
    rows = [
        [32, 32, logit - 0.01, logit - 0.01],
        [32, 32, logit + 0.01, logit + 0.01],
        [64.1, 32, -9, -9],
        [0, 0, -9, -9],
        [32, 32, -9, 9],
    ]
    step = view.to_step(torch.tensor(rows)[:, None], (64, 64))
    assert step.visible[0].tolist() == [True, False, False, True, False]
    assert step.confidence[0, :2] == pytest.approx([0.1, 0.1], abs=2e-3)


def test_frames_are_stretched_as_by_pillow() -> None:
    view = FrameView("tapir", reduced("tapir"), CPU)
    frame = np.zeros((128, 256, 3), np.uint8)
    frame[:, 128:] = 255, 0, 51
    image = view.image(frame)
    assert image.shape == (1, 3, 64, 64)
    assert image[0, :, 10, 5].tolist() == [-1, -1, -1]
    assert image[0, :, 60, 60].tolist() == pytest.approx([1, -1, -0.6])
    small = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    assert torch.allclose(view.image(small), images(small[None]))


@pytest.mark.parametrize(("clause", "check"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
@pytest.mark.parametrize("name", list(SIZES))
def test_tracker_keeps_clause(name: str, clause: str, check: Any) -> None:
    # Random convolutions over time are not those of the reversed time; the causal tracker reverses the clip.
    reversed_px = 0.05 if name == "bootstapir-causal" else np.inf
    check(tracker(name), TrackerLimits(exact_tolerance_px=None, reversed_px=reversed_px))


@pytest.mark.parametrize("name", list(SIZES))
def test_frames_of_any_size_are_tracked(name: str) -> None:
    for h, w in ((1, 1), (5, 40), (33, 200)):
        tracks = tracker(name).track(Clip(3, (h, w)), Points.of(1, 1, [[0, 0], [w - 1, h - 1]]))
        assert np.isfinite(tracks.xy).all()
        assert tracks.visible[1].all()


def test_what_the_trackers_tell_of_themselves() -> None:
    for name, is_causal in (("tapir", False), ("bootstapir", False), ("bootstapir-causal", True)):
        made = FACTORIES[name](weights=None, device="cpu")
        assert (made.info.name, made.info.is_causal, made.info.is_joint) == (name, is_causal, False)
    with pytest.raises(BackendError, match=r"^'tapir' cannot run on device 'cuda:99': .*Choose 'auto', 'cpu', or a"):
        tapir.create(weights=None, device="cuda:99")


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("tapir", "tapir_checkpoint_panning.pt"),
        ("bootstapir", "bootstapir_checkpoint_v2.pt"),
        ("bootstapir-causal", "causal_bootstapir_checkpoint.pt"),
    ],
)
def test_default_weights_offline_are_refused_with_the_location_to_get_them(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(BackendError) as caught:
        FACTORIES[name]()
    message = str(caught.value)
    assert message.startswith(f"'{name}' is not in the cache and SAMPT_OFFLINE is set; fetch https://storage.googleapis.com/")
    assert f"{file} on a machine with network" in message
    assert "\n" not in message


def test_wrong_files_are_refused_in_one_line(tmp_path: Path) -> None:
    def message(state: Any, name: str) -> str:
        path = tmp_path / "w.pt"
        torch.save(state, path)
        with pytest.raises(BackendError) as caught:
            FACTORIES[name](weights=str(path), device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(path), "FILE")

    with torch.device("meta"):
        networks = {name: TapirNetwork(sizes) for name, sizes in (("tapir", TAPIR), ("bootstapir", BOOTSTAPIR))}
    states = {
        name: {key: torch.zeros(1).expand(value.shape) for key, value in network.state_dict().items()}
        for name, network in networks.items()
    }
    for name, other in (("tapir", "bootstapir"), ("bootstapir", "tapir"), ("bootstapir-causal", "tapir")):
        text = message(states[other], name)
        assert text.startswith(f"{name!r} got weights of another network in FILE: ")
        assert text.endswith(f"they are those of {other!r}. Expected an official PyTorch checkpoint of {name}.")
    del states["tapir"]["torch_pips_mixer.linear_1.bias"]
    assert message(states["tapir"], "tapir") == (
        "'tapir' got weights of another network in FILE: 1 parameters are missing, unknown or of another size, the first is"
        " 'torch_pips_mixer.linear_1.bias'. Expected an official PyTorch checkpoint of tapir."
    )
    with pytest.raises(BackendError, match=r"^No file of weights is at .*none\.pt; expected a checkpoint"):
        tapir.create(weights=str(tmp_path / "none.pt"))


def test_without_pytorch_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it fails, as where it is not installed
from sampt.trackers.tapir import create_boots
try:
    create_boots()
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("BackendError 'bootstapir' needs PyTorch (")
    assert done.stdout.strip().endswith("Run: pip install 'sampt[torch]'.")
