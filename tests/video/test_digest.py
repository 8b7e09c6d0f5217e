import hashlib
import os

import numpy as np
import pytest
from PIL import Image

from sampt.errors import InputChangedError, VideoError
from sampt.video import SubVideo, open_video
from sampt.video.digest import OpenedFiles, compute_digest_of_files


def test_digest_sees_names_and_every_byte(tmp_path):
    (tmp_path / "a").write_bytes(bytes(range(256)) * 8200)
    (tmp_path / "b").write_bytes(b"x")
    both = compute_digest_of_files([tmp_path / "a", tmp_path / "b"])
    inner = [hashlib.sha256((tmp_path / n).read_bytes()).digest() for n in "ab"]
    assert both == hashlib.sha256(b"1:a:2099200:" + inner[0] + b"1:b:1:" + inner[1]).hexdigest()
    assert compute_digest_of_files([tmp_path / "b", tmp_path / "a"]) != both
    with (tmp_path / "a").open("r+b") as file:
        file.seek(1_500_000)
        file.write(b"!")
    assert compute_digest_of_files([tmp_path / "a", tmp_path / "b"]) != both


def test_missing_file_is_one_line(tmp_path):
    with pytest.raises(VideoError, match="cannot be read"):
        compute_digest_of_files([tmp_path / "none"])


def test_folder_is_known_by_its_images_and_a_view_by_its_source(tmp_path):
    for i in range(3):
        Image.fromarray(np.full((20, 30, 3), 50 * i, np.uint8)).save(tmp_path / f"{i}.png")
    video = open_video(tmp_path)
    first = video.digest()
    assert SubVideo(video, range(1, 3)).digest() == first
    os.utime(tmp_path / "1.png", (0, 0))
    assert open_video(tmp_path).digest() == first
    Image.fromarray(np.full((20, 30, 3), 51, np.uint8)).save(tmp_path / "1.png")
    assert open_video(tmp_path).digest() != first


def test_array_is_known_by_its_frames():
    frames = np.zeros((2, 8, 9, 3), np.uint8)
    before = open_video(frames.copy()).digest()
    frames[1, 7, 8, 2] = 1
    assert open_video(frames).digest() != before


def test_files_that_were_copied_again_are_read_again_once(tmp_path, monkeypatch):
    paths = [tmp_path / f"{i}.png" for i in range(4)]
    for path in paths:
        path.write_bytes(path.name.encode())
    opened = OpenedFiles(paths)
    opened.digest()
    for path in paths:
        os.utime(path, (0, 0))
    read = []
    monkeypatch.setattr(
        "sampt.video.digest.compute_digest_of_files", lambda found: read.append(found) or compute_digest_of_files(found)
    )
    for i in range(4):
        opened.check(i)
    assert len(read) == 1
    paths[2].write_bytes(b"others")
    with pytest.raises(InputChangedError):
        opened.check(2)
