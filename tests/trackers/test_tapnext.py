"""TAPNext and TAPNext++: equal to the official program, and what the adapter adds to it."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")
F = torch.nn.functional

from sampt.geometry import inside_frame  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers.tapnext.adapter import MODELS, TapNextModel, TapNextTracker, load_network  # noqa: E402
from sampt.trackers.tapnext.names import convert_state_dict  # noqa: E402
from sampt.trackers.tapnext.network import (  # noqa: E402
    Memory,
    Prediction,
    TapNextNetwork,
    TapNextSizes,
    certainty,
    positions,
)
from sampt.types import Points  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")
SMALL = TapNextSizes((64, 64), width=32, heads=2, lru_width=48, depth=2, bins=64)
CPU = torch.device("cpu")


def parity() -> Any:
    spec = importlib.util.spec_from_file_location("parity", SHARED / "parity" / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float() / 127.5 - 1


def tracker_of(network: TapNextNetwork, name: str = "tapnext", **options: bool) -> TapNextTracker:
    """On frames of 64 x 64 nothing is resized, so that the network's own results can be compared."""
    model = TapNextModel((64, 64), MODELS[name].is_averaged)
    return TapNextTracker(name, model, network, CPU, **options)


def noise(count: int, size_hw: tuple[int, int] = (64, 64), seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, *size_hw, 3), dtype=np.uint8)


class Clip:
    def __init__(self, frames: np.ndarray) -> None:
        self.frames, self.num_frames = frames, len(frames)
        self.size_hw = (int(frames.shape[1]), int(frames.shape[2]))

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.frames[start:stop]


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    """The networks here are so small that threads wait for each other most of the time, on a busy machine for seconds."""
    count = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(count)


@pytest.fixture(scope="module")
def small() -> TapNextNetwork:
    return load_network("tapnext", None, SMALL)


@pytest.fixture(scope="module")
def filled() -> TapNextNetwork:
    """The network of the fixture, with its weights."""
    network = TapNextNetwork(TapNextSizes((64, 64), width=96, heads=4, lru_width=96, depth=3)).eval()
    values = parity().state_dict(SHARED / "parity" / "tapnext.json")
    official = {f"tapnext.{name}": torch.from_numpy(np.asarray(value)) for name, value in values.items()}
    network.load_state_dict(convert_state_dict(official), strict=True)
    return network


def fixture_call() -> tuple[torch.Tensor, torch.Tensor]:
    call, source = json.loads((SHARED / "parity" / "tapnext.json").read_text())["call"], parity()
    size = call["video"]["frames"], call["video"]["height"], call["video"]["width"]
    queries = source.queries(call["queries"]["count"], *size, call["queries"]["seed"])
    return images(source.video(*size, call["video"]["seed"])), torch.from_numpy(queries[:, [0, 2, 1]])


@needs_shared
def test_answers_equal_the_official_program(filled: TapNextNetwork) -> None:
    with torch.inference_mode():
        prediction, _ = filled(*fixture_call())
    with np.load(SHARED / "parity" / "tapnext.npz") as expected:
        # Requested: 0.02 px and 1e-3; seen: 7e-5 px and 2e-6.
        assert np.abs(prediction.yx.numpy() - expected["tracks"]).max() < 1e-3
        assert np.abs(prediction.track_logits.numpy() - expected["track_logits"]).max() < 1e-4
        assert np.abs(prediction.visible_logits.numpy() - expected["visible_logits"]).max() < 1e-4


@needs_shared
def test_frame_by_frame_with_memory_equals_all_at_once(filled: TapNextNetwork) -> None:
    frames, queries = fixture_call()
    with torch.inference_mode():
        whole, _ = filled(frames, queries)
        memory: Memory | None = None
        for i, frame in enumerate(frames):
            part, memory = filled(frame[None], queries, memory, i)
            assert torch.allclose(part.track_logits[0], whole.track_logits[i], atol=1e-5)
            assert torch.allclose(part.visible_logits[0], whole.visible_logits[i], atol=1e-5)


