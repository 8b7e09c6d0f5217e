"""What the object memory does in a run: priors for prompts, how sure it is that a mask shows its object, and what it learns.

docs/algorithm.md, "Object memory".
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping, Sequence

import numpy as np

from sampt.config import SegmentConfig
from sampt.masks.merge import ObjectMask
from sampt.memory import Lookalikes, ObjectMemory, at_points, cover_cells, find_foreign_parts, is_known, is_needed
from sampt.pipeline.propagation import ObjectPrediction
from sampt.types import BoolArray, FloatArray, ObjectPrompt, UInt8Array
from sampt.video.base import Video

__all__ = ["Recognition"]

_LEARNT_SCORE = 0.9
"""Predicted IoU of a mask from which the object memory learns; chosen on davis2016_train (docs/benchmarks.md)."""

_CERTAIN_SCORE = 0.7
"""And from which an object is where its mask is, so that what looks like it elsewhere is something else."""


class Recognition:
    """The object memory of one run over a video.

    Args:
        video: of the run.
        config: which parts of the memory are on, and the score below which an object is absent.
        uses_prior: whether the segmenter heeds priors; prompts for another one lose the points that they speak against.
        check: called between objects; whoever wants the end raises.
    """

    def __init__(self, video: Video, config: SegmentConfig, *, uses_prior: bool, check: Callable[[], None]) -> None:
        self._video, self._check = video, check
        self._uses_prior = uses_prior
        self._parts = config.memory
        self._iou_threshold = config.prompting.iou_threshold
        self._memory = ObjectMemory()
        self._lookalikes: dict[int, Lookalikes] = {}

    def learn(self, frame_idx: int, masks: Mapping[int, BoolArray]) -> None:
        """What objects look like, by their (h, w) masks on a frame."""
        self._memory.learn(frame_idx, self._frame(frame_idx), masks)

    def learn_if_sure(self, frame_idx: int, found: ObjectMask) -> None:
        """A predicted object, when the segmenter is sure of it, and the memory of it as a whole."""
        if not self._parts.later_masks or found.score < _LEARNT_SCORE:
            return
        mask = found.mask(self._video.size_hw)
        prior = self.priors(frame_idx, [found.object_id]).get(found.object_id)
        if prior is None or is_known(prior, mask):
            self.learn(frame_idx, {found.object_id: mask})

    def priors(self, frame_idx: int, object_ids: Sequence[int]) -> dict[int, FloatArray]:
        """(h', w') log odds of the objects that are known."""
        return self._memory.priors(frame_idx, self._frame(frame_idx), object_ids)

    def with_priors(self, prompts: Sequence[ObjectPrompt], priors: Mapping[int, FloatArray]) -> list[ObjectPrompt]:
        """The prompts, with the object's prior where its points disagree with it, or without the points that do."""
        if not self._parts.priors:
            return list(prompts)
        return [self._with_prior(prompt, priors.get(prompt.object_id)) for prompt in prompts]

    def _with_prior(self, prompt: ObjectPrompt, prior: FloatArray | None) -> ObjectPrompt:
        size_hw = self._video.size_hw
        if prior is None or not is_needed(prior, prompt.xy[prompt.is_positive], size_hw):
            return prompt
        if self._uses_prior:
            return dataclasses.replace(prompt, prior=prior)
        kept = ~prompt.is_positive | prompt.is_certain | (at_points(prior, prompt.xy, size_hw) >= 0)
        if not prompt.is_positive[kept].any():  # whether it is the object at all, its score tells
            return prompt
        values = {name: getattr(prompt, name)[kept] for name in ("xy", "is_positive", "is_certain")}
        return dataclasses.replace(prompt, **values)

    def judge(self, frame_idx: int, prediction: ObjectPrediction, priors: Mapping[int, FloatArray]) -> ObjectPrediction:
        """The prediction, its score times the probability that what it shows is the object; 0 where it is a lookalike."""
        self._check()
        mask, logits = prediction
        if mask.logits is None or mask.object_id not in priors:
            return prediction
        prior = priors[mask.object_id]
        pixels = mask.mask(self._video.size_hw)
        presence = self._memory.presence(mask.object_id, prior, pixels) if self._parts.absence else 1.0
        if self._parts.lookalikes and self._lookalikes_of(mask.object_id).is_mask_of_one(
            frame_idx, cover_cells(pixels, prior.shape)
        ):
            presence = 0.0
        return ObjectPrediction(mask.with_score(mask.score * presence, self._iou_threshold), logits)

    def without_foreign_parts(self, found: ObjectMask, priors: Mapping[int, FloatArray]) -> ObjectMask:
        """The mask without the parts that look like something else, where another part looks like the object."""
        if not self._parts.parts or found.logits is None or found.object_id not in priors:
            return found
        foreign = find_foreign_parts(priors[found.object_id], found.mask(self._video.size_hw))[found.area]
        if not foreign.any():
            return found
        return dataclasses.replace(found, logits=np.where(foreign, -np.abs(found.logits), found.logits))

    def update_lookalikes(self, frame_idx: int, found: Sequence[ObjectMask], priors: Mapping[int, FloatArray]) -> None:
        """Note what looks like the objects on a frame and is none of them, where these are certain or not seen."""
        if not (self._parts.lookalikes and priors):
            return
        some_prior = next(iter(priors.values()))  # cells are those of the frame
        there = [m for m in found if m.logits is not None]
        cells = {m.object_id: cover_cells(m.mask(self._video.size_hw), some_prior.shape) for m in there}
        uncertain = {m.object_id for m in there if m.score < _CERTAIN_SCORE}
        for object_id, prior in priors.items():
            self._check()
            own = None if object_id in uncertain else cells.get(object_id)
            beside = [covered for o, covered in cells.items() if o != object_id]
            others = np.max(np.stack(beside), axis=0) if beside else None
            self._lookalikes_of(object_id).update(frame_idx, prior, own, others)

    def has_lookalikes(self, object_ids: Sequence[int]) -> bool:
        """Whether any of the objects has lookalikes, which are followed while the object is not seen, too."""
        return any(o in self._lookalikes and self._lookalikes[o].any for o in object_ids)

    def _lookalikes_of(self, object_id: int) -> Lookalikes:
        return self._lookalikes.setdefault(object_id, Lookalikes())

    def forget(self, before: int) -> None:
        """Features of frames before this one are no longer wanted."""
        self._memory.forget(before)
        for lookalikes in self._lookalikes.values():
            lookalikes.forget(before)

    def _frame(self, frame_idx: int) -> UInt8Array:
        return np.asarray(self._video.read(frame_idx, frame_idx + 1)[0])
