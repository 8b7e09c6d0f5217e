"""What a video is, and views of one: a range of its frames, its time-reversed copy, a resized copy, a copy that caches."""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from sampt.backends.lru_cache import LruCache
from sampt.errors import VideoError
from sampt.types import UInt8Array

__all__ = ["CachedVideo", "Damage", "ResizedVideo", "SubVideo", "Video", "VideoView", "read_frames", "resize_frame"]


@dataclass(frozen=True)
class Damage:
    """Which frames of a video are broken.

    Attributes:
        unreadable: frames that cannot be had, ascending.
        doubtful: frames that are had but made without all that they refer to, or marked as corrupt, ascending.
        reason: what is wrong with the first unreadable one, as what a sentence says of it.
    """

    unreadable: tuple[int, ...] = ()
    doubtful: tuple[int, ...] = ()
    reason: str = ""


class Video(ABC):
    """Frames of one size that can be read in any window. Reading forward in order is fast; memory is that of the window.

    Attributes:
        is_streaming: True when frames are streamed, so that they can be read once, and ``num_frames`` counts those that have
            come.
    """

    is_streaming = False

    @property
    @abstractmethod
    def num_frames(self) -> int: ...

    @property
    @abstractmethod
    def size_hw(self) -> tuple[int, int]: ...

    @property
    @abstractmethod
    def fps(self) -> float:
        """Frames per second: the mean of a file with variable frame rate; 24 where the source has no clock."""

    @abstractmethod
    def read(self, start: int, stop: int) -> UInt8Array:
        """Frames [start, stop) as (t, h, w, 3) uint8 RGB.

        Raises:
            VideoError: the range lies outside the video, or a frame cannot be read.
        """

    def source_frame(self, frame_idx: int) -> int:
        """The number of a frame in the video that was opened, of which this one may be a part, or the time-reversed copy."""
        return frame_idx

    @property
    def source_size_hw(self) -> tuple[int, int]:
        """Size of the frames of that video, of which these may be resized copies."""
        return self.size_hw

    def frame_name(self, frame_idx: int) -> str:
        """The name that files about this frame carry: the image's own stem, else its five-digit number."""
        return f"{frame_idx:05d}"

    @property
    def has_names(self) -> bool:
        """Whether frames have names of their own, those of image files; else :meth:`frame_name` is but a number."""
        return False

    def time_s(self, frame_idx: int) -> float:
        """When the frame is shown, in seconds from the first one."""
        return frame_idx / self.fps

    def duration_s(self, frame_idx: int) -> float:
        """How long the frame is shown, in seconds: until the next one; the last one as long as its source says."""
        if frame_idx + 1 < self.num_frames:
            return self.time_s(frame_idx + 1) - self.time_s(frame_idx)
        return 1 / self.fps

    @property
    def label(self) -> str:
        """How messages and manifests call the video."""
        return type(self).__name__

    def digest(self) -> str:
        """SHA-256 (hex) of what the frames come from, so that a run can be recognised: here, of the frames themselves."""
        total = hashlib.sha256(repr((self.num_frames, self.size_hw)).encode())
        for i in range(self.num_frames):
            total.update(self.read(i, i + 1).tobytes())
        return total.hexdigest()

    def find_damage(self) -> Damage:
        """Which frames are broken: all are decoded once to know it."""
        return Damage()

    def check_complete(self, stop: int) -> None:  # noqa: B027 - most sources cannot know
        """Raise VideoError when it is known without decoding that a frame before ``stop`` is missing."""

    def check_unchanged(self, frame_idx: int | None = None) -> None:  # noqa: B027 - what has no files cannot change
        """Raise InputChangedError when the files hold something else than when the video was opened.

        Args:
            frame_idx: only what this frame comes from has to be looked at; None: everything.
        """

    def _check_range(self, start: int, stop: int) -> None:
        if not 0 <= start <= stop <= self.num_frames:
            raise VideoError(f"Frames {start} to {stop} were requested of {self.label}, which has {self.num_frames}.")


_MAX_CACHED_BYTES = 192 << 20


class VideoView(Video):
    """A video made from another one; what it does not change, it passes on."""

    def __init__(self, video: Video) -> None:
        self.video = video

    @property
    def num_frames(self) -> int:
        return self.video.num_frames

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.video.size_hw

    @property
    def fps(self) -> float:
        return self.video.fps

    def source_frame(self, frame_idx: int) -> int:
        return self.video.source_frame(frame_idx)

    @property
    def source_size_hw(self) -> tuple[int, int]:
        return self.video.source_size_hw

    @property
    def label(self) -> str:
        return self.video.label

    def frame_name(self, frame_idx: int) -> str:
        return self.video.frame_name(frame_idx)

    @property
    def has_names(self) -> bool:
        return self.video.has_names

    def time_s(self, frame_idx: int) -> float:
        return self.video.time_s(frame_idx)

    def duration_s(self, frame_idx: int) -> float:
        return self.video.duration_s(frame_idx)

    def digest(self) -> str:
        return self.video.digest()

    def find_damage(self) -> Damage:
        return self.video.find_damage()

    def check_complete(self, stop: int) -> None:
        self.video.check_complete(stop)

    def check_unchanged(self, frame_idx: int | None = None) -> None:
        self.video.check_unchanged(frame_idx)

    def read(self, start: int, stop: int) -> UInt8Array:
        return self.video.read(start, stop)


