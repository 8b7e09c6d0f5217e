"""Tracks of the YouTube-VIS layout, true and predicted, and the IoU of two of them over space and time."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
from pycocotools import mask as coco_mask

from sampt.errors import EvaluationError
from sampt.files.limits import check_pixels
from sampt.masks.rle import code_runs

__all__ = [
    "Code",
    "GtInstances",
    "Track",
    "Tracks",
    "VideoShapes",
    "collect_shapes",
    "gt_track",
    "predicted_track",
    "read_tracks",
    "spacetime_iou",
]

Code: TypeAlias = dict[str, Any]
"""COCO's compressed run-length code: ``size`` [h, w], ``counts`` bytes."""

VideoShapes: TypeAlias = Mapping[int, tuple[int, tuple[int, ...]]]
"""Video id -> number of frames, (h, w)."""


@dataclass(frozen=True, eq=False)
class Track:
    """One object of one video.

    Attributes:
        video_id: of the dataset.
        category_id: of the dataset.
        codes: one a frame, None where the object is absent.
        area: mean over the frames on which it is not 0, pixels; 0 when there is none.
        score: of a prediction; 0 for a ground-truth track.
        is_crowd: a ground-truth track that stands for several objects.
        number: location in the list that it comes from, from 0.
    """

    video_id: int
    category_id: int
    codes: tuple[Code | None, ...]
    area: float
    score: float = 0.0
    is_crowd: bool = False
    number: int = 0


class GtInstances(Protocol):
    """What is needed of a dataset; see ``InstanceDataset`` of :mod:`sampt.evaluation.datasets`."""

    @property
    def videos(self) -> Sequence[Any]: ...
    @property
    def categories(self) -> Mapping[int, str]: ...
    @property
    def annotations(self) -> Iterable[Mapping[str, Any]]: ...


@dataclass(frozen=True, eq=False)
class Tracks:
    """All tracks of a dataset and of the predictions for it, but those of categories that the dataset does not have.

    Attributes:
        videos: shapes of the videos.
        categories: category id -> name.
        gt: in the order of the annotations.
        predicted: in the order of the predictions.
    """

    videos: VideoShapes
    categories: Mapping[int, str]
    gt: tuple[Track, ...]
    predicted: tuple[Track, ...]


def collect_shapes(ground_truth: GtInstances) -> VideoShapes:
    """The shapes of a dataset's videos.

    Raises:
        EvaluationError: it has none.
    """
    videos = {int(video.id): (len(video.frame_names), tuple(video.size_hw)) for video in ground_truth.videos}
    if not videos:
        raise EvaluationError("The dataset has no video, expected at least one.")
    return videos


def read_tracks(ground_truth: GtInstances, predictions: Iterable[Mapping[str, Any]]) -> Tracks:
    """The tracks of annotations and predictions of the YouTube-VIS kind.

    A track of a category that the dataset does not have counts nowhere, as in the API.

    Raises:
        EvaluationError: one is not of that kind, of an unknown video, or has another number of frames or another size than its
            video; or no prediction is of a category of the dataset.
    """
    videos, categories = collect_shapes(ground_truth), ground_truth.categories
    gt = tuple(gt_track(item, number, videos) for number, item in enumerate(ground_truth.annotations))
    predicted = tuple(predicted_track(item, number, videos) for number, item in enumerate(predictions))
    known = tuple(track for track in predicted if track.category_id in categories)
    if predicted and not known:
        raise EvaluationError(
            f"No prediction is of a category of the dataset, the first one of {predicted[0].category_id}; expected one "
            f"of the ids {', '.join(map(str, sorted(categories))) or '(there is none)'}."
        )
    return Tracks(videos, categories, tuple(track for track in gt if track.category_id in categories), known)


def gt_track(item: Mapping[str, Any], number: int, videos: VideoShapes) -> Track:
    """The track of annotation ``number``; ``areas`` are taken from it, or from its masks where it has none.

    Raises:
        EvaluationError: it is not of the YouTube-VIS kind, or does not fit its video.
    """
    where = f"The annotation {item.get('id')}"
    codes = _codes(item, where, videos)
    areas = item["areas"] if item.get("areas") is not None else _areas(codes)
    try:
        area, category_id, is_crowd = _mean_area(areas), int(item["category_id"]), bool(item.get("iscrowd", 0))
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"{where} lacks a number: {type(error).__name__} {error}; expected category_id, areas.") from None
    return Track(int(item["video_id"]), category_id, codes, area, is_crowd=is_crowd, number=number)


