"""Streamed frames: from standard input, raw or in a container, from an address; read once, in order, and ended."""

from __future__ import annotations

import io
import itertools
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from sampt.errors import VideoError
from sampt.video.open import open_video
from sampt.video.streaming import StreamFrame, StreamingVideo, is_streaming, open_stream

FRAMES = np.random.default_rng(4).integers(0, 256, (7, 6, 10, 3), np.uint8)


def arriving(frames: np.ndarray = FRAMES, times_s: list[float] | None = None) -> Iterator[StreamFrame]:
    for i, frame in enumerate(frames):
        yield StreamFrame(frame.copy(), None if times_s is None else times_s[i])


@pytest.fixture
def standard_input(tmp_path: Path) -> Iterator[int]:
    """A pipe instead of standard input; gives the end to write to, which the test closes."""
    read_end, write_end = os.pipe()
    before = os.dup(0)
    os.dup2(read_end, 0)
    os.close(read_end)
    yield write_end
    os.dup2(before, 0)
    os.close(before)


def fed(write_end: int, data: bytes) -> threading.Thread:
    def write() -> None:
        with os.fdopen(write_end, "wb") as file:
            file.write(data)

    thread = threading.Thread(target=write)
    thread.start()
    return thread


def encoded(frames: np.ndarray, container_format: str, rate: int = 10) -> bytes:
    out = io.BytesIO()
    with av.open(out, "w", format=container_format) as container:
        stream = container.add_stream("ffv1" if container_format == "matroska" else "mpeg4", rate=rate)
        stream.height, stream.width = frames.shape[1:3]
        stream.pix_fmt = "bgr0" if container_format == "matroska" else "yuv420p"
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode(None))
    return out.getvalue()


@pytest.mark.parametrize("source", ["-", "/dev/video0", "rtsp://host/a", "HTTP://host:80/b.mjpg", "udp://@:1234"])
def test_what_arrives_is_told_from_files(source: str) -> None:
    assert is_streaming(source)


@pytest.mark.parametrize("source", ["clip.mp4", "/dev/shm/clip.mp4", "frames/*.jpg", "", "--", "a-b", "C:/clips/a.mp4"])
def test_files_do_not_arrive(source: str) -> None:
    assert not is_streaming(source)


def test_raw_frames_come_one_by_one_and_the_last_ones_are_kept(standard_input: int) -> None:
    writer = fed(standard_input, FRAMES.tobytes())
    video = open_stream("-", raw_size_hw=(6, 10), fps=5)
    video.keep(3)
    assert (video.size_hw, video.fps, video.num_frames, video.label) == ((6, 10), 5, 0, "standard input")
    for i, frame in enumerate(video):
        assert np.array_equal(frame, FRAMES[i])
        assert video.num_frames == i + 1
        first = max(0, i - 2)
        assert np.array_equal(video.read(first, i + 1), FRAMES[first : i + 1])
        if i >= 3:
            with pytest.raises(VideoError, match=rf"Frame {i - 3} of standard input is gone; only the last 3 can be read"):
                video.read(i - 3, i)
    assert video.num_frames == 7
    assert video.time_s(6) == pytest.approx(6 / 5)
    writer.join()


def test_a_container_is_read_without_seeking(standard_input: int) -> None:
    frames = np.repeat(np.repeat(FRAMES, 8, 1), 8, 2)
    writer = fed(standard_input, encoded(frames, "matroska"))
    video = open_stream("-")
    assert video.fps == pytest.approx(10)
    found = []
    for i, frame in enumerate(video):
        found.append(frame)
        assert video.time_s(i) == pytest.approx(i / 10, abs=1e-3)
    assert np.array_equal(np.stack(found), frames)
    writer.join()


def test_an_address_is_opened(tmp_path: Path) -> None:
    frames = np.repeat(np.repeat(FRAMES, 8, 1), 8, 2)
    (tmp_path / "clip.mkv").write_bytes(encoded(frames, "matroska"))
    video = open_stream(f"file://{tmp_path}/clip.mkv")
    assert np.array_equal(np.stack(list(video)), open_video(tmp_path / "clip.mkv").read(0, 7))


def test_frames_are_chosen_by_start_stop_and_stride() -> None:
    video = StreamingVideo(arriving(), 24, "camera", start=1, stop=6, stride=2)
    assert np.array_equal(np.stack(list(video)), FRAMES[1:6:2])
    assert [video.frame_name(i) for i in range(3)] == ["00001", "00003", "00005"]
    assert video.fps == 12
    assert video.describe_frames() == {"start": 1, "stop": 6, "stride": 2, "count": None}


