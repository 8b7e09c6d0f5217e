"""Frames that come one by one and cannot be read again: from standard input, a camera, or an address on the network."""

from __future__ import annotations

import itertools
import logging
import queue
import re
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator
from io import RawIOBase
from typing import Any, NamedTuple, cast

import av
import numpy as np
from av.container import InputContainer
from av.video.reformatter import VideoReformatter

from sampt.checks import shape_repr
from sampt.errors import VideoError
from sampt.files.limits import check_pixels
from sampt.geometry import SizeHW
from sampt.types import UInt8Array
from sampt.video.av_compat import open_input, to_fraction
from sampt.video.base import Video
from sampt.video.decoding import decode_packets, one_file_options

__all__ = ["StreamFrame", "StreamingVideo", "is_streaming", "open_stream"]

_LOG = logging.getLogger(__name__)
_FPS = 24.0
"""Of a source that does not tell its rate."""
_READ_AHEAD = 4
_WAIT_S = 0.2
_OPEN_TIMEOUT_S, _READ_TIMEOUT_S = 10.0, 30.0
_CAMERA = re.compile(r"/dev/video\d+")
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)
_STANDARD_INPUT = "standard input"
_NETWORK_PROTOCOLS = (
    "crypto,data,ffrtmpcrypt,ffrtmphttp,ftp,http,httpproxy,https,mmsh,mmst,rist,rtmp,rtmpe,rtmps,rtmpt,rtmpte,rtmpts,rtp,rtsp,"
    "sctp,srt,srtp,tcp,tls,udp,udplite"
)
"""What an address and the streams that it names may be fetched by."""


class StreamFrame(NamedTuple):
    """A frame, (h, w, 3) uint8 RGB, and when it is shown, in seconds from anywhere, or None."""

    rgb: UInt8Array
    time_s: float | None = None

    def __repr__(self) -> str:
        return shape_repr(self)


def is_streaming(source: str) -> bool:
    """Whether ``source`` names streamed frames: ``-``, ``/dev/videoN``, or an address such as ``rtsp://...``."""
    return source == "-" or bool(_CAMERA.fullmatch(source) or _ADDRESS.match(source))


