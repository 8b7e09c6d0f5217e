"""The bundled tracker with its bundled weights: what it can do that chained flow cannot, and that it computes once."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest

from sampt.testing.scenes import Scene, occlusion_scene
from sampt.trackers.create import create_tracker
from sampt.trackers.nano import BUNDLED_WEIGHTS, NanoTracker, NanoTrackerSettings
from sampt.trackers.nano.onnx_runtime import OnnxRuntime
from sampt.trackers.nano.runtime import FILES, INT8_ENCODER
from sampt.types import FloatArray, Points, Tracks, UInt8Array
from sampt.video import open_video


def textured(size_hw: tuple[int, int], seed: int = 3) -> np.ndarray:
    """A colour photograph with detail at several scales, like no photo in particular."""
    rng = np.random.default_rng(seed)
    out = np.zeros((*size_hw, 3), np.float32)
    for cells, weight in ((4, 70), (10, 50), (28, 40), (70, 20)):
        noise = rng.normal(size=(cells, cells * 2, 3)).astype(np.float32)
        out += weight * cv2.resize(noise, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(out * 0.6 + 128, 0, 255).astype(np.uint8)


def track_stream(frames: UInt8Array, points: Points, tracker: Any = None) -> Tracks:
    tracker = tracker or create_tracker("nano")
    tracks: Tracks = tracker.track(open_video(frames), points)
    return tracks


def test_the_package_holds_at_most_eleven_megabytes() -> None:
    assert sum((BUNDLED_WEIGHTS / name).stat().st_size for name in (*FILES, INT8_ENCODER)) < 11_000_000


@pytest.mark.parametrize("jump_px", [(60, 0), (-48, 30), (0, -40)])
def test_points_survive_a_jump_of_a_sixth_of_the_width(jump_px: tuple[int, int]) -> None:
    world = textured((500, 700))
    start = np.array([150, 120])
    frames = np.stack([world[y : y + 240, x : x + 360] for x, y in (start, start + 2, start + 2 + jump_px)])
    xy = np.stack(np.meshgrid(np.linspace(90, 270, 8), np.linspace(70, 170, 6)), -1).reshape(-1, 2)
    tracks = track_stream(frames, Points.of(1, 0, xy))
    error = np.linalg.norm(tracks.xy[2] - (xy - 2 - jump_px), axis=1)
    assert np.mean(error < 5) > 0.8


def test_points_are_found_again_after_an_occlusion() -> None:
    world = textured((240, 360))
    xy = np.stack(np.meshgrid(np.linspace(150, 210, 6), np.linspace(90, 150, 6)), -1).reshape(-1, 2)
    frames = []
    for i in range(16):
        frame = world.copy()
        cv2.rectangle(frame, (20 * i - 90, 40), (20 * i + 30, 200), (40, 90, 60), -1)
        frames.append(frame)
    tracks = track_stream(np.stack(frames), Points.of(1, 0, xy))
    hidden = [i for i in range(16) if 20 * i + 30 > 215 and 20 * i - 90 < 145]
    assert hidden
    assert tracks.visible[hidden].mean() < 0.25
    assert tracks.visible[15].mean() > 0.6
    assert np.median(np.linalg.norm(tracks.xy[15] - xy, axis=1)) < 3


def test_a_point_that_left_the_frame_comes_back() -> None:
    world = textured((240, 700))
    offsets = [100, 140, 180, 220, 260, 300, 260, 220, 180, 140, 100]
    frames = np.stack([world[:, x : x + 360] for x in offsets])
    xy = np.stack(np.meshgrid(np.linspace(20, 120, 5), np.linspace(60, 180, 5)), -1).reshape(-1, 2)
    tracks = track_stream(frames, Points.of(1, 0, xy))
    assert tracks.visible[5].mean() < 0.1  # all are outside
    assert tracks.visible[10].mean() > 0.8
    assert np.median(np.linalg.norm(tracks.xy[10] - xy, axis=1)) < 3


def test_pytorch_computes_what_onnx_runtime_computes() -> None:
    pytest.importorskip("torch")
    from sampt.trackers.nano.torch_runtime import TorchRuntime

    scene: Scene = occlusion_scene()
    frames = np.stack([scene.frame(i) for i in range(10)])
    ys, xs = np.nonzero(scene.masks(0)[0])
    points = Points.of(1, 0, np.stack([xs, ys], 1)[:: max(1, len(xs) // 20)])
    one = track_stream(frames, points, NanoTracker(OnnxRuntime(BUNDLED_WEIGHTS, integers=False)))
    two = track_stream(frames, points, NanoTracker(TorchRuntime(BUNDLED_WEIGHTS, "cpu")))
    assert np.abs(one.xy - two.xy).max() < 0.02
    assert np.abs(one.confidence - two.confidence).max() < 1e-3
    quick = track_stream(frames, points)  # the larger image in integers
    both = one.visible & quick.visible
    assert (one.visible == quick.visible).mean() > 0.95
    assert np.median(np.linalg.norm(one.xy - quick.xy, axis=2)[both]) < 0.3


def test_points_are_where_they_are_to_a_pixel_of_a_large_frame() -> None:
    """The network sees 320 of 960 pixels; what it is off by is made good in the larger image."""
    world = textured((600, 1000), seed=5)
    frames = np.stack([world[3 * t : 3 * t + 540, 2 * t : 2 * t + 960] for t in range(12)])
    xy = np.stack(np.meshgrid(np.linspace(90, 870, 8), np.linspace(90, 450, 6)), -1).reshape(-1, 2)
    error = {}
    for side in (0, NanoTrackerSettings().refined_side):
        tracker = NanoTracker(OnnxRuntime(BUNDLED_WEIGHTS), NanoTrackerSettings(refined_side=side))
        tracks = track_stream(frames, Points.of(1, 0, xy), tracker)
        error[side] = np.median(np.linalg.norm(tracks.xy[11] - (xy - [22, 33]), axis=1))
    assert error[NanoTrackerSettings().refined_side] < 1.2
    assert error[NanoTrackerSettings().refined_side] < 0.7 * error[0]


class Counting(OnnxRuntime):
    encoded = 0

    def encode(self, image: FloatArray, *, larger: bool = False) -> Any:
        self.encoded += 1
        return super().encode(image, larger=larger)


def test_a_frame_is_encoded_once_for_all_streams_that_see_it() -> None:
    frames = np.stack([textured((60, 90), seed) for seed in range(6)])
    runtime = Counting(BUNDLED_WEIGHTS)
    tracker = NanoTracker(runtime)
    tracker.track(open_video(frames), Points.concat([Points.of(1, 3, [[20, 20]]), Points.of(1, 0, [[30, 30]])]))
    assert runtime.encoded == 6  # in both directions
    tracker.track(open_video(frames), Points.of(2, 2, [[40, 30]]))
    assert runtime.encoded == 6  # another window over the same frames


def test_only_so_many_frames_are_remembered() -> None:
    frames = np.stack([textured((60, 90), seed) for seed in range(6)])
    runtime = Counting(BUNDLED_WEIGHTS)
    height, width = 224, 320
    num_bytes = 4 * (64 * height * width // 16 + 128 * height * width // 64)
    tracker = NanoTracker(runtime, NanoTrackerSettings(cache_bytes=2 * num_bytes))
    for _ in range(2):
        tracker.track(open_video(frames), Points.of(1, 0, [[20, 20]]))
    assert runtime.encoded == 12
