"""Queries that do not fit the video are refused with one line that says what would."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.errors import QueryError
from sampt.points.check import check_queries
from sampt.types import Points, QueryBox, QueryMask

SIZE_HW = (40, 60)
NO_POINTS = Points.concat([])


def mask(object_id: int = 1, frame_idx: int = 0, size_hw: tuple[int, int] = SIZE_HW) -> QueryMask:
    return QueryMask(object_id, frame_idx, np.ones(size_hw, bool))


def test_what_fits_passes() -> None:
    corners = Points.of(1, 9, [[-0.5, -0.5], [59.49, 39.49]])
    check_queries(corners, [], 10, SIZE_HW)
    check_queries(NO_POINTS, [mask(1, 0), mask(1, 9), mask(2, 0)], 10, SIZE_HW)
    check_queries(Points.of(3, 0, [[1, 1]], False), [mask(3, 5)], 10, SIZE_HW)  # its mask says where the object is
    check_queries(Points.of(1, 10**6, [[1, 1]]), [], None, SIZE_HW)  # a stream has no known end


@pytest.mark.parametrize(
    ("points", "masks", "message"),
    [
        (NO_POINTS, [], "No object is named: give at least one point, one mask or one box"),
        (
            Points.of(1, 10, [[1, 1]]),
            [],
            "A query is on frame 10, but the video has 10 frames, numbered from 0 to 9",
        ),
        (NO_POINTS, [mask(1, 12)], "A query is on frame 12, but the video has 10 frames"),
        (
            Points.of(4, 0, [[1, 1], [59.5, 3]]),
            [],
            r"\(59.5, 3\) of object 4 lies outside the frame, which is 60 wide and 40 high; x goes from 0 to 59, y from 0",
        ),
        (Points.of(4, 0, [[3, -0.6]], False), [], r"point \(3, -0.6\) of object 4 lies outside"),
        (
            NO_POINTS,
            [mask(2, 0, (60, 40))],
            "mask of object 2 is 40x60 pixels, the video's frames are 60x40; give a mask of the frame's size",
        ),
        (NO_POINTS, [mask(2, 3), mask(2, 3)], "Object 2 has two masks on frame 3; give one"),
        (
            Points.concat([Points.of(1, 0, [[1, 1]]), Points.of(2, 0, [[5, 5]], False)]),
            [],
            "Object 2 has only negative points; give at least one positive point",
        ),
    ],
)
def test_what_does_not_fit_is_refused(points: Points, masks: list[QueryMask], message: str) -> None:
    with pytest.raises(QueryError, match=message) as caught:
        check_queries(points, masks, 10, SIZE_HW)
    assert "\n" not in str(caught.value)


def box(object_id: int = 1, frame_idx: int = 0, box_xyxy: tuple[float, ...] = (1, 2, 30, 20)) -> QueryBox:
    return QueryBox(object_id, frame_idx, np.array(box_xyxy))


def test_a_box_names_an_object() -> None:
    check_queries(NO_POINTS, [], 10, SIZE_HW, [box(1, 0, (0, 0, 59, 39)), box(1, 9), box(2, 0)])
    check_queries(Points.of(1, 0, [[1, 1]], False), [mask(2, 0)], 10, SIZE_HW, [box(1, 0)])


@pytest.mark.parametrize(
    ("masks", "boxes", "message"),
    [
        ([], [box(1, 10)], "A query is on frame 10"),
        (
            [],
            [box(3, 0, (1, 2, 60, 20))],
            r"box \(1, 2, 60, 20\) of object 3 reaches outside the frame; x goes from 0 to 59, y",
        ),
        ([], [box(3, 0, (1, -2, 6, 20))], "of object 3 reaches outside"),
        ([], [box(1, 4), box(1, 4)], "Object 1 has two boxes on frame 4; give one"),
        ([mask(1, 4)], [box(1, 4)], "Object 1 has a mask and a box on frame 4; give one"),
    ],
)
def test_boxes_that_do_not_fit_are_refused(masks: list[QueryMask], boxes: list[QueryBox], message: str) -> None:
    with pytest.raises(QueryError, match=message):
        check_queries(NO_POINTS, masks, 10, SIZE_HW, boxes)
