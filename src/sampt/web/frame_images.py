"""Frames as JPEG, fast enough for scrubbing: encoded once, read ahead in the direction that a person goes."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from sampt.backends.lru_cache import LruCache
from sampt.errors import VideoError
from sampt.types import UInt8Array
from sampt.video.base import Video, resize_frame

__all__ = ["FrameImages"]

_QUALITY = 90
_SMALL_QUALITY = 80
_AHEAD = 12
_BEHIND = 24
"""Frames that are read together when a person goes backward: each such run begins at a key frame, which may be far away."""


class FrameImages:
    """JPEG images of a video's frames. Several threads may call.

    Args:
        video: may be read from any thread.
        cache_bytes: room for encoded images; those used longest ago make way.
    """

    def __init__(self, video: Video, cache_bytes: int) -> None:
        self._video = video
        self._encoded: LruCache[tuple[int, int], bytes] = LruCache(cache_bytes)
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._last: dict[int, int] = {}
        self._ahead = ThreadPoolExecutor(1, thread_name_prefix="sampt-read-ahead")
        self._ahead_until = -1
        self._is_open = True

    def get(self, frame_idx: int, width: int | None = None) -> bytes:
        """The frame at the video's size, or scaled down to ``width`` when it is wider.

        Raises:
            VideoError: the frame cannot be read.
        """
        full = self._video.size_hw[1]
        width = full if width is None else min(width, full)
        last = self._last.get(width)
        self._last[width] = frame_idx
        key = (frame_idx, width)
        data = self._find(key)
        if data is None:
            is_back = last is not None and last - _BEHIND <= frame_idx < last
            with self._reading:
                if (data := self._find(key)) is None:
                    for i in range(max(0, frame_idx - _BEHIND + 1) if is_back else frame_idx, frame_idx + 1):
                        data = self._find((i, width)) or self._make(i, width)
        if last is not None and last < frame_idx <= last + 3:
            self._read_ahead(frame_idx, width)
        assert data is not None
        return data

    def close(self) -> None:
        """End reading ahead."""
        self._is_open = False
        self._ahead.shutdown(wait=True, cancel_futures=True)

    def _find(self, key: tuple[int, int]) -> bytes | None:
        with self._lock:
            return self._encoded.get(key)

    def _make(self, frame_idx: int, width: int) -> bytes:
        data = _encode(self._video.read(frame_idx, frame_idx + 1)[0], width)
        with self._lock:
            return self._encoded.put((frame_idx, width), data, len(data))

    def _read_ahead(self, frame_idx: int, width: int) -> None:
        if not self._is_open or frame_idx < self._ahead_until - _AHEAD // 2 <= frame_idx + _AHEAD:
            return
        self._ahead_until = min(frame_idx + _AHEAD, self._video.num_frames - 1)
        try:
            self._ahead.submit(self._make_all, range(frame_idx + 1, self._ahead_until + 1), width)
        except RuntimeError:  # closed meanwhile
            return

    def _make_all(self, frames: range, width: int) -> None:
        for i in frames:
            if not self._is_open or not frames.start - 2 <= self._last.get(width, -9) <= frames.stop + _AHEAD:
                return  # the person has gone somewhere else
            with self._reading:
                try:
                    if self._find((i, width)) is None:
                        self._make(i, width)
                except VideoError:
                    return  # whoever requests the frame gets the error


def _encode(frame: UInt8Array, width: int) -> bytes:
    h, w = frame.shape[:2]
    is_small = width < w
    if is_small:
        frame = resize_frame(frame, (max(1, round(h * width / w)), width))
    swapped = cv2.cvtColor(frame, cv2.COLOR_RGB2BGR)
    is_done, data = cv2.imencode(".jpg", swapped, [cv2.IMWRITE_JPEG_QUALITY, _SMALL_QUALITY if is_small else _QUALITY])
    assert is_done
    return bytes(np.asarray(data).tobytes())
