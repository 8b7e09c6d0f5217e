"""TAP-Net: equal to the official program with the weights in its own file, and what the adapter makes of it."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from sampt.errors import BackendError  # noqa: E402
from sampt.testing import TRACKER_CLAUSES, TrackerLimits  # noqa: E402
from sampt.trackers.tapnet.adapter import TapNetTracker, load_network  # noqa: E402
from sampt.trackers.tapnet.network import REACH, TapNetNetwork, TapNetSizes  # noqa: E402
from sampt.types import Points  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402
from tools.parity.command import compare  # noqa: E402
from tools.parity.fixtures import Fixture  # noqa: E402
from tools.parity.trackers import jax_checkpoint  # noqa: E402

PARITY = Path(__file__).resolve().parents[3] / "shared" / "parity"
needs_shared = pytest.mark.skipif(not PARITY.is_dir(), reason="the project's shared data is not beside this checkout")
CPU = torch.device("cpu")
SMALL = TapNetSizes((64, 64), (8, 8, 16))


@cache
def small_network() -> TapNetNetwork:
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        return TapNetNetwork(SMALL).eval().requires_grad_(False)


def clip(num_frames: int) -> np.ndarray:
    return np.random.default_rng(4).integers(0, 256, (num_frames, 48, 80, 3), dtype=np.uint8)


@needs_shared
def test_tracks_equal_the_official_program() -> None:
    found = compare(Fixture.read(PARITY, "tapnet"))
    assert [each.what for each in found] == [
        "TAP-Net tracks",
        "TAP-Net logits, of occlusion",
        "TAP-Net features, of points",
        "TAP-Net features",
    ]
    for each in found:
        assert each.difference <= each.allowed / 20, each


@needs_shared
def test_a_checkpoint_of_another_network_is_refused(tmp_path: Path) -> None:
    with (
        jax_checkpoint(Fixture.read(PARITY, "tapnet")) as path,
        pytest.raises(BackendError, match=r"'tapnet' got weights of another network in .*checkpoint\.npy: .* JAX checkpoint"),
    ):
        load_network(path, SMALL)
    torch.save({"resnet.stem.weight": torch.zeros(1)}, tmp_path / "other.pt")
    with pytest.raises(BackendError, match="'tapnet' got weights of another network"):
        load_network(tmp_path / "other.pt")


@pytest.mark.parametrize(("name", "clause"), TRACKER_CLAUSES, ids=[name for name, _ in TRACKER_CLAUSES])
def test_random_weights_keep_the_contract(name: str, clause: Callable[..., None]) -> None:
    # Channels look at the next and at the previous frame by different weights: a reversed clip is another one.
    clause(TapNetTracker(small_network(), CPU), TrackerLimits(exact_tolerance_px=None, reversed_px=100))


def test_features_depend_on_as_many_frames_as_it_says() -> None:
    network = small_network()
    images = torch.randn((13, 3, 64, 64), generator=torch.Generator().manual_seed(1))
    changed = images.clone()
    changed[6] += 1
    with torch.inference_mode():
        moved = (network.encode(images) - network.encode(changed)).abs().amax((1, 2, 3))
    reached = (moved > 0).nonzero()[:, 0].tolist()  # a unit that is always cut at zero may pass nothing on
    assert set(reached) <= set(range(6 - REACH, 6 + REACH + 1))
    assert len(reached) >= 2 * REACH


@pytest.mark.parametrize(("at_once", "kept"), [(1, 1 << 28), (5, 0), (64, 0)])
def test_chunks_and_memory_change_nothing(at_once: int, kept: int) -> None:
    points = Points.concat([Points.of(1, t, [[20 + t, 18], [60, 40]]) for t in (0, 3, 11)])
    frames = clip(12)
    video = ArrayVideo(frames)
    whole = TapNetTracker(small_network(), CPU).track(video, points)
    parts = TapNetTracker(small_network(), CPU, frames_at_once=at_once, max_kept_bytes=kept).track(video, points)
    assert np.abs(whole.xy - parts.xy).max() < 1e-3
    assert np.abs(whole.confidence - parts.confidence).max() < 1e-5
    with torch.inference_mode():
        images = torch.cat([image[None] for image in TapNetTracker(small_network(), CPU)._images(frames)])
        xy = torch.tensor(points.xy + 0.5) * torch.tensor([64 / 80, 64 / 48])
        found, _ = small_network()(images, xy, torch.tensor(points.frame_idx))
    expected = found.transpose(0, 1).numpy() / np.array([64 / 80, 64 / 48]) - 0.5
    assert np.abs(whole.xy - expected).max() < 1e-3
