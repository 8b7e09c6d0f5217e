"""Prompts about one frame as tensors that make one batch.

A point is a token; so is each corner of a box; without a box the official programs add one that stands for nothing, and that of
SAM 2 does so with a box, too. More of those would change the prediction. Prompts of unequal length are therefore filled up with
tokens that nobody looks at (:mod:`sampt.segmenters.sam.two_way`), not with tokens for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.checks import shape_repr
from sampt.errors import BackendError
from sampt.segmenters.base import check_prompt
from sampt.segmenters.sam.resizing import Fit
from sampt.types import FloatArray, IntArray, ObjectPrompt

__all__ = ["FILLER", "NOTHING", "PromptBatch", "make_batch"]

PRIOR_SCALE = 2.0
"""Log odds of the object memory, at most 6, times this are like the network's own logits, which reach 10 to 20."""

FILLER, NOTHING, NEGATIVE, POSITIVE, FIRST_CORNER, LAST_CORNER = range(-2, 4)


@dataclass(frozen=True, eq=False)
class PromptBatch:
    """n prompts with t tokens each.

    Attributes:
        xy: (n, t, 2) float32, pixels of the network's square.
        kinds: (n, t) int64: -2 nobody looks at it, -1 nothing, 0 negative point, 1 positive point, 2 and 3 first and last
            corner of a box.
        masks: (n, 1, m, m) float32 previous low-resolution logits, or None when no prompt has any.
        has_mask: (n,) bool, where ``masks`` counts.
        is_filled: whether there may be tokens of kind -2.
    """

    xy: Tensor
    kinds: Tensor
    masks: Tensor | None
    has_mask: Tensor
    is_filled: bool = False

    __repr__ = shape_repr

    def with_boxes(self, corners_xy: Tensor, *, ends_boxes: bool) -> PromptBatch:
        """The same n prompts, which have no box yet, with one.

        Args:
            corners_xy: (n, 2, 2) first and last corner, pixels of the network's square.
            ends_boxes: the token that stands for nothing stays, as in SAM 2.
        """
        kept = slice(0 if ends_boxes else 1, None)  # the token for nothing is the first
        boxes = torch.tensor([FIRST_CORNER, LAST_CORNER], device=self.kinds.device).expand(len(self.kinds), -1)
        return replace(
            self,
            xy=torch.cat([self.xy[:, kept], corners_xy.to(self.xy.dtype)], 1),
            kinds=torch.cat([self.kinds[:, kept], boxes], 1),
        )

    def with_masks(self, masks: Tensor, has_mask: Tensor) -> PromptBatch:
        """The same prompts with other previous logits (n, 1, m, m), where ``has_mask`` (n,) says so."""
        return replace(self, masks=masks, has_mask=has_mask)

    def alone(self, k: int) -> PromptBatch:
        """One of the prompts, without tokens to fill up."""
        one = self.at(slice(k, k + 1))
        used = one.kinds[0] != FILLER
        return replace(one, xy=one.xy[:, used], kinds=one.kinds[:, used], is_filled=False) if self.is_filled else one

    def at(self, rows: Tensor | slice) -> PromptBatch:
        """Some of the prompts, by their positions (k,)."""
        masks = None if self.masks is None else self.masks[rows]
        return replace(self, xy=self.xy[rows], kinds=self.kinds[rows], masks=masks, has_mask=self.has_mask[rows])


def make_batch(
    prompts: Sequence[ObjectPrompt],
    fit: Fit,
    mask_side: int,
    device: torch.device,
    name: str,
    *,
    ends_boxes: bool = False,
) -> PromptBatch:
    """Prompts of any lengths for the segmenter called ``name``.

    Raises:
        BackendError: a prompt has neither a positive point nor a box, or logits of another size.
    """
    tokens = [_tokens(prompt, fit, name, ends_boxes) for prompt in prompts]
    limit = max(len(kinds) for _, kinds in tokens)
    xy = np.zeros((len(prompts), limit, 2), np.float32)
    kinds = np.full((len(prompts), limit), FILLER, np.int64)
    for k, (locations, of_kind) in enumerate(tokens):
        xy[k, : len(locations)], kinds[k, : len(locations)] = locations, of_kind
    masks = [_mask(prompt, fit, mask_side, device, name) for prompt in prompts]
    some = any(mask is not None for mask in masks)
    zero = torch.zeros(1, mask_side, mask_side, device=device) if some else None
    return PromptBatch(
        torch.from_numpy(xy).to(device),
        torch.from_numpy(kinds).to(device),
        torch.stack([zero if mask is None else mask for mask in masks]) if zero is not None else None,
        torch.tensor([mask is not None for mask in masks], device=device),
        is_filled=any(len(of_kind) < limit for _, of_kind in tokens),
    )


def _tokens(prompt: ObjectPrompt, fit: Fit, name: str, ends_boxes: bool) -> tuple[FloatArray, IntArray]:
    """(t, 2) locations in the square and (t,) kinds."""
    check_prompt(prompt, name)
    box = prompt.box_xyxy
    corners = np.zeros((0, 2), np.float32) if box is None else fit.scale_xy(box.reshape(2, 2))
    ends = 1 if box is None or ends_boxes else 0
    xy = np.concatenate([np.zeros((ends, 2), np.float32), fit.scale_xy(prompt.xy), corners])
    kinds = [NOTHING] * ends + [POSITIVE if sign else NEGATIVE for sign in prompt.is_positive]
    return xy, np.array(kinds + [FIRST_CORNER, LAST_CORNER][: len(corners)], np.int64)


def _mask(prompt: ObjectPrompt, fit: Fit, side: int, device: torch.device, name: str) -> Tensor | None:
    """(1, side, side) previous logits of a prompt, if it has any; else what the object memory says, as such."""
    if prompt.mask_logits is None:
        return None if prompt.prior is None else _prior_logits(torch.tensor(prompt.prior), fit, side).to(device)
    logits = torch.as_tensor(prompt.mask_logits)
    if tuple(logits.shape) != (side, side):
        raise BackendError(
            f"{name!r} got mask_logits of shape {tuple(logits.shape)}, expected {(side, side)}: "
            "pass low_res_logits that it gave."
        )
    return logits.to(device, torch.float32)[None]


def _prior_logits(prior: Tensor, fit: Fit, side: int) -> Tensor:
    """(1, side, side) low-resolution logits by the (h', w') log odds of the object memory; outside the frame, the lowest."""
    height, width = (max(1, round(length * side / fit.side)) for length in fit.resized_hw)
    seen = F.interpolate(prior[None, None].float(), (height, width), mode="bilinear", align_corners=False)[0]
    padded = F.pad(seen, (0, side - width, 0, side - height), value=float(prior.min()))
    return PRIOR_SCALE * padded
