"""Video that is already in memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sampt.errors import VideoError
from sampt.types import UInt8Array
from sampt.video.base import Video

__all__ = ["ArrayVideo"]


class ArrayVideo(Video):
    """Frames given as one (t, h, w, 3) array or as a sequence of (h, w, 3) arrays, uint8 RGB. They are not copied when given.

    Raises:
        VideoError: no frame, another shape or type, or frames of different sizes.
    """

    def __init__(self, frames: np.ndarray | Sequence[np.ndarray], fps: float = 24.0) -> None:
        if isinstance(frames, np.ndarray):
            _check_array(frames)
        else:
            _check_sequence(frames)
        self._frames = frames
        self._fps = fps

    @property
    def num_frames(self) -> int:
        return len(self._frames)

    @property
    def size_hw(self) -> tuple[int, int]:
        height, width = self._frames[0].shape[:2]
        return int(height), int(width)

    @property
    def fps(self) -> float:
        return self._fps

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        if start == stop:
            return np.zeros((0, *self.size_hw, 3), np.uint8)
        # A copy: who reads a window may draw on it, and the caller's frames stay as they are.
        return np.stack([np.asarray(frame, np.uint8) for frame in self._frames[start:stop]])


def _check_array(frames: np.ndarray) -> None:
    if frames.ndim != 4 or frames.shape[3] != 3:
        raise VideoError(f"The video array has shape {frames.shape}, expected (t, h, w, 3).{_shape_hint(frames.shape)}")
    _check_dtype(frames, "The video array")
    if not frames.size:
        raise VideoError(f"The video array has shape {frames.shape}: it holds no pixel. Give at least one frame.")


def _check_sequence(frames: Sequence[np.ndarray]) -> None:
    if not len(frames):
        raise VideoError("The list of frames is empty. Give at least one (h, w, 3) uint8 RGB array.")
    for i, frame in enumerate(frames):
        if not isinstance(frame, np.ndarray):
            raise VideoError(
                f"Frame {i} of the list is a {type(frame).__name__}, expected a numpy array (h, w, 3) of uint8 RGB."
            )
        if frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
            raise VideoError(f"Frame {i} of the list has shape {frame.shape}, expected (h, w, 3) with at least one pixel.")
        _check_dtype(frame, f"Frame {i} of the list")
        if frame.shape != frames[0].shape:
            raise VideoError(
                f"Frame {i} of the list is {frame.shape[1]}x{frame.shape[0]}, frame 0 is "
                f"{frames[0].shape[1]}x{frames[0].shape[0]}. Resize all frames to one size."
            )


def _shape_hint(shape: tuple[int, ...]) -> str:
    if len(shape) == 4 and shape[1] == 3:
        return " Put the channels last: frames.transpose(0, 2, 3, 1)."
    if len(shape) == 4 and shape[3] == 4:
        return " Drop the alpha channel: frames[..., :3]."
    if len(shape) == 3 and shape[2] == 3:
        return " For one frame give frame[None]."
    if len(shape) == 3:
        return " For grey frames give numpy.repeat(frames[..., None], 3, axis=3)."
    return ""


def _check_dtype(array: np.ndarray, what: str) -> None:
    if array.dtype != np.uint8:
        hint = " Scale it to 0 ... 255 and convert it with .astype(numpy.uint8)."
        raise VideoError(f"{what} has type {array.dtype}, expected uint8 RGB.{hint}")
