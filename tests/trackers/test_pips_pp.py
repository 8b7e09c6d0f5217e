"""PIPS++: equal to the official program, chained as it chains, and what the adapter adds to it."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

import torch.nn.functional as F  # noqa: E402

from sampt.errors import BackendError  # noqa: E402
from sampt.geometry import rescale_xy  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers import pips, pips_pp  # noqa: E402
from sampt.trackers.pips.encoder import EncoderSizes, Pyramid  # noqa: E402
from sampt.trackers.pips_pp.adapter import PipsPpTracker, load_network  # noqa: E402
from sampt.trackers.pips_pp.network import FULL, PipsPpNetwork, PipsPpSizes  # noqa: E402
from sampt.types import Points  # noqa: E402
from sampt.weights.checkpoint import without_wrappers  # noqa: E402

SHARED = Path(__file__).resolve().parents[3] / "shared"
CPU = torch.device("cpu")
SMALL = PipsPpSizes(EncoderSizes(8, (8, 8, 8, 8), 16), width=16, blocks=4)
needs_shared = pytest.mark.skipif(not SHARED.is_dir(), reason="the project's shared data is not beside this checkout")


class Clip:
    """Smooth noise that drifts, so that there is something to correlate."""

    def __init__(self, num_frames: int, size_hw: tuple[int, int] = (72, 90)) -> None:
        h, w = size_hw
        noise = torch.rand(1, 3, h // 6 + 2, (w + 3 * num_frames) // 6 + 2, generator=torch.Generator().manual_seed(0))
        wide = F.interpolate(noise, (h, w + 3 * num_frames), mode="bicubic")[0].clamp(0, 1).permute(1, 2, 0)
        images = (255 * wide).round().byte().numpy()
        self.frames = np.stack([images[:, 3 * k : 3 * k + w] for k in range(num_frames)])
        self.num_frames, self.size_hw = num_frames, size_hw

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.frames[start:stop]


class Counting(PipsPpNetwork):
    """Counts the images that it encodes and keeps how many frames and points its windows have."""

    def __init__(self, sizes: PipsPpSizes) -> None:
        super().__init__(sizes)
        self.encoded = 0
        self.windows: list[tuple[int, int]] = []

    def encode(self, images: torch.Tensor) -> Pyramid:
        self.encoded += len(images)
        return super().encode(images)

    def track(self, *given: Any) -> Any:
        self.windows.append((given[2].shape[0], given[2].shape[1]))
        return super().track(*given)


def calm(network: Any, gain: float) -> Any:
    """With smaller steps: random weights, normalised over few frames, magnify the last digit up to pixels."""
    network.delta_block.dense.weight.data *= gain
    network.delta_block.dense.bias.data *= gain
    return network


def counting() -> Counting:
    """With weights that move points by some pixels."""
    network = Counting(SMALL)
    draw = torch.Generator().manual_seed(1)
    for parameter in network.parameters():
        fan_in = parameter[0].numel() if parameter.dim() > 1 else 25
        parameter.data = torch.randn(parameter.shape, generator=draw) / fan_in**0.5
    calmed: Counting = calm(network, 0.06).eval().requires_grad_(False)
    return calmed


def small_tracker(network: PipsPpNetwork, window: int, size_hw: tuple[int, int] = (64, 96)) -> PipsPpTracker:
    return PipsPpTracker(network, CPU, iterations=3, window=window, image_hw=size_hw)


def parity() -> Any:
    spec = importlib.util.spec_from_file_location("parity", SHARED / "parity" / "parity.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def chained_alone(network: PipsPpNetwork, frames: np.ndarray, xy: np.ndarray, window: int, size_hw: Any) -> np.ndarray:
    """A point of the first of some frames to the last, as the official test on long clips goes on; every window anew."""
    images = F.interpolate(torch.from_numpy(frames.copy()).permute(0, 3, 1, 2).float(), size_hw, mode="bilinear")
    total = len(frames)
    path = torch.from_numpy(xy).expand(total, 1, 2).clone()
    start, templates = 0, None
    while True:
        stop = start + window
        if stop > total:
            start, stop = max(start - (stop - total), 0), total
        pyramid = network.encode(images[start:stop])
        found = PipsPpNetwork.track(network, pyramid, torch.arange(stop - start), path[start:stop], templates, 3)
        path[start:stop], templates = found.xy, found.templates
        path[stop:] = path[stop - 1]
        if stop >= total:
            return path[:, 0].numpy()
        start += window - 1


@needs_shared
def test_window_equals_the_official_program() -> None:
    source = parity()
    values = source.state_dict(SHARED / "parity" / "pips_plus_plus.json")
    official = {f"module.{key}": torch.from_numpy(np.asarray(value)) for key, value in values.items()}
    network = PipsPpNetwork(FULL).eval()
    network.load_state_dict(without_wrappers(official), strict=True)
    images = torch.from_numpy(source.video(12, 256, 320)).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        xy = network(images, torch.from_numpy(source.queries(9, 12, 256, 320)[:, 1:]).expand(12, -1, -1), 6)
    expected = np.load(SHARED / "parity" / "pips_plus_plus.npz")["tracks"]
    assert np.abs(expected - expected[0]).max() > 5
    assert np.abs(xy.numpy() - expected).max() < 5e-3  # agreement requested: 0.05 px; seen: 2e-4


@pytest.mark.parametrize("window", [128, 14, 5])
def test_tracks_are_those_of_each_point_alone_with_windows_from_images(window: int) -> None:
    """Late queries, several prompt frames, both directions, windows that do and do not divide the clip."""
    clip, network = Clip(14), counting()
    queries = [(0, 20.5, 30.25), (0, 70, 50), (6, 44, 12.5), (7, 3, 70), (13, 60, 33), (12, 11, 20)]
    points = Points.concat([Points.of(1, t, [[x, y]]) for t, x, y in queries])
    tracks = small_tracker(network, window).track(clip, points)
    for k, (t, x, y) in enumerate(queries):
        inner = rescale_xy(np.array([x, y], np.float32), clip.size_hw, (64, 96))
        for frames, ours in ((clip.frames[t:], tracks.xy[t:, k]), (clip.frames[: t + 1][::-1], tracks.xy[: t + 1, k][::-1])):
            if len(frames) > 1:
                alone = rescale_xy(chained_alone(network, frames, inner, window, (64, 96)), (64, 96), clip.size_hw)
                assert np.abs(ours - alone).max() < 0.01
        assert tracks.xy[t, k].tolist() == [x, y]
    assert np.ptp(tracks.xy, axis=0).max(-1).min() > 1  # they do move


def test_each_frame_is_encoded_once_for_all_query_frames_and_directions() -> None:
    clip, network = Clip(30, (64, 64)), counting()
    points = Points.concat([Points.of(1, t, [[30, 30], [40, 20]]) for t in (0, 3, 14, 29)])
    small_tracker(network, 8).track(clip, points)
    assert network.encoded == 30
    network.encoded = 0
    small_tracker(network, 8).track(clip, Points.of(1, 29, [[3, 4]]))  # to the start alone, though
    assert network.encoded == 30
    network.encoded = 0
    small_tracker(network, 8).track(Clip(1, (64, 64)), Points.of(1, 0, [[30, 30]]))
    small_tracker(network, 8).track(clip, Points.concat([]))
    assert network.encoded == 0


def test_windows_are_full_and_no_longer_and_points_go_through_them_together() -> None:
    clip, network = Clip(12, (64, 64)), counting()
    xy = np.random.default_rng(0).uniform(0, 63, (150, 2))
    tracks = small_tracker(network, 5).track(clip, Points.of(1, 0, xy))
    assert sorted(set(network.windows)) == [(5, 22), (5, 64)]
    assert len(network.windows) == 9  # 0-4, 4-8 and, moved back, 7-11, of three parts
    few = small_tracker(network, 5).track(clip, Points.of(1, 0, xy[[0, 70, 149]]))
    assert np.abs(tracks.xy[:, [0, 70, 149]] - few.xy).max() < 0.01


def test_points_are_visible_as_long_as_they_are_inside() -> None:
    class Moved(PipsPpNetwork):
        def track(self, *given: Any) -> Any:
            found = super().track(*given)
            return found._replace(xy=given[2] + 6 * torch.arange(4.0)[:, None, None])

    points = Points.of(1, 0, [[50, 40]])
    tracks = small_tracker(Moved(SMALL).eval(), 8, (64, 64)).track(Clip(4, (64, 64)), points)
    assert tracks.xy[:, 0, 0].tolist() == [50, 56, 62, 68]
    assert tracks.visible[:, 0].tolist() == [True, True, True, False]


@pytest.mark.parametrize("size_hw", [(1, 1), (5, 40), (200, 63)])
def test_frames_of_any_size_are_tracked(size_hw: tuple[int, int]) -> None:
    corners = [[0, 0], [size_hw[1] - 1, size_hw[0] - 1], [0, size_hw[0] - 1]]
    tracks = small_tracker(counting(), 128).track(Clip(3, size_hw), Points.of(1, 1, corners))
    assert np.isfinite(tracks.xy).all()
    assert tracks.xy[1].tolist() == corners


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
def test_small_network_keeps_clause(name: str, clause: Callable[..., None]) -> None:
    clause(small_tracker(calm(load_network(None, SMALL), 0.1), 6), TrackerLimits(exact_tolerance_px=None))


def test_random_weights_are_always_the_same_and_the_published_settings_are_kept() -> None:
    before = torch.get_rng_state()
    first, second = (load_network(None, SMALL).state_dict() for _ in range(2))
    assert all(torch.equal(first[key], second[key]) for key in first)
    assert torch.equal(before, torch.get_rng_state())
    info = pips_pp.create(weights=None, device="cpu").info
    assert (info.name, info.window, info.is_causal, info.license_weights) == ("pips-pp", 128, False, "MIT")


def test_official_layout_loads_and_wrong_files_are_refused_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    state = load_network(None).state_dict()

    def message(create: Callable[..., Any]) -> str:
        with pytest.raises(BackendError) as caught:
            create(weights=str(path), device="cpu")
        assert "\n" not in str(caught.value)
        return str(caught.value).replace(str(path), "FILE")

    torch.save({"model_state_dict": state, "optimizer_state_dict": {}}, path)
    assert pips_pp.create(weights=str(path), device="cpu").info.device == "cpu"
    assert message(pips.create).endswith("; they are those of 'pips-pp'. Expected an official pips checkpoint.")
    torch.save({"model_state_dict": {name: state[name] for name in state if name.startswith("fnet")}}, path)
    assert message(pips_pp.create) == (
        "'pips-pp' got weights of another network in FILE: 38 parameters are missing, unknown or of another size, the first is"
        " 'delta_block.basicblock_list.0.conv1.conv.bias'. Expected an official pips-pp checkpoint."
    )


def test_default_weights_offline_are_refused_with_the_location_to_get_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path))
    with pytest.raises(
        BackendError, match=r"fetch model-000200000\.pth out of https://www\.dropbox\.com/.*&dl=1 on a"
    ) as caught:
        pips_pp.create()
    assert str(tmp_path / "pips2-model-000200000.pth") in str(caught.value)
    assert "\n" not in str(caught.value)
