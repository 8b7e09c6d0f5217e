"""The two ways through a video: points followed from start to end, or sampled again from the masks window by window."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from sampt.config import SegmentConfig
from sampt.geometry import SizeHW
from sampt.masks.merge import ObjectMask
from sampt.points.sample import sample_object_points
from sampt.preparation import masks_for_tracker, reinit_sampling, rng_for
from sampt.prompts.build import build_prompts
from sampt.prompts.parts import predictions
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.cache import EmbeddingMemory
from sampt.trackers.base import PointTracker
from sampt.tracks.appearance import ObjectLook
from sampt.tracks.feed import track_feed, track_whole
from sampt.tracks.reinit import next_query_frames, signs_by_origin
from sampt.types import FramePoints, ObjectPrompt, ObjectState, Points, QueryMask, UInt8Array
from sampt.video.base import CachedVideo, SubVideo, Video

__all__ = ["Answer", "Engine", "TrackedFrame", "reinitialised", "tracked_frames"]


class TrackedFrame(NamedTuple):
    """A frame with its points, ready to be segmented."""

    frame_idx: int
    frame: UInt8Array
    points: FramePoints


class Answer(NamedTuple):
    """An object on a frame, and the logits that its next frame may be asked with, when that is wanted."""

    mask: ObjectMask
    low_res_logits: Any


@dataclass(frozen=True)
class Engine:
    """A run's back ends and settings, and the one place that asks the segmenter.

    Attributes:
        kept_bytes: room for embeddings of frames that another window may need again; used with re-initialisation.
    """

    tracker: PointTracker
    segmenter: PromptableSegmenter
    config: SegmentConfig
    kept_bytes: int = 64 << 20

    def prompts(self, frame_idx: int, points: FramePoints, object_ids: Sequence[int]) -> list[ObjectPrompt]:
        """The prompts of the objects that have a visible positive point."""
        seed = self.config.seed
        return build_prompts(points, object_ids, self.config.prompting, lambda i: rng_for(seed, 3, i, frame_idx))

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
        gate, keeps = self.config.prompting.iou_threshold, self.config.reinit.previous_mask
        found = predictions(self.segmenter, embedding, prompts, self.config.prompting, size_hw)
        return [Answer(ObjectMask.of_prediction(a, gate), a.low_res_logits if keeps else None) for a in found]

    def query_masks(self, working: Video, points: Points) -> list[QueryMask] | None:
        """The masks that the tracker wants to know, if it does."""
        if not self.tracker.info.needs_masks:
            return None

        def segment_one(frame_idx: int, frame: UInt8Array, own: Points) -> list[ObjectMask]:
            prompt = ObjectPrompt(own.object_ids[0], own.xy, own.is_positive)
            return self.segment(frame[None], [[prompt]], own.object_ids)[0]

        return masks_for_tracker(working, points, segment_one)


def masks_of(answers: Sequence[Answer], object_ids: Sequence[int]) -> list[ObjectMask]:
    """Every object's mask from the answers about one frame; one that nobody asked about is absent."""
    found = {answer.mask.object_id: answer.mask for answer in answers}
    return [found.get(o) or ObjectMask(o, ObjectState.NO_VISIBLE_POINT) for o in object_ids]


def tracked_frames(engine: Engine, working: Video, points: Points) -> Iterator[TrackedFrame]:
    """Without re-initialisation: every frame in order with all its points."""
    feed = track_feed(
        working,
        points,
        engine.tracker,
        engine.config.tracking,
        backward=engine.config.protocol == "both-ways",
        query_masks=engine.query_masks(working, points),
    )
    return (TrackedFrame(*item) for item in feed)


@dataclass
class _Leg:
    """An object's points from one query frame on.

    Attributes:
        start: the query frame.
        points: on that frame.
        is_named: whether they are the user's own, at least in part.
        mask: the object there, when it is known: the one that the points were drawn from.
    """

    start: int
    points: Points
    is_named: bool = False
    mask: ObjectMask | None = None


@dataclass
class _Waiting:
    """What is final on a frame that still waits for other objects."""

    objects: list[ObjectMask] = field(default_factory=list)
    points: list[FramePoints] = field(default_factory=list)


