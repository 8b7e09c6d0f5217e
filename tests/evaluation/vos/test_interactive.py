"""The simulated person: what each action is, with exact backends; and the command on a rendered dataset."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig, TrackingConfig
from sampt.errors import EvaluationError
from sampt.evaluation.datasets import VosSequence
from sampt.evaluation.vos.interactive import InteractiveConfig, run_study, study_table
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker, ExactTracker
from sampt.testing.scenes import SceneVideo, crossing_scene
from sampt.trackers.base import TrackerInfo
from sampt.types import BoolArray, IntArray
from sampt.video import Video
from tests.command import run_command

SCENE = crossing_scene(10)
CONFIG = SegmentConfig(
    sampling=SamplingConfig(),
    tracking=TrackingConfig(border_fraction=0.0),
    prompting=PromptConfig(refinement_steps=0),
    reinit=ReinitConfig(),
)


class Gt(VosSequence):
    """The scene's own masks; ``shift`` moves them away from what the exact segmenter can find."""

    def __init__(self, shift: int = 0) -> None:
        super().__init__("crossing")
        self._shift = shift

    frame_names = tuple(f"{i:05d}" for i in range(10))
    first_frame: Mapping[int, int] = {1: 0, 2: 0}  # type: ignore[assignment]
    annotated_frames = tuple(range(10))
    size_hw = SCENE.size_hw

    def label_map(self, frame_idx: int) -> IntArray:
        masks: BoolArray = SCENE.masks(frame_idx)
        labels = (masks * np.array([1, 2])[:, None, None]).max(0)
        return np.roll(labels, self._shift, axis=1).astype(np.int64)

    def open(self) -> Video:
        return SceneVideo(SCENE)


def study(sequence: VosSequence | None = None, tracker: Any = None, object_id: int = 2, **changes: Any) -> list[Any]:
    """Object 2 passes in front of object 1."""
    backends = tracker or ExactStreamTracker(SCENE), ExactSegmenter(SCENE)
    return list(run_study(sequence or Gt(), object_id, *backends, CONFIG, InteractiveConfig(**changes)))


def test_one_click_is_enough_where_points_are_followed_exactly() -> None:
    points = study()
    assert [p.actions for p in points] == [1] * 10
    assert points[-1].iou == points[-1].j_and_f == 1
    assert [p.frames for p in points] == list(range(1, 11))


def test_a_point_that_is_hidden_on_the_way_takes_another_click() -> None:
    actions = [p.actions for p in study(object_id=1)]
    assert actions[:4] == [1] * 4
    assert actions[-1] == 3


def test_without_tracking_every_frame_needs_its_own_click() -> None:
    points = study(tracking=False)
    assert [p.actions for p in points] == list(range(1, 11))
    assert points[-1].iou == 1


class WholeClips(ExactTracker):
    """Caches the lengths of the clips and the query points that it is given."""

    latency: int | None = None

    def __init__(self, scene: Any) -> None:
        super().__init__(scene)
        self.prompted: list[tuple[int, int, int]] = []

    @property
    def info(self) -> TrackerInfo:
        return dataclasses.replace(super().info, latency=self.latency)

    def track(self, video: Any, points: Any, query_masks: Any = None) -> Any:
        self.prompted.append((video.num_frames, len(points), int(points.frame_idx.max())))
        return super().track(video, points, query_masks)


class WantsMasks(ExactTracker):
    @property
    def info(self) -> TrackerInfo:
        return dataclasses.replace(super().info, name="masked", needs_masks=True)


@pytest.mark.parametrize(
    ("mode", "object_id", "latency"), [("online", 1, None), ("online", 2, None), ("online", 1, 3), ("offline", 1, None)]
)
def test_trackers_of_whole_clips_track_from_each_clicks_frame(mode: Any, object_id: int, latency: int | None) -> None:
    tracker = WholeClips(SCENE)
    tracker.latency = latency
    points = study(tracker=tracker, object_id=object_id, mode=mode)
    assert points == study(object_id=object_id, mode=mode)  # as by a tracker that follows the frames as they come
    # Every click is on some frame f, and its point is tracked over the 10 - f frames from there on, once in all passes.
    new = np.diff([0, *(p.actions for p in points)])
    frames = [p.frames - 1 for p, count in zip(points, new, strict=True) for _ in range(count)]
    assert tracker.prompted == [(10 - frame_idx, 1, 0) for frame_idx in frames]


def test_without_tracking_nothing_is_tracked() -> None:
    tracker = WholeClips(SCENE)
    assert study(tracker=tracker, tracking=False) == study(tracking=False)
    assert tracker.prompted == []


def test_offline_passes_end_when_the_masks_are_good_enough() -> None:
    points = study(mode="offline")
    assert len(points) == 100
    assert sorted({p.threshold for p in points}) == [0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95]
    assert points[-1].actions == 1


def test_actions_on_a_frame_and_in_all_are_bounded() -> None:
    never_good = Gt(shift=7)  # no mask of the segmenter is that of the ground truth
    points = study(never_good, per_frame=2)
    assert [p.actions for p in points] == list(range(2, 21, 2))
    assert [p.actions for p in study(never_good, in_all=5)][-1] == 5


def test_wrong_points_are_taken_away_first() -> None:
    class Drifting(ExactStreamTracker):
        """Points jump off the object after the first frame."""

        def stream(self) -> Any:
            stream = super().stream()
            push = stream.push

            def moved(frame: Any) -> Any:
                step = push(frame)
                return step._replace(xy=np.full_like(step.xy, 1.0), visible=np.ones(len(step.xy), np.bool_))

            stream.push = moved  # type: ignore[method-assign]
            return stream

    points = study(tracker=Drifting(SCENE), per_frame=3)
    # On each later frame the point that ran away is taken away, and a new one is added.
    assert [p.actions for p in points][:4] == [1, 3, 5, 7]
    assert points[-1].iou == 1


def test_the_table_shows_when_marks_were_reached() -> None:
    lines = study_table(study(tracking=False), marks=(1, 5, 400)).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:]] == ["| 1", "| 5", "| 10"]


def test_what_cannot_be_studied_is_told() -> None:
    with pytest.raises(EvaluationError, match="'sideways' with 3 actions a frame"):
        InteractiveConfig(mode="sideways")  # type: ignore[arg-type]
    with pytest.raises(EvaluationError, match="'masked' matches inside the objects' masks"):
        study(tracker=WantsMasks(SCENE))
    with pytest.raises(EvaluationError, match=r"and the object 7"):
        list(run_study(Gt(), 7, ExactStreamTracker(SCENE), ExactSegmenter(SCENE), CONFIG, InteractiveConfig()))


def test_the_command_writes_every_step(tmp_path: Path) -> None:
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / "data" / kind / "a").mkdir(parents=True)
    for i in range(3):
        Image.fromarray(SCENE.frame(i)).save(tmp_path / "data" / "JPEGImages" / "a" / f"{i}.jpg", quality=97)
        labels = (SCENE.masks(i) * np.array([1, 2])[:, None, None]).max(0).astype(np.uint8)
        Image.fromarray(labels).save(tmp_path / "data" / "Annotations" / "a" / f"{i}.png")
    done = run_command("eval", "interactive", "folder", "--root", str(tmp_path / "data"), "-o", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert "a #1" in done.stdout
    assert "a #2" in done.stdout
    steps = json.loads((tmp_path / "out" / "a-1.json").read_text())
    assert steps["study"]["mode"] == "online"
    assert [p["frames"] for p in steps["points"]] == [1, 2, 3]
    assert steps["points"][-1]["iou"] > 0.5
