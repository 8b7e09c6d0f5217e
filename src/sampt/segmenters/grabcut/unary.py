"""From prompts to a logit for every pixel, by kernel densities of the points in position and colour.

A pixel is on the object where the positive points are denser than the negative ones, in space and in colour together. Several
bandwidths are looked at; a linear model, fitted for the highest mean IoU, weighs them (`tools/tune_grabcut.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.geometry import clip_xy, round_to_pixels, shrink_image
from sampt.types import BoolArray, FloatArray

__all__ = [
    "FEATURE_NAMES",
    "Evidence",
    "FrameFeatures",
    "extract_features",
    "gather_evidence",
    "point_spacing",
    "unary_features",
]

SizeHW = tuple[int, int]

BANDWIDTHS = ((0.7, 6.0), (1.5, 6.0), (3.0, 6.0), (1.0, np.inf), (np.inf, 6.0))
"""(in spacings of the positive points, in units of `FrameFeatures.color`) of each kernel; infinity leaves the term out."""
FEATURE_NAMES = (
    *(f"density({space:g} spacings, colour {color:g})" for space, color in BANDWIDTHS),
    "nearest positive",
    "nearest negative",
    "nearer sign",
    "spacing",
    "positives to negatives",
    "constant",
)
COLOR_SCALE = np.array([0.7, 1.0, 1.0, 0.5], np.float32)
"""Weights of L, a, b and the local deviation of L: light changes more than colour does, texture tells a little."""
FLOOR = 0.005
"""Density, in points a spacing squared, below which a kernel says nothing."""
FEW_NEGATIVES = 8
"""With fewer negative points than this, points along the frame's border join them."""
MAX_KERNEL_VALUES = 3_000_000
"""Pixels x points for one bandwidth; beyond it every second pixel is looked at, which bounds the time."""
_MIN_EXPONENT = np.float32(-40)  # far below the floor; smaller ones make denormal numbers, twenty times as slow
_CHUNK_VALUES = 1 << 15
"""Kernel values worked on together: they stay in the second-level cache, and OpenBLAS multiplies so little in one thread
(it splits products above 2^18 operations, and waits long for its threads where others use the cores)."""


@dataclass(frozen=True, eq=False)
class FrameFeatures:
    """What is known about a frame before any prompt.

    Attributes:
        size_hw: of the frame.
        color: (hl, wl, 4) float32 at the working size: weighted L, a, b and the local deviation of L.
        edges: (hl, wl, 2) uint8: lightness and colour, the channels in which the cut looks for edges.
    """

    size_hw: SizeHW
    color: FloatArray
    edges: np.ndarray

    __repr__ = shape_repr

    @property
    def low_hw(self) -> SizeHW:
        return self.color.shape[0], self.color.shape[1]


@dataclass(frozen=True, eq=False)
class Evidence:
    """The points of one prompt at the working size, in an order that does not depend on the caller's.

    Attributes:
        xy: (n, 2) float32, inside the frame, positives first.
        num_positive: how many are positive.
        spacing: distance between neighbouring positive points.
    """

    xy: FloatArray
    num_positive: int
    spacing: float

    __repr__ = shape_repr


