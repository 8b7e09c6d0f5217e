"""Backends that do all the work of a network and give back what a scene shows, so that random weights do the work of real
ones.

Random tracks leave the frame and random masks are empty or everything: a pipeline that believed them would soon prompt for
nothing. Here the network computes, and its result is replaced by the scene's exact one. Which frame an image is, is seen
from a thumbnail, so that frames may be resized. What that takes counts as the stage ``played``, which is no part of a
figure."""

from __future__ import annotations

import weakref
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import torch

from sampt.geometry import find_mask_box, rescale_xy
from sampt.runs.timing import StageClock
from sampt.segmenters.base import PromptableSegmenter, RefinementPlan, SegmenterView
from sampt.testing.rendering import Scene
from sampt.trackers.base import FrameSource, PointTracker, TrackerInfo
from sampt.types import MaskPrediction, ObjectPrompt, Points, QueryMask, Tracks, UInt8Array

__all__ = ["PLAYED", "KnownScene", "PlayedSegmenter", "PlayedTracker", "synchronize"]

PLAYED = "played"
_THUMBNAIL = (48, 27)
_LOGIT = 8.0


def synchronize() -> None:
    """Wait for the GPU, if there is one."""
    if torch.cuda.is_available():
        torch.cuda.synchronize()


class KnownScene:
    """A rendered scene whose frames are recognised at any size.

    Attributes:
        frames: (t, h, w, 3) uint8.
        masks: (t, m, h, w) bool, exact.
    """

    def __init__(self, scene: Scene) -> None:
        self.scene = scene
        self.frames = np.stack([scene.frame(i) for i in range(scene.num_frames)])
        self.masks = np.stack([scene.masks(i) for i in range(scene.num_frames)])
        self._thumbnails = np.stack([_thumbnail(frame) for frame in self.frames])

    def find(self, frame: UInt8Array) -> int:
        """Index of the frame that looks most like this one."""
        return int(np.abs(self._thumbnails - _thumbnail(frame)).mean((1, 2, 3)).argmin())


def _thumbnail(frame: UInt8Array) -> np.ndarray:
    return cv2.resize(frame, _THUMBNAIL, interpolation=cv2.INTER_AREA).astype(np.float32)


class PlayedTracker:
    """A tracker that computes, and gives the scene's tracks. It tracks whole clips, also where the network is causal."""

    def __init__(self, tracker: PointTracker, known: KnownScene, clock: StageClock) -> None:
        self._tracker, self._known, self._clock = tracker, known, clock

    @property
    def info(self) -> TrackerInfo:
        return replace(self._tracker.info, is_causal=False)

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        self._tracker.track(video, points, query_masks)
        with self._clock.stage(PLAYED):
            at = [self._known.find(video.read(i, i + 1)[0]) for i in range(video.num_frames)]
            scene = self._known.scene
            own = replace(points, xy=rescale_xy(points.xy, video.size_hw, scene.size_hw))
            exact = scene.point_positions(own.with_frames(np.array([at[i] for i in points.frame_idx], np.int64)))
            xy, visible = rescale_xy(exact.xy[at], scene.size_hw, video.size_hw), exact.visible[at].copy()
            prompted = (points.frame_idx, np.arange(len(points)))
            xy[prompted], visible[prompted] = points.xy, True
            return Tracks(points, xy.astype(np.float32), visible)


class PlayedSegmenter(SegmenterView):
    """A segmenter that computes, and gives the scene's masks; low-resolution logits stay those of the network."""

    def __init__(self, segmenter: PromptableSegmenter, known: KnownScene, clock: StageClock) -> None:
        super().__init__(segmenter)
        self._known, self._clock = known, clock
        self._frames: weakref.WeakKeyDictionary[Any, tuple[int, tuple[int, int]]] = weakref.WeakKeyDictionary()

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        embeddings = self.segmenter.encode(frames)
        with self._clock.stage(PLAYED):
            for frame, embedding in zip(frames, embeddings, strict=True):
                self._frames[embedding] = self._known.find(frame), (frame.shape[0], frame.shape[1])
        return embeddings

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        return self._played(embedding, self.segmenter.decode(embedding, prompts, full_size=full_size))

    def decode_with_refinement(
        self, embedding: Any, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> list[MaskPrediction]:
        return self._played(embedding, super().decode_with_refinement(embedding, prompts, plan))

    def _played(self, embedding: Any, predictions: list[MaskPrediction]) -> list[MaskPrediction]:
        with self._clock.stage(PLAYED):
            frame_idx, (height, width) = self._frames[embedding]
            played = []
            for prediction in predictions:
                exact = self._known.masks[frame_idx][prediction.object_id - 1].astype(np.uint8)
                mask = cv2.resize(exact, (width, height), interpolation=cv2.INTER_NEAREST) > 0
                logits = None if prediction.logits is None else np.where(mask, _LOGIT, -_LOGIT).astype(np.float32)
                box = find_mask_box(mask) if mask.sum() > 1 else None
                played.append(replace(prediction, score=0.9 if mask.any() else 0.0, logits=logits, box_xyxy=box))
            return played
