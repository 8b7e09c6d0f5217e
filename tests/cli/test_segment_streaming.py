"""`sampt segment -`: frames from a pipe, ended by its writer or by an interruption."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.testing.scenes import SceneVideo, slow_scene

FRAMES = SceneVideo(slow_scene(6)).read(0, 6)
HEIGHT, WIDTH = FRAMES.shape[1:3]
RAW = ("--raw-size", f"{WIDTH}x{HEIGHT}", "--points", "1,0,25,32")


def segment(*options: str, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    command = [sys.executable, "-m", "sampt", "segment", "-", *options]
    return subprocess.run(command, input=data, capture_output=True, timeout=120)


def manifest(output: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((output / "run.json").read_text())
    return data


def test_raw_frames_from_a_pipe_give_the_masks_of_the_same_frames_in_a_folder(tmp_path: Path) -> None:
    done = segment(*RAW, "--fps", "5", "-o", str(tmp_path / "piped"), data=FRAMES.tobytes())
    assert done.returncode == 0, done.stderr
    assert b"tracked without re-initialisation" in done.stderr
    (tmp_path / "frames").mkdir()
    for i, frame in enumerate(FRAMES):
        Image.fromarray(frame).save(tmp_path / "frames" / f"{i:05d}.png")
    command = [sys.executable, "-m", "sampt", "segment", str(tmp_path / "frames"), "--no-reinit", *RAW[2:]]
    subprocess.run([*command, "-o", str(tmp_path / "read")], check=True, capture_output=True, timeout=120)
    masks = sorted((tmp_path / "read" / "masks").iterdir())
    assert len(masks) == 6
    for path in masks:
        assert path.read_bytes() == (tmp_path / "piped" / "masks" / path.name).read_bytes()
        assert np.asarray(Image.open(path)).any()
    assert manifest(tmp_path / "piped")["fps"] == 5


def test_an_interruption_ends_the_video_and_completes_the_results(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "sampt", "segment", "-", *RAW, "-o", str(tmp_path / "out"), "--quiet"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin is not None
        process.stdin.write(FRAMES.tobytes())  # and the pipe stays open
        process.stdin.flush()
        last = tmp_path / "out" / "masks" / "00005.png"
        while not last.exists() and process.poll() is None:
            signal.sigtimedwait([], 0.05)
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0, process.stderr.read() if process.stderr else ""
    assert manifest(tmp_path / "out")["num_frames"] == 6


@pytest.mark.parametrize(
    ("options", "data", "message"),
    [
        (("--points", "1,0,5,5"), b"no video", "No video comes from standard input"),
        (RAW, b"x" * 99, "Frame 0 of standard input has 99 bytes"),
        (("--raw-size", "10by6", "--points", "1,0,5,5"), b"", "--raw-size is '10by6'; expected width x height"),
        ((*RAW, "--fps", "0"), b"", "--fps is 0; expected a number above 0"),
        ((*RAW, "--stride", "0"), b"", "--stride is 0; expected a whole number from 1"),
        ((*RAW, "--reinit"), b"", "--reinit needs a video that can be read again"),
        ((*RAW[:2], "--points", "1,3,25,32"), FRAMES.tobytes(), "A click is on frame 3 of a stream"),
        ((*RAW[:2], "--points", "1,0,999,32"), FRAMES.tobytes(), "lies outside the frame"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(tmp_path: Path, options: tuple[str, ...], data: bytes, message: str) -> None:
    done = segment(*options, "-o", str(tmp_path / "out"), "--quiet", data=data)
    assert done.returncode == 2
    lines = done.stderr.decode().splitlines()
    assert len(lines) == 1
    assert message in lines[0]
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("option", [("--raw-size", "9x9"), ("--fps", "5")])
def test_options_of_frames_that_arrive_are_refused_for_files(tmp_path: Path, option: tuple[str, str]) -> None:
    command = [sys.executable, "-m", "sampt", "segment", "clip.mp4", "--points", "1,0,5,5", *option]
    done = subprocess.run(command, capture_output=True, timeout=60)
    assert done.returncode == 2
    assert f"{option[0]} is for streamed frames".encode() in done.stderr
