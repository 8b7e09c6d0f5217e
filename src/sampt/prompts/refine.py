"""Asking the segmenter in several passes (algorithm, section 3); all objects of a frame go together in every pass."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

import numpy as np

from sampt.config import PromptConfig
from sampt.segmenters.base import Passes, PromptableSegmenter, RoundsSegmenter, innermost
from sampt.types import MaskPrediction, ObjectPrompt

__all__ = ["segment_boxed", "segment_prompts"]


def segment_prompts(
    segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt], config: PromptConfig
) -> list[MaskPrediction]:
    """Final predictions, with full-size logits, for all prompts of one frame.

    A prompt that comes with ``mask_logits``, an answer about the frame before say, is first asked with these. Pass 1: positive
    points alone, for their low-resolution logits; a prompt without negative points needs none, and
    ``positives_first`` may switch it off. Pass 2: all points with those logits. Then ``refinement_rounds`` rounds with all
    points, the box and the logits of the round before, as long as the mask has two pixels, and with ``stop_share`` as long as
    more than that share of it changes. Only the last pass of a prompt asks for full-size logits. A segmenter that goes through
    the passes by itself is left to.
    """
    if not prompts:
        return []
    passes = Passes(config.positives_first, config.refinement_rounds, config.stop_share)
    if isinstance(innermost(segmenter), RoundsSegmenter):
        assert isinstance(segmenter, RoundsSegmenter)
        return segmenter.decode_in_rounds(embedding, prompts, passes)
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
    logits = _first_pass(segmenter, embedding, prompts) if passes.positives_first else {}
    current = [dataclasses.replace(p, mask_logits=logits.get(i, p.mask_logits)) for i, p in enumerate(prompts)]
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


def _first_pass(segmenter: PromptableSegmenter, embedding: Any, prompts: Sequence[ObjectPrompt]) -> dict[int, Any]:
    """Low-resolution logits from the positive points alone, by position, for the prompts that have negative points too."""
    mixed = [i for i, prompt in enumerate(prompts) if not prompt.is_positive.all()]
    if not mixed:
        return {}
    positives = [
        ObjectPrompt(p.object_id, p.xy[p.is_positive], p.is_positive[p.is_positive], mask_logits=p.mask_logits)
        for p in (prompts[i] for i in mixed)
    ]
    answers = segmenter.decode(embedding, positives, full_size=False)
    return {i: answer.low_res_logits for i, answer in zip(mixed, answers, strict=True)}
