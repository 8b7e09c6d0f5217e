"""From what was given on a prompt frame to the mask there, and to the points that are tracked from it."""

from __future__ import annotations

import dataclasses
import itertools
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from sampt.config import SegmentConfig, with_settings
from sampt.geometry import rescale_box, rescale_xy
from sampt.masks.merge import ObjectMask
from sampt.pipeline.preparation import prepare_queries
from sampt.prompts.parts import predict_in_parts
from sampt.prompts.refine import segment_box
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.cache import EmbeddingCache
from sampt.session.edits import Inputs
from sampt.session.plan import PromptFrame
from sampt.session.types import Carried, Click, ObjectResult, Record
from sampt.types import BoolArray, FloatArray, FramePoints, ObjectPrompt, ObjectState, Points, QueryMask
from sampt.video.base import Video

__all__ = ["Previewer", "sample_prompt_frame"]

CLEARANCE = 0.25
"""Carried points of the other sign do not count closer to a click than this fraction of the root of the mask's area."""
_MIN_CLEARANCE_PX = 8.0
_UNSIZED = 8
"""Embeddings that are cached when the segmenter does not know how large they are."""


class Previewer:
    """Prompts the segmenter on single frames, each encoded once as long as its embedding fits. Several threads may use it.

    Args:
        segmenter: any.
        config: of the session.
        video: at its own size.
        working: the same at the size worked on.
        cache_bytes: room for embeddings; those used longest ago make way.
    """

    def __init__(
        self, segmenter: PromptableSegmenter, config: SegmentConfig, video: Video, working: Video, cache_bytes: int
    ) -> None:
        self._segmenter, self._config, self._video, self._working = segmenter, config, video, working
        self._cache: EmbeddingCache[int] = EmbeddingCache(segmenter, cache_bytes, max_unsized=_UNSIZED)
        self._lock = threading.Lock()

    def embedding(self, frame_idx: int) -> Any:
        """Of a frame; other threads that want one wait meanwhile, so that none is encoded twice."""
        with self._lock:
            found = self._cache.get(frame_idx)
            if found is None:
                found = self._segmenter.encode(self._working.read(frame_idx, frame_idx + 1))[0]
                self._cache.put_all({frame_idx: found})
        return found

    def predict(self, inputs: Inputs, frame_idx: int, prompt_frames: Sequence[PromptFrame]) -> dict[int, ObjectMask]:
        """The masks, at the video's size, that objects' inputs on one frame mean, by object; each from its own inputs alone.

        A given mask is the result itself. Clicks are prompted as in the pipeline, but no score is too low: a person sees the
        mask and decides. With a box, the segmenter is prompted twice, the second time with the first prediction.
        """
        found = {
            p.object_id: ObjectMask.of_given(p.object_id, inputs.masks[p.mask_at].mask)
            for p in prompt_frames
            if p.mask_at is not None
        }
        prompts = [self.prompt(p) for p in prompt_frames if p.mask_at is None]
        sure = [p for p in prompts if p.is_positive.any() or p.box_xyxy is not None]
        if sure:
            embedding = self.embedding(frame_idx)
            boxed = [p for p in sure if p.box_xyxy is not None]
            clicked = [p for p in sure if p.box_xyxy is None]
            sizes = self._working.size_hw, self._video.size_hw
            predicted = itertools.chain(
                segment_box(self._segmenter, embedding, boxed),
                predict_in_parts(self._segmenter, embedding, clicked, self._config.effective_prompting, sizes[0]),
            )
            found |= {p.object_id: ObjectMask.of_prediction(p, 0.0).resized(*sizes) for p in predicted}
            with self._lock:
                self._cache.trim()  # an embedding may grow when it is decoded
        ids = [p.object_id for p in prompt_frames]
        return {o: found.get(o) or ObjectMask(o, ObjectState.NO_VISIBLE_POINT) for o in ids}

    def preview(self, inputs: Inputs, frame_idx: int, prompt_frames: Sequence[PromptFrame]) -> dict[int, ObjectResult]:
        """:meth:`predict` as a client sees it."""
        masks = self.predict(inputs, frame_idx, prompt_frames) if prompt_frames else {}
        return {p.object_id: self._to_result(p, masks[p.object_id]) for p in prompt_frames}

    def _to_result(self, prompt_frame: PromptFrame, mask: ObjectMask) -> ObjectResult:
        no_points = FramePoints.concat([])
        record = Record.of(mask, prompt_frame.frame_idx, prompt_frame.digest, 0, no_points, self._video.size_hw)
        is_given = prompt_frame.mask_at is not None
        num_positive = 0 if is_given else int(np.count_nonzero(self.prompt(prompt_frame).is_positive))
        return dataclasses.replace(record.to_result(), num_visible_points=num_positive)

    def prompt(self, prompt_frame: PromptFrame) -> ObjectPrompt:
        """The segmenter's prompt, at the working size."""
        xy, signs = _click(prompt_frame.clicks)
        is_click = np.ones(len(xy), np.bool_)
        if (carried := prompt_frame.carried) is not None:
            kept = _points_to_keep(carried, xy, signs)
            xy = np.concatenate([np.array(carried.xy, np.float32).reshape(-1, 2)[kept], xy])
            signs = np.concatenate([np.array(carried.is_positive, np.bool_)[kept], signs])
            is_click = np.concatenate([np.zeros(int(kept.sum()), np.bool_), is_click])
        sizes = self._video.size_hw, self._working.size_hw
        box = prompt_frame.box_xyxy
        box_xyxy = None if box is None else rescale_box(np.array(box, np.float32), *sizes)
        return ObjectPrompt(prompt_frame.object_id, rescale_xy(xy, *sizes), signs, box_xyxy, is_certain=is_click)


