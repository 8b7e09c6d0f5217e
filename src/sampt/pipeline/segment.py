"""segment_video: video -> points -> tracks -> prompts -> masks, frame by frame."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from sampt.config import SegmentConfig, default_config
from sampt.errors import ConfigError, VideoError
from sampt.geometry import rescale_xy
from sampt.masks.merge import ObjectMask, merge_objects
from sampt.masks.spool import Spool
from sampt.pipeline.backends import make_segmenter, make_tracker
from sampt.pipeline.preparation import PreparedQueries, prepare_queries, prepare_streaming_queries, working_video
from sampt.pipeline.propagation import Engine, Memo, TrackedFrame, segmented_frames, tracked_frames
from sampt.pipeline.queries import QueryLike
from sampt.pipeline.windowed import KnownMasks, run_windows
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import PointTracker
from sampt.tracks.feed import streaming_feed
from sampt.types import BoolArray, FrameMasks, FramePoints, ObjectState, Points, UInt8Array
from sampt.video.array import ArrayVideo
from sampt.video.base import SubVideo, Video, resize_frame
from sampt.video.open import open_video

__all__ = ["PartOfFrame", "merge_parts", "segment_nothing", "segment_part", "segment_stream", "segment_video"]


class PartOfFrame(NamedTuple):
    """Some objects on a frame, before the merge with the others.

    Attributes:
        frame_idx: of the frame.
        objects: at the working size; not those whose mask is given there, or that the protocol does not segment.
        points: of all these objects.
    """

    frame_idx: int
    objects: list[ObjectMask]
    points: FramePoints


def segment_video(
    video: Any,
    queries: QueryLike,
    *,
    config: SegmentConfig | None = None,
    tracker: PointTracker | str | None = None,
    segmenter: PromptableSegmenter | str | None = None,
    device: str = "auto",
    memo: Memo | None = None,
) -> Iterator[FrameMasks]:
    """Segment objects through a video.

    Args:
        video: a Video, or what :func:`sampt.open_video` takes.
        queries: :class:`Points`, :class:`QueryMask`, :class:`QueryBox`, any mixture, or :class:`sampt.Queries`; coordinates and
            masks at the video's own size. An object may be named on any frame, and again on later ones.
        config: settings; the preset ``default`` when left out.
        tracker: a backend or its name; that of ``config`` when left out.
        segmenter: likewise.
        device: where backends given by name run.
        memo: results of an interrupted run; used without re-initialisation.

    Returns:
        An iterator over every frame of the video in order, with masks at the video's own size. Memory does not grow with the
        video's length.

    Raises:
        SamptError: at once when the input is wrong, and while iterating when a frame cannot be read.
    """
    source = open_video(video)
    engine = _engine(config, tracker, segmenter, device)
    working = working_video(source, engine.config.longest_side)
    prepared = prepare_queries(source, working, queries, engine.config, engine.segmenter)
    if engine.config.reinit.enabled:
        return _run_windows(engine, source, working, prepared)
    return _run_steady(engine, tracked_frames(engine, working, prepared.points), prepared, source.size_hw, memo)


def segment_nothing(video: Video) -> Iterator[FrameMasks]:
    """What :func:`segment_video` would give for no objects: where some were looked for, there may be none."""
    ids, scores, states = np.zeros(0, np.int64), np.zeros(0, np.float32), np.zeros(0, np.uint8)
    for frame_idx in range(video.num_frames):
        yield FrameMasks(frame_idx, ids, np.zeros((0, *video.size_hw), np.bool_), scores, states)


def segment_part(
    video: Any,
    queries: QueryLike,
    object_ids: Sequence[int],
    *,
    config: SegmentConfig,
    tracker: PointTracker,
    segmenter: PromptableSegmenter,
) -> Iterator[PartOfFrame]:
    """Some of the objects that :func:`segment_video` would segment, as they are in its company: to share a video by objects.

    All points are tracked and all frames encoded, since objects influence each other there; masks are made of some objects.

    Args:
        video, queries, config, tracker, segmenter: as for :func:`segment_video`, the queries those of all objects. The settings
            are without re-initialisation, in which masks of one object decide when the others are sampled again.
        object_ids: the objects wanted.

    Yields:
        one value for every frame in order.

    Raises:
        SamptError: the settings do not fit, or as :func:`segment_video`.
    """
    if config.reinit.enabled:
        raise ConfigError(
            "With re-initialisation a video cannot be shared by objects, which decide for each other; use --no-reinit."
        )
    source = open_video(video)
    engine = Engine(tracker, segmenter, config)
    working = working_video(source, config.longest_side)
    prepared = prepare_queries(source, working, queries, config, segmenter)
    return _run_part(engine, working, prepared, object_ids, source.size_hw)


def merge_parts(
    video: Any,
    queries: QueryLike,
    parts: Sequence[Iterator[PartOfFrame]],
    *,
    config: SegmentConfig,
    tracker: PointTracker,
    segmenter: PromptableSegmenter,
) -> Iterator[FrameMasks]:
    """What :func:`segment_video` gives, from what :func:`segment_part` gave for groups of objects that make up all of them.

    Raises:
        SamptError: as :func:`segment_video`.
    """
    source = open_video(video)
    engine = Engine(tracker, segmenter, config)
    working = working_video(source, config.longest_side)
    finish = _Finish(engine, prepare_queries(source, working, queries, config, segmenter), source.size_hw)
    for own in zip(*parts, strict=True):
        points = FramePoints.concat([part.points for part in own])
        row = points.select(np.argsort(points.point_id))
        yield finish(own[0].frame_idx, [item for part in own for item in part.objects], row, working.size_hw)


def segment_stream(
    frames: Iterable[UInt8Array],
    queries: QueryLike,
    *,
    config: SegmentConfig | None = None,
    tracker: PointTracker | str | None = None,
    segmenter: PromptableSegmenter | str | None = None,
    device: str = "auto",
) -> Iterator[FrameMasks]:
    """Segment objects through streamed frames, from a camera for example.

    A frame's result comes with the frame for a causal tracker, up to ``tracker.info.latency`` frames later for another one.

    Args:
        frames: (h, w, 3) uint8 RGB, all of one size; taken only as results are requested.
        queries: clicks and masks; ``frame_idx`` counts the frames of this stream. Masks lie on frame 0, and so do clicks when
            the settings expand them; else clicks lie on any frame.
        config: settings; ``reinit`` must be off, since it needs a video that can be read again. Left out: the preset
            ``default`` without it.
        tracker: a backend that is causal or has a latency, or its name.
        segmenter: a backend or its name.
        device: where backends given by name run.

    Raises:
        SamptError: at once when the settings, the queries or the first frame do not fit.
    """
    engine = _engine(config or default_config(streaming=True), tracker, segmenter, device)
    if engine.config.reinit.enabled:
        raise ConfigError("A stream is read once: switch re-initialisation off (--no-reinit, reinit.enabled=False).")
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        raise VideoError("The stream has no frame; expected at least one (h, w, 3) uint8 RGB frame.")
    size_hw = _check_frame(first, 0, None).shape[:2]
    source = ArrayVideo(first[None])
    working = working_video(source, engine.config.longest_side)
    prepared = prepare_streaming_queries(source, working, queries, engine.config, engine.segmenter)
    checked = (_check_frame(f, i, size_hw) for i, f in enumerate(itertools.chain([first], iterator)))
    resized = checked if working is source else (resize_frame(f, working.size_hw) for f in checked)
    feed = streaming_feed(resized, prepared.points, engine.tracker, engine.config.tracking)
    return _run_steady(engine, (TrackedFrame(*f) for f in feed), prepared, source.size_hw, None, batch=1)


def _check_frame(frame: Any, frame_idx: int, size_hw: tuple[int, ...] | None) -> UInt8Array:
    """The frame of a stream, when it is one and has the size of the first one."""
    is_frame = isinstance(frame, np.ndarray) and frame.dtype == np.uint8 and frame.ndim == 3 and frame.shape[2] == 3
    if not is_frame or not frame.size or frame.shape[:2] != (size_hw or frame.shape[:2]):
        got = f"{frame.dtype} {frame.shape}" if isinstance(frame, np.ndarray) else type(frame).__name__
        size = "h, w" if size_hw is None else f"{size_hw[0]}, {size_hw[1]}"
        raise VideoError(f"Frame {frame_idx} of the stream is {got}; expected a uint8 RGB array ({size}, 3).")
    return np.asarray(frame)


def _engine(
    config: SegmentConfig | None,
    tracker: PointTracker | str | None,
    segmenter: PromptableSegmenter | str | None,
    device: str,
) -> Engine:
    chosen = config or default_config()
    if tracker is None or isinstance(tracker, str):
        tracker = make_tracker(chosen, device, tracker)
    if segmenter is None or isinstance(segmenter, str):
        segmenter = make_segmenter(chosen, device, segmenter)
    return Engine(tracker, segmenter, chosen)


def _run_steady(
    engine: Engine,
    tracked: Iterator[TrackedFrame],
    queries: PreparedQueries,
    size_hw: tuple[int, int],
    memo: Memo | None,
    batch: int | None = None,
) -> Iterator[FrameMasks]:
    """Segment every tracked frame."""
    finish = _Finish(engine, queries, size_hw)
    for found in segmented_frames(engine, tracked, queries.object_ids, finish.due, memo=memo, batch=batch):
        if found.earlier is not None:
            yield found.earlier
            continue
        result = finish(found.frame_idx, found.masks, found.points, found.size_hw)
        if memo is not None:
            memo.append(result, found.digest)
        yield result


def _run_part(
    engine: Engine, working: Video, queries: PreparedQueries, object_ids: Sequence[int], size_hw: tuple[int, int]
) -> Iterator[PartOfFrame]:
    """As :func:`_run_steady`, which encodes the same frames together; only some objects are decoded."""
    due = _Finish(engine, queries, size_hw).due
    for found in segmented_frames(engine, tracked_frames(engine, working, queries.points), object_ids, due):
        own = found.points.select(np.isin(found.points.object_id, object_ids))
        yield PartOfFrame(found.frame_idx, [m for m in found.masks if m.object_id in due(found.frame_idx)], own)


def _run_windows(engine: Engine, source: Video, working: Video, queries: PreparedQueries) -> Iterator[FrameMasks]:
    """The time-reversed run first, its masks kept on disk, then the forward run, stitched at every object's prompt frame."""
    finish = _Finish(engine, queries, source.size_hw)
    spool = Spool()
    known = {
        (o, f): ObjectMask.of_given(o, mask).resized(source.size_hw, working.size_hw) for (o, f), mask in queries.given.items()
    }
    try:
        if engine.config.protocol == "bidirectional":
            _run_backward(engine, working, queries.points, known, spool)
        for frame_idx, objects, points in run_windows(engine, working, queries.points, known):
            earlier, earlier_points = spool.take(frame_idx)
            row = FramePoints.concat([*points, *earlier_points])
            yield finish(frame_idx, [*objects, *earlier], row, working.size_hw)
    finally:
        spool.close()


