"""The object memory by itself, and what it changes in a run."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sampt.memory import FrameFeatures, ObjectMemory, is_known, is_needed
from sampt.memory.object_memory import _MAX_FRAMES
from sampt.types import FloatArray, UInt8Array

SIZE = (64, 96)


def painted(frame: UInt8Array) -> FloatArray:
    """Features (4, 16, 24) of unit length that tell colors apart and nothing else."""
    small = cv2.resize(frame, (24, 16), interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    values = np.concatenate([small, np.full((16, 24, 1), 0.3, np.float32)], 2).transpose(2, 0, 1)
    return np.asarray(values / np.linalg.norm(values, axis=0), np.float32)


def scene(**squares: tuple[int, int, tuple[int, int, int]]) -> tuple[UInt8Array, dict[int, np.ndarray]]:
    """A grey frame with colored squares of 16 pixels at (x, y), and their masks by object, o1 the first."""
    frame = np.full((*SIZE, 3), 128, np.uint8)
    masks = {}
    for name, (x, y, color) in squares.items():
        frame[y : y + 16, x : x + 16] = color
        masks[int(name[1:])] = np.zeros(SIZE, bool)
        masks[int(name[1:])][y : y + 16, x : x + 16] = True
    return frame, masks


RED, BLUE = (220, 20, 20), (20, 20, 220)


def test_an_object_is_where_it_went_and_not_where_it_was() -> None:
    memory = ObjectMemory(painted)
    memory.learn(0, *scene(o1=(8, 8, RED)))
    prior = memory.priors(1, scene(o1=(64, 40, RED))[0], [1])[1]
    assert prior.shape == (16, 24)
    assert prior[10:14, 16:20].min() > 2
    assert prior[2:6, 2:6].max() < -1
    assert np.abs(prior).max() <= 6


def test_objects_compete() -> None:
    """Two of nearly the same color that change places are not taken for each other."""
    memory = ObjectMemory(painted)
    memory.learn(0, *scene(o1=(8, 8, RED), o2=(40, 8, (220, 20, 120))))
    swapped = scene(o1=(40, 8, RED), o2=(8, 8, (220, 20, 120)))[0]
    priors = memory.priors(1, swapped, [1, 2])
    assert priors[1][3:5, 11:13].min() > 1.5 > 0.5 > priors[1][3:5, 3:5].max()
    assert priors[2][3:5, 3:5].min() > 1.5 > 0.5 > priors[2][3:5, 11:13].max()


def test_a_mask_of_something_else_is_not_the_object() -> None:
    memory = ObjectMemory(painted)
    memory.learn(0, *scene(o1=(8, 8, RED)))
    frame, masks = scene(o1=(64, 40, RED), o2=(8, 8, BLUE))
    prior = memory.priors(1, frame, [1])[1]
    assert memory.presence(1, prior, masks[1]) > 0.95
    assert memory.presence(1, prior, masks[2]) < 0.1
    part, strip = np.zeros(SIZE, bool), np.zeros(SIZE, bool)
    part[46:48, 64:80] = True  # covers half of its cells
    strip[18:19, 8:24] = True  # covers a quarter, of something else
    assert memory.presence(1, prior, part) > 0.95
    assert memory.presence(1, prior, strip) < 0.1


def test_an_object_that_was_too_thin_for_the_cells_is_never_judged() -> None:
    memory = ObjectMemory(painted)
    frame, masks = scene(o1=(8, 8, RED), o2=(40, 8, BLUE))
    thin = np.zeros(SIZE, bool)
    thin[8:24, 9:10] = True
    memory.learn(0, frame, {1: thin})
    prior = memory.priors(1, frame, [1])[1]
    assert memory.presence(1, prior, masks[2]) == 1.0


def test_a_prior_is_needed_where_points_lie_on_something_else() -> None:
    prior = np.full((4, 6), -3, np.float32)
    prior[:, :3] = 3  # the left half of a frame of 40 x 60
    left, right = np.array([[5, 5]] * 9, np.float32), np.array([[29.6, 39], [59, 0]], np.float32)
    assert not is_needed(prior, left, (40, 60))
    assert not is_needed(prior, np.concatenate([left, right[:1]]), (40, 60))
    assert is_needed(prior, np.concatenate([left[:8], right]), (40, 60))
    assert is_needed(prior, left[:0], (40, 60))


def test_only_learnt_objects_have_a_prior() -> None:
    memory = ObjectMemory(painted)
    frame, masks = scene(o1=(8, 8, RED))
    assert memory.priors(0, frame, [1, 2]) == {}
    memory.learn(0, frame, {**masks, 2: np.zeros(SIZE, bool)})
    assert list(memory.priors(0, frame, [2, 1])) == [1]


def test_objects_named_on_different_frames_know_each_other() -> None:
    memory = ObjectMemory(painted)
    first, masks = scene(o1=(8, 8, RED))
    memory.learn(0, first, masks)
    second, masks = scene(o2=(40, 8, (220, 20, 90)))
    memory.learn(5, second, masks)
    both = scene(o1=(8, 8, RED), o2=(40, 8, (220, 20, 90)))[0]
    alone = ObjectMemory(painted)
    alone.learn(0, *scene(o1=(8, 8, RED)))
    there = (slice(3, 5), slice(11, 13))
    assert memory.priors(6, both, [1])[1][there].max() < alone.priors(6, both, [1])[1][there].max() - 1


def test_a_mask_that_is_learnt_again_replaces_the_earlier_one() -> None:
    memory = ObjectMemory(painted)
    frame, masks = scene(o1=(8, 8, RED), o2=(40, 8, BLUE))
    memory.learn(0, frame, {1: masks[2]})
    memory.learn(0, frame, {1: masks[1]})
    prior = memory.priors(1, frame, [1])[1]
    assert prior[3:5, 3:5].min() > 1 > -1 > prior[3:5, 11:13].max()


def test_memory_is_bounded_and_forgets_no_object_that_it_has_no_other_frame_of() -> None:
    asked: list[int] = []

    def features(frame: UInt8Array) -> FloatArray:
        asked.append(len(asked))
        return painted(frame)

    memory = ObjectMemory(features)
    memory.learn(0, *scene(o1=(8, 8, RED)))
    memory.learn(1, *scene(o2=(8, 8, BLUE)))
    for i in range(2, 40):
        memory.learn(i, *scene(o1=(8 + i, 8, RED)))
        memory.forget(i)
    assert len(memory._entries) == _MAX_FRAMES
    assert [e.frame_idx for e in memory._entries] == [0, 1, *range(40 - _MAX_FRAMES + 2, 40)]
    assert len(memory._seen) == 1
    assert sorted(memory.priors(40, scene(o1=(8, 8, RED))[0], [1, 2])) == [1, 2]
    before = len(asked)
    memory.priors(40, scene(o1=(8, 8, RED))[0], [1])
    assert len(asked) == before  # a frame's features are computed once


@pytest.mark.parametrize("size", [(480, 854), (120, 40), (9, 700), (1, 1)])
def test_bundled_features_of_frames_of_any_size(size: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size, 3), np.uint8)
    found = FrameFeatures()(frame)
    assert found.dtype == np.float32
    assert found.shape[0] == 112
    assert np.isfinite(found).all()
    assert min(found.shape[1:]) >= 1
    assert max(found.shape[1:]) == 28
    if size == (480, 854):
        assert found.shape[1:] == (16, 28)
        np.testing.assert_allclose(np.linalg.norm(found, axis=0), 1, atol=1e-4)


def test_a_mask_is_known_when_enough_of_it_looks_like_its_object() -> None:
    prior, mask = np.full((4, 8), 3, np.float32), np.ones((64, 128), np.bool_)
    assert is_known(prior, mask)
    prior[:, :2] = -1  # a quarter
    assert is_known(prior, mask)
    prior[:, :4] = 0.5
    assert not is_known(prior, mask)
    mask[:, :64] = False
    assert is_known(prior, mask)
