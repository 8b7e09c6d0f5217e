"""From what was said on a query frame to the mask there, and to the points that are followed from it."""

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
from sampt.prompts.parts import predictions
from sampt.prompts.refine import segment_boxed
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.cache import EmbeddingMemory
from sampt.session.edits import Inputs
from sampt.session.plan import Query
from sampt.session.record import record_of
from sampt.session.state import result_of
from sampt.session.values import Carried, Click, ObjectResult
from sampt.types import BoolArray, FloatArray, FramePoints, ObjectPrompt, ObjectState, Points, QueryMask
from sampt.video.base import Video

__all__ = ["Asker", "query_points"]

CLEARANCE = 0.25
"""Carried points of the other sign closer to a click than this share of the root of the mask's area do not count any more."""
_LEAST_CLEARANCE_PX = 8.0
_UNSIZED = 8
"""Embeddings that are kept when the segmenter does not know how large they are."""


class Asker:
    """Asks the segmenter about single frames, each encoded once as long as its embedding fits. Several threads may use it.

    Args:
        segmenter: any.
        config: of the session.
        video: at its own size.
        working: the same at the size worked on.
        kept_bytes: room for embeddings; those used longest ago make way.
    """

    def __init__(
        self, segmenter: PromptableSegmenter, config: SegmentConfig, video: Video, working: Video, kept_bytes: int
    ) -> None:
        self._segmenter, self._config, self._video, self._working = segmenter, config, video, working
        self._kept: EmbeddingMemory[int] = EmbeddingMemory(segmenter, kept_bytes, most_unsized=_UNSIZED)
        self._lock = threading.Lock()

    def embedding(self, frame_idx: int) -> Any:
        """Of a frame; other threads that want one wait meanwhile, so that none is encoded twice."""
        with self._lock:
            found = self._kept.get(frame_idx)
            if found is None:
                found = self._segmenter.encode(self._working.read(frame_idx, frame_idx + 1))[0]
                self._kept.put_all({frame_idx: found})
        return found

    def answer(self, inputs: Inputs, frame_idx: int, queries: Sequence[Query]) -> dict[int, ObjectMask]:
        """The masks, at the video's size, that queries on one frame mean, by object; each from its own query alone.

        A given mask is the answer itself. Clicks are asked about as the pipeline asks, but no score is too low: a person sees
        the mask and decides. With a box, clicks and box are asked about twice, the second time with the first answer.
        """
        given = {q.object_id: inputs.masks[q.mask_at].mask for q in queries if q.mask_at is not None}
        found = {o: ObjectMask.of_given(o, mask) for o, mask in given.items()}
        prompts = [self.prompt(q) for q in queries if q.mask_at is None]
        sure = [p for p in prompts if p.is_positive.any() or p.box_xyxy is not None]
        if sure:
            embedding = self.embedding(frame_idx)
            boxed = [p for p in sure if p.box_xyxy is not None]
            clicked = [p for p in sure if p.box_xyxy is None]
            sizes = self._working.size_hw, self._video.size_hw
            answers = itertools.chain(
                segment_boxed(self._segmenter, embedding, boxed),
                predictions(self._segmenter, embedding, clicked, self._config.effective_prompting, sizes[0]),
            )
            found |= {a.object_id: ObjectMask.of_prediction(a, 0.0).resized(*sizes) for a in answers}
            with self._lock:
                self._kept.trim()  # an embedding may grow when it is asked about
        return {q.object_id: found.get(q.object_id) or ObjectMask(q.object_id, ObjectState.NO_VISIBLE_POINT) for q in queries}

    def result(self, query: Query, answer: ObjectMask) -> ObjectResult:
        """An answer as a client sees it."""
        record = record_of(answer, query.frame_idx, query.digest, 0, FramePoints.concat([]), self._video.size_hw)
        num_positive = 0 if query.mask_at is not None else int(np.count_nonzero(self.prompt(query).is_positive))
        return dataclasses.replace(result_of(record), num_visible_points=num_positive)

    def prompt(self, query: Query) -> ObjectPrompt:
        """What the segmenter is asked, at the working size."""
        xy, signs = _clicked(query.clicks)
        is_click = np.ones(len(xy), np.bool_)
        if query.carried is not None:
            kept = _kept_points(query.carried, xy, signs)
            xy = np.concatenate([np.array(query.carried.xy, np.float32).reshape(-1, 2)[kept], xy])
            signs = np.concatenate([np.array(query.carried.is_positive, np.bool_)[kept], signs])
            is_click = np.concatenate([np.zeros(int(kept.sum()), np.bool_), is_click])
        sizes = self._video.size_hw, self._working.size_hw
        box = None if query.box_xyxy is None else rescale_box(np.array(query.box_xyxy, np.float32), *sizes)
        return ObjectPrompt(query.object_id, rescale_xy(xy, *sizes), signs, box, is_certain=is_click)


def query_points(
    query: Query, answer: ObjectMask, video: Video, config: SegmentConfig, segmenter: PromptableSegmenter
) -> FramePoints:
    """The points that are followed from a query frame, at the video's size.

    The clicks; and, from the answer's mask, as many as for a given mask, unless plain clicks are not to be expanded
    (``sampling.expand_clicks``). What was carried shapes the answer, and is followed through it alone, so that points that the
    correction has shown to be wrong are gone. No points at all when none is positive.
    """
    o, f = query.object_id, query.frame_idx
    xy, signs = _clicked(query.clicks)
    items: list[Points | QueryMask] = [Points.of(o, f, xy, signs)] if len(xy) else []
    is_plain = query.mask_at is None and query.box_xyxy is None and query.carried is None
    mask = answer.mask(video.size_hw)
    if mask.any() and (config.sampling.expand_clicks or not is_plain):
        items.append(QueryMask(o, f, mask))
    elif not signs.any():
        return FramePoints.concat([])
    plain = with_settings(config, {"sampling.expand_clicks": False})
    found = prepare_queries(video, video, items, plain, segmenter).points
    ones, zeros = np.ones(len(found), np.float32), np.zeros(len(found), np.uint8)
    return FramePoints(np.arange(len(found)), found.object_id, found.is_positive, found.xy, ones, zeros)


def _clicked(clicks: Sequence[Click]) -> tuple[FloatArray, BoolArray]:
    xy = np.array([c.xy for c in clicks], np.float32).reshape(-1, 2)
    return xy, np.array([c.is_positive for c in clicks], np.bool_)


def _kept_points(carried: Carried, xy: FloatArray, is_positive: BoolArray) -> BoolArray:
    """Which carried points no click contradicts; positive ones all, when none of them would be left without one clicked."""
    old_xy, signs = np.array(carried.xy, np.float32).reshape(-1, 2), np.array(carried.is_positive, np.bool_)
    clearance_px = max(_LEAST_CLEARANCE_PX, CLEARANCE * carried.area_px**0.5)
    distance = np.linalg.norm(old_xy[:, None] - xy[None], axis=2)
    is_against = signs[:, None] != is_positive[None]
    kept = ~(is_against & (distance < clearance_px)).any(1)
    if not is_positive.any() and not (kept & signs).any():
        kept |= signs
    return np.asarray(kept)
