"""The four samplers."""

from __future__ import annotations

from typing import get_args

import cv2
import numpy as np
import pytest

from sampt.config import SamplerName, SamplingConfig
from sampt.errors import QueryError
from sampt.geometry import mask_at
from sampt.points import sample
from sampt.points.sample import sample_object_points, sample_points

SAMPLERS: tuple[SamplerName, ...] = get_args(SamplerName)
SIZE_HW = (90, 120)
FRAME = np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3), np.uint8)


def disc(radius: float = 30, centre: tuple[float, float] = (60, 45)) -> np.ndarray:
    y, x = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
    return np.asarray((x - centre[0]) ** 2 + (y - centre[1]) ** 2 <= radius**2)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.mark.parametrize("sampler", SAMPLERS)
@pytest.mark.parametrize("count", [0, 1, 2, 3, 8, 16, 72])
def test_as_many_points_as_asked_all_on_the_mask(sampler: SamplerName, count: int) -> None:
    mask = disc()
    xy = sample_points(mask, count, sampler, rng(), FRAME)
    assert xy.shape == (count, 2)
    assert xy.dtype == np.float32
    assert mask_at(mask, xy).all()
    assert np.array_equal(xy, np.round(xy))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_pixels_repeat_when_there_are_too_few(sampler: SamplerName) -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[10, 20] = mask[11, 20] = mask[80, 3] = True
    xy = sample_points(mask, 8, sampler, rng(), FRAME)
    assert xy.shape == (8, 2)
    assert {tuple(p) for p in xy.tolist()} <= {(20, 10), (20, 11), (3, 80)}


@pytest.mark.parametrize("sampler", ["random", "kmedoids"])
def test_points_are_different_while_pixels_last(sampler: SamplerName) -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[5, 5:25] = True
    assert len(np.unique(sample_points(mask, 20, sampler, rng(), FRAME), axis=0)) == 20
    repeated = sample_points(mask, 50, sampler, rng(), FRAME)
    _, counts = np.unique(repeated, axis=0, return_counts=True)
    assert counts.tolist() == [2] * 10 + [3] * 10 or sorted(counts.tolist()) == [2] * 10 + [3] * 10


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_the_generator_alone_decides(sampler: SamplerName) -> None:
    one, two = (sample_points(disc(), 16, sampler, rng(5), FRAME) for _ in range(2))
    assert np.array_equal(one, two)
    if sampler != "shi-tomasi":  # corners are where they are
        assert not np.array_equal(one, sample_points(disc(), 16, sampler, rng(6), FRAME))


@pytest.mark.parametrize("sampler", SAMPLERS)
def test_an_empty_mask_is_an_error(sampler: SamplerName) -> None:
    with pytest.raises(QueryError, match=r"Points cannot be sampled from an empty mask"):
        sample_points(np.zeros(SIZE_HW, bool), 4, sampler, rng(), FRAME)


def test_random_is_uniform() -> None:
    mask = disc()
    xy = np.concatenate([sample_points(mask, 100, "random", rng(i), FRAME) for i in range(60)])
    assert np.abs(xy.mean(0) - [60, 45]).max() < 1
    inner = (np.hypot(xy[:, 0] - 60, xy[:, 1] - 45) <= 15).mean()
    assert inner == pytest.approx(0.25, abs=0.03)


def test_one_medoid_is_near_the_centre_of_a_disc() -> None:
    assert np.abs(sample_points(disc(20), 1, "kmedoids", rng(), FRAME)[0] - [60, 45]).max() <= 1


def test_medoids_cover_every_part_of_a_mask() -> None:
    mask = disc(8, (15, 15)) | disc(8, (100, 20)) | disc(8, (60, 75))
    xy = sample_points(mask, 3, "kmedoids", rng(), FRAME)
    nearest = np.linalg.norm(xy[:, None] - np.array([[15, 15], [100, 20], [60, 75]]), axis=-1)
    assert sorted(nearest.argmin(1).tolist()) == [0, 1, 2]
    assert nearest.min(1).max() < 2.5


def test_at_most_1800_pixels_enter_kmedoids(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []

    def recording(xy: np.ndarray, k: int, rng: np.random.Generator) -> np.ndarray:
        seen.append(len(xy))
        return np.arange(k)

    monkeypatch.setattr(sample, "kmedoids", recording)
    assert disc(40).sum() > 2000
    sample_points(disc(40), 8, "kmedoids", rng(), FRAME)
    sample_points(disc(40), 8, "shi-tomasi", rng(), np.zeros_like(FRAME))  # no corner: all topped up
    sample_points(disc(10), 8, "kmedoids", rng(), FRAME)
    assert seen == [1800, 2000, int(disc(10).sum())]


def test_corners_are_found_where_they_are() -> None:
    frame = np.full((*SIZE_HW, 3), 40, np.uint8)
    frame[30:60, 45:75] = 220
    xy = sample_points(disc(40), 4, "shi-tomasi", rng(), frame)
    corners = np.array([[45, 30], [74, 30], [45, 59], [74, 59]])
    assert np.linalg.norm(xy[:, None] - corners, axis=-1).min(0).max() <= 1.5


def test_corners_keep_away_from_the_rim() -> None:
    mask = disc(40)
    diagonal = np.hypot(81, 81)
    xy = sample_points(mask, 12, "shi-tomasi", rng(), FRAME)
    depth = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_C, 3)
    assert depth[xy[:, 1].astype(int), xy[:, 0].astype(int)].min() > round(0.06 * diagonal) // 2
    assert np.linalg.norm(xy[:, None] - xy[None] + np.eye(12)[..., None] * 999, axis=-1).min() >= diagonal / 12 - 1e-3