class StreamingVideo(Video):
    """A video that is read once, in order, by iterating over it; the frames given out last can be read again.

    A thread reads a few frames ahead and then waits, so that whoever writes into a pipe waits too and no frame is lost.

    Args:
        frames: at least one; all of one size, or iterating raises.
        fps: frames per second.
        label: how messages call it.
        start, stop, stride: frames start, start + stride, ... before stop are given out; the others are passed over.

    Raises:
        VideoError: there is no frame at ``start``.
    """

    is_streaming = True

    def __init__(
        self, frames: Iterator[StreamFrame], fps: float, label: str, *, start: int = 0, stop: int | None = None, stride: int = 1
    ) -> None:
        self._fps, self._label, self._start, self._stop, self._stride = fps, label, start, stop, stride
        chosen = itertools.islice(frames, start, stop, stride)
        first = next(chosen, None)
        if first is None:
            raise VideoError(f"The video from {label} ends before frame {start}; expected at least one frame to work on.")
        self._size_hw = (first.rgb.shape[0], first.rgb.shape[1])
        self._first_time_s, self._last_shown_s = first.time_s, -1 / self.fps
        self._source = itertools.chain([first], chosen)
        self._recent: OrderedDict[int, tuple[UInt8Array, float]] = OrderedDict()
        self._capacity = 1
        self._num_given = 0
        self._queue: queue.Queue[StreamFrame | Exception | None] = queue.Queue(_READ_AHEAD)
        self._is_ended = threading.Event()

    @property
    def num_frames(self) -> int:
        """How many have been given out so far."""
        return self._num_given

    @property
    def size_hw(self) -> SizeHW:
        return self._size_hw

    @property
    def fps(self) -> float:
        return self._fps / self._stride

    @property
    def label(self) -> str:
        return self._label

    def describe_frames(self) -> dict[str, int | None]:
        """Which frames of the source these are; their number is not known before the end."""
        return {"start": self._start, "stop": self._stop, "stride": self._stride, "count": None}

    def keep(self, count: int) -> None:
        """Let the ``count`` frames given out last be read again."""
        self._capacity = count

    def frame_name(self, frame_idx: int) -> str:
        return f"{self._start + frame_idx * self._stride:05d}"

    def time_s(self, frame_idx: int) -> float:
        """By the source's clock for a frame that is kept, where there is one."""
        return self._recent[frame_idx][1] if frame_idx in self._recent else frame_idx / self.fps

    def duration_s(self, frame_idx: int) -> float:
        """One frame's time: when the next one is shown is not known."""
        return 1 / self.fps

    def __reduce__(self) -> Any:
        raise VideoError(
            f"Frames from {self._label} are streamed once and cannot be handed to another process; open them there."
        )

    def end(self) -> None:
        """There are no more frames: iterating gives those that were read ahead, and ends. May be called from anywhere."""
        self._is_ended.set()

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        gone = next((i for i in range(start, stop) if i not in self._recent), None)
        if gone is not None:
            raise VideoError(f"Frame {gone} of {self._label} is gone; only the last {self._capacity} can be read.")
        frames = [self._recent[i][0] for i in range(start, stop)]
        return frames[0][None] if len(frames) == 1 else np.stack(frames)

    def __iter__(self) -> Iterator[UInt8Array]:
        threading.Thread(target=self._read_ahead, name="sampt-stream", daemon=True).start()
        while (frame := self._next()) is not None:
            if frame.rgb.shape[:2] != self._size_hw:
                height, width = frame.rgb.shape[:2]
                raise VideoError(
                    f"Frame {self._num_given} from {self._label} is {width}x{height}, the first is "
                    f"{self._size_hw[1]}x{self._size_hw[0]}; expected frames of one size."
                )
            frame.rgb.setflags(write=False)
            self._recent[self._num_given] = frame.rgb, self._read_shown_s(frame.time_s)
            self._num_given += 1
            while len(self._recent) > self._capacity:
                self._recent.popitem(last=False)
            yield frame.rgb

    def _read_shown_s(self, time_s: float | None) -> float:
        """Seconds from the first frame; where the clock stands still or runs backward, one frame's time after the last one."""
        shown = None if time_s is None or self._first_time_s is None else time_s - self._first_time_s
        if shown is None or shown <= self._last_shown_s:
            shown = self._last_shown_s + 1 / self.fps
        self._last_shown_s = shown
        return shown

    def _read_ahead(self) -> None:
        try:
            for frame in self._source:
                self._queue.put(frame)
                if self._is_ended.is_set():
                    break
            self._queue.put(None)
        except Exception as error:  # reported where the frames are wanted
            self._queue.put(error)

    def _next(self) -> StreamFrame | None:
        while True:
            try:
                frame = self._queue.get(timeout=_WAIT_S)  # not for ever: a signal has to be heard in between
            except queue.Empty:
                if self._is_ended.is_set():
                    return None
                continue
            if isinstance(frame, Exception):
                raise frame
            return frame


def open_stream(
    source: str,
    *,
    raw_size_hw: SizeHW | None = None,
    fps: float | None = None,
    start: int = 0,
    stop: int | None = None,
    stride: int = 1,
) -> StreamingVideo:
    """Open streamed frames; waits for the first one.

    Args:
        source: what :func:`is_streaming` knows. From standard input ("-") comes any container that can be read without seeking
            (Matroska, MPEG-TS, a fragmented MP4), or raw frames.
        raw_size_hw: standard input is raw RGB, 3 bytes a pixel, of frames of this size.
        fps: frames per second, where the source does not tell them; raw frames have 24 unless given.
        start, stop, stride: see :class:`StreamingVideo`.

    Raises:
        VideoError: nothing is there, or no video.
    """
    if raw_size_hw is not None and source != "-":
        raise VideoError(f"A size of raw frames is given for {source!r}; raw frames come from standard input, '-'.")
    if raw_size_hw is not None:
        check_pixels(raw_size_hw[1], raw_size_hw[0], "A raw frame")
        frames = _raw_frames(_standard_input(), raw_size_hw)
        return StreamingVideo(frames, fps or _FPS, _STANDARD_INPUT, start=start, stop=stop, stride=stride)
    label = _STANDARD_INPUT if source == "-" else source
    container = _open_container(source, label)
    source_fps = fps or float(to_fraction(container.streams.video[0].average_rate) or _FPS)
    return StreamingVideo(_decode(container, label), source_fps, label, start=start, stop=stop, stride=stride)


