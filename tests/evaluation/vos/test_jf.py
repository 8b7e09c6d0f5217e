"""J, F and their statistics: hand-computed cases, and a slow reference written from the definition alone."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampt.errors import EvaluationError
from sampt.evaluation.vos.jf import boundary_f, boundary_map, db_statistics, jaccard, region_and_contour


def square(size: int, top: int, left: int, side: int) -> np.ndarray:
    mask = np.zeros((size, size), bool)
    mask[top : top + side, left : left + side] = True
    return mask


def slow_boundary(mask: np.ndarray) -> set[tuple[int, int]]:
    h, w = mask.shape
    found = set()
    for y, x in itertools.product(range(h), range(w)):
        neighbours = [(y, x + 1), (y + 1, x), (y + 1, x + 1)]
        if any(mask[y, x] != mask[v, u] for v, u in neighbours if v < h and u < w):
            found.add((y, x))
    return found


def slow_f(pred: np.ndarray, gt: np.ndarray, bound_th: float) -> float:
    tolerance = math.ceil(bound_th * math.hypot(*gt.shape))
    contours = slow_boundary(pred), slow_boundary(gt)
    if not contours[0] or not contours[1]:
        precision, recall = {(False, False): (1, 1), (False, True): (1, 0), (True, False): (0, 1)}[
            bool(contours[0]), bool(contours[1])
        ]
    else:
        precision, recall = (
            sum(any((y - v) ** 2 + (x - u) ** 2 <= tolerance**2 for v, u in other) for y, x in own) / len(own)
            for own, other in (contours, contours[::-1])
        )
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def blobs(seed: int, h: int, w: int, threshold: float) -> np.ndarray:
    """Discs and rectangles, some cut by the frame, plus single noisy pixels."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:h, :w]
    mask = rng.random((h, w)) < 0.02 * threshold
    for _ in range(int(rng.integers(0, 4))):
        cy, cx, r = rng.uniform(-2, h + 2), rng.uniform(-2, w + 2), rng.uniform(1, 8)
        mask ^= (
            ((y - cy) ** 2 + (x - cx) ** 2 < r**2) if rng.random() < threshold else (abs(y - cy) < r) & (abs(x - cx) < r / 2)
        )
    return mask


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**31),
    st.integers(1, 26),
    st.integers(1, 30),
    st.floats(0, 1),
    st.sampled_from([0.008, 0.05, 0.12, 0.2]),
)
def test_f_and_j_equal_the_slow_reference(seed: int, h: int, w: int, threshold: float, bound_th: float) -> None:
    pred, gt = blobs(seed, h, w, threshold), blobs(seed + 1, h, w, threshold)
    assert {(int(y), int(x)) for y, x in np.argwhere(boundary_map(gt))} == slow_boundary(gt)
    assert boundary_f(pred, gt, bound_th) == pytest.approx(slow_f(pred, gt, bound_th), abs=1e-12)
    union = sum(p or g for p, g in zip(pred.flat, gt.flat, strict=True))
    both = sum(p and g for p, g in zip(pred.flat, gt.flat, strict=True))
    assert jaccard(pred, gt) == (both / union if union else 1)


def whole_frame_f(pred: np.ndarray, gt: np.ndarray, void: np.ndarray) -> float:
    """The toolkit's formula over the whole frame: each contour, grown by a disc of shifted copies, covers the other one."""

    def contour(mask: np.ndarray) -> np.ndarray:
        found = np.zeros_like(mask)
        found[:, :-1] |= mask[:, :-1] != mask[:, 1:]
        found[:-1] |= mask[:-1] != mask[1:]
        found[:-1, :-1] |= mask[:-1, :-1] != mask[1:, 1:]
        return found

    def grown(mask: np.ndarray, radius: int) -> np.ndarray:
        (h, w), padded = mask.shape, np.pad(mask, radius)
        steps = range(2 * radius + 1)
        inside = [(y, x) for y in steps for x in steps if (y - radius) ** 2 + (x - radius) ** 2 <= radius**2]
        return np.logical_or.reduce([padded[y : y + h, x : x + w] for y, x in inside])

    radius = math.ceil(0.008 * np.linalg.norm(gt.shape))
    own, other = contour(pred & ~void), contour(gt & ~void)
    if not own.any() or not other.any():
        return float(own.any() == other.any())
    precision = (own & grown(other, radius)).sum() / own.sum()
    recall = (other & grown(own, radius)).sum() / other.sum()
    return float(2 * precision * recall / (precision + recall)) if precision + recall else 0.0


