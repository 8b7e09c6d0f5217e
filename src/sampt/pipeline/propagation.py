"""What a run is made of: the backends with their settings, and the way through a video with points tracked from start to end.

The other way, with points that are sampled again from the masks, is in :mod:`sampt.pipeline.windowed`.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import numpy as np

from sampt.checks import shape_repr
from sampt.config import SegmentConfig
from sampt.geometry import SizeHW
from sampt.masks.merge import ObjectMask
from sampt.pipeline.preparation import masks_for_tracker
from sampt.pipeline.randomness import RngPurpose, rng_for
from sampt.prompts.build import build_prompts, prompts_digest
from sampt.prompts.parts import predict_in_parts
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker
from sampt.tracks.feed import track_feed
from sampt.types import FrameMasks, FramePoints, ObjectPrompt, ObjectState, Points, QueryMask, UInt8Array
from sampt.video.base import Video

__all__ = ["Engine", "Memo", "ObjectPrediction", "SegmentedFrame", "TrackedFrame", "segmented_frames", "tracked_frames"]


class TrackedFrame(NamedTuple):
    """A frame with its points, ready to be segmented."""

    frame_idx: int
    frame: UInt8Array
    points: FramePoints

    def __repr__(self) -> str:
        return shape_repr(self)


class Memo(Protocol):
    """Results of an earlier, interrupted run with the same settings: frames found here are not segmented again."""

    def lookup(self, frame_idx: int, prompt_digest: str, points: FramePoints) -> FrameMasks | None: ...
    def append(self, frame_masks: FrameMasks, prompt_digest: str) -> None: ...


class SegmentedFrame(NamedTuple):
    """A frame with the masks of objects, before the merge.

    Attributes:
        frame_idx: of the frame.
        size_hw: of the masks.
        points: all tracked points there.
        masks: of the objects wanted, at the working size; none where there is an earlier result.
        digest: of the prompts, with a memo; else "".
        earlier: the result that the memo has.
    """

    frame_idx: int
    size_hw: SizeHW
    points: FramePoints
    masks: list[ObjectMask]
    digest: str = ""
    earlier: FrameMasks | None = None

    def __repr__(self) -> str:
        return shape_repr(self)


class ObjectPrediction(NamedTuple):
    """An object on a frame, and the logits that its next frame may be prompted with, when that is wanted."""

    mask: ObjectMask
    low_res_logits: Any

    def __repr__(self) -> str:
        return shape_repr(self)


def _go_on() -> None:
    pass


@dataclass(frozen=True)
class Engine:
    """A run's backends and settings, and the one part that prompts the segmenter.

    Attributes:
        cache_bytes: room for embeddings of frames that another window may need again; used with re-initialisation.
        waiting_bytes: room for masks that wait until their window is done; those of more objects wait on disk.
        check: called between objects and frames; whoever wants the end raises.
        on_masks: called with a frame's number and its masks, at the working size, before they are final: those of a window are
            final together.
    """

    tracker: PointTracker
    segmenter: PromptableSegmenter
    config: SegmentConfig
    cache_bytes: int = 64 << 20
    waiting_bytes: int = 128 << 20
    check: Callable[[], None] = _go_on
    on_masks: Callable[[int, Sequence[ObjectMask]], None] | None = None

    def prompts(self, frame_idx: int, points: FramePoints, object_ids: Sequence[int]) -> list[ObjectPrompt]:
        """The prompts of the objects that have a visible positive point."""
        seed = self.config.seed
        return build_prompts(
            points, object_ids, self.config.prompting, lambda i: rng_for(seed, RngPurpose.PROMPT, i, frame_idx)
        )

    def segment(
        self, frames: UInt8Array, prompts: Sequence[Sequence[ObjectPrompt]], object_ids: Sequence[int]
    ) -> list[list[ObjectMask]]:
        """These objects' masks on every one of the (b, h, w, 3) frames; a frame that has no prompt is not encoded."""
        prompted = [i for i, p in enumerate(prompts) if p]
        embeddings = dict(zip(prompted, self.segmenter.encode(frames[prompted]), strict=True)) if prompted else {}
        size_hw = (frames.shape[1], frames.shape[2])
        own = [[p for p in on_frame if p.object_id in object_ids] for on_frame in prompts]
        found = [self.predict(embeddings[i], p, size_hw) if p else [] for i, p in enumerate(own)]
        return [collect_masks(predictions, object_ids) for predictions in found]

    def predict(self, embedding: Any, prompts: Sequence[ObjectPrompt], size_hw: SizeHW) -> list[ObjectPrediction]:
        """What the segmenter says of the prompts; of many objects only some have full-size logits at a time."""
        prompting, keeps = self.config.effective_prompting, self.config.reinit.previous_mask
        found = predict_in_parts(self.segmenter, embedding, prompts, prompting, size_hw)
        return [
            ObjectPrediction(ObjectMask.of_prediction(a, prompting.iou_threshold), a.low_res_logits if keeps else None)
            for a in found
        ]

    def query_masks(self, working: Video, points: Points) -> list[QueryMask] | None:
        """The masks that the tracker wants to know, if it does."""
        if not self.tracker.info.needs_masks:
            return None

        def segment_one(frame_idx: int, frame: UInt8Array, own: Points) -> list[ObjectMask]:
            prompt = ObjectPrompt(own.object_ids[0], own.xy, own.is_positive)
            return self.segment(frame[None], [[prompt]], own.object_ids)[0]

        return masks_for_tracker(working, points, segment_one)