def reinitialised(engine: Engine, video: Video, points: Points) -> Iterator[tuple[int, list[ObjectMask], list[FramePoints]]]:
    """With re-initialisation, in the one direction that ``video`` is read in.

    Args:
        engine: back ends and settings.
        video: at the working size.
        points: query points; an object's later ones join it when their frame is reached.

    Yields:
        for every frame in order: its index, the objects whose query frame has been reached, and their points.
    """
    return _WindowedRun(engine, video, points).frames()


class _OwnPoints:
    """The user's points, followed from their frames to the end whatever happens to the masks."""

    def __init__(self, engine: Engine, video: Video, points: Points) -> None:
        self._feed = track_feed(
            video, points, engine.tracker, engine.config.tracking, backward=False, query_masks=engine.query_masks(video, points)
        )
        self._rows: dict[int, FramePoints] = {}
        self._next = 0

    def at(self, frame_idx: int, object_ids: Sequence[int]) -> FramePoints:
        """Those of some objects on a frame; frames before the one last given to :meth:`forget` are no longer known."""
        while self._next <= frame_idx:
            self._next, _, row = next(self._feed)
            self._rows[self._next] = row
            self._next += 1
        row = self._rows[frame_idx]
        return row.select(np.isin(row.object_id, object_ids))

    def forget(self, before: int) -> None:
        """Frames before this one will not be asked for again."""
        self._rows = {i: row for i, row in self._rows.items() if i >= before}