@settings(max_examples=80, deadline=None)
@given(
    st.integers(0, 2**31),
    st.tuples(st.integers(2, 150), st.integers(2, 200)),
    st.tuples(st.integers(1, 40), st.integers(1, 40)),
    st.tuples(st.integers(0, 150), st.integers(0, 200)),
    st.booleans(),
)
def test_cutting_out_the_masks_changes_nothing(
    seed: int, size_hw: tuple[int, int], part_hw: tuple[int, int], location_yx: tuple[int, int], with_void: bool
) -> None:
    """Small masks anywhere in a larger frame, at its borders too: equal to the last bit to the whole frame's value."""
    (h, w), rng = size_hw, np.random.default_rng(seed)
    pred, gt = np.zeros((h, w), bool), np.zeros((h, w), bool)
    for k, mask in enumerate((pred, gt)):
        part = blobs(seed + k, *part_hw, 0.5)[:h, :w]
        y, x = min(location_yx[0] + k, h - part.shape[0]), min(location_yx[1] + 2 * k, w - part.shape[1])
        mask[y : y + part.shape[0], x : x + part.shape[1]] = part
    void = rng.random((h, w)) < 0.1 if with_void else np.zeros((h, w), bool)
    j, f = region_and_contour(pred, gt, void if with_void else None)
    assert f == boundary_f(pred, gt, void=void) == whole_frame_f(pred, gt, void)
    assert j == jaccard(pred, gt, void) == jaccard(pred & ~void, gt & ~void)


def test_a_square_moved_by_ten_pixels() -> None:
    # 300 x 400: a tolerance of 4. Squares of 40 x 40 moved by 10: 30 of 50 columns are shared.
    pred, gt = np.zeros((300, 400), bool), np.zeros((300, 400), bool)
    gt[100:140, 100:140], pred[100:140, 110:150] = True, True
    j, f = region_and_contour(pred, gt)
    assert j == 0.6
    # The contour is a ring of 41 x 41: 160 pixels. Of the upper and of the lower side 35 lie within 4 pixels of the other
    # ring's, of the side that lies inside the other ring 4 at each end, of the one outside none.
    assert f == 78 / 160
    for shift, expected in ((0, (1.0, 1.0)), (4, (36 / 44, 1.0)), (50, (0.0, 0.0))):
        assert region_and_contour(np.roll(gt, shift, 1), gt) == expected


def test_void_pixels_do_not_count() -> None:
    a, b = square(10, 1, 1, 4), square(10, 1, 3, 4)  # 16 pixels each, 8 shared
    void = np.zeros((10, 10), bool)
    void[:, 5:] = True  # the two columns that only b has
    assert jaccard(a, b, void) == 8 / 16
    assert region_and_contour(b, b, np.ones_like(b)) == (1, 1)
    with pytest.raises(EvaluationError, match=r"void pixels have shape \(3, 3\), expected \(10, 10\)"):
        jaccard(a, b, np.zeros((3, 3), bool))


def test_jaccard_by_hand() -> None:
    a, b = square(10, 1, 1, 4), square(10, 1, 3, 4)  # 16 pixels each, 8 shared
    assert jaccard(a, b) == pytest.approx(8 / 24)
    assert jaccard(a.astype(np.uint8) * 255, b) == pytest.approx(8 / 24)
    nothing = np.zeros_like(a)
    assert (jaccard(nothing, nothing), jaccard(a, nothing), jaccard(nothing, a)) == (1, 0, 0)