class SubVideo(VideoView):
    """Some frames of ``video``.

    Args:
        video: all of them.
        indices: a range: a window, every k-th frame, or (with a negative step) time reversed; or ascending numbers of frames.
    """

    def __init__(self, video: Video, indices: Sequence[int]) -> None:
        super().__init__(video)
        if not len(indices) or min(indices) < 0 or max(indices) >= video.num_frames:
            raise VideoError(f"Frames {indices} were requested of {video.label}, which has {video.num_frames}.")
        self.indices = indices

    @property
    def num_frames(self) -> int:
        return len(self.indices)

    @property
    def fps(self) -> float:
        if isinstance(self.indices, range):
            return self.video.fps / abs(self.indices.step)
        last = len(self.indices) - 1
        return last / self.time_s(last) if last else self.video.fps

    def source_frame(self, frame_idx: int) -> int:
        return self.video.source_frame(self.indices[frame_idx])

    def frame_name(self, frame_idx: int) -> str:
        return self.video.frame_name(self.indices[frame_idx])

    def check_complete(self, stop: int) -> None:
        self.video.check_complete(max(self.indices[:stop]) + 1)

    def check_unchanged(self, frame_idx: int | None = None) -> None:
        self.video.check_unchanged(None if frame_idx is None else self.indices[frame_idx])

    def find_damage(self) -> Damage:
        locations = {frame: i for i, frame in enumerate(self.indices)}
        found = self.video.find_damage()
        unreadable, doubtful = (
            tuple(sorted(locations[i] for i in frames if i in locations)) for frames in (found.unreadable, found.doubtful)
        )
        return Damage(unreadable, doubtful, found.reason)

    def time_s(self, frame_idx: int) -> float:
        return abs(self.video.time_s(self.indices[frame_idx]) - self.video.time_s(self.indices[0]))

    def duration_s(self, frame_idx: int) -> float:
        if frame_idx + 1 < self.num_frames:
            return self.time_s(frame_idx + 1) - self.time_s(frame_idx)
        step = self.indices.step if isinstance(self.indices, range) else 1
        shown = range(self.indices[-1], min(self.indices[-1] + max(step, 1), self.video.num_frames))
        return sum(self.video.duration_s(i) for i in shown)

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        wanted = self.indices[start:stop]
        if isinstance(wanted, range) and len(wanted) and wanted.step == -1:
            # Contiguous: PyTorch takes no array with a negative stride.
            return np.ascontiguousarray(self.video.read(wanted[-1], wanted[0] + 1)[::-1])
        return read_frames(self.video, wanted)


def read_frames(video: Video, wanted: Sequence[int]) -> UInt8Array:
    """Frames of any numbers, in any order, as (t, h, w, 3) uint8 RGB; read in the order of the file, which is the fast one."""
    if len(wanted) and list(wanted) == list(range(wanted[0], wanted[0] + len(wanted))):
        return video.read(wanted[0], wanted[-1] + 1)
    frames = np.empty((len(wanted), *video.size_hw, 3), np.uint8)
    last, frame = -1, np.zeros(0, np.uint8)
    for i in sorted(range(len(wanted)), key=wanted.__getitem__):
        if wanted[i] != last:
            last, frame = wanted[i], video.read(wanted[i], wanted[i] + 1)[0]
        frames[i] = frame
    return frames


def resize_frame(frame: UInt8Array, size_hw: tuple[int, int], target: UInt8Array | None = None) -> UInt8Array:
    """An (h, w, 3) frame at ``size_hw``, in ``target`` when given: by pixel area when smaller, bilinear when larger."""
    method = cv2.INTER_AREA if size_hw[0] < frame.shape[0] else cv2.INTER_LINEAR
    resized = cv2.resize(frame, size_hw[::-1], dst=target, interpolation=method)
    return np.asarray(resized, np.uint8)


class ResizedVideo(VideoView):
    """``video`` resized to ``size_hw``: by pixel area when it gets smaller, bilinear when it gets larger."""

    def __init__(self, video: Video, size_hw: tuple[int, int]) -> None:
        super().__init__(video)
        self._size_hw = size_hw

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._size_hw

    def read(self, start: int, stop: int) -> UInt8Array:
        frames = self.video.read(start, stop)
        if frames.shape[1:3] == self._size_hw:
            return frames
        out = np.empty((len(frames), *self._size_hw, 3), np.uint8)
        for frame, target in zip(frames, out, strict=True):
            resize_frame(frame, self._size_hw, target)
        return out


class CachedVideo(VideoView):
    """``video`` with the ``capacity`` frames read last kept in memory, for stages that read overlapping windows.

    Large frames are kept in smaller numbers: at most 192 MiB of them, but two at least.
    """

    def __init__(self, video: Video, capacity: int) -> None:
        super().__init__(video)
        height, width = video.size_hw
        self._capacity = max(2, min(capacity, _MAX_CACHED_BYTES // (height * width * 3)))
        self._frames: LruCache[int, UInt8Array] = LruCache(self._capacity * height * width * 3)

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        out = {i: frame for i in range(start, stop) if (frame := self._frames.get(i)) is not None}
        missing = [i for i in range(start, stop) if i not in out]
        if missing:
            read = self.video.read(missing[0], missing[-1] + 1)
            out |= {i: read[i - missing[0]] for i in missing}
        for i in range(max(start, stop - self._capacity), stop):
            if self._frames.get(i) is None:
                # A copy: a view would keep the whole window that it was read with in memory.
                own = out[i] = out[i].copy()
                own.setflags(write=False)
                self._frames.put(i, own, own.nbytes)
        if len(out) == 1:
            return out[start][None]  # no copy: nobody can write to it
        return np.stack([out[i] for i in range(start, stop)]) if out else self.video.read(start, stop)
