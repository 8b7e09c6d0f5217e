"""The user's own points, which lead back to an object that was lost."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from sampt.pipeline.propagation import Engine
from sampt.tracks.feed import track_feed
from sampt.types import FramePoints, Points
from sampt.video.base import Video

__all__ = ["OwnPoints"]


class OwnPoints:
    """The user's points, tracked from their frames to the end whatever happens to the masks.

    Args:
        first_id: of the points.
    """

    def __init__(self, engine: Engine, video: Video, points: Points, first_id: int) -> None:
        self._first_id = first_id
        self._feed = track_feed(
            video, points, engine.tracker, engine.config.tracking, backward=False, query_masks=engine.query_masks(video, points)
        )
        self._rows: dict[int, FramePoints] = {}
        self._next = 0

    def at(self, frame_idx: int, object_ids: Sequence[int]) -> FramePoints:
        """Those of some objects on a frame; frames before the one last given to :meth:`forget` are no longer known."""
        while self._next <= frame_idx:
            self._next, _, row = next(self._feed)
            self._rows[self._next] = dataclasses.replace(row, point_id=row.point_id + self._first_id)
            self._next += 1
        row = self._rows[frame_idx]
        return row.select(np.isin(row.object_id, object_ids))

    def forget(self, before: int) -> None:
        """Frames before this one will not be requested again."""
        self._rows = {i: row for i, row in self._rows.items() if i >= before}
