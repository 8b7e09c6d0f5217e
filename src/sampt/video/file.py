"""Video files, read through PyAV."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.buffer import Buffer
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from sampt.errors import VideoError
from sampt.types import UInt8Array
from sampt.video.base import Damage, Video
from sampt.video.damage import describe_frames
from sampt.video.decoding import decode_packets, open_stream
from sampt.video.digest import OpenedFiles
from sampt.video.frame_index import FrameIndex, build_index
from sampt.video.survey import other_size, survey

__all__ = ["VideoFile"]

_LOG = logging.getLogger(__name__)


class VideoFile(Video):
    """A video file of any container and codec that FFmpeg decodes.

    ``num_frames`` and ``time_s`` are exact for variable frame rate and for frames stored out of order: frames are listed by
    presentation time when the file is opened and found by that time, never by counting. Reading on from the last window
    decodes each frame once; a jump begins at the key frame before its target. Besides the window that is read, only the
    decoder's few frames are in memory.

    Frames are upright: the rotation or mirroring that a phone notes in the file is applied. Pixels that are not square are
    left as stored (with a warning), so that masks fit the stored frames.

    A file that was cut off still opens, with the number of frames that it announces; reading one that is missing raises. So
    does reading a frame whose packet the decoder refuses; frames after it are read. The error names the first such frame.

    It can be pickled, by its path: the copy opens the file anew.

    Args:
        path: of the file.
        allow_playlists: see :func:`sampt.video.decoding.open_stream`.

    Raises:
        VideoError: the file holds no video, is a playlist that was not requested, or no frame of it can be decoded.
    """

    def __init__(self, path: str | Path, *, allow_playlists: bool = False) -> None:
        self._path = Path(path)
        self._allow_playlists = allow_playlists
        self._files = OpenedFiles([self._path])  # before the first look into it
        self._index: FrameIndex = build_index(self._path, allow_playlists=allow_playlists)
        first = self._index.first_frame
        self._stored_hw = (first.height, first.width)
        self._orientation = _orientation(first, self.label)
        if self._index.pixel_aspect != 1:
            _LOG.warning("%s has pixels %s as wide as high; frames are not stretched.", self.label, self._index.pixel_aspect)
        self._open: tuple[InputContainer, VideoStream] | None = None
        self._reformatter = VideoReformatter()
        self._frames: Iterator[VideoFrame] | None = None
        self._next_idx = 0
        self._damage: Damage | None = None

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopen, (self._path, self._allow_playlists)

    @property
    def num_frames(self) -> int:
        return self._index.num_promised

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._stored_hw[::-1] if self._orientation.is_transposed else self._stored_hw

    @property
    def fps(self) -> float:
        return self._index.fps

    @property
    def label(self) -> str:
        return str(self._path)

    def time_s(self, frame_idx: int) -> float:
        pts = self._index.pts
        known = min(frame_idx, len(pts) - 1)
        base_s = float((pts[known] - pts[0]) * self._index.time_base_s) if self._index.has_clock else known / self.fps
        return base_s + (frame_idx - known) / self.fps

    def duration_s(self, frame_idx: int) -> float:
        if frame_idx == len(self._index.pts) - 1:
            return self._index.last_duration_s
        return super().duration_s(frame_idx)

    def find_damage(self) -> Damage:
        """Which frames are broken. The file is decoded once, unless that was done before."""
        if self._damage is None:
            allowed = self._allow_playlists
            self._damage = survey(self._path, self._index, self._stored_hw, self.num_frames, allow_playlists=allowed)
            self.close()  # what is read from now on is read by one thread, see _open_stream
        return self._damage

    def check_complete(self, stop: int) -> None:
        if stop > len(self._index.pts):
            raise self._cut_off()

    def digest(self) -> str:
        # A playlist's frames are in other files.
        return super().digest() if self._allow_playlists else self._files.digest()

    def check_unchanged(self, frame_idx: int | None = None) -> None:
        self._files.check()

    def close(self) -> None:
        """Close the file. Reading again opens it again."""
        self._frames = None
        if self._open is not None:
            self._open[0].close()
            self._open = None

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        if start < stop:
            self.check_complete(stop)
        frames = np.empty((stop - start, *self.size_hw, 3), np.uint8)
        for i, target in enumerate(frames, start):
            target[:] = self._rgb(self._frame(i), i)
        return frames

    def _rgb(self, frame: VideoFrame, frame_idx: int) -> UInt8Array:
        if (frame.height, frame.width) != self._stored_hw:
            raise self._unusable(frame_idx, other_size(frame, self._stored_hw))
        # One reformatter for all frames: frame.to_ndarray(format=...) would set up a new one for each.
        rgb: UInt8Array = self._reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()  # type: ignore[assignment]
        return self._orientation.apply(rgb)

    def _frame(self, frame_idx: int) -> VideoFrame:
        if self._damage is not None and frame_idx in self._damage.unreadable:
            raise self._unusable(frame_idx, self._damage.reason)
        if not self._can_read_on(frame_idx):
            self._start_before(frame_idx)
        frame = self._advance(frame_idx)
        if frame is None:
            damage = self.find_damage()
            if frame_idx in damage.unreadable:
                raise self._unusable(frame_idx, damage.reason)
            # The key frame was none to begin with (broken references): the start of the file is always right.
            self._restart()
            frame = self._advance(frame_idx)
        if frame is None:
            self._frames = None
            raise self._unusable(frame_idx, "cannot be decoded (the decoder left it out)")
        return frame

    def _can_read_on(self, frame_idx: int) -> bool:
        if self._frames is None or frame_idx < self._next_idx:
            return False
        key_pts = self._index.key_before(frame_idx)
        return key_pts is None or key_pts <= self._index.pts[self._next_idx]

    def _start_before(self, frame_idx: int) -> None:
        key_pts = self._index.key_before(frame_idx)
        packets = None if key_pts is None else self._packets_at(key_pts)
        if packets is None:
            self._restart()
        else:
            self._frames = _decode(packets, self._index, self.label)

    def _restart(self) -> None:
        self.close()  # opened anew, because not every container can seek to its start
        container, stream = self._open = self._open_stream()
        self._frames = _decode(container.demux(stream), self._index, self.label)
        self._next_idx = 0

    def _open_stream(self) -> tuple[InputContainer, VideoStream]:
        # Threads that decode frames beside each other tell of a refused packet only after others have been taken: what a
        # frame is made of would depend on where reading began.
        is_broken = self._damage is not None and bool(self._damage.unreadable or self._damage.doubtful)
        return open_stream(self._path, allow_playlists=self._allow_playlists, threads="SLICE" if is_broken else "AUTO")

    def _packets_at(self, key_pts: int) -> Iterator[Packet[VideoStream]] | None:
        """Packets from a key frame at or before ``key_pts``; None where the container cannot find it."""
        if self._open is None:
            self._open = self._open_stream()
        container, stream = self._open
        try:
            container.seek(key_pts, stream=stream)
            packets = container.demux(stream)
            for packet in packets:
                if packet.is_keyframe and packet.pts is not None:
                    return chain([packet], packets) if packet.pts <= key_pts else None
        except av.FFmpegError:
            _LOG.debug("%s: no way to seek to %d; decoding from the start.", self.label, key_pts)
        return None

    def _advance(self, frame_idx: int) -> VideoFrame | None:
        """Decode on to a frame; None when the decoder has gone past it."""
        assert self._frames is not None
        for frame in self._frames:
            found = self._index.find(frame.pts) if self._index.has_clock else self._next_idx
            if found is None:
                continue
            self._next_idx = found + 1
            if found == frame_idx:
                return frame
            if found > frame_idx:
                return None
        return None

    def _unusable(self, frame_idx: int, reason: str) -> VideoError:
        """The error for a frame; it tells of the first one that is broken, and of how many."""
        damage = self.find_damage()
        unreadable = damage.unreadable if frame_idx in damage.unreadable else (frame_idx,)
        first, reason = unreadable[0], damage.reason if frame_idx in damage.unreadable else reason
        count = f" ({len(unreadable)} frames in all: {describe_frames(unreadable)})" if len(unreadable) > 1 else ""
        advice = [f"use the frames before it with --stop {first}" if first else "copy it again"]
        if len(unreadable) < self.num_frames:
            advice.insert(0, "go on with --on-damage repeat or skip")
        return VideoError(f"Frame {first} of {self.label} {reason}{count}. Re-encode the video, {', or '.join(advice)}.")

    def _cut_off(self) -> VideoError:
        readable = len(self._index.pts)
        return VideoError(
            f"{self.label} is cut off: it announces {self.num_frames} frames, but frame {readable} and later ones are missing. "
            f"Copy it again, go on with --on-damage repeat or skip, or use what is there with --stop {readable}."
        )


def _reopen(path: Path, allow_playlists: bool) -> VideoFile:
    return VideoFile(path, allow_playlists=allow_playlists)


def _decode(packets: Iterator[Packet[VideoStream]], index: FrameIndex, label: str) -> Iterator[VideoFrame]:
    # No method: a generator that holds the video would keep the file open until the garbage collector runs.
    def note(reason: str) -> None:
        _LOG.debug("%s: a packet cannot be decoded: %s", label, reason)

    # The packet in which a file was cut: its error would take good frames with it.
    return decode_packets(packets, note, index.is_promised)


class _Orientation(NamedTuple):
    """How stored rows and columns become upright ones: transposed first, then mirrored."""

    is_transposed: bool = False
    flips_y: bool = False
    flips_x: bool = False

    def apply(self, rgb: UInt8Array) -> UInt8Array:
        upright = rgb.transpose(1, 0, 2) if self.is_transposed else rgb
        return upright[:: -1 if self.flips_y else 1, :: -1 if self.flips_x else 1]


def _orientation(frame: VideoFrame, label: str) -> _Orientation:
    """From the display matrix [a b u; c d v; x y w] of ISO/IEC 14496-12: shown x = a x + c y, shown y = b x + d y."""
    side_data = cast("Mapping[str, Buffer]", frame.side_data).get("DISPLAYMATRIX")
    if side_data is None:
        return _Orientation()
    a, b, _, c, d = (int(value) for value in np.frombuffer(bytes(side_data), np.int32)[:5])
    is_transposed = abs(b) + abs(c) > abs(a) + abs(d)
    if min(abs(a) + abs(d), abs(b) + abs(c)) > 0:
        _LOG.warning("%s is turned by %d degrees; it is shown turned by the nearest quarter turn.", label, frame.rotation)
    return _Orientation(is_transposed, flips_y=(b if is_transposed else d) < 0, flips_x=(c if is_transposed else a) < 0)