def _run_backward(engine: Engine, working: Video, points: Points, known: KnownMasks, spool: Spool) -> None:
    last = working.num_frames - 1
    first_points = [
        points.select((points.object_id == o) & (points.frame_idx == points.prompt_frame(o)))
        for o in points.object_ids
        if points.prompt_frame(o) > 0
    ]
    if not first_points:
        return
    joined = Points.concat(first_points)
    mirrored = joined.with_frames(last - joined.frame_idx)
    prompt_frame = {o: joined.prompt_frame(o) for o in joined.object_ids}
    reversed_video = SubVideo(working, range(last, -1, -1))
    mirrored_masks = {(o, last - f): mask for (o, f), mask in known.items()}
    for mirrored_idx, objects, rows in run_windows(engine, reversed_video, mirrored, mirrored_masks):
        frame_idx = last - mirrored_idx
        before = [o for o in objects if frame_idx < prompt_frame[o.object_id]]
        ids = {o.object_id for o in before}
        # Negative ids keep the points of the time-reversed run apart from those of the forward run.
        kept = [replace(r, point_id=-1 - r.point_id) for r in rows if len(r) and int(r.object_id[0]) in ids]
        spool.put(frame_idx, (before, kept))


class _Finish:
    """The last step on a frame: given masks, objects that are absent, the merge, at the video's own size."""

    def __init__(self, engine: Engine, queries: PreparedQueries, size_hw: tuple[int, int]) -> None:
        self._config = engine.config
        self._given: dict[tuple[int, int], BoolArray] = queries.given
        self._prompt_frames = {o: queries.points.prompt_frame(o) for o in queries.object_ids}
        self._size_hw = size_hw

    def due(self, frame_idx: int) -> list[int]:
        """The objects that the segmenter is prompted for on a frame: not those whose mask is given there."""
        vos = self._config.protocol == "vos"
        return [
            o
            for o, first in self._prompt_frames.items()
            if (o, frame_idx) not in self._given and not (vos and frame_idx < first)
        ]

    def __call__(
        self, frame_idx: int, objects: Sequence[ObjectMask], points: FramePoints, from_hw: tuple[int, int]
    ) -> FrameMasks:
        known = {o.object_id: o.resized(from_hw, self._size_hw) for o in objects}
        due = set(self.due(frame_idx))
        final = []
        for object_id in self._prompt_frames:
            if (object_id, frame_idx) in self._given:
                final.append(ObjectMask.of_given(object_id, self._given[object_id, frame_idx]))
            elif object_id not in due:
                final.append(ObjectMask(object_id, ObjectState.BEFORE_QUERY))
            else:
                final.append(known.get(object_id) or ObjectMask(object_id, ObjectState.RETIRED))
        return merge_objects(
            frame_idx,
            final,
            self._size_hw,
            self._rescale(points, from_hw),
            overlapping=self._config.overlapping,
            compete=self._config.reinit.compete,
        )

    def _rescale(self, points: FramePoints, from_hw: tuple[int, int]) -> FramePoints:
        if from_hw == self._size_hw:
            return points
        return replace(points, xy=rescale_xy(points.xy, from_hw, self._size_hw))
