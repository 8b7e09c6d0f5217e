"""Facts about the synthetic scenes: what they call exact is what the pixels show."""

from __future__ import annotations

import time
from collections.abc import Callable

import cv2
import numpy as np
import pytest

from sampt.errors import ValueCheckError, VideoError
from sampt.geometry import mask_at
from sampt.testing.materials import Surface
from sampt.testing.rendering import Layer, Pose, Scene, SceneVideo, Wave
from sampt.testing.scenes import (
    crossing_scene,
    demo_scene,
    entering_scene,
    leave_and_return_scene,
    occlusion_scene,
    slow_scene,
    static_scene,
)
from sampt.types import Points

SMALL = [crossing_scene, occlusion_scene, leave_and_return_scene, static_scene, slow_scene]


def grid_points(scene: Scene, frame_idx: int, step: int = 5) -> Points:
    h, w = scene.size_hw
    y, x = np.mgrid[0:h:step, 0:w:step]
    return Points.of(1, frame_idx, np.stack([x.ravel(), y.ravel()], -1))


def colors_at(frame: np.ndarray, xy: np.ndarray) -> np.ndarray:
    x, y = np.ascontiguousarray(xy, np.float32).reshape(-1, 1, 2).transpose(2, 0, 1)
    return cv2.remap(frame, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)[:, 0].astype(float)


def test_pose_is_undone_exactly() -> None:
    pose = Pose((31.5, -7.25), 0.7, 1.3, Wave(6, 0.11, 0.4, 0.01), Wave(4, 0.17, 1.9, -0.02))
    u, v = np.random.default_rng(0).uniform(-40, 40, (2, 500))
    back_u, back_v = pose.to_local(*pose.to_frame(u, v))
    assert max(np.abs(back_u - u).max(), np.abs(back_v - v).max()) < 1e-9


def test_pose_with_known_numbers() -> None:
    x, y = Pose((10.0, 20.0), np.pi / 2, 2.0).to_frame(np.array([3.0]), np.array([1.0]))
    assert (x[0], y[0]) == (pytest.approx(8.0), pytest.approx(26.0))
    x, y = Pose((0.0, 0.0), bend=Wave(5.0, np.pi / 6)).to_frame(np.array([3.0]), np.array([1.0]))
    assert (x[0], y[0]) == (pytest.approx(3.0), pytest.approx(6.0))


@pytest.mark.parametrize("make", SMALL)
def test_there_and_back_is_below_a_hundredth_of_a_pixel(make: Callable[..., Scene]) -> None:
    scene = make()
    for layer in scene.layers:
        for i in range(scene.num_frames):
            x, y = np.meshgrid(np.linspace(-20, 120, 29), np.linspace(-20, 90, 23))
            pose = layer.pose_at(i)
            again = pose.to_frame(*pose.to_local(x, y))
            assert max(np.abs(again[0] - x).max(), np.abs(again[1] - y).max()) < 1e-9


@pytest.mark.parametrize("make", SMALL)
def test_masks_are_disjoint_and_inside_the_amodal_ones(make: Callable[..., Scene]) -> None:
    scene = make()
    for i in range(scene.num_frames):
        masks, whole = scene.masks(i), scene.amodal_masks(i)
        assert masks.shape == (scene.num_objects, 64, 96)
        assert masks.sum(0).max() <= 1
        assert not (masks & ~whole).any()


def test_front_object_hides_the_rear_one_where_they_overlap() -> None:
    scene = crossing_scene()
    rear, front = scene.amodal_masks(8)
    visible = scene.masks(8)
    assert (rear & front).sum() > 200
    assert np.array_equal(visible[1], front)
    assert np.array_equal(visible[0], rear & ~front)