@needs_shared
def test_a_stream_equals_the_official_program_for_points_of_the_first_frame(filled: TapNextNetwork) -> None:
    frames = parity().video(6, 64, 64)
    xy = np.array([[20.25, 30.5], [0, 63], [41, 7.75]], np.float32)
    queries = torch.tensor([[0, y + 0.5, x + 0.5] for x, y in xy])  # there the first pixel begins at 0
    with torch.inference_mode():
        expected, _ = filled(images(frames), queries)
    stream = tracker_of(filled).stream()
    stream.push(frames[0])
    stream.add(xy[:1])
    stream.add(xy[1:])
    for i in range(1, 6):
        step = stream.push(frames[i])
        official = expected.yx[i].numpy()[:, ::-1] * 64 / 256  # bins divide the whole side
        assert np.abs(step.xy - (official - 0.5)).max() < 1e-4
        assert np.abs(step.confidence - torch.sigmoid(expected.visible_logits[i]).numpy()).max() < 1e-5
        assert np.array_equal(step.visible, expected.visible_logits[i].numpy() > 0)


@needs_shared
def test_late_points_are_near_the_official_ones_and_earlier_ones_do_not_feel_them(filled: TapNextNetwork) -> None:
    frames = parity().video(8, 64, 64)
    early, late = np.array([[20, 30], [50, 12]], np.float32), np.array([[10.5, 40], [33, 33], [60, 2]], np.float32)
    queries = torch.tensor([[t, y + 0.5, x + 0.5] for t, xy in ((0, early), (3, late)) for x, y in xy])
    with torch.inference_mode():
        expected, _ = filled(images(frames), queries)
        without, _ = filled(images(frames), queries[:2])
    stream = tracker_of(filled).stream()
    for i, frame in enumerate(frames):
        step = stream.push(frame)
        if 0 < i <= 3:
            alone = torch.sigmoid(without.visible_logits[i]).numpy()
            assert np.abs(step.confidence - alone).max() < 1e-6
        if i > 3:
            official = torch.sigmoid(expected.visible_logits[i]).numpy()
            assert len(step.confidence) == 5
            assert np.abs(step.confidence - official).max() < 2e-3
            assert np.abs(step.confidence[:2] - torch.sigmoid(without.visible_logits[i]).numpy()).max() > 1e-6
        if i in (0, 3):
            stream.add(late if i else early)


def test_queries_are_looked_up_as_by_the_official_grid_sample() -> None:
    network = TapNextNetwork(TapNextSizes((24, 40), width=16, heads=2, lru_width=16, depth=1)).eval()
    table = torch.randn(1, 24 * 40, 16, generator=torch.Generator().manual_seed(0))
    network.query_pos_embed.copy_(table)
    yx = torch.tensor([[0.5, 0.5], [23.5, 39.5], [0.1, 20.3], [12.25, 39.9], [24.0, 0.0], [7.75, 31.5], [-3, 5], [99, 99]])
    grid = (yx / torch.tensor([24.0, 40.0]) * 2 - 1).view(1, 1, -1, 2)
    lookup_size = F.grid_sample(table.view(1, 24, 40, 16).permute(0, 3, 2, 1), grid, align_corners=False)
    with torch.inference_mode():
        own = network.query_tokens(yx) - network.point_query_token[0, 0]
    assert torch.allclose(own, lookup_size[0, :, 0].T, atol=1e-5)
    assert torch.allclose(own[0], table[0, 0], atol=1e-5)
    assert torch.allclose(own[5], 0.75 * table[0, 7 * 40 + 31] + 0.25 * table[0, 8 * 40 + 31], atol=1e-5)


def test_positions_are_sines_and_cosines_of_x_then_y() -> None:
    table = positions((3, 5), 12)[0].view(3, 5, 12)
    frequencies = [1, 0.01, 0.0001]
    for y, x in ((0, 0), (2, 4), (1, 3)):
        expected = [f(v * w) for v in (x, y) for f in (np.sin, np.cos) for w in frequencies]
        assert np.allclose(table[y, x], expected, atol=1e-6)


def test_finer_images_get_the_learned_locations_interpolated(small: TapNextNetwork) -> None:
    with torch.inference_mode():
        fine = small.image_tokens(torch.zeros(1, 3, 128, 128))[0] - small.lin_proj.bias
        learned = small.image_pos_emb.view(1, 8, 8, -1).permute(0, 3, 1, 2)
        expected = F.interpolate(learned, (16, 16), mode="bicubic", align_corners=False)
        assert torch.allclose(fine.T.view(-1, 16, 16), expected[0], atol=1e-5)
        prediction, memory = small(torch.zeros(2, 3, 128, 128), torch.tensor([[0, 32.0, 32.0]]))
    assert prediction.yx.shape == (2, 1, 2)
    assert memory[0].lru.shape == (16 * 16 + 1, 48)


