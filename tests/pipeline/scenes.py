"""Scenes, exact backends and comparisons that the tests of the pipeline share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Any, get_args

import numpy as np

from sampt.config import (
    PromptConfig,
    ReinitConfig,
    ReinitVariant,
    SamplingConfig,
    SegmentConfig,
    TrackingConfig,
)
from sampt.geometry import find_mask_box
from sampt.pipeline.segment import segment_video
from sampt.testing import (
    ExactSegmenter,
    ExactStreamTracker,
    Scene,
    SceneVideo,
    crossing_scene,
    leave_and_return_scene,
    occlusion_scene,
    static_scene,
)
from sampt.testing.clauses import spread_points
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep
from sampt.types import (
    FrameMasks,
    ObjectState,
    Points,
    QueryBox,
)
from sampt.video.base import CachedVideo


def rendered_once(scene: Scene) -> Scene:
    """The scene, which keeps its frames and masks from now on."""
    for name in ("frame", "masks"):
        setattr(scene, name, lru_cache(maxsize=None)(getattr(scene, name)))
    return scene


CROSSING, OCCLUSION = rendered_once(crossing_scene(12)), rendered_once(occlusion_scene())


LEAVING, STATIC = rendered_once(leave_and_return_scene()), rendered_once(static_scene(4))


VARIANTS = get_args(ReinitVariant)


NONE_VISIBLE, RETIRED, BEFORE, PRESENT = (
    ObjectState.NO_VISIBLE_POINT,
    ObjectState.RETIRED,
    ObjectState.BEFORE_QUERY,
    ObjectState.PRESENT,
)


QUICK = SegmentConfig(
    sampling=SamplingConfig(),
    tracking=TrackingConfig(border_fraction=0),
    prompting=PromptConfig(refinement_steps=1),
    reinit=ReinitConfig(),
)


VOS = replace(QUICK, protocol="vos")


VIDEO = SceneVideo(CROSSING)


EXACT = {"tracker": ExactStreamTracker(CROSSING), "segmenter": ExactSegmenter(CROSSING)}


def on(scene: Scene, object_id: int, frame_idx: int, count: int = 12) -> Points:
    return Points.of(object_id, frame_idx, spread_points(np.asarray(scene.masks(frame_idx)[object_id - 1]), count))


def box_on(scene: Scene, object_id: int, frame_idx: int) -> QueryBox:
    box = find_mask_box(scene.masks(frame_idx)[object_id - 1])
    assert box is not None
    return QueryBox(object_id, frame_idx, box)


def square(scene: Scene) -> np.ndarray:
    """A part of object 1 on frame 5."""
    whole = scene.masks(5)[0]
    y, x = (int(v) for v in spread_points(np.asarray(whole), 1)[0][::-1])
    mask = np.zeros_like(whole)
    mask[y - 3 : y + 4, x - 3 : x + 4] = True
    return np.asarray(mask)


def run(scene: Scene, queries: Any, config: SegmentConfig = QUICK, **more: Any) -> list[FrameMasks]:
    backends = {"tracker": ExactStreamTracker(scene), "segmenter": ExactSegmenter(scene)}
    results = list(segment_video(CachedVideo(SceneVideo(scene), 99), queries, config=config, **(backends | more)))
    assert [r.frame_idx for r in results] == list(range(scene.num_frames))
    return results


def reinit(variant: str, horizon: int = 5, *, base: SegmentConfig = QUICK, **more: Any) -> SegmentConfig:
    settings = ReinitConfig(enabled=True, variant=variant, horizon=horizon, tracker_horizon=horizon + 2, **more)  # type: ignore[arg-type]
    return replace(base, reinit=settings)


def assert_exact(scene: Scene, results: Sequence[FrameMasks], *, absent_at_max: int = 0) -> None:
    """Every mask is exact, and absent is only what has no visible point."""
    absent = 0
    for result in results:
        gt = scene.masks(result.frame_idx)
        for object_id, mask, state, score in zip(result.object_ids, result.masks, result.states, result.scores, strict=True):
            if state == PRESENT:
                assert np.array_equal(mask, gt[object_id - 1]), (result.frame_idx, object_id)
                assert score == 1
                continue
            own = result.points.object_id == object_id
            assert state == NONE_VISIBLE, (result.frame_idx, object_id)
            assert not result.points.visible[own & result.points.is_positive].any()
            assert not mask.any()
            assert np.isnan(score)
            absent += 1
    assert absent <= absent_at_max


def assert_same(one: Sequence[FrameMasks], two: Sequence[FrameMasks], *, ids: bool = True) -> None:
    for a, b in zip(one, two, strict=True):
        assert np.array_equal(a.masks, b.masks), a.frame_idx
        assert np.array_equal(a.scores, b.scores, equal_nan=True), a.frame_idx
        assert np.array_equal(a.states, b.states), a.frame_idx
        assert np.array_equal(a.object_ids, b.object_ids)
        assert np.array_equal(a.points.hidden_by, b.points.hidden_by), a.frame_idx
        assert np.abs(a.points.xy - b.points.xy).max(initial=0) < 1e-3
        assert not ids or np.array_equal(a.points.point_id, b.points.point_id)


def states(results: Sequence[FrameMasks], position: int = 0) -> list[ObjectState]:
    return [ObjectState(int(r.states[position])) for r in results]


class Batched(ExactSegmenter):
    """The exact segmenter with another batch size; counts the frames of every encode."""

    def __init__(self, *clips: Any, batch: int = 4) -> None:
        super().__init__(*clips)
        self.batch = batch
        self.encoded: list[int] = []

    @property
    def info(self) -> Any:
        return replace(super().info, encode_batch=self.batch)

    def encode(self, frames: Any) -> Any:
        self.encoded.append(len(frames))
        return super().encode(frames)


class Still(CausalTracker):
    """Points do not move."""

    @property
    def info(self) -> TrackerInfo:
        return TrackerInfo("still", "Apache-2.0", None, is_causal=True)

    def stream(self) -> TrackerStream:
        return _StillStream()


class _StillStream(TrackerStream):
    def __init__(self) -> None:
        self.xy = np.zeros((0, 2), np.float32)

    def add(self, xy: Any) -> None:
        self.xy = np.concatenate([self.xy, xy])

    def push(self, frame: Any) -> TrackStep:
        n = len(self.xy)
        return TrackStep(self.xy.copy(), np.ones(n, bool), np.ones(n, np.float32))
