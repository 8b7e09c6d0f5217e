"""What the object memory does in a run: priors for prompts, how sure it is that a mask shows its object, and what it learns.

docs/algorithm.md, "Object memory".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from sampt.masks.merge import ObjectMask
from sampt.memory import ObjectMemory, is_needed
from sampt.pipeline.propagation import ObjectPrediction
from sampt.types import BoolArray, FloatArray, ObjectPrompt, UInt8Array
from sampt.video.base import Video

__all__ = ["Recognition"]

_LEARNT_SCORE = 0.9
"""Predicted IoU of a mask from which the object memory learns; chosen on davis2016_train (docs/benchmarks.md)."""


class Recognition:
    """The object memory of one run over a video.

    Args:
        video: of the run.
        iou_threshold: an object whose score is below it is absent.
    """

    def __init__(self, video: Video, iou_threshold: float) -> None:
        self._video = video
        self._iou_threshold = iou_threshold
        self._memory = ObjectMemory()

    def learn(self, frame_idx: int, masks: Mapping[int, BoolArray]) -> None:
        """What objects look like, by their (h, w) masks on a frame."""
        self._memory.learn(frame_idx, self._frame(frame_idx), masks)

    def learn_if_sure(self, frame_idx: int, found: ObjectMask) -> None:
        """A predicted object, when the segmenter is sure of it."""
        if found.score >= _LEARNT_SCORE:
            self.learn(frame_idx, {found.object_id: found.mask(self._video.size_hw)})

    def priors(self, frame_idx: int, object_ids: Sequence[int]) -> dict[int, FloatArray]:
        """(h', w') log odds of the objects that are known."""
        return self._memory.priors(frame_idx, self._frame(frame_idx), object_ids)

    def with_priors(self, prompts: Sequence[ObjectPrompt], priors: Mapping[int, FloatArray]) -> list[ObjectPrompt]:
        """The prompts, with the object's prior where its points disagree with it."""

        def prior(prompt: ObjectPrompt) -> FloatArray | None:
            known = priors.get(prompt.object_id)
            needed = known is not None and is_needed(known, prompt.xy[prompt.is_positive], self._video.size_hw)
            return known if needed else None

        return [dataclasses.replace(prompt, prior=prior(prompt)) for prompt in prompts]

    def judge(self, prediction: ObjectPrediction, priors: Mapping[int, FloatArray]) -> ObjectPrediction:
        """The prediction, its score times the probability that what it shows is the object."""
        mask, logits = prediction
        if mask.logits is None or mask.object_id not in priors:
            return prediction
        presence = self._memory.presence(mask.object_id, priors[mask.object_id], mask.mask(self._video.size_hw))
        return ObjectPrediction(mask.with_score(mask.score * presence, self._iou_threshold), logits)

    def forget(self, before: int) -> None:
        """Features of frames before this one are no longer wanted."""
        self._memory.forget(before)

    def _frame(self, frame_idx: int) -> UInt8Array:
        return np.asarray(self._video.read(frame_idx, frame_idx + 1)[0])
