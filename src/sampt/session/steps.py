"""Goes through the clicks on a prompt frame: prompts for each, and what is shown after it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, cast

import cv2
import numpy as np

from sampt.backends.lru_cache import LruCache
from sampt.checks import shape_repr
from sampt.config import SegmentConfig
from sampt.geometry import SizeHW, rescale_box, rescale_xy
from sampt.masks.merge import ObjectMask
from sampt.masks.rle import decode_mask
from sampt.prompts.parts import predict_in_parts
from sampt.prompts.refine import segment_box
from sampt.segmenters.base import MaskSegmenter, PromptableSegmenter
from sampt.session.corrections import force_signs, is_large_elsewhere, limit_change, obeys
from sampt.session.plan import PromptFrame
from sampt.session.types import Carried, Click
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, ObjectState

__all__ = ["ClickSteps", "Shown"]

CLEARANCES = (0.25, 1.0)
"""Carried points of the other sign do not count closer to a click than this fraction of the root of the mask's area: first the
one, then the other, until the clicks are obeyed."""
_MIN_CLEARANCE_PX = 8.0
_ANCHOR_CLEARANCE = 0.5
"""Likewise of the one positive point that stands for the mask where all clicks are negative."""
_KEPT_LOGIT = np.float32(1)
"""Where the mask is another one than the segmenter's."""
_CACHED_STEPS, _CACHED_BYTES, _UNSIZED_BYTES = 128, 64 << 20, 1 << 20


@dataclass(frozen=True, eq=False)
class Shown:
    """What is shown of an object on a frame after some of the clicks there.

    Attributes:
        mask: at the video's size.
        whole: (h, w) bool, with all that the last click would change; None where that is little more.
        low_res_logits: of the segmenter's prediction, where the mask is that; else None.
    """

    mask: ObjectMask
    whole: BoolArray | None = None
    low_res_logits: Any = None

    __repr__ = shape_repr


