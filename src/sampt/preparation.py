"""From what the user gave (clicks, masks, any mixture) to query points, at the size the run works at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from sampt.config import SamplingConfig, SegmentConfig
from sampt.errors import QueryError
from sampt.geometry import rescale_xy, size_with_longest_side
from sampt.masks.merge import ObjectMask
from sampt.points.check import check_queries
from sampt.points.sample import sample_object_points, sample_points
from sampt.prompts.refine import segment_prompts
from sampt.segmenters.base import PromptableSegmenter
from sampt.types import BoolArray, ObjectPrompt, Points, QueryMask, UInt8Array
from sampt.video.base import ResizedVideo, Video

__all__ = ["Queries", "QueryLike", "prepare_queries", "rng_for", "split_queries", "working_video"]

QueryLike = Points | QueryMask | Iterable[Points | QueryMask]


@dataclass(frozen=True)
class Queries:
    """What to follow.

    Attributes:
        points: all query points, in pixels of the working size.
        given: the user's own masks by (object_id, frame_idx), at the video's own size; they are kept in the result.
    """

    points: Points
    given: dict[tuple[int, int], BoolArray]

    @property
    def object_ids(self) -> tuple[int, ...]:
        return self.points.object_ids


def rng_for(seed: int, *keys: int) -> np.random.Generator:
    """Randomness that depends on what it is for, not on what was drawn before: a resumed run draws the same numbers."""
    return np.random.default_rng([seed, *keys])


def split_queries(queries: QueryLike) -> tuple[Points, list[QueryMask]]:
    """The clicks and the masks among the queries."""
    items = [queries] if isinstance(queries, (Points, QueryMask)) else list(queries)
    for item in items:
        if not isinstance(item, (Points, QueryMask)):
            raise QueryError(f"A query is a {type(item).__name__}, expected Points or QueryMask.")
    return Points.concat(i for i in items if isinstance(i, Points)), [i for i in items if isinstance(i, QueryMask)]


def working_video(video: Video, longest_side: int | None) -> Video:
    """The video at the size the run works at."""
    if longest_side is None or max(video.size_hw) == longest_side:
        return video
    return ResizedVideo(video, size_with_longest_side(video.size_hw, longest_side))


def prepare_queries(
    video: Video, working: Video, queries: QueryLike, config: SegmentConfig, segmenter: PromptableSegmenter
) -> Queries:
    """Check the queries and sample points from the masks among them.

    Raises:
        QueryError: the queries do not fit the video.
    """
    clicks, masks = split_queries(queries)
    check_queries(clicks, masks, video.num_frames, video.size_hw)
    parts = [clicks]
    for mask in masks:
        frame = video.read(mask.frame_idx, mask.frame_idx + 1)[0]
        pixels = mask.mask
        if config.sampling.one_click:
            small = working.read(mask.frame_idx, mask.frame_idx + 1)[0]
            pixels = one_click_mask(mask, frame, small, config, segmenter)
        rng = rng_for(config.seed, 1, mask.object_id, mask.frame_idx)
        parts.append(sample_object_points(pixels, frame, mask.object_id, mask.frame_idx, config.sampling, rng))
    points = Points.concat(parts)
    xy = rescale_xy(points.xy, video.size_hw, working.size_hw)
    given = {} if config.sampling.one_click else {(m.object_id, m.frame_idx): m.mask for m in masks}
    return Queries(Points(xy, points.frame_idx, points.object_id, points.is_positive), given)


def one_click_mask(
    mask: QueryMask, frame: UInt8Array, working_frame: UInt8Array, config: SegmentConfig, segmenter: PromptableSegmenter
) -> BoolArray:
    """The segmenter's own mask, at the size of ``mask``, for the single medoid of ``mask``.

    Raises:
        QueryError: the segmenter finds nothing there.
    """
    medoid = sample_points(mask.mask, 1, "kmedoids", rng_for(config.seed, 2, mask.object_id), frame)
    from_hw, to_hw = working_frame.shape[:2], mask.mask.shape
    prompt = ObjectPrompt(mask.object_id, rescale_xy(medoid, to_hw, from_hw), np.ones(1, np.bool_))
    answer = segment_prompts(segmenter, segmenter.encode(working_frame[None])[0], [prompt], config.prompting)[0]
    found = ObjectMask.of_prediction(answer, 0.0).resized(from_hw, to_hw).mask(to_hw)
    if not found.any():
        raise QueryError(
            f"The segmenter found nothing at the centre of object {mask.object_id} on frame {mask.frame_idx}; "
            "give points or switch one-click mode off."
        )
    return found


def reinit_sampling(config: SegmentConfig) -> SamplingConfig:
    """The sampling settings with the point counts of re-initialisation."""
    positive = config.reinit.positive_points or config.sampling.positive_points
    negative = config.reinit.negative_points
    return dataclasses.replace(
        config.sampling,
        positive_points=positive,
        negative_points=config.sampling.negative_points if negative is None else negative,
    )


def masks_for_tracker(
    working: Video, points: Points, segment: Callable[[int, UInt8Array, Points], Sequence[ObjectMask]]
) -> list[QueryMask]:
    """For trackers that match inside masks: the segmenter's mask of every object on its query frame."""
    masks = []
    for object_id in points.object_ids:
        frame_idx = points.query_frame(object_id)
        own = points.select((points.object_id == object_id) & (points.frame_idx == frame_idx))
        frame = working.read(frame_idx, frame_idx + 1)[0]
        for found in segment(frame_idx, frame, own):
            mask = found.mask(working.size_hw)
            if mask.any():
                masks.append(QueryMask(object_id, frame_idx, mask))
    return masks
