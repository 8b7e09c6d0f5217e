"""Run-length codes against pycocotools, and against whatever a file may hold."""

from __future__ import annotations

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pycocotools import mask as coco_mask

from sampt.errors import LimitError, ValueCheckError
from sampt.files.limits import max_code_chars
from sampt.masks.rle import Rle, decode_mask, encode_mask


@given(arrays(np.bool_, st.tuples(st.integers(1, 12), st.integers(1, 12))))
@settings(max_examples=200, deadline=None)
def test_codes_are_cocos(mask: np.ndarray) -> None:
    rle = encode_mask(mask)
    assert rle.size_hw == mask.shape
    counts = coco_mask.encode(np.asfortranarray(mask.astype(np.uint8)))["counts"].decode()
    assert rle.counts == counts
    np.testing.assert_array_equal(decode_mask(rle), mask)


def test_a_mask_with_long_runs_and_a_view_of_one() -> None:
    mask = np.zeros((720, 1280), np.bool_)
    mask[100:500, 300:900] = True
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)
    np.testing.assert_array_equal(decode_mask(encode_mask(mask[::2, ::-3])), mask[::2, ::-3])


@given(
    st.one_of(st.text(max_size=30), st.text(alphabet=[chr(c) for c in range(48, 112)], max_size=30)),
    st.tuples(st.integers(-3, 30), st.integers(-3, 30)),
)
@settings(max_examples=500, deadline=None)
def test_any_text_is_a_mask_of_that_size_or_refused(counts: str, size_hw: tuple[int, int]) -> None:
    try:
        mask = decode_mask(Rle(size_hw, counts))
    except ValueCheckError:
        return
    assert mask.shape == size_hw
    # What pycocotools writes for the mask says the same.
    np.testing.assert_array_equal(decode_mask(encode_mask(mask)), mask)


@pytest.mark.parametrize("counts", ["", "0" * 8, "o" * 20, "1", "`0", "é"])
def test_codes_that_fill_no_mask_are_refused(counts: str) -> None:
    with pytest.raises(ValueCheckError, match=r"^A run-length code .*\.$"):
        decode_mask(Rle((3, 4), counts))


def test_a_huge_size_costs_no_memory() -> None:
    with pytest.raises(LimitError, match=r"1048576x1048576; expected at most"):
        decode_mask(Rle((1 << 20, 1 << 20), "0"))


def test_a_code_longer_than_any_of_its_size_is_not_read() -> None:
    started = time.process_time()
    with pytest.raises(ValueCheckError):
        decode_mask(Rle((480, 854), "0" * 15_000_000))
    assert time.process_time() - started < 0.5  # 19 s when it was read number by number


@given(arrays(np.bool_, st.tuples(st.integers(1, 40), st.integers(1, 40))))
@settings(max_examples=200, deadline=None)
def test_no_code_is_longer_than_the_bound(mask: np.ndarray) -> None:
    assert len(encode_mask(mask).counts) <= max_code_chars((mask.shape[0], mask.shape[1]))


def test_the_longest_codes_are_read_in_a_moment() -> None:
    mask = np.random.default_rng(0).random((2000, 2000)) < 0.5
    code = encode_mask(mask)
    started = time.process_time()
    np.testing.assert_array_equal(decode_mask(code), mask)
    assert time.process_time() - started < 1.5  # a character at a time it was 3 s on an idle machine
    stripes = np.tile(np.arange(600) % 40 < 20, (601, 1))  # runs longer than a character's
    np.testing.assert_array_equal(decode_mask(encode_mask(stripes)), stripes)


@pytest.mark.parametrize("counts", ["P" * 12 + "0", "000" + "o" * 8 + "7", "0" + "1" * 30, "1O1O1"])
def test_numbers_beyond_the_mask_are_refused(counts: str) -> None:
    """Too many digits, a huge difference, sums that run away, a negative run."""
    with pytest.raises(ValueCheckError):
        decode_mask(Rle((6, 7), counts))
