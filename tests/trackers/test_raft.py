"""RAFT: equal to the official program, and what the adapter adds to it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from sampt.errors import BackendError  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers.create import create_tracker  # noqa: E402
from sampt.trackers.raft.adapter import RaftTracker, _on_frame, choose_fit, load_network  # noqa: E402
from sampt.trackers.raft.network import FULL, SMALL, Encoded, RaftNetwork, RaftSizes  # noqa: E402
from sampt.types import Points  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402
from sampt.weights.checkpoint import without_wrappers  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
CHECKPOINT = SHARED / "weights" / "raft-small.pth"
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")
needs_checkpoint = pytest.mark.skipif(not CHECKPOINT.is_file(), reason="../shared/weights/raft-small.pth is not there")


def parity() -> Any:
    spec = importlib.util.spec_from_file_location("parity", SHARED / "parity" / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def images(frames: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(frames).permute(0, 3, 1, 2).float()


def photo() -> np.ndarray:
    frame = cv2.imread(str(SHARED / "davis" / "JPEGImages" / "480p" / "camel" / "00000.jpg"))
    assert frame is not None
    return np.asarray(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB))


def two_crops(size_hw: tuple[int, int], step_xy: tuple[int, int], image: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two crops of one image; what the first shows lies ``step_xy`` further in the second."""
    h, w = size_hw
    y, x = 60, 150
    return image[y : y + h, x : x + w], image[y - step_xy[1] :, x - step_xy[0] :][:h, :w]


@pytest.fixture(scope="module")
def small() -> RaftTracker:
    tracker = create_tracker("raft-small", weights=str(CHECKPOINT), device="cpu")
    assert isinstance(tracker, RaftTracker)
    return tracker


@pytest.fixture(scope="module")
def random_small() -> RaftNetwork:
    return load_network("raft-small", None)


@needs_shared
@pytest.mark.parametrize(("name", "sizes"), [("raft", FULL), ("raft_small", SMALL)])
def test_flow_equals_the_official_program(name: str, sizes: RaftSizes) -> None:
    source = parity()
    values = source.state_dict(SHARED / "parity" / f"{name}.json")
    network = RaftNetwork(sizes).eval()
    official = {f"module.{key}": torch.from_numpy(np.asarray(value)) for key, value in values.items()}
    network.load_state_dict(without_wrappers(official), strict=True)
    with torch.inference_mode():
        flow = network(*images(source.video(2, 128, 160)).split(1), iterations=12)[0].numpy()
    expected = np.load(SHARED / "parity" / f"{name}.npz")["flow"]
    assert expected.shape == flow.shape == (2, 128, 160)
    assert np.abs(flow - expected).max() < 1e-3  # agreement requested: 0.05 px; seen: 6e-5


@needs_checkpoint
@pytest.mark.parametrize(
    ("size_hw", "step_xy", "limit_px"),
    [((240, 320), (7, -5), 0.3), ((243, 317), (-11, 6), 0.3), ((60, 90), (2, 1), 0.3)],
    ids=["multiples of 8", "padded", "enlarged"],
)
def test_official_checkpoint_sees_a_known_shift(
    small: RaftTracker, size_hw: tuple[int, int], step_xy: tuple[int, int], limit_px: float
) -> None:
    first, second = two_crops(size_hw, step_xy, photo())
    there, back = small.flows(small.encode(first), small.encode(second), size_hw)
    assert there.shape == back.shape == (*size_hw, 2)
    seen = np.s_[12:-12, 12:-12]  # what both crops show
    assert np.linalg.norm(there - np.array(step_xy), axis=-1)[seen].mean() < limit_px
    assert np.linalg.norm(back + np.array(step_xy), axis=-1)[seen].mean() < limit_px


@needs_checkpoint
@pytest.mark.parametrize("name", ["non_square_video", "still_video", "slow_motion", "bidirectional", "objects_cross"])
def test_official_checkpoint_is_as_accurate_as_the_contract_asks(small: RaftTracker, name: str) -> None:
    dict(TRACKER_CLAUSES)[name](small, TrackerLimits())


