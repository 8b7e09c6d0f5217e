"""Cut-outs: the objects as they are, everything else transparent; as WebM (VP9 with alpha) or as PNGs."""

from __future__ import annotations

import contextlib
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
from sampt.exporters.base import ExportContext, ExportFrame
from sampt.exporters.files import FileExport, open_images, png_bytes
from sampt.files.atomic import output_errors
from sampt.types import BoolArray, FrameMasks, UInt8Array
from sampt.video.base import Video

__all__ = ["CutoutImages", "CutoutVideo", "cut_out"]

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
    image = np.zeros((*union.shape, 4), np.uint8)
    np.copyto(image[..., :3], frame_rgb, where=kept[..., None])
    image[..., 3] = alpha
    return image


class CutoutImages:
    """Writes ``<frame name>.png`` a frame, in a folder or a ZIP archive: :func:`cut_out` as RGBA, exact; transparent is black.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._images = open_images(path)

    def write(self, frame: ExportFrame) -> None:
        self._images.add(f"{frame.name}.png", png_bytes(Image.fromarray(cut_out(frame.image, frame.result))))

    def close(self, success: bool) -> None:
        self._images.close(success)


class CutoutVideo(FileExport):
    """Writes a WebM, VP9 with an alpha channel (yuva420p, BT.709), at the times of the video, any size.

    Colour and alpha are lossy (constant quality 18 of 63): alpha of 128 and more is the mask but for single pixels of fine
    structures. Browsers other than Safari show it transparent; to decode the alpha with FFmpeg request ``libvpx-vp9``.

    Raises:
        OutputError: it cannot be written, or PyAV has no libvpx-vp9.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        super().__init__(path)
        if _ENCODER not in av.codecs_available:
            raise OutputError(f"This build of PyAV has no {_ENCODER}; install PyAV from PyPI (pip install av), or export PNGs.")
        with output_errors(path):
            self.partial.open("wb").close()  # PyAV opens it at the first frame only; whoever cannot write hears of it before
        self._container, self._stream = _open(self.partial, path, context.video)
        self._first_s: float | None = None
        self._last_pts = -1

    def write(self, frame: ExportFrame) -> None:
        time_s = frame.time_s
        self._first_s = time_s if self._first_s is None else self._first_s
        self._last_pts = max(self._last_pts + 1, round((time_s - self._first_s) * _TICKS_PER_S))
        image = _to_yuva(cut_out(frame.image, frame.result, _MARGIN_PX))
        image.pts, image.time_base = self._last_pts, Fraction(1, _TICKS_PER_S)
        image.duration = max(1, round(frame.duration_s * _TICKS_PER_S))
        self._encode(image)

    def finish(self) -> None:
        self._encode(None)
        try:
            self._container.close()
        except av.FFmpegError as error:
            raise _failed(self.path, error) from error

    def release(self) -> None:
        with contextlib.suppress(av.FFmpegError):  # a full disk fails here once more
            self._container.close()

    def _encode(self, image: VideoFrame | None) -> None:
        try:
            self._container.mux(self._stream.encode(image))
        except av.FFmpegError as error:
            raise _failed(self.path, error) from error


def _open(partial: Path, path: Path, video: Video) -> tuple[OutputContainer, VideoStream]:
    try:
        # bitexact: ids counted instead of drawn, so that the same result gives the same bytes
        container = av.open(f"file:{partial}", "w", format="webm", options={"fflags": "+bitexact"})
    except av.FFmpegError as error:
        partial.unlink(missing_ok=True)
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


def _to_yuva(image: UInt8Array) -> VideoFrame:
    frame = VideoFrame.from_ndarray(image, format="rgba")
    return frame.reformat(format="yuva420p", dst_colorspace=Colorspace.ITU709, dst_color_range=ColorRange.MPEG)


def _failed(path: Path, error: av.FFmpegError) -> OutputError:
    reason = " ".join((getattr(error, "strerror", None) or str(error)).split())
    return OutputError(f"{path} cannot be written ({reason}): check the folder, its permissions and free space.")