def test_boundary_lies_half_a_pixel_towards_the_origin() -> None:
    one = np.zeros((4, 5), bool)
    one[1, 2] = True
    expected = np.zeros((4, 5), bool)
    expected[0:2, 1:3] = True
    assert np.array_equal(boundary_map(one), expected)


def test_boundary_ignores_neighbours_outside_the_frame() -> None:
    mask = np.zeros((4, 4), bool)
    mask[:, 2:] = True  # reaches the upper, lower and right border
    expected = np.zeros((4, 4), bool)
    expected[:, 1] = True
    assert np.array_equal(boundary_map(mask), expected)
    corner = np.zeros((3, 3), bool)
    corner[2, 2] = True
    assert np.argwhere(boundary_map(corner)).tolist() == [[1, 1], [1, 2], [2, 1]]


def test_f_of_masks_without_contour() -> None:
    nothing, automatic, some = np.zeros((9, 9), bool), np.ones((9, 9), bool), square(9, 2, 2, 3)
    assert boundary_f(nothing, nothing) == boundary_f(nothing, automatic) == 1
    assert boundary_f(some, nothing) == boundary_f(nothing, some) == boundary_f(automatic, some) == 0


def test_f_tolerance_is_a_euclidean_disc_rounded_up() -> None:
    # 300 x 400: the diagonal is exactly 500, so 0.8 % are exactly 4 pixels. One pixel's contour is a 2 x 2 block.
    def at(y: int, x: int) -> np.ndarray:
        mask = np.zeros((300, 400), bool)
        mask[y, x] = True
        return mask

    gt = at(100, 100)
    assert boundary_f(at(100, 104), gt) == 1
    assert boundary_f(at(100, 105), gt) == 0.5  # the nearer column of each block is 4 away from the other block
    assert boundary_f(at(100, 106), gt) == 0
    assert boundary_f(at(100, 106), gt, bound_th=5) == 0.5
    assert boundary_f(at(104, 103), gt) == 0.25  # only the nearest corners, 3 and 2 away: 13 <= 16; then 18 and 20
    assert boundary_f(at(104, 104), gt) == 0  # 3 and 3 away: a square of the same side would match


def test_statistics_by_hand() -> None:
    # 8 values: the ends of the quarters are round(1, 2.75, 4.5, 6.25, 8) - 1 = 0, 2, 4, 5, 7
    values = [1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3]
    result = db_statistics(values)
    assert result.mean == pytest.approx(0.65)
    assert result.recall == 5 / 8  # 0.5 itself is not above 0.5
    assert result.decay == pytest.approx(np.mean(values[0:3]) - np.mean(values[5:8]))


def test_statistics_round_the_ends_of_the_quarters_half_up() -> None:
    # 3 values: ends at 1, 1.5, 2, 2.5, 3; 2.5 rounds up to 3 thanks to the 1e-10, NumPy alone would round to the even 2
    assert db_statistics([1.0, 0.4, 0.1]).decay == pytest.approx(0.7 - 0.1)
    assert db_statistics([0.3]) == db_statistics(np.array([0.3]))
    assert db_statistics([0.3]).decay == 0


def test_statistics_of_more_than_256_frames() -> None:
    values = np.linspace(1, 0, 401)  # quarters of 101 frames, sharing their ends
    assert db_statistics(values).decay == pytest.approx(0.75)


def test_sizes_that_differ_are_refused() -> None:
    with pytest.raises(EvaluationError, match=r"\(4, 5\).*\(4, 6\)"):
        jaccard(np.zeros((4, 5)), np.zeros((4, 6)))
    with pytest.raises(EvaluationError, match="one \\(h, w\\) for both"):
        boundary_f(np.zeros((4, 5, 1)), np.zeros((4, 5, 1)))
    with pytest.raises(EvaluationError, match="no scored frame"):
        db_statistics([])