def test_locations_are_the_mean_around_the_likeliest_bin(small: TapNextNetwork) -> None:
    class Said(TapNextNetwork):
        def __init__(self, logits: torch.Tensor) -> None:
            super().__init__(SMALL)
            self.coordinate_head = torch.nn.Sequential()
            self.logits = logits
            self.coordinate_head.forward = lambda rows: self.logits  # type: ignore[method-assign]

    logits = torch.full((1, 128), -100.0)
    logits[0, 10] = logits[0, 12] = 4.0  # y: 11, reported as the centre of that bin
    logits[0, 64 + 30] = 8.0  # x: 30, pulled by bin 31, not by one more than 20 away
    logits[0, 64 + 31], logits[0, 64 + 51] = 8.0 - 2 * np.log(3), 8.0
    with torch.inference_mode():
        yx = Said(logits).predict(torch.zeros(1, 32)).yx
    assert torch.allclose(yx, torch.tensor([[11.5, 30.5 + 0.25]]), atol=1e-5)


def test_certainty_is_the_probability_near_the_location() -> None:
    logits = torch.full((1, 512), -100.0)
    logits[0, 5] = 0.0  # y: half here, half 60 bins on
    logits[0, 65] = 0.0
    logits[0, 256 + 250 : 256 + 256] = 0.0  # x: a sixth each, the last one at the border
    prediction = Prediction(torch.tensor([[5.5, 255.5]]), logits, torch.zeros(1))
    assert certainty(prediction).item() == pytest.approx(0.5)
    assert certainty(prediction, radius=2).item() == pytest.approx(0.25)  # 3 of 6 columns


def test_certainty_lowers_the_confidence_where_asked_for(small: TapNextNetwork) -> None:
    frames, steps = noise(2), []
    for use in (False, True):
        stream = tracker_of(small, use_certainty=use).stream()
        stream.push(frames[0])
        stream.add(np.array([[20, 20]], np.float32))
        steps.append(stream.push(frames[1]))
    assert np.array_equal(steps[0].xy, steps[1].xy)
    assert 0 < steps[1].confidence[0] < steps[0].confidence[0]


@pytest.mark.parametrize("size_hw", [(480, 854), (31, 90), (64, 64)])
def test_locations_are_told_in_our_convention(size_hw: tuple[int, int]) -> None:
    class Notify(TapNextNetwork):
        asked: torch.Tensor

        def query_tokens(self, yx: torch.Tensor) -> torch.Tensor:
            self.asked = yx if len(yx) else self.asked
            return super().query_tokens(yx)

        def predict(self, rows: torch.Tensor) -> Prediction:
            prediction = super().predict(rows)
            return prediction._replace(yx=self.asked) if len(rows) else prediction

    network = Notify(SMALL).eval().requires_grad_(False)
    stream = tracker_of(network, "tapnext-pp-512").stream()
    h, w = size_hw
    xy = np.array([[0, 0], [w - 1, h - 1], [w / 3, h / 4]], np.float32)
    stream.push(noise(1, size_hw)[0])
    stream.add(xy)
    step = stream.push(noise(1, size_hw, 1)[0])
    assert np.allclose(network.asked.numpy(), (xy[:, ::-1] + 0.5) * 64 / np.array([h, w]), atol=1e-4)
    assert np.allclose(step.xy, xy, atol=1e-3)  # what the network is prompted and what it tells is the same location


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 40), (33, 200), (300, 129)])
def test_frames_of_any_size_are_tracked_inside_them(small: TapNextNetwork, size_hw: tuple[int, int]) -> None:
    frames = noise(3, size_hw)
    tracks = tracker_of(small).track(Clip(frames), Points.of(1, 1, [[0, 0], [size_hw[1] - 1, size_hw[0] - 1]]))
    assert inside_frame(tracks.xy, size_hw).all()


