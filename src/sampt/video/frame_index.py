"""Which frames a video file has and when each is shown, found without decoding it where its packets tell."""

from __future__ import annotations

import logging
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, NamedTuple

import av
from av.container import InputContainer
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sampt.errors import VideoError
from sampt.video.av_compat import to_fraction
from sampt.video.decoding import decode_packets, open_stream

__all__ = ["FrameIndex", "build_index"]

_LOG = logging.getLogger(__name__)
_PROBED_FRAMES = 8
_NO_CLOCK_FPS = 24.0


@dataclass(frozen=True)
class FrameIndex:
    """The frames of one stream in the order in which they are shown.

    Attributes:
        pts: presentation times of the readable frames, ascending, in units of ``time_base_s``.
        key_pts: presentation times of the frames where decoding can begin, ascending.
        time_base_s: seconds.
        fps: mean over the readable frames.
        num_promised: frames that the container announces; more than ``len(pts)`` in a file that was cut off.
        has_clock: False where the file tells no usable times: ``pts`` then counts frames from 0, and a frame is found by
            decoding from the start.
        pixel_aspect: width of a pixel divided by its height, 1 where the file does not say.
        first_frame: the first readable frame, decoded.
        last_duration_s: how long the last readable frame is shown.
    """

    pts: list[int]
    key_pts: list[int]
    time_base_s: Fraction
    fps: float
    num_promised: int
    has_clock: bool
    pixel_aspect: Fraction
    first_frame: VideoFrame
    last_duration_s: float

    def find(self, pts: int | None) -> int | None:
        """Index of the frame shown at ``pts``, None when there is no such frame."""
        if pts is None:
            return None
        i = bisect_left(self.pts, pts)
        return i if i < len(self.pts) and self.pts[i] == pts else None

    def is_promised(self, packet: Packet[VideoStream]) -> bool:
        """Whether a packet is of a frame that is listed here."""
        return self.find(packet.pts) is not None

    def key_before(self, frame_idx: int) -> int | None:
        """Time of the last key frame at or before a frame; None where decoding must begin with the file."""
        rank = bisect_right(self.key_pts, self.pts[frame_idx]) - 1
        return self.key_pts[rank] if rank > 0 and self.has_clock else None


class _Packet(NamedTuple):
    pts: int | None
    dts: int | None
    is_key: bool
    is_shown: bool
    is_cut: bool
    duration: int


def build_index(path: Path, *, allow_playlists: bool = False) -> FrameIndex:
    """List the frames of the file at ``path``; its packets are read once, and decoded only where they do not tell enough.

    Args:
        path: the file.
        allow_playlists: see :func:`sampt.video.decoding.open_stream`.

    Raises:
        VideoError: as :func:`open_stream`, or no frame can be decoded.
    """
    container, stream = open_stream(path, allow_playlists=allow_playlists)
    with container:
        packets = _scan(container, stream)
        num_promised, is_cut_off = _promise(path, container, stream, packets)
        pts = _shown(packets, is_cut_off)
        pixel_aspect = to_fraction(stream.sample_aspect_ratio) or Fraction(1)
        time_base_s, rate = to_fraction(stream.time_base) or Fraction(1, 90000), to_fraction(stream.average_rate)
        ambiguous = len(set(pts)) < len(pts) or (container.format.name == "avi" and stream.codec_context.has_b_frames)
    probe = _probe(path, allow_playlists=allow_playlists)
    if not probe.is_damaged and probe.times and probe.times[0] is not None and pts and probe.times[0] > pts[0]:
        # A recording that begins between key frames: no player can show what comes before the first of them.
        skipped = bisect_left(pts, probe.times[0])
        _LOG.warning("%s: the first %d frames cannot be decoded and are left out.", path, skipped)
        pts, num_promised = pts[skipped:], num_promised - skipped
    has_clock = True
    if ambiguous or not pts or not probe.fits(pts):
        pts, has_clock = _decoded_pts(path, allow_playlists=allow_playlists)
        num_promised = max(num_promised, len(pts)) if is_cut_off else len(pts)
    fps = _mean_fps(pts, time_base_s, rate) if has_clock else float(rate or _NO_CLOCK_FPS)
    last = next((p.duration for p in packets if has_clock and p.pts == pts[-1]), 0)
    return FrameIndex(
        pts,
        key_pts=sorted(p.pts for p in packets if p.is_key and p.pts is not None),
        time_base_s=time_base_s,
        fps=fps,
        num_promised=num_promised,
        has_clock=has_clock,
        pixel_aspect=pixel_aspect,
        first_frame=probe.first_frame,
        last_duration_s=float(last * time_base_s) or 1 / fps,
    )


