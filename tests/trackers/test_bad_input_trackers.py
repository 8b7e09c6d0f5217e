"""What every tracker does with bad input: the table of docs/trackers.md. Large networks are reduced, their files empty."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the [torch] extra")

from sampt.backends.registry import available  # noqa: E402
from sampt.errors import BackendError  # noqa: E402
from sampt.trackers.base import PointTracker  # noqa: E402
from sampt.trackers.create import create_tracker  # noqa: E402
from sampt.types import HiddenBy, Points, Tracks  # noqa: E402
from sampt.video.array import ArrayVideo  # noqa: E402

CPU = torch.device("cpu")
CLASSICAL = ("dis-flow", "lucas-kanade")
FROM_FILES = (
    *("bootstapir", "bootstapir-causal", "cotracker-v1", "cotracker3-offline", "cotracker3-online", "pips", "pips-pp"),
    *("raft", "raft-small", "tapir", "tapnet", "tapnext", "tapnext-pp", "tapnext-pp-512"),
)
"""A checkpoint file each; those of keypoint matchers are folders (test_keypoints.py), the bundled one is in the package."""


@cache
def reduced(name: str) -> PointTracker:
    """The tracker with random weights, small enough to run in a moment; classical ones and `nano` as they are."""
    if name in (*CLASSICAL, "nano"):
        return create_tracker(name, device="cpu")
    if name.startswith("raft"):
        from sampt.trackers.raft.adapter import RaftTracker
        from sampt.trackers.raft.network import SMALL, RaftNetwork

        return RaftTracker(name, RaftNetwork(SMALL).eval(), CPU, iterations=1)
    if name == "pips":
        from sampt.trackers.pips.adapter import PipsTracker, load_network
        from sampt.trackers.pips.encoder import EncoderSizes
        from sampt.trackers.pips.network import PipsSizes

        sizes = PipsSizes(8, EncoderSizes(4, (8, 8, 8, 8), 16), width=32, depth=2)
        return PipsTracker(load_network(None, sizes), CPU, iterations=1)
    if name == "pips-pp":
        from sampt.trackers.pips.encoder import EncoderSizes
        from sampt.trackers.pips_pp.adapter import PipsPpTracker
        from sampt.trackers.pips_pp.adapter import load_network as load_pips_pp
        from sampt.trackers.pips_pp.network import PipsPpSizes

        small = PipsPpSizes(EncoderSizes(8, (8, 8, 8, 8), 16), width=16, blocks=4)
        return PipsPpTracker(load_pips_pp(None, small), CPU, iterations=1, window=16, image_hw=(64, 96))
    if "tapir" in name:
        from sampt.trackers.tapir import adapter as tapir

        changes: dict[str, Any] = {
            "image_hw": (64, 64),
            "widths": (8, 16, 24, 32),
            "hidden": 24,
            "blocks": 2,
            "iterations": 1,
        }
        network = tapir.load_network(name, None, replace(tapir._SIZES[name], **changes))
        view = tapir.FrameView(name, network, CPU)
        return tapir.CausalTapirTracker(view) if network.sizes.is_causal else tapir.TapirTracker(view)
    if name == "tapnet":
        from sampt.trackers.tapnet.adapter import TapNetTracker
        from sampt.trackers.tapnet.network import TapNetNetwork, TapNetSizes

        return TapNetTracker(TapNetNetwork(TapNetSizes((64, 64), (8, 8, 16))).eval(), CPU)
    if name == "cotracker-v1":
        from sampt.trackers.cotracker_v1.adapter import CoTrackerV1, CoTrackerV1Settings
        from sampt.trackers.cotracker_v1.network import CoTrackerV1Network, CoTrackerV1Sizes
        from sampt.trackers.pips.encoder import EncoderSizes

        small = CoTrackerV1Sizes(8, (48, 64), EncoderSizes(4, (8, 8, 8, 8), 8), hidden=16, heads=2, depth=1)
        return CoTrackerV1(CoTrackerV1Network(small).eval(), CPU, CoTrackerV1Settings(iterations=1))
    if name == "xfeat":
        from sampt.trackers.keypoints.adapter import KeypointTracker
        from sampt.trackers.xfeat.matcher import XFeatMatcher
        from sampt.trackers.xfeat.network import XFeatNetwork

        matcher = XFeatMatcher(XFeatNetwork().eval().requires_grad_(False), CPU, longest_side=96)
        return KeypointTracker(create_tracker(name, weights=None, device="cpu").info, matcher)
    if name.startswith("cotracker3"):
        from sampt.trackers.cotracker.adapter import CoTracker, CoTrackerSettings
        from sampt.trackers.cotracker.network import CoTrackerNetwork, CoTrackerSizes

        few = CoTrackerSizes(8, (48, 64), 16, 32, 2, 2, 4, 16, 8, radius=2, levels=3)
        return CoTracker(name, CoTrackerNetwork(few).eval(), CPU, CoTrackerSettings(iterations=1))
    from sampt.trackers.tapnext.adapter import MODELS, TapNextTracker
    from sampt.trackers.tapnext.adapter import load_network as load_tapnext
    from sampt.trackers.tapnext.network import TapNextSizes

    tiny = TapNextSizes((64, 64), width=32, heads=2, lru_width=48, depth=2, bins=64)
    return TapNextTracker(name, replace(MODELS[name], image_hw=(64, 64)), load_tapnext(name, None, tiny), CPU)


@cache
def collect_shapes(name: str) -> dict[str, tuple[int, ...]]:
    """Parameter -> shape, as they are called in the network itself."""
    tracker = create_tracker(name, weights=None, device="cpu")
    view = getattr(tracker, "_view", None)
    network = view.network if view is not None else tracker._network  # type: ignore[attr-defined]
    return {key: tuple(value.shape) for key, value in network.state_dict().items()}


def write_state(path: Path, shapes: dict[str, tuple[int, ...]]) -> Path:
    """A checkpoint of these shapes whose values take no room: views of one number."""
    torch.save({key: torch.zeros(1).expand(shape) if shape else torch.zeros(()) for key, shape in shapes.items()}, path)
    return path


class Wicked:
    def __reduce__(self) -> Any:
        return os.mkdir, (os.environ["SAMPT_TEST_TRAP"],)


def other_network(path: Path, name: str) -> Path:
    other = "raft-small" if not name.startswith("raft") else "pips"
    return write_state(path, collect_shapes(other))


def half(path: Path, name: str) -> Path:
    shapes = collect_shapes(name)
    return write_state(path, dict(list(shapes.items())[: len(shapes) // 2]))


def truncated(path: Path, name: str) -> Path:
    write_state(path, collect_shapes("raft-small"))
    path.write_bytes(path.read_bytes()[:-4000])
    return path


def code(path: Path, name: str) -> Path:
    torch.save({"x": torch.zeros(2), "y": Wicked()}, path)
    return path


def plain_pickle(path: Path, name: str) -> Path:
    path.write_bytes(pickle.dumps(Wicked()))
    return path


def empty(path: Path, name: str) -> Path:
    path.touch()
    return path


def text(path: Path, name: str) -> Path:
    path.write_text("Not Found")
    return path


FILES: dict[str, tuple[Callable[[Path, str], Path], str]] = {
    "other network": (other_network, "got weights of another network"),
    "half a state dict": (half, "got weights of another network"),
    "truncated": (truncated, "is incomplete"),
    "code in it": (code, "expected names with tensors"),
    "plain pickle with code": (plain_pickle, "cannot be read as weights"),
    "empty": (empty, "cannot be read as weights"),
    "text": (text, "cannot be read as weights"),
}


def cases() -> list[Any]:
    """A tracker and a file each. Files that cannot be read are refused by the same lines for all: one tracker is quick."""
    own = ("other network", "half a state dict", "code in it")
    slow = [(name, kind) for name in FROM_FILES[1:] for kind in FILES if kind not in own]
    every = [(name, kind) for name in FROM_FILES for kind in FILES]
    return [pytest.param(*case, marks=[pytest.mark.slow] * (case in slow), id="-".join(case)) for case in every]


@pytest.mark.parametrize(("name", "kind"), cases())
def test_a_file_that_is_not_the_trackers_is_one_line(
    name: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_TEST_TRAP", str(tmp_path / "trap"))
    make, text = FILES[kind]
    with pytest.raises(BackendError) as caught:
        create_tracker(name, weights=str(make(tmp_path / "w.pth", name)), device="cpu")
    assert "\n" not in str(caught.value)
    assert text in str(caught.value)
    assert "w.pth" in str(caught.value)
    assert not (tmp_path / "trap").exists(), "code in a file of weights was run"


def clip(num_frames: int) -> ArrayVideo:
    """Smooth noise that moves by a pixel a frame."""
    noise = np.random.default_rng(2).uniform(0, 255, (64 + 8, 96 + 40, 3)).astype(np.float32)
    for axis in (0, 1):
        noise = sum(np.roll(noise, k, axis) for k in range(-2, 3)) / 5
    return ArrayVideo(np.stack([noise[4:68, 20 - k : 116 - k] for k in range(num_frames)]).astype(np.uint8))


def checked(name: str, num_frames: int, points: Points) -> Tracks:
    """The tracks, with what holds for all: finite, one row a frame, at its own location on its own frame."""
    tracks = reduced(name).track(clip(num_frames), points)
    assert tracks.xy.shape == (num_frames, len(points), 2)
    assert np.isfinite(tracks.xy).all()
    assert ((tracks.confidence >= 0) & (tracks.confidence <= 1)).all()
    own = points.frame_idx, np.arange(len(points))
    assert np.abs(tracks.xy[own] - points.xy).max(initial=0) < 1e-3
    assert tracks.visible[own].all()
    assert np.array_equal(tracks.visible, tracks.hidden_by == HiddenBy.NONE)
    return tracks


SAME_CODE = {"raft-small", "bootstapir", "cotracker3-offline", "tapnext-pp", "tapnext-pp-512"}
"""Reduced, they are what `raft`, `tapir`, `cotracker3-online` and `tapnext` are."""
# The matchers have this in test_keypoints.py.
ALL = [name for name in available("tracker") if "glue" not in name and name not in {*SAME_CODE, "tracks"}]


@pytest.mark.parametrize("num_frames", [1, 3])
@pytest.mark.parametrize("name", ALL)
def test_a_video_shorter_than_the_window(name: str, num_frames: int) -> None:
    checked(name, num_frames, Points.of(1, num_frames - 1, [[40, 30], [10, 50]]))


@pytest.mark.parametrize("name", ALL)
def test_no_point(name: str) -> None:
    checked(name, 4, Points.concat([]))


@pytest.mark.parametrize("name", ALL)
def test_two_thousand_points(name: str) -> None:
    xy = np.random.default_rng(1).uniform(0, (95, 63), (2000, 2))
    frame_idx = np.arange(2000) % 3
    ones = np.ones(2000, np.int64)
    checked(name, 3, Points(xy.astype(np.float32), frame_idx, ones, ones > 0))


@pytest.mark.parametrize("name", ALL)
def test_all_points_on_the_border(name: str) -> None:
    steps = np.linspace(0, 1, 9)
    ends = [(95 * s, y) for s in steps for y in (0, 63)] + [(x, 63 * s) for s in steps for x in (0, 95)]
    checked(name, 4, Points.of(1, 1, ends))


@pytest.mark.parametrize("name", ALL)
def test_points_on_the_last_frame_alone(name: str) -> None:
    checked(name, 5, Points.of(1, 4, [[40, 30], [60, 20]]))
