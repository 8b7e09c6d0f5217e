"""Tracks that another program made, behind the interface of a tracker."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from sampt.backends.table import TRACKERS
from sampt.errors import BackendError
from sampt.geometry import SizeHW, inside_frame, rescale_xy
from sampt.trackers.base import FrameSource, TrackerInfo
from sampt.trackers.tracks_file.read import FileTracks, read_tracks
from sampt.types import FloatArray, HiddenBy, IntArray, Points, QueryMask, Tracks

__all__ = ["FileTracker"]

_NEAR = 0.02
"""A track is a query point's own when it passes within this fraction of the frame's diagonal on the prompt frame."""


class FileTracker:
    """Every query point moves as the track of the file that is nearest to it on its prompt frame.

    Args:
        tracks: of the file.
        path: of the file, for errors.
    """

    info: TrackerInfo = TRACKERS["tracks"].info

    def __init__(self, tracks: FileTracks, path: str) -> None:
        self._tracks, self._path = tracks, path

    @classmethod
    def read(cls, given: str) -> FileTracker:
        """The tracks of a file, given by its path, or as PATH#NAME where it has several videos.

        Raises:
            BackendError: it cannot be read as tracks.
        """
        path, name = Path(given).expanduser(), None
        if "#" in given and not path.exists():
            before, _, name = given.rpartition("#")
            path = Path(before).expanduser()
        return cls(read_tracks(path, name), given)

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`.

        Raises:
            BackendError: the file has fewer frames than the video, or no track near any of the points.
        """
        t, n = video.num_frames, len(points)
        frames = self._source_frames(video)
        locations = self._locations(video)
        xy = np.broadcast_to(points.xy, (t, n, 2)).astype(np.float32)
        confidence = np.zeros((t, n), np.float32)
        hidden_by = np.full((t, n), HiddenBy.TRACKER, np.uint8)
        columns, distance = self._nearest(locations, frames[points.frame_idx], points.xy)
        limit = _NEAR * float(np.hypot(*video.size_hw))
        self._check_any_near(distance, limit, frames[points.frame_idx])
        near = distance <= limit
        rows, own = frames[:, None], columns[near]
        known, seen = self._tracks.known[rows, own], self._tracks.visible[rows, own]
        moved = locations[rows, own] + (points.xy[near] - locations[frames[points.frame_idx[near]], own])
        xy[:, near] = np.where(known[..., None], moved, points.xy[near])
        confidence[:, near] = np.where(known, self._tracks.confidence[rows, own], 0)
        is_visible = seen & inside_frame(xy[:, near], video.size_hw)
        hidden_by[:, near] = np.where(is_visible, HiddenBy.NONE, HiddenBy.TRACKER)
        given = points.frame_idx, np.arange(n)
        xy[given], confidence[given], hidden_by[given] = points.xy, 1, HiddenBy.NONE
        return Tracks(points, xy, confidence=confidence, hidden_by=hidden_by)

    def _source_frames(self, video: FrameSource) -> IntArray:
        """(t,) the number of each frame in the video that the file is of."""
        source = getattr(video, "source_frame", int)
        frames = np.array([source(i) for i in range(video.num_frames)], np.int64)
        count = len(self._tracks.xy)
        if len(frames) and frames.max() >= count:
            raise BackendError(
                f"{self._path} has tracks on frames 0 to {count - 1}, and the video has frame {frames.max()}; expected tracks "
                "over the whole video."
            )
        return frames

    def _locations(self, video: FrameSource) -> FloatArray:
        """(t, n, 2) locations of the file in pixels of the frames that are tracked on."""
        own: SizeHW = getattr(video, "source_size_hw", video.size_hw)
        size_hw = own if self._tracks.size_hw is None else self._tracks.size_hw
        if size_hw == (1, 1):  # fractions of the sides, from the frame's corner
            return np.asarray(self._tracks.xy * np.array(video.size_hw[::-1], np.float32) - np.float32(0.5))
        return self._tracks.xy if size_hw == video.size_hw else rescale_xy(self._tracks.xy, size_hw, video.size_hw)

    def _nearest(self, locations: FloatArray, frame_idx: IntArray, xy: FloatArray) -> tuple[IntArray, FloatArray]:
        """For points (n, 2) on frames (n,): the nearest track that is visible there, and how far it is, infinite for none."""
        columns, distance = np.zeros(len(xy), np.int64), np.full(len(xy), np.inf)
        for i, (frame, own) in enumerate(zip(frame_idx, xy, strict=True)):
            away = np.where(self._tracks.visible[frame], np.linalg.norm(locations[frame] - own, axis=-1), np.inf)
            columns[i] = away.argmin()
            distance[i] = away[columns[i]]
        return columns, distance

    def _check_any_near(self, distance: FloatArray, limit: float, frame_idx: IntArray) -> None:
        if not len(distance) or distance.min() <= limit:
            return
        nearest = "no track is visible there" if np.isinf(distance.min()) else f"the nearest is {distance.min():.0f} px away"
        raise BackendError(
            f"{self._path} has no track within {limit:.0f} px of any of the {len(distance)} query points on frame "
            f"{frame_idx[distance.argmin()]} ({nearest}); expected tracks of the objects, in pixels of the video's frames."
        )