def predicted_track(item: Mapping[str, Any], number: int, videos: VideoShapes) -> Track:
    """The track of prediction ``number`` (from 0, for messages).

    Raises:
        EvaluationError: it is not of the YouTube-VIS kind, or does not fit its video.
    """
    where = f"Prediction {number}"
    codes = _codes(item, where, videos)
    try:
        category_id, score = int(item["category_id"]), float(item["score"])
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"{where} lacks a number: {type(error).__name__} {error}; expected category_id, score.") from None
    if not math.isfinite(score):
        raise EvaluationError(f"{where} has the score {score}, expected a finite number.")
    return Track(int(item["video_id"]), category_id, codes, _mean_area(_areas(codes)), score, number=number)


def spacetime_iou(predicted: Sequence[Track], gt: Sequence[Track]) -> npt.NDArray[np.float64]:
    """(d, g) IoU of tracks of one video: intersections summed over frames over unions summed over frames; 0 for two empty."""
    shape = (len(predicted), len(gt))
    if 0 in shape:
        return np.zeros(shape)
    intersection = np.zeros(shape)
    sizes = [np.zeros(len(predicted)), np.zeros(len(gt))]
    for frame_codes in zip(*(track.codes for track in (*predicted, *gt)), strict=True):
        own, other = frame_codes[: len(predicted)], frame_codes[len(predicted) :]
        here, there = ([k for k, code in enumerate(codes) if code] for codes in (own, other))
        own_codes, other_codes = [own[k] for k in here], [other[k] for k in there]
        areas = [coco_mask.area(codes).astype(np.float64) if codes else np.zeros(0) for codes in (own_codes, other_codes)]
        sizes[0][here] += areas[0]
        sizes[1][there] += areas[1]
        if here and there:
            # With a crowd, pycocotools divides the intersection by the area of the first mask: the whole number comes back.
            parts = np.asarray(coco_mask.iou(own_codes, other_codes, [1] * len(there)))
            intersection[np.ix_(here, there)] += np.rint(parts * areas[0][:, None])
    union = sizes[0][:, None] + sizes[1] - intersection
    return np.divide(intersection, union, out=np.zeros(shape), where=union > 0)


def _codes(item: Mapping[str, Any], where: str, videos: VideoShapes) -> tuple[Code | None, ...]:
    video_id, frames = item.get("video_id"), item.get("segmentations")
    if not isinstance(video_id, int) or video_id not in videos:
        raise EvaluationError(f"{where} is of the video {video_id!r}, expected one of the dataset's {len(videos)} videos.")
    length, size_hw = videos[video_id]
    if not isinstance(frames, Sequence) or len(frames) != length:
        got = f"{len(frames)} segmentations" if isinstance(frames, Sequence) else "no list of segmentations"
        raise EvaluationError(f"{where} has {got}; expected {length}, one a frame of the video {video_id}.")
    return tuple(_code(frame, size_hw, f"{where}, frame {k},") if frame else None for k, frame in enumerate(frames))


def _code(frame: Any, size_hw: tuple[int, ...], where: str) -> Code:
    """The compressed code of a code of either kind, or of polygons ([x, y, x, y, ...] each)."""
    h, w = size_hw
    check_pixels(w, h, where.rstrip(","))
    try:
        if isinstance(frame, Mapping):
            size = tuple(int(n) for n in frame["size"])
            if size != (h, w):
                raise EvaluationError(f"{where} is {size[1]}x{size[0]}, expected {w}x{h} as its video.")
            counts = frame["counts"]
            if isinstance(counts, list):
                if sum(counts) != h * w:
                    raise EvaluationError(f"{where} has runs of {sum(counts)} pixels, expected {h * w}.")
                return dict(coco_mask.frPyObjects({"size": [h, w], "counts": counts}, h, w))
            compressed = counts if isinstance(counts, str) else bytes(counts).decode("ascii")
            if code_runs(compressed, (h, w)) is None:  # pycocotools would read any text, and beyond its end
                raise EvaluationError(
                    f"{where} has a run-length code of another size or a broken one, expected {w}x{h} pixels."
                )
            return {"size": [h, w], "counts": compressed.encode("ascii")}
        return dict(coco_mask.merge(coco_mask.frPyObjects(list(frame), h, w)))
    except EvaluationError:
        raise
    except Exception as error:  # pycocotools raises that very class
        message = f"{where} is no mask ({type(error).__name__} {error}); expected a run-length code or polygons."
        raise EvaluationError(message.replace("\n", " ")) from None


def _areas(codes: Sequence[Code | None]) -> list[float]:
    return [float(coco_mask.area(code)) if code else 0.0 for code in codes]


def _mean_area(areas: Sequence[float | None]) -> float:
    present = [float(area) for area in areas if area]
    return sum(present) / len(present) if present else 0.0
