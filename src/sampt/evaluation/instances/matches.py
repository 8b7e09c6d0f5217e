"""The scores of a dataset whose objects have to be found, and beside them which predicted track goes with which true one.

AP and AR pair tracks anew at every threshold and say nothing of a single video. For people to look at, every ground-truth track
gets the predicted one that overlaps it most over space and time, each at most once, the pair of the highest IoU first, down to
an IoU of 0.1; where categories are distinguished, only tracks of one category pair.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from pycocotools import mask as coco_mask

from sampt.errors import EvaluationError
from sampt.evaluation.datasets import InstanceDataset
from sampt.evaluation.instances.metrics import InstanceScores, evaluate_tracks, read_instance_results
from sampt.evaluation.instances.tracks import Code, Track, Tracks, read_tracks, spacetime_iou
from sampt.files.names import portable_name

__all__ = ["FOUND_IOU", "RESULTS_NAME", "ScoredInstances", "TrackMatch", "VideoMatches", "score_instances", "video_folder"]

RESULTS_NAME = "results.json"
"""All predicted tracks, as the YouTube-VIS server takes them, in the folder of the predictions."""
FOUND_IOU = 0.5
"""From this IoU over space and time on, a ground-truth track counts as found in what is reported of videos and categories."""
_MIN_IOU = 0.1
"""Below it, a predicted track only touches a true one."""
_MAX_PREDICTIONS = 100
"""Of a video, the best ones, as in AP and AR."""


@dataclass(frozen=True)
class TrackMatch:
    """A ground-truth track, and the predicted one that goes with it.

    Attributes:
        annotation: location of the ground-truth track in the dataset's annotations, from 0.
        category: its name.
        prediction: location of the predicted one in the results, from 0; None when none is left that overlaps it enough.
        score: of the prediction.
        iou: over space and time; 0 without a prediction.
        frame_ious: one a frame of the video; None where neither is.
    """

    annotation: int
    category: str
    prediction: int | None
    score: float | None
    iou: float
    frame_ious: tuple[float | None, ...]


@dataclass(frozen=True)
class VideoMatches:
    """The tracks of one video.

    Attributes:
        video_id: of the dataset.
        name: of the video.
        num_predictions: tracks that were predicted for it.
        tracks: one a ground-truth track; crowds are left out.
    """

    video_id: int
    name: str
    num_predictions: int
    tracks: tuple[TrackMatch, ...]

    @property
    def folder(self) -> str:
        """Name of its folder in predictions of sampt."""
        return video_folder(self.video_id, self.name)

    @property
    def mean_iou(self) -> float | None:
        """Mean IoU over the ground-truth tracks; None when there is none."""
        return sum(track.iou for track in self.tracks) / len(self.tracks) if self.tracks else None

    @property
    def num_found(self) -> int:
        """Ground-truth tracks with an IoU of ``FOUND_IOU`` or more."""
        return sum(track.iou >= FOUND_IOU for track in self.tracks)


@dataclass(frozen=True)
class ScoredInstances:
    """What predictions for a dataset are worth.

    Attributes:
        dataset: its name and split.
        uses_categories: only tracks of one category match.
        scores: the figures of the benchmark.
        videos: those that have a true or a predicted track.
    """

    dataset: str
    uses_categories: bool
    scores: InstanceScores
    videos: tuple[VideoMatches, ...]

    @property
    def names(self) -> list[str]:
        """Of the folders of the videos in predictions of sampt."""
        return [video.folder for video in self.videos]

    @property
    def by_category(self) -> dict[str, list[TrackMatch]]:
        """Category -> its ground-truth tracks, by name."""
        found: dict[str, list[TrackMatch]] = defaultdict(list)
        for video in self.videos:
            for track in video.tracks:
                found[track.category].append(track)
        return dict(sorted(found.items()))

    def to_markdown(self) -> str:
        """The tables of the figures."""
        facts = "distinguished" if self.uses_categories else "not distinguished"
        return f"{self.dataset}, categories {facts}\n\n{self.scores.to_markdown()}"

    def to_dict(self) -> dict[str, Any]:
        """The same as plain values, for JSON."""
        plain = {"dataset": self.dataset, "uses_categories": self.uses_categories, **self.scores.to_dict()}
        return {**plain, "videos": [asdict(video) for video in self.videos]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ScoredInstances:
        """What :meth:`to_dict` reported, also after a way through JSON.

        Raises:
            EvaluationError: it is not of that kind.
        """
        try:
            facts = {item.name: values[item.name] for item in fields(InstanceScores)}
            by_category = {str(name): float(value) for name, value in facts.pop("category_ap").items()}
            figures = InstanceScores(**{name: _number(value) for name, value in facts.items()}, category_ap=by_category)
            videos = tuple(VideoMatches(**video | {"tracks": _collect_matches(video["tracks"])}) for video in values["videos"])
            return cls(str(values["dataset"]), bool(values["uses_categories"]), figures, videos)
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise EvaluationError(
                f"These are no scores: {type(error).__name__} {error}; expected what `sampt eval score` wrote."
            ) from None


def video_folder(video_id: int, name: str) -> str:
    """Name of a video's folder in predictions of sampt; names alone may be alike."""
    return portable_name(f"{video_id}-{name}")