@pytest.mark.parametrize("make", SMALL)
def test_tracked_points_keep_their_color_where_they_are_visible(make: Callable[..., Scene]) -> None:
    scene = make(shaded=False)
    for query in (0, scene.num_frames // 2):
        points = grid_points(scene, query)
        tracks = scene.point_positions(points)
        first = colors_at(scene.frame(query), points.xy)
        for i in range(scene.num_frames):
            away_from_edges = np.ones(len(points), np.bool_)
            for frame_idx, xy in ((query, points.xy.astype(float)), (i, tracks.xy[i].astype(float))):
                for layer in scene.layers[1:]:
                    away_from_edges &= np.abs(layer.distance_at(frame_idx, xy[:, 0], xy[:, 1])) > 2
                away_from_edges &= ((xy > 1) & (xy < np.array([94, 62]))).all(1)
            usable = tracks.visible[i] & away_from_edges
            change = np.abs(colors_at(scene.frame(i), tracks.xy[i]) - first)[usable]
            assert change.max(initial=0) < 24  # two bilinear samplings of a texture with steps of up to 60
            assert change.mean() < 3


@pytest.mark.parametrize("make", SMALL)
def test_points_on_an_object_are_visible_exactly_where_its_mask_is(make: Callable[..., Scene]) -> None:
    scene = make()
    masks = scene.masks(0)
    for k in range(scene.num_objects):
        rows, columns = np.nonzero(masks[k])
        points = Points.of(k + 1, 0, np.stack([columns, rows], -1)[::7])
        tracks = scene.point_positions(points)
        for i in range(scene.num_frames):
            on_mask = mask_at(scene.masks(i)[k], tracks.xy[i])
            # a mask is sampled at pixel centres, so the two may differ within a pixel of an outline
            sure = np.ones(len(points), np.bool_)
            for layer in scene.layers[1:]:
                sure &= np.abs(layer.distance_at(i, *tracks.xy[i].astype(float).T)) > 1.5
            assert np.array_equal(on_mask[sure], tracks.visible[i][sure])


def test_every_pixel_of_a_mask_anchors_to_its_object() -> None:
    scene = crossing_scene()
    for i in (0, 7):
        masks = scene.masks(i)
        h, w = scene.size_hw
        y, x = np.mgrid[:h, :w]
        anchors = scene.anchor(i, np.stack([x.ravel(), y.ravel()], -1))
        labels = masks[0] * 1 + masks[1] * 2
        assert (anchors.layer_idx.reshape(h, w) == labels).mean() > 0.9995
        assert scene.location(anchors, i)[1].mean() > 0.9995


def test_query_point_is_visible_at_its_own_location_to_the_last_bit() -> None:
    scene = slow_scene()
    xy = np.random.default_rng(3).uniform(0, [95, 63], (50, 2)).astype(np.float32)
    points = Points(xy, np.arange(50) % 12, np.ones(50), np.ones(50))
    tracks = scene.point_positions(points)
    own = (points.frame_idx, np.arange(50))
    assert np.array_equal(tracks.xy[own], xy)
    assert tracks.visible[own].all()


def test_background_follows_the_pan() -> None:
    tracks = slow_scene().point_positions(Points.of(1, 2, [[48, 3]]))
    assert tracks.xy[:, 0] == pytest.approx(np.array([[48 - 0.3 * (i - 2), 3 - 0.1 * (i - 2)] for i in range(12)]), abs=1e-5)


def test_object_is_hidden_completely_behind_the_pillar_and_comes_back() -> None:
    areas = [int(occlusion_scene().masks(i).sum()) for i in range(20)]
    assert areas[0] > 250
    assert areas[-1] > 250
    assert areas[8:12] == [0, 0, 0, 0]
    assert int(occlusion_scene().amodal_masks(10).sum()) > 250


def test_object_leaves_and_returns() -> None:
    scene = leave_and_return_scene()
    areas = [int(scene.masks(i).sum()) for i in range(24)]
    assert areas[11] == areas[12] == 0
    assert min(areas[0], areas[-1]) > 400
    tracks = scene.point_positions(Points.of(1, 0, [[77, 32]]))
    assert tracks.xy[11, 0, 0] > 100
    assert not tracks.visible[11, 0]
    assert tracks.visible[-1, 0]


def test_seed_decides_every_pixel() -> None:
    assert np.array_equal(crossing_scene().frame(5), crossing_scene().frame(5))
    assert not np.array_equal(crossing_scene(seed=8).frame(5), crossing_scene().frame(5))


def test_still_scene_repeats_its_frame() -> None:
    scene = static_scene()
    assert np.array_equal(scene.frame(0), scene.frame(11))


def test_edges_are_soft() -> None:
    """A white disk on black has grey pixels on its outline, and white ones inside."""
    y, x = np.mgrid[:40, :40] - 19.5
    disk = Surface.of(np.full((40, 40, 3), 255.0), np.hypot(x, y) < 12)
    black = Surface.of(np.zeros((64, 96, 3)))
    scene = Scene([Layer(black, lambda _: Pose((47.5, 31.5))), Layer(disk, lambda _: Pose((40.3, 30.6)), 1)], 1, (64, 96))
    frame, mask = scene.frame(0)[..., 0], scene.masks(0)[0]
    assert mask.sum() == pytest.approx(np.pi * 12**2, rel=0.02)
    grey = (frame > 20) & (frame < 235)
    assert 40 < grey.sum() < 160
    assert frame[30, 40] == 255
    assert (int(frame[mask].min()), int(frame[~mask].max())) == (pytest.approx(128, abs=4), pytest.approx(128, abs=4))


def test_scene_without_background_or_with_a_gap_in_its_ids_is_refused() -> None:
    y, x = np.mgrid[:20, :20] - 9.5
    disk = Layer(Surface.of(np.full((20, 20, 3), 255.0), np.hypot(x, y) < 6), lambda _: Pose((10, 10)), 2)
    ground = Layer(Surface.of(np.zeros((64, 96, 3))), lambda _: Pose((48, 32)))
    with pytest.raises(ValueCheckError, match="no background"):
        Scene([disk], 1, (64, 96))
    with pytest.raises(ValueCheckError, match=r"object ids \[2\]; expected 1 to m"):
        Scene([ground, disk], 1, (64, 96))


def test_video_of_a_scene_is_its_frames() -> None:
    scene = crossing_scene()
    video = SceneVideo(scene)
    frames = video.read(3, 6)
    assert (video.num_frames, video.size_hw, frames.shape) == (16, (64, 96), (3, 64, 96, 3))
    assert np.array_equal(frames[1], scene.frame(4))
    with pytest.raises(VideoError, match="scene 'crossing', which has 16"):
        video.read(10, 17)


def test_demo_crosses_occludes_and_is_quick() -> None:
    scene = demo_scene()
    assert (scene.num_frames, scene.size_hw, scene.num_objects) == (60, (360, 640), 3)
    areas = np.array([scene.masks(i).sum((1, 2)) for i in range(0, 60, 3)])
    whole = np.array([scene.amodal_masks(i).sum((1, 2)) for i in range(0, 60, 3)])
    shown = areas / whole
    assert areas[0].min() > 2000
    assert shown[:, 0].min() < 0.4  # the orange fish is mostly covered by the blue one once
    assert shown[-1, 0] > 0.9
    assert shown[:, 2].min() == 0  # the green fish is hidden completely by the rock
    assert shown[-1, 2] > 0.9
    scene.frame(0)
    seconds = []
    for i in range(10, 20):
        start_s = time.perf_counter()
        scene.frame(i)
        seconds.append(time.perf_counter() - start_s)
    assert min(seconds) < 0.04


def test_demo_of_another_size_shows_the_same_journey() -> None:
    large, small = demo_scene(10), demo_scene(10, (180, 320))
    for i in (0, 5, 9):
        fraction_large, fraction_small = (s.masks(i).mean((1, 2)) for s in (large, small))
        assert fraction_small == pytest.approx(fraction_large, rel=0.15, abs=0.001)


@pytest.mark.parametrize("seed", [0, 1, 3])
def test_what_enters_later_is_not_there_before_and_apart_in_the_end(seed: int) -> None:
    scene = entering_scene(seed=seed)
    areas = np.stack([scene.masks(i).sum((1, 2)) for i in (0, 10, scene.num_frames - 1)])
    assert areas[0, 0] > 3000
    assert not areas[:2, 1:].any()
    assert np.array_equal(areas[-1], scene.amodal_masks(scene.num_frames - 1).sum((1, 2)))
    assert scene.num_objects == {0: 3, 1: 2, 3: 3}[seed]
