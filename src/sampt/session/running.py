"""Following objects from one frame along others with the pipeline's own parts, in a way that can be stopped anywhere."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import numpy as np

from sampt.masks.merge import ObjectMask
from sampt.pipeline.propagation import Engine, tracked_frames
from sampt.pipeline.windowed import reinitialised
from sampt.segmenters.base import Passes, PromptableSegmenter, SegmenterView
from sampt.types import FramePoints, MaskPrediction, ObjectPrompt, Points, UInt8Array
from sampt.video.base import CachedVideo, SubVideo, Video, VideoView

__all__ = ["LockedVideo", "Stopped", "WatchedSegmenter", "WatchedVideo", "follow"]


class LockedVideo(VideoView):
    """``video`` for several threads: one reads at a time, and each gets frames of its own.

    Args:
        video: any.
        kept_frames: frames read last that are kept, as far as memory allows.
    """

    def __init__(self, video: Video, kept_frames: int = 0) -> None:
        super().__init__(CachedVideo(video, kept_frames) if kept_frames else video)
        self._inner, self._is_cached, self._lock = video, kept_frames > 0, threading.Lock()

    def read(self, start: int, stop: int) -> UInt8Array:
        with self._lock:
            frames = super().read(start, stop)
        return np.array(frames) if self._is_cached else frames

    def close(self) -> None:
        """Close the file, where there is one; reading again opens it again."""
        close = getattr(self._inner, "close", None)
        if close is not None:
            with self._lock:
                close()


class Stopped(Exception):  # noqa: N818 - it is no error
    """What runs is not wanted any more."""


class WatchedVideo(VideoView):
    """``video``, whose reading calls ``check`` first, which may raise."""

    def __init__(self, video: Video, check: Callable[[], None]) -> None:
        super().__init__(video)
        self._check = check

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check()
        return super().read(start, stop)


class WatchedSegmenter(SegmenterView):
    """``segmenter``, which calls ``check`` before all it does, and does not encode the one frame whose embedding is known."""

    def __init__(
        self, segmenter: PromptableSegmenter, check: Callable[[], None], known: tuple[UInt8Array, Callable[[], Any]] | None
    ) -> None:
        super().__init__(segmenter)
        self._check, self._known = check, known

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        self._check()
        if self._known is None:
            return super().encode(frames)
        known_frame, known = self._known
        new = [i for i, frame in enumerate(frames) if not np.array_equal(frame, known_frame)]
        made = dict(zip(new, super().encode(frames[new]), strict=True)) if new else {}
        return [made[i] if i in made else known() for i in range(len(frames))]

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        self._check()
        return super().decode(embedding, prompts, full_size=full_size)

    def decode_in_rounds(self, embedding: Any, prompts: Sequence[ObjectPrompt], passes: Passes) -> list[MaskPrediction]:
        self._check()
        return super().decode_in_rounds(embedding, prompts, passes)


def follow(
    engine: Engine, working: Video, frames: range, points: Points, known: Mapping[int, ObjectMask]
) -> Generator[tuple[int, list[ObjectMask], FramePoints], None, None]:
    """Objects on ``frames``, which may run backward, from ``points`` on the first of them.

    With re-initialisation as the settings say it, window by window, else with the points alone; then nothing is asked about the
    first frame.

    Args:
        engine: back ends and settings.
        working: the video at the working size.
        frames: of it, in the order in which they are followed.
        points: on the first of these.
        known: by object, the masks there, at the working size.

    Yields:
        for every frame in order: its index, the masks of objects that have not been given up, and all points there; both at
        the working size.
    """
    view = SubVideo(working, frames)
    local = points.shifted(-frames[0])
    if engine.config.reinit.enabled:
        for i, masks, rows in reinitialised(engine, view, local, {(o, 0): mask for o, mask in known.items()}):
            yield frames[i], masks, FramePoints.concat(rows)
        return
    tracked = tracked_frames(engine, view, local)
    ids = local.object_ids
    while items := list(itertools.islice(tracked, engine.segmenter.info.encode_batch)):
        prompts = [engine.prompts(t.frame_idx, t.points, ids if t.frame_idx else []) for t in items]
        found = engine.segment(np.stack([t.frame for t in items]), prompts, ids)
        for item, masks in zip(items, found, strict=True):
            yield frames[item.frame_idx], masks, item.points