def _scan(container: InputContainer, stream: VideoStream) -> list[_Packet]:
    """All packets in decoding order. A broken end of the file ends the list."""
    packets: list[_Packet] = []
    try:
        for packet in container.demux(stream):
            if packet.size or packet.dts is not None:
                is_shown = bool(packet.size) and not packet.is_discard
                packets.append(
                    _Packet(packet.pts, packet.dts, packet.is_keyframe, is_shown, packet.is_corrupt, packet.duration or 0)
                )
    except av.FFmpegError as error:
        _LOG.warning("%s: reading stopped after %d packets: %s", container.name, len(packets), error.strerror)
    return packets


def _promise(path: Path, container: InputContainer, stream: VideoStream, packets: list[_Packet]) -> tuple[int, bool]:
    """How many frames the container announces, and whether some of them are missing at its end.

    MP4 and AVI carry a table of all frames; what other containers say is no exact number, so there only a warning is given.
    The packet in which a file was cut is dropped from ``packets``.
    """
    while packets and packets[-1].is_cut:
        packets.pop()
    num_shown = sum(p.is_shown for p in packets)
    missing = 0
    if "mp4" in container.format.name:
        missing = len(stream.index_entries) - len(packets)
    elif container.format.name == "avi":
        missing = stream.frames - 1 - max((p.dts or 0 for p in packets), default=-1)
    elif packets and stream.time_base:
        _warn_of_early_end(path, stream, packets)
    return num_shown + max(missing, 0), missing > 0


def _warn_of_early_end(path: Path, stream: VideoStream, packets: list[_Packet]) -> None:
    times = [p.pts for p in packets if p.pts is not None]
    promised_s = _tagged_duration_s(stream)
    if not times or promised_s is None or stream.time_base is None:
        return
    found_s = float((max(times) - min(times)) * stream.time_base)
    if promised_s - found_s > max(1.0, 0.1 * promised_s):
        _LOG.warning("%s may be cut off: it announces %.1f s, its frames end at %.1f s.", path, promised_s, found_s)


def _tagged_duration_s(stream: VideoStream) -> float | None:
    """What Matroska files note as a stream's length: a tag like 00:00:01.600000000."""
    parts = stream.metadata.get("DURATION", "").split(":")
    try:
        hours, minutes, seconds = (float(part) for part in parts)
    except ValueError:
        return None
    return hours * 3600 + minutes * 60 + seconds


def _shown(packets: list[_Packet], is_cut_off: bool) -> list[int]:
    """Times of the shown frames; empty when a packet has none. Of a file that was cut off, those before the first gap."""
    shown = [p.pts for p in packets if p.is_shown]
    times = sorted(pts for pts in shown if pts is not None)
    if len(times) < len(shown):
        return []
    last_dts = packets[-1].dts if packets else None
    if is_cut_off and last_dts is not None:
        # A missing frame is decoded after last_dts, so it is shown after it too: up to there nothing is missing.
        times = [pts for pts in times if pts <= last_dts]
    return times


class _Probe(NamedTuple):
    """The first frame, the times of the first few as the decoder gives them, and whether packets among them were refused."""

    first_frame: VideoFrame
    times: list[int | None]
    is_damaged: bool

    def fits(self, pts: list[int]) -> bool:
        """Whether the packets' times are those of the decoded frames; of a damaged stream some frames are missing there."""
        if self.is_damaged:
            return set(self.times) <= set(pts)
        return self.times == pts[: len(self.times)]


def _probe(path: Path, *, allow_playlists: bool) -> _Probe:
    container, stream = open_stream(path, allow_playlists=allow_playlists)
    reasons: list[str] = []
    with container:
        frames = list(islice(decode_packets(container.demux(stream), reasons.append), _PROBED_FRAMES))
    if not frames:
        reason = reasons[0] if reasons else "no frame in it"
        raise VideoError(f"No frame of {path} can be decoded ({reason}). Copy it again or re-encode it as H.264.")
    return _Probe(frames[0], [frame.pts for frame in frames], bool(reasons))


def _decoded_pts(path: Path, *, allow_playlists: bool) -> tuple[list[int], bool]:
    """Times of all frames by decoding them; (0, 1, 2, ... and False) where they do not ascend."""
    _LOG.info("%s: the packets do not tell the frames; decoding it once to count them.", path)
    container, stream = open_stream(path, allow_playlists=allow_playlists)
    reasons: list[str] = []
    with container:
        times: list[Any] = [frame.pts for frame in decode_packets(container.demux(stream), reasons.append)]
    if reasons:
        _LOG.warning(
            "%s: %d packets cannot be decoded (%s); the frames of the others are read.", path, len(reasons), reasons[0]
        )
    if all(pts is not None for pts in times) and all(a < b for a, b in pairwise(times)):
        return times, True
    return list(range(len(times))), False


def _mean_fps(pts: list[int], time_base_s: Fraction, rate: Fraction | None) -> float:
    if len(pts) < 2:
        return float(rate or _NO_CLOCK_FPS)
    return float((len(pts) - 1) / ((pts[-1] - pts[0]) * time_base_s))
