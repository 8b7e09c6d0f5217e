from __future__ import annotations

from typing import ClassVar

import numpy as np
import pytest

from sampt.errors import VideoError
from sampt.types import UInt8Array
from sampt.video import CachedVideo, ResizedVideo, SubVideo, Video
from sampt.video.array import ArrayVideo


class Recording(ArrayVideo):
    """Notes every read."""

    def __init__(self, frames: np.ndarray) -> None:
        super().__init__(frames, fps=10)
        self.reads: list[tuple[int, int]] = []

    def read(self, start: int, stop: int) -> UInt8Array:
        self.reads.append((start, stop))
        return super().read(start, stop)


def _video(num_frames: int = 10, size_hw: tuple[int, int] = (4, 6)) -> Recording:
    return Recording(np.arange(num_frames, dtype=np.uint8)[:, None, None, None] * np.ones((1, *size_hw, 3), np.uint8))


def _numbers(frames: UInt8Array) -> list[int]:
    return [int(v) for v in frames[:, 0, 0, 0]]


@pytest.mark.parametrize("indices", [range(2, 7), range(9, -1, -1), range(1, 10, 3), range(8, 0, -2), range(5, 6)])
def test_a_range_of_frames(indices: range) -> None:
    view = SubVideo(_video(), indices)
    assert view.num_frames == len(indices)
    assert _numbers(view.read(0, len(indices))) == list(indices)
    for start in range(len(indices) + 1):
        for stop in range(start, len(indices) + 1):
            frames = view.read(start, stop)
            assert frames.shape == (stop - start, 4, 6, 3)
            assert frames.flags.c_contiguous
            assert _numbers(frames) == list(indices[start:stop])
    assert [view.frame_name(i) for i in range(len(indices))] == [f"{i:05d}" for i in indices]
    assert [view.time_s(i) for i in range(len(indices))] == pytest.approx([abs(i - indices[0]) / 10 for i in indices])
    assert view.fps == pytest.approx(10 / abs(indices.step))
    with pytest.raises(VideoError, match="were requested of Recording, which has"):
        view.read(0, len(indices) + 1)


def test_reversing_twice_changes_nothing() -> None:
    view = SubVideo(SubVideo(_video(), range(9, -1, -1)), range(9, -1, -1))
    assert _numbers(view.read(3, 6)) == [3, 4, 5]


@pytest.mark.parametrize("indices", [range(0), range(5, 11), range(-1, 3), range(3, -2, -1)])
def test_ranges_outside_are_refused(indices: range) -> None:
    with pytest.raises(VideoError, match=r"Frames range\(.*\) were requested of Recording, which has 10"):
        SubVideo(_video(), indices)


def test_resizing_keeps_locations() -> None:
    frames = np.zeros((2, 8, 8, 3), np.uint8)
    frames[1, :4, 4:] = 200
    small = ResizedVideo(ArrayVideo(frames), (2, 4))
    assert small.size_hw == (2, 4)
    assert small.read(1, 2)[0, :, :, 0].tolist() == [[0, 0, 200, 200], [0, 0, 0, 0]]
    assert small.read(0, 0).shape == (0, 2, 4, 3)
    large = ResizedVideo(ArrayVideo(frames), (16, 16)).read(0, 2)
    assert large.shape == (2, 16, 16, 3)
    assert large[1, 3, 12, 0] == 200
    assert np.array_equal(ResizedVideo(ArrayVideo(frames), (8, 8)).read(0, 2), frames)


def test_the_cache_reads_overlaps_once() -> None:
    video = _video()
    cached = CachedVideo(video, 4)
    assert _numbers(cached.read(0, 4)) == [0, 1, 2, 3]
    assert _numbers(cached.read(2, 6)) == [2, 3, 4, 5]
    assert _numbers(cached.read(2, 6)) == [2, 3, 4, 5]
    assert video.reads == [(0, 4), (4, 6)]
    assert _numbers(cached.read(0, 1)) == [0]
    assert video.reads[2:] == [(0, 1)]
    with pytest.raises(VideoError, match="Frames 8 to 11"):
        cached.read(8, 11)
    assert cached.read(10, 10).shape == (0, 4, 6, 3)


def test_the_cache_is_not_changed_from_outside() -> None:
    cached = CachedVideo(_video(), 4)
    cached.read(0, 2)[:] = 99
    cached.read(0, 2)[:] = 99
    assert _numbers(cached.read(0, 2)) == [0, 1]


def test_the_cache_holds_no_more_than_its_capacity() -> None:
    cached = CachedVideo(_video(), 3)
    assert _numbers(cached.read(0, 10)) == list(range(10))
    assert list(cached._frames) == [7, 8, 9]
    # A view of the window that was read would keep all ten frames.
    assert all(cached._frames.get(i).base is None for i in (7, 8, 9))


def test_the_cache_holds_few_large_frames() -> None:
    class Large(Video):
        """Frames of 69 MiB: two fit into the cache's 192 MiB."""

        num_frames, size_hw, fps = 5, (4000, 6000), 24.0
        asked: ClassVar[list[int]] = []

        def read(self, start: int, stop: int) -> np.ndarray:
            self.asked.extend(range(start, stop))
            return np.zeros((stop - start, *self.size_hw, 3), np.uint8)

    cached = CachedVideo(Large(), capacity=5)
    for i in (0, 1, 2, 2, 1, 0):
        cached.read(i, i + 1)
    assert Large.asked == [0, 1, 2, 0]
