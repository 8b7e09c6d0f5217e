"""The program that measures a GPU, on the CPU with small networks: what it writes, without time too, and when it is ended."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from benchmarks import gpu
from benchmarks.played import PLAYED, KnownScene, PlayedSegmenter, PlayedTracker
from sampt.config import with_settings
from sampt.geometry import rescale_xy
from sampt.presets import PRESETS
from sampt.runs.timing import StageClock
from sampt.segmenters.sam import models
from sampt.testing import demo_scene
from sampt.trackers.base import FrameSource, TrackerInfo
from sampt.types import MaskPrediction, ObjectPrompt, Points, Tracks
from sampt.video.array import ArrayVideo
from sampt.video.base import resize_frame

SMALL = ("--device", "cpu", "--reduced", "--size", "96x64", "--frames", "3", "--repeats", "1")


@pytest.fixture(autouse=True)
def small_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models that become small are so in one test."""
    for name, model in models.MODELS.items():
        monkeypatch.setitem(models.MODELS, name, model)


def run(folder: Path, *options: str) -> tuple[int, dict[str, Any]]:
    status = gpu.main([*SMALL, *options, "-o", str(folder)])
    return status, json.loads((folder / "gpu.json").read_text())


def test_rows_are_measured_and_written_as_json_and_markdown(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    changes = {"tracker": "raft-small", "segmenter": "mobile-sam", "prompting.refinement_steps": 3, "reinit.enabled": False}
    changes |= {"prompting.object_memory": False}
    quick = with_settings(PRESETS["fast"], changes)
    monkeypatch.setattr(gpu, "PRESETS", {"quick": quick})
    status, report = run(tmp_path, "--only", "presets", "objects", "--rows", "quick", "mobile-sam 3")
    assert status == 0
    assert report["is_complete"]
    preset, objects = report["rows"]
    assert (preset["section"], preset["row"], preset["frames"], preset["segmenter"]) == ("presets", "quick", 3, "mobile-sam")
    assert sum(preset["fraction"].values()) == pytest.approx(1, abs=1e-6)
    assert 0 <= preset["fraction"]["rest"] < 1  # what plays is no stage, and is taken off once
    assert min(preset["fraction"][stage] for stage in ("track", "encode", "decode")) > 0
    assert preset["over_bare"] == pytest.approx(preset["bare_frames_per_s"] / preset["frames_per_s"])
    assert objects["object_s"] == pytest.approx(objects["frame_s"] / 3)
    text = (tmp_path / "gpu.md").read_text()
    assert "## presets" in text
    assert f"| quick | raft-small | mobile-sam | 3 | 3 | {gpu.cell(preset['frames_per_s'])} |" in text


def test_without_time_every_row_says_so(tmp_path: Path) -> None:
    status, report = run(tmp_path, "--minutes", "1e-9")
    assert status == 0
    assert report["is_complete"]
    assert {row["note"] for row in report["rows"]} == {"not measured: no time was left"}
    assert {row["section"] for row in report["rows"]} == set(gpu.list_rows(is_reduced=True))
    told = [PRESETS[row["row"]] for row in report["rows"] if row["section"] == "presets"]
    assert all(config in told for config in PRESETS.values())


def test_an_ended_run_leaves_what_it_measured_and_a_failure_is_one_row(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def fail(bench: Any, limit: Any) -> Any:
        raise RuntimeError("CUDA out of memory\nand more")

    def end(bench: Any, limit: Any) -> Any:
        raise KeyboardInterrupt

    rows = {section: [] for section in gpu.list_rows(is_reduced=True)} | {"calls": [("one", fail), ("two", end)]}
    monkeypatch.setattr(gpu, "list_rows", lambda is_reduced: rows)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    report = json.loads((tmp_path / "gpu.json").read_text())
    assert not report["is_complete"]
    assert [(row["row"], row["note"]) for row in report["rows"]] == [
        ("one", "failed: RuntimeError: CUDA out of memory and more")
    ]
    assert "Not complete" in (tmp_path / "gpu.md").read_text()


def test_the_goal_is_for_all_refinement_steps_on_a_gpu() -> None:
    rows = [{"steps": 3, "over_bare": 9.0}, {"note": "failed"}, {"steps": 12, "over_bare": 1.2}]
    assert not gpu.misses_goal({"machine": {"GPU": "x"}, "rows": rows})
    assert gpu.misses_goal({"machine": {"GPU": "x"}, "rows": [*rows, {"steps": 12, "over_bare": 1.4}]})
    assert not gpu.misses_goal({"machine": {}, "rows": [{"steps": 12, "over_bare": 1.4}]})


@pytest.mark.parametrize(
    "options", [["--size", "96"], ["--size", "8x8"], ["--frames", "1"], ["--minutes", "0"], ["--only", "x"]]
)
def test_bad_options_end_with_status_2(options: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        gpu.main(options)
    assert caught.value.code == 2


class Lost:
    """A tracker whose points are nowhere, and a segmenter that finds nothing; both count how often they compute."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    info: Any = TrackerInfo("lost", "MIT", None, is_causal=True)

    def track(self, video: FrameSource, points: Points, query_masks: object = None) -> Tracks:
        self.calls.append("track")
        xy = np.zeros((video.num_frames, len(points), 2), np.float32)
        return Tracks(points, xy, np.zeros(xy.shape[:2], np.bool_))

    def encode(self, frames: np.ndarray) -> list[Any]:
        self.calls.append("encode")
        return [StageClock() for _ in frames]  # anything of its own

    def decode(self, embedding: Any, prompts: list[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        self.calls.append("decode")
        nothing = np.full((72, 108), -1, np.float32)
        return [MaskPrediction(p.object_id, 0.0, nothing, None, nothing if full_size else None) for p in prompts]


def test_played_backends_compute_and_give_what_the_scene_shows_at_any_size() -> None:
    scene = demo_scene(6, (96, 144))
    known, clock, lost = KnownScene(scene), StageClock(), Lost()
    frames = np.stack([resize_frame(scene.frame(i), (72, 108)) for i in (5, 3, 1)])  # smaller, and backward in time
    tracker, segmenter = PlayedTracker(lost, known, clock), PlayedSegmenter(lost, known, clock)  # type: ignore[arg-type]
    y, x = np.argwhere(scene.masks(5)[1]).mean(0)
    at = Points.of(2, 0, rescale_xy(np.array([[x, y]], np.float32), (96, 144), (72, 108)))
    tracks = tracker.track(ArrayVideo(frames), at)
    exact = scene.point_positions(Points.of(2, 5, [[x, y]])).xy[[5, 3, 1]]
    assert np.abs(tracks.xy - rescale_xy(exact, (96, 144), (72, 108))).max() < 0.01
    assert not tracker.info.is_causal
    prompt = ObjectPrompt(2, at.xy, np.ones(1, np.bool_))
    for embedding, i in zip(segmenter.encode(frames), (5, 3, 1), strict=True):
        (prediction,) = segmenter.decode(embedding, [prompt])
        assert prediction.logits is not None
        mask = (
            np.asarray(resize_frame(np.repeat(scene.masks(i)[1][..., None], 3, -1).astype(np.uint8) * 255, (72, 108))[..., 0])
            > 127
        )
        assert np.count_nonzero((prediction.logits > 0) ^ mask) < 0.1 * np.count_nonzero(mask)
        assert prediction.score > 0.7
    assert lost.calls == ["track", "encode", "decode", "decode", "decode"]
    assert clock.seconds[PLAYED] > 0


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*is deprecated:DeprecationWarning")  # of PyTorch's compiler, about itself
def test_all_sections_run_on_the_cpu(tmp_path: Path) -> None:
    status, report = run(tmp_path, "--minutes", "30")
    assert status == 0
    assert [row for row in report["rows"] if "note" in row] == []
    assert {row["section"] for row in report["rows"]} == set(gpu.list_rows(is_reduced=True))