def collect_predictions(predictions: Sequence[ObjectPrediction], object_ids: Sequence[int]) -> list[ObjectPrediction]:
    """Every object's prediction from those about one frame; one that nothing was predicted for is absent."""
    found = {prediction.mask.object_id: prediction for prediction in predictions}
    return [found.get(o) or ObjectPrediction(ObjectMask(o, ObjectState.NO_VISIBLE_POINT), None) for o in object_ids]


def collect_masks(predictions: Sequence[ObjectPrediction], object_ids: Sequence[int]) -> list[ObjectMask]:
    """The masks of :func:`collect_predictions`."""
    return [prediction.mask for prediction in collect_predictions(predictions, object_ids)]


def tracked_frames(engine: Engine, working: Video, points: Points) -> Iterator[TrackedFrame]:
    """Without re-initialisation: every frame in order with all its points, before their prompt frames, too (any protocol)."""
    feed = track_feed(
        working,
        points,
        engine.tracker,
        engine.config.tracking,
        backward=True,
        query_masks=engine.query_masks(working, points),
    )
    return (TrackedFrame(*item) for item in feed)


def segmented_frames(
    engine: Engine,
    tracked: Iterator[TrackedFrame],
    object_ids: Sequence[int],
    prompted: Callable[[int], Sequence[int]],
    *,
    memo: Memo | None = None,
    batch: int | None = None,
) -> Iterator[SegmentedFrame]:
    """Segment tracked frames, as many at a time as the segmenter likes to encode together.

    Args:
        engine: backends and settings.
        tracked: in order.
        object_ids: whose masks are wanted.
        prompted: from a frame's index to the objects that have a prompt there; frames where none has are not encoded.
        memo: what it has is not segmented again.
        batch: how many frames at a time, when it is not for the segmenter to say.

    Yields:
        for every frame in order what was found.
    """
    count = batch or engine.segmenter.info.encode_batch
    while items := list(itertools.islice(tracked, count)):
        prompts = [engine.prompts(t.frame_idx, t.points, prompted(t.frame_idx)) for t in items]
        digests = [""] * len(items)
        earlier: list[FrameMasks | None] = [None] * len(items)
        if memo is not None:  # an empty one counts as False
            digests = [prompts_digest(p) for p in prompts]
            earlier = [memo.lookup(t.frame_idx, d, t.points) for t, d in zip(items, digests, strict=True)]
        new = [i for i, result in enumerate(earlier) if result is None]
        frames = np.stack([items[i].frame for i in new]) if new else None
        found = [] if frames is None else engine.segment(frames, [prompts[i] for i in new], object_ids)
        masks = dict(zip(new, found, strict=True))
        for i, t in enumerate(items):
            size_hw = (t.frame.shape[0], t.frame.shape[1])
            yield SegmentedFrame(t.frame_idx, size_hw, t.points, masks.get(i, []), digests[i], earlier[i])
