"""The segmenter: where to look, what to ask, and the answer at the frame's size."""

from __future__ import annotations

import functools
import math
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import cv2
import numpy as np
import numpy.typing as npt

from sampt import geometry
from sampt.backends.table import SEGMENTERS
from sampt.errors import BackendError
from sampt.segmenters.automatic import AutomaticMaskConfig, Candidate, single_masks
from sampt.segmenters.base import SegmenterInfo, check_prompt
from sampt.segmenters.nano.runtime import Positions, PromptArrays, Runtime
from sampt.segmenters.nano.sharpen import guided_upsample
from sampt.segmenters.nano.windows import Encoded, View, Window, mass_extent, place_window, places_of, robust_extent
from sampt.types import BoolArray, FloatArray, IntArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["LowResolution", "NanoSegmenter", "NanoSettings"]

MAX_LOGIT = 8.0
SURE_LOGIT = 4.0
OBEYED_LOGIT = 2.0
LEAST_LOGIT = 0.5


@dataclass(frozen=True)
class NanoSettings:
    """Constants chosen on held-out DAVIS-2016 train sequences (`training/segmenter/README.md`).

    Attributes:
        side: of a window in its own pixels, a multiple of 16.
        first_side: likewise of the first windows.
        shared_longest: largest size at which a frame is encoded as a whole; smaller windows are encoded by themselves.
        few_points: up to so many positive points say little of the object's size.
        few_extents: sides of the first windows around these, over the longest side of the frame; the best score counts.
        close_extent: one more of these, for three points or more that all lie within ``first_apart``.
        first_apart: of a few positive points, those this close together count once in the first look; over the longest side.
        apart: likewise in the second look, where the first one's mask covers them both.
        points_extent: side of the first window over the extent of the points when they are more.
        mask_extent: side of the second window over the extent of the mask found in the first.
        click_radius: standard deviation of what a click changes whose sign the network did not give, in pixels of the window.
        sharpen_radius: of the edge filter, in pixels of the window.
        sharpen_epsilon: its least colour variance.
        batch: windows that are decoded together at most.
        batch_points: and these times the points in one of them, at most, but one window at least: what the decoder holds in
            between grows with it, some 90 kB each.
        window_points: of more points in a window as many are left out evenly; negative ones first. The evidence is a mean over
            points, which such a part gives as well, and with a hundred objects nearly all points are other objects'.
        view_margin: what the saliency network sees around the box or the points, over their longer side.
        saliency: whether the saliency network looks at the second windows.
        saliency_first: and, where there is no earlier mask and at most so many positive points, at the first ones.
    """

    side: int = 160
    first_side: int = 128
    shared_longest: int = 453
    few_points: int = 6
    few_extents: tuple[float, ...] = (0.7, 0.5)
    close_extent: float = 0.35
    first_apart: float = 0.1
    apart: float = 0.03
    points_extent: float = 2.0
    mask_extent: float = 1.5
    click_radius: float = 2.5
    sharpen_radius: int = 3
    sharpen_epsilon: float = 3e-4
    batch: int = 16
    batch_points: int = 2560
    window_points: int = 512
    view_margin: float = 0.35
    saliency: bool = True
    saliency_first: int = 8


@dataclass(frozen=True, eq=False)
class LowResolution:
    """An answer at the network's own resolution.

    Attributes:
        logits: (s, s) float32 of the window.
        window: where it lies on the frame.
        size_hw: of the frame.
    """

    logits: FloatArray
    window: Window
    size_hw: tuple[int, int]

    @property
    def nbytes(self) -> int:
        return int(self.logits.nbytes)


