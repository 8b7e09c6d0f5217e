"""A small clip with exact masks, and files that are broken in every way, made once for all tests of the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import av
import numpy as np
import pytest
from PIL import Image

from sampt.cli.main import main
from sampt.files.palette import PALETTE
from sampt.testing.scenes import Scene, SceneVideo, slow_scene
from sampt.video.writer import VideoWriter

NUM_FRAMES = 6
CLICK = ("--points", "1,0,25,32")  # on object 1 of the clip
FAST = ("--refinement-steps", "1")


@dataclass(frozen=True)
class Outcome:
    """What a call of the command line left: status and what it printed."""

    status: int
    out: str
    err: str


class Media:
    """Files by name in one folder; ``path("clip.mp4")`` is the good clip, "frames" its frames as PNG."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.scene: Scene = slow_scene(NUM_FRAMES)
        self.frames = SceneVideo(self.scene).read(0, NUM_FRAMES)
        write_clip(root / "clip.mp4", self.scene)
        self.folder("frames", self.frames)
        self.palette_png("mask.png", self.labels(0))

    def path(self, name: str) -> str:
        return str(self.root / name)

    def labels(self, frame_idx: int) -> np.ndarray:
        labels = np.zeros(self.frames.shape[1:3], np.uint8)
        for object_id, mask in enumerate(self.scene.masks(frame_idx), 1):
            labels[mask] = object_id
        return labels

    def folder(self, name: str, frames: Sequence[np.ndarray], suffix: str = "png") -> str:
        (self.root / name).mkdir()
        for i, frame in enumerate(frames):
            Image.fromarray(frame).save(self.root / name / f"{i:05d}.{suffix}")
        return self.path(name)

    def palette_png(self, name: str, labels: np.ndarray) -> str:
        image = Image.fromarray(labels.astype(np.uint8))
        image.putpalette(PALETTE.tobytes())
        image.save(self.root / name)
        return self.path(name)

    def text(self, name: str, text: str) -> str:
        (self.root / name).write_text(text, encoding="utf-8")
        return self.path(name)

    def json(self, name: str, data: object) -> str:
        return self.text(name, json.dumps(data))

    def data(self, name: str, data: bytes) -> str:
        (self.root / name).write_bytes(data)
        return self.path(name)

    def sound(self, name: str) -> str:
        with av.open(self.path(name), "w") as container:
            stream = container.add_stream("pcm_s16le", rate=8000)
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
            frame.sample_rate = 8000
            container.mux(stream.encode(frame))
            container.mux(stream.encode(None))
        return self.path(name)


def write_clip(path: Path, scene: Scene) -> Path:
    video = SceneVideo(scene)
    with VideoWriter(path, video.fps, video.size_hw) as writer:
        for frame in video.read(0, video.num_frames):
            writer.write(frame)
    return path


def digests(folder: Path) -> dict[str, str]:
    """SHA-256 of every file under a folder, by its path in it."""
    files = [p for p in folder.rglob("*") if p.is_file()]
    return {p.relative_to(folder).as_posix(): sha256(p.read_bytes()).hexdigest() for p in sorted(files)}


def call_process(arguments: Sequence[str], before: str = "", **keywords: object) -> subprocess.CompletedProcess[str]:
    """Run the command line in a process of its own; ``before`` is Python to run in it first."""
    code = f"{before}\nfrom sampt.cli.main import main\nimport sys\nsys.exit(main())"
    command = [sys.executable, "-c", code, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, **keywords)  # type: ignore[call-overload]


class Kit:
    """What tests of this folder share (a fixture, because test files cannot import from here)."""

    click, fast, num_frames = CLICK, FAST, NUM_FRAMES
    digests = staticmethod(digests)
    write_clip = staticmethod(write_clip)
    call_process = staticmethod(call_process)


@pytest.fixture(scope="session")
def kit() -> Kit:
    return Kit()


@pytest.fixture(scope="session")
def media(tmp_path_factory: pytest.TempPathFactory) -> Media:
    return Media(tmp_path_factory.mktemp("media"))


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Runs the command line in this process."""

    def run(*arguments: str | os.PathLike[str]) -> Outcome:
        capsys.readouterr()
        try:
            status = main([str(a) for a in arguments])
        except SystemExit as error:  # argparse
            status = int(error.code or 0)
        out, err = capsys.readouterr()
        return Outcome(status, out, err)

    return run
