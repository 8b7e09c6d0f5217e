"""From what was given on a prompt frame to the mask there, and to the points that are tracked from it."""

from __future__ import annotations

import dataclasses
import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from sampt.config import SegmentConfig, with_settings
from sampt.masks.merge import ObjectMask
from sampt.masks.rle import encode_mask
from sampt.pipeline.preparation import prepare_queries
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.cache import EmbeddingCache
from sampt.session.plan import PromptFrame
from sampt.session.steps import ClickSteps, Shown
from sampt.session.types import Click, MaskInput, ObjectResult, Record
from sampt.types import BoolArray, FloatArray, FramePoints, ObjectState, Points, QueryMask
from sampt.video.base import Video

__all__ = ["Previewer", "sample_prompt_frame"]

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
        self._steps = ClickSteps(segmenter, config, working.size_hw, video.size_hw)

    def embedding(self, frame_idx: int) -> Any:
        """Of a frame; other threads that want one wait meanwhile, so that none is encoded twice."""
        with self._lock:
            found = self._cache.get(frame_idx)
            if found is None:
                found = self._segmenter.encode(self._working.read(frame_idx, frame_idx + 1))[0]
                self._cache.put_all({frame_idx: found})
        return found

    def predict(self, frame_idx: int, prompt_frames: Sequence[PromptFrame]) -> dict[int, ObjectMask]:
        """The masks, at the video's size, that objects' inputs on one frame mean, by object; each from its own inputs alone.

        A given or edited mask is the result itself, and what further clicks correct. Clicks are gone through one after the
        other (:mod:`sampt.session.corrections`), and no score is too low: a person sees the mask and decides. With a box, the
        segmenter is prompted twice, the second time with the first prediction; the clicks correct that.
        """
        return {o: shown.mask for o, shown in self._show(frame_idx, prompt_frames).items()}

    def _show(self, frame_idx: int, prompt_frames: Sequence[PromptFrame]) -> dict[int, Shown]:
        found = self._steps.show(prompt_frames, lambda: self.embedding(frame_idx))
        with self._lock:
            self._cache.trim()  # an embedding may grow when it is decoded
        return found

    def preview(self, frame_idx: int, prompt_frames: Sequence[PromptFrame]) -> dict[int, ObjectResult]:
        """:meth:`predict` as a client sees it."""
        drawn = {p.object_id: _drawn(p, p.mask) for p in prompt_frames if p.mask is not None and p.num_held == len(p.clicks)}
        clicked = [p for p in prompt_frames if p.object_id not in drawn]
        shown = self._show(frame_idx, clicked) if clicked else {}
        return drawn | {p.object_id: self._to_result(p, shown[p.object_id]) for p in clicked}

    def records(self, frame_idx: int, prompt_frames: Sequence[PromptFrame]) -> dict[int, Record]:
        """:meth:`predict` as a propagation would store it, but for the points."""
        masks = self.predict(frame_idx, prompt_frames)
        return {p.object_id: self._record(p, masks[p.object_id]) for p in prompt_frames}

    def _record(self, prompt_frame: PromptFrame, mask: ObjectMask) -> Record:
        no_points = FramePoints.concat([])
        return Record.of(mask, prompt_frame.frame_idx, prompt_frame.digest, 0, no_points, self._video.size_hw)

    def _to_result(self, prompt_frame: PromptFrame, shown: Shown) -> ObjectResult:
        record = self._record(prompt_frame, shown.mask)
        num_positive = sum(c.is_positive for c in prompt_frame.clicks[prompt_frame.num_held :])
        whole = None if shown.whole is None else encode_mask(shown.whole)
        return dataclasses.replace(record.to_result(), num_visible_points=num_positive, whole_rle=whole)


def _drawn(prompt_frame: PromptFrame, mask: MaskInput) -> ObjectResult:
    """The result where a mask is all that was said, which is not decoded for it: a brush makes one after the other."""
    return ObjectResult(prompt_frame.object_id, prompt_frame.frame_idx, ObjectState.PRESENT, None, mask.rle, 0)


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
    is_plain = prompt_frame.mask is None and prompt_frame.box_xyxy is None and prompt_frame.carried is None
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