@dataclass(frozen=True, eq=False)
class _Question:
    """A prompt in pixels from the frame's corner: points (k, 2), signs, box (4,) of edges or None, previous answer; and which
    share of the points was tracked there."""

    xy: FloatArray
    is_positive: BoolArray
    box: FloatArray | None
    previous: LowResolution | None
    tracked: float = 0.0


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
        s = self._settings
        size_hw = (mask.shape[0], mask.shape[1])
        low, high = mass_extent(mask)
        centre: Positions = (low + high) / 2
        window = place_window(size_hw, centre, float((high - low).max()) * s.mask_extent, s.side, s.shared_longest)
        scale = np.array(window.scale)
        first = window.to_window(np.full(2, 0.5, np.float32)) - 0.5
        matrix = np.array([[scale[0], 0, first[0]], [0, scale[1], first[1]]])
        share = mask.astype(np.float32)
        if scale.min() < 1:  # a pixel of the window is a mean
            reach = (2 * round(0.5 / scale[0] - 0.5) + 1, 2 * round(0.5 / scale[1] - 0.5) + 1)
            share = np.asarray(cv2.blur(share, reach), np.float32)
        seen = cv2.warpAffine(share, matrix, (s.side, s.side), flags=cv2.INTER_LINEAR)
        return LowResolution(np.asarray((2 * seen - 1) * MAX_LOGIT, np.float32), window, size_hw)

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
        questions = [_question(prompt, encoded.size_hw) for prompt in prompts]
        found = self._first_look(encoded, questions)
        s = self._settings
        windows = [self._window_around(q, low, s.mask_extent, s.side) for q, low in zip(questions, found, strict=True)]
        again = [replace(self._without_repeats(q, low), previous=low) for q, low in zip(questions, found, strict=True)]
        answers, scores = self._ask(encoded, again, windows, s.side, saliency=s.saliency)

        def predict(k: int) -> MaskPrediction:
            obedient = self._obey(prompts[k], answers[k])
            return self._prediction(encoded, prompts[k], obedient, float(scores[k]), full_size)

        # OpenCV works on one object in one thread for the most part, and without the interpreter's lock.
        return list(self._workers.map(predict, range(len(prompts)))) if len(prompts) > 1 else [predict(0)]

    def _first_look(self, encoded: Encoded, questions: Sequence[_Question]) -> list[LowResolution]:
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

    def _needs_saliency_first(self, question: _Question) -> bool:
        """Whether little is known of the object's extent."""
        s = self._settings
        few = np.count_nonzero(question.is_positive) <= s.saliency_first
        return bool(s.saliency and few and question.previous is None)

    def _without_neighbours(self, question: _Question, apart: float, covered: BoolArray | None = None) -> _Question:
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

    def _without_repeats(self, question: _Question, found: LowResolution) -> _Question:
        """Without the clicks beside another one that the mask found covers anyway: these say nothing new."""
        at = np.floor(found.window.to_window(question.xy)).astype(int)
        side = found.logits.shape[0]
        inside = ((at >= 0) & (at < side)).all(1)
        covered = np.zeros(len(at), bool)
        covered[inside] = found.logits[at[inside, 1], at[inside, 0]] > 0
        return self._without_neighbours(question, self._settings.apart * max(found.size_hw), covered)

    def _first_windows(self, question: _Question, size_hw: tuple[int, int]) -> list[Window]:
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

    def _window_around(self, question: _Question, found: LowResolution, factor: float, side: int) -> Window:
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
        self, encoded: Encoded, questions: Sequence[_Question], windows: list[Window], side: int, *, saliency: bool
    ) -> tuple[list[LowResolution], FloatArray]:
        """Decode every question in its window."""
        answers: list[LowResolution] = []
        scores: list[FloatArray] = []
        most = self._settings.window_points
        points = [_points_within(question, window, side, most) for question, window in zip(questions, windows, strict=True)]
        for part in _batches([len(xy) for xy, _ in points], self._settings):
            views = [self._view(q, w, encoded.size_hw, side) for q, w in zip(questions[part], windows[part], strict=True)]
            places = places_of(encoded, windows[part], side, self._runtime, views if saliency else None)
            arrays = _prompt_arrays(questions[part], windows[part], points[part], side, encoded.size_hw)
            logits, some_scores = self._runtime.decode(places, side, arrays)
            logits = np.clip(logits, -MAX_LOGIT, MAX_LOGIT)
            answers += [LowResolution(one, w, encoded.size_hw) for one, w in zip(logits, windows[part], strict=True)]
            scores.append(some_scores)
        return answers, np.concatenate(scores) if scores else np.zeros(0, np.float32)

    def _view(self, question: _Question, window: Window, size_hw: tuple[int, int], side: int) -> View:
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

    def _obey(self, prompt: ObjectPrompt, answer: LowResolution) -> LowResolution:
        """The answer with the sign of every certain click that it contradicts around that click."""
        xy, signs = _certain(prompt)
        at = answer.window.to_window(xy + 0.5)
        side = answer.logits.shape[0]
        logits = answer.logits
        for (x, y), sign in zip(at, np.where(signs, 1.0, -1.0), strict=True):
            column, row = math.floor(x), math.floor(y)
            if not (0 <= column < side and 0 <= row < side) or sign * answer.logits[row, column] > 0:
                continue
            axis = np.arange(side) + 0.5
            near = np.exp(-((axis - x)[None] ** 2 + (axis - y)[:, None] ** 2) / (2 * self._settings.click_radius**2))
            logits = logits + np.float32(sign * OBEYED_LOGIT - answer.logits[row, column]) * near.astype(np.float32)
        return answer if logits is answer.logits else replace(answer, logits=np.clip(logits, -MAX_LOGIT, MAX_LOGIT))

    def _prediction(
        self, encoded: Encoded, prompt: ObjectPrompt, answer: LowResolution, score: float, full_size: bool
    ) -> MaskPrediction:
        full = self._at_frame_size(encoded.frame, answer)
        xy, signs = _certain(prompt)
        # The edge filter may have moved a border across a click.
        columns, rows = np.clip(np.rint(xy).astype(int), 0, np.array(full.shape[::-1]) - 1).T
        full[rows, columns] = np.where(
            signs, np.maximum(full[rows, columns], LEAST_LOGIT), np.minimum(full[rows, columns], -LEAST_LOGIT)
        )
        mask: BoolArray = full > 0
        box = geometry.find_mask_box(mask) if np.count_nonzero(mask) > 1 else None
        return MaskPrediction(prompt.object_id, score, answer, box, full if full_size else None)

    def _at_frame_size(self, frame: UInt8Array, look: LowResolution) -> FloatArray:
        """(h, w) logits: those of the window sharpened on the frame, the surest background elsewhere."""
        s = self._settings
        full = np.full(look.size_hw, -MAX_LOGIT, np.float32)
        # What is sure counts no more than what is fairly sure: the filter is to move borders.
        signal = np.clip(look.logits, -SURE_LOGIT, SURE_LOGIT)
        rows, columns = _part_of_interest(look)
        guide = frame[rows, columns]
        if guide.size == 0:
            return full
        low = np.array([columns.start, rows.start], np.float32)
        shrink = np.minimum(np.array(look.window.scale), 1.0)
        size = np.maximum(np.ceil(np.array(guide.shape[1::-1]) * shrink), 1).astype(int)
        step = np.array(guide.shape[1::-1]) / size
        scale = np.array(look.window.scale)
        corner = look.window.to_window(low + step / 2) - 0.5
        matrix = np.array([[step[0] * scale[0], 0, corner[0]], [0, step[1] * scale[1], corner[1]]])
        coarse = cv2.warpAffine(
            signal, matrix, (int(size[0]), int(size[1])), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
            borderMode=cv2.BORDER_REPLICATE,
        )  # fmt: skip
        fine = guided_upsample(np.asarray(coarse, np.float32), guide, s.sharpen_radius, s.sharpen_epsilon)
        full[rows, columns] = fine
        return full