def test_correlations_looked_up_in_parts_are_the_same(random_small: RaftNetwork) -> None:
    frames = images(np.random.default_rng(0).integers(0, 256, (2, 128, 136, 3), dtype=np.uint8))
    parts = RaftNetwork(SMALL, max_correlations=50 * 16 * 17).eval()  # 50 of 272 locations at a time, one direction at a time
    parts.load_state_dict(random_small.state_dict())
    with torch.inference_mode():
        first, second = (random_small.encode(frame) for frame in frames.split(1))
        whole = random_small.bidirectional(first, second, 4)
        cut = parts.bidirectional(first, second, 4)
    for a, b in zip(whole, cut, strict=True):
        assert a.std() > 1e-3
        assert torch.allclose(a, b, atol=1e-4)


def test_there_and_back_are_the_two_single_flows(random_small: RaftNetwork) -> None:
    frames = images(np.random.default_rng(1).integers(0, 256, (2, 128, 136, 3), dtype=np.uint8))
    with torch.inference_mode():
        there, back = random_small.bidirectional(*(random_small.encode(frame) for frame in frames.split(1)), 3)
        assert torch.allclose(there, random_small(frames[:1], frames[1:], 3), atol=1e-4)
        assert torch.allclose(back, random_small(frames[1:], frames[:1], 3), atol=1e-4)
    assert not torch.allclose(there, back, atol=1e-2)


@pytest.mark.parametrize(
    ("size_hw", "factor", "padding"),
    [
        ((480, 854), 1, (1, 1, 0, 0)),
        ((481, 853), 1, (1, 2, 3, 4)),
        ((128, 136), 1, (0, 0, 0, 0)),
        ((127, 300), 2, (0, 0, 1, 1)),
        ((64, 96), 2, (0, 0, 0, 0)),
        ((1, 40), 4, (0, 0, 62, 62)),
    ],
)
def test_frames_are_made_to_fit(size_hw: tuple[int, int], factor: int, padding: tuple[int, ...]) -> None:
    assert choose_fit(size_hw) == (factor, padding)


def test_flow_is_cut_back_to_the_frame() -> None:
    # Flow that says where its pixel is: x 100 * row + column, y 0. The frame begins at row 3 and column 1.
    location = 100.0 * torch.arange(488)[:, None] + torch.arange(856)
    flow = _on_frame(torch.stack([location, torch.zeros_like(location)])[None], (481, 853))
    assert flow.shape == (481, 853, 2)
    assert (flow[0, 0, 0], flow[480, 852, 0]) == (301, 48_300 + 853)
    # Twice enlarged: pixel (r, c) is the mean of 2x2, around row 2 r + 1 + 0.5 and column 2 c + 0.5, and moves half as far.
    location = 100.0 * torch.arange(256)[:, None] + torch.arange(600)
    flow = _on_frame(torch.stack([location, torch.zeros_like(location)])[None], (127, 300))
    assert flow.shape == (127, 300, 2)
    assert flow[0, 0, 0] == (150 + 0.5) / 2
    assert flow[10, 20, 0] == (2150 + 40.5) / 2


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 40), (33, 200), (130, 129)])
def test_frames_of_any_size_are_tracked(random_small: RaftNetwork, size_hw: tuple[int, int]) -> None:
    stream = RaftTracker("raft-small", random_small, torch.device("cpu"), iterations=1).stream()
    frames = np.random.default_rng(2).integers(0, 256, (2, *size_hw, 3), dtype=np.uint8)
    stream.push(frames[0])
    stream.add(np.zeros((1, 2), np.float32))
    assert np.isfinite(stream.push(frames[1]).xy).all()