class ClickSteps:
    """What clicks on prompt frames come to, each click after the one before (:mod:`sampt.session.corrections`).

    Args:
        segmenter: any; it need not obey, the result does.
        config: of the session.
        working_hw: size of the frames that the segmenter sees.
        video_hw: of the results.
    """

    def __init__(self, segmenter: PromptableSegmenter, config: SegmentConfig, working_hw: SizeHW, video_hw: SizeHW) -> None:
        self._segmenter, self._working_hw, self._video_hw = segmenter, working_hw, video_hw
        self._prompting = config.effective_prompting
        self._cache: LruCache[tuple[Any, ...], Shown] = LruCache(_CACHED_BYTES, _CACHED_STEPS)
        self._lock = threading.Lock()  # of the cache

    def show(self, prompt_frames: Sequence[PromptFrame], embedding: Callable[[], Any]) -> dict[int, Shown]:
        """What is shown in the end, by object.

        Args:
            prompt_frames: of different objects on one frame.
            embedding: of the frame; not called where nothing has to be predicted.
        """
        shown = self._start(prompt_frames, embedding)
        while waiting := [p for p in prompt_frames if shown[p.object_id][0] < len(p.clicks)]:
            counts = {p.object_id: shown[p.object_id][0] + 1 for p in waiting}
            before = {o: step for o, (_, step) in shown.items()}
            for prompt_frame, step in self._step(waiting, counts, before, embedding):
                o = prompt_frame.object_id
                shown[o] = counts[o], self._keep(prompt_frame, counts[o], step)
        return {o: step for o, (_, step) in shown.items()}

    def _start(self, prompt_frames: Sequence[PromptFrame], embedding: Callable[[], Any]) -> dict[int, tuple[int, Shown]]:
        """How many clicks are dealt with already, and what is shown then."""
        found = {p.object_id: self._recall(p) for p in prompt_frames}
        boxed = [p for p in prompt_frames if p.box_xyxy is not None and p.mask is None and found[p.object_id] is None]
        predictions = segment_box(self._segmenter, embedding(), [self._box_prompt(p) for p in boxed]) if boxed else []
        for p, prediction in zip(boxed, predictions, strict=True):
            mask = ObjectMask.of_prediction(prediction, 0.0).resized(self._working_hw, self._video_hw)
            found[p.object_id] = 0, self._keep(p, 0, Shown(mask, None, prediction.low_res_logits))
        return {p.object_id: found[p.object_id] or (p.num_held, self._carry(p)) for p in prompt_frames}

    def _recall(self, prompt_frame: PromptFrame) -> tuple[int, Shown] | None:
        with self._lock:
            for count in range(len(prompt_frame.clicks), prompt_frame.num_held - 1, -1):
                if (step := self._cache.get(_key(prompt_frame, count))) is not None:
                    return count, step
        return None

    def _keep(self, prompt_frame: PromptFrame, count: int, step: Shown) -> Shown:
        arrays = [a for a in (step.mask.logits, step.whole, step.low_res_logits) if a is not None]
        num_bytes = sum(int(getattr(a, "nbytes", _UNSIZED_BYTES)) for a in arrays)  # logits are the segmenter's own business
        with self._lock:
            return self._cache.put(_key(prompt_frame, count), step, num_bytes)

    def _carry(self, prompt_frame: PromptFrame) -> Shown:
        """What the correction starts from."""
        carried = prompt_frame.carried
        if prompt_frame.mask is not None:
            return Shown(ObjectMask.of_given(prompt_frame.object_id, prompt_frame.mask.mask))
        if carried is None or carried.rle is None:
            return Shown(ObjectMask(prompt_frame.object_id, ObjectState.NO_VISIBLE_POINT))
        given = ObjectMask.of_given(prompt_frame.object_id, decode_mask(carried.rle))
        return Shown(dataclasses.replace(given, is_given=False))

    def _box_prompt(self, prompt_frame: PromptFrame) -> ObjectPrompt:
        nothing = np.zeros((0, 2), np.float32), np.zeros(0, np.bool_)
        return ObjectPrompt(prompt_frame.object_id, *nothing, self._box(prompt_frame))

    def _box(self, prompt_frame: PromptFrame) -> FloatArray | None:
        box = prompt_frame.box_xyxy
        return (
            None
            if box is None or prompt_frame.mask is not None
            else rescale_box(np.array(box, np.float32), self._video_hw, self._working_hw)
        )

    def _step(
        self,
        prompt_frames: Sequence[PromptFrame],
        counts: dict[int, int],
        before: dict[int, Shown],
        embedding: Callable[[], Any],
    ) -> Iterator[tuple[PromptFrame, Shown]]:
        """One click further for each; prompts that are obeyed at once go to the segmenter together."""
        attempts = {}
        for p in prompt_frames:
            attempts[p.object_id] = self._attempts(p, p.clicks[: counts[p.object_id]], before[p.object_id])
        best: dict[int, tuple[int, MaskPrediction, BoolArray]] = {}
        waiting = list(prompt_frames)
        while waiting := [p for p in waiting if attempts[p.object_id]]:
            prompts = [attempts[p.object_id].pop(0) for p in waiting]
            predictions = self._predict(embedding(), prompts)
            for p, prediction in zip(waiting, predictions, strict=True):
                mask = ObjectMask.of_prediction(prediction, 0.0).resized(self._working_hw, self._video_hw).mask(self._video_hw)
                clicks = p.clicks[: counts[p.object_id]]
                obeyed = obeys(mask, clicks) if mask.any() else -1  # an empty mask says nothing of a correction
                if p.object_id not in best or obeyed > best[p.object_id][0]:
                    best[p.object_id] = obeyed, prediction, mask
                if obeyed == len(clicks):
                    attempts[p.object_id].clear()
        for p in prompt_frames:
            clicks = p.clicks[: counts[p.object_id]]
            found = best.get(p.object_id)
            yield p, self._conclude(p, clicks, before[p.object_id], None if found is None else found[1:])

    def _predict(self, embedding: Any, prompts: Sequence[ObjectPrompt]) -> Iterator[MaskPrediction]:
        prompting = self._prompting
        if any(p.mask_logits is not None for p in prompts):  # what is shown takes the place of a first pass
            prompting = dataclasses.replace(prompting, positives_first=False)
        if all(p.box_xyxy is None for p in prompts):
            return predict_in_parts(self._segmenter, embedding, prompts, prompting, self._working_hw)
        return iter(self._segmenter.decode(embedding, prompts))  # refinement would replace a box that a person drew

    def _attempts(self, prompt_frame: PromptFrame, clicks: Sequence[Click], shown: Shown) -> list[ObjectPrompt]:
        """Prompts, each of which weighs what was tracked less; none where nothing says that the object is there.

        Where the segmenter can start from the mask that is shown, the clicks and that mask are enough: tracked points, of which
        those near a mistake are wrong, say nothing that it does not.
        """
        logits, box = self._mask_logits(shown), self._box(prompt_frame)
        signs = np.array([c.is_positive for c in clicks], np.bool_)
        carried, more = None if prompt_frame.mask is not None else prompt_frame.carried, []
        if carried is not None and logits is None:
            more = [_select_carried(carried, clicks, clearance) for clearance in CLEARANCES]
        if signs.any() or box is not None:
            more.append((np.zeros((0, 2), np.float32), np.zeros(0, np.bool_)))
        elif shown.mask.logits is not None:
            more.append(_find_anchor(shown.mask.mask(self._video_hw), clicks))
        xy = np.array([c.xy for c in clicks], np.float32).reshape(-1, 2)
        prompts = []
        for more_xy, more_signs in more:
            all_signs = np.concatenate([more_signs, signs])
            if all_signs.any() or box is not None:
                all_xy = rescale_xy(np.concatenate([more_xy, xy]), self._video_hw, self._working_hw)
                is_click = np.arange(len(all_xy)) >= len(more_xy)
                prompts.append(ObjectPrompt(prompt_frame.object_id, all_xy, all_signs, box, logits, is_click))
        return prompts

    def _mask_logits(self, shown: Shown) -> Any:
        """The mask that is shown as the segmenter takes it; None where it cannot, or where there is none."""
        if shown.mask.logits is None or not self._segmenter.info.has_mask_logits:
            return shown.low_res_logits
        mask = shown.mask.resized(self._video_hw, self._working_hw).mask(self._working_hw)
        return cast(MaskSegmenter, self._segmenter).make_mask_logits(mask) if mask.any() else None

    def _conclude(
        self, prompt_frame: PromptFrame, clicks: Sequence[Click], shown: Shown, found: tuple[MaskPrediction, BoolArray] | None
    ) -> Shown:
        """What is shown after the last of ``clicks``."""
        has_mask = shown.mask.logits is not None
        if found is None and not has_mask:
            return shown
        before, click = shown.mask.mask(self._video_hw), clicks[-1]
        prediction, predicted = (None, before) if found is None or (has_mask and not found[1].any()) else found
        whole = force_signs(predicted, clicks)
        mask = whole
        if has_mask and not click.is_whole:
            mask = force_signs(limit_change(before, predicted, click), clicks)
        is_segmenters = prediction is not None and np.array_equal(mask, predicted)
        made = self._object_mask(prompt_frame.object_id, mask, prediction)
        return Shown(
            dataclasses.replace(made, is_given=prompt_frame.mask is not None),
            whole if is_large_elsewhere(mask, whole) else None,
            prediction.low_res_logits if prediction is not None and is_segmenters else None,
        )

    def _object_mask(self, object_id: int, mask: BoolArray, prediction: MaskPrediction | None) -> ObjectMask:
        """The mask as an object's, as sure as the segmenter was where it said the same."""
        score = float("nan")
        logits = np.full(self._video_hw, -_KEPT_LOGIT, np.float32)
        if prediction is not None:
            score = prediction.score
            found = ObjectMask.of_prediction(prediction, 0.0).resized(self._working_hw, self._video_hw)
            if found.logits is not None:
                logits[found.area] = found.logits
        np.copyto(logits, _KEPT_LOGIT, where=mask & (logits <= 0))
        np.copyto(logits, -_KEPT_LOGIT, where=~mask & (logits > 0))
        return ObjectMask.of_prediction(MaskPrediction(object_id, score, None, None, logits), -np.inf)


