"""run_job of a stream: results are written as frames come, and complete when it ends."""

from __future__ import annotations

import dataclasses
import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig, with_settings
from sampt.errors import BackendError, ConfigError, OutputError, QueryError, VideoError
from sampt.exporters.tracks_npz import load_tracks
from sampt.exporters.tracks_text import TracksJson
from sampt.runs.job import Job, RunOptions
from sampt.runs.outputs import DEFAULT_FORMATS
from sampt.runs.run import run_job
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker, ExactTracker
from sampt.testing.scenes import Scene, crossing_scene
from sampt.types import QueryMask
from sampt.video.open import open_video
from sampt.video.streaming import StreamFrame, StreamingVideo

NUM_FRAMES = 9
SCENE = crossing_scene(NUM_FRAMES)
CONFIG = SegmentConfig(
    sampling=SamplingConfig(), prompting=PromptConfig(refinement_steps=0), reinit=ReinitConfig(), protocol="vos"
)


@pytest.fixture(autouse=True)
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Backends that know the scene, instead of those that the names mean."""
    monkeypatch.setattr("sampt.runs.backends.create_segmenter", lambda name, **options: ExactSegmenter(SCENE))
    monkeypatch.setattr("sampt.runs.backends.create_tracker", lambda name, **options: ExactStreamTracker(SCENE))


def camera(scene: Scene = SCENE) -> Iterator[StreamFrame]:
    for i in range(NUM_FRAMES):
        yield StreamFrame(scene.frame(i), i / 8)


def job(output: Path, **changes: Any) -> Job:
    queries = [QueryMask(o, 0, m) for o, m in enumerate(SCENE.masks(0), 1)]
    given: dict[str, Any] = {
        "video": StreamingVideo(camera(), 8, "camera"),
        "queries": queries,
        "output": output,
        "config": CONFIG,
    }
    names = {f.name for f in dataclasses.fields(RunOptions)} & changes.keys()
    given["options"] = RunOptions(**{name: changes.pop(name) for name in names})
    return Job(**given | changes)


def manifest(output: Path) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((output / "run.json").read_text())
    return data


def test_all_results_are_those_of_the_frames_that_came(tmp_path: Path) -> None:
    seen: list[tuple[int, int | None]] = []
    result = run_job(job(tmp_path), lambda done, total: seen.append((done, total)))
    assert seen == [(i, None) for i in range(NUM_FRAMES + 1)]
    assert (result.num_frames, set(result.files)) == (NUM_FRAMES, set(DEFAULT_FORMATS))
    for i in range(NUM_FRAMES):
        labels = np.asarray(Image.open(tmp_path / "masks" / f"{i:05d}.png"))
        assert np.array_equal(labels, (SCENE.masks(i) * np.array([1, 2])[:, None, None]).max(0))
    text = manifest(tmp_path)
    assert (text["num_frames"], text["frames"]["count"], text["fps"]) == (NUM_FRAMES, None, 8)
    assert text["inputs"]["video_sha256"].startswith("stream ")
    assert len(load_tracks(tmp_path / "tracks.npz").frame_idx) == NUM_FRAMES
    overlay = open_video(tmp_path / "overlay.mp4")
    assert overlay.num_frames == NUM_FRAMES
    assert overlay.time_s(8) == pytest.approx(1, abs=1e-3)
    coco = json.loads((tmp_path / "masks.json").read_text())
    assert coco["videos"][0]["length"] == NUM_FRAMES
    assert not list(tmp_path.glob("*.partial")) + list(tmp_path.glob("*.journal"))
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width == 1600


def test_a_video_that_is_ended_leaves_complete_results(tmp_path: Path) -> None:
    video = StreamingVideo(camera(), 8, "camera")
    result = run_job(job(tmp_path, video=video), lambda done, _: video.end() if done == 3 else None)
    assert 3 <= result.num_frames < NUM_FRAMES
    assert manifest(tmp_path)["num_frames"] == result.num_frames == len(list((tmp_path / "masks").iterdir()))


def test_a_source_that_fails_leaves_the_masks_so_far_and_no_manifest(tmp_path: Path) -> None:
    def failing() -> Iterator[StreamFrame]:
        for i, frame in enumerate(camera()):
            if i == 5:
                raise VideoError("unplugged")
            yield frame

    with pytest.raises(VideoError, match="unplugged"):
        run_job(job(tmp_path, video=StreamingVideo(failing(), 8, "camera")))
    assert len(list((tmp_path / "masks").iterdir())) >= 3
    assert not (tmp_path / "run.json").exists()
    with pytest.raises(OutputError, match=r"an unfinished run .*--overwrite"):
        run_job(job(tmp_path))
    assert run_job(job(tmp_path, overwrite=True)).num_frames == NUM_FRAMES


def test_every_live_run_is_a_new_one(tmp_path: Path) -> None:
    run_job(job(tmp_path))
    with pytest.raises(OutputError, match="holds the results of a run with other settings or input"):
        run_job(job(tmp_path))


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"stride": 2}, ConfigError, "Frames of a stream are chosen when it is opened"),
        ({"config": with_settings(CONFIG, {"reinit.enabled": True})}, ConfigError, "A stream is read once"),
        ({"queries": [QueryMask(1, 4, SCENE.masks(4)[0])]}, QueryError, "A mask is on frame 4 of a stream"),
        ({"formats": ["gif"]}, ConfigError, "Unknown output 'gif'"),
    ],
)
def test_what_does_not_fit_is_told_before_a_file_is_made(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        run_job(job(tmp_path / "out", **changes))
    assert not (tmp_path / "out").exists()


def test_a_tracker_that_needs_the_whole_clip_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampt.runs.backends.create_tracker", lambda name, **options: ExactTracker(SCENE))
    with pytest.raises(BackendError, match="Tracker 'exact' needs the whole clip; for streamed frames choose another one"):
        run_job(job(tmp_path / "out"))
    assert not (tmp_path / "out").exists()


def test_slow_writing_loses_no_frames_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a camera whose frames come at uneven times."""

    def uneven() -> Iterator[StreamFrame]:
        for i in range(NUM_FRAMES):
            yield StreamFrame(SCENE.frame(i), i * i / 8)

    real = TracksJson.write

    def slowly(self: TracksJson, frame: Any) -> None:
        time.sleep(0.05)
        real(self, frame)

    monkeypatch.setattr(TracksJson, "write", slowly)
    given = job(tmp_path, video=StreamingVideo(uneven(), 8, "camera"), options=RunOptions(formats=("tracks-json",)))
    run_job(given)
    frames = json.loads((tmp_path / "tracks.json").read_text())["frames"]
    assert [frame["time_s"] for frame in frames] == [i * i / 8 for i in range(NUM_FRAMES)]
