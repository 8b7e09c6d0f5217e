"""The scripts of examples/ run as they stand, each on a small clip, and do what their headers say."""

import re
import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.testing import SceneVideo, slow_scene
from sampt.video.writer import VideoWriter

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
NUM_FRAMES = 4


@pytest.fixture(scope="module")
def scene():
    return slow_scene(NUM_FRAMES, (96, 144))


@pytest.fixture(scope="module")
def clip(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp("examples")
    frames = SceneVideo(scene).read(0, NUM_FRAMES)
    with VideoWriter(folder / "clip.mp4", 24, (96, 144)) as writer:
        for frame in frames:
            writer.write(frame)
    return folder / "clip.mp4"


@pytest.fixture
def run(monkeypatch, capsys):
    def run_example(name: str, *arguments: object) -> list[str]:
        monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
        runpy.run_path(str(EXAMPLES / name), run_name="__main__")
        return capsys.readouterr().out.splitlines()

    return run_example


def click_on(scene, object_id: int = 1, frame_idx: int = 0) -> str:
    ys, xs = np.nonzero(scene.masks(frame_idx)[object_id - 1])
    return f"{np.median(xs):.0f},{np.median(ys):.0f}"


def pixels(lines: list[str]) -> list[int]:
    return [int(found[1]) for line in lines if (found := re.search(r"frame \d+: (\d+) pixels", line))]


def is_about(areas: list[int], scene) -> bool:
    """Whether each frame's mask has the size of the clicked object, within a factor of two."""
    wanted = [int(scene.masks(i)[0].sum()) for i in range(len(areas))]
    return all(0.5 < a / b < 2 for a, b in zip(areas, wanted, strict=True))


def test_segment_clip(run, clip, scene, tmp_path):
    lines = run("segment_clip.py", clip, click_on(scene), "-o", tmp_path / "overlay.mp4")
    assert len(pixels(lines)) == NUM_FRAMES
    assert is_about(pixels(lines), scene)
    import sampt

    assert sampt.open_video(tmp_path / "overlay.mp4").num_frames == NUM_FRAMES


def test_correct_in_session(run, clip, scene, tmp_path):
    click, correct = f"0,{click_on(scene)}", f"2,{click_on(scene, 2, 2)}"
    lines = run("correct_in_session.py", clip, tmp_path / "clip.sampt", "--click", click, "--correct", correct)
    before, after = map(int, re.search(r"frame 2: (\d+) pixels before the correction, (\d+) after", "\n".join(lines)).groups())
    assert after > before  # the other object was added to this one
    assert f"num_up_to_date={NUM_FRAMES}" in lines[-1]


def test_stream_frames(run, clip, scene):
    lines = run("stream_frames.py", clip, click_on(scene), "--stop", 3)
    assert len(pixels(lines)) == 3
    assert is_about(pixels(lines), scene)


def test_custom_tracker(run, clip, scene):
    lines = run("custom_tracker.py", clip, click_on(scene))
    assert lines[0] == "the tracker keeps the contract"
    assert is_about(pixels(lines), scene)
    assert "0 points visible" not in [line.rsplit(", ", 1)[1] for line in lines[1:]]


def test_find_objects(run, clip, tmp_path):
    lines = run("find_objects.py", clip, "--max", 2, "--every", 0, "-o", tmp_path / "found")
    assert lines[0].startswith("object 1: best on frame 0")
    assert (np.asarray(Image.open(tmp_path / "found/masks/00000.png")) == 1).any()


@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # pycocotools with NumPy 2
def test_export_and_read(run, clip, scene, tmp_path):
    lines = run("export_and_read.py", clip, click_on(scene), "-o", tmp_path / "run")
    masks = sorted((tmp_path / "run/masks").iterdir())
    written = [int((np.asarray(Image.open(path)) == 1).sum()) for path in masks]
    read = [int(found[1]) for line in lines if (found := re.search(r": thing, (\d+) pixels", line))]
    assert is_about(read, scene)
    assert np.allclose(read, written, rtol=0.05)  # polygons of a mask are not exact
    assert lines[-1] == "the masks as images: (96, 144), ids [0, 1]"


def test_score_masks(run, scene, tmp_path):
    for name in ("gt", "same", "shifted"):
        (tmp_path / name).mkdir()
        for i in range(4):
            labels = (scene.masks(i) * np.array([1, 2])[:, None, None]).sum(0).astype(np.uint8)
            Image.fromarray(np.roll(labels, 12 * (name == "shifted"), 1)).save(tmp_path / name / f"{i:05d}.png")
    assert run("score_masks.py", tmp_path / "same", tmp_path / "gt") == [
        f"object {i}: J 1.000  F 1.000  J&F 1.000  (2 frames)" for i in (1, 2)
    ]
    shifted = run("score_masks.py", tmp_path / "shifted", tmp_path / "gt")
    assert all(0 < float(re.search(r"J (\d\.\d+)", line)[1]) < 0.7 for line in shifted)
    with pytest.raises(SystemExit, match="expected all there"):
        run("score_masks.py", tmp_path, tmp_path / "gt")
