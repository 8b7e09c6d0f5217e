"""Asking the segmenter in several passes (docs/algorithm.md, "Prompts and masks"); a pass takes all objects of a frame."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any, cast

import numpy as np

from sampt.config import PromptConfig
from sampt.segmenters.base import Passes, PromptableSegmenter, RoundsSegmenter
from sampt.types import MaskPrediction, ObjectPrompt

__all__ = ["segment_boxed", "segment_prompts"]


def segment_prompts(
    segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt], config: PromptConfig
) -> list[MaskPrediction]:
    """Final predictions, with full-size logits, for all prompts of one frame.

    A prompt that comes with ``mask_logits``, those of the frame before say, begins with these. With ``positives_first`` there
    is a pass 1 with the positive points alone, for their low-resolution logits, also for a prompt that has no others: the
    settings decide, not what is visible. Pass 2: all points with those logits. Then ``refinement_rounds`` rounds with all
    points, the box and the logits of the round before, as long as the mask has two pixels, and with ``stop_share`` as long as
    more than that share of it changes. Only the last pass of a prompt gives full-size logits. A segmenter that goes through the
    passes by itself is left to.
    """
    if not prompts:
        return []
    passes = Passes(config.positives_first, config.refinement_rounds, config.stop_share)
    if segmenter.info.has_refinement:
        return cast(RoundsSegmenter, segmenter).decode_in_rounds(embedding, prompts, passes)
    return _pass_by_pass(segmenter, embedding, prompts, passes)


def segment_boxed(segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt]) -> list[MaskPrediction]:
    """Final predictions, with full-size logits, for prompts with a box that a person drew: each is asked twice, the second time
    with the first answer. The box stays as it is, where refinement would take that of the answer.
    """
    if not prompts:
        return []
    first = segmenter.decode(embedding, prompts, full_size=False)
    again = [dataclasses.replace(p, mask_logits=a.low_res_logits) for p, a in zip(prompts, first, strict=True)]
    return segmenter.decode(embedding, again)


def _pass_by_pass(
    segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt], passes: Passes
) -> list[MaskPrediction]:
    current = _with_first_pass(segmenter, embedding, prompts) if passes.positives_first else list(prompts)
    looks_on = passes.stop_share is not None  # what changes is seen at full size
    answers = segmenter.decode(embedding, current, full_size=looks_on or passes.rounds == 0)
    is_open = [True] * len(prompts)
    for i in range(passes.rounds):
        last = i == passes.rounds - 1
        asked = [n for n, answer in enumerate(answers) if is_open[n] and answer.box_xyxy is not None]
        refined = [
            dataclasses.replace(prompts[n], box_xyxy=answers[n].box_xyxy, mask_logits=answers[n].low_res_logits) for n in asked
        ]
        # One that ended early (no two pixels left) is asked its last question again at the end, for the full size.
        ended = [n for n in range(len(prompts)) if n not in asked and answers[n].logits is None] if last else []
        questions = refined + [current[n] for n in ended]
        replies = segmenter.decode(embedding, questions, full_size=looks_on or last) if questions else []
        for n, reply in zip(asked, replies, strict=False):
            is_open[n] = passes.stop_share is None or _is_changed(answers[n], reply, passes.stop_share)
        for n, reply in zip(asked + ended, replies, strict=True):
            answers[n] = reply
        for n, prompt in zip(asked, refined, strict=True):
            current[n] = prompt
    return answers


def _is_changed(before: MaskPrediction, after: MaskPrediction, share: float) -> bool:
    """Whether more of the pixels change sides than this share of the mask."""
    assert before.logits is not None
    assert after.logits is not None
    was, has = before.logits > 0, after.logits > 0
    return bool(np.count_nonzero(was ^ has) > share * max(np.count_nonzero(was), np.count_nonzero(has)))


def _with_first_pass(segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt]) -> list[ObjectPrompt]:
    """The prompts with the low-resolution logits that their positive points alone give."""
    positives = [dataclasses.replace(p.only_positive(), box_xyxy=None) for p in prompts]
    answers = segmenter.decode(embedding, positives, full_size=False)
    return [dataclasses.replace(p, mask_logits=a.low_res_logits) for p, a in zip(prompts, answers, strict=True)]
