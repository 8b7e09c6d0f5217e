"""From matched keypoints to points: where arbitrary points of one frame lie in another one, and how sure that is.

Matched keypoints near a point say how its surroundings moved. They vote for a similarity (turn, scale, shift) or, where they
are few, for a shift; those that agree with the winner give the motion by least squares, the others are outliers (consensus as
in Fischler and Bolles, "Random Sample Consensus", 1981, with every pair tried instead of random ones). A similarity and not
an affine map: keypoints of whole pixels, few of them near a point, do not carry two parameters more.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sampt.checks import shape_repr
from sampt.types import BoolArray, FloatArray

__all__ = ["WIDE_LIMITS", "Carried", "CarryLimits", "Matches", "carry"]

_NEIGHBOURS = 16
_AT_ONCE = 64
"""Points looked at together: bounds the memory of all pairs of neighbours."""
_ITERATIONS = 2
_MAX_ENLARGED = 4.0
_FLATTER = 3.0
"""The vote of the nearest keypoints says which motion it is; its numbers then come from all around that agree with it."""
_MAX_LEVERAGE = 1.0
"""A similarity whose error at the point would be larger than that of a single keypoint gives way to a shift."""
_UNMATCHED_WEIGHT = 0.25
"""Of a keypoint of the prompt frame that found no partner, to one that did: many stay alone for no reason of the scene."""


@dataclass(frozen=True)
class CarryLimits:
    """When matches count for a point, and when the point counts. Lengths are fractions of the frame's longest side.

    Attributes:
        reach: keypoints farther than this from a point have no say.
        spread: at this distance a keypoint's vote has sunk to 0.61.
        near: a visible point has an agreeing keypoint within this distance.
        tolerance: keypoints agree with a motion that takes them this close to their partners ...
        tolerance_px: ... or this close, in pixels, if that is farther.
        min_agreeing: a visible point has so many agreeing keypoints.
        min_confidence: and this confidence.
    """

    reach: float = 0.12
    spread: float = 0.02
    near: float = 0.06
    tolerance: float = 0.004
    tolerance_px: float = 1.5
    min_agreeing: int = 3
    min_confidence: float = 0.3


WIDE_LIMITS = CarryLimits(near=0.1, tolerance=0.008, tolerance_px=2.5, min_agreeing=2, min_confidence=0.1)
"""Chosen on davis2016_train for the matchers whose real weights are at hand (README.md, "Measured with real weights")."""


@dataclass(frozen=True)
class Matches:
    """Matched keypoints of two frames of one size.

    Attributes:
        first_xy: (m, 2) in the first frame.
        second_xy: (m, 2) their partners in the second frame.
        score: (m,) in (0, 1].
        alone_xy: (u, 2) keypoints of the first frame without a partner.
        longest_side: of the frames, in pixels.
    """

    first_xy: FloatArray
    second_xy: FloatArray
    score: FloatArray
    alone_xy: FloatArray
    longest_side: int

    __repr__ = shape_repr


@dataclass(frozen=True)
class Carried:
    """Points in the second frame.

    Attributes:
        xy: (n, 2) finite; the best guess, worth something only where ``visible``.
        visible: (n,) enough keypoints near the point agree.
        confidence: (n,) in [0, 1], the agreeing fraction of the votes near the point, less when fewer than five agree.
    """

    xy: FloatArray
    visible: BoolArray
    confidence: FloatArray

    __repr__ = shape_repr


def carry(points_xy: FloatArray, matches: Matches, limits: CarryLimits | None = None) -> Carried:
    """Where (n, 2) points of the first frame lie in the second one; one that no keypoint speaks for stays, hidden."""
    limits = limits or CarryLimits()
    parts = [
        _carry_some(np.asarray(points_xy[i : i + _AT_ONCE], np.float64), matches, limits)
        for i in range(0, len(points_xy), _AT_ONCE)
    ]
    if not parts:
        return Carried(np.zeros((0, 2), np.float32), np.zeros(0, np.bool_), np.zeros(0, np.float32))
    xy, visible, confidence = (np.concatenate(column) for column in zip(*parts, strict=True))
    return Carried(xy.astype(np.float32), visible, confidence.astype(np.float32))


def _carry_some(points_xy: np.ndarray, matches: Matches, limits: CarryLimits) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """As :func:`carry`. Locations are complex numbers here, x + iy: a similarity is ``z -> a z + b``."""
    n, k = len(points_xy), min(_NEIGHBOURS, len(matches.score))
    if k == 0:
        return points_xy, np.zeros(n, np.bool_), np.zeros(n)
    points, side = _complex(points_xy), matches.longest_side
    away = np.abs(_complex(matches.first_xy) - points[:, None])
    nearest = np.argsort(away, axis=1, kind="stable")[:, :k]
    distance = np.take_along_axis(away, nearest, 1)
    score = matches.score[nearest]
    weight = _votes(distance, side, limits) * score
    flat = _votes(distance / _FLATTER, side, limits) * score * (weight > 0)
    source = _complex(matches.first_xy)[nearest] - points[:, None]  # as seen from the point, which so lands on b
    target = _complex(matches.second_xy)[nearest]
    tolerance = max(limits.tolerance_px, limits.tolerance * side)
    agrees = _consensus(source, target, weight, tolerance, min_base=2 * tolerance)
    for _ in range(_ITERATIONS):
        turn, location = _fit(source, target, flat * agrees, tolerance)
        agrees = (np.abs(turn[:, None] * source + location[:, None] - target) <= tolerance) & (weight > 0)
    fraction = _fraction(points, distance, weight, agrees, matches, limits)
    count = agrees.sum(1)
    confidence = fraction * np.minimum(1, count / 5)
    nearest_agreeing = np.where(agrees, distance, np.inf).min(1)
    visible = (count >= limits.min_agreeing) & (nearest_agreeing <= limits.near * side)
    visible &= confidence >= limits.min_confidence
    location = np.where(count > 0, location, points)
    return np.stack([location.real, location.imag], 1), visible, confidence


def _complex(xy: np.ndarray) -> np.ndarray:
    return np.asarray(xy[..., 0] + 1j * xy[..., 1], np.complex128)


def _votes(distance: np.ndarray, side: int, limits: CarryLimits) -> np.ndarray:
    """What keypoints at this distance from a point have to say, from 1 for one on the spot to 0 beyond reach."""
    return np.where(distance <= limits.reach * side, np.exp(-0.5 * (distance / (limits.spread * side)) ** 2), 0)


def _consensus(source: np.ndarray, target: np.ndarray, weight: np.ndarray, tolerance: float, *, min_base: float) -> np.ndarray:
    """(n, k) which neighbours agree with the motion that has the most votes.

    Candidates are the shift of every neighbour and the similarity of every pair of them that lie ``min_base`` or more apart.
    A similarity agrees with its own two by construction, so only one that a third one shares counts.
    """
    k = source.shape[1]
    first, second = np.triu_indices(k, 1)
    base = source[:, second] - source[:, first]
    usable = (np.abs(base) >= min_base) & (weight[:, first] > 0) & (weight[:, second] > 0)
    turn = (target[:, second] - target[:, first]) / np.where(usable, base, 1)
    usable &= (np.abs(turn) <= _MAX_ENLARGED) & (np.abs(turn) >= 1 / _MAX_ENLARGED)
    turns = np.concatenate([np.ones_like(source), turn], 1)
    locations = np.concatenate([target - source, target[:, first] - turn * source[:, first]], 1)
    error = np.abs(turns[..., None] * source[:, None] + locations[..., None] - target[:, None])
    agrees = (error <= tolerance) & (weight > 0)[:, None]
    votes = (agrees * weight[:, None]).sum(-1)
    votes[:, k:] *= usable & (agrees[:, k:].sum(-1) >= 3)
    best = votes.argmax(1)  # the first of equals: shifts before similarities, near neighbours before far ones
    return np.asarray(agrees[np.arange(len(best)), best])


def _fit(source: np.ndarray, target: np.ndarray, weight: np.ndarray, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """(n,) turns and (n,) locations of weighted least squares over (n, k) neighbours.

    A shift where a similarity would rest on fewer than three neighbours, on ones closer together than their own error, or far
    off the point to one side: there the error of its turn would be drawn out to the point.
    """
    total = weight.sum(1)
    safe = np.where(total > 0, total, 1)
    source_mean, target_mean = (weight * source).sum(1) / safe, (weight * target).sum(1) / safe
    source_off, target_off = source - source_mean[:, None], target - target_mean[:, None]
    variance = (weight * np.abs(source_off) ** 2).sum(1) / safe
    num_equal = safe**2 / np.where(total > 0, (weight**2).sum(1), 1)  # neighbours of equal weight that would do as well
    is_wide = ((weight > 0).sum(1) >= 3) & (variance >= tolerance**2)
    wide_variance = np.where(is_wide, variance, 1)
    is_wide &= (1 + np.abs(source_mean) ** 2 / wide_variance) / num_equal <= _MAX_LEVERAGE**2
    turn = (weight * np.conj(source_off) * target_off).sum(1) / safe / wide_variance
    turn = np.where(is_wide, turn, 1)
    return turn, target_mean - turn * source_mean


def _fraction(
    points: np.ndarray, distance: np.ndarray, weight: np.ndarray, agrees: np.ndarray, matches: Matches, limits: CarryLimits
) -> np.ndarray:
    """(n,) fraction of the votes that agree; keypoints without partner, up to the farthest neighbour, count as some against."""
    against = np.zeros(len(points))
    if len(matches.alone_xy):
        away = np.abs(_complex(matches.alone_xy) - points[:, None])
        votes = _votes(away, matches.longest_side, limits) * (away <= distance.max(1, keepdims=True))
        against = _UNMATCHED_WEIGHT * float(matches.score.mean()) * votes.sum(1)
    total = weight.sum(1) + against
    return np.asarray((weight * agrees).sum(1) / np.where(total > 0, total, 1))
