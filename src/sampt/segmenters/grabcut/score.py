"""Predicted IoU: what a good mask looks like, as a linear model of a few facts about it.

Fitted to the true IoU on DAVIS-2016 train with points carried by optical flow (`tools/tune_grabcut.py`).
"""

from __future__ import annotations

import cv2
import numpy as np

from sampt.geometry import mask_at
from sampt.segmenters.grabcut.unary import Evidence, FrameFeatures
from sampt.types import BoolArray, FloatArray

__all__ = ["SCORE_FEATURES", "predict_iou", "score_features"]

SCORE_FEATURES = (
    "positives inside",
    "negatives outside",
    "soft IoU",
    "margin along the contour",
    "colour contrast along the contour",
    "roundness",
    "log positives",
    "spacing to size",
    "part of the window",
    "constant",
)
WEIGHTS = (0.276, 0.207, 0.814, 0.238, 0.051, -0.076, 0.031, 0.101, 0.048, -0.348)


def score_features(
    frame_features: FrameFeatures, evidence: Evidence, window: tuple[slice, slice], logits: FloatArray, mask: BoolArray
) -> FloatArray:
    """(10,) float32, named by :data:`SCORE_FEATURES`; the last is 1."""
    area = int(np.count_nonzero(mask))
    if not area:
        return np.zeros(len(SCORE_FEATURES), np.float32)
    whole = np.zeros(frame_features.low_hw, np.bool_)
    whole[window] = mask
    inside = mask_at(whole, evidence.xy)
    probability = 1 / (1 + np.exp(-logits))
    soft = float(probability[mask].sum() / (area + probability[~mask].sum()))
    byte = np.ascontiguousarray(mask, np.uint8)
    kernel = np.ones((5, 5), np.uint8)
    inner = mask & (cv2.erode(byte, kernel, borderType=cv2.BORDER_CONSTANT, borderValue=1) == 0)
    outer = ~mask & (cv2.dilate(byte, kernel) > 0)
    margin = contrast = 0.0
    if inner.any() and outer.any():
        color = frame_features.color[window]
        margin = float(np.tanh(logits[inner] / 2).mean() - np.tanh(logits[outer] / 2).mean())
        contrast = float(np.log1p(np.abs(color[inner].mean(0) - color[outer].mean(0)).sum()))
    num_positive = evidence.num_positive
    return np.array(
        [
            inside[:num_positive].mean(),
            1 - inside[num_positive:].mean(),
            soft,
            margin,
            contrast,
            np.log(max(int(inner.sum()), 1) ** 2 / area),
            np.log(num_positive),
            np.log(evidence.spacing**2 * num_positive / area),
            np.log(area / mask.size),
            1.0,
        ],
        np.float32,
    )


def predict_iou(features: FloatArray) -> float:
    """The score in [0, 1]; 0 for an empty mask."""
    if not features.any():
        return 0.0
    return float(np.clip(features @ np.array(WEIGHTS, np.float32), 0.0, 1.0))
