"""What a run is made of: the back ends with their settings, and the way through a video with points followed from start to end.

The other way, with points that are sampled again from the masks, is in :mod:`sampt.pipeline.windowed`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sampt.checks import shape_repr
from sampt.config import SegmentConfig
from sampt.geometry import SizeHW
from sampt.masks.merge import ObjectMask
from sampt.pipeline.preparation import masks_for_tracker
from sampt.pipeline.randomness import RngPurpose, rng_for
from sampt.prompts.build import build_prompts
from sampt.prompts.parts import predictions
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker
from sampt.tracks.feed import track_feed
from sampt.types import FramePoints, ObjectPrompt, ObjectState, Points, QueryMask, UInt8Array
from sampt.video.base import Video

__all__ = ["Answer", "Engine", "TrackedFrame", "tracked_frames"]


class TrackedFrame(NamedTuple):
    """A frame with its points, ready to be segmented."""

    frame_idx: int
    frame: UInt8Array
    points: FramePoints

    def __repr__(self) -> str:
        return shape_repr(self)


class Answer(NamedTuple):
    """An object on a frame, and the logits that its next frame may be asked with, when that is wanted."""

    mask: ObjectMask
    low_res_logits: Any

    def __repr__(self) -> str:
        return shape_repr(self)


@dataclass(frozen=True)
class Engine:
    """A run's back ends and settings, and the one place that asks the segmenter.

    Attributes:
        kept_bytes: room for embeddings of frames that another window may need again; used with re-initialisation.
        waiting_bytes: room for masks that wait until their window is done; those of more objects wait on disk.
    """

    tracker: PointTracker
    segmenter: PromptableSegmenter
    config: SegmentConfig
    kept_bytes: int = 64 << 20
    waiting_bytes: int = 128 << 20

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
        asked = [i for i, p in enumerate(prompts) if p]
        embeddings = dict(zip(asked, self.segmenter.encode(frames[asked]), strict=True)) if asked else {}
        size_hw = (frames.shape[1], frames.shape[2])
        own = [[p for p in on_frame if p.object_id in object_ids] for on_frame in prompts]
        found = [self.ask(embeddings[i], p, size_hw) if p else [] for i, p in enumerate(own)]
        return [masks_of(answers, object_ids) for answers in found]

    def ask(self, embedding: Any, prompts: Sequence[ObjectPrompt], size_hw: SizeHW) -> list[Answer]:
        """What the segmenter says of the prompts; of many objects only some have full-size logits at a time."""
        prompting, keeps = self.config.effective_prompting, self.config.reinit.previous_mask
        found = predictions(self.segmenter, embedding, prompts, prompting, size_hw)
        return [
            Answer(ObjectMask.of_prediction(a, prompting.iou_threshold), a.low_res_logits if keeps else None) for a in found
        ]

    def query_masks(self, working: Video, points: Points) -> list[QueryMask] | None:
        """The masks that the tracker wants to know, if it does."""
        if not self.tracker.info.needs_masks:
            return None

        def segment_one(frame_idx: int, frame: UInt8Array, own: Points) -> list[ObjectMask]:
            prompt = ObjectPrompt(own.object_ids[0], own.xy, own.is_positive)
            return self.segment(frame[None], [[prompt]], own.object_ids)[0]

        return masks_for_tracker(working, points, segment_one)


def answers_of(answers: Sequence[Answer], object_ids: Sequence[int]) -> list[Answer]:
    """Every object's answer from those about one frame; one that nobody asked about is absent."""
    found = {answer.mask.object_id: answer for answer in answers}
    return [found.get(o) or Answer(ObjectMask(o, ObjectState.NO_VISIBLE_POINT), None) for o in object_ids]


def masks_of(answers: Sequence[Answer], object_ids: Sequence[int]) -> list[ObjectMask]:
    """The masks of :func:`answers_of`."""
    return [answer.mask for answer in answers_of(answers, object_ids)]


def tracked_frames(engine: Engine, working: Video, points: Points) -> Iterator[TrackedFrame]:
    """Without re-initialisation: every frame in order with all its points, before their query frames, too (any protocol)."""
    feed = track_feed(
        working,
        points,
        engine.tracker,
        engine.config.tracking,
        backward=True,
        query_masks=engine.query_masks(working, points),
    )
    return (TrackedFrame(*item) for item in feed)
