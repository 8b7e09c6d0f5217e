from __future__ import annotations

import numpy as np
import pytest

from sampt.errors import VideoError
from sampt.video.array import ArrayVideo


def test_windows_are_copies() -> None:
    frames = np.arange(3 * 4 * 5 * 3, dtype=np.uint8).reshape(3, 4, 5, 3)
    before = frames.copy()
    video = ArrayVideo(frames, fps=10)
    assert (video.num_frames, video.size_hw, video.fps, video.time_s(2), video.frame_name(2)) == (3, (4, 5), 10, 0.2, "00002")
    window = video.read(1, 3)
    assert np.array_equal(window, frames[1:])
    window[:] = 0
    assert np.array_equal(frames, before)
    assert video.read(3, 3).shape == (0, 4, 5, 3)
    with pytest.raises(VideoError, match="Frames 2 to 4 were requested of ArrayVideo, which has 3"):
        video.read(2, 4)
    with pytest.raises(VideoError, match="Frames -1 to 1"):
        video.read(-1, 1)


@pytest.mark.parametrize(
    ("frames", "message"),
    [
        (np.zeros((2, 3, 8, 9), np.uint8), r"shape \(2, 3, 8, 9\), expected \(t, h, w, 3\)\. Put the channels last"),
        (np.zeros((2, 8, 9, 4), np.uint8), r"Drop the alpha channel"),
        (np.zeros((8, 9, 3), np.uint8), r"For one frame give frame\[None\]"),
        (np.zeros((2, 8, 9), np.uint8), r"For grey frames give"),
        (np.zeros((2, 8, 9, 3), np.float32), r"type float32, expected uint8 RGB\. Scale it to 0 \.\.\. 255"),
        (np.zeros((0, 8, 9, 3), np.uint8), r"it holds no pixel"),
        ([], "The list of frames is empty"),
        (["a.png"], "Frame 0 of the list is a str"),
        ([np.zeros((8, 9), np.uint8)], r"Frame 0 of the list has shape \(8, 9\)"),
        ([np.zeros((8, 9, 3), np.uint8), np.zeros((8, 9, 3), np.int64)], "Frame 1 of the list has type int64"),
        ([np.zeros((8, 9, 3), np.uint8), np.zeros((8, 7, 3), np.uint8)], "Frame 1 of the list is 7x8, frame 0 is 9x8"),
    ],
)
def test_other_arrays_are_refused(frames: object, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        ArrayVideo(frames)  # type: ignore[arg-type]