class _WindowedRun:
    """Window after window: track, segment, choose each object's next query frame, sample, go on (section 4)."""

    def __init__(self, engine: Engine, video: Video, points: Points) -> None:
        self._engine = engine
        self._config = engine.config
        self._video = CachedVideo(video, engine.config.reinit.horizon + 1)
        self._later: dict[int, list[_Leg]] = {}
        self._active: dict[int, _Leg] = {}
        self._waiting: dict[int, _Waiting] = {}
        self._on_second_look: set[int] = set()
        self._looks: dict[int, ObjectLook] = {}
        self._last_logits: dict[tuple[int, int], Any] = {}  # by object and frame, of the window at work
        self._next_frame = 0
        # The earliest frames make way: later ones are in more of the windows to come, and no window drives out what it needs.
        self._kept: EmbeddingMemory[int] = EmbeddingMemory(engine.segmenter, engine.kept_bytes, min)
        self._own = _OwnPoints(engine, self._video, points) if engine.config.reinit.keep_queries else None
        self._next_point_id = len(points) if self._own else 0  # the user's own have the first ids
        for object_id in points.object_ids:
            own = points.select(points.object_id == object_id)
            first = own.query_frame(object_id)
            frames = [f for f in np.unique(own.frame_idx).tolist() if f >= first]
            legs = [_Leg(f, own.select(own.frame_idx == f), is_named=True) for f in frames]
            self._active[object_id], self._later[object_id] = legs[0], legs[1:]

    def frames(self) -> Iterator[tuple[int, list[ObjectMask], list[FramePoints]]]:
        while self._active:
            start = min(leg.start for leg in self._active.values())
            yield from self._finished(start)
            self._run_window(start)
        yield from self._finished(self._video.num_frames)

    def _finished(self, stop: int) -> Iterator[tuple[int, list[ObjectMask], list[FramePoints]]]:
        """Frames before ``stop``: no active object will change them any more."""
        self._last_logits = {key: logits for key, logits in self._last_logits.items() if key[1] >= stop}
        self._kept.drop_all(lambda frame_idx: frame_idx < stop)
        if self._own is not None:
            self._own.forget(stop)
        for frame_idx in range(self._next_frame, stop):
            waiting = self._waiting.pop(frame_idx, None) or _Waiting()
            self._next_frame = frame_idx + 1
            yield frame_idx, waiting.objects, waiting.points

    def _length(self, object_id: int, start: int) -> int:
        """Frames of the window: the horizon, or the tracker's on a second look; a later click or the video's end ends it."""
        reinit = self._config.reinit
        horizon = reinit.tracker_horizon if object_id in self._on_second_look else reinit.horizon
        stop = min(start + horizon, self._video.num_frames)
        if self._later[object_id]:
            stop = min(stop, self._later[object_id][0].start + 1)
        return stop - start

    def _run_window(self, start: int) -> None:
        ready = sorted(o for o, leg in self._active.items() if leg.start == start)
        length = self._length(ready[0], start)
        group = [o for o in ready if self._length(o, start) == length]
        points = Points.concat(self._active[o].points for o in group)
        rows = self._with_own(start, self._track(start, length, points), group)
        masks = [self._at_start(start, rows[0], group)]
        masks += [self._segment(start + i, rows[i], group) for i in range(1, length)]
        if self._config.reinit.anchor:
            self._remember_looks(start, masks[0])
        if start + length == self._video.num_frames:
            for object_id in group:
                self._keep(start, rows, masks, object_id, length)
                del self._active[object_id]
            return
        self._choose_next(start, rows, masks, group)

    def _track(self, start: int, length: int, points: Points) -> list[FramePoints]:
        stop = min(start + self._config.reinit.tracker_horizon, self._video.num_frames)
        stop = stop if not self._engine.tracker.info.is_causal else start + length  # later frames cannot matter
        window = SubVideo(self._video, range(start, stop))
        shifted = Points(points.xy, points.frame_idx - start, points.object_id, points.is_positive)
        masks = self._engine.query_masks(window, shifted)
        tracks = track_whole(window, shifted, self._engine.tracker, self._config.tracking, masks)
        first_id = self._next_point_id
        self._next_point_id += len(points)
        return [dataclasses.replace(row, point_id=row.point_id + first_id) for row in map(tracks.at, range(length))]

    def _with_own(self, start: int, rows: list[FramePoints], group: Sequence[int]) -> list[FramePoints]:
        """The rows with the user's points of the objects whose window does not start from those anyway."""
        if self._own is None:
            return rows
        ids = [o for o in group if not self._active[o].is_named]
        return [FramePoints.concat([row, self._own.at(start + i, ids)]) for i, row in enumerate(rows)]

    def _at_start(self, start: int, row: FramePoints, group: Sequence[int]) -> list[ObjectMask]:
        """The masks on the window's first frame; what points were drawn from is not segmented a second time."""
        known = {o: mask for o in group if (mask := self._active[o].mask) is not None}
        new = [o for o in group if o not in known]
        if new:
            known |= {item.object_id: item for item in self._segment(start, row, new)}
        return [known[o] for o in group]

    def _segment(self, frame_idx: int, row: FramePoints, group: Sequence[int]) -> list[ObjectMask]:
        others = self._waiting[frame_idx].points if frame_idx in self._waiting else []
        prompts = self._engine.prompts(frame_idx, FramePoints.concat([row, *others]), group)
        last = self._last_logits  # empty unless the setting asks for it
        prompts = [dataclasses.replace(p, mask_logits=last.get((p.object_id, frame_idx - 1))) for p in prompts]
        answers = self._answers(frame_idx, prompts)
        masks = masks_of(answers, group)
        if self._config.reinit.previous_mask:
            present = {mask.object_id for mask in masks if mask.state is ObjectState.PRESENT}
            for object_id in group:  # a frame may be looked at again, from another window
                self._last_logits.pop((object_id, frame_idx), None)
            for answer in answers:
                if answer.mask.object_id in present:
                    self._last_logits[answer.mask.object_id, frame_idx] = answer.low_res_logits
        return masks

    def _answers(self, frame_idx: int, prompts: Sequence[ObjectPrompt]) -> list[Answer]:
        """What the segmenter says of the prompts; a frame that an earlier window has asked about is not encoded again."""
        if not prompts:
            return []
        embedding = self._kept.get(frame_idx)
        if embedding is None:
            frame = np.array(self._video.read(frame_idx, frame_idx + 1))  # a copy: frames of this video cannot be written to
            embedding = self._engine.segmenter.encode(frame)[0]
            self._kept.put_all({frame_idx: embedding})
        answers = self._engine.ask(embedding, prompts, self._video.size_hw)
        self._kept.trim()  # an embedding may grow when it is asked about
        return answers

    def _remember_looks(self, frame_idx: int, on_frame: Sequence[ObjectMask]) -> None:
        """What objects look like where the user named them, the last time if there were several."""
        for item in on_frame:
            if self._active[item.object_id].is_named and item.logits is not None:
                frame = self._video.read(frame_idx, frame_idx + 1)[0]
                self._looks[item.object_id] = ObjectLook(frame, item.mask(self._video.size_hw))

    def _choose_next(self, start: int, rows: list[FramePoints], masks: list[list[ObjectMask]], group: Sequence[int]) -> None:
        """Give every object of the group its next leg, or retire it; what lies before the next leg is final.

        An object without a candidate, hidden for a while maybe, is looked at once more over the tracker's whole horizon first.
        """
        waiting = [leg.start - start for leg in self._active.values() if leg.start > start]
        areas = [[_area(on_frame[m]) for on_frame in masks] for m in range(len(group))]
        chosen = next_query_frames(areas, self._config.reinit, min(waiting, default=None))
        for m, (object_id, offset) in enumerate(zip(group, chosen, strict=True)):
            later = self._later[object_id]
            last = len(rows) - 1
            if later and later[0].start == start + last:  # the user's click ends the window
                offset = last
                self._active[object_id] = _joined(rows[last], later.pop(0), object_id)
            elif offset is not None:
                found = masks[offset][m]
                points = self._renewed(object_id, start + offset, found.mask(self._video.size_hw))
                if self._config.reinit.look_back and masks[0][m].logits is not None:
                    points = self._looked_back(points, start, masks[0][m].mask(self._video.size_hw))
                self._active[object_id] = _Leg(start + offset, points, mask=found)
            elif object_id not in self._on_second_look and len(rows) < self._config.reinit.tracker_horizon:
                self._on_second_look.add(object_id)
                continue
            elif self._own is not None:  # absent, until enough of the user's points are seen again
                offset = last
                self._active[object_id] = _Leg(start + last, Points.concat([]))
            elif later:  # retired until the user clicks on it again
                self._active[object_id] = later.pop(0)
            else:
                del self._active[object_id]
            self._on_second_look.discard(object_id)
            self._keep(start, rows, masks, object_id, len(rows) if offset is None else offset)

    def _renewed(self, object_id: int, frame_idx: int, mask: np.ndarray) -> Points:
        """Points to go on with, sampled from the predicted mask."""
        frame = self._video.read(frame_idx, frame_idx + 1)[0]
        rng = rng_for(self._config.seed, 4, object_id, frame_idx)
        sampling = reinit_sampling(self._config)
        look = self._looks.get(object_id)
        if look is None:
            return sample_object_points(mask, frame, object_id, frame_idx, sampling, rng)
        positive, negative = look.regions(frame, mask)
        return sample_object_points(positive, frame, object_id, frame_idx, sampling, rng, negative)

    def _looked_back(self, points: Points, start: int, mask: np.ndarray) -> Points:
        """The points, their signs checked by where they came from: ``mask`` is the object on the frame ``start``.

        A mask that has grown onto the background takes points there for the object's, and the mistake adds up from window to
        window. Tracks know better: what was off the object a window ago and is seen to be so is still off it.
        """
        window = SubVideo(self._video, range(start, int(points.frame_idx[0]) + 1))
        shifted = Points(points.xy, points.frame_idx - start, points.object_id, points.is_positive)
        tracks = track_whole(
            window, shifted, self._engine.tracker, self._config.tracking, self._engine.query_masks(window, shifted)
        )
        return Points(points.xy, points.frame_idx, points.object_id, signs_by_origin(tracks.at(0), mask))

    def _keep(
        self,
        start: int,
        rows: Sequence[FramePoints],
        masks: Sequence[Sequence[ObjectMask]],
        object_id: int,
        count: int,
    ) -> None:
        for i in range(count):
            waiting = self._waiting.setdefault(start + i, _Waiting())
            waiting.objects += [o for o in masks[i] if o.object_id == object_id]
            waiting.points.append(rows[i].select(rows[i].object_id == object_id))


def _area(item: ObjectMask) -> int:
    return 0 if item.logits is None else int(np.count_nonzero(item.logits > 0))


def _joined(row: FramePoints, clicks: _Leg, object_id: int) -> _Leg:
    """The points of an object that are visible on the frame, and the user's new ones."""
    kept = row.select((row.object_id == object_id) & row.visible)
    return _Leg(clicks.start, Points.concat([_as_points(kept, clicks.start), clicks.points]), is_named=True)


def _as_points(row: FramePoints, frame_idx: int) -> Points:
    """Tracked points as query points on the frame where they are."""
    return Points(row.xy, np.full(len(row), frame_idx), row.object_id, row.is_positive)