class Counting(RaftNetwork):
    """Counts the images that it encodes and the pairs that it compares."""

    encoded = compared = 0

    def encode(self, images: torch.Tensor) -> Encoded:
        self.encoded += len(images)
        return super().encode(images)

    def bidirectional(self, first: Encoded, second: Encoded, iterations: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
        self.compared += 1
        return super().bidirectional(first, second, iterations)


def test_each_frame_is_encoded_once_and_only_for_points() -> None:
    network = Counting(SMALL).eval()
    stream = RaftTracker("raft-small", network, torch.device("cpu"), iterations=1).stream()
    frames = np.random.default_rng(3).integers(0, 256, (6, 128, 128, 3), dtype=np.uint8)
    for frame in frames[:3]:
        stream.push(frame)
    assert (network.encoded, network.compared) == (0, 0)
    stream.add(np.array([[64, 64], [60, 70]], np.float32))
    for frame in frames[3:]:
        stream.push(frame)
    assert (network.encoded, network.compared) == (4, 3)


def test_directions_and_windows_share_flows() -> None:
    network = Counting(SMALL).eval()
    tracker = RaftTracker("raft-small", network, torch.device("cpu"), iterations=1)
    frames = np.random.default_rng(3).integers(0, 256, (8, 128, 128, 3), dtype=np.uint8)
    points = Points.of(1, 3, [[64, 64], [60, 70]])
    alone = tracker.track(ArrayVideo(frames[2:]), points).xy
    network.encoded = network.compared = 0
    tracker.track(ArrayVideo(frames), points)
    assert network.compared == 2  # the others have been
    assert network.encoded == 3
    network.compared = 0
    assert np.array_equal(tracker.track(ArrayVideo(frames[2:]), points).xy, alone)
    turned = tracker.track(ArrayVideo(frames[:1:-1].copy()), Points.of(1, 2, points.xy))
    fresh = RaftTracker("raft-small", network, torch.device("cpu"), iterations=1)
    assert network.compared == 0
    assert np.abs(turned.xy - fresh.track(ArrayVideo(frames[:1:-1].copy()), Points.of(1, 2, points.xy)).xy).max() < 1e-3


def test_frames_whose_memory_is_used_again_are_tracked_alike(random_small: RaftNetwork) -> None:
    tracker = RaftTracker("raft-small", random_small, torch.device("cpu"), iterations=2)
    frames = np.random.default_rng(4).integers(0, 256, (3, 128, 128, 3), dtype=np.uint8)
    ends = []
    for reuse in (False, True):
        stream, memory = tracker.stream(), np.empty_like(frames[0])
        for k, frame in enumerate(frames):
            memory[:] = frame
            step = stream.push(memory if reuse else frame)
            if k == 0:
                stream.add(np.array([[50, 60]], np.float32))
                memory[:] = 0
        ends.append(step.xy)
    assert np.array_equal(ends[0], ends[1])
    assert not np.array_equal(ends[0], [[50, 60]])


def test_random_weights_are_always_the_same_and_touch_no_global_generator() -> None:
    before = torch.get_rng_state()
    first, second = (load_network("raft-small", None).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(before, torch.get_rng_state())
    tracker = create_tracker("raft", weights=None, device="cpu")
    assert (tracker.info.name, tracker.info.device, tracker.info.license_weights) == ("raft", "cpu", "BSD-3-Clause")


@pytest.mark.parametrize(("name", "file"), [("raft", "raft-things.pth"), ("raft-small", "raft-small.pth")])
def test_default_weights_offline_are_refused_with_the_location_to_get_them(
    name: str, file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(BackendError) as caught:
        create_tracker(name)
    assert str(caught.value) == (
        f"'{file.removesuffix('.pth')}' is not in the cache and SAMPT_OFFLINE is set; fetch {file} out of"
        " https://dl.dropboxusercontent.com/s/4j4z58wuv8o0mfz/models.zip on a machine with network and put it at"
        f" {tmp_path / file}, or unset SAMPT_OFFLINE."
    )


@needs_checkpoint
def test_default_weights_are_those_in_the_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, small: RaftTracker) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    (tmp_path / "raft-small.pth").write_bytes(CHECKPOINT.read_bytes())  # put there by hand
    tracker = create_tracker("raft-small", device="cpu")
    assert isinstance(tracker, RaftTracker)
    frame = np.random.default_rng(6).integers(0, 256, (128, 128, 3), dtype=np.uint8)
    assert torch.equal(tracker.encode(frame).features, small.encode(frame).features)
    (tmp_path / "raft-small.pth").write_bytes(b"something else")
    with pytest.raises(
        BackendError, match=r"raft-small\.pth has 14 bytes, expected 3984814: it is not the official raft-small"
    ):
        create_tracker("raft-small")


def test_wrong_files_are_refused_in_one_line(tmp_path: Path, random_small: RaftNetwork) -> None:
    def message(content: object, name: str = "raft") -> str:
        path = tmp_path / "w.pth"
        if isinstance(content, bytes):
            path.write_bytes(content)
        else:
            torch.save(content, path)
        with pytest.raises(BackendError) as caught:
            create_tracker(name, weights=str(path), device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(path), "FILE")

    small_state = {f"module.{key}": value for key, value in random_small.state_dict().items()}
    assert message(small_state).startswith("'raft' got weights of another network in FILE: ")
    assert "they are those of 'raft-small'. Expected an official raft checkpoint." in message(small_state)
    del small_state["module.fnet.conv1.bias"]
    assert message(small_state, "raft-small") == (
        "'raft-small' got weights of another network in FILE: 1 parameters are missing, unknown or of another size, the first"
        " is 'fnet.conv1.bias'. Expected an official raft-small checkpoint."
    )
    assert message(b"no checkpoint").startswith("FILE cannot be read as weights (it is no file of PyTorch, or damaged)")
    assert message({"optimizer": {}}).startswith(
        "FILE holds the keys 'optimizer', expected names with tensors; give an official"
    )
    with pytest.raises(BackendError, match=r"^No file of weights is at .*none\.pth; expected a checkpoint"):
        create_tracker("raft", weights=str(tmp_path / "none.pth"))


def test_devices_that_are_not_there_are_refused() -> None:
    for device in ("no-such-device", "cuda:99"):
        with pytest.raises(
            BackendError, match=f"^'raft-small' cannot run on device '{device}': .*Choose 'auto', 'cpu', or a"
        ) as e:
            create_tracker("raft-small", weights=None, device=device)
        assert "\n" not in str(e.value)


def test_without_pytorch_the_error_says_what_to_install() -> None:
    code = """
import sys
sys.modules["torch"] = None  # importing it fails, as where it is not installed
from sampt.trackers.create import create_tracker
for weights in ("default", "some.pth"):
    try:
        create_tracker("raft", weights=weights)
    except Exception as error:
        print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=True)
    first, second = done.stdout.splitlines()
    assert first == second  # nothing is downloaded in vain
    assert first.startswith("BackendError 'raft' needs PyTorch (")
    assert first.endswith("Run: pip install 'sampt[torch]'.")


def test_points_move_with_the_flow() -> None:
    class Pan(RaftNetwork):
        def bidirectional(self, first: Encoded, second: Encoded, iterations: int = 12) -> tuple[torch.Tensor, torch.Tensor]:
            there = torch.tensor([3.0, -2.0]).view(1, 2, 1, 1).expand(1, 2, 128, 160)
            return there, -there

    stream = RaftTracker("raft-small", Pan(SMALL).eval(), torch.device("cpu")).stream()
    frame = np.full((128, 155, 3), 90, np.uint8)  # padded to 160 columns
    stream.push(frame)
    stream.add(np.array([[20, 30], [153, 60]], np.float32))
    step = stream.push(frame)
    assert step.xy.tolist() == [[23, 28], [154, 58]]  # the second one has left the frame and stays on its edge
    assert step.visible.tolist() == [True, False]
    assert step.confidence.tolist() == [1, 0]


def test_points_are_followed_both_ways(random_small: RaftNetwork) -> None:
    class Clip:
        num_frames, size_hw = 5, (128, 128)

        def read(self, start: int, stop: int) -> np.ndarray:
            return np.random.default_rng(5).integers(0, 256, (5, 128, 128, 3), dtype=np.uint8)[start:stop]

    tracker = RaftTracker("raft-small", random_small, torch.device("cpu"), iterations=1)
    tracks = tracker.track(Clip(), Points.of(1, 2, [[40.5, 50.25]]))
    assert tracks.xy[2].tolist() == [[40.5, 50.25]]
    assert tracks.visible[2].all()
    assert (np.abs(tracks.xy[[0, 1, 3, 4]] - tracks.xy[2]).max(-1) > 0).all()
