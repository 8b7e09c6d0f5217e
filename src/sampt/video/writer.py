"""Writing of H.264 video that browsers play."""

from __future__ import annotations

import contextlib
import os
from fractions import Fraction
from pathlib import Path
from types import TracebackType
from typing import Final

import av
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace, VideoReformatter
from av.video.stream import VideoStream

from sampt.errors import OutputError
from sampt.types import UInt8Array

__all__ = ["VideoWriter"]

_ENCODER: Final = "libx264"
_CONTAINERS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
_TICKS_PER_S = 90_000
_BT709 = 1  # of ISO/IEC 23091-2, for matrix, primaries and transfer alike


class VideoWriter:
    """Writes frames as H.264 (yuv420p, BT.709), used as a context manager.

    The file appears under its name only when it is complete; until then it is ``<name>.partial``, which an exception removes.
    H.264 needs even sizes: an odd one gets one more row or column, a copy of the last.

    Args:
        path: ends in .mp4, .m4v, .mov or .mkv; the folder exists.
        fps: frames per second, where :meth:`write` is given no times.
        size_hw: of the frames given.
        crf: quality of x264, lower is better: 0 to 51.

    Raises:
        OutputError: the file cannot be written, libx264 is missing, a frame has another size, times do not ascend, or no
            frame was written.
    """

    def __init__(self, path: str | Path, fps: float, size_hw: tuple[int, int], crf: int = 20) -> None:
        self._path = Path(path)
        self._partial = self._path.with_name(self._path.name + ".partial")
        self._size_hw = size_hw
        if self._path.suffix.lower() not in _CONTAINERS:
            raise OutputError(f"Video {path} cannot be written: expected a name that ends in {', '.join(_CONTAINERS)}.")
        if not fps > 0 or not np.isfinite(fps):
            raise OutputError(f"Video {path} was to be written at {fps} frames per second, expected a number above 0.")
        if min(size_hw) < 1:
            raise OutputError(
                f"Video {path} was to be written with frames of {size_hw[1]}x{size_hw[0]}, expected at least 1x1."
            )
        self._fps = Fraction(fps).limit_denominator(1001)
        self._last_pts: int | None = None
        self._num_written = 0
        self._durations: dict[int | None, int] = {}  # of frames in the encoder, by time
        self._crf = crf
        self._reformatter = VideoReformatter()
        self._container: OutputContainer | None = None

    def _open(self) -> None:
        if _ENCODER not in av.codecs_available:
            raise OutputError(f"This build of PyAV has no {_ENCODER}; install PyAV from PyPI (pip install av) to write video.")
        container_format = _CONTAINERS[self._path.suffix.lower()]
        try:
            # PyAV opens the file at the first frame only; whoever cannot write should hear of it before the work is done.
            self._partial.open("wb").close()
            container = av.open(f"file:{self._partial}", "w", format=container_format, options=_muxing(container_format))
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error
        self._container = container
        # Macroblock trees read memory that nobody wrote (AVX2 code of x264 165): equal frames gave files that differ. They
        # cost 7 % of size. No B-frames: an MP4 notes how long frames last in the order of decoding, so that with frames out of
        # order players that add these up end before the last frames are shown where the frame rate varies.
        options = {"crf": str(self._crf), "preset": "veryfast", "bf": "0", "x264-params": "mbtree=0"}
        self._stream: VideoStream = container.add_stream(_ENCODER, rate=self._fps, options=options)
        self._stream.height, self._stream.width = (side + side % 2 for side in self._size_hw)
        self._stream.pix_fmt = "yuv420p"
        context = self._stream.codec_context
        context.time_base = Fraction(1, _TICKS_PER_S)
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = ColorRange.MPEG

    def write(self, frame_rgb: UInt8Array, time_s: float | None = None, duration_s: float | None = None) -> None:
        """Add a frame.

        Args:
            frame_rgb: (h, w, 3) uint8 RGB.
            time_s: when it is shown, in seconds from the first frame; later than the frame before. Default: one frame's
                time after that.
            duration_s: how long it is shown when it is the last one; any other is until the next. Default: one frame's time.
        """
        if frame_rgb.shape != (*self._size_hw, 3) or frame_rgb.dtype != np.uint8:
            raise OutputError(
                f"Frame {self._num_written} of {self._path} is {frame_rgb.dtype} of shape {frame_rgb.shape}, "
                f"expected uint8 of {(*self._size_hw, 3)}."
            )
        pts = self._next_pts(time_s)
        frame = self._to_yuv(frame_rgb)
        frame.pts, frame.time_base = pts, Fraction(1, _TICKS_PER_S)
        self._durations[pts] = max(1, round(_TICKS_PER_S * duration_s if duration_s else _TICKS_PER_S / self._fps))
        self._encode(frame)
        self._last_pts = pts
        self._num_written += 1

    def _next_pts(self, time_s: float | None) -> int:
        if time_s is None:
            # From the count while no time was given, so that rounding does not add up.
            on_grid = round(self._num_written * _TICKS_PER_S / self._fps)
            pts = on_grid if self._last_pts is None else max(on_grid, self._last_pts + 1)
        else:
            pts = round(time_s * _TICKS_PER_S)
        if self._last_pts is not None and pts <= self._last_pts:
            raise OutputError(
                f"Frame {self._num_written} of {self._path} is to be shown at {time_s} s, "
                f"expected later than the frame before it at {self._last_pts / _TICKS_PER_S:.6g} s."
            )
        return pts

    def _to_yuv(self, frame_rgb: UInt8Array) -> VideoFrame:
        height, width = self._size_hw
        if height % 2 or width % 2:
            frame_rgb = np.pad(frame_rgb, ((0, height % 2), (0, width % 2), (0, 0)), mode="edge")
        frame = VideoFrame.from_ndarray(np.ascontiguousarray(frame_rgb), format="rgb24")
        return self._reformatter.reformat(
            frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG, threads=1
        )

    def _encode(self, frame: VideoFrame | None) -> None:
        assert self._container is not None, "VideoWriter is used in a with statement"
        try:
            for packet in self._stream.encode(frame):
                # libx264 hands no durations on; the muxer would give the last frame that of the mean rate.
                packet.duration = self._durations.pop(packet.pts, 0)
                self._container.mux(packet)
        except av.FFmpegError as error:
            raise self._failed(error) from error

    def _failed(self, error: Exception) -> OutputError:
        reason = getattr(error, "strerror", None) or str(error)
        return OutputError(f"Video {self._path} cannot be written: {reason}. Check the folder, its permissions and free space.")

    def __enter__(self) -> VideoWriter:
        try:
            self._open()
        except BaseException:
            self._discard()
            raise
        return self

    def __exit__(
        self, error_type: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error_type is None:
                self._finish()
        finally:
            self._discard()

    def _finish(self) -> None:
        if not self._num_written:
            raise OutputError(f"Video {self._path} was closed without a frame. Write at least one.")
        self._encode(None)
        assert self._container is not None
        try:
            self._container.close()
            os.replace(self._partial, self._path)
        except (av.FFmpegError, OSError) as error:
            raise self._failed(error) from error

    def _discard(self) -> None:
        """Close what is open and remove the partial file, if there is one."""
        # A full disk fails here once more, and an unwritable folder too; the first failure is the one that is raised.
        with contextlib.suppress(av.FFmpegError):
            if self._container is not None:
                self._container.close()
        with contextlib.suppress(OSError):
            self._partial.unlink(missing_ok=True)


def _muxing(container_format: str) -> dict[str, str]:
    return {} if container_format == "matroska" else {"movflags": "+faststart"}
