"""The segmenter: which windows, which prompts, and the prediction at the frame's size."""

from __future__ import annotations

import functools
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np

from sampt import geometry
from sampt.backends.table import SEGMENTERS
from sampt.segmenters.automatic import AutomaticMaskConfig, Candidate, single_masks
from sampt.segmenters.base import SegmenterInfo
from sampt.segmenters.nano.low_res_logits import (
    MAX_LOGIT,
    LowResLogits,
    convert_mask,
    enforce_clicks,
    enforce_clicks_at_pixels,
    upsample_to_frame,
)
from sampt.segmenters.nano.prompts import FramePrompt, convert_prompt, select_points, split_batches, stack_prompts
from sampt.segmenters.nano.runtime import Positions, Runtime
from sampt.segmenters.nano.settings import NanoSettings
from sampt.segmenters.nano.windows import (
    Encoded,
    View,
    Window,
    encode_windows,
    find_mass_extent,
    find_robust_extent,
    make_window,
)
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["NanoSegmenter"]


class NanoSegmenter:
    """Point-promptable segmentation by the bundled network; fills :class:`~sampt.segmenters.base.PromptableSegmenter`.

    A coarse prediction, in a window around the points or in most of the frame when they are few, finds roughly where the object
    is; a second one, in a window around what was found, gives the mask. ``low_res_logits`` are :class:`LowResLogits`. No
    randomness, no state.
    """

    def __init__(self, runtime: Runtime, settings: NanoSettings | None = None, *, name: str = "nano") -> None:
        self._runtime = runtime
        self._name = name
        self._settings = settings or NanoSettings()
        self._workers = ThreadPoolExecutor(os.cpu_count() or 1, thread_name_prefix="nano")

    @property
    def info(self) -> SegmenterInfo:
        return replace(SEGMENTERS[self._name].info, device=self._runtime.device)

    def encode(self, frames: UInt8Array) -> Sequence[Encoded]:
        """Take (b, h, w, 3) uint8 RGB frames; each is encoded once at every size at which a prompt first needs it."""
        # Copies where there are several: an embedding that is kept would keep the others' frames, too.
        return [Encoded(frame if len(frames) == 1 else frame.copy()) for frame in frames]

    def embedding_bytes(self, embedding: Encoded) -> int:
        """See :meth:`~sampt.segmenters.base.SizedEmbeddings.embedding_bytes`: the frame and what is encoded of it so far."""
        parts = [part for level in list(embedding.levels.values()) for part in level]
        return int(embedding.frame.nbytes) + sum(int(part.nbytes) for part in parts)

    def decode(self, embedding: Encoded, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        """Predict a mask for each prompt, in batches; see :meth:`~sampt.segmenters.base.PromptableSegmenter.decode`.

        Raises:
            BackendError: a prompt has neither a positive point nor a box, or logits that this segmenter did not predict for a
                frame of this size.
        """
        size = self._settings.batch
        predictions: list[MaskPrediction] = []
        for start in range(0, len(prompts), size):
            predictions += self._decode(embedding, prompts[start : start + size], full_size)
        return predictions

    def make_mask_logits(self, mask: BoolArray) -> LowResLogits:
        """See :meth:`~sampt.segmenters.base.MaskSegmenter.make_mask_logits`."""
        return convert_mask(mask, self._settings)

    def candidates(self, embedding: Encoded, points_xy: FloatArray, config: AutomaticMaskConfig) -> list[Candidate]:
        """See :meth:`~sampt.segmenters.automatic.CandidateSegmenter.candidates`: one mask a point, without saliency.

        A thousand points all over the frame are not about what stands out.
        """
        return list(single_masks(self._without_saliency, embedding, points_xy, config, embedding.size_hw))

    @functools.cached_property
    def _without_saliency(self) -> NanoSegmenter:
        if not self._settings.saliency:
            return self
        return NanoSegmenter(self._runtime, replace(self._settings, saliency=False), name=self._name)

    def _decode(self, encoded: Encoded, prompts: Sequence[ObjectPrompt], full_size: bool) -> list[MaskPrediction]:
        converted = [convert_prompt(prompt, encoded.size_hw) for prompt in prompts]
        coarse = self._predict_coarse(encoded, converted)
        s = self._settings
        windows = [self._make_window_around(p, low, s.mask_extent, s.side) for p, low in zip(converted, coarse, strict=True)]
        refined = [replace(self._drop_repeats(p, low), previous=low) for p, low in zip(converted, coarse, strict=True)]
        low_res, scores = self._predict_windows(encoded, refined, windows, s.side, saliency=s.saliency)

        def predict(k: int) -> MaskPrediction:
            enforced = enforce_clicks(prompts[k], low_res[k], self._settings.click_radius)
            return self._make_prediction(encoded, prompts[k], enforced, float(scores[k]), full_size)

        # OpenCV works on one object in one thread for the most part, and without the interpreter's lock.
        return list(self._workers.map(predict, range(len(prompts)))) if len(prompts) > 1 else [predict(0)]

    def _predict_coarse(self, encoded: Encoded, prompts: Sequence[FramePrompt]) -> list[LowResLogits]:
        """The logits with the best score of those in each prompt's first windows."""
        s = self._settings
        apart = s.first_apart * max(encoded.size_hw)
        thinned = [p if p.previous is not None else self._drop_neighbours(p, apart) for p in prompts]
        best: dict[int, tuple[float, LowResLogits]] = {}
        for saliency in (False, True):
            pairs = [
                (k, window)
                for k, prompt in enumerate(prompts)
                if self._needs_saliency_first(prompt) is saliency
                for window in self._make_first_windows(prompt, encoded.size_hw)
            ]
            windows, indices = [window for _, window in pairs], [k for k, _ in pairs]
            logits, scores = self._predict_windows(
                encoded, [thinned[k] for k in indices], windows, s.first_side, saliency=saliency
            )
            for k, low_res, score in zip(indices, logits, scores, strict=True):
                if k not in best or score > best[k][0]:
                    best[k] = (float(score), low_res)
        return [best[k][1] for k in range(len(prompts))]

    def _needs_saliency_first(self, prompt: FramePrompt) -> bool:
        """Whether little is known of the object's extent."""
        s = self._settings
        few = np.count_nonzero(prompt.is_positive) <= s.saliency_first
        return bool(s.saliency and few and prompt.previous is None)

    def _drop_neighbours(self, prompt: FramePrompt, apart: float, covered: BoolArray | None = None) -> FramePrompt:
        """Without positive points within ``apart`` frame pixels of an earlier one, when they are few.

        The network takes many points near each other for a small object; a person who clicks twice means no such thing.

        Args:
            prompt: about one object.
            apart: frame pixels.
            covered: (k,) points that may be left out (default: all).
        """
        positive = np.flatnonzero(prompt.is_positive)
        if not 1 < len(positive) <= self._settings.few_points:
            return prompt
        kept = list(np.flatnonzero(~prompt.is_positive))
        counted: list[int] = []
        for i in positive:
            near = np.linalg.norm(prompt.xy[counted] - prompt.xy[i], axis=1) <= apart
            if not near.any() or (covered is not None and not covered[i]):
                counted.append(int(i))
        order = np.sort(kept + counted)
        return replace(prompt, xy=prompt.xy[order], is_positive=prompt.is_positive[order])

    def _drop_repeats(self, prompt: FramePrompt, found: LowResLogits) -> FramePrompt:
        """Without the clicks beside another one that the mask found covers anyway: these say nothing new."""
        at = np.floor(found.window.to_window(prompt.xy)).astype(int)
        side = found.logits.shape[0]
        inside = ((at >= 0) & (at < side)).all(1)
        covered = np.zeros(len(at), bool)
        covered[inside] = found.logits[at[inside, 1], at[inside, 0]] > 0
        return self._drop_neighbours(prompt, self._settings.apart * max(found.size_hw), covered)

    def _make_first_windows(self, prompt: FramePrompt, size_hw: tuple[int, int]) -> list[Window]:
        """Around the box, the previous mask or the points; at several sizes when these do not tell the object's."""
        s = self._settings
        positive = prompt.xy[prompt.is_positive]
        low: Positions
        high: Positions
        if prompt.box is not None:
            low, high = prompt.box[:2], prompt.box[2:]
        elif prompt.previous is not None and (prompt.previous.logits > 0).any():
            return [self._make_window_around(prompt, prompt.previous, s.mask_extent, s.first_side)]
        elif len(positive) > s.few_points:
            low, high = find_robust_extent(positive)
        else:
            # However close to each other, a few clicks say no more of the object's size than one.
            centre = (positive.min(0) + positive.max(0)) / 2
            spread = float((positive.max(0) - positive.min(0)).max())
            longest = max(size_hw)
            # But who clicks three times within a small reach means what is there, not what it sits on.
            close = (s.close_extent,) if len(positive) > 2 and spread < s.first_apart * longest else ()
            sizes = [max(f * longest, spread) for f in (*s.few_extents, *close)]
            return [make_window(size_hw, centre, size, s.first_side, s.shared_longest) for size in sizes]
        size = float((high - low).max())
        return [make_window(size_hw, (low + high) / 2, size * s.points_extent, s.first_side, s.shared_longest)]

    def _make_window_around(self, prompt: FramePrompt, found: LowResLogits, factor: float, side: int) -> Window:
        """Around a predicted mask and the positive points; of an empty mask, around the window that it was predicted in."""
        mask = np.asarray(found.logits > 0)
        if not mask.any():
            mask = np.ones_like(mask)
            factor = 1.0
        bounds: list[Positions] = [found.window.to_frame(edge) for edge in find_mass_extent(mask)]
        if prompt.is_positive.any():
            low, high = find_robust_extent(prompt.xy[prompt.is_positive])
            bounds = [np.minimum(bounds[0], low), np.maximum(bounds[1], high)]
        centre, extent = (bounds[0] + bounds[1]) / 2, float((bounds[1] - bounds[0]).max())
        return make_window(found.size_hw, centre, extent * factor, side, self._settings.shared_longest)

    def _predict_windows(
        self, encoded: Encoded, prompts: Sequence[FramePrompt], windows: list[Window], side: int, *, saliency: bool
    ) -> tuple[list[LowResLogits], FloatArray]:
        """Decode every prompt in its window."""
        low_res: list[LowResLogits] = []
        scores: list[FloatArray] = []
        max_points = self._settings.window_points
        points = [select_points(prompt, window, side, max_points) for prompt, window in zip(prompts, windows, strict=True)]
        for part in split_batches([len(xy) for xy, _ in points], self._settings):
            views = [self._choose_view(p, w, encoded.size_hw, side) for p, w in zip(prompts[part], windows[part], strict=True)]
            encoded_windows = encode_windows(encoded, windows[part], side, self._runtime, views if saliency else None)
            arrays = stack_prompts(prompts[part], windows[part], points[part], side, encoded.size_hw)
            logits, some_scores = self._runtime.decode(encoded_windows, side, arrays)
            logits = np.clip(logits, -MAX_LOGIT, MAX_LOGIT)
            low_res += [LowResLogits(one, w, encoded.size_hw) for one, w in zip(logits, windows[part], strict=True)]
            scores.append(some_scores)
        return low_res, np.concatenate(scores) if scores else np.zeros(0, np.float32)

    def _choose_view(self, prompt: FramePrompt, window: Window, size_hw: tuple[int, int], side: int) -> View:
        """The part of the frame that the saliency network sees: around the box or the positive points, which know nothing of
        mistakes of earlier masks; for few points the window."""
        s = self._settings
        positive = prompt.xy[prompt.is_positive]
        if prompt.box is not None:
            return View.around(prompt.box[:2], prompt.box[2:], s.view_margin, size_hw)
        if len(positive) > s.few_points:
            return View.around(*find_robust_extent(positive), s.view_margin, size_hw)
        corners = window.to_frame(np.array([[0, 0], [side, side]], np.float32))
        return View.around(corners[0], corners[1], 0.0, size_hw)

    def _make_prediction(
        self, encoded: Encoded, prompt: ObjectPrompt, low_res: LowResLogits, score: float, full_size: bool
    ) -> MaskPrediction:
        full = upsample_to_frame(encoded.frame, low_res, self._settings)
        enforce_clicks_at_pixels(prompt, full)
        mask: BoolArray = full > 0
        box = geometry.find_mask_box(mask) if np.count_nonzero(mask) > 1 else None
        return MaskPrediction(prompt.object_id, score, low_res, box, full if full_size else None)
