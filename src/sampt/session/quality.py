"""How likely a propagated mask is good, IoU of at least 0.7: a logistic regression on what is at hand when the mask is made.

Fitted on davis2016_train_480 by `python -m benchmarks.review` (docs/benchmarks.md, "Review"), for the bundled backends: what
others say of their masks, and how their points are lost, is another matter.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.geometry import size_with_longest_side
from sampt.memory import cover_cells
from sampt.segmenters.base import PromptableSegmenter
from sampt.session.types import NeedsReview, Record
from sampt.trackers.base import PointTracker
from sampt.types import BoolArray, FloatArray, FramePoints, UInt8Array
from sampt.video.base import Video, VideoView

__all__ = [
    "FEATURES",
    "GOOD_IOU",
    "Model",
    "QualityMeter",
    "ReducedFrames",
    "explain",
    "good_probability",
    "is_calibrated",
    "reduce_frame",
]

GOOD_IOU = 0.7

FEATURES = {
    "score": NeedsReview.SCORE_DROP,
    "strength": NeedsReview.SCORE_DROP,
    "mean_score": NeedsReview.EARLIER_DOUBT,
    "visible": NeedsReview.FEW_POINTS,
    "inside": NeedsReview.FEW_POINTS,
    "shape_iou": NeedsReview.SHAPE_CHANGE,
    "compactness": NeedsReview.SHAPE_CHANGE,
    "largest": NeedsReview.SHAPE_CHANGE,
    "color": NeedsReview.COLOR_CHANGE,
    "contrast": NeedsReview.COLOR_CHANGE,
}
"""What is looked at, each so that more speaks for the mask, and the reason that it is when there is little of it: logit of the
predicted IoU, mean positive logit of the mask, logit of the mean score since the keyframe (recent ones count more), visible
fraction of the positive points, fraction of these inside the mask; and on masks reduced to a small size: the IoU with the mask
before once that is moved and scaled, minus the log ratio of edge length over root of area to that on the keyframe, fraction of
the largest part, likeness of the colours to those on the keyframe, and how much the colours inside differ from those around
the mask, less the same on the keyframe. A change of the area, tried as well, got no weight."""


class Model(NamedTuple):
    """Standardised features and their weights, as many as :data:`FEATURES`."""

    mean: tuple[float, ...]
    deviation: tuple[float, ...]
    weight: tuple[float, ...]
    bias: float


MODEL = Model(
    mean=(2.1065, 2.6192, 2.1026, 0.8046, 0.8749, 0.742, 0.1687, 0.987, 0.9237, -0.0058),
    deviation=(1.1102, 0.5436, 0.6676, 0.2443, 0.1871, 0.2121, 0.6708, 0.0542, 0.1586, 0.114),
    weight=(0.6446, 0.1065, 0.384, 0.0593, 0.0789, 0.1203, 0.3237, 0.3235, 0.3663, 0.3281),
    bias=3.304,
)

_CALIBRATED = (frozenset({"nano"}), frozenset({"nano", "nano-fast"}))
_SIDE = 320
_BINS = (8, 16, 16)
_RECENT = 0.2
_GIVEN_SCORE = 0.9
"""Of a mask that a person gave."""
_MIN_AREA = 9
_EASY_REASON, _FRACTION = -0.5, 0.4
"""A reason is one whose part of the logit is below the first, and below that fraction of the lowest."""
_CACHED_FRAMES = 96


def is_calibrated(tracker: PointTracker, segmenter: PromptableSegmenter) -> bool:
    """Whether the probability means something for masks of these."""
    return tracker.info.name in _CALIBRATED[0] and segmenter.info.name in _CALIBRATED[1]


def good_probability(features: FloatArray, model: Model = MODEL) -> float:
    """From (n,) features, as many as :data:`FEATURES`."""
    return float(1 / (1 + np.exp(-np.clip(_parts(features, model).sum() + model.bias, -30, 30))))


def explain(features: FloatArray, model: Model = MODEL) -> NeedsReview:
    """What speaks against the mask; one reason at least."""
    parts = _parts(features, model)
    sums: dict[NeedsReview, float] = {}
    for reason, part in zip(FEATURES.values(), parts.tolist(), strict=True):
        sums[reason] = sums.get(reason, 0.0) + part
    lowest = min(sums.values())
    limit = min(_EASY_REASON, _FRACTION * lowest)
    found = NeedsReview(0)
    for reason, value in sums.items():
        if value <= limit or value == lowest:
            found |= reason
    return found


def _parts(features: FloatArray, model: Model) -> FloatArray:
    standard = (features - np.array(model.mean)) / np.array(model.deviation)
    return np.asarray(np.array(model.weight) * np.clip(standard, -4, 4))


def reduce_frame(frame: UInt8Array) -> UInt8Array:
    """(h, w, 3) Lab of an (h, w, 3) uint8 RGB frame, at most 320 pixels a side."""
    height, width = size_with_longest_side((frame.shape[0], frame.shape[1]), min(_SIDE, max(frame.shape[:2])))
    small = cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA)
    return np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB), np.uint8)


class ReducedFrames(VideoView):
    """``video``, whose frames are reduced as they are read by whoever does, so that none is decoded a second time."""

    def __init__(self, video: Video) -> None:
        super().__init__(video)
        self._reduced: OrderedDict[int, UInt8Array] = OrderedDict()

    def read(self, start: int, stop: int) -> UInt8Array:
        frames = super().read(start, stop)
        for frame_idx, frame in zip(range(start, stop), frames, strict=True):
            if frame_idx not in self._reduced:
                self._reduced[frame_idx] = reduce_frame(frame)
        while len(self._reduced) > _CACHED_FRAMES:
            self._reduced.popitem(last=False)
        return frames

    def reduced(self, frame_idx: int) -> UInt8Array:
        """One frame by :func:`reduce_frame`."""
        if frame_idx not in self._reduced:
            self.read(frame_idx, frame_idx + 1)
        return self._reduced[frame_idx]


class _ReducedMask:
    """A mask on a reduced frame, by its (h, w) mask at any size."""

    __repr__ = shape_repr

    def __init__(self, mask: BoolArray, reduced: UInt8Array) -> None:
        height, width = reduced.shape[:2]
        self.scale = width / mask.shape[1], height / mask.shape[0]
        self.mask = (cover_cells(mask, (height, width)) >= 0.5).astype(np.uint8)
        self.area = int(np.count_nonzero(self.mask))
        edge = cv2.morphologyEx(self.mask, cv2.MORPH_GRADIENT, np.ones((3, 3), np.uint8))
        self.compactness = max(1, np.count_nonzero(edge)) / max(self.area, _MIN_AREA) ** 0.5
        count, _, stats, _ = cv2.connectedComponentsWithStats(self.mask)
        self.largest = float(stats[1:, cv2.CC_STAT_AREA].max() / self.area) if count > 1 else 1.0
        ys, xs = np.nonzero(self.mask)
        self.center = (float(xs.mean()), float(ys.mean())) if self.area else (width / 2, height / 2)
        around = np.zeros_like(self.mask)
        if self.area:
            margin = max(3, round(0.5 * self.area**0.5))
            rows = slice(max(0, int(ys.min()) - margin), int(ys.max()) + margin + 1)
            columns = slice(max(0, int(xs.min()) - margin), int(xs.max()) + margin + 1)
            around[rows, columns] = 1 - cv2.dilate(self.mask[rows, columns], np.ones((3, 3), np.uint8))
        self.colors = _histogram(reduced, self.mask)
        self.contrast = 1 - _likeness(self.colors, _histogram(reduced, around))

    def moved_to(self, other: _ReducedMask) -> UInt8Array:
        """The mask with the other's centre and area."""
        zoom = (max(other.area, _MIN_AREA) / max(self.area, _MIN_AREA)) ** 0.5
        (x, y), (to_x, to_y) = self.center, other.center
        matrix = np.array([[zoom, 0, to_x - zoom * x], [0, zoom, to_y - zoom * y]])
        return np.asarray(cv2.warpAffine(self.mask, matrix, self.mask.shape[::-1], flags=cv2.INTER_NEAREST), np.uint8)

    def inside(self, points: FramePoints) -> float:
        """Fraction of points, in pixels of the full mask, that lie in it; 0 without any."""
        if not len(points):
            return 0.0
        cells = np.round((points.xy + 0.5) * np.array(self.scale) - 0.5).astype(int)
        columns, rows = np.clip(cells, 0, np.array(self.mask.shape[::-1]) - 1).T
        return float(self.mask[rows, columns].mean())