def _key(prompt_frame: PromptFrame, count: int) -> tuple[Any, ...]:
    p = prompt_frame
    return p.object_id, p.frame_idx, p.box_xyxy, p.mask, p.carried, p.clicks[:count]


def _select_carried(carried: Carried, clicks: Sequence[Click], clearance: float) -> tuple[FloatArray, BoolArray]:
    """The carried points that no click contradicts, in pixels of the video, and their signs."""
    xy, signs = np.array(carried.xy, np.float32).reshape(-1, 2), np.array(carried.is_positive, np.bool_)
    clearance_px = max(_MIN_CLEARANCE_PX, clearance * carried.area_px**0.5)
    distance = np.linalg.norm(xy[:, None] - np.array([c.xy for c in clicks], np.float32)[None], axis=2)
    is_against = signs[:, None] != np.array([c.is_positive for c in clicks])[None]
    kept = ~(is_against & (distance < clearance_px)).any(1)
    return xy[kept], signs[kept]


def _find_anchor(mask: BoolArray, clicks: Sequence[Click]) -> tuple[FloatArray, BoolArray]:
    """One positive point, in the depth of what is shown and away from all clicks, which are negative; none in an empty mask."""
    root = float(np.count_nonzero(mask)) ** 0.5
    for clearance_px in (_ANCHOR_CLEARANCE * root, 0.5 * _ANCHOR_CLEARANCE * root, 1.0):
        free = np.pad(mask, 1).astype(np.uint8)
        for click in clicks:
            cv2.circle(free, (round(click.xy[0]) + 1, round(click.xy[1]) + 1), round(clearance_px), 0, -1)
        if free.any():
            break
    depth = cv2.distanceTransform(free, cv2.DIST_L2, 5)[1:-1, 1:-1]
    y, x = np.unravel_index(int(depth.argmax()), depth.shape)
    count = int(depth[y, x] > 0)
    return np.array([[x, y]], np.float32)[:count], np.ones(count, np.bool_)
