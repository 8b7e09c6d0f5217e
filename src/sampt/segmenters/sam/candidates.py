"""All masks of the Segment Anything family for single points: the three that it has for what a point may mean, instead of one.

HQ-SAM predicts the best of the three, refined, as its own "everything" program does by default.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from sampt.segmenters.automatic import AutomaticMaskConfig, Candidate, compute_stability, is_likely
from sampt.segmenters.sam.prompts import PromptBatch
from sampt.segmenters.sam.resizing import Fit, find_boxes, upsample
from sampt.types import FloatArray, ObjectPrompt

__all__ = ["find_candidates"]

_MAX_TOGETHER = 16
"""Points decoded at a time: each takes some 50 MB in between."""
_MAX_LOGITS = 1 << 25
"""Full-size logits made at a time on the device, but at least one mask's."""


def find_candidates(
    predict: Callable[[PromptBatch], tuple[Tensor, Tensor]],
    batch: Callable[[Sequence[ObjectPrompt]], PromptBatch],
    fit: Fit,
    points_xy: FloatArray,
    config: AutomaticMaskConfig,
) -> list[Candidate]:
    """See :meth:`sampt.segmenters.automatic.CandidateSegmenter.candidates`; to be called in inference mode.

    Only masks that pass by their predicted IoU are made at the frame's size, and only those that are stable leave the device.

    Args:
        predict: predicts for one frame: low-resolution logits (n, k, m, m) and predicted IoU (n, k) of a batch.
        batch: makes a batch of prompts.
        fit: of the frame.
        points_xy: (n, 2) on the frame.
        config: whose score and stability thresholds are applied.
    """
    found: list[Candidate] = []
    for start in range(0, len(points_xy), _MAX_TOGETHER):
        prompt_xy = points_xy[start : start + _MAX_TOGETHER]
        logits, iou = predict(batch([ObjectPrompt(1, xy[None], np.ones(1, np.bool_)) for xy in prompt_xy]))
        scores = iou.float().cpu().numpy()
        point, mask = np.nonzero(is_likely(scores, config))
        likely = logits[_index(point, logits), _index(mask, logits)]
        found += _stable(likely, scores[point, mask], prompt_xy[point], fit, config)
    return found


def _stable(
    low_res: Tensor, scores: FloatArray, points_xy: FloatArray, fit: Fit, config: AutomaticMaskConfig
) -> list[Candidate]:
    """Those of low-resolution logits (n, m, m) whose masks at the frame's size are stable and not empty."""
    size = max(fit.size_hw[0] * fit.size_hw[1], fit.resized_hw[0] * fit.resized_hw[1])
    together = max(1, _MAX_LOGITS // size)
    limits = (config.stability_offset, -config.stability_offset)
    found: list[Candidate] = []
    for start in range(0, len(low_res), together):
        full = upsample(low_res[start : start + together].float(), fit)
        boxes = find_boxes(full).cpu().numpy()
        surely, possibly = ((full > limit).sum((1, 2)).cpu().numpy() for limit in limits)
        stability = compute_stability(surely, possibly)
        kept = np.flatnonzero((stability >= config.stability_threshold) & (boxes[:, 4] > 0))
        masks = (full > 0)[_index(kept, full)].cpu().numpy()
        for k, mask in zip(kept, masks, strict=True):
            at = start + k
            found.append(Candidate.of(mask, boxes[k, :4], float(scores[at]), float(stability[k]), points_xy[at]))
    return found


def _index(positions: np.ndarray, of: Tensor) -> Tensor:
    return torch.from_numpy(positions).to(of.device)
