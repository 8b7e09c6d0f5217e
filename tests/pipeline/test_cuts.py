"""An object of one shot is absent in another one and found again after it, in all ways through a video."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache

import numpy as np
import pytest

from sampt.config import SegmentConfig, with_settings
from sampt.pipeline.segment import segment_stream, segment_video
from sampt.testing.scenes import crossing_scene, demo_scene
from sampt.types import BoolArray, FrameMasks, ObjectState, Points, QueryMask, UInt8Array

SIZE_HW = (180, 320)
OTHER = range(4, 9)
"""Frames of the other shot."""


@lru_cache(maxsize=1)
def splice() -> tuple[UInt8Array, list[BoolArray]]:
    """12 frames, and the ground-truth masks of one object; none in the shot in the middle."""
    scene, other = crossing_scene(7, SIZE_HW), demo_scene(len(OTHER), SIZE_HW)
    frames = [scene.frame(i) for i in range(7)]
    masks = [np.asarray(scene.masks(i)[0]) for i in range(7)]
    nothing = [np.zeros(SIZE_HW, np.bool_)] * len(OTHER)
    return np.stack(frames[:4] + [other.frame(i) for i in range(len(OTHER))] + frames[4:]), masks[:4] + nothing + masks[4:]


def check(results: Iterable[FrameMasks]) -> None:
    masks = splice()[1]
    for result, mask in zip(results, masks, strict=True):
        if result.frame_idx in OTHER:
            assert not result.masks[0].any()
            assert result.states[0] == ObjectState.NO_VISIBLE_POINT
        else:
            union = np.count_nonzero(result.masks[0] | mask)
            assert np.count_nonzero(result.masks[0] & mask) / union > 0.8, result.frame_idx


@pytest.mark.parametrize("changes", [{}, {"reinit.enabled": False}, {"reinit.horizon": 4}, {"reinit.keep_queries": False}])
def test_an_object_is_absent_in_another_shot_and_found_again(changes: dict[str, object]) -> None:
    frames, masks = splice()
    check(segment_video(frames, QueryMask(1, 0, masks[0]), config=with_settings(SegmentConfig(), changes)))


def test_backward_in_time_as_forward() -> None:
    frames, masks = splice()
    check(segment_video(frames, QueryMask(1, 11, masks[11])))


def test_frames_that_arrive_one_by_one() -> None:
    frames, masks = splice()
    check(segment_stream(frames, QueryMask(1, 0, masks[0])))


def test_an_object_that_is_named_in_the_other_shot_is_there() -> None:
    frames, masks = splice()
    fish = np.asarray(demo_scene(len(OTHER), SIZE_HW).masks(0)[0])
    inside = np.argwhere(fish)[len(np.argwhere(fish)) // 2][::-1]
    queries = [QueryMask(1, 0, masks[0]), Points.of(2, OTHER.start, [inside])]
    results = list(segment_video(frames, queries, config=with_settings(SegmentConfig(), {"protocol": "vos"})))
    assert all(results[i].masks[1].any() for i in OTHER)
    assert not any(results[i].masks[0].any() for i in OTHER)
    assert not any(results[i].masks[1].any() for i in range(OTHER.stop, 12))
