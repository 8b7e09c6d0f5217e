"""The frames where predictions are worst, drawn beside the ground truth."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from sampt.evaluation.datasets import VosSequence, select_sequences
from sampt.evaluation.predicted import find_predictions
from sampt.evaluation.reports.read import ScoredRun
from sampt.outputs.overlay import OverlayStyle, draw_overlay
from sampt.types import BoolArray, FrameMasks, FramePoints, ObjectState, UInt8Array

__all__ = ["WorstFrame", "worst_frames"]

_WIDTH = 480
_JPEG_QUALITY = 82
_STYLE = OverlayStyle(points=False)


@dataclass(frozen=True)
class WorstFrame:
    """A frame of a sequence, with the mean of J and F over its objects.

    Attributes:
        sequence, frame_name: where.
        j_and_f: mean over the objects.
        truth, prediction: JPEG pictures as data URLs.
    """

    sequence: str
    frame_name: str
    j_and_f: float
    truth: str
    prediction: str


def worst_frames(run: ScoredRun, count: int) -> list[WorstFrame]:
    """The worst frame of each of the ``count`` sequences whose worst frame is worst."""
    found: list[tuple[float, str, int]] = []
    for sequence in run.scores.sequences:
        by_frame: dict[int, list[float]] = {}
        for one in sequence.objects:
            for frame_idx, j, f in zip(one.frames, one.j_frames, one.f_frames, strict=True):
                by_frame.setdefault(frame_idx, []).append((j + f) / 2)
        value, frame_idx = min((sum(v) / len(v), i) for i, v in by_frame.items())
        found.append((value, sequence.name, frame_idx))
    if not found or not count:
        return []
    sequences = run.choice.open_vos().sequences
    return [_drawn(run, select_sequences(sequences, [name])[0], i, value) for value, name, i in sorted(found)[:count]]


def _drawn(run: ScoredRun, sequence: VosSequence, frame_idx: int, value: float) -> WorstFrame:
    frame = sequence.open().read(frame_idx, frame_idx + 1)[0]
    size_hw = sequence.size_hw
    names, ids = sequence.frame_names, sequence.object_ids
    predicted = find_predictions(run.folder / sequence.name, sequence.name, names, ids).read(frame_idx, size_hw)
    labels = sequence.label_map(frame_idx)
    if frame.shape[:2] != size_hw:
        frame = np.asarray(cv2.resize(frame, size_hw[::-1], interpolation=cv2.INTER_AREA), np.uint8)
    return WorstFrame(
        sequence.name,
        names[frame_idx],
        value,
        _picture(frame, frame_idx, ids, lambda object_id: np.asarray(labels == object_id)),
        _picture(frame, frame_idx, ids, predicted),
    )


def _picture(frame: UInt8Array, frame_idx: int, ids: tuple[int, ...], mask_of: Callable[[int], BoolArray]) -> str:
    masks = np.stack([mask_of(object_id) for object_id in ids])
    n = len(ids)
    states = np.full(n, ObjectState.PRESENT, np.uint8)
    result = FrameMasks(frame_idx, np.array(ids), masks, np.ones(n, np.float32), states, FramePoints.concat([]))
    drawn = draw_overlay(frame, result, _STYLE)
    height = max(1, round(drawn.shape[0] * _WIDTH / drawn.shape[1]))
    small = cv2.resize(drawn, (_WIDTH, height), interpolation=cv2.INTER_AREA)
    _, data = cv2.imencode(".jpg", small[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
    return "data:image/jpeg;base64," + base64.b64encode(data.tobytes()).decode("ascii")