def test_frames_are_resized_as_each_official_program_does(small: TapNextNetwork) -> None:
    class Seen(TapNextNetwork):
        image: torch.Tensor

        def image_tokens(self, frames: torch.Tensor) -> torch.Tensor:
            self.image = frames
            return super().image_tokens(frames)

    stripes = np.zeros((256, 256, 3), np.uint8)
    stripes[:, 3::4] = 255  # every fourth column; shrunk by four, bilinear values without a mean see columns 1 and 2
    frames = np.stack([stripes, np.full_like(stripes, 255)])
    network, seen = Seen(SMALL).eval().requires_grad_(False), {}
    for name in ("tapnext", "tapnext-pp", "tapnext-pp-512"):
        stream = tracker_of(network, name).stream()
        for frame in frames:
            stream.push(frame)
            stream.add(np.zeros((1, 2), np.float32))
            stream.push(frame)
            seen[name, frame[0, 0, 0]] = network.image
    assert seen["tapnext", 0].shape == (1, 3, 64, 64)
    for name in ("tapnext", "tapnext-pp"):
        assert torch.allclose(seen[name, 0][..., 4:-4], torch.tensor(-0.5), atol=0.05)
    assert (seen["tapnext-pp-512", 0] == -1).all()
    assert all((image == 1).all() for (_, value), image in seen.items() if value == 255)
    assert [MODELS[name].image_hw[0] for name in MODELS] == [256, 256, 512]


class Counting(TapNextNetwork):
    """Counts passes, and tokens of the largest one."""

    passes = tokens = 0

    def step(self, tokens: torch.Tensor, memory: Memory | None, unseen: int = 0) -> tuple[torch.Tensor, Memory]:
        self.passes += 1
        self.tokens = max(self.tokens, len(tokens))
        return super().step(tokens, memory, unseen)


def test_each_frame_is_passed_once_and_once_more_where_points_are_added() -> None:
    network = Counting(SMALL).eval().requires_grad_(False)
    stream, frames = tracker_of(network).stream(), noise(8)
    for frame in frames[:3]:
        stream.push(frame)
    assert network.passes == 0  # nothing to follow
    stream.add(np.array([[10, 10], [40, 20]], np.float32))
    stream.add(np.array([[30, 30]], np.float32))
    for frame in frames[3:6]:
        stream.push(frame)
    assert network.passes == 1 + 3
    stream.add(np.array([[5, 60]], np.float32))
    stream.push(frames[6])
    assert (network.passes, network.tokens) == (1 + 3 + 2, 64 + 4 + 1)
    stream.add(np.zeros((0, 2), np.float32))
    assert len(stream.push(frames[7]).xy) == 4
    assert network.passes == 7


def test_points_are_followed_backward_only_where_a_query_needs_it() -> None:
    network = Counting(SMALL).eval().requires_grad_(False)
    tracker, clip = tracker_of(network), Clip(noise(6))
    tracker.track(clip, Points.of(1, 0, [[20, 20]]))
    assert network.passes == 6  # five frames, and the query's own
    network.passes = 0
    tracks = tracker.track(clip, Points.of(1, 2, [[20.5, 31.25]]))
    assert network.passes == (1 + 2) + (1 + 3)
    assert tracks.xy[2].tolist() == [[20.5, 31.25]]
    assert (np.abs(tracks.xy[[0, 1, 3, 4, 5]] - tracks.xy[2]).max(-1) > 0).all()


def test_memory_does_not_grow_with_frames(small: TapNextNetwork) -> None:
    def numbers(memory: Memory) -> int:
        return sum(part.untyped_storage().nbytes() for layer in memory for part in layer) // 4

    memory: Memory | None = None
    queries = torch.tensor([[0, 20.0, 20.0], [4, 9.0, 50.0]])
    seen = []
    with torch.inference_mode():
        for i in range(6):
            _, memory = small(images(noise(1, seed=i)), queries, memory, i)
            seen.append(numbers(memory))
    assert set(seen) == {2 * (64 + 2) * 4 * 48}  # layers, tokens, one state and three inputs


def test_frames_whose_memory_is_used_again_are_tracked_alike(small: TapNextNetwork) -> None:
    frames, ends = noise(3), []
    for reuse in (False, True):
        stream, shared = tracker_of(small).stream(), np.empty_like(frames[0])
        for k, frame in enumerate(frames):
            shared[:] = frame
            step = stream.push(shared if reuse else frame)
            if k == 0:
                stream.add(np.array([[50, 40]], np.float32))
                shared[:] = 0
        ends.append(step.confidence)
    assert np.array_equal(ends[0], ends[1])


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
def test_contract_with_random_weights(small: TapNextNetwork, name: str, clause: Callable[..., None]) -> None:
    clause(tracker_of(small), TrackerLimits(exact_tolerance_px=None))