def sample_prompt_frame(
    prompt_frame: PromptFrame, mask: ObjectMask, video: Video, config: SegmentConfig, segmenter: PromptableSegmenter
) -> FramePoints:
    """The points that are tracked from a prompt frame, at the video's size.

    The clicks; and, from the mask there, as many as for a given mask, unless plain clicks are not to be expanded
    (``sampling.expand_clicks``). What was carried shapes the mask, and is tracked through it alone, so that points that the
    correction has shown to be wrong are gone. No points at all when none is positive.
    """
    o, f = prompt_frame.object_id, prompt_frame.frame_idx
    xy, signs = _click(prompt_frame.clicks)
    items: list[Points | QueryMask] = [Points.of(o, f, xy, signs)] if len(xy) else []
    is_plain = prompt_frame.mask_at is None and prompt_frame.box_xyxy is None and prompt_frame.carried is None
    area = mask.mask(video.size_hw)
    if area.any() and (config.sampling.expand_clicks or not is_plain):
        items.append(QueryMask(o, f, area))
    elif not signs.any():
        return FramePoints.concat([])
    plain = with_settings(config, {"sampling.expand_clicks": False})
    return FramePoints.of(prepare_queries(video, video, items, plain, segmenter).points)


def _click(clicks: Sequence[Click]) -> tuple[FloatArray, BoolArray]:
    xy = np.array([c.xy for c in clicks], np.float32).reshape(-1, 2)
    return xy, np.array([c.is_positive for c in clicks], np.bool_)


def _points_to_keep(carried: Carried, xy: FloatArray, is_positive: BoolArray) -> BoolArray:
    """Which carried points no click contradicts; positive ones all, when none of them would be left without one clicked."""
    old_xy, signs = np.array(carried.xy, np.float32).reshape(-1, 2), np.array(carried.is_positive, np.bool_)
    clearance_px = max(_MIN_CLEARANCE_PX, CLEARANCE * carried.area_px**0.5)
    distance = np.linalg.norm(old_xy[:, None] - xy[None], axis=2)
    is_against = signs[:, None] != is_positive[None]
    kept = ~(is_against & (distance < clearance_px)).any(1)
    if not is_positive.any() and not (kept & signs).any():
        kept |= signs
    return np.asarray(kept)
