"""Parts of a mask that look like something else."""

from __future__ import annotations

import numpy as np

from sampt.memory import find_foreign_parts

CELLS, SIZE = (9, 16), (144, 256)


def mask(*columns: int, side: int = 48) -> np.ndarray:
    """(144, 256) bool: squares that begin at these columns, in pixels."""
    out = np.zeros(SIZE, np.bool_)
    for x in columns:
        out[48 : 48 + side, x : x + side] = True
    return out


def prior(left: float, right: float) -> np.ndarray:
    """(9, 16) log odds: of the frame's left half and of its right half."""
    return np.repeat(np.array([left, right], np.float32), 8)[None].repeat(9, 0)


def test_a_part_that_looks_much_less_like_the_object_is_foreign() -> None:
    np.testing.assert_array_equal(find_foreign_parts(prior(3, -1), mask(16, 176)), mask(176))
    np.testing.assert_array_equal(find_foreign_parts(prior(-1, 3), mask(16, 176)), mask(16))


def test_an_object_in_two_parts_that_look_alike_stays_whole() -> None:
    assert not find_foreign_parts(prior(3, 2), mask(16, 176)).any()
    assert not find_foreign_parts(prior(5, 2), mask(16, 176)).any()  # less alike, and still the object by its looks
    assert not find_foreign_parts(prior(-1, -2), mask(16, 176)).any()  # nothing there looks like the object


def test_one_part_is_the_object_whatever_it_looks_like_and_specks_are_left_alone() -> None:
    assert not find_foreign_parts(prior(3, -1), mask(104, 136)).any()  # one part across both halves
    speck = mask(16)
    speck[4:12, 200:208] = True
    assert not find_foreign_parts(prior(3, -6), speck).any()
    assert not find_foreign_parts(prior(3, -1), np.zeros(SIZE, np.bool_)).any()
