"""The frames where predictions are worst, drawn beside the ground truth."""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import cv2
import numpy as np

from sampt.errors import EvaluationError, VideoError
from sampt.evaluation.datasets import InstanceDataset, VosSequence, select_sequences
from sampt.evaluation.instances.matches import RESULTS_NAME, ScoredInstances, VideoMatches
from sampt.evaluation.instances.metrics import read_instance_results
from sampt.evaluation.instances.tracks import Track, collect_shapes, gt_track, predicted_track
from sampt.evaluation.reports.read import ScoredRun
from sampt.evaluation.vos.predicted import find_predictions
from sampt.evaluation.vos.protocols import scoring_rule
from sampt.evaluation.vos.results import Scores
from sampt.exporters.overlay import OverlayStyle, draw_overlay
from sampt.masks.rle import Rle, decode_mask
from sampt.types import BoolArray, FrameMasks, FramePoints, ObjectState, UInt8Array
from sampt.video import Video

__all__ = ["WorstFrame", "worst_instance_frames", "worst_mask_frames"]

_WIDTH = 480
_JPEG_QUALITY = 82
_STYLE = OverlayStyle(points=False)
_GREY = 96


@dataclass(frozen=True)
class WorstFrame:
    """A frame of a sequence where its objects are segmented worst.

    Attributes:
        caption: where it is, and how bad.
        ground truth, prediction: JPEG images as data URLs.
        lacking: why the masks are drawn on grey; None when they are on the frame itself.
    """

    caption: str
    gt: str
    prediction: str
    lacking: str | None


def worst_mask_frames(run: ScoredRun[Scores], count: int) -> list[WorstFrame]:
    """The frame of the lowest mean J&F of each of the ``count`` sequences where that is lowest."""
    found: list[tuple[float, str, int]] = []
    for sequence in run.scores.sequences:
        by_frame: dict[int, list[float]] = {}
        for one in sequence.objects:
            for frame_idx, j, f in zip(one.frames, one.j_frames, one.f_frames, strict=True):
                by_frame.setdefault(frame_idx, []).append((j + f) / 2)
        if by_frame:
            value, frame_idx = min((sum(v) / len(v), i) for i, v in by_frame.items())
            found.append((value, sequence.name, frame_idx))
    if not found or not count:
        return []
    sequences = run.choice.open_vos().sequences
    return [_mask_frame(run, select_sequences(sequences, [name])[0], i, value) for value, name, i in sorted(found)[:count]]


def worst_instance_frames(run: ScoredRun[ScoredInstances], count: int) -> list[WorstFrame]:
    """The frame of the lowest mean IoU of each of the ``count`` videos where that is lowest; of equals one with more objects.

    Raises:
        EvaluationError: the dataset or the predictions have changed or are gone.
    """
    found: list[tuple[float, int, int, VideoMatches]] = []
    for video in run.scores.videos:
        columns = [[iou for iou in ious if iou is not None] for ious in zip(*(t.frame_ious for t in video.tracks), strict=True)]
        ranked = [(sum(ious) / len(ious), -len(ious), i) for i, ious in enumerate(columns) if ious]
        if ranked:
            found.append((*min(ranked), video))
    if not found or not count:
        return []
    dataset = run.choice.open()
    if not isinstance(dataset, InstanceDataset):
        raise EvaluationError(f"The objects of {run.choice.name!r} are given by masks; expected scores of another dataset.")
    predictions = read_instance_results(run.folder / RESULTS_NAME)
    chosen = sorted(found, key=lambda item: item[:3])[:count]
    return [_instance_frame(dataset, predictions, video, i, value) for value, _, i, video in chosen]


