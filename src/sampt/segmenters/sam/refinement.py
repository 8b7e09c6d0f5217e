"""The passes about one frame (docs/algorithm.md, "Prompts and masks") without leaving the device: what
:mod:`sampt.prompts.refine` does for any segmenter by way of predictions on the host."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from sampt.segmenters.base import RefinementPlan
from sampt.segmenters.sam.prompts import PromptBatch
from sampt.segmenters.sam.resizing import Fit, find_boxes_low_res
from sampt.types import ObjectPrompt

__all__ = ["Predict", "PromptContext", "predict_with_refinement"]

Predict = Callable[[PromptBatch], tuple[Tensor, Tensor]]
"""Low-resolution logits (n, 1, m, m) and predicted IoU (n, 1) of a batch."""


@dataclass(frozen=True)
class PromptContext:
    """How the network is prompted for one frame.

    Attributes:
        predict: runs it.
        batch: makes a batch of prompts.
        fit: of the frame.
        ends_boxes: see :meth:`PromptBatch.with_boxes`.
        logit_limit: logits go back cut to within plus and minus this; None as they are.
    """

    predict: Predict
    batch: Callable[[Sequence[ObjectPrompt]], PromptBatch]
    fit: Fit
    ends_boxes: bool
    logit_limit: float | None

    def limited(self, logits: Tensor) -> Tensor:
        """As they go into the next step."""
        return logits if self.logit_limit is None else logits.clamp(-self.logit_limit, self.logit_limit)


def predict_with_refinement(
    context: PromptContext, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
) -> tuple[Tensor, Tensor]:
    """Low-resolution logits (n, 1, m, m) and predicted IoU (n, 1) after the last pass of every prompt; none has a box."""
    points = _with_first_pass(context, prompts, plan)
    logits, iou = context.predict(points)
    is_open = torch.ones(len(prompts), dtype=torch.bool, device=logits.device)
    everyone = torch.arange(len(prompts), device=logits.device)
    # The host has to know who is left only where that is free, or where it can end refinement early.
    drops_out = logits.device.type == "cpu" or plan.stop_fraction is not None
    for _ in range(plan.steps):
        boxes = find_boxes_low_res(logits[:, 0], context.fit)
        is_open = is_open & (boxes[:, 4] > 1)
        rows = everyone[is_open] if drops_out else everyone
        if not len(rows):
            break
        again, again_iou = context.predict(_with_last_prediction(context, points.at(rows), boxes[rows], logits[rows]))
        is_changed = _is_changed(logits[rows], again, plan.stop_fraction) if plan.stop_fraction is not None else None
        keep = is_open[rows].view(-1, 1, 1, 1)
        logits = logits.index_copy(0, rows, torch.where(keep, again, logits[rows]))
        iou = iou.index_copy(0, rows, torch.where(keep[:, :, 0, 0], again_iou, iou[rows]))
        if is_changed is not None:
            is_open = is_open.index_copy(0, rows, is_changed)
    return logits, iou


def _with_first_pass(context: PromptContext, prompts: Sequence[ObjectPrompt], plan: RefinementPlan) -> PromptBatch:
    """All points of the prompts, with the logits that the positive ones alone give where the passes begin so."""
    points = context.batch(prompts)
    if not plan.positives_first:
        return points
    positives = [p.only_positive() for p in prompts]
    logits, _ = context.predict(context.batch(positives))
    return points.with_masks(context.limited(logits), torch.ones_like(points.has_mask))


def _with_last_prediction(context: PromptContext, points: PromptBatch, boxes: Tensor, logits: Tensor) -> PromptBatch:
    """The points with boxes (n, 5) in pixels of the frame and the logits (n, 1, m, m) that they are of."""
    corners = context.fit.scale_corners(boxes[:, :4].view(-1, 2, 2))
    boxed = points.with_boxes(corners, ends_boxes=context.ends_boxes)
    return boxed.with_masks(context.limited(logits), torch.ones_like(points.has_mask))


def _is_changed(before: Tensor, after: Tensor, fraction: float) -> Tensor:
    """(n,): whether more of the low-resolution pixels change sides than this fraction of the mask."""
    was, has = before > 0, after > 0
    return (was ^ has).sum((1, 2, 3)) > fraction * torch.maximum(was.sum((1, 2, 3)), has.sum((1, 2, 3)))
