"""Streams with packets that the decoder refuses: what is after them is read, what is broken is known at once and listed."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.errors import ConfigError, QueryError, VideoError
from sampt.runs.frames import choose_frames
from sampt.runs.job import Job, RunOptions
from sampt.runs.run import prepare_run
from sampt.types import Points
from sampt.video.base import SubVideo
from sampt.video.damage import describe_frames
from sampt.video.file import VideoFile
from sampt.video.open import open_video
from sampt.video.streaming import open_stream

MakeVideo = Callable[..., Path]
ReadNumber = Callable[[np.ndarray], int]
CASE = Path(__file__).resolve().parents[3] / "shared" / "cases" / "damaged" / "corrupt.mp4"


def corrupted(whole: Path, frames: range) -> Path:
    """A copy in which the packets of ``frames``, in the order of decoding, are noise."""
    data = bytearray(whole.read_bytes())
    with av.open(str(whole)) as container:
        packets = [(p.pos, p.size) for p in container.demux(video=0) if p.size]
    for i in frames:
        start, size = packets[i]
        # Lengths of units that reach beyond the packet: refused, not concealed.
        data[start : start + size] = b"\xff" * size
    path = whole.with_name(f"corrupt-{whole.name}")
    path.write_bytes(data)
    return path


@pytest.fixture
def broken(make_video: MakeVideo) -> Path:
    """40 frames with a key frame every 10th; 13, 14 and 15 cannot be decoded, 16 to 19 refer to them."""
    return corrupted(make_video("a.mp4", options={"g": "10", "bf": "0", "sc_threshold": "0"}), range(13, 16))


def test_frames_after_a_refused_packet_are_read_from_anywhere(broken: Path, read_number: ReadNumber) -> None:
    video = VideoFile(broken)
    assert video.num_frames == 40
    for first in (0, 12, 20, 39, 5):
        assert read_number(video.read(first, first + 1)[0]) == first
    assert [read_number(f) for f in video.read(20, 40)] == list(range(20, 40))
    with pytest.raises(VideoError, match=r"Frame 13 of .* --stop 13\.$"):
        video.read(15, 16)  # the first broken one is named, whichever is read
    assert [read_number(f) for f in video.read(0, 13)] == list(range(13))
    damage = video.find_damage()
    assert (damage.unreadable, damage.doubtful) == ((13, 14, 15), (16, 17, 18, 19))


def test_damage_among_the_first_frames_renumbers_nothing(make_video: MakeVideo, read_number: ReadNumber) -> None:
    video = VideoFile(corrupted(make_video("a.mp4", options={"g": "10", "bf": "0"}), range(3, 5)))
    assert (video.num_frames, video.find_damage().unreadable) == (40, (3, 4))
    assert [read_number(video.read(i, i + 1)[0]) for i in (2, 10, 39)] == [2, 10, 39]


def test_broken_frames_are_repeated_or_left_out(broken: Path, read_number: ReadNumber) -> None:
    repeated = open_video(broken, on_damage="repeat")
    frames = repeated.read(0, 40)
    assert [read_number(frame) for frame in frames[:16]] == [*range(13), 12, 12, 12]
    assert np.array_equal(frames[20:], VideoFile(broken).read(20, 40))
    repeated.check_complete(40)
    skipped = open_video(broken, on_damage="skip")
    assert isinstance(skipped, SubVideo)
    assert (skipped.num_frames, skipped.frame_name(12), skipped.frame_name(13)) == (37, "00012", "00016")
    assert [skipped.time_s(i) for i in (12, 13, 36)] == pytest.approx([12 / 25, 16 / 25, 39 / 25])
    assert skipped.duration_s(12) == pytest.approx(4 / 25)
    assert np.array_equal(skipped.read(10, 37), np.concatenate([frames[10:13], frames[16:]]))
    assert open_video(broken).num_frames == 40
    with pytest.raises(ConfigError):
        open_video(broken, on_damage="ignore")  # type: ignore[arg-type]


def test_a_cut_file_can_be_repeated_or_left_off(make_video: MakeVideo, read_number: ReadNumber) -> None:
    path = make_video("a.mp4", muxing={"movflags": "+faststart"}, options={"g": "12"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size * 3 // 4])
    skipped, repeated = open_video(path, on_damage="skip"), open_video(path, on_damage="repeat")
    there = skipped.num_frames
    assert 20 < there < 40
    assert repeated.num_frames == 40
    assert read_number(repeated.read(39, 40)[0]) == read_number(skipped.read(there - 1, there)[0]) == there - 1


def test_the_real_frame_of_a_change_of_size_is_told(make_video: MakeVideo) -> None:
    large = make_video("large.h264", 10)
    data = b""
    for name, size_hw in (("first.h264", (48, 96)), ("second.h264", (64, 128))):
        path = large.with_name(name)
        with av.open(str(path), "w") as container:
            stream = container.add_stream("libx264", rate=25)
            (stream.height, stream.width), stream.pix_fmt = size_hw, "yuv420p"
            for _ in range(10):
                frame = av.VideoFrame.from_ndarray(np.zeros((*size_hw, 3), np.uint8), format="rgb24")
                container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        data += path.read_bytes()
    large.write_bytes(data)
    video = VideoFile(large)
    assert video.num_frames == 20
    with pytest.raises(VideoError, match=r"Frame 10 of .* is 128x64, the first is 96x48 \(10 frames in all: 10-19\)"):
        video.read(19, 20)  # as a run does first, which reported "--stop 19"
    assert open_video(large, on_damage="skip").num_frames == 10


def test_broken_images_are_damage_too(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    for i in range(5):
        buffer = io.BytesIO()
        noise = np.random.default_rng(i).integers(0, 255, (40, 60, 3), np.uint8)
        Image.fromarray(noise).save(buffer, "JPEG")
        (tmp_path / f"{i}.jpg").write_bytes(buffer.getvalue())
    (tmp_path / "2.jpg").write_bytes(buffer.getvalue()[:900])  # cut off
    (tmp_path / "3.jpg").write_bytes(b"")
    with pytest.raises(VideoError):
        open_video(tmp_path).read(0, 5)
    skipped = open_video(tmp_path, on_damage="skip")
    assert [skipped.frame_name(i) for i in range(skipped.num_frames)] == ["0", "1", "4"]
    frames = open_video(tmp_path, on_damage="repeat").read(0, 5)
    assert all(np.array_equal(frames[i], frames[1]) for i in (2, 3))
    assert not np.array_equal(frames[4], frames[1])


def test_frames_that_arrive_go_on_after_a_refused_packet(broken: Path, read_number: ReadNumber, caplog: Any) -> None:
    video = open_stream(f"file://{broken}")
    numbers = [read_number(frame) for frame in video]
    assert numbers[:13] == list(range(13))
    assert numbers[-20:] == list(range(20, 40))
    assert "cannot be decoded" in caplog.text


def test_a_run_lists_what_was_broken(broken: Path, tmp_path: Path) -> None:
    def run(on_damage: str) -> tuple[int, Path]:
        out = tmp_path / on_damage
        how = ["--tracker", "lucas-kanade", "--segmenter", "grabcut", "--formats", "png", "--quiet", "--on-damage", on_damage]
        frames = ["--start", "2", "--stop", "24", "--stride", "2"]
        return main(["segment", str(broken), "--points", "1,2,48,30", *frames, *how, "-o", str(out)]), out

    assert run("stop")[0] == 2
    assert not (tmp_path / "stop" / "run.json").exists()
    for on_damage, names in (("repeat", range(2, 24, 2)), ("skip", [i for i in range(2, 24, 2) if i != 14])):
        status, out = run(on_damage)
        assert status == 0
        frames = json.loads((out / "run.json").read_text())["frames"]
        assert frames == {
            "start": 2,
            "stop": 23,
            "stride": 2,
            "count": len(names),
            "on_damage": on_damage,
            "unreadable": [14],
            "doubtful": [16, 18],
        }
        assert [path.stem for path in sorted((out / "masks").iterdir())] == [f"{i:05d}" for i in names]


def test_a_click_on_a_frame_that_is_left_out_is_refused(broken: Path, tmp_path: Path) -> None:
    job = Job(broken, [Points.of(1, 14, [(9, 9)])], tmp_path / "out", options=RunOptions(on_damage="skip"))
    with pytest.raises(QueryError, match="frame 14, which is not among the frames worked on"):
        prepare_run(job)


def test_the_stream_of_the_cases() -> None:
    if not CASE.exists():
        pytest.skip(f"{CASE} is not there")
    video = VideoFile(CASE)
    damage = video.find_damage()
    assert damage.unreadable == tuple(range(121, 133))
    assert damage.doubtful == (120, *range(133, 144))
    assert open_video(CASE, on_damage="skip").num_frames == 240
    assert video.read(144, 252).shape == (108, 120, 160, 3)
    with pytest.raises(VideoError, match=r"--stop 121\.$"):
        video.read(130, 131)


def test_frames_are_told_as_ranges() -> None:
    assert describe_frames([3]) == "3"
    assert describe_frames([0, 1, 2, 7, 9, 10]) == "0-2, 7, 9-10"
    assert describe_frames(range(0, 20, 2)) == "0, 2, 4, 6, 8, 10 and 4 more"


def test_frames_of_a_view_keep_their_own_numbers(broken: Path, tmp_path: Path) -> None:
    # A video that is a view of another: frames count as in the view, whatever is broken below.
    for on_damage, count in (("stop", 10), ("skip", 10)):
        view, options = SubVideo(VideoFile(broken), range(20, 30)), RunOptions(on_damage=on_damage)
        job = Job(view, [Points.of(1, 4, [(9, 9)])], tmp_path / "o", options=options)
        chosen = choose_frames(job)
        assert (chosen.video.num_frames, chosen.is_all, chosen.location(job).points.frame_idx[0]) == (
            count,
            True,
            4,
        )
    job = Job(SubVideo(VideoFile(broken), range(10, 20)), [], tmp_path / "o", options=RunOptions(on_damage="skip"))
    assert list(choose_frames(job).indices) == [0, 1, 2, 6, 7, 8, 9]
    assert choose_frames(job).describe(job)["unreadable"] == [3, 4, 5]