def _mask_frame(run: ScoredRun[Scores], sequence: VosSequence, frame_idx: int, value: float) -> WorstFrame:
    names, ids = sequence.frame_names, sequence.object_ids
    pairing = scoring_rule(run.scores.protocol).pairing
    stored = find_predictions(run.folder / sequence.name, sequence.name, names, ids if pairing == "id" else None)
    if pairing == "id":
        read = stored.read(frame_idx, sequence.size_hw)
        predicted = {object_id: read(object_id) for object_id in ids}
    else:
        predicted = stored.read_found(frame_idx, sequence.size_hw)
        if pairing == "match":  # in the colors of the objects that they were matched with
            (scored,) = (one for one in run.scores.sequences if one.name == sequence.name)
            own = {one.found_id: one.object_id for one in scored.objects if one.found_id is not None}
            predicted = {own[k]: mask for k, mask in predicted.items() if k in own}
        predicted = predicted or {i: np.zeros(sequence.size_hw, np.bool_) for i in ids}
    labels = sequence.label_map(frame_idx)
    caption = f"{sequence.name}, frame {names[frame_idx]}, J&F {100 * value:.1f}"
    gt_masks = {object_id: np.asarray(labels == object_id) for object_id in ids}
    return _draw(caption, sequence.open, frame_idx, gt_masks, predicted)


def _instance_frame(
    dataset: InstanceDataset, predictions: list[Mapping[str, object]], matches: VideoMatches, frame_idx: int, value: float
) -> WorstFrame:
    video = next((video for video in dataset.videos if video.id == matches.video_id), None)
    numbers = [track.prediction for track in matches.tracks if track.prediction is not None]
    is_known = all(0 <= track.annotation < len(dataset.annotations) for track in matches.tracks)
    if video is None or not is_known or max(numbers, default=-1) >= len(predictions):
        raise EvaluationError(
            f"The dataset or the predictions of {matches.folder} are others than when they were scored; score them again."
        )
    shapes = collect_shapes(dataset)
    gt_masks, masks = {}, {}
    for k, track in enumerate(matches.tracks, 1):
        gt_masks[k] = _mask(gt_track(dataset.annotations[track.annotation], track.annotation, shapes), frame_idx, video.size_hw)
        masks[k] = np.zeros(video.size_hw, np.bool_)
        if track.prediction is not None:
            masks[k] = _mask(predicted_track(predictions[track.prediction], track.prediction, shapes), frame_idx, video.size_hw)
    caption = f"{matches.folder}, frame {video.frame_names[frame_idx]}, mean IoU {100 * value:.1f}"
    return _draw(caption, video.open, frame_idx, gt_masks, masks)


def _mask(track: Track, frame_idx: int, size_hw: tuple[int, int]) -> BoolArray:
    code = track.codes[frame_idx]
    if code is None:
        return np.zeros(size_hw, np.bool_)
    return decode_mask(Rle(size_hw, code["counts"].decode("ascii")))


def _draw(
    caption: str,
    open_video: Callable[[], Video],
    frame_idx: int,
    gt: Mapping[int, BoolArray],
    prediction: Mapping[int, BoolArray],
) -> WorstFrame:
    """Object id -> (h, w) mask, of one size and at least one, on the frame that belongs to them."""
    height, width = next(iter(gt.values())).shape
    lacking = None
    try:
        frame = open_video().read(frame_idx, frame_idx + 1)[0]
    except (EvaluationError, VideoError) as error:
        frame, lacking = np.full((height, width, 3), _GREY, np.uint8), str(error)
    if frame.shape[:2] != (height, width):
        frame = np.asarray(cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA), np.uint8)
    return WorstFrame(caption, _image(frame, frame_idx, gt), _image(frame, frame_idx, prediction), lacking)


def _image(frame: UInt8Array, frame_idx: int, masks: Mapping[int, BoolArray]) -> str:
    n = len(masks)
    states = np.full(n, ObjectState.PRESENT, np.uint8)
    stacked = np.stack(list(masks.values()))
    result = FrameMasks(frame_idx, np.array(list(masks)), stacked, np.ones(n, np.float32), states, FramePoints.concat([]))
    drawn = draw_overlay(frame, result, _STYLE)
    height = max(1, round(drawn.shape[0] * _WIDTH / drawn.shape[1]))
    small = cv2.resize(drawn, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
