"""Lookalikes: what was seen beside the object is not the object later."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.memory import Lookalikes

SIZE = (12, 24)


def square(column: int, row: int = 4) -> np.ndarray:
    """(12, 24) fractions of cells: 4 x 4 whole ones, cut at the frame's edge."""
    cells = np.zeros(SIZE, np.float32)
    cells[row : row + 4, max(column, 0) : max(column + 4, 0)] = 1
    return cells


def prior(*squares: np.ndarray) -> np.ndarray:
    return np.where(np.any([np.zeros(SIZE), *squares], axis=0), np.float32(4), np.float32(-4))


def both_seen(frames: int = 4, last_column: int = 20) -> Lookalikes:
    """The object moves to the right, and something like it comes in on the left, two cells a frame."""
    lookalikes = Lookalikes()
    for i in range(frames):
        own, other = square(last_column - frames + 1 + i), square(-2 + i)
        assert not lookalikes.is_mask_of_one(i, own)
        lookalikes.update(i, prior(own, other), own)
    return lookalikes


def test_what_was_seen_beside_the_object_is_a_lookalike_when_the_object_has_gone() -> None:
    lookalikes = both_seen()
    for i in range(4, 10):
        other = square(-2 + i)
        assert lookalikes.is_mask_of_one(i, other)
        lookalikes.update(i, prior(other), None)
    assert not lookalikes.is_mask_of_one(10, square(20))  # back where it left


def test_a_lookalike_may_be_out_of_sight_for_a_few_frames() -> None:
    lookalikes = both_seen()
    for i in range(4, 9):
        lookalikes.update(i, prior(), None)
    assert lookalikes.is_mask_of_one(9, square(1))
    lookalikes.update(9, prior(), None)
    assert not lookalikes.is_mask_of_one(10, square(1))


@pytest.mark.parametrize("frames", [1, 2])
def test_one_or_two_frames_are_not_enough(frames: int) -> None:
    assert not both_seen(frames).is_mask_of_one(frames, square(0))


def test_what_lies_beside_the_object_may_be_a_part_of_it() -> None:
    lookalikes = Lookalikes()
    for i in range(5):
        lookalikes.update(i, prior(square(4), square(9)), square(4))  # a cell between them
    assert not lookalikes.is_mask_of_one(5, square(9))
    assert not lookalikes.any


def test_other_named_objects_are_no_lookalikes() -> None:
    lookalikes = Lookalikes()
    for i in range(5):
        lookalikes.update(i, prior(square(2), square(16)), square(2), others=square(16))
    assert not lookalikes.any


def test_a_mask_that_is_partly_where_the_object_was_is_the_objects() -> None:
    """It has grown onto the lookalike, which is another mistake."""
    lookalikes = both_seen(last_column=12)
    assert not lookalikes.is_mask_of_one(4, np.maximum(square(1), square(12)))


def test_the_object_comes_back_beside_a_lookalike_that_stayed() -> None:
    lookalikes = both_seen()
    for i in range(4, 8):
        lookalikes.update(i, prior(square(1)), None)
    assert lookalikes.is_mask_of_one(8, square(1))
    assert not lookalikes.is_mask_of_one(8, square(9))
    lookalikes.update(8, prior(square(1), square(9)), square(9))
    assert not lookalikes.is_mask_of_one(9, square(9))
    assert lookalikes.is_mask_of_one(9, square(1))


def test_a_frame_that_is_looked_at_again_counts_once() -> None:
    lookalikes = both_seen(2)
    for _ in range(3):
        lookalikes.update(1, prior(square(20), square(-1)), square(20))
    assert not lookalikes.is_mask_of_one(2, square(0))


def test_only_the_frames_that_are_needed_are_kept() -> None:
    lookalikes = both_seen()
    lookalikes.forget(4)
    assert lookalikes.is_mask_of_one(4, square(2))
    assert len(lookalikes._states) == 1