def extract_features(frame: np.ndarray, low_hw: SizeHW) -> FrameFeatures:
    """Everything that ``decode`` needs of an (h, w, 3) uint8 RGB frame."""
    small = shrink_image(frame, max(low_hw)).reshape(*low_hw, 3)
    lab = cv2.cvtColor(small.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    light = np.ascontiguousarray(lab[..., 0])
    mean = cv2.GaussianBlur(light, (0, 0), 2.5)
    deviation = np.sqrt(np.maximum(cv2.GaussianBlur(light * light, (0, 0), 2.5) - mean * mean, 0))
    edges = np.stack([lab[..., 0] * 1.5, 128 + lab[..., 1] + lab[..., 2]], -1)
    return FrameFeatures(
        (frame.shape[0], frame.shape[1]),
        np.dstack([lab, deviation]) * COLOR_SCALE,
        np.clip(np.round(edges), 0, 255).astype(np.uint8),
    )


def point_spacing(xy: FloatArray, low_hw: SizeHW, limit: float = 0.12) -> float:
    """Distance between neighbouring points, from the median distance to the third nearest; few points: a guess.

    It is at most the fraction ``limit`` of the frame's diagonal.
    """
    diagonal = float(np.hypot(*low_hw))
    if len(xy) < 3:
        return float(0.12 * diagonal / np.sqrt(max(len(xy), 1)))
    distance = np.sort(np.hypot(*np.moveaxis(xy[:, None] - xy[None], -1, 0)), axis=1)
    third = float(np.median(distance[:, min(3, len(xy) - 1)]))
    return float(np.clip(third / 1.6, 1.0, limit * diagonal))


def gather_evidence(xy: FloatArray, is_positive: BoolArray, low_hw: SizeHW) -> Evidence:
    """Order the points (at the working size) and stand in for few negatives: the frame's border is background then."""
    xy = clip_xy(xy, low_hw)
    order = np.lexsort((xy[:, 1], xy[:, 0], ~is_positive))
    xy, num_positive = xy[order], int(is_positive.sum())
    spacing = point_spacing(xy[:num_positive], low_hw)
    if len(xy) - num_positive < FEW_NEGATIVES:
        xy = np.concatenate([xy, _border_points(low_hw)])
    return Evidence(xy, num_positive, spacing)


def _border_points(low_hw: SizeHW, per_side: int = 6) -> FloatArray:
    """Points evenly along the frame's border, (4 * per_side, 2)."""
    step = (np.arange(per_side) + 0.5) / per_side
    zero, one = np.zeros(per_side), np.ones(per_side)
    unit = np.stack([np.concatenate([step, step, zero, one]), np.concatenate([zero, one, step, step])], 1)
    return np.asarray(unit * np.array([low_hw[1] - 1, low_hw[0] - 1]), np.float32)


def unary_features(frame_features: FrameFeatures, evidence: Evidence, window: tuple[slice, slice]) -> FloatArray:
    """(h, w, 11) float32: the values named by :data:`FEATURE_NAMES` for the pixels of a window of the working frame."""
    rows, columns = window
    height, width = rows.stop - rows.start, columns.stop - columns.start
    stride = 1 if height * width * len(evidence.xy) <= MAX_KERNEL_VALUES else 2
    grid_y, grid_x = np.mgrid[rows.start : rows.stop : stride, columns.start : columns.stop : stride]
    location = np.stack([grid_x, grid_y], -1).reshape(-1, 2).astype(np.float32)
    color = frame_features.color[rows.start : rows.stop : stride, columns.start : columns.stop : stride]
    densities = _density_ratios(frame_features, evidence, location, color.reshape(-1, 4)).reshape(*grid_x.shape, -1)
    if stride > 1:
        # sample (i, j) of the coarse grid lies on pixel (2 i, 2 j), so the map is exact at those pixels
        to_coarse = np.array([[1 / stride, 0, 0], [0, 1 / stride, 0]], np.float32)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        parts = [densities[..., :4], densities[..., 4:]]  # OpenCV warps four channels at most
        warped = [cv2.warpAffine(p, to_coarse, (width, height), flags=flags, borderMode=cv2.BORDER_REPLICATE) for p in parts]
        densities = np.dstack(warped)
    constants = _constants(frame_features, evidence, (height, width))
    return np.asarray(np.dstack([densities, _distances(frame_features, evidence)[window], constants]), np.float32)


def _class_weights(evidence: Evidence, low_hw: SizeHW) -> FloatArray:
    """(n, 2): the area for which each point stands, in the column of its sign (0 positive, 1 negative)."""
    weights = np.zeros((len(evidence.xy), 2), np.float32)
    weights[: evidence.num_positive, 0] = evidence.spacing**2
    weights[evidence.num_positive :, 1] = point_spacing(evidence.xy[evidence.num_positive :], low_hw, 0.3) ** 2
    return weights


def _density_ratios(frame_features: FrameFeatures, evidence: Evidence, location: FloatArray, color: FloatArray) -> FloatArray:
    """(p, 5) log ratios of positive to negative density, one for each bandwidth."""
    num_pixels = frame_features.low_hw[0] * frame_features.low_hw[1]
    weights = _class_weights(evidence, frame_features.low_hw)
    point_color = frame_features.color[round_to_pixels(evidence.xy, frame_features.low_hw)]
    ratios = np.empty((len(location), len(BANDWIDTHS)), np.float32)
    chunk = max(64, _CHUNK_VALUES // len(evidence.xy))
    for k, (space, tone) in enumerate(BANDWIDTHS):
        sigma = space * evidence.spacing
        floor = FLOOR * (num_pixels if np.isinf(space) else evidence.spacing**2)
        left = _lift(np.hstack([location / sigma, color / tone]).astype(np.float32))
        right = _lift(np.hstack([evidence.xy / sigma, point_color / tone]).astype(np.float32), right=True).T.copy()
        for start in range(0, len(location), chunk):
            kernel = left[start : start + chunk] @ right
            np.maximum(kernel, _MIN_EXPONENT, out=kernel)
            density = cv2.exp(kernel, kernel) @ weights + np.float32(floor)
            ratios[start : start + chunk, k] = np.log(density[:, 0] / density[:, 1])
    return ratios


def _lift(x: FloatArray, *, right: bool = False) -> FloatArray:
    """Rows such that ``left @ right.T`` is minus half the squared distance: one product instead of three passes."""
    half = -0.5 * np.einsum("nd,nd->n", x, x)[:, None]
    one = np.ones_like(half)
    return np.hstack([x, one, half] if right else [x, half, one]).astype(np.float32)


def _distances(frame_features: FrameFeatures, evidence: Evidence) -> FloatArray:
    """(hl, wl, 3): distance to the nearest positive and negative point in spacings, and which of them is nearer."""
    near = []
    for points in (evidence.xy[: evidence.num_positive], evidence.xy[evidence.num_positive :]):
        seeds = np.ones(frame_features.low_hw, np.uint8)
        seeds[round_to_pixels(points, frame_features.low_hw)] = 0
        near.append(cv2.distanceTransform(seeds, cv2.DIST_L2, 5))
    pixel = 0.005 * np.hypot(*frame_features.low_hw)
    nearer = np.log((near[0] + pixel) / (near[1] + pixel))
    return np.dstack([*(np.minimum(d / evidence.spacing, 6) for d in near), nearer]).astype(np.float32)


def _constants(frame_features: FrameFeatures, evidence: Evidence, size_hw: SizeHW) -> FloatArray:
    """(h, w, 3): what is the same for all pixels of a prompt."""
    negatives = len(evidence.xy) - evidence.num_positive
    values = [np.log(evidence.spacing / np.hypot(*frame_features.low_hw)), np.log(evidence.num_positive / negatives), 1.0]
    return np.array(np.broadcast_to(np.array(values, np.float32), (*size_hw, 3)))