def test_a_mask_on_the_frame_border_is_eroded_there_too() -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[:50, :70] = True
    xy = sample_points(mask, 10, "shi-tomasi", rng(), FRAME)
    assert xy.min() >= 2


def test_thin_masks_are_eroded_less() -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[40:43, 10:110] = True  # diagonal 100: squares of 6, 2 and 1 pixels
    eroded = sample._erode(mask, 100.0)
    assert 10 <= eroded.sum() < mask.sum()
    line = np.zeros(SIZE_HW, bool)
    line[40, 10:110] = True
    assert np.array_equal(sample._erode(line, 100.0), line)
    dot = np.zeros(SIZE_HW, bool)
    dot[4, 4] = True
    assert np.array_equal(sample._erode(dot, 1.4), dot)


@pytest.mark.parametrize(("count", "expected"), [(1, (0, 0, 1)), (4, (1, 1, 2)), (16, (4, 5, 7)), (72, (18, 24, 30))])
def test_mixed_is_a_quarter_medoids_a_third_corners_the_rest_random(
    count: int, expected: tuple[int, int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, int]] = []
    for name in ("_kmedoids", "_shi_tomasi", "_random"):
        real = getattr(sample, name)

        def recorded(mask: np.ndarray, n: int, *rest: object, name: str = name, real: object = real) -> np.ndarray:
            asked.append((name, n))
            return real(mask, n, *rest)  # type: ignore[operator, no-any-return]

        monkeypatch.setattr(sample, name, recorded)
    assert len(sample_points(disc(), count, "mixed", rng(), FRAME)) == count
    firsts = dict(reversed(asked))
    order = ("_kmedoids", "_shi_tomasi", "_random")
    assert tuple(firsts[name] for name in order) == expected


def test_object_points_are_positives_first_then_negatives_off_the_mask() -> None:
    mask = disc()
    config = SamplingConfig(positive_points=10, negative_points=6)
    points = sample_object_points(mask, FRAME, 3, 7, config, rng())
    assert points.is_positive.tolist() == [True] * 10 + [False] * 6
    assert points.object_ids == (3,)
    assert set(points.frame_idx.tolist()) == {7}
    assert mask_at(mask, points.xy).tolist() == points.is_positive.tolist()


def test_an_object_that_fills_the_frame_has_no_negatives() -> None:
    config = SamplingConfig(positive_points=4, negative_points=5)
    points = sample_object_points(np.ones(SIZE_HW, bool), FRAME, 1, 0, config, rng())
    assert points.is_positive.tolist() == [True] * 4


def test_no_negatives_when_none_are_asked_for() -> None:
    points = sample_object_points(disc(), FRAME, 1, 0, SamplingConfig(positive_points=4, negative_points=0), rng())
    assert len(points) == 4


def test_negative_margin_keeps_negatives_near_the_object() -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[40:50, 50:70] = True  # diagonal 22.36, a margin of 0.2 is 4.47 pixels
    config = SamplingConfig(positive_points=1, negative_points=60, negative_sampler="random", negative_margin=0.2)
    xy = sample_object_points(mask, FRAME, 1, 0, config, rng()).xy[1:]
    assert xy[:, 0].min() >= 46
    assert xy[:, 0].max() <= 73
    assert xy[:, 1].min() >= 36
    assert xy[:, 1].max() <= 53
    assert not mask_at(mask, xy).any()
    free = sample_object_points(mask, FRAME, 1, 0, SamplingConfig(negative_points=60, negative_sampler="random"), rng())
    assert np.ptp(free.xy[16:, 0]) > 80


def test_negative_margin_without_room_falls_back_to_the_whole_complement() -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[40:50, 50:70] = True  # fills its own box
    config = SamplingConfig(positive_points=1, negative_points=30, negative_sampler="random", negative_margin=0)
    xy = sample_object_points(mask, FRAME, 1, 0, config, rng()).xy[1:]
    assert len(xy) == 30
    assert not mask_at(mask, xy).any()


def test_even_points_are_spread_like_k_medoids() -> None:
    """The mean distance of a mask's pixels to the nearest point is close to that of k-medoids, and far below random's."""
    mask = np.zeros((90, 130), bool)
    mask[10:80, 20:110] = True
    mask[30:50, 40:70] = False
    pixels = np.argwhere(mask)[:, ::-1]
    frame = np.zeros((90, 130, 3), np.uint8)

    def mean_distance(sampler: str) -> float:
        costs = []
        for seed in range(5):
            xy = sample_points(mask, 60, sampler, np.random.default_rng(seed), frame)  # type: ignore[arg-type]
            costs.append(np.linalg.norm(pixels[:, None] - xy[None], axis=2).min(1).mean())
        return float(np.mean(costs))

    kmedoids, even, random = (mean_distance(s) for s in ("kmedoids", "even", "random"))
    assert even < 1.2 * kmedoids
    assert random > 1.3 * kmedoids
