"""Cut-outs: the objects as they are, everything else transparent; as WebM (VP9 with alpha) or as PNGs."""

from __future__ import annotations

import contextlib
import io
import zipfile
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Final

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange, Colorspace
from av.video.stream import VideoStream
from PIL import Image

from sampt.errors import OutputError
from sampt.exporters.base import ExportObject, add_to_zip, export_file, read_frame, selected
from sampt.types import BoolArray, FrameMasks, UInt8Array
from sampt.video.base import Video

__all__ = ["cut_out", "write_cutout_pngs", "write_cutout_webm"]

_ENCODER: Final = "libvpx-vp9"  # FFmpeg's only encoder of VP9 with alpha
_TICKS_PER_S = 1000  # Matroska counts milliseconds
_BT709 = 1  # of ISO/IEC 23091-2, for matrix, primaries and transfer alike
_MARGIN_PX = 8  # colour kept around the mask: chroma has half the resolution, and black would bleed into the edge
_OPTIONS = {
    "crf": "18",
    "b": "0",  # with crf: constant quality
    "deadline": "good",
    "cpu-used": "5",
    "row-mt": "1",
    "auto-alt-ref": "0",  # libvpx hides such frames among the shown ones; the alpha of those would not match
}


def cut_out(frame_rgb: UInt8Array, frame_masks: FrameMasks, margin_px: int = 0) -> UInt8Array:
    """All objects of a frame on nothing.

    Args:
        frame_rgb: (h, w, 3) uint8.
        frame_masks: of the same size.
        margin_px: how far around the objects, in both axes, the colour of the frame is kept under the transparent pixels.

    Returns:
        (h, w, 4) uint8: not premultiplied; alpha is 255 on any object and 0 elsewhere; further out than the margin all is 0.
    """
    union: BoolArray = np.asarray(frame_masks.masks.any(0))
    alpha = np.where(union, np.uint8(255), np.uint8(0))
    kept: BoolArray = union
    if margin_px and union.any():
        side = 2 * margin_px + 1
        kept = np.asarray(cv2.dilate(alpha, np.ones((side, side), np.uint8)) > 0)
    picture = np.zeros((*union.shape, 4), np.uint8)
    np.copyto(picture[..., :3], frame_rgb, where=kept[..., None])
    picture[..., 3] = alpha
    return picture


def write_cutout_pngs(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path) -> None:
    """Write a ZIP with ``<frame name>.png`` a frame: :func:`cut_out` as RGBA, exact; transparent pixels are black.

    Raises:
        OutputError: it cannot be written.
    """
    with export_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for frame in selected(frames, video, objects):
            buffer = io.BytesIO()
            Image.fromarray(cut_out(read_frame(video, frame.frame_idx), frame)).save(buffer, "PNG", compress_level=3)
            add_to_zip(archive, f"{video.frame_name(frame.frame_idx)}.png", buffer.getvalue())


def write_cutout_webm(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path) -> None:
    """Write a WebM, VP9 with an alpha channel (yuva420p, BT.709), at the times of the video, any size.

    Colour and alpha are lossy (constant quality 18 of 63): alpha of 128 and more is the mask but for single pixels of fine
    structures. Browsers other than Safari show it transparent; to decode the alpha with FFmpeg ask for ``libvpx-vp9``.

    Raises:
        OutputError: it cannot be written, or PyAV has no libvpx-vp9.
    """
    with export_file(path) as partial:
        partial.open("wb").close()  # PyAV opens the file at the first frame only; whoever cannot write hears of it before
        container, stream = _open(partial, path, video)
        try:
            first_s: float | None = None
            last_pts = -1
            for frame in selected(frames, video, objects):
                time_s = video.time_s(frame.frame_idx)
                first_s = time_s if first_s is None else first_s
                last_pts = max(last_pts + 1, round((time_s - first_s) * _TICKS_PER_S))
                picture = _to_yuva(cut_out(read_frame(video, frame.frame_idx), frame, _MARGIN_PX))
                picture.pts, picture.time_base = last_pts, Fraction(1, _TICKS_PER_S)
                picture.duration = max(1, round(video.duration_s(frame.frame_idx) * _TICKS_PER_S))
                container.mux(stream.encode(picture))
            container.mux(stream.encode(None))
            container.close()
        except av.FFmpegError as error:
            raise _failed(path, error) from error
        finally:
            with contextlib.suppress(av.FFmpegError):  # a full disk fails here once more
                container.close()


def _open(partial: Path, path: Path, video: Video) -> tuple[OutputContainer, VideoStream]:
    if _ENCODER not in av.codecs_available:
        raise OutputError(f"This build of PyAV has no {_ENCODER}; install PyAV from PyPI (pip install av), or export PNGs.")
    try:
        # bitexact: ids counted instead of drawn, so that the same result gives the same bytes
        container = av.open(f"file:{partial}", "w", format="webm", options={"fflags": "+bitexact"})
    except av.FFmpegError as error:
        raise _failed(path, error) from error
    stream: VideoStream = container.add_stream(
        _ENCODER, rate=Fraction(video.fps).limit_denominator(1001), options=dict(_OPTIONS)
    )
    stream.height, stream.width = video.size_hw
    stream.pix_fmt = "yuva420p"
    stream.metadata["alpha_mode"] = "1"  # without it players ignore the alpha
    context = stream.codec_context
    context.time_base = Fraction(1, _TICKS_PER_S)
    context.colorspace = context.color_primaries = context.color_trc = _BT709
    context.color_range = ColorRange.MPEG
    return container, stream


def _to_yuva(picture: UInt8Array) -> VideoFrame:
    frame = VideoFrame.from_ndarray(picture, format="rgba")
    return frame.reformat(format="yuva420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _failed(path: Path, error: av.FFmpegError) -> OutputError:
    reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return OutputError(f"{path} cannot be written ({reason}): check the folder, its permissions and free space.")
