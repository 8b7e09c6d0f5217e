"""Identity: two objects that look alike cross; one is hidden for long and comes back elsewhere (benchmarks/identity.py)."""

from __future__ import annotations

import numpy as np
import pytest

from sampt.evaluation.vos.jf import jaccard
from sampt.pipeline.segment import segment_video
from sampt.testing import Scene, SceneVideo, alike_crossing_scene, hidden_scene
from sampt.types import QueryMask


def found_in(scene: Scene, count: int) -> np.ndarray:
    """Masks (t, o, h, w) of the first ``count`` objects, from those of the first frame."""
    queries = [QueryMask(i + 1, 0, mask) for i, mask in enumerate(scene.masks(0)[:count])]
    return np.stack([frame.masks for frame in segment_video(SceneVideo(scene), queries)])


def test_alike_objects_that_cross_are_not_taken_for_each_other() -> None:
    scene = alike_crossing_scene(32, seed=102)
    found = found_in(scene, 2)
    assert min(jaccard(found[-1, o], scene.masks(31)[o]) for o in (0, 1)) > 0.9


@pytest.mark.slow
def test_what_crosses_the_object_and_looks_like_it_does_not_stay_in_its_mask() -> None:
    scene = alike_crossing_scene(48, seed=103)
    found = found_in(scene, 1)
    assert jaccard(found[-1, 0], scene.masks(47)[0]) > 0.9  # without `memory.parts` 0.55: both


def test_a_hidden_object_is_absent_and_found_again_elsewhere() -> None:
    scene = hidden_scene(24, seed=101)
    found = found_in(scene, 1)[:, 0]
    truth = np.stack([scene.masks(i)[0] for i in range(scene.num_frames)])
    away = ~truth.any((1, 2))
    assert away.sum() >= 20
    assert found[away].any((1, 2)).mean() <= 0.1
    assert jaccard(found[-1], truth[-1]) > 0.9