def _certain(prompt: ObjectPrompt) -> tuple[FloatArray, BoolArray]:
    """(k, 2) xy and signs of the points that a person put there; of two at one place the later one counts."""
    return prompt.xy[prompt.is_certain], prompt.is_positive[prompt.is_certain]


def _question(prompt: ObjectPrompt, size_hw: tuple[int, int]) -> _Question:
    check_prompt(prompt, "nano")
    previous = prompt.mask_logits
    if previous is not None and (not isinstance(previous, LowResolution) or previous.size_hw != size_hw):
        got = f"answers about frames of {previous.size_hw}" if isinstance(previous, LowResolution) else type(previous).__name__
        raise BackendError(
            f"'nano' got mask_logits that are {got}, expected low_res_logits that it gave for a frame of (h, w) = {size_hw}."
        )
    box = None if prompt.box_xyxy is None else np.asarray(prompt.box_xyxy + np.array([0.0, 0.0, 1.0, 1.0]), np.float32)
    once = _first_of_equals(prompt.xy, prompt.is_positive)
    tracked = 1.0 - float(prompt.is_certain.mean()) if len(prompt.xy) else 0.0
    return _Question(np.asarray(prompt.xy[once] + 0.5, np.float32), prompt.is_positive[once], box, previous, tracked)


def _first_of_equals(xy: FloatArray, is_positive: BoolArray) -> npt.NDArray[np.intp]:
    """Indices, in order, of the points without those that repeat an earlier one: a double click says nothing new."""
    return np.sort(np.unique(np.column_stack([xy, is_positive]), axis=0, return_index=True)[1])


