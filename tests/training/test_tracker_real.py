"""Real clips for the tracker's second stage: what is known of them is right, and points stay on their pixels."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnx")

from torch import Generator, Tensor  # noqa: E402

from sampt.backends.folded import load_folded  # noqa: E402
from sampt.trackers.nano import BUNDLED_WEIGHTS  # noqa: E402
from sampt.trackers.nano.network import NanoTrackerNetwork  # noqa: E402
from sampt.trackers.nano.torch_runtime import PARTS  # noqa: E402
from training.data import Store  # noqa: E402
from training.tracker.real import RealMaker, TrackedClip, _flow_agrees, _mask_agrees, track_clips  # noqa: E402
from training.tracker.scenes import SceneMaker  # noqa: E402

CONFIG = Path(__file__).parents[2] / "training" / "tracker" / "config.toml"


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def settings() -> dict[str, Any]:
    """Images stay as they are filmed, and nothing passes in front."""
    settings = tomllib.loads(CONFIG.read_text())
    settings["image"] |= dict.fromkeys(("change", "gamma", "grey", "soft", "compressed", "noise"), 0.0)
    settings["real"] |= {"crossing": 0, "points": 64}
    return settings


def clouds(h: int, w: int, seed: int = 0) -> np.ndarray:
    """(h, w, 3) uint8, smooth."""
    small = np.random.default_rng(seed).integers(30, 226, (h // 8, w // 8, 3), np.uint8)
    return cv2.resize(small, (w, h), interpolation=cv2.INTER_CUBIC)


@pytest.fixture
def panned() -> TrackedClip:
    """Six frames of 80 x 144 cut from a wide image, 5 pixels further each time; points stay on it."""
    wide = clouds(80, 192)
    frames = np.stack([wide[:, 5 * k : 5 * k + 144] for k in range(6)])
    places = np.random.default_rng(1).uniform((30, 5), (139, 75), (120, 2)).astype(np.float32)
    xy = np.stack([places - (5 * k, 0) for k in range(6)]).astype(np.float32)
    known = np.random.default_rng(2).random((6, 120)) < 0.8
    known[0] = True
    moving = torch.from_numpy(frames).permute(0, 3, 1, 2).contiguous()
    return TrackedClip(moving, torch.from_numpy(xy), torch.from_numpy(known))


def colors(frames: Tensor, xy: Tensor) -> Tensor:
    """(t, 3, h, w) bilinear at (t, n, 2) pixels -> (t, n, 3)."""
    grid = (xy + 0.5) * 2 / torch.tensor([frames.shape[3], frames.shape[2]]) - 1
    out = torch.nn.functional.grid_sample(frames, grid.unsqueeze(1), padding_mode="border", align_corners=False)
    return out[:, :, 0].transpose(1, 2)


def test_points_stay_on_their_pixels_whatever_the_camera_does(
    settings: dict[str, Any], smooth_store: Store, panned: TrackedClip
) -> None:
    maker = RealMaker([panned], SceneMaker(smooth_store, settings, Generator().manual_seed(0)))
    right, aside, moved = [], [], []
    for _ in range(6):
        clips = maker.batch(1, 6, (96, 160), 100)
        counts = (clips.visible & clips.known)[0] & clips.usable
        counts[0] = False
        at = colors(clips.frames[0], clips.xy[0])
        wrong = colors(clips.frames[0], clips.xy[0] + torch.tensor([2.0, 0.0]))
        right.append((at - at[:1]).abs().mean(-1)[counts])
        aside.append((wrong - at[:1]).abs().mean(-1)[counts])
        moved.append((clips.xy[0, 1:] - clips.xy[0, :-1]).norm(dim=-1).mean())
    assert len(torch.cat(right)) > 300
    assert torch.cat(right).mean() < 0.02
    assert torch.cat(aside).mean() > 3 * torch.cat(right).mean()
    assert torch.stack(moved).std() > 0.2  # another camera each time


def test_what_passes_in_front_hides_what_it_covers(settings: dict[str, Any], smooth_store: Store, panned: TrackedClip) -> None:
    settings["real"]["crossing"] = 2
    settings["objects"] |= {"absent": 0.0, "smallest": 0.6, "shade": 0.0}
    maker = SceneMaker(smooth_store, settings, Generator().manual_seed(0))
    grey = torch.full((1, 6, 3, 96, 160), 0.5)
    places = torch.stack(torch.meshgrid(torch.arange(160.0), torch.arange(96.0), indexing="xy"), -1).view(1, 1, -1, 2)
    image, covered = maker.add_crossing(grey, places.expand(1, 6, -1, 2))
    assert 0.05 < covered.float().mean() < 0.95
    free = image.permute(0, 1, 3, 4, 2).reshape(1, 6, -1, 3)
    background = free[~covered].median(0).values
    changed = (free - background).abs().amax(-1) > 0.02
    assert (changed == covered)[covered].float().mean() > 0.9
    assert (changed == covered)[~covered].float().mean() > 0.9


def test_points_outside_the_window_are_hidden(settings: dict[str, Any], smooth_store: Store, panned: TrackedClip) -> None:
    settings["real"]["zoom"] = [2.5, 2.5]
    maker = RealMaker([panned], SceneMaker(smooth_store, settings, Generator().manual_seed(1)))
    clips = maker.batch(2, 6, (96, 160), 100)
    inside = ((clips.xy >= -0.5) & (clips.xy <= torch.tensor([159.5, 95.5]))).all(-1)
    assert torch.equal(clips.visible, inside)
    assert 0 < inside.float().mean() < 0.9


def test_followed_points_are_where_the_object_went(data: Path, settings: dict[str, Any]) -> None:
    settings["data"]["held_out"] = ["held"]
    settings["real"] |= {"every": {"davis2016_train": 4}, "ends": 2}
    network = load_folded(NanoTrackerNetwork, BUNDLED_WEIGHTS, PARTS)
    # The objects of the made data move by 10 pixels a frame; their texture does not, so give them one that does.
    textured = data.parent / "textured" / "davis2016_train"
    textured.mkdir(parents=True, exist_ok=True)
    ground, skin = clouds(162, 288, 3), clouds(162, 288, 4)
    for name in ("seen", "held"):
        for k in range(6):
            ids = np.zeros((162, 288), np.uint8)
            cv2.circle(ids, (100 + 10 * k, 80), 35, 1, -1)
            moved = np.roll(skin, 10 * k, 1)
            cv2.imwrite(str(textured / f"{name}_{2 * k:05d}.jpg"), np.where(ids[..., None] > 0, moved, ground))
            cv2.imwrite(str(textured / f"{name}_{2 * k:05d}.png"), ids)
    tracked = track_clips(network, textured.parent, settings, 6, seed=0)
    assert len(tracked) == 1  # one window of the one sequence that is not held out
    clip = tracked[0]
    assert clip.frames.shape == (6, 3, 160, 288)
    on_object = (clip.xy[0] - torch.tensor([100.0, 79.0])).norm(dim=-1) < 36
    truth = clip.xy[:1] + torch.arange(6.0).view(6, 1, 1) * torch.tensor([10.0, 0.0]) * on_object.view(1, -1, 1)
    error = (clip.xy - truth).norm(dim=-1)
    assert clip.known.float().mean() > 0.5
    assert on_object.sum() > 8
    assert (error[clip.known] < 3).float().mean() > 0.97


def test_consistent_flow_that_goes_elsewhere_makes_a_place_unknown() -> None:
    wide = clouds(96, 200, 5)
    images = np.stack([wide[:, :160], wide[:, 6:166], wide[:, 12:172]])
    start = np.random.default_rng(0).uniform((30, 10), (140, 85), (50, 2)).astype(np.float32)
    right = np.stack([start, start - (6, 0), start - (12, 0)]).astype(np.float32)
    assert _flow_agrees(images, right, 2.5).mean() > 0.95
    stuck = np.stack([start] * 3)
    agrees = _flow_agrees(images, stuck, 2.5)
    assert agrees[0].all()
    assert agrees[1:].mean() < 0.2


def test_a_point_that_changes_sides_is_unknown() -> None:
    masks = np.zeros((2, 40, 60), bool)
    masks[:, 10:30, 10:40] = True
    xy = np.array([[[20, 20], [20, 20], [50, 5], [50, 5]], [[22, 20], [50, 20], [52, 5], [25, 20]]], np.float32)
    assert _mask_agrees(masks, xy)[1].tolist() == [True, False, True, False]
