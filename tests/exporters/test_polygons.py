"""Polygons: every mask comes back when they are filled, by a reader of our own that knows nothing of how they were made."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from pycocotools import mask as coco_mask

from sampt.exporters.polygons import MAX_RINGS, trace_polygon, trace_polygons, trace_rings

DAVIS = Path(__file__).resolve().parents[3] / "shared" / "davis" / "Annotations" / "480p"
RING = np.ones((9, 12), np.bool_)
RING[2:5, 3:6] = RING[6:8, 8:11] = False


def crossings(polygon: np.ndarray, size_hw: tuple[int, int]) -> Iterator[tuple[int, np.ndarray, int]]:
    """For each edge and row of centres between its ends: the row, (w,) which centres are to its right, and its direction.

    An edge is computed from its upper end, so that a line there and back is the same line to the last bit.
    """
    columns = np.arange(size_hw[1]) + 0.5
    for start, stop in zip(polygon, np.roll(polygon, -1, 0), strict=True):
        (x0, y0), (x1, y1) = sorted((tuple(start), tuple(stop)), key=lambda xy: (xy[1], xy[0]))
        for row in range(max(0, int(np.ceil(y0 - 0.5))), min(size_hw[0], int(np.ceil(y1 - 0.5)))):
            yield row, columns > x0 + (row + 0.5 - y0) * (x1 - x0) / (y1 - y0), 1 if stop[1] > start[1] else -1


def fill(polygon: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """Pixels whose centres are inside, by the even-odd rule."""
    inside = np.zeros(size_hw, np.bool_)
    for row, is_right, _ in crossings(polygon, size_hw):
        inside[row] ^= is_right
    return inside


def fill_all(polygons: list[np.ndarray], size_hw: tuple[int, int]) -> np.ndarray:
    filled = np.zeros(size_hw, np.bool_)
    for polygon in polygons:
        filled |= fill(polygon, size_hw)
    return filled


def winding_fill(polygon: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """The same by the non-zero rule, as browsers fill."""
    turns = np.zeros(size_hw, np.int64)
    for row, is_right, direction in crossings(polygon, size_hw):
        turns[row] += direction * is_right
    return turns != 0


def iou(a: np.ndarray, b: np.ndarray) -> float:
    return float((a & b).sum() / (a | b).sum())


def test_a_rectangle_has_the_outer_corners_of_its_pixels() -> None:
    mask = np.zeros((6, 8), np.bool_)
    mask[1:4, 2:7] = True
    (polygon,) = trace_polygons(mask)
    assert polygon.tolist() == [[2, 1], [7, 1], [7, 4], [2, 4]]


def test_a_mask_without_pixels_has_none() -> None:
    assert trace_polygons(np.zeros((3, 4), np.bool_)) == []
    assert trace_polygon(np.zeros((3, 4), np.bool_)) is None


@pytest.mark.parametrize("seed", range(40))
def test_small_masks_come_back_exactly(seed: int) -> None:
    rng = np.random.default_rng(seed)
    size = tuple(rng.integers(1, 15, 2).tolist())
    mask = rng.random(size) < rng.uniform(0.05, 1)
    if not mask.any():
        mask[0, 0] = True
    assert np.array_equal(fill_all(trace_polygons(mask), size), mask)
    for is_inset in (False, True):
        polygon = trace_polygon(mask, is_inset=is_inset)
        assert polygon is not None
        assert np.array_equal(fill(polygon, size), mask)


def test_holes_are_cut_open_for_both_rules_of_filling() -> None:
    rings, parts = trace_rings(RING)
    assert [len(ring) for ring in rings] == [4, 4, 4]
    assert len(set(parts)) == 1
    (polygon,) = trace_polygons(RING)
    assert np.array_equal(fill(polygon, RING.shape), RING)
    assert np.array_equal(winding_fill(polygon, RING.shape), RING)


def test_parts_are_polygons_of_their_own_or_joined() -> None:
    mask = np.zeros((12, 30), np.bool_)
    mask[:9, :12] = RING
    mask[3:12, 18:30] = RING
    mask[0, 29] = True
    assert len(trace_polygons(mask)) == 3
    assert np.array_equal(fill_all(trace_polygons(mask), mask.shape), mask)
    polygon = trace_polygon(mask)
    assert polygon is not None
    assert np.array_equal(fill(polygon, mask.shape), mask)


def test_an_inset_polygon_is_right_for_readers_that_cut_to_whole_pixels() -> None:
    for mask in (RING, np.ones((1, 1), np.bool_), np.ones((5, 3), np.bool_)):
        polygon = trace_polygon(mask, is_inset=True)
        assert polygon is not None
        filled = np.zeros(mask.shape, np.uint8)
        cv2.fillPoly(filled, [polygon.astype(np.int32)], 1)
        assert np.array_equal(filled > 0, mask)


def test_noise_has_a_bounded_number_of_rings() -> None:
    mask = np.random.default_rng(0).random((200, 200)) < 0.3
    rings, parts = trace_rings(mask)
    assert len(rings) == len(parts) == MAX_RINGS


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
@pytest.mark.skipif(not DAVIS.is_dir(), reason="../shared/davis is not there")
@pytest.mark.parametrize(
    "name", ["bmx-trees/00024", "soapbox/00077", "horsejump-high/00034", "paragliding-launch/00009", "dog/00057"]
)
def test_real_masks_with_holes_and_parts_are_nearly_exact(name: str) -> None:
    mask = np.asarray(Image.open(DAVIS / f"{name}.png")) > 0
    rings, parts = trace_rings(mask)
    assert len(rings) > 1
    polygons = trace_polygons(mask)
    assert len(polygons) == len(set(parts))
    assert iou(fill_all(polygons, mask.shape), mask) >= 0.98
    for is_inset in (False, True):
        polygon = trace_polygon(mask, is_inset=is_inset)
        assert polygon is not None
        assert iou(fill(polygon, mask.shape), mask) >= 0.98
    codes = coco_mask.frPyObjects([p.ravel().tolist() for p in polygons], *mask.shape)
    assert iou(coco_mask.decode(coco_mask.merge(codes)) > 0, mask) >= 0.98
    assert sum(map(len, polygons)) < sum(map(len, rings)) + 2 * len(rings)