def _part_of_interest(look: LowResolution) -> tuple[slice, slice]:
    """Rows and columns of the frame within the window where the mask is, and a little around."""
    margin = 8
    near = look.logits > -4.0
    rows, columns = np.flatnonzero(near.any(1)), np.flatnonzero(near.any(0))
    if not len(rows):
        return slice(0, 0), slice(0, 0)
    height, width = look.logits.shape
    low = np.array([max(columns[0] - margin, 0), max(rows[0] - margin, 0)], np.float32)
    high = np.array([min(columns[-1] + 1 + margin, width), min(rows[-1] + 1 + margin, height)], np.float32)
    size_xy = np.array(look.size_hw[::-1])
    x0, y0 = np.clip(np.floor(look.window.to_frame(low)), 0, size_xy).astype(int)
    x1, y1 = np.clip(np.ceil(look.window.to_frame(high)), 0, size_xy).astype(int)
    return slice(y0, y1), slice(x0, x1)


def _points_within(question: _Question, window: Window, side: int, most: int) -> tuple[FloatArray, BoolArray]:
    """At most ``most`` of the question's points that lie in its window (k, 2), in pixels of the window, and their signs."""
    xy = window.to_window(question.xy)
    there = np.flatnonzero(((xy >= 0) & (xy <= side)).all(1))
    if len(there) > most:
        is_positive = question.is_positive[there]
        positive = _evenly(there[is_positive], max(most // 2, most - int(np.count_nonzero(~is_positive))))
        there = np.sort(np.concatenate([positive, _evenly(there[~is_positive], most - len(positive))]))
    return xy[there], question.is_positive[there]


def _evenly(values: IntArray, most: int) -> IntArray:
    """At most ``most`` of the values (n,), the same distance apart."""
    return values if len(values) <= most else values[np.arange(most) * len(values) // most]


def _batches(num_points: Sequence[int], settings: NanoSettings) -> Iterator[slice]:
    """Windows that are decoded together, by how many points lie in each."""
    start, most = 0, 1
    for k, count in enumerate(num_points):
        most = max(most, count)
        if k > start and (k - start == settings.batch or (k - start + 1) * most > settings.batch_points):
            yield slice(start, k)
            start, most = k, max(1, count)
    if start < len(num_points):
        yield slice(start, len(num_points))


def _prompt_arrays(
    questions: Sequence[_Question],
    windows: list[Window],
    points: Sequence[tuple[FloatArray, BoolArray]],
    side: int,
    size_hw: tuple[int, int],
) -> PromptArrays:
    n, quarter = len(questions), side // 4
    most = max(1, *(len(xy) for xy, _ in points))
    arrays = PromptArrays(
        np.zeros((n, 1, quarter, quarter), np.float32),
        np.zeros((n, most, 2), np.float32),
        np.full((n, most), -1, np.float32),
        np.zeros((n, 4), np.float32),
        np.zeros((n, 1, quarter, quarter), np.float32),
        np.zeros(n, np.float32),
        np.array([question.tracked for question in questions], np.float32),
    )
    for k, (question, window, (xy, is_positive)) in enumerate(zip(questions, windows, points, strict=True)):
        arrays.inside[k, 0] = _inside(window, quarter, size_hw)
        arrays.points_xy[k, : len(xy)] = xy
        arrays.labels[k, : len(xy)] = is_positive
        if question.box is not None:
            arrays.box[k] = window.to_window(question.box.reshape(2, 2)).ravel()
        if question.previous is not None:
            arrays.previous[k, 0] = _seen_from(question.previous, window, quarter)
            arrays.has_previous[k] = 1
    return arrays


def _inside(window: Window, quarter: int, size_hw: tuple[int, int]) -> FloatArray:
    """(s/4, s/4) share of each place that the frame covers."""
    high = window.to_window(np.array(size_hw[::-1], np.float32)) / 4
    low = window.to_window(np.zeros(2, np.float32)) / 4
    edges = np.arange(quarter)
    x, y = (np.clip(np.minimum(edges + 1, high[k]) - np.maximum(edges, low[k]), 0, 1) for k in (0, 1))
    return np.asarray(y[:, None] * x[None], np.float32)


def _seen_from(answer: LowResolution, window: Window, quarter: int) -> FloatArray:
    """(s/4, s/4) probabilities of an earlier answer in another window; 0 where it said nothing."""
    probability = 0.5 + 0.5 * np.tanh(answer.logits / 2)
    small = cv2.resize(probability, (answer.logits.shape[1] // 4, answer.logits.shape[0] // 4), interpolation=cv2.INTER_AREA)
    first, second = (answer.window.to_window(window.to_frame(np.full(2, at, np.float32))) / 4 - 0.5 for at in (2.0, 6.0))
    step = second - first
    matrix = np.array([[step[0], 0, first[0]], [0, step[1], first[1]]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return np.asarray(cv2.warpAffine(small, matrix, (quarter, quarter), flags=flags, borderValue=0), np.float32)