class QualityMeter:
    """The features of one object's masks in the order of propagation; each step costs a few milliseconds.

    Args:
        start: the result that the propagation starts from.
        reduced: its frame, by :func:`reduce_frame`.
    """

    def __init__(self, start: Record, reduced: UInt8Array) -> None:
        self._start = self._last = _ReducedMask(start.mask(), reduced)
        self._mean_score = _GIVEN_SCORE if start.score is None else start.score

    def measure(self, record: Record, reduced: UInt8Array) -> FloatArray:
        """(n,) :data:`FEATURES` of the next result."""
        found, start, last = _ReducedMask(record.mask(), reduced), self._start, self._last
        score = 0.0 if record.score is None else record.score
        self._mean_score += _RECENT * (score - self._mean_score)
        positive = record.points.select(record.points.is_positive)
        visible = positive.select(positive.visible)
        values = {
            "score": _logit(score),
            "strength": _mean_strength(record),
            "mean_score": _logit(self._mean_score),
            "visible": len(visible) / len(positive) if len(positive) else 0.0,
            "inside": found.inside(visible),
            "shape_iou": _iou(last.moved_to(found), found.mask),
            "compactness": -np.log(found.compactness / start.compactness),
            "largest": found.largest,
            "color": _likeness(found.colors, start.colors),
            "contrast": found.contrast - start.contrast,
        }
        if found.area:
            self._last = found
        return np.array([values[name] for name in FEATURES])


def _logit(value: float) -> float:
    kept = min(0.98, max(0.02, value))
    return float(np.log(kept / (1 - kept)))


def _mean_strength(record: Record) -> float:
    """Mean positive logit over the cells that have one."""
    if record.strength is None:
        return 0.0
    cells = record.strength.cells[record.strength.cells > 0]
    return float(cells.mean() * record.strength.scale / 255) if len(cells) else 0.0


def _histogram(reduced: UInt8Array, mask: UInt8Array) -> FloatArray:
    found = cv2.calcHist([reduced], [0, 1, 2], mask, list(_BINS), [0, 256] * 3)
    smooth = cv2.GaussianBlur(found.reshape(_BINS[0], -1), (1, 3), 0).ravel()
    return np.asarray(smooth / max(float(smooth.sum()), 1e-6), np.float32)


def _likeness(one: FloatArray, other: FloatArray) -> float:
    """Bhattacharyya coefficient of two histograms."""
    return float(np.sqrt(one * other).sum())


def _iou(one: UInt8Array, other: UInt8Array) -> float:
    either = np.count_nonzero(one | other)
    return np.count_nonzero(one & other) / either if either else 1.0
