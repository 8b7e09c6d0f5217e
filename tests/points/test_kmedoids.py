"""k-medoids against brute force."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampt.points.kmedoids import kmedoids


def distances_of(xy: np.ndarray) -> np.ndarray:
    return np.linalg.norm(xy[:, None].astype(np.float64) - xy[None], axis=-1)


def cost(distances: np.ndarray, medoids: object) -> float:
    return float(distances[:, list(medoids)].min(1).sum())  # type: ignore[call-overload]


def optimum(distances: np.ndarray, k: int) -> float:
    return min(cost(distances, chosen) for chosen in itertools.combinations(range(len(distances)), k))


def best_after_one_swap(distances: np.ndarray, medoids: list[int]) -> float:
    others = [i for i in range(len(distances)) if i not in medoids]
    swaps = ([*medoids[:m], i, *medoids[m + 1 :]] for m in range(len(medoids)) for i in others)
    return min(cost(distances, swapped) for swapped in swaps)


Sets = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 12)), min_size=1, max_size=14)


@settings(max_examples=150, deadline=None)
@given(Sets, st.integers(1, 6), st.integers(0, 2**32 - 1))
def test_no_swap_improves_the_result(points: list[tuple[int, int]], k: int, seed: int) -> None:
    xy = np.array(points, np.float32)
    medoids = kmedoids(xy, k, np.random.default_rng(seed), max_passes=50).tolist()
    assert len(set(medoids)) == len(medoids) == min(k, len(xy))
    assert 0 <= min(medoids) <= max(medoids) < len(xy)
    if k < len(xy):
        distances = distances_of(xy)
        assert best_after_one_swap(distances, medoids) >= cost(distances, medoids) - 1e-3


def test_the_optimum_is_found_in_most_small_sets_and_never_missed_by_far() -> None:
    rng = np.random.default_rng(7)
    ratios = []
    for _ in range(60):
        xy = rng.integers(0, 40, (12, 2)).astype(np.float32)
        distances = distances_of(xy)
        best = optimum(distances, 3)
        ratios.append(cost(distances, kmedoids(xy, 3, rng)) / best)
    assert np.mean(np.array(ratios) < 1 + 1e-6) >= 0.85
    assert max(ratios) < 1.1
    assert min(ratios) > 1 - 1e-6


@pytest.mark.parametrize("seed", range(5))
def test_one_medoid_is_the_optimum(seed: int) -> None:
    xy = np.random.default_rng(seed).uniform(0, 100, (200, 2))
    medoid = kmedoids(xy, 1, np.random.default_rng(seed + 100))
    assert medoid.tolist() == [int(distances_of(xy.astype(np.float32)).sum(0).argmin())]


def test_clear_clusters_get_a_medoid_each() -> None:
    rng = np.random.default_rng(0)
    centres = np.array([[0, 0], [100, 0], [0, 100], [100, 100], [50, 300]])
    xy = np.concatenate([centre + rng.normal(0, 2, (40, 2)) for centre in centres])
    for seed in range(10):
        medoids = kmedoids(xy, 5, np.random.default_rng(seed))
        assert sorted((medoids // 40).tolist()) == [0, 1, 2, 3, 4]


def test_coinciding_points_still_give_distinct_positions() -> None:
    same = np.zeros((9, 2), np.float32)
    assert len(set(kmedoids(same, 4, np.random.default_rng(0)).tolist())) == 4
    two_locations = np.repeat([[0, 0], [5, 5]], 6, axis=0).astype(np.float32)
    medoids = kmedoids(two_locations, 2, np.random.default_rng(0))
    assert sorted((medoids // 6).tolist()) == [0, 1]
    assert len(set(kmedoids(two_locations, 7, np.random.default_rng(1)).tolist())) == 7


@pytest.mark.parametrize("n", [1, 3, 4])
def test_no_more_points_than_medoids_gives_all(n: int) -> None:
    assert kmedoids(np.random.default_rng(0).uniform(size=(n, 2)), 4, np.random.default_rng(0)).tolist() == list(range(n))


def test_the_generator_alone_decides() -> None:
    xy = np.random.default_rng(3).uniform(0, 50, (300, 2))
    runs = [kmedoids(xy, 6, np.random.default_rng(s)).tolist() for s in (1, 1)]
    assert runs[0] == runs[1]


def test_large_offsets_do_not_cost_precision() -> None:
    xy = np.random.default_rng(3).integers(0, 60, (200, 2)).astype(np.float32)
    near, far = (kmedoids(xy + offset, 5, np.random.default_rng(2)).tolist() for offset in (0, 4000))
    assert near == far
