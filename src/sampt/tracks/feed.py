"""Tracked points frame by frame: what the rest of the pipeline sees of a tracker.

A causal tracker runs while the frames are read, so that the first result needs one frame and memory does not grow with
pixels; only the few numbers of its backward run, for points given in mid-video, are kept. Other trackers see the whole clip.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence

import numpy as np

from sampt.config import TrackingConfig
from sampt.errors import BackendError
from sampt.trackers.base import (
    FrameSource,
    PointTracker,
    StreamingTracks,
    TrackerStream,
    TrackStep,
    find_stream,
    frames_in_order,
    start_streaming,
    track_frames,
    track_stream,
)
from sampt.tracks.filters import PointFilter
from sampt.types import FramePoints, HiddenBy, IntArray, Points, QueryMask, Tracks, UInt8Array

__all__ = ["streaming_feed", "track_feed", "track_whole"]

Feed = Iterator[tuple[int, UInt8Array, FramePoints]]
TrackedStep = Iterator[tuple[int, IntArray, TrackStep, UInt8Array]]
"""As :func:`sampt.trackers.base.track_frames` yields: frame index, which points, where they are, the frame."""


def track_feed(
    video: FrameSource,
    points: Points,
    tracker: PointTracker,
    config: TrackingConfig,
    *,
    backward: bool,
    query_masks: Sequence[QueryMask] | None = None,
) -> Feed:
    """Frame index, frame and tracked points, for every frame of ``video`` in order.

    Args:
        video: the clip.
        points: n query points.
        tracker: any backend.
        config: grouping and filters.
        backward: whether points are wanted before their prompt frames.
        query_masks: for trackers that need them.
    """
    info = tracker.info
    if not info.is_causal or info.is_joint or info.needs_masks:  # a stream knows neither groups nor masks
        tracks = track_whole(video, points, tracker, config, query_masks)
        for frame_idx, frame in frames_in_order(video, 0, video.num_frames, backward=False):
            row = tracks.at(frame_idx)
            yield frame_idx, frame, row if backward else _without_later_points(row, points, frame_idx)
        return
    open_stream = find_stream(tracker)
    rows = _Rows(points, video.num_frames if backward and points.frame_idx.max() > 0 else 0)
    if rows.num_frames:
        rows.fill_backward(open_stream, video, config)
    frames = frames_in_order(video, 0, video.num_frames, backward=False)
    yield from _forward(track_frames(open_stream, frames, points), points, config, video.size_hw, rows)


def _without_later_points(row: FramePoints, points: Points, frame_idx: int) -> FramePoints:
    """The row as a forward run gives it: points not given yet lie where they will be given, and count for nothing."""
    later = points.frame_idx > frame_idx
    return FramePoints(
        row.point_id,
        row.object_id,
        row.is_positive,
        np.where(later[:, None], points.xy, row.xy),
        np.where(later, np.float32(0), row.confidence),
        np.where(later, np.uint8(HiddenBy.NOT_TRACKED), row.hidden_by),
    )


def streaming_feed(frames: Iterable[UInt8Array], points: Points, tracker: PointTracker, config: TrackingConfig) -> Feed:
    """The same for streamed frames, forward only; a frame comes out when its points are final.

    At most ``tracker.info.streaming_latency`` frames are kept.

    Raises:
        BackendError: (at once) the tracker needs the whole clip, or wants to know the objects' masks.
    """
    if tracker.info.needs_masks:
        raise BackendError(
            f"Tracker {tracker.info.name!r} needs the objects' masks; for streamed frames choose one that does not."
        )
    stream = start_streaming(tracker, points)
    iterator = iter(frames)
    first = next(iterator, None)
    if first is None:
        return iter(())
    stepped = _push_all(stream, itertools.chain([first], iterator), points)
    return _forward(stepped, points, config, (first.shape[0], first.shape[1]), _Rows(points, 0))


def _push_all(stream: StreamingTracks, frames: Iterable[UInt8Array], points: Points) -> TrackedStep:
    waiting: deque[UInt8Array] = deque()
    frame_idx = 0
    for frame in itertools.chain(frames, [None]):
        if frame is not None:
            waiting.append(frame)
        for step in stream.finish() if frame is None else stream.push(frame[None]):
            columns = np.flatnonzero(points.frame_idx <= frame_idx)
            yield (
                frame_idx,
                columns,
                TrackStep(step.xy[columns], step.visible[columns], step.confidence[columns]),
                waiting.popleft(),
            )
            frame_idx += 1


def track_whole(
    video: FrameSource,
    points: Points,
    tracker: PointTracker,
    config: TrackingConfig,
    query_masks: Sequence[QueryMask] | None = None,
) -> Tracks:
    """Tracks of all ``points`` over the clip, filtered; objects go in groups to trackers whose points influence each other."""
    xy = np.zeros((video.num_frames, len(points), 2), np.float32)
    confidence = np.zeros(xy.shape[:2], np.float32)
    hidden_by = np.zeros(xy.shape[:2], np.uint8)
    for columns in _groups(points, config.group_size if tracker.info.is_joint else None):
        ids = set(points.object_id[columns].tolist())
        masks = None if query_masks is None else [m for m in query_masks if m.object_id in ids]
        part = tracker.track(video, points.select(columns), masks)
        xy[:, columns], confidence[:, columns], hidden_by[:, columns] = part.xy, part.confidence, part.hidden_by
    filtered = _filter_bidirectionally(video, points, config, xy, hidden_by)
    return Tracks(points, xy, filtered == HiddenBy.NONE, confidence, filtered)


def _groups(points: Points, group_size: int | None) -> Iterator[np.ndarray]:
    ids = np.array(points.object_ids)
    size = group_size or max(1, len(ids))
    for start in range(0, len(ids), size):
        yield np.flatnonzero(np.isin(points.object_id, ids[start : start + size]))


def _filter_bidirectionally(
    video: FrameSource, points: Points, config: TrackingConfig, xy: np.ndarray, hidden_by: np.ndarray
) -> np.ndarray:
    out = hidden_by.copy()
    if not len(points):
        return out
    first, last = int(points.frame_idx.min()), int(points.frame_idx.max())
    for backward, start, stop in ((True, 0, last + 1), (False, first, video.num_frames)):
        if backward and not last:
            continue
        point_filter = PointFilter(config, points, video.size_hw)
        order: Iterable[tuple[int, UInt8Array | None]]
        if point_filter.needs_frames:
            order = frames_in_order(video, start, stop, backward=backward)
        else:
            numbers = range(start, stop)
            order = ((i, None) for i in (reversed(numbers) if backward else numbers))
        for i, frame in order:
            reached = points.frame_idx >= i if backward else points.frame_idx <= i
            columns = np.flatnonzero(reached)
            out[i, columns] = point_filter.apply(frame, i, columns, xy[i, columns], hidden_by[i, columns])
    return out


class _Rows:
    """The numbers of all points on one frame after another, and those of the backward run, kept until their frame comes."""

    def __init__(self, points: Points, num_frames: int) -> None:
        n = len(points)
        self.points = points
        self.num_frames = num_frames
        self._before_xy = np.zeros((num_frames, n, 2), np.float32)
        self._before_confidence = np.zeros((num_frames, n), np.float32)
        self._before_hidden = np.full((num_frames, n), HiddenBy.NOT_TRACKED, np.uint8)

    def fill_backward(self, open_stream: Callable[[], TrackerStream], video: FrameSource, config: TrackingConfig) -> None:
        point_filter = PointFilter(config, self.points, video.size_hw)
        for i, columns, step, frame in track_stream(open_stream, video, self.points, backward=True):
            codes = np.where(step.visible, HiddenBy.NONE, HiddenBy.TRACKER).astype(np.uint8)
            self._before_xy[i, columns] = step.xy
            self._before_confidence[i, columns] = step.confidence
            self._before_hidden[i, columns] = point_filter.apply(frame, i, columns, step.xy, codes)

    def at(self, frame_idx: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """xy, confidence and codes on a frame before any forward tracking; points not tracked lie where they were given."""
        if frame_idx < self.num_frames:
            kept = (self._before_xy, self._before_confidence, self._before_hidden)
            return kept[0][frame_idx].copy(), kept[1][frame_idx].copy(), kept[2][frame_idx].copy()
        n = len(self.points)
        return self.points.xy.copy(), np.zeros(n, np.float32), np.full(n, HiddenBy.NOT_TRACKED, np.uint8)


def _forward(
    stepped: TrackedStep,
    points: Points,
    config: TrackingConfig,
    size_hw: tuple[int, int],
    rows: _Rows,
) -> Feed:
    point_filter = PointFilter(config, points, size_hw)
    ids = np.arange(len(points))
    for i, columns, step, frame in stepped:
        xy, confidence, hidden_by = rows.at(i)
        if len(columns):
            codes = np.where(step.visible, HiddenBy.NONE, HiddenBy.TRACKER).astype(np.uint8)
            xy[columns], confidence[columns] = step.xy, step.confidence
            hidden_by[columns] = point_filter.apply(frame, i, columns, step.xy, codes)
        yield i, frame, FramePoints(ids, points.object_id, points.is_positive, xy, confidence, hidden_by)
