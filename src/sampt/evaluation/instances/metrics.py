"""Average precision and recall of video instances, as the YouTube-VIS API has them.

A predicted track matches a true one by their spatio-temporal IoU: intersections and unions of the masks are summed over the
frames before they are divided. Everything else is COCO's evaluation with tracks instead of boxes.

Source: Yang et al., "Video Instance Segmentation" (ICCV 2019), and the behaviour of ``YTVOSeval`` in youtubevos/cocoapi, with
its habits: the area of a ground-truth track is the mean of the ``areas`` in the file, that of a prediction is taken from its
masks; of a ground-truth track only ``iscrowd`` makes it ignored; an ignored track takes any number of predictions if it is a
crowd and one if its area is out of range; IoU with a crowd is plain IoU.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from sampt.errors import EvaluationError
from sampt.evaluation.instances.tracks import GtInstances, Track, Tracks, read_tracks, spacetime_iou
from sampt.evaluation.json_files import read_json
from sampt.files.names import markdown_cell

__all__ = [
    "AREA_RANGES",
    "IOU_THRESHOLDS",
    "InstanceScores",
    "evaluate_instances",
    "evaluate_tracks",
    "read_instance_results",
]

IOU_THRESHOLDS: tuple[float, ...] = tuple(np.linspace(0.5, 0.95, 10).tolist())
AREA_RANGES: Mapping[str, tuple[float, float]] = {
    "all": (0, 1e10),
    "small": (0, 128**2),
    "medium": (128**2, 256**2),
    "large": (256**2, 1e10),
}
"""Least and largest mean area of a track, pixels; both belong to the range."""

_RECALLS = np.linspace(0, 1, 101)
_MAX_TRACKS = (1, 10, 100)
"""Best predictions of a video (and category) that are looked at."""
_MAX = _MAX_TRACKS[-1]

Array: TypeAlias = npt.NDArray[Any]


@dataclass(frozen=True)
class InstanceScores:
    """The twelve figures of the YouTube-VIS API, in [0, 1]; None where there is no ground-truth track to measure.

    Attributes:
        ap: average precision, the mean over ``IOU_THRESHOLDS`` and categories.
        ap50: at the IoU of 0.5.
        ap75: at the IoU of 0.75.
        ap_small: of tracks whose mean area is at most 128 x 128 pixels.
        ap_medium: of those up to 256 x 256.
        ap_large: of those from there on.
        ar1: recall with the best prediction of a video and category, the mean over IoU thresholds and categories.
        ar10: with the ten best.
        ar100: with the hundred best.
        ar_small: as ``ar100``, by area.
        ar_medium: as ``ar100``, by area.
        ar_large: as ``ar100``, by area.
        category_ap: name of a category that has a ground-truth track -> its ``ap``; empty where categories are not
            distinguished.
    """

    ap: float | None
    ap50: float | None
    ap75: float | None
    ap_small: float | None
    ap_medium: float | None
    ap_large: float | None
    ar1: float | None
    ar10: float | None
    ar100: float | None
    ar_small: float | None
    ar_medium: float | None
    ar_large: float | None
    category_ap: Mapping[str, float]

    def to_dict(self) -> dict[str, Any]:
        """The figures as plain values, for JSON."""
        return asdict(self)

    def to_markdown(self) -> str:
        """A table of the twelve figures, and one of the categories where there are several."""
        figures = {name: value for name, value in asdict(self).items() if name != "category_ap"}
        lines = ["| " + " | ".join(name.replace("_", " ") for name in figures) + " |", "|---" * len(figures) + "|"]
        lines.append("| " + " | ".join("-" if value is None else f"{value:.3f}" for value in figures.values()) + " |")
        if len(self.category_ap) > 1:
            lines += ["", "| category | AP |", "|---|---|"]
            lines += [f"| {markdown_cell(name)} | {value:.3f} |" for name, value in self.category_ap.items()]
        return "\n".join(lines)


def evaluate_instances(
    gt: GtInstances, predictions: Iterable[Mapping[str, Any]], *, use_categories: bool = True
) -> InstanceScores:
    """Score predicted tracks against all ground-truth tracks of a dataset.

    Args:
        gt: videos with ``id``, ``frame_names`` and ``size_hw``; category id -> name; annotations of the YouTube-VIS kind.
        predictions: ``video_id``, ``category_id``, ``score`` and ``segmentations`` (one run-length code or None a frame) each,
            as :func:`read_instance_results` gives them.
        use_categories: only tracks of one category match; else any may, as in UVO.

    Raises:
        EvaluationError: see :func:`sampt.evaluation.instances.tracks.read_tracks`.
    """
    return evaluate_tracks(read_tracks(gt, predictions), use_categories=use_categories)


def evaluate_tracks(tracks: Tracks, *, use_categories: bool) -> InstanceScores:
    """:func:`evaluate_instances` of tracks that have been read."""
    keys = sorted(tracks.categories) if use_categories else [0]
    gt_by_video, predicted_by_video = _Locations(use_categories), _Locations(use_categories)
    # The order of ties is the API's: categories one after the other, each in the order of the file.
    for locations, found in ((gt_by_video, tracks.gt), (predicted_by_video, tracks.predicted)):
        for track in sorted(found, key=lambda track: track.category_id):
            locations.add(track)
    ranges = list(AREA_RANGES.values())
    results = []
    for key in keys:
        clips = [(gt_by_video[video_id, key], predicted_by_video[video_id, key]) for video_id in sorted(tracks.videos)]
        matched = [_match(gt, predicted, ranges) for gt, predicted in clips if gt or predicted]
        results.append([[_curve([clip[a] for clip in matched], n) for n in _MAX_TRACKS] for a in range(len(ranges))])
    return _summary(results, [tracks.categories[key] for key in keys] if use_categories else [])


def read_instance_results(path: Path | str) -> list[Mapping[str, Any]]:
    """Read predictions in the YouTube-VIS results layout: a JSON list of tracks, or ``annotations`` of an object.

    Raises:
        EvaluationError: the file is missing, or not of that kind.
    """
    path = Path(path)
    values = read_json(path, "a JSON file of predicted tracks")
    found = values.get("annotations") if isinstance(values, dict) else values
    if not isinstance(found, list) or not all(isinstance(item, dict) for item in found):
        raise EvaluationError(f"{path} holds no list of tracks; expected a results file of the YouTube-VIS kind.")
    return found


class _Locations:
    """Tracks by video and category."""

    def __init__(self, use_categories: bool) -> None:
        self._use_categories = use_categories
        self._tracks: dict[tuple[int, int], list[Track]] = defaultdict(list)

    def add(self, track: Track) -> None:
        self._tracks[track.video_id, track.category_id if self._use_categories else 0].append(track)

    def __getitem__(self, location: tuple[int, int]) -> list[Track]:
        return self._tracks.get(location, [])


@dataclass(frozen=True, eq=False)
class _Matches:
    """What became of the d best predictions of a video in one area range, best first.

    Attributes:
        scores: (d,) float64.
        is_hit: (t, d) bool: matched at each of t IoU thresholds.
        is_ignored: (t, d) bool: counts neither as right nor as wrong.
        num_gt: of the ground-truth tracks that count.
    """

    scores: Array
    is_hit: Array
    is_ignored: Array
    num_gt: int


def _match(gt: Sequence[Track], predicted: Sequence[Track], ranges: Sequence[tuple[float, float]]) -> list[_Matches]:
    """One result a range; IoUs are computed once for all of them."""
    best = sorted(predicted, key=lambda track: -track.score)[:_MAX]  # sorted() keeps the order of ties, as mergesort does
    ious = spacetime_iou(best, gt)
    return [_match_in_range(gt, best, ious, bounds) for bounds in ranges]


def _match_in_range(gt: Sequence[Track], best: Sequence[Track], ious: Array, bounds: tuple[float, float]) -> _Matches:
    low, high = bounds
    is_crowd = np.array([track.is_crowd for track in gt], np.bool_)
    is_out = is_crowd | np.array([not low <= track.area <= high for track in gt], np.bool_)
    is_hit = np.zeros((len(IOU_THRESHOLDS), len(best)), np.bool_)
    is_ignored = np.zeros_like(is_hit)
    near = np.flatnonzero((ious >= IOU_THRESHOLDS[0]).any(1))
    for t, threshold in enumerate(IOU_THRESHOLDS):
        is_free = np.ones(len(gt), np.bool_)
        for d in near:
            fits = (ious[d] >= threshold) & is_free
            # A track that counts is preferred, however much better an ignored one fits.
            fits = fits & ~is_out if (fits & ~is_out).any() else fits
            if not fits.any():
                continue
            chosen = np.flatnonzero(fits & (ious[d] == ious[d][fits].max()))[-1]  # of equals the API takes the last
            is_hit[t, d], is_ignored[t, d] = True, is_out[chosen]
            is_free[chosen] = is_crowd[chosen]
    out_of_range = np.array([not low <= track.area <= high for track in best], np.bool_)
    scores = np.array([track.score for track in best], np.float64)
    return _Matches(scores, is_hit, is_ignored | (~is_hit & out_of_range), int((~is_out).sum()))


@dataclass(frozen=True, eq=False)
class _Curve:
    """Precision and recall of one category, area range and number of predictions.

    Attributes:
        precision: (t, 101): at each recall from 0 to 1.
        recall: (t,): the largest reached.
    """

    precision: Array
    recall: Array


def _curve(clips: Sequence[_Matches], max_tracks: int) -> _Curve | None:
    """None when no ground-truth track counts."""
    num_gt = sum(clip.num_gt for clip in clips)
    if not num_gt:
        return None
    scores = np.concatenate([clip.scores[:max_tracks] for clip in clips])
    order = np.argsort(-scores, kind="stable")
    hit = np.concatenate([clip.is_hit[:, :max_tracks] for clip in clips], 1)[:, order]
    counts = ~np.concatenate([clip.is_ignored[:, :max_tracks] for clip in clips], 1)[:, order]
    right, wrong = np.cumsum(hit & counts, 1, np.float64), np.cumsum(~hit & counts, 1, np.float64)
    recall = right / num_gt
    # The API divides by 2e-16 more, against 0 / 0; so its perfect precision is not quite 1.
    precision = np.divide(right, right + wrong, out=np.zeros_like(right), where=right + wrong > 0)
    precision = np.maximum.accumulate(precision[:, ::-1], 1)[:, ::-1]  # never rises with recall
    at_recall = np.zeros((len(IOU_THRESHOLDS), len(_RECALLS)))
    for t in range(len(IOU_THRESHOLDS)):
        locations = np.searchsorted(recall[t], _RECALLS, side="left")
        reached = locations < len(order)
        at_recall[t, reached] = precision[t, locations[reached]]
    return _Curve(at_recall, recall[:, -1] if len(order) else np.zeros(len(IOU_THRESHOLDS)))


def _summary(results: Sequence[Sequence[Sequence[_Curve | None]]], names: Sequence[str]) -> InstanceScores:
    """The figures of ``results[category][area range][number of predictions]``."""

    def ap(area: int, threshold: int | None = None) -> float | None:
        rows = slice(None) if threshold is None else slice(threshold, threshold + 1)
        return _mean([curve.precision[rows].mean() for by_area in results if (curve := by_area[area][-1])])

    def ar(area: int, number: int = -1) -> float | None:
        return _mean([curve.recall.mean() for by_area in results if (curve := by_area[area][number])])

    by_category = {
        name: float(curve.precision.mean())
        for name, by_area in zip(names, results if names else [], strict=True)
        if (curve := by_area[0][-1])
    }
    return InstanceScores(
        *(ap(0), ap(0, 0), ap(0, IOU_THRESHOLDS.index(0.75)), ap(1), ap(2), ap(3)),
        *(ar(0, 0), ar(0, 1), ar(0), ar(1), ar(2), ar(3)),
        by_category,
    )


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None