def score_instances(dataset: InstanceDataset, predictions: Path, *, use_categories: bool) -> ScoredInstances:
    """Score the ``results.json`` of any method in the folder ``predictions``.

    Args:
        dataset: the ground truth.
        predictions: the folder.
        use_categories: see :func:`sampt.evaluation.evaluate_instances`.

    Raises:
        EvaluationError: the annotations are not public, or the predictions are missing or do not fit them.
    """
    if dataset.is_server_scored:
        raise EvaluationError(
            f"The annotations of {dataset.name} {dataset.split} are not public; expected a split that has them: submit the "
            "predictions to the benchmark's server instead."
        )
    tracks = read_tracks(dataset, read_instance_results(predictions / RESULTS_NAME))
    scores = evaluate_tracks(tracks, use_categories=use_categories)
    names = {video.id: video.name for video in dataset.videos}
    name = f"{dataset.name} {dataset.split}"
    return ScoredInstances(name, use_categories, scores, _match_videos(tracks, names, use_categories))


def _match_videos(tracks: Tracks, names: Mapping[int, str], use_categories: bool) -> tuple[VideoMatches, ...]:
    gt: dict[int, list[Track]] = defaultdict(list)
    predicted: dict[int, list[Track]] = defaultdict(list)
    for by_video, found in ((gt, tracks.gt), (predicted, tracks.predicted)):
        for track in found:
            by_video[track.video_id].append(track)
    return tuple(
        VideoMatches(i, name, len(predicted[i]), _match(gt[i], predicted[i], tracks.categories, use_categories))
        for i, name in names.items()
        if gt[i] or predicted[i]
    )


def _match(
    all_true: Sequence[Track], all_predicted: Sequence[Track], categories: Mapping[int, str], use_categories: bool
) -> tuple[TrackMatch, ...]:
    gt = [track for track in all_true if not track.is_crowd]
    predicted = sorted(all_predicted, key=lambda track: -track.score)[:_MAX_PREDICTIONS]
    ious = spacetime_iou(predicted, gt)
    if use_categories:
        own, other = ([track.category_id for track in tracks] for tracks in (predicted, gt))
        ious[np.not_equal.outer(own, other)] = 0
    pairs = _pairs(ious)
    matches = []
    for k, track in enumerate(gt):
        best = predicted[pairs[k]] if k in pairs else None
        frame_ious = tuple(_frame_iou(code, best.codes[i] if best else None) for i, code in enumerate(track.codes))
        number, score, iou = (best.number, best.score, float(ious[pairs[k], k])) if best else (None, None, 0.0)
        matches.append(TrackMatch(track.number, categories[track.category_id], number, score, iou, frame_ious))
    return tuple(matches)


def _pairs(ious: np.ndarray[Any, Any]) -> dict[int, int]:
    """Column -> row, each at most once, the highest value first; those below ``_MIN_IOU`` stay alone."""
    pairs: dict[int, int] = {}
    for flat in np.argsort(-ious, axis=None, kind="stable").tolist():
        row, column = divmod(flat, ious.shape[1])
        if ious[row, column] < _MIN_IOU:
            break
        if column not in pairs and row not in pairs.values():
            pairs[column] = row
    return pairs


def _frame_iou(gt: Code | None, predicted: Code | None) -> float | None:
    codes = [code for code in (gt, predicted) if code and coco_mask.area(code)]
    if len(codes) < 2:
        return 0.0 if codes else None
    return float(coco_mask.iou(codes[1:], codes[:1], [0])[0, 0])


def _collect_matches(values: Sequence[Mapping[str, Any]]) -> tuple[TrackMatch, ...]:
    parsed = ((item, {"iou": float(item["iou"]), "frame_ious": tuple(map(_number, item["frame_ious"]))}) for item in values)
    found = tuple(TrackMatch(**{**item, **numbers}) for item, numbers in parsed)
    if len({len(track.frame_ious) for track in found} | {0}) > 2 or not all(track.frame_ious for track in found):
        raise ValueError("tracks of unlike length in one video")
    return found


def _number(value: Any) -> float | None:
    return None if value is None else float(value)
