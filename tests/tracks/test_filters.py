"""The border margin and the patch filter."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sampt.config import TrackingConfig
from sampt.tracks.filters import PointFilter
from sampt.types import HiddenBy, Points

SIZE_HW = (100, 200)
NONE, TRACKER, BORDER, PATCH, AFTER = (
    int(c) for c in (HiddenBy.NONE, HiddenBy.TRACKER, HiddenBy.BORDER, HiddenBy.PATCH, HiddenBy.AFTER_PATCH)
)


def apply(point_filter: PointFilter, frame_idx: int, xy: object, codes: object, frame: np.ndarray | None = None) -> list[int]:
    xy_array = np.array(xy, np.float32)
    columns = np.arange(len(xy_array))
    given = np.array(codes, np.uint8)
    kept = given.copy()
    out = point_filter.apply(frame, frame_idx, columns, xy_array, given)
    assert np.array_equal(given, kept)
    return [int(c) for c in out]


def test_the_border_is_one_percent_of_each_side() -> None:
    xy = [[1.49, 50], [1.5, 50], [197.5, 50], [197.51, 50], [100, 0.49], [100, 0.5], [100, 98.5], [100, 98.51], [-5, 50]]
    point_filter = PointFilter(TrackingConfig(), Points.of(1, 0, xy), SIZE_HW)
    assert apply(point_filter, 1, xy, [NONE] * 9) == [BORDER, NONE, NONE, BORDER, BORDER, NONE, NONE, BORDER, BORDER]
    assert not point_filter.needs_frames


def test_a_wider_border() -> None:
    xy = [[19, 50], [20, 50], [100, 9], [100, 10]]
    point_filter = PointFilter(TrackingConfig(border_fraction=0.1), Points.of(1, 0, xy), SIZE_HW)
    assert apply(point_filter, 1, xy, [NONE] * 4) == [BORDER, NONE, BORDER, NONE]


def test_a_point_is_never_hidden_on_its_own_query_frame() -> None:
    points = Points([[0, 0], [0, 0]], [3, 4], [1, 1], [True, True])  # type: ignore[arg-type]
    point_filter = PointFilter(TrackingConfig(), points, SIZE_HW)
    assert apply(point_filter, 3, points.xy, [NONE, NONE]) == [NONE, BORDER]
    assert apply(point_filter, 4, points.xy, [NONE, TRACKER]) == [BORDER, NONE]


def test_a_hidden_point_keeps_its_reason() -> None:
    point_filter = PointFilter(TrackingConfig(), Points.of(1, 0, [[0, 0]]), SIZE_HW)
    assert apply(point_filter, 1, [[0, 0]], [TRACKER]) == [TRACKER]


def grey(level: int) -> np.ndarray:
    return np.full((*SIZE_HW, 3), level, np.uint8)


def lightness(level: int) -> float:
    return float(cv2.cvtColor(np.full((1, 1, 3), level / 255, np.float32), cv2.COLOR_RGB2LAB)[0, 0, 0])


def similarity(level: int, other: int) -> float:
    return float(np.exp(-abs(lightness(level) - lightness(other)) * 3 / 18))  # nine equal pixels: the norm is 3 differences


def patches(points: Points, **changed: float) -> PointFilter:
    return PointFilter(TrackingConfig(patch_filter=True, **changed), points, SIZE_HW)  # type: ignore[arg-type]


def test_a_patch_below_the_threshold_hides_the_point_from_then_on() -> None:
    points = Points.of(1, 0, [[50, 50]])
    levels = (100, 160, 180, 100)
    assert similarity(100, 160) > 0.01 > similarity(100, 180)
    point_filter = patches(points)
    assert point_filter.needs_frames
    codes = [apply(point_filter, i, points.xy, [NONE], grey(level)) for i, level in enumerate(levels)]
    assert codes == [[NONE], [NONE], [PATCH], [AFTER]]


def test_the_threshold_counts() -> None:
    points = Points.of(1, 0, [[50, 50]])
    strict = patches(points, patch_threshold=similarity(100, 110) + 0.01)
    assert apply(strict, 0, points.xy, [NONE], grey(100)) == [NONE]
    assert apply(strict, 1, points.xy, [NONE], grey(110)) == [PATCH]
    loose = patches(points, patch_threshold=similarity(100, 110) - 0.01)
    assert apply(loose, 0, points.xy, [NONE], grey(100)) == [NONE]
    assert apply(loose, 1, points.xy, [NONE], grey(110)) == [NONE]


def test_going_backward_earlier_frames_are_hidden() -> None:
    points = Points([[50, 50], [20, 20]], [3, 2], [1, 1], [True, True])  # type: ignore[arg-type]
    point_filter = patches(points)
    # The second point joins on frame 2, where the image is already the other one.
    assert point_filter.apply(grey(100), 3, np.array([0]), points.xy[:1], np.zeros(1, np.uint8)).tolist() == [NONE]
    assert apply(point_filter, 2, points.xy, [NONE, NONE], grey(250)) == [PATCH, NONE]
    assert apply(point_filter, 1, points.xy, [NONE, NONE], grey(100)) == [AFTER, PATCH]
    assert apply(point_filter, 0, points.xy, [NONE, NONE], grey(250)) == [AFTER, AFTER]


def test_a_point_that_the_tracker_hides_is_not_judged() -> None:
    points = Points.of(1, 0, [[50, 50]])
    point_filter = patches(points)
    apply(point_filter, 0, points.xy, [NONE], grey(100))
    assert apply(point_filter, 1, points.xy, [TRACKER], grey(250)) == [TRACKER]
    assert apply(point_filter, 2, points.xy, [NONE], grey(100)) == [NONE]


def test_the_patch_is_taken_where_the_point_is() -> None:
    frame = grey(50)
    frame[:, 100:] = 250
    points = Points.of(1, 0, [[50, 50], [150, 50]])
    point_filter = patches(points)
    apply(point_filter, 0, points.xy, [NONE, NONE], frame)
    assert apply(point_filter, 1, [[90, 20], [90, 20]], [NONE, NONE], frame) == [NONE, PATCH]


@pytest.mark.parametrize("side", [1, 5])
def test_other_patch_sizes(side: int) -> None:
    points = Points.of(1, 0, [[50, 50]])
    point_filter = patches(points, patch_size=side)
    apply(point_filter, 0, points.xy, [NONE], grey(100))
    assert apply(point_filter, 1, points.xy, [NONE], grey(100)) == [NONE]
    assert apply(point_filter, 2, points.xy, [NONE], grey(240)) == [PATCH]


def test_no_point_is_fine() -> None:
    points = Points.of(1, 5, [[50, 50]])
    nothing = np.zeros(0, np.intp), np.zeros((0, 2), np.float32), np.zeros(0, np.uint8)
    assert patches(points).apply(grey(9), 0, *nothing).shape == (0,)
