"""Which frames of a video file are broken, found by decoding all of it once."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sampt.video.base import Damage
from sampt.video.decoding import decode_packets, open_stream
from sampt.video.frame_index import FrameIndex

__all__ = ["other_size", "survey"]

_LOG = logging.getLogger(__name__)


def other_size(frame: VideoFrame, stored_hw: tuple[int, int]) -> str:
    """What is wrong with a frame that has another size than ``stored_hw``."""
    return f"is {frame.width}x{frame.height}, the first is {stored_hw[1]}x{stored_hw[0]}"


def survey(path: Path, index: FrameIndex, stored_hw: tuple[int, int], num_frames: int, *, allow_playlists: bool) -> Damage:
    """Decode a file in order, by one thread, and see which frames come out whole.

    Args:
        path: the file.
        index: its frames.
        stored_hw: size of the first one as stored; a frame of another size cannot be used.
        num_frames: that it announces.
        allow_playlists: see :func:`sampt.video.decoding.open_stream`.

    Raises:
        VideoError: as :func:`sampt.video.decoding.open_stream`.
    """
    _LOG.info("%s: decoding it once to find broken frames.", path)
    # Threads that decode frames beside each other tell late of a refused packet.
    container, stream = open_stream(path, allow_playlists=allow_playlists, threads="SLICE")
    order = _Order()
    come: list[int] = []
    sizes: dict[int, str] = {}
    with container:
        frames = decode_packets(order.passing(container.demux(stream)), order.refuse, index.is_promised)
        for count, frame in enumerate(frames):
            found = index.find(frame.pts) if index.has_clock else count
            if found is not None and (frame.height, frame.width) != stored_hw:
                sizes[found] = other_size(frame, stored_hw)
            elif found is not None:
                come.append(found)
                if frame.is_corrupt and frame.pts is not None:
                    order.corrupt.add(frame.pts)
    shown = set(come)
    unreadable = tuple(i for i in range(num_frames) if i not in shown)
    doubtful = order.doubtful_pts() if index.has_clock else set()
    reason = ""
    if unreadable:
        cause = "the file was cut off" if unreadable[0] >= len(index.pts) else "the decoder left it out"
        reason = sizes.get(unreadable[0]) or f"cannot be decoded ({(order.reasons or [cause])[0]})"
    return Damage(unreadable, tuple(i for i in sorted(shown) if index.pts[i] in doubtful), reason)


class _Order:
    """Packets in the order of decoding, in which frames refer to each other: forward from a key frame."""

    def __init__(self) -> None:
        self._packets: list[tuple[int | None, bool]] = []
        self._refused: set[int] = set()
        self.corrupt: set[int] = set()
        self.reasons: list[str] = []

    def passing(self, packets: Iterable[Packet[VideoStream]]) -> Iterator[Packet[VideoStream]]:
        for packet in packets:
            self._packets.append((packet.pts, packet.is_keyframe))
            yield packet

    def refuse(self, reason: str) -> None:
        """The packet that passed last was refused."""
        self._refused.add(len(self._packets) - 1)
        self.reasons.append(reason)

    def doubtful_pts(self) -> set[int]:
        """Times of frames that were marked corrupt, or follow such a frame or a refused packet before the next key frame."""
        doubtful: set[int] = set()
        is_broken = False
        for location, (pts, is_key) in enumerate(self._packets):
            is_marked = pts in self.corrupt
            is_broken = location in self._refused or is_marked or (is_broken and not is_key)
            if is_broken and pts is not None:
                doubtful.add(pts)
        return doubtful
