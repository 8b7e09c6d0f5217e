"""The benchmarks of objects that nobody named: with exact backends their figures are known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from benchmarks import entering, unsupervised
from benchmarks.finding import Method
from sampt.config import FindConfig, with_settings
from sampt.evaluation import davis_sequences
from sampt.presets import preset
from sampt.testing import ExactProposer, ExactSegmenter, ExactTracker, Scene, SceneVideo, slow_scene
from sampt.types import FrameMasks, FramePoints, ObjectState

CONFIG = with_settings(preset("default"), {"prompting.object_memory": False, "reinit.enabled": False})


def exact(scene: Scene, *, every: int = 6, max_objects: int = 5) -> Method:
    method = Method(CONFIG, FindConfig(every=every, max_objects=max_objects))
    method.tracker, method.segmenter = ExactTracker(scene), ExactSegmenter(scene)  # type: ignore[assignment]
    method.proposer = ExactProposer(scene, min_pixels=60)
    return method


def test_one_object_alone_and_the_best_of_several(tmp_path: Path) -> None:
    scene = slow_scene(8)
    video = SceneVideo(scene)
    for kind in ("JPEGImages", "Annotations"):
        (tmp_path / kind / "480p" / "slow").mkdir(parents=True)
    (tmp_path / "ImageSets" / "480p").mkdir(parents=True)
    (tmp_path / "ImageSets" / "480p" / "dev.txt").write_text("slow\n")
    for i in range(8):
        Image.fromarray(video.read(i, i + 1)[0]).save(tmp_path / "JPEGImages" / "480p" / "slow" / f"{i:05d}.png")
        second = np.asarray(scene.masks(i)[1] * 255, np.uint8)
        Image.fromarray(second).save(tmp_path / "Annotations" / "480p" / "slow" / f"{i:05d}.png")
    (sequence,) = davis_sequences(tmp_path)
    method = exact(scene)
    outcome = unsupervised.run(unsupervised.Job(sequence, CONFIG, method.find, tmp_path / "out", None), method)
    # Both are found, equally sure; the one met first is the most salient one, and it is not the annotated one.
    assert len(outcome.found) == 2
    assert outcome.one.j_and_f < 0.1
    assert outcome.best.j_and_f > 0.95
    assert (len(outcome.one.objects[0].frames), len(outcome.best.objects[0].frames)) == (6, 8)
    assert outcome.best.objects[0].found_id == 2
    assert "| slow | 0.0" in unsupervised.to_markdown([outcome])


def test_entering_counts_what_is_missed_and_what_is_double() -> None:
    scene = entering.entering_scene(12, seed=1)
    nothing = np.zeros(scene.size_hw, bool)

    def result(i: int) -> FrameMasks:
        first, second = scene.masks(i)
        masks = np.stack([first if i < 8 else nothing, nothing if i < 8 else first, second & (i > 10), np.roll(first, 120, 0)])
        n = len(masks)
        states = np.full(n, ObjectState.PRESENT, np.uint8)
        return FrameMasks(i, np.arange(1, n + 1), masks, np.ones(n, np.float32), states, FramePoints.concat([]))

    judged = entering.judge(scene, [result(i) for i in range(12)])
    assert (judged.num_found, judged.doubles, judged.others) == (1, 1, 1)
    assert judged.ious[0] == pytest.approx(8 / 12, abs=0.02)
    assert entering.judge(scene, []).ious == (0.0, 0.0)
    row = entering.to_markdown([judged]).splitlines()[-1]
    assert row.startswith("| 1 | 2 | 0.500 | 0.000 |")
    assert row.endswith("| 1 | 1 | 1 |")


@pytest.mark.slow
def test_exact_backends_find_every_object_that_enters_once() -> None:
    scene = entering.entering_scene(32, (135, 240), seed=0)
    judged = entering.judge(scene, entering.run(scene, exact(scene, every=8, max_objects=20))[1])
    assert (judged.num_found, judged.doubles, judged.others) == (scene.num_objects, 0, 0)
