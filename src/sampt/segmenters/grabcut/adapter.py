"""The segmenter itself: window, logits, cut, score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from sampt import geometry
from sampt.backends.table import SEGMENTERS
from sampt.errors import BackendError
from sampt.segmenters.base import SegmenterInfo, check_prompt
from sampt.segmenters.grabcut import score as scoring
from sampt.segmenters.grabcut.cut import min_cut
from sampt.segmenters.grabcut.unary import Evidence, FrameFeatures, extract_features, gather_evidence, unary_features
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["GrabCutSegmenter", "GrabCutSettings"]

Window = tuple[slice, slice]

MAX_LOGIT = 8.0


@dataclass(frozen=True)
class GrabCutSettings:
    """Constants found on DAVIS-2016 train with points carried by optical flow (`tools/tune_grabcut.py`).

    Attributes:
        longest_side: of the working frame, in pixels; smaller frames are worked on as they are.
        weights: of :data:`~sampt.segmenters.grabcut.unary.FEATURE_NAMES`; the soft IoU of their sum is highest.
        smoothness: weight of the contour in the cut, in logits a pixel.
        margin_spacings: how far from the positive points an object may reach, in spacings.
        margin_diagonal: the least such distance, as part of the frame's diagonal.
        prior_points: a previous prediction counts like so many points.
    """

    longest_side: int = 256
    weights: tuple[float, ...] = (0.321, 0.084, 0.294, 0.107, 1.587, -0.151, -0.791, -2.064, -0.788, -0.834, -1.357)
    smoothness: float = 5.0
    margin_spacings: float = 3.0
    margin_diagonal: float = 0.1
    prior_points: float = 4.0


class GrabCutSegmenter:
    """Point-promptable segmentation from classical parts; fills :class:`~sampt.segmenters.base.PromptableSegmenter`.

    Densities of the points in position and colour give a logit for every pixel (:mod:`.unary`), an exact minimum cut gives the
    mask (:mod:`.cut`), a linear model of what the mask looks like the predicted IoU (:mod:`.score`). ``low_res_logits`` are
    (hl, wl) float32 at the working size. No randomness, no state.
    """

    def __init__(self, settings: GrabCutSettings | None = None) -> None:
        self._settings = settings or GrabCutSettings()

    @property
    def info(self) -> SegmenterInfo:
        return SEGMENTERS["grabcut"].info

    def encode(self, frames: UInt8Array) -> Sequence[FrameFeatures]:
        """Colours and edges of (b, h, w, 3) uint8 RGB frames at the working size."""
        size_hw = (frames.shape[1], frames.shape[2])
        low_hw = geometry.size_with_longest_side(size_hw, min(self._settings.longest_side, max(size_hw)))
        return [extract_features(frame, low_hw) for frame in frames]

    def decode(
        self, embedding: FrameFeatures, prompts: Sequence[ObjectPrompt], *, full_size: bool = True
    ) -> list[MaskPrediction]:
        """Predict for the prompts one by one; see :meth:`~sampt.segmenters.base.PromptableSegmenter.decode`.

        Raises:
            BackendError: a prompt has neither a positive point nor a box, or previous logits of another size.
        """
        return [self._predict_one(embedding, prompt, full_size) for prompt in prompts]

    def _predict_one(self, frame_features: FrameFeatures, prompt: ObjectPrompt, full_size: bool) -> MaskPrediction:
        box = (
            None
            if prompt.box_xyxy is None
            else geometry.rescale_box(prompt.box_xyxy, frame_features.size_hw, frame_features.low_hw)
        )
        evidence = _evidence(frame_features, prompt, box)
        window = self._window(frame_features, evidence, box)
        logits = self._unary(frame_features, evidence, window, box, prompt.mask_logits)
        mask = min_cut(logits, frame_features.edges[window], self._settings.smoothness)
        score = scoring.predict_iou(scoring.score_features(frame_features, evidence, window, logits, mask))
        low_res = np.full(frame_features.low_hw, -MAX_LOGIT, np.float32)
        low_res[window] = _signed_like(mask, logits)
        full = np.asarray(cv2.resize(low_res, frame_features.size_hw[::-1]), np.float32).reshape(
            frame_features.size_hw
        )  # bilinear
        found = full > 0
        return MaskPrediction(
            prompt.object_id,
            score,
            low_res,
            geometry.find_mask_box(found) if np.count_nonzero(found) > 1 else None,
            full if full_size else None,
        )

    def _window(self, frame_features: FrameFeatures, evidence: Evidence, box: FloatArray | None) -> Window:
        """The part of the frame in which the object can be: around the positive points, inside the box."""
        margin = max(
            self._settings.margin_spacings * evidence.spacing,
            self._settings.margin_diagonal * float(np.hypot(*frame_features.low_hw)),
        )
        positive = evidence.xy[: evidence.num_positive]
        low, high = positive.min(0) - margin, positive.max(0) + margin
        if box is not None:
            low, high = np.maximum(low, box[:2]), np.minimum(high, box[2:])
        return geometry.pixels_between(low, high, frame_features.low_hw)

    def _unary(
        self, frame_features: FrameFeatures, evidence: Evidence, window: Window, box: FloatArray | None, prior: Any
    ) -> FloatArray:
        """(h, w) logits in [-8, 8] inside the window."""
        features = unary_features(frame_features, evidence, window)
        logits = np.clip(features @ np.array(self._settings.weights, np.float32), -MAX_LOGIT, MAX_LOGIT)
        if prior is not None:
            fraction = self._settings.prior_points / (self._settings.prior_points + len(evidence.xy))
            logits = (1 - fraction) * logits + np.float32(fraction) * _check_prior(prior, frame_features)[window]
        return np.asarray(logits, np.float32)


def _check_prior(prior: Any, frame_features: FrameFeatures) -> FloatArray:
    array = np.asarray(prior, np.float32)
    if array.shape != frame_features.low_hw:
        raise BackendError(
            f"'grabcut' got mask_logits of shape {array.shape}, expected {frame_features.low_hw}: "
            "pass low_res_logits that it gave for a frame of the same size."
        )
    return np.clip(array, -MAX_LOGIT, MAX_LOGIT)


def _evidence(frame_features: FrameFeatures, prompt: ObjectPrompt, box: FloatArray | None) -> Evidence:
    """The prompt's points at the working size; a box alone stands for points in its middle and on its edge."""
    xy = geometry.rescale_xy(prompt.xy, frame_features.size_hw, frame_features.low_hw)
    is_positive: BoolArray = prompt.is_positive
    check_prompt(prompt, "grabcut")
    if not is_positive.any():
        assert box is not None
        extra, extra_positive = _points_in_box(box)
        xy, is_positive = np.concatenate([xy, extra]), np.concatenate([is_positive, extra_positive])
    return gather_evidence(xy, is_positive, frame_features.low_hw)


def _points_in_box(box_xyxy: FloatArray) -> tuple[FloatArray, BoolArray]:
    """A 3 x 3 grid in the middle of the box, positive, and 16 points along its edge, negative."""
    unit = np.stack(np.meshgrid(*(np.linspace(-1, 1, 5),) * 2), -1).reshape(-1, 2)
    is_positive = np.asarray((np.abs(unit) < 0.9).all(1))
    unit = np.where(is_positive[:, None], unit * 0.8, unit)
    centre, half = (box_xyxy[:2] + box_xyxy[2:]) / 2, (box_xyxy[2:] - box_xyxy[:2] + 1) / 2
    return (centre + unit * half).astype(np.float32), is_positive


def _signed_like(mask: BoolArray, logits: FloatArray) -> FloatArray:
    """Logits with the mask's sign: as sure as before where they agree with it, barely sure where the cut overruled them."""
    sure = np.maximum(np.where(mask, logits, -logits), 0) + 0.5
    return np.clip(np.where(mask, sure, -sure), -MAX_LOGIT, MAX_LOGIT).astype(np.float32)
