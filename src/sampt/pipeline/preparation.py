"""From what the user gave (clicks, masks, any mixture) to query points, at the size the run works at."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sampt.checks import shape_repr
from sampt.config import PromptConfig, SegmentConfig
from sampt.errors import QueryError
from sampt.geometry import rescale_box, rescale_xy, size_with_longest_side
from sampt.masks.merge import ObjectMask
from sampt.pipeline.queries import Queries, QueryLike
from sampt.pipeline.randomness import RngPurpose, rng_for
from sampt.points.sample import sample_object_points, sample_points
from sampt.prompts.build import build_prompts
from sampt.prompts.parts import predict_in_parts
from sampt.prompts.refine import segment_box
from sampt.segmenters.base import PromptableSegmenter
from sampt.types import BoolArray, FramePoints, ObjectPrompt, Points, QueryBox, QueryMask, UInt8Array
from sampt.video.base import ResizedVideo, Video

__all__ = ["PreparedQueries", "masks_for_tracker", "prepare_queries", "prepare_streaming_queries", "working_video"]


@dataclass(frozen=True)
class PreparedQueries:
    """What is tracked.

    Attributes:
        points: all query points, in pixels of the working size.
        given: the user's own masks by (object_id, frame_idx), at the video's own size, that are kept in the result: all, but
            for those that one-click mode replaces outside the VOS protocol.
    """

    points: Points
    given: dict[tuple[int, int], BoolArray]

    __repr__ = shape_repr

    @property
    def object_ids(self) -> tuple[int, ...]:
        return self.points.object_ids


def working_video(video: Video, longest_side: int | None) -> Video:
    """The video at the size the run works at."""
    if longest_side is None or max(video.size_hw) == longest_side:
        return video
    return ResizedVideo(video, size_with_longest_side(video.size_hw, longest_side))


def prepare_queries(
    video: Video, working: Video, queries: QueryLike, config: SegmentConfig, segmenter: PromptableSegmenter
) -> PreparedQueries:
    """Check the queries and sample points from the masks among them, from the masks that the segmenter makes of boxes, and from
    those of clicks if the settings say so.

    Raises:
        QueryError: the queries do not fit the video, or the segmenter finds nothing in a box.
    """
    return _prepare(video, working, Queries.of(queries).checked(video.num_frames, video.size_hw), config, segmenter)


def _prepare(
    video: Video, working: Video, queries: Queries, config: SegmentConfig, segmenter: PromptableSegmenter
) -> PreparedQueries:
    """:func:`prepare_queries` for queries that fit."""
    clicks, masks, boxes = queries.points, queries.masks, queries.boxes
    given = {(m.object_id, m.frame_idx): m.mask for m in masks}
    sources = dict(given)
    if config.sampling.one_click:
        sources = {key: _one_click_mask(video, working, *key, mask, config, segmenter) for key, mask in given.items()}
        given = given if config.protocol == "vos" else {}  # there the given mask is the result on its frame
    sources |= _masks_in_boxes(video, working, boxes, clicks, segmenter)
    if config.sampling.expand_clicks:
        for frame_idx in sorted(set(clicks.frame_idx.tolist())):
            on_frame = clicks.select(clicks.frame_idx == frame_idx)
            found = _predict_masks(video, working, on_frame, config, segmenter, config.effective_prompting)
            sources = {**{(o, frame_idx): m for o, m in found.items()}, **sources}
    parts = [clicks]
    for (object_id, frame_idx), mask in sources.items():
        frame = video.read(frame_idx, frame_idx + 1)[0]
        rng = rng_for(config.seed, RngPurpose.SAMPLE_QUERY, object_id, frame_idx)
        parts.append(sample_object_points(mask, frame, object_id, frame_idx, config.effective_sampling, rng))
    points = Points.concat(parts)
    return PreparedQueries(points.with_xy(rescale_xy(points.xy, video.size_hw, working.size_hw)), given)


def prepare_streaming_queries(
    first: Video, working: Video, queries: QueryLike, config: SegmentConfig, segmenter: PromptableSegmenter
) -> PreparedQueries:
    """The same for a video of which only the first frame is there.

    Raises:
        QueryError: the queries do not fit the video, or points have to be sampled on a frame that has not come yet.
    """
    given = Queries.of(queries).checked(None, first.size_hw)
    clicks, masks, boxes = given.points, given.masks, given.boxes
    expand = config.sampling.expand_clicks
    on_frames = {"mask": [m.frame_idx for m in masks], "box": [b.frame_idx for b in boxes]}
    for what, frames in on_frames.items():
        if later := [i for i in frames if i]:
            raise QueryError(f"A {what} is on frame {min(later)} of a stream, of which only frame 0 is there; click it.")
    if expand and clicks.frame_idx.any():
        raise QueryError(
            f"A click is on frame {clicks.frame_idx.max()} of a stream, of which only frame 0 is there, but clicks are "
            "expanded; --no-expand-clicks (sampling.expand_clicks=False) lets them be on any frame."
        )
    if expand:
        return _prepare(first, working, given, config, segmenter)
    in_box = np.isin(clicks.object_id, [b.object_id for b in boxes]) & (clicks.frame_idx == 0)
    now = Queries(clicks.select(in_box), masks, boxes)
    sampled = _prepare(first, working, now, config, segmenter)
    drawn = sampled.points.select(np.arange(np.count_nonzero(in_box), len(sampled.points)))  # without those clicks
    moved = clicks.with_xy(rescale_xy(clicks.xy, first.size_hw, working.size_hw))
    return PreparedQueries(Points.concat([moved, drawn]), sampled.given)


def _predict_masks(
    video: Video,
    working: Video,
    clicks: Points,
    config: SegmentConfig,
    segmenter: PromptableSegmenter,
    prompting: PromptConfig,
) -> dict[int, BoolArray]:
    """The segmenter's masks, at the video's own size, for clicks on one frame; objects that it does not find are left out."""
    frame_idx, to_hw, from_hw = int(clicks.frame_idx[0]), video.size_hw, working.size_hw
    row = FramePoints.of(clicks.with_xy(rescale_xy(clicks.xy, to_hw, from_hw)))
    prompts = build_prompts(row, clicks.object_ids, prompting, lambda o: rng_for(config.seed, RngPurpose.PROMPT, o, frame_idx))
    embedding = segmenter.encode(working.read(frame_idx, frame_idx + 1))[0]
    predictions = predict_in_parts(segmenter, embedding, prompts, prompting, from_hw)
    found = {a.object_id: ObjectMask.of_prediction(a, 0.0).resized(from_hw, to_hw).mask(to_hw) for a in predictions}
    return {object_id: mask for object_id, mask in found.items() if mask.any()}


def _masks_in_boxes(
    video: Video, working: Video, boxes: Sequence[QueryBox], clicks: Points, segmenter: PromptableSegmenter
) -> dict[tuple[int, int], BoolArray]:
    """By object and frame :func:`_mask_in_box`; a frame is encoded once for all boxes on it."""
    found = {}
    for frame_idx in dict.fromkeys(box.frame_idx for box in boxes):
        embedding = segmenter.encode(working.read(frame_idx, frame_idx + 1))[0]
        for box in boxes:
            if box.frame_idx == frame_idx:
                found[box.object_id, frame_idx] = _mask_in_box(video, working, box, clicks, segmenter, embedding)
    return {(box.object_id, box.frame_idx): found[box.object_id, box.frame_idx] for box in boxes}


def _mask_in_box(
    video: Video, working: Video, box: QueryBox, clicks: Points, segmenter: PromptableSegmenter, embedding: Any
) -> BoolArray:
    """The segmenter's mask, at the video's own size, for a box and the object's clicks on that frame.

    Raises:
        QueryError: the segmenter finds nothing there.
    """
    to_hw, from_hw = video.size_hw, working.size_hw
    own = clicks.select((clicks.object_id == box.object_id) & (clicks.frame_idx == box.frame_idx))
    box_xyxy = rescale_box(box.box_xyxy, to_hw, from_hw)
    prompt = ObjectPrompt(box.object_id, rescale_xy(own.xy, to_hw, from_hw), own.is_positive, box_xyxy)
    (prediction,) = segment_box(segmenter, embedding, [prompt])
    mask = ObjectMask.of_prediction(prediction, 0.0).resized(from_hw, to_hw).mask(to_hw)
    if not mask.any():
        raise QueryError(
            f"The segmenter found nothing in the box of object {box.object_id} on frame {box.frame_idx}; give a larger box, "
            "points or a mask."
        )
    return mask


def _one_click_mask(
    video: Video,
    working: Video,
    object_id: int,
    frame_idx: int,
    mask: BoolArray,
    config: SegmentConfig,
    segmenter: PromptableSegmenter,
) -> BoolArray:
    """The segmenter's own mask for the single medoid of ``mask``: one prompt, which is not refined.

    Raises:
        QueryError: the segmenter finds nothing there.
    """
    frame = video.read(frame_idx, frame_idx + 1)[0]
    medoid = sample_points(mask, 1, "kmedoids", rng_for(config.seed, RngPurpose.ONE_CLICK, object_id), frame)
    once = dataclasses.replace(config.prompting, positives_first=False, refinement_steps=0)
    found = _predict_masks(video, working, Points.of(object_id, frame_idx, medoid), config, segmenter, once)
    if object_id not in found:
        raise QueryError(
            f"The segmenter found nothing at the centre of object {object_id} on frame {frame_idx}; "
            "give points or switch one-click mode off."
        )
    return found[object_id]


def masks_for_tracker(
    working: Video, points: Points, segment: Callable[[int, UInt8Array, Points], Sequence[ObjectMask]]
) -> list[QueryMask]:
    """For trackers that match inside masks: the segmenter's mask of every object on its prompt frame."""
    masks = []
    for object_id in points.object_ids:
        frame_idx = points.prompt_frame(object_id)
        own = points.select((points.object_id == object_id) & (points.frame_idx == frame_idx))
        frame = working.read(frame_idx, frame_idx + 1)[0]
        for found in segment(frame_idx, frame, own):
            mask = found.mask(working.size_hw)
            if mask.any():
                masks.append(QueryMask(object_id, frame_idx, mask))
    return masks
