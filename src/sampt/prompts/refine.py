"""Prompting the segmenter in several passes (docs/algorithm.md, "Prompts and masks"); a pass takes all objects of a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from sampt.config import PromptConfig
from sampt.segmenters.base import PromptableSegmenter, RefinementPlan, RefiningSegmenter
from sampt.types import MaskPrediction, ObjectPrompt

__all__ = ["segment_box", "segment_prompts"]


def segment_prompts(
    segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt], config: PromptConfig
) -> list[MaskPrediction]:
    """Final predictions, with full-size logits, for all prompts of one frame.

    A prompt that comes with ``mask_logits``, those of the frame before say, begins with these. With ``positives_first`` there
    is a pass 1 with the positive points alone, for their low-resolution logits, also for a prompt that has no others: the
    settings decide, not what is visible. Pass 2: all points with those logits. Then ``refinement_steps`` steps with all
    points, the box and the logits of the step before, as long as the mask has two pixels, and with ``stop_fraction`` as long as
    more than that fraction of it changes. Only the last pass of a prompt gives full-size logits. A segmenter that goes through
    the passes by itself is left to.
    """
    if not prompts:
        return []
    plan = RefinementPlan(config.positives_first, config.refinement_steps, config.stop_fraction)
    if segmenter.info.has_refinement:
        return cast(RefiningSegmenter, segmenter).decode_with_refinement(embedding, prompts, plan)
    return _pass_by_pass(segmenter, embedding, prompts, plan)


def segment_box(segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt]) -> list[MaskPrediction]:
    """Final predictions, with full-size logits, for prompts with a box that a person drew: each is prompted twice, the second
    time with the first prediction. The box stays as it is, where refinement would take that of the prediction.
    """
    if not prompts:
        return []
    first = segmenter.decode(embedding, prompts, full_size=False)
    again = [dataclasses.replace(p, mask_logits=a.low_res_logits) for p, a in zip(prompts, first, strict=True)]
    return segmenter.decode(embedding, again)


def _pass_by_pass(
    segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
) -> list[MaskPrediction]:
    current = _with_first_pass(segmenter, embedding, prompts) if plan.positives_first else list(prompts)
    is_watched = plan.stop_fraction is not None  # what changes is seen at full size
    predictions = segmenter.decode(embedding, current, full_size=is_watched or plan.steps == 0)
    is_open = [True] * len(prompts)
    for i in range(plan.steps):
        last = i == plan.steps - 1
        prompted = [n for n, prediction in enumerate(predictions) if is_open[n] and prediction.box_xyxy is not None]
        refined = [
            dataclasses.replace(prompts[n], box_xyxy=predictions[n].box_xyxy, mask_logits=predictions[n].low_res_logits)
            for n in prompted
        ]
        # One that ended early (no two pixels left) gets its last prompt again at the end, for the full size.
        ended = [n for n in range(len(prompts)) if n not in prompted and predictions[n].logits is None] if last else []
        next_prompts = refined + [current[n] for n in ended]
        replies = segmenter.decode(embedding, next_prompts, full_size=is_watched or last) if next_prompts else []
        for n, reply in zip(prompted, replies, strict=False):
            is_open[n] = plan.stop_fraction is None or _is_changed(predictions[n], reply, plan.stop_fraction)
        for n, reply in zip(prompted + ended, replies, strict=True):
            predictions[n] = reply
        for n, prompt in zip(prompted, refined, strict=True):
            current[n] = prompt
    return predictions


def _is_changed(before: MaskPrediction, after: MaskPrediction, fraction: float) -> bool:
    """Whether more of the pixels change sides than this fraction of the mask."""
    assert before.logits is not None
    assert after.logits is not None
    was, has = before.logits > 0, after.logits > 0
    return bool(np.count_nonzero(was ^ has) > fraction * max(np.count_nonzero(was), np.count_nonzero(has)))


def _with_first_pass(segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt]) -> list[ObjectPrompt]:
    """The prompts with the low-resolution logits that their positive points alone give."""
    positives = [dataclasses.replace(p.only_positive(), box_xyxy=None) for p in prompts]
    predictions = segmenter.decode(embedding, positives, full_size=False)
    return [dataclasses.replace(p, mask_logits=a.low_res_logits) for p, a in zip(prompts, predictions, strict=True)]
