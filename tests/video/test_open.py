from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.errors import VideoError
from sampt.video import SubVideo, open_video
from sampt.video.file import VideoFile


@pytest.fixture
def frames_dir(tmp_path: Path) -> Path:
    """img1 ... img12 in a folder, with files beside them that are no frames."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(1, 13):
        Image.fromarray(np.full((6, 8, 3), i, np.uint8)).save(folder / f"img{i}.{'PNG' if i == 5 else 'png'}")
    (folder / "notes.txt").write_text("x")
    (folder / "._img1.png").write_bytes(b"what macOS leaves behind")
    return folder


def test_a_folder_is_read_in_natural_order(frames_dir: Path) -> None:
    for source in (frames_dir, str(frames_dir)):
        video = open_video(source)
        assert video.read(0, 12)[:, 0, 0, 0].tolist() == list(range(1, 13))
        assert (video.frame_name(9), video.label) == ("img10", str(frames_dir))


def test_a_pattern_chooses_frames(frames_dir: Path) -> None:
    assert open_video(f"{frames_dir}/img1*.png").read(0, 4)[:, 0, 0, 0].tolist() == [1, 10, 11, 12]
    assert open_video(f"{frames_dir.parent}/**/img[23].png").num_frames == 2


def test_a_folder_whose_name_looks_like_a_pattern(frames_dir: Path) -> None:
    named = frames_dir.rename(frames_dir.with_name("run [1]"))
    assert open_video(named).num_frames == 12


def test_a_file_with_a_colon_in_its_name(make_video: Callable[..., Path]) -> None:
    video = open_video(make_video("12:30:00.mp4", 3))
    assert isinstance(video, VideoFile)
    assert video.num_frames == 3


def test_arrays_lists_and_videos() -> None:
    frames = np.arange(2 * 4 * 5 * 3, dtype=np.uint8).reshape(2, 4, 5, 3)
    for source in (frames, list(frames), tuple(frames)):
        assert np.array_equal(open_video(source).read(0, 2), frames)
    view = SubVideo(open_video(frames), range(1))
    assert open_video(view) is view


def test_errors_say_what_to_do(tmp_path: Path, frames_dir: Path, make_video: Callable[..., Path]) -> None:
    make_video("bees.mp4", 2)
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "none").mkdir()
    (tmp_path / "outer" / "rgb").mkdir(parents=True)
    Image.new("RGB", (4, 4)).save(tmp_path / "outer" / "rgb" / "0.png")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("x")
    (tmp_path / "video.txt").write_text("no video\n" * 50)
    (tmp_path / "video.mp4").write_text("no video\n" * 50)
    Image.new("RGB", (4, 4)).save(tmp_path / "image.dat", format="PNG")
    os.mkfifo(tmp_path / "pipe")
    expected = {
        "": "The path of the video is empty",
        f"{tmp_path}/beez.mp4": r"no file or folder .*beez\.mp4\. Did you mean 'bees\.mp4'\?",
        f"{tmp_path}/nowhere/a.mp4": r"The folder .*/nowhere does not exist either\.",
        f"{tmp_path}/empty.mp4": r"empty\.mp4 is empty \(0 bytes\)",
        f"{tmp_path}/none": r"none is empty\. Give a folder with images \(\.bmp, \.jpeg, \.jpg,",
        f"{tmp_path}/outer": r"holds no image\. Files that end in \.bmp, .* Did you mean the folder .*/outer/rgb\?",
        f"{tmp_path}/texts": r"texts holds no image\. Files that end in .* are read\.$",
        f"{tmp_path}/frames/*.jpg": r"Nothing matches the pattern .*\*\.jpg\.",
        f"{tmp_path}/bees*.mp4": r"matches no image \(but .*bees\.mp4\)",
        f"{frames_dir}/img1.png": r"img1\.png is one image, expected a video\. Give the folder of its frames: .*/frames\.",
        f"{tmp_path}/image.dat": r"image\.dat is one image, expected a video",
        f"{tmp_path}/video.txt": r"video\.txt is a text file, expected a video",
        f"{tmp_path}/video.mp4": r"video\.mp4 cannot be read as a video",
        f"{tmp_path}/pipe": "pipe is neither a regular file nor a folder",
    }
    for source, message in expected.items():
        with pytest.raises(VideoError, match=message) as info:
            open_video(source)
        assert "\n" not in str(info.value)


def test_what_is_no_source_is_named() -> None:
    with pytest.raises(VideoError, match="A NoneType was given as video"):
        open_video(None)  # type: ignore[arg-type]
