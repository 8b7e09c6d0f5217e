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
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from sampt.errors import VideoError
from sampt.limits import check_pixels
from sampt.video.av_compat import open_input, to_fraction

__all__ = ["FrameIndex", "build_index", "open_stream"]

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
    """

    pts: list[int]
    key_pts: list[int]
    time_base_s: Fraction
    fps: float
    num_promised: int
    has_clock: bool
    pixel_aspect: Fraction
    first_frame: VideoFrame

    def find(self, pts: int | None) -> int | None:
        """Index of the frame shown at ``pts``, None when there is no such frame."""
        if pts is None:
            return None
        i = bisect_left(self.pts, pts)
        return i if i < len(self.pts) and self.pts[i] == pts else None

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


def open_stream(path: Path) -> tuple[InputContainer, VideoStream]:
    """Open a file for reading, and choose its video stream.

    Raises:
        VideoError: it is no video, has only sound, or has a codec that cannot be decoded.
    """
    try:
        # "file:" because a colon in a name would otherwise name a protocol.
        container = open_input(f"file:{path}")
    except av.FFmpegError as error:
        raise VideoError(_unreadable(path, error)) from error
    if container.format.name == "tty":  # FFmpeg draws text files as if on a terminal
        raise VideoError(f"{path} is a text file, expected a video, a folder of images or a pattern.")
    if container.format.name.endswith("_pipe") or container.format.name == "image2":
        raise VideoError(f"{path} is one image, expected a video. Give the folder of its frames: {path.parent}.")
    # A song's cover is a video stream of one picture.
    streams = [s for s in container.streams.video if not s.disposition & av.stream.Disposition.attached_pic]
    if not streams:
        kinds = " and ".join(sorted({s.type for s in container.streams if s.type != "video"})) or "nothing"
        raise VideoError(f"{path} holds no video stream, only {kinds}. Give a file with pictures.")
    stream = streams[0]
    if stream.codec_context is None:
        raise VideoError(f"The video codec of {path} cannot be decoded by this build of FFmpeg. Re-encode it as H.264.")
    check_pixels(stream.width, stream.height, str(path))
    stream.thread_type = "AUTO"
    return container, stream


def _unreadable(path: Path, error: av.FFmpegError) -> str:
    if isinstance(error, OSError):
        return f"{path} cannot be opened: {error.strerror}."
    return (
        f"{path} cannot be read as a video ({error.strerror}): it is no video, or it is cut off and the index at its end is "
        "missing. Give a video file, or copy this one again."
    )


def build_index(path: Path) -> FrameIndex:
    """List the frames of the file at ``path``; its packets are read once, and decoded only where they do not tell enough.

    Raises:
        VideoError: as :func:`open_stream`, or no frame can be decoded.
    """
    container, stream = open_stream(path)
    with container:
        packets = _scan(container, stream)
        num_promised, is_cut_off = _promise(path, container, stream, packets)
        pts = _shown(packets, is_cut_off)
        pixel_aspect = to_fraction(stream.sample_aspect_ratio) or Fraction(1)
        time_base_s, rate = to_fraction(stream.time_base) or Fraction(1, 90000), to_fraction(stream.average_rate)
        ambiguous = len(set(pts)) < len(pts) or (container.format.name == "avi" and stream.codec_context.has_b_frames)
    first_frame, probed = _probe(path)
    if probed and probed[0] is not None and pts and probed[0] > pts[0]:
        # A recording that begins between key frames: no player can show what comes before the first of them.
        skipped = bisect_left(pts, probed[0])
        _LOG.warning("%s: the first %d frames cannot be decoded and are left out.", path, skipped)
        pts, num_promised = pts[skipped:], num_promised - skipped
    key_pts = sorted(p.pts for p in packets if p.is_key and p.pts is not None)
    has_clock = True
    if ambiguous or not pts or probed != pts[: len(probed)]:
        pts, has_clock = _decoded_pts(path)
        num_promised = max(num_promised, len(pts)) if is_cut_off else len(pts)
    fps = _mean_fps(pts, time_base_s, rate) if has_clock else float(rate or _NO_CLOCK_FPS)
    return FrameIndex(pts, key_pts, time_base_s, fps, num_promised, has_clock, pixel_aspect, first_frame)


def _scan(container: InputContainer, stream: VideoStream) -> list[_Packet]:
    """All packets in decoding order. A broken end of the file ends the list."""
    packets: list[_Packet] = []
    try:
        for packet in container.demux(stream):
            if packet.size or packet.dts is not None:
                is_shown = bool(packet.size) and not packet.is_discard
                packets.append(_Packet(packet.pts, packet.dts, packet.is_keyframe, is_shown, packet.is_corrupt))
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


def _probe(path: Path) -> tuple[VideoFrame, list[int | None]]:
    """The first frame, and the times of the first few, as the decoder gives them."""
    container, stream = open_stream(path)
    frames: list[VideoFrame] = []
    reason = "no frame in it"
    with container:
        try:
            frames.extend(islice(container.decode(stream), _PROBED_FRAMES))
        except av.FFmpegError as error:
            reason = error.strerror or str(error)
    if not frames:
        raise VideoError(f"No frame of {path} can be decoded ({reason}). Copy it again or re-encode it as H.264.")
    return frames[0], [frame.pts for frame in frames]


def _decoded_pts(path: Path) -> tuple[list[int], bool]:
    """Times of all frames by decoding them; (0, 1, 2, ... and False) where they do not ascend."""
    _LOG.info("%s: the packets do not tell the frames; decoding it once to count them.", path)
    container, stream = open_stream(path)
    times: list[Any] = []
    with container:
        try:
            for frame in container.decode(stream):
                times.append(frame.pts)
        except av.FFmpegError as error:
            _LOG.warning("%s: decoding stopped after %d frames: %s", path, len(times), error.strerror)
    if all(pts is not None for pts in times) and all(a < b for a, b in pairwise(times)):
        return times, True
    return list(range(len(times))), False


def _mean_fps(pts: list[int], time_base_s: Fraction, rate: Fraction | None) -> float:
    if len(pts) < 2:
        return float(rate or _NO_CLOCK_FPS)
    return float((len(pts) - 1) / ((pts[-1] - pts[0]) * time_base_s))
