"""Predictions about one frame, one after another: however many objects there are, only some have full-size logits at a time."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sampt.config import PromptConfig
from sampt.prompts.refine import segment_prompts
from sampt.segmenters.base import PromptableSegmenter
from sampt.types import MaskPrediction, ObjectPrompt

__all__ = ["predict_in_parts"]

_MAX_LOGITS = 1 << 24
"""Full-size logits that the segmenter is requested at a time, but at least one object's: 64 MiB, 40 objects at 854x480."""


def predict_in_parts(
    segmenter: PromptableSegmenter,
    embedding: Any,
    prompts: Sequence[ObjectPrompt],
    config: PromptConfig,
    size_hw: tuple[int, int],
) -> Iterator[MaskPrediction]:
    """As :func:`sampt.prompts.refine.segment_prompts` gives them, in order; who needs less than the logits keeps less.

    Args:
        segmenter, embedding, prompts, config: as there.
        size_hw: of the frame.
    """
    together = max(1, _MAX_LOGITS // (size_hw[0] * size_hw[1]))
    for first in range(0, len(prompts), together):
        part = segment_prompts(segmenter, embedding, prompts[first : first + together], config)
        while part:  # taken out, so that nobody holds what has been dealt with
            yield part.pop(0)
