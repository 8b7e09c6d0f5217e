"""Prompts about one frame as tensors: all with equally many tokens make one batch.

A point is a token; so is each corner of a box; without a box the official programs add one that stands for nothing, and that of
SAM 2 does so with a box, too. More of those would change the answer, so prompts are grouped by their number of tokens instead
of padded.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from sampt.errors import BackendError
from sampt.segmenters.base import check_prompt
from sampt.segmenters.sam.picture import Fit
from sampt.types import FloatArray, IntArray, ObjectPrompt

__all__ = ["NOTHING", "PromptBatch", "batch_of", "group"]

NOTHING, NEGATIVE, POSITIVE, FIRST_CORNER, LAST_CORNER = range(-1, 4)


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """n prompts with t tokens each.

    Attributes:
        xy: (n, t, 2) float32, pixels of the network's square.
        kinds: (n, t) int64: -1 nothing, 0 negative point, 1 positive point, 2 and 3 first and last corner of a box.
        masks: (n, 1, m, m) float32 previous low-resolution logits, or None when no prompt has any.
        has_mask: (n,) bool, where ``masks`` counts.
    """

    xy: Tensor
    kinds: Tensor
    masks: Tensor | None
    has_mask: Tensor


def group(prompts: Sequence[ObjectPrompt], most: int, *, ends_boxes: bool = False) -> list[list[int]]:
    """Positions of prompts that can be asked together, at most so many at a time.

    Args:
        prompts: any.
        most: so many.
        ends_boxes: prompts with a box have the token that stands for nothing, too, as in SAM 2.
    """
    with_box = 3 if ends_boxes else 2
    by_length: dict[int, list[int]] = {}
    for k, prompt in enumerate(prompts):
        by_length.setdefault(len(prompt.xy) + (1 if prompt.box_xyxy is None else with_box), []).append(k)
    return [members[i : i + most] for members in by_length.values() for i in range(0, len(members), most)]


def batch_of(
    prompts: Sequence[ObjectPrompt],
    fit: Fit,
    mask_side: int,
    device: torch.device,
    name: str,
    *,
    ends_boxes: bool = False,
) -> PromptBatch:
    """The prompts of one group of :func:`group` for the segmenter called ``name``.

    Raises:
        BackendError: a prompt has neither a positive point nor a box, or logits of another size.
    """
    tokens = [_tokens(prompt, fit, name, ends_boxes) for prompt in prompts]
    masks = [_mask(prompt, mask_side, device, name) for prompt in prompts]
    some = any(mask is not None for mask in masks)
    zero = torch.zeros(1, mask_side, mask_side, device=device) if some else None
    return PromptBatch(
        torch.from_numpy(np.stack([xy for xy, _ in tokens])).to(device),
        torch.from_numpy(np.stack([kinds for _, kinds in tokens])).to(device),
        torch.stack([zero if mask is None else mask for mask in masks]) if zero is not None else None,
        torch.tensor([mask is not None for mask in masks], device=device),
    )


def _tokens(prompt: ObjectPrompt, fit: Fit, name: str, ends_boxes: bool) -> tuple[FloatArray, IntArray]:
    """(t, 2) places in the square and (t,) kinds."""
    check_prompt(prompt, name)
    box = prompt.box_xyxy
    corners = np.zeros((0, 2), np.float32) if box is None else fit.scale_xy(box.reshape(2, 2))
    ends = 1 if box is None or ends_boxes else 0
    xy = np.concatenate([fit.scale_xy(prompt.xy), corners, np.zeros((ends, 2), np.float32)])
    extra = [FIRST_CORNER, LAST_CORNER][: len(corners)] + [NOTHING] * ends
    return xy, np.concatenate([prompt.is_positive.astype(np.int64), np.array(extra, np.int64)])


def _mask(prompt: ObjectPrompt, side: int, device: torch.device, name: str) -> Tensor | None:
    """(1, side, side) previous logits of a prompt, if it has any."""
    if prompt.mask_logits is None:
        return None
    logits = torch.as_tensor(prompt.mask_logits)
    if tuple(logits.shape) != (side, side):
        raise BackendError(
            f"{name!r} got mask_logits of shape {tuple(logits.shape)}, expected {(side, side)}: "
            "pass low_res_logits that it gave."
        )
    return logits.to(device, torch.float32)[None]
