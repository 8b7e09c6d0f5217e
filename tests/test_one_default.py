"""Whoever gives no settings gets the same ones, whichever entry is used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.batch.work import BatchSettings
from sampt.config import default_config
from sampt.pipeline.segment import segment_stream, segment_video
from sampt.presets import preset
from sampt.runs.job import Job, RunOptions
from sampt.runs.run import run_job
from sampt.session import Session
from sampt.session.project import read_project
from sampt.testing.fakes import ExactSegmenter, ExactTracker
from sampt.testing.scenes import Scene, SceneVideo, crossing_scene
from sampt.types import Points
from sampt.video.streaming import StreamFrame, StreamingVideo
from sampt.video.writer import VideoWriter
from sampt.web.settings import WebSettings

CLICKS = Points.of(1, 0, [[20, 30], [24, 33]])


@pytest.fixture(scope="module")
def scene() -> Scene:
    return crossing_scene(6)


def live(scene: Scene) -> StreamingVideo:
    return StreamingVideo((StreamFrame(np.array(scene.frame(i))) for i in range(6)), 10.0, "scene")


def test_every_entry_has_the_preset_default(scene: Scene, tmp_path: Path) -> None:
    default = preset("default")
    assert Job(SceneVideo(scene), CLICKS, tmp_path).config == default
    assert BatchSettings(tmp_path).config == default
    assert WebSettings({}, tmp_path, backends=lambda *_: (ExactTracker(scene), ExactSegmenter(scene))).config == default
    with VideoWriter(tmp_path / "clip.mp4", 10.0, SceneVideo(scene).size_hw) as writer:
        writer.write(scene.frame(0))
    exact = {"tracker": ExactTracker(scene), "segmenter": ExactSegmenter(scene)}
    Session.create(tmp_path / "clip.mp4", tmp_path / "clip.sampt", **exact).close()  # type: ignore[arg-type]
    assert read_project(tmp_path / "clip.sampt").config == default


def test_a_job_and_segment_video_make_the_same_masks(scene: Scene, tmp_path: Path) -> None:
    run_job(Job(SceneVideo(scene), CLICKS, tmp_path / "run", options=RunOptions(formats=["png"])))
    found = [frame.masks[0] for frame in segment_video(SceneVideo(scene), CLICKS)]
    assert any(mask.any() for mask in found)
    assert np.array_equal(written(tmp_path / "run"), found)


def test_a_job_and_segment_stream_do_for_frames_that_arrive(scene: Scene, tmp_path: Path) -> None:
    assert Job(live(scene), CLICKS, tmp_path).config == default_config(streaming=True)
    run_job(Job(live(scene), CLICKS, tmp_path / "run", options=RunOptions(formats=["png"])))
    found = [frame.masks[0] for frame in segment_stream((scene.frame(i) for i in range(6)), CLICKS)]
    assert any(mask.any() for mask in found)
    assert np.array_equal(written(tmp_path / "run"), found)


def written(output: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) == 1 for path in sorted((output / "masks").glob("*.png"))])