def test_a_clock_that_stands_still_or_jumps_back_does_not_stop_time() -> None:
    video = StreamingVideo(arriving(times_s=[50, 50.5, 50.5, 40, 52, 53, 54]), 10, "camera")
    shown = [video.time_s(i) for i, _ in enumerate(video)]
    assert shown == pytest.approx([0, 0.5, 0.6, 0.7, 2, 3, 4])


def test_no_frame_is_lost_and_little_is_read_ahead() -> None:
    taken: list[int] = []

    def camera() -> Iterator[StreamFrame]:
        for i in range(40):
            taken.append(i)
            yield StreamFrame(FRAMES[0].copy())

    video = StreamingVideo(camera(), 24, "camera")
    for i, _ in enumerate(video):
        assert len(taken) <= i + 8
    assert len(taken) == video.num_frames == 40


def test_ending_a_video_ends_it_though_no_frame_comes() -> None:
    stuck = threading.Event()

    def camera() -> Iterator[StreamFrame]:
        yield from arriving(FRAMES[:2])
        stuck.wait()

    video = StreamingVideo(camera(), 24, "camera")
    given = []
    for frame in video:
        given.append(frame)
        if len(given) == 2:
            video.end()
    assert len(given) == 2
    stuck.set()


def test_frames_of_another_size_are_told() -> None:
    both = itertools.chain(arriving(FRAMES[:1]), arriving(FRAMES[:1, :4]))
    with pytest.raises(VideoError, match="Frame 1 from camera is 10x4, the first is 10x6; expected frames of one size"):
        list(StreamingVideo(both, 24, "camera"))


def test_a_failure_of_the_source_comes_with_the_frames() -> None:
    def broken() -> Iterator[StreamFrame]:
        yield from arriving(FRAMES[:2])
        raise VideoError("unplugged")

    with pytest.raises(VideoError, match="unplugged"):
        list(StreamingVideo(broken(), 24, "camera"))


def test_a_raw_frame_that_breaks_off_is_left_out_with_a_warning(standard_input: int, caplog: pytest.LogCaptureFixture) -> None:
    writer = fed(standard_input, FRAMES.tobytes()[:-50])
    assert np.array_equal(np.stack(list(open_stream("-", raw_size_hw=(6, 10)))), FRAMES[:6])
    assert "Frame 6 of standard input has 130 bytes; expected 180 for raw RGB of 10x6 pixels" in caplog.text
    writer.join()


def test_a_container_that_breaks_off_ends_there(standard_input: int) -> None:
    frames = np.repeat(np.repeat(FRAMES, 8, 1), 8, 2)
    data = encoded(frames, "matroska")
    writer = fed(standard_input, data[: len(data) * 2 // 3])
    found = list(open_stream("-"))
    assert 2 <= len(found) <= 5
    assert np.array_equal(np.stack(found), frames[: len(found)])
    writer.join()


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (b"", {}, "No video comes from standard input .*give a video that can be read without seeking"),
        (b"no video at all" * 9, {}, "No video comes from standard input"),
        (b"", {"raw_size_hw": (6, 10)}, "The video from standard input ends before frame 0; expected at least one frame"),
        (
            b"x" * 70,
            {"raw_size_hw": (6, 10)},
            "Frame 0 of standard input has 70 bytes; expected 180 for raw RGB of 10x6 pixels",
        ),
        (FRAMES.tobytes(), {"raw_size_hw": (6, 10), "start": 7}, "ends before frame 7"),
    ],
)
def test_no_video_on_standard_input_is_told(standard_input: int, data: bytes, options: dict[str, object], message: str) -> None:
    writer = fed(standard_input, data)
    with pytest.raises(VideoError, match=message) as caught:
        open_stream("-", **options)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    writer.join()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("rtsp://127.0.0.1:9/x", r"No video comes from rtsp://127\.0\.0\.1:9/x \(.*\); check the address"),
        ("file:///nowhere/clip.mkv", "No such file"),
        ("/dev/video99", "No video comes from /dev/video99"),
    ],
)
def test_an_address_where_nothing_is_is_told(source: str, message: str) -> None:
    with pytest.raises(VideoError, match=message):
        open_stream(source)


def test_raw_frames_come_from_standard_input_alone() -> None:
    with pytest.raises(VideoError, match="raw frames come from standard input"):
        open_stream("rtsp://host/a", raw_size_hw=(6, 10))
