"""Variants A to D on windows worked out by hand; signs of points by where they came from."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sampt.config import ReinitConfig
from sampt.tracks.reinit import next_prompt_frames, signs_by_origin
from sampt.types import FramePoints, HiddenBy

A, B, C, D = "on-horizon-and-sync", "at-median-area", "on-similar-area", "on-similar-area-and-sync"


def choose(variant: Any, areas: list[list[int]], meeting: int | None = None, horizon: int = 8) -> list[int | None]:
    config = ReinitConfig(enabled=True, variant=variant, horizon=horizon, tracker_horizon=max(horizon, 24))
    return next_prompt_frames(areas, config, meeting)


def test_a_takes_the_last_frame_for_all() -> None:
    assert choose(A, [[100] * 8, [50] * 8]) == [7, 7]


@pytest.mark.parametrize(("meeting", "expected"), [(3, 3), (1, 1), (7, 7), (30, 7), (None, 7)])
def test_a_goes_no_further_than_where_another_object_waits(meeting: int | None, expected: int) -> None:
    assert choose(A, [[100] * 8, [50] * 8], meeting) == [expected, expected]


def test_a_goes_on_from_the_latest_candidate_where_that_frame_has_no_mask() -> None:
    assert choose(A, [[100] * 7 + [25], [100] * 7 + [26], [0] * 7 + [99]]) == [6, 7, 7]
    assert choose(A, [[100] * 4 + [26, 25, 0, 0]]) == [4]


def test_a_retires_what_has_no_candidate() -> None:
    # Horizon 8 leaves frames 1 and 2 out; frame 0 is the window's own start.
    assert choose(A, [[100, 100, 100, 25, 0, 0, 0, 0], [100] + [0] * 7]) == [None, None]
    assert choose(A, [[100, 100, 100, 0, 100, 100, 100, 100]], 3) == [None]  # candidates lie after where the other waits


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        # Candidates are frames 3 to 7: horizon 8 leaves the first two out.
        ([100, 1, 1, 40, 90, 50, 80, 60], 7),  # areas 40 50 60 80 90: the middle one is 60
        ([100, 60, 60, 40, 90, 50, 80, 0], 5),  # 40 50 80 90: the lower middle is 50
        ([100, 60, 60, 90, 25, 50, 25, 25], 5),  # 50 90: 25 pixels are too few
        ([100, 60, 60, 26, 25, 0, 0, 0], 3),
        ([100, 60, 60, 25, 25, 25, 0, 0], None),
        ([0, 0, 0, 70, 70, 70, 70, 70], 5),  # equal areas: the middle frame
    ],
)
def test_b_takes_the_median_area(areas: list[int], expected: int | None) -> None:
    assert choose(B, [areas]) == [expected]


def test_b_and_c_choose_for_each_object_alone() -> None:
    areas = [[100, 0, 0, 30, 40, 50, 60, 70], [100, 0, 0, 70, 60, 50, 40, 30], [100] + [0] * 7]
    assert choose(B, areas) == [5, 5, None]
    assert choose(C, areas) == [7, 3, None]
    assert choose(B, areas, 4) == choose(B, areas)
    assert choose(C, areas, 4) == choose(C, areas)


@pytest.mark.parametrize(
    ("areas", "expected"),
    [
        ([100, 100, 100, 90, 111, 50, 99, 300], 6),
        ([100, 100, 100, 90, 110, 50, 0, 300], 3),  # 90 and 110 are as close: the first
        ([0, 100, 100, 90, 110, 50, 26, 300], 6),
        ([20, 100, 100, 90, 110, 50, 21, 300], 5),  # 21 would be closest but is too small
    ],
)
def test_c_takes_the_area_closest_to_the_start(areas: list[int], expected: int) -> None:
    assert choose(C, [areas]) == [expected]


@pytest.mark.parametrize(("horizon", "first"), [(4, 2), (7, 2), (8, 3), (24, 7)])
def test_the_first_quarter_of_the_horizon_is_out(horizon: int, first: int) -> None:
    assert choose(C, [[100] * horizon], horizon=horizon) == [first]


def test_d_takes_the_least_sum_of_relative_differences() -> None:
    # Frame:            0    1   2    3    4    5    6    7
    areas = [[100, 0, 0, 110, 150, 100, 105, 50], [1000, 0, 0, 1300, 1000, 1400, 1100, 1000]]
    # Sums:                  0.4  0.5  0.4  0.15 0.5
    assert choose(D, areas) == [6, 6]


def test_d_counts_a_missing_candidate_as_720() -> None:
    # On frame 4 the second object has none: 720 in all. Elsewhere the first one is 719 times too large: 719 in all.
    areas = [[26, 0, 0, 26 * 720, 26, *[26 * 720] * 3], [100, 0, 0, 100, 25, 100, 100, 100]]
    assert choose(D, areas) == [3, 3]
    # 721 times too large is worse than 720 for the missing one, which is then retired.
    areas[0] = [26, 0, 0, 26 * 722, 26, *[26 * 722] * 3]
    assert choose(D, areas) == [4, None]


def test_d_gives_36_off_where_another_object_waits() -> None:
    # Frame 5 costs 35.5 or 36.5 more than frame 3.
    for extra, expected in ((35.5, 5), (36.5, 3)):
        areas = [[100, 0, 0, 100, 100, int(100 * (1 + extra)), 100, 100]]
        assert choose(D, areas, 5) == [expected]
        assert choose(D, areas) == [3]
        assert choose(D, areas, 50) == [3]  # beyond the window


def test_d_retires_who_has_no_mask_on_the_common_frame() -> None:
    areas = [[100, 0, 0, 100, 0, 0, 0, 0], [100, 0, 0, 0, 0, 0, 0, 0], [100, 0, 0, 120, 100, 100, 100, 100]]
    assert choose(D, areas) == [3, None, 3]
    assert choose(D, [[100] + [0] * 7, [50] + [20] * 7], 5) == [None, None]


@pytest.mark.parametrize("variant", [A, B, C, D])
def test_a_window_of_two_frames_has_one_candidate(variant: str) -> None:
    assert choose(variant, [[100, 100], [100, 0]]) == [1, None]
    assert choose(variant, [[100, 100], [100, 30]], 1, horizon=24) == [1, 1]


@pytest.mark.parametrize("variant", [A, B, C, D])
def test_nobody_is_left(variant: str) -> None:
    assert choose(variant, [[100] + [25] * 7]) == [None]


def row_at(xy: list[tuple[float, float]], signs: list[bool], visible: list[bool]) -> FramePoints:
    n = len(xy)
    codes = np.where(visible, HiddenBy.NONE, HiddenBy.TRACKER).astype(np.uint8)
    ones = np.ones(n)
    return FramePoints(np.arange(n), ones.astype(np.int64), np.array(signs), np.array(xy, np.float32), ones, codes)  # type: ignore[arg-type]


def test_points_change_sign_where_they_were_seen_on_the_other_side() -> None:
    mask = np.zeros((60, 80), bool)
    mask[10:50, 20:60] = True  # 40 x 40: the margin is 2 pixels
    xy = [(40, 30), (40, 30), (10, 30), (10, 30), (61, 30), (58, 30), (40, 30), (10, 30), (25, 15), (30, 40)]
    signs = [True, False, True, False, True, False, False, True, True, True]
    visible = [True] * 6 + [False] * 2 + [True] * 2
    #       on   was on  was off  off   near   near   hidden ones stay  on    on
    wanted = [True, True, False, False, True, False, False, True, True, True]
    assert signs_by_origin(row_at(xy, signs, visible), mask).tolist() == wanted


def test_a_mask_at_the_border_of_the_frame_has_its_border_there() -> None:
    mask = np.ones((20, 100), bool)  # margin 2.2
    row = row_at([(1, 10), (50, 10)], [False, False], [True, True])
    assert signs_by_origin(row, mask).tolist() == [False, True]


def test_when_nearly_all_points_were_off_the_older_mask_is_not_believed() -> None:
    mask = np.zeros((40, 40), bool)
    mask[:5, :5] = True
    row = row_at([(30, 30)] * 7 + [(2, 2)], [True] * 8, [True] * 8)
    assert signs_by_origin(row, mask).all()
    row = row_at([(30, 30)] * 6 + [(2, 2)] * 2, [True] * 8, [True] * 8)
    assert signs_by_origin(row, mask).tolist() == [False] * 6 + [True] * 2
