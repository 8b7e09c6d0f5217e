"""The segmenter: where to look, what to ask, and the answer at the frame's size."""

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
from sampt.segmenters.nano.answer import MAX_LOGIT, LowResolution, at_frame_size, obey, obey_at_pixels, of_mask
from sampt.segmenters.nano.questions import Question, batches, points_within, prompt_arrays, question_of
from sampt.segmenters.nano.runtime import Positions, Runtime
from sampt.segmenters.nano.settings import NanoSettings
from sampt.segmenters.nano.windows import Encoded, View, Window, mass_extent, place_window, places_of, robust_extent
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["NanoSegmenter"]


class NanoSegmenter:
    """Point-promptable segmentation by the bundled network; fills :class:`~sampt.segmenters.base.PromptableSegmenter`.

    A first look, at a window around the points or at most of the frame when they are few, finds roughly where the object is; a
    second, around what was found, answers. ``low_res_logits`` are :class:`LowResolution`. No randomness, no state.
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
        """Answer all prompts in batches; see :meth:`~sampt.segmenters.base.PromptableSegmenter.decode`.

        Raises:
            BackendError: a prompt has neither a positive point nor a box, or logits that are no answer of this segmenter about
                a frame of this size.
        """
        size = self._settings.batch
        answers: list[MaskPrediction] = []
        for start in range(0, len(prompts), size):
            answers += self._decode(embedding, prompts[start : start + size], full_size)
        return answers

    def make_mask_logits(self, mask: BoolArray) -> LowResolution:
        """See :meth:`~sampt.segmenters.base.MaskSegmenter.make_mask_logits`."""
        return of_mask(mask, self._settings)

    def candidates(self, embedding: Encoded, points_xy: FloatArray, config: AutomaticMaskConfig) -> list[Candidate]:
        """See :meth:`~sampt.segmenters.automatic.CandidateSegmenter.candidates`: one mask a point, without saliency.

        A thousand points about everything there is do not ask for what stands out.
        """
        return list(single_masks(self._without_saliency, embedding, points_xy, config, embedding.size_hw))

    @functools.cached_property
    def _without_saliency(self) -> NanoSegmenter:
        if not self._settings.saliency:
            return self
        return NanoSegmenter(self._runtime, replace(self._settings, saliency=False), name=self._name)

    def _decode(self, encoded: Encoded, prompts: Sequence[ObjectPrompt], full_size: bool) -> list[MaskPrediction]:
        questions = [question_of(prompt, encoded.size_hw) for prompt in prompts]
        found = self._first_look(encoded, questions)
        s = self._settings
        windows = [self._window_around(q, low, s.mask_extent, s.side) for q, low in zip(questions, found, strict=True)]
        again = [replace(self._without_repeats(q, low), previous=low) for q, low in zip(questions, found, strict=True)]
        answers, scores = self._ask(encoded, again, windows, s.side, saliency=s.saliency)

        def predict(k: int) -> MaskPrediction:
            obedient = obey(prompts[k], answers[k], self._settings.click_radius)
            return self._prediction(encoded, prompts[k], obedient, float(scores[k]), full_size)

        # OpenCV works on one object in one thread for the most part, and without the interpreter's lock.
        return list(self._workers.map(predict, range(len(prompts)))) if len(prompts) > 1 else [predict(0)]

    def _first_look(self, encoded: Encoded, questions: Sequence[Question]) -> list[LowResolution]:
        """The answer with the best score of those in each question's first windows."""
        s = self._settings
        apart = s.first_apart * max(encoded.size_hw)
        thinned = [q if q.previous is not None else self._without_neighbours(q, apart) for q in questions]
        best: dict[int, tuple[float, LowResolution]] = {}
        for saliency in (False, True):
            asked = [
                (k, window)
                for k, q in enumerate(questions)
                if self._needs_saliency_first(q) is saliency
                for window in self._first_windows(q, encoded.size_hw)
            ]
            windows = [window for _, window in asked]
            answers, scores = self._ask(encoded, [thinned[k] for k, _ in asked], windows, s.first_side, saliency=saliency)
            for (k, _), answer, score in zip(asked, answers, scores, strict=True):
                if k not in best or score > best[k][0]:
                    best[k] = (float(score), answer)
        return [best[k][1] for k in range(len(questions))]

    def _needs_saliency_first(self, question: Question) -> bool:
        """Whether little is known of the object's extent."""
        s = self._settings
        few = np.count_nonzero(question.is_positive) <= s.saliency_first
        return bool(s.saliency and few and question.previous is None)

    def _without_neighbours(self, question: Question, apart: float, covered: BoolArray | None = None) -> Question:
        """Without positive points within ``apart`` frame pixels of an earlier one, when they are few.

        The network takes many points near each other for a small object; a person who clicks twice means no such thing.

        Args:
            question: about one object.
            apart: frame pixels.
            covered: (k,) points that may be left out (default: all).
        """
        positive = np.flatnonzero(question.is_positive)
        if not 1 < len(positive) <= self._settings.few_points:
            return question
        kept = list(np.flatnonzero(~question.is_positive))
        counted: list[int] = []
        for i in positive:
            near = np.linalg.norm(question.xy[counted] - question.xy[i], axis=1) <= apart
            if not near.any() or (covered is not None and not covered[i]):
                counted.append(int(i))
        order = np.sort(kept + counted)
        return replace(question, xy=question.xy[order], is_positive=question.is_positive[order])

    def _without_repeats(self, question: Question, found: LowResolution) -> Question:
        """Without the clicks beside another one that the mask found covers anyway: these say nothing new."""
        at = np.floor(found.window.to_window(question.xy)).astype(int)
        side = found.logits.shape[0]
        inside = ((at >= 0) & (at < side)).all(1)
        covered = np.zeros(len(at), bool)
        covered[inside] = found.logits[at[inside, 1], at[inside, 0]] > 0
        return self._without_neighbours(question, self._settings.apart * max(found.size_hw), covered)

    def _first_windows(self, question: Question, size_hw: tuple[int, int]) -> list[Window]:
        """Around the box, the previous mask or the points; at several sizes when these do not tell the object's."""
        s = self._settings
        positive = question.xy[question.is_positive]
        low: Positions
        high: Positions
        if question.box is not None:
            low, high = question.box[:2], question.box[2:]
        elif question.previous is not None and (question.previous.logits > 0).any():
            return [self._window_around(question, question.previous, s.mask_extent, s.first_side)]
        elif len(positive) > s.few_points:
            low, high = robust_extent(positive)
        else:
            # However close to each other, a few clicks say no more of the object's size than one.
            centre = (positive.min(0) + positive.max(0)) / 2
            spread = float((positive.max(0) - positive.min(0)).max())
            longest = max(size_hw)
            # But who clicks three times within a small reach means what is there, not what it sits on.
            close = (s.close_extent,) if len(positive) > 2 and spread < s.first_apart * longest else ()
            sizes = [max(f * longest, spread) for f in (*s.few_extents, *close)]
            return [place_window(size_hw, centre, size, s.first_side, s.shared_longest) for size in sizes]
        size = float((high - low).max())
        return [place_window(size_hw, (low + high) / 2, size * s.points_extent, s.first_side, s.shared_longest)]

    def _window_around(self, question: Question, found: LowResolution, factor: float, side: int) -> Window:
        """Around the mask of an answer and the positive points; where the answer was empty, what it was asked about."""
        mask = np.asarray(found.logits > 0)
        if not mask.any():
            mask = np.ones_like(mask)
            factor = 1.0
        bounds: list[Positions] = [found.window.to_frame(edge) for edge in mass_extent(mask)]
        if question.is_positive.any():
            low, high = robust_extent(question.xy[question.is_positive])
            bounds = [np.minimum(bounds[0], low), np.maximum(bounds[1], high)]
        centre, extent = (bounds[0] + bounds[1]) / 2, float((bounds[1] - bounds[0]).max())
        return place_window(found.size_hw, centre, extent * factor, side, self._settings.shared_longest)

    def _ask(
        self, encoded: Encoded, questions: Sequence[Question], windows: list[Window], side: int, *, saliency: bool
    ) -> tuple[list[LowResolution], FloatArray]:
        """Decode every question in its window."""
        answers: list[LowResolution] = []
        scores: list[FloatArray] = []
        most = self._settings.window_points
        points = [points_within(question, window, side, most) for question, window in zip(questions, windows, strict=True)]
        for part in batches([len(xy) for xy, _ in points], self._settings):
            views = [self._view(q, w, encoded.size_hw, side) for q, w in zip(questions[part], windows[part], strict=True)]
            places = places_of(encoded, windows[part], side, self._runtime, views if saliency else None)
            arrays = prompt_arrays(questions[part], windows[part], points[part], side, encoded.size_hw)
            logits, some_scores = self._runtime.decode(places, side, arrays)
            logits = np.clip(logits, -MAX_LOGIT, MAX_LOGIT)
            answers += [LowResolution(one, w, encoded.size_hw) for one, w in zip(logits, windows[part], strict=True)]
            scores.append(some_scores)
        return answers, np.concatenate(scores) if scores else np.zeros(0, np.float32)

    def _view(self, question: Question, window: Window, size_hw: tuple[int, int], side: int) -> View:
        """What the saliency network looks at: around the box or the positive points, which know nothing of earlier mistakes of
        masks; for few points the window."""
        s = self._settings
        positive = question.xy[question.is_positive]
        if question.box is not None:
            return View.around(question.box[:2], question.box[2:], s.view_margin, size_hw)
        if len(positive) > s.few_points:
            return View.around(*robust_extent(positive), s.view_margin, size_hw)
        corners = window.to_frame(np.array([[0, 0], [side, side]], np.float32))
        return View.around(corners[0], corners[1], 0.0, size_hw)

    def _prediction(
        self, encoded: Encoded, prompt: ObjectPrompt, answer: LowResolution, score: float, full_size: bool
    ) -> MaskPrediction:
        full = at_frame_size(encoded.frame, answer, self._settings)
        obey_at_pixels(prompt, full)
        mask: BoolArray = full > 0
        box = geometry.find_mask_box(mask) if np.count_nonzero(mask) > 1 else None
        return MaskPrediction(prompt.object_id, score, answer, box, full if full_size else None)
