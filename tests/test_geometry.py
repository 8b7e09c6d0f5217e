"""The pixel convention: (0, 0) is the centre of the top-left pixel, the frame reaches half a pixel beyond the outer centres."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sampt.geometry import (
    clip_xy,
    find_mask_box,
    inside_frame,
    mask_at,
    near_border,
    pixels_around_box,
    pixels_between,
    pixels_within_edges,
    rescale_box,
    rescale_span,
    rescale_xy,
    round_to_pixels,
    sample_image,
    size_with_longest_side,
)

Sizes = st.tuples(st.integers(1, 3000), st.integers(1, 3000))


def array(*xy: tuple[float, float] | float) -> np.ndarray:
    return np.array(xy, np.float32)


def test_rescaling_keeps_the_corners_of_the_frame() -> None:
    assert rescale_xy(array((-0.5, -0.5), (9.5, 4.5)), (5, 10), (20, 30)).tolist() == [[-0.5, -0.5], [29.5, 19.5]]
    assert rescale_xy(array((0, 0)), (5, 10), (10, 20)).tolist() == [[0.5, 0.5]]
    assert rescale_xy(array((3, 2)), (4, 8), (4, 4)).tolist() == [[1.25, 2]]


@given(Sizes, Sizes, st.floats(0, 1), st.floats(0, 1))
def test_rescaling_and_back_is_the_identity(from_hw: tuple[int, int], to_hw: tuple[int, int], u: float, v: float) -> None:
    xy = array((u * from_hw[1] - 0.5, v * from_hw[0] - 0.5))
    back = rescale_xy(rescale_xy(xy, from_hw, to_hw), to_hw, from_hw)
    assert np.abs(back - xy).max() <= 2e-3


def test_rescaling_agrees_with_opencv_resize() -> None:
    ramp = np.tile(np.arange(12, dtype=np.float32), (4, 1))
    resized = cv2.resize(ramp, (30, 4), interpolation=cv2.INTER_LINEAR)
    x = rescale_xy(array(*[(i, 0) for i in range(2, 28)]), (4, 30), (4, 12))[:, 0]
    assert np.abs(resized[0, 2:28] - x).max() < 1e-5


def test_boxes_move_like_the_area_of_their_pixels() -> None:
    assert rescale_box(array((2, 1, 3, 1)).reshape(4), (4, 8), (8, 16)).tolist() == [4, 2, 7, 3]
    assert rescale_box(array((4, 2, 7, 3)).reshape(4), (8, 16), (4, 8)).tolist() == [2, 1, 3, 1]
    whole = rescale_box(np.array([0, 0, 99, 49], np.float32), (50, 100), (7, 9))
    assert np.allclose(whole, [0, 0, 8, 6], atol=1e-5)


def test_rows_of_a_resized_frame_show_the_locations_that_rescaling_says() -> None:
    first, locations = rescale_span(slice(2, 4), 8, 16)
    assert first == 4
    assert locations.tolist() == [-0.25, 0.25, 0.75, 1.25]
    first, locations = rescale_span(slice(3, 8), 8, 4)
    assert first == 1
    assert locations.tolist() == [-0.5, 1.5, 3.5]
    back = rescale_xy(array(*[(0, row) for row in range(1, 4)]), (4, 1), (8, 1))[:, 1]
    assert (locations + 3 == back).all()


def test_inside_is_half_open_and_half_a_pixel_wide() -> None:
    xy = array((-0.5, -0.5), (7.49, 3.49), (7.5, 0), (0, 3.5), (-0.51, 0))
    assert inside_frame(xy, (4, 8)).tolist() == [True, True, False, False, False]


def test_clipping_goes_to_the_nearest_pixel_centre() -> None:
    assert clip_xy(array((-3, 9), (2.5, 1.5)), (4, 8)).tolist() == [[0, 3], [2.5, 1.5]]


def test_border_is_a_fraction_of_each_side() -> None:
    # 1 % of 200 x 100 pixels: 2 columns and 1 row on each side.
    xy = array((1, 50), (2, 50), (197, 50), (198, 50), (100, 0), (100, 1), (100, 98), (100, 99))
    assert near_border(xy, (100, 200), 0.01).tolist() == [True, False, False, True, True, False, False, True]
    assert near_border(array((-1, 50), (0, 50), (199, 50), (200, 50)), (100, 200), 0.0).tolist() == [True, False, False, True]


def test_points_fall_on_the_pixel_that_holds_them() -> None:
    rows, columns = round_to_pixels(array((0.49, 0.5), (1.5, 2.49), (-4, 99)), (4, 8))
    assert rows.tolist() == [1, 2, 3]
    assert columns.tolist() == [0, 2, 0]


def test_halves_go_to_the_even_pixel_where_that_is_asked_for() -> None:
    xy = array((0.5, 1.5), (1.5, 2.5), (-0.5, 3.5), (7.5, -4))
    rows, columns = round_to_pixels(xy, (4, 8), halves_to_even=True)
    assert rows.tolist() == [2, 2, 3, 0]
    assert columns.tolist() == [0, 2, 0, 7]


def test_pixels_between_two_locations_are_rounded_outward_and_in_the_frame() -> None:
    assert pixels_between(array(1.2, 0.9), array(3.1, 2), (4, 8)) == (slice(0, 3), slice(1, 5))
    assert pixels_between(array(-3, -9), array(99, 99), (4, 8)) == (slice(0, 4), slice(0, 8))
    assert pixels_between(array(5, 2), array(3, 1), (4, 8)) == (slice(2, 3), slice(5, 6))


def test_pixels_within_edges_are_those_that_the_area_touches() -> None:
    assert pixels_within_edges(array(1.2, 0), array(3.1, 2), (4, 8)) == (slice(0, 2), slice(1, 4))
    assert pixels_within_edges(array(1, 1), array(2, 2), (4, 8)) == (slice(1, 2), slice(1, 2))  # a pixel's own edges
    assert pixels_within_edges(array(-3, -9), array(99, 99), (4, 8)) == (slice(0, 4), slice(0, 8))
    beyond = array(9, -2), array(12, -1)
    assert pixels_within_edges(*beyond, (4, 8)) == (slice(0, 0), slice(8, 8))
    assert pixels_within_edges(*beyond, (4, 8), min_pixels=1) == (slice(0, 1), slice(7, 8))


def test_pixels_around_a_box_begin_in_the_frame() -> None:
    assert pixels_around_box(array(5, 2, 6, 3), 1.6) == (slice(0, 6), slice(3, 9))
    assert pixels_around_box(array(5, 2, 6, 3), 0) == (slice(2, 4), slice(5, 7))


def test_mask_is_looked_up_inside_the_frame_only() -> None:
    mask = np.zeros((3, 5), bool)
    mask[:, 4] = True
    assert mask_at(mask, array((4, 1), (4.49, 1), (4.5, 1), (9, 1), (3.5, 1), (3.49, 1))).tolist() == [
        True,
        True,
        False,
        False,
        True,
        False,
    ]


def test_box_of_mask_is_tight_and_inclusive() -> None:
    mask = np.zeros((6, 9), bool)
    assert find_mask_box(mask) is None
    mask[2, 7] = mask[4, 3] = True
    box = find_mask_box(mask)
    assert box is not None
    assert box.tolist() == [3, 2, 7, 4]


@pytest.mark.parametrize(
    ("size_hw", "longest", "expected"),
    [((480, 854), 1024, (576, 1024)), ((854, 480), 427, (427, 240)), ((1, 3000), 16, (1, 16)), ((7, 7), 20, (20, 20))],
)
def test_longest_side(size_hw: tuple[int, int], longest: int, expected: tuple[int, int]) -> None:
    assert size_with_longest_side(size_hw, longest) == expected


@pytest.mark.parametrize("dtype", [np.float32, np.uint8])
@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize("shape", [(), (0,), (1,), (7,), (500,), (3, 40), (9, 5, 5)])
def test_images_are_sampled_bilinearly(dtype: type, channels: int, shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    y, x = np.mgrid[:60, :90].astype(np.float32)
    planes = [x, 2 * y, x + y][:channels]  # linear: bilinear sampling is exact
    xy = np.stack([rng.uniform(0, 89, shape), rng.uniform(0, 59, shape)], -1).astype(np.float32)
    values = sample_image(np.stack(planes, -1).astype(dtype), xy)
    expected = np.stack([xy[..., 0], 2 * xy[..., 1], xy[..., 0] + xy[..., 1]], -1)[..., :channels]
    assert values.shape == (*shape, channels)
    # OpenCV works with 1/32 pixel on two channels.
    assert np.abs(values - expected).max(initial=0) <= (0.07 if dtype is np.float32 else 0.6)


def test_beyond_the_border_lies_the_border_and_points_may_be_many() -> None:
    image = np.arange(6, dtype=np.float32).reshape(2, 3, 1)
    assert sample_image(image, array((-9, -9), (9, 0), (1, 9), (0.5, 0.5))).ravel().tolist() == [0, 2, 4, 2]
    xy = np.stack([np.linspace(0, 2, 70_000), np.zeros(70_000)], -1).astype(np.float32)
    assert np.abs(sample_image(image, xy).ravel() - xy[:, 0]).max() < 1e-5
