"""A video that several threads read."""

from __future__ import annotations

import threading

import numpy as np

from sampt.types import UInt8Array
from sampt.video.base import CachedVideo, Video, VideoView

__all__ = ["LockedVideo"]


class LockedVideo(VideoView):
    """``video`` for several threads: one reads at a time, and each gets frames of its own.

    Args:
        video: any.
        cached_frames: frames read last that are cached, as far as memory allows.
    """

    def __init__(self, video: Video, cached_frames: int = 0) -> None:
        super().__init__(CachedVideo(video, cached_frames) if cached_frames else video)
        self._inner, self._is_cached, self._lock = video, cached_frames > 0, threading.Lock()

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