def _standard_input() -> RawIOBase:
    # Without a buffer, whose lock a thread that waits for frames would hold when the program ends.
    return cast("RawIOBase", open(0, "rb", buffering=0, closefd=False))  # not ours to close


def _raw_frames(file: RawIOBase, size_hw: SizeHW) -> Iterator[StreamFrame]:
    num_bytes = size_hw[0] * size_hw[1] * 3
    for frame_idx in itertools.count():
        data = bytearray()
        while len(data) < num_bytes and (part := file.read(num_bytes - len(data))):
            data += part
        if not data:
            return
        if len(data) < num_bytes:
            text = f"has {len(data)} bytes; expected {num_bytes} for raw RGB of {size_hw[1]}x{size_hw[0]} pixels, 3 bytes each"
            if not frame_idx:
                raise VideoError(f"Frame {frame_idx} of {_STANDARD_INPUT} {text}.")
            _LOG.warning("Frame %d of %s %s; it is left out.", frame_idx, _STANDARD_INPUT, text)
            return
        yield StreamFrame(np.frombuffer(data, np.uint8).reshape(*size_hw, 3))


class _ReadOnly:
    """What FFmpeg may do with standard input: read on."""

    name = _STANDARD_INPUT

    def __init__(self, file: RawIOBase) -> None:
        self.read: Callable[[int], bytes | None] = file.read


def _open_container(source: str, label: str) -> InputContainer:
    what: Any = _ReadOnly(_standard_input()) if source == "-" else source
    kind = "v4l2" if _CAMERA.fullmatch(source) else None
    timeout = None if source == "-" else (_OPEN_TIMEOUT_S, _READ_TIMEOUT_S)
    try:
        container = open_input(what, format=kind, timeout=timeout, options=_options_for(source))
    except (av.FFmpegError, OSError, ValueError) as error:
        reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
        advice = "give a video that can be read without seeking, such as Matroska or MPEG-TS, or --raw-size for raw RGB"
        raise VideoError(
            f"No video comes from {label} ({reason}); {advice if source == '-' else 'check the address'}."
        ) from error
    if not container.streams.video:
        container.close()
        raise VideoError(f"{label} holds no video stream; expected one with images.")
    return container


def _options_for(source: str) -> dict[str, str]:
    """What FFmpeg may open for ``source``: no file of this machine because an address says so."""
    if _CAMERA.fullmatch(source):
        return {}
    is_here = source == "-" or source.lower().startswith("file:")
    return one_file_options() if is_here else {"protocol_whitelist": _NETWORK_PROTOCOLS}


def _decode(container: InputContainer, label: str) -> Iterator[StreamFrame]:
    reformatter = VideoReformatter()
    with container:
        stream = container.streams.video[0]
        check_pixels(stream.width, stream.height, f"The video from {label}")
        reasons: list[str] = []
        for frame in decode_packets(container.demux(stream), reasons.append):
            _warn_of_refused(reasons, label)
            rgb = reformatter.reformat(frame, format="rgb24", threads=1).to_ndarray()
            yield StreamFrame(cast("UInt8Array", rgb), frame.time)
        if reasons:
            _LOG.warning("The video from %s breaks off: %s; results end there.", label, reasons[-1])


def _warn_of_refused(reasons: list[str], label: str) -> None:
    if reasons:
        count = f"{len(reasons)} packets" if len(reasons) > 1 else "A packet"
        _LOG.warning("%s from %s cannot be decoded (%s); their frames are left out.", count, label, reasons[0])
        reasons.clear()
