"""k-medoids on points of the plane: k members of a set, chosen so that the others are near to one of them.

Alternating assignment gives a start, eager swapping (FasterPAM: Schubert and Rousseeuw, "Fast and Eager k-Medoids
Clustering", Information Systems 2021) brings it to a local optimum of the sum of distances.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["kmedoids"]

_Distances = npt.NDArray[np.float32]
_Indices = npt.NDArray[np.intp]
_Costs = npt.NDArray[np.float64]


def kmedoids(xy: npt.NDArray[np.floating], k: int, rng: np.random.Generator, *, max_passes: int = 4) -> _Indices:
    """Positions of ``k`` medoids among the (n, 2) points ``xy`` under the euclidean distance.

    Args:
        xy: n >= k points.
        k: how many medoids, at least 1.
        rng: draws the start.
        max_passes: at most this many passes of swapping over all points.

    Returns:
        (k,) distinct positions; memory is n * n * 4 bytes.
    """
    n = len(xy)
    if n <= k:
        return np.arange(n)
    points = np.asarray(xy, np.float32)
    difference = points[:, None, :] - points[None, :, :]
    distances = np.sqrt(np.einsum("ijk,ijk->ij", difference, difference))
    medoids = _alternate(distances, _spread_start(distances, k, rng))
    return medoids if k == 1 else _swap(distances, medoids, max_passes)


def _spread_start(distances: _Distances, k: int, rng: np.random.Generator) -> _Indices:
    """A first medoid at random, each next one drawn with a chance that grows with its distance to those chosen (k-means++)."""
    chosen = [int(rng.integers(len(distances)))]
    nearest = distances[chosen[0]].astype(np.float64)
    while len(chosen) < k:
        weights = nearest * nearest
        total = weights.sum()
        if total > 0:
            pick = int(rng.choice(len(weights), p=weights / total))
        else:  # all remaining points coincide with medoids: take any that is not chosen yet
            pick = int(np.setdiff1d(np.arange(len(weights)), chosen)[0])
        chosen.append(pick)
        np.minimum(nearest, distances[pick], out=nearest)
    return np.array(chosen, np.intp)


def _alternate(distances: _Distances, medoids: _Indices) -> _Indices:
    """Assign each point to its nearest medoid, move each medoid to the centre of its points, until nothing moves."""
    for _ in range(50):
        owner = distances[:, medoids].argmin(1)
        owner[medoids] = np.arange(len(medoids))  # coinciding medoids keep a member each
        moved = medoids.copy()
        for i in range(len(medoids)):
            members = np.flatnonzero(owner == i)
            moved[i] = members[distances[np.ix_(members, members)].sum(0).argmin()]
        if np.array_equal(moved, medoids):
            break
        medoids = moved
    return medoids


def _swap(distances: _Distances, medoids: _Indices, max_passes: int) -> _Indices:
    """Swap a medoid for another point whenever that lowers the sum of distances, until a whole pass brings nothing."""
    n, k = len(distances), len(medoids)
    medoids = medoids.copy()
    first, d1, d2, removal = _nearest_two(distances, medoids)
    unchanged = 0
    for step in range(max_passes * n):
        if unchanged >= n:
            break
        candidate = step % n
        unchanged += 1
        if d1[candidate] == 0:  # a medoid itself, or a copy of one
            continue
        to_candidate = distances[candidate]
        gain = np.minimum(to_candidate - d1, 0)
        change = np.where(gain < 0, d1 - d2, np.minimum(to_candidate - d2, 0))
        loss = removal + np.bincount(first, weights=change, minlength=k)
        worst = int(loss.argmin())
        if loss[worst] + gain.sum(dtype=np.float64) < -1e-6 * n:
            medoids[worst] = candidate
            first, d1, d2, removal = _nearest_two(distances, medoids)
            unchanged = 0
    return medoids


def _nearest_two(distances: _Distances, medoids: _Indices) -> tuple[_Indices, _Distances, _Distances, _Costs]:
    """For each point its nearest medoid and the two least distances; for each medoid what its removal would cost."""
    to_medoids = distances[:, medoids]
    first = to_medoids.argmin(1)
    rows = np.arange(len(distances))
    d1 = to_medoids[rows, first]
    to_medoids[rows, first] = np.inf
    d2 = to_medoids.min(1)
    removal: _Costs = np.bincount(first, weights=d2 - d1, minlength=len(medoids)).astype(np.float64)
    return first, d1, d2, removal
