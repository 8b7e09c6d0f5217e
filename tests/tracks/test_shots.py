"""Cuts are distinguished from movement and light, and an object counts in another shot only once it is really seen there."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sampt.config import TrackingConfig
from sampt.testing.scenes import crossing_scene, demo_scene
from sampt.tracks.filters import PointFilter
from sampt.tracks.shots import FrameAppearance, ShotView, is_cut
from sampt.types import HiddenBy, Points, UInt8Array
from sampt.video.array import ArrayVideo

SIZE_HW = (180, 320)


def textured(seed: int, size_hw: tuple[int, int] = (240, 400), color: tuple[int, int, int] = (140, 110, 120)) -> UInt8Array:
    rng = np.random.default_rng(seed)
    out = np.zeros((*size_hw, 3), np.float32)
    for cells, weight in ((4, 70), (10, 50), (28, 40)):
        noise = rng.normal(size=(cells, cells * 2, 3)).astype(np.float32)
        out += weight * cv2.resize(noise, size_hw[::-1], interpolation=cv2.INTER_CUBIC)
    return np.clip(out * 0.6 + color, 0, 255).astype(np.uint8)


WORLD = textured(1)
ONE = WORLD[20:200, 20:340]
OTHER = textured(2, color=(90, 140, 150))[:180, :320]


@pytest.mark.parametrize(
    ("frame", "expected"),
    [
        (OTHER, True),
        (np.zeros((*SIZE_HW, 3), np.uint8), True),
        (demo_scene(2, SIZE_HW).frame(0), True),
        (WORLD[32:212, 50:370], False),  # the camera moves by a tenth of the width
        (np.clip(ONE * 0.55 + 30, 0, 255).astype(np.uint8), False),  # a cloud
        (np.clip(ONE * 1.3 + 25, 0, 255).astype(np.uint8), False),  # a lamp
        (cv2.GaussianBlur(ONE, (0, 0), 3), False),
    ],
    ids=["other-image", "black", "other-scene", "movement", "darker", "brighter", "blurred"],
)
def test_a_cut_is_another_image(frame: UInt8Array, expected: bool) -> None:
    one, other = FrameAppearance.of(ONE), FrameAppearance.of(frame)
    assert is_cut(one, other) is expected
    assert is_cut(other, one) is expected


@pytest.mark.parametrize("scene", [crossing_scene(12), demo_scene(8, SIZE_HW)])
def test_a_scene_has_no_cut(scene: object) -> None:
    looks = [FrameAppearance.of(scene.frame(i)) for i in range(scene.num_frames)]  # type: ignore[attr-defined]
    assert not any(map(is_cut, looks, looks[1:]))


def test_where_a_shot_ends() -> None:
    video = ShotView(ArrayVideo(np.stack([ONE] * 3 + [OTHER] * 4 + [ONE] * 2)))
    assert [video.shot_end(start, 9) for start in (0, 2, 3, 6, 7)] == [3, 3, 7, 7, 9]
    assert video.shot_end(0, 3) == 3
    assert video.shot_end(1, 2) == 2


def seen(frames: list[UInt8Array], points: Points, xy: list[np.ndarray], *, query: int = 0) -> list[bool]:
    """On which frames the points count that a tracker sees at ``xy`` on all of them."""
    point_filter = PointFilter(TrackingConfig(shot_cuts=True, border_fraction=0), points, SIZE_HW)
    columns, codes = np.arange(len(points)), np.zeros(len(points), np.uint8)
    counts = []
    for i, (frame, locations) in enumerate(zip(frames, xy, strict=True)):
        found = point_filter.apply(frame, query + i, columns, locations.astype(np.float32), codes)
        assert len(set(found.tolist())) == 1
        assert found[0] in (HiddenBy.NONE, HiddenBy.SHOT)
        counts.append(bool(found[0] == HiddenBy.NONE))
    return counts


GRID = np.stack(np.meshgrid(np.linspace(100, 220, 6), np.linspace(60, 120, 5)), -1).reshape(-1, 2)


def test_points_count_again_where_they_look_as_they_did_and_lie_as_they_did() -> None:
    other, moved = OTHER, WORLD[24:204, 30:350]
    points = Points.of(1, 0, GRID)
    frames = [ONE, ONE, other, other, moved, moved]
    assert seen(frames, points, [GRID] * 4 + [GRID - (10, 4)] * 2) == [True, True, False, False, True, True]
    # In the right image, but not where they belong.
    scattered = np.random.default_rng(0).uniform([20, 20], [300, 160], GRID.shape)
    assert seen(frames, points, [GRID] * 4 + [scattered] * 2) == [True, True, False, False, False, False]
    # Once found, the tracker is believed, up to the next cut.
    assert seen([*frames, other], points, [GRID] * 4 + [GRID - (10, 4), scattered, scattered])[4:] == [True, True, False]


@pytest.mark.parametrize("count", [1, 2, 5])
def test_few_points_have_to_look_the_same(count: int) -> None:
    points = Points.of(1, 0, GRID[7 : 7 + count])
    xy = GRID[7 : 7 + count]
    other, moved = OTHER, WORLD[24:204, 30:350]
    assert seen([ONE, other, moved], points, [xy, xy, xy - (10, 4)]) == [True, False, True]
    assert seen([ONE, other, moved], points, [xy, xy, xy - (-31, -17)]) == [True, False, False]


def test_without_a_cut_nothing_is_hidden() -> None:
    """Whatever the points do: that is for the tracker to say."""
    rng = np.random.default_rng(0)
    frames = [WORLD[20 + i : 200 + i, 20 + 3 * i : 340 + 3 * i] for i in range(8)]
    assert all(seen(frames, Points.of(1, 0, GRID), [GRID, *(rng.uniform(30, 150, GRID.shape) for _ in range(7))]))
