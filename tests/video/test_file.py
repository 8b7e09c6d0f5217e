from __future__ import annotations

import pickle
import resource
import struct
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from sampt.errors import LimitError, VideoError
from sampt.video.base import SubVideo
from sampt.video.file import VideoFile

MakeVideo = Callable[..., Path]
ReadNumber = Callable[[np.ndarray], int]

KINDS = {
    "mp4 with B-frames": ("a.mp4", {"options": {"g": "12", "bf": "3", "b-adapt": "0"}}),
    "open groups of images": ("b.mp4", {"options": {"x264-params": "keyint=12:open-gop=1:bframes=3:b-adapt=0"}}),
    "Matroska": ("c.mkv", {"options": {"g": "12"}}),
    "transport stream": ("d.ts", {"options": {"g": "12"}}),
    "AVI, whose times are in decoding order": ("e.avi", {"options": {"g": "12"}}),
    "AVI, MPEG-4": ("f.avi", {"codec": "mpeg4", "options": {"g": "12"}}),
    "no container, no times": ("g.h264", {"options": {"g": "12"}}),
    "one key frame": ("h.mp4", {"options": {"g": "250"}}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_frame_is_found_by_its_index(kind: str, make_video: MakeVideo, read_number: ReadNumber) -> None:
    name, how = KINDS[kind]
    video = VideoFile(make_video(name, **how))
    assert (video.num_frames, video.size_hw, video.fps) == (40, (48, 96), 25.0)
    in_order = video.read(0, 40)
    assert [read_number(frame) for frame in in_order] == list(range(40))
    for i in [*np.random.default_rng(0).permutation(40), *range(39, -1, -1), *range(0, 40, 3)]:
        assert np.array_equal(video.read(i, i + 1)[0], in_order[i]), f"frame {i}"
    assert np.array_equal(video.read(17, 31), in_order[17:31])
    assert video.time_s(39) == pytest.approx(39 / 25)


def test_variable_frame_rate_keeps_each_time(make_video: MakeVideo, read_number: ReadNumber) -> None:
    pts = [0, 1, 2, 10, 11, 40, 41, 90, 91, 100]
    video = VideoFile(make_video("vfr.mp4", 10, pts=pts, time_base=Fraction(1, 100)))
    assert [video.time_s(i) for i in range(10)] == pytest.approx([p / 100 for p in pts])
    assert video.fps == pytest.approx(9.0)
    assert [read_number(video.read(i, i + 1)[0]) for i in (9, 3, 0, 5)] == [9, 3, 0, 5]


def test_frames_cut_by_an_edit_list_are_not_frames(make_video: MakeVideo, tmp_path: Path, read_number: ReadNumber) -> None:
    # As a phone trims: the packets before the cut stay in the file for decoding, flagged as not to be shown.
    source = make_video("whole.mp4", options={"g": "12", "bf": "2"})
    trimmed = tmp_path / "trimmed.mp4"
    with av.open(str(source)) as before, av.open(str(trimmed), "w", options={"avoid_negative_ts": "disabled"}) as after:
        stream = before.streams.video[0]
        copy = after.add_stream_from_template(stream)
        shift = 5 * round(1 / (25 * stream.time_base))
        for packet in before.demux(stream):
            if packet.size:
                packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
                after.mux(packet)
    video = VideoFile(trimmed)
    assert video.num_frames == 35
    assert [read_number(video.read(i, i + 1)[0]) for i in (34, 0, 20)] == [39, 5, 25]
    assert video.time_s(34) == pytest.approx(34 / 25)


# Stored frame: dark, its top-left corner red. Where the corner ends up: (row, column) of -1 for the last, 0 for the first.
@pytest.mark.parametrize(
    ("rotation", "size_hw", "corner"),
    [
        ({"degrees": 0}, (32, 64), (0, 0)),
        ({"degrees": -90}, (64, 32), (0, -1)),  # a phone held upright: a quarter turn clockwise
        ({"degrees": 90}, (64, 32), (-1, 0)),
        ({"degrees": 180}, (32, 64), (-1, -1)),
        ({"degrees": 0, "hflip": True}, (32, 64), (0, -1)),
        ({"degrees": -90, "hflip": True}, (64, 32), (0, 0)),
    ],
)
def test_the_display_matrix_turns_frames_upright(
    rotation: dict[str, object], size_hw: tuple[int, int], corner: tuple[int, int], tmp_path: Path
) -> None:
    stored = np.full((32, 64, 3), 30, np.uint8)
    stored[:8, :8] = (230, 20, 20)
    path = tmp_path / "turned.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 32, 64, "yuv420p"
        stream.set_display_rotation(**rotation)
        container.mux(stream.encode(av.VideoFrame.from_ndarray(stored, format="rgb24")))
        container.mux(stream.encode(None))
    video = VideoFile(path)
    frame = video.read(0, 1)[0]
    assert video.size_hw == frame.shape[:2] == size_hw
    red = {(y, x) for y in (0, -1) for x in (0, -1) if frame[y, x, 0] > 150}
    assert red == {corner}


def test_one_frame(make_video: MakeVideo) -> None:
    video = VideoFile(make_video("one.mp4", 1))
    assert (video.num_frames, video.fps, video.time_s(0)) == (1, 25.0, 0.0)
    assert video.read(0, 1).shape == (1, 48, 96, 3)
    assert video.read(1, 1).shape == (0, 48, 96, 3)
    with pytest.raises(VideoError, match=r"Frames 0 to 2 were requested of .*one\.mp4, which has 1\."):
        video.read(0, 2)


def test_reading_after_close_opens_again(make_video: MakeVideo, read_number: ReadNumber) -> None:
    video = VideoFile(make_video("a.mp4", options={"g": "12"}))
    video.read(0, 3)
    video.close()
    assert read_number(video.read(30, 31)[0]) == 30


def test_pixels_that_are_not_square_are_left_and_reported(make_video: MakeVideo, caplog: pytest.LogCaptureFixture) -> None:
    video = VideoFile(make_video("wide.mp4", 2, aspect=Fraction(4, 3)))
    assert video.size_hw == (48, 96)
    assert "pixels 4/3 as wide as high" in caplog.text


def _write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate = 16000
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def test_sound_alone_is_refused(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"sound\.mp4 holds no video stream, only audio\. Give a file with images\."):
        VideoFile(_write_sound(tmp_path / "sound.mp4"))


def test_a_file_without_its_index_is_refused(make_video: MakeVideo, tmp_path: Path) -> None:
    whole = make_video("whole.mp4").read_bytes()
    (tmp_path / "half.mp4").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(VideoError, match=r"half\.mp4 cannot be read as a video .*copy this one again\."):
        VideoFile(tmp_path / "half.mp4")


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("a.mp4", {"muxing": {"movflags": "+faststart"}, "options": {"g": "12"}}),
        ("b.avi", {"codec": "mpeg4", "options": {"g": "12"}}),
    ],
)
def test_a_cut_file_reads_up_to_the_cut(
    name: str, how: dict[str, object], make_video: MakeVideo, read_number: ReadNumber, tmp_path: Path
) -> None:
    whole = make_video(name, **how)
    data = whole.read_bytes()
    cut_path = tmp_path / f"cut_{name}"
    cut_path.write_bytes(data[: len(data) * 3 // 4])
    video = VideoFile(cut_path)
    assert video.num_frames == 40
    with pytest.raises(
        VideoError, match=r"is cut off: it announces 40 frames, but frame \d+ .* use what is there with --stop"
    ) as info:
        video.read(0, 40)
    readable = int(str(info.value).rsplit("--stop ", 1)[1].rstrip("."))
    assert 5 < readable < 38
    rest = SubVideo(video, range(readable)).read(0, readable)
    assert [read_number(frame) for frame in rest] == list(range(readable))
    assert np.array_equal(rest, VideoFile(whole).read(0, readable))


def test_a_damaged_middle_names_the_frame_reached(bees: Path, tmp_path: Path) -> None:
    data = bytearray(bees.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 60_000] = np.random.default_rng(0).bytes(60_000)
    (tmp_path / "damaged.mp4").write_bytes(data)
    video = VideoFile(tmp_path / "damaged.mp4")
    with pytest.raises(VideoError, match=r"Frame \d+ of .*damaged\.mp4 cannot be decoded .* --stop \d+\.") as info:
        for i in range(video.num_frames):
            video.read(i, i + 1)
    reached = int(str(info.value).rsplit("--stop ", 1)[1].rstrip("."))
    assert 100 < reached < 200
    assert np.array_equal(video.read(0, 2), VideoFile(bees).read(0, 2))


def test_a_change_of_size_within_the_file_is_refused(make_video: MakeVideo, tmp_path: Path) -> None:
    # A raw stream may change its size at any key frame.
    small = make_video("small.h264", 10)
    large = tmp_path / "large.h264"
    with av.open(str(large), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = 64, 128, "yuv420p"
        container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((64, 128, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    video = VideoFile(both)
    assert video.num_frames == 11
    with pytest.raises(VideoError, match=r"Frame 10 of .*both\.h264 is 128x64, the first is 96x48\. .*--stop 10\."):
        video.read(0, 11)


def test_bees_random_access_equals_reading_in_order(bees: Path) -> None:
    video = VideoFile(bees)
    assert (video.num_frames, video.size_hw, video.fps) == (277, (720, 1280), 25.0)
    wanted = {0, 1, 88, 89, 90, 91, 137, 200, 275, 276}
    in_order = {}
    with av.open(str(bees)) as container:
        for i, frame in enumerate(container.decode(video=0)):
            if i in wanted:
                in_order[i] = frame.to_ndarray(format="rgb24")
    for i in (276, 0, 137, 90, 89, 91, 275, 88, 1, 200):
        assert np.array_equal(video.read(i, i + 1)[0], in_order[i]), f"frame {i}"


def test_bees_memory_is_that_of_the_window(bees: Path) -> None:
    video = VideoFile(bees)
    video.read(0, 8)
    before_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    for start in range(8, 272, 8):
        video.read(start, start + 8)
    after_kb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert after_kb - before_kb < 60_000  # all frames together are 766 MB


def test_a_header_that_lies_about_the_size_is_refused_before_a_frame_is_made(make_video: MakeVideo) -> None:
    path = make_video("raw.avi", num_frames=2, codec="rawvideo")
    data = bytearray(path.read_bytes())
    struct.pack_into("<ii", data, data.index(b"strf") + 12, 14000, 12000)
    path.write_bytes(data)
    with pytest.raises(LimitError, match=r"raw\.avi is 14000x12000; expected at most 67108864 pixels"):
        VideoFile(path)


def test_a_video_file_pickles_by_its_path_as_a_folder_does(make_video: MakeVideo) -> None:
    path = make_video("a.mp4", 12)
    video = VideoFile(path)
    frames = video.read(0, 12)  # files that are open and frames in the decoder do not go along
    copy = pickle.loads(pickle.dumps(video))
    assert (copy.label, copy.num_frames, copy.digest()) == (video.label, 12, video.digest())
    assert np.array_equal(copy.read(3, 9), frames[3:9])
    view = pickle.loads(pickle.dumps(SubVideo(video, range(8, 2, -2))))
    assert np.array_equal(view.read(0, 3), frames[8:2:-2])
    assert len(pickle.dumps(video)) < 1000


def test_the_last_frame_lasts_as_long_as_the_file_says(make_video: MakeVideo) -> None:
    pts = [0, 1, 2, 10, 11, 40]
    source = make_video("vfr.mp4", 6, pts=pts, time_base=Fraction(1, 100), options={"bf": "0"})
    video = VideoFile(source)
    assert [video.duration_s(i) for i in range(5)] == pytest.approx([0.01, 0.01, 0.08, 0.01, 0.29])
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        *_, last = (p for p in container.demux(stream) if p.size)
        assert video.duration_s(5) == pytest.approx(float(last.duration * stream.time_base))
    strided = SubVideo(video, range(1, 6, 2))
    assert [strided.duration_s(i) for i in range(3)] == pytest.approx([0.09, 0.3, video.duration_s(5)])
    assert SubVideo(video, range(0, 5, 2)).duration_s(2) == pytest.approx(0.29 + video.duration_s(5))
