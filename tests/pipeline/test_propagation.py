"""With re-initialisation a frame is encoded once, whatever the number of windows that look at it, and masks are the same."""

from __future__ import annotations

import itertools
import weakref
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import pytest

from sampt.config import PromptConfig, ReinitConfig, SamplingConfig, SegmentConfig, TrackingConfig
from sampt.pipeline.propagation import Engine
from sampt.pipeline.segment import segment_video
from sampt.pipeline.windowed import run_windows
from sampt.runs.timing import StageClock, TimedSegmenter
from sampt.segmenters.base import SegmenterView
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.nano import NanoSegmenter
from sampt.segmenters.nano.windows import Encoded
from sampt.testing.clauses import spread_points
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import SceneVideo, crossing_scene
from sampt.types import FramePoints, ObjectPrompt, ObjectState, Points
from sampt.video.base import CachedVideo

SCENE = crossing_scene(12)
SCENE.frame = lru_cache(maxsize=None)(SCENE.frame)  # type: ignore[method-assign]  # rendered once
VIDEO = CachedVideo(SceneVideo(SCENE), 99)
VARIANTS = ["at-median-area", "on-horizon-and-sync", "on-similar-area", "on-similar-area-and-sync"]
ROOM = 64 << 20


def on(object_id: int, frame_idx: int) -> Points:
    return Points.of(object_id, frame_idx, spread_points(np.asarray(SCENE.masks(frame_idx)[object_id - 1]), 12))


# Windows of three objects, a piece of the meadow among them, that start on different frames.
POINTS = Points.concat([on(1, 0), on(2, 1), Points.of(3, 2, [[10, 50], [14, 54], [18, 50], [12, 58]])])


def settings(variant: str, **more: Any) -> SegmentConfig:
    reinit = ReinitConfig(enabled=True, variant=variant, horizon=5, tracker_horizon=7, **more)  # type: ignore[arg-type]
    return SegmentConfig(
        sampling=SamplingConfig(),
        tracking=TrackingConfig(border_fraction=0),
        prompting=PromptConfig(positives_first=False, refinement_steps=0, iou_threshold=0.0),
        reinit=reinit,
        protocol="vos",
    )


class Counting(SegmenterView):
    """Counts how often every frame is encoded."""

    def __init__(self, segmenter: Any) -> None:
        super().__init__(segmenter)
        self.counts: Counter[bytes] = Counter()

    def encode(self, frames: np.ndarray) -> Sequence[Any]:
        self.counts.update(frame.tobytes() for frame in frames)
        return self.segmenter.encode(frames)


@lru_cache(maxsize=1)
def nano() -> NanoSegmenter:
    segmenter = create_segmenter("nano")
    assert isinstance(segmenter, NanoSegmenter)
    return segmenter


def run(config: SegmentConfig, cache_bytes: int, segmenter: Any = None, waiting_bytes: int = ROOM) -> tuple[list[Any], int]:
    """Everything that a run gives, as bytes, and how many frames it encoded."""
    counting = Counting(segmenter or nano())
    engine = Engine(ExactStreamTracker(SCENE), counting, config, cache_bytes, waiting_bytes)
    results: list[Any] = []
    for frame_idx, objects, points in run_windows(engine, VIDEO, POINTS):
        row = FramePoints.concat(points)
        results.append((frame_idx, row.xy.tobytes(), row.point_id.tobytes(), row.is_positive.tobytes()))
        results += [(o.object_id, o.state, o.score, None if o.logits is None else o.logits.tobytes()) for o in objects]
    assert len(counting.counts) == SCENE.num_frames
    return results, sum(counting.counts.values())


@pytest.mark.parametrize("variant", VARIANTS)
def test_each_frame_is_encoded_once_and_the_result_is_the_same_to_the_bit(variant: str) -> None:
    config = settings(variant, previous_mask=True)
    without, count_without = run(config, 0)
    with_room, count = run(config, ROOM)
    assert count == SCENE.num_frames < count_without
    assert with_room == without


class Weighing(NanoSegmenter):
    """Weighs, before every encode, the embeddings that are alive."""

    def __init__(self) -> None:
        self.__dict__.update(nano().__dict__)
        self.held: list[int] = []
        self.largest = 0
        self._given: list[weakref.ref[Encoded]] = []

    def encode(self, frames: np.ndarray) -> Sequence[Encoded]:
        alive = [embedding for given in self._given if (embedding := given()) is not None]
        sizes = [self.embedding_bytes(embedding) for embedding in alive]
        self.held.append(sum(sizes))
        self.largest = max([self.largest, *sizes])
        found = super().encode(frames)
        self._given += map(weakref.ref, found)
        return found


def test_little_room_saves_some_encodes_and_holds() -> None:
    config = settings("at-median-area")
    without, limit = run(config, 0, segmenter := Weighing())
    assert max(segmenter.held) == 0
    run(config, ROOM, segmenter := Weighing())
    largest = segmenter.largest
    counts = [limit]
    for fit in (1, 3):
        results, count = run(config, fit * largest, segmenter := Weighing())
        assert results == without
        assert 0 < max(segmenter.held) <= fit * largest
        counts.append(count)
    # Room for three of a window's five frames saves several encodes: what makes way is not what is needed next.
    assert all(more - fewer >= 4 for more, fewer in itertools.pairwise(counts))


@pytest.mark.parametrize("variant", VARIANTS[:2])
def test_the_whole_pipeline_encodes_each_frame_once_under_a_clock_too(variant: str) -> None:
    counting = Counting(nano())
    timed = TimedSegmenter(counting, StageClock())
    results = list(segment_video(VIDEO, POINTS, config=settings(variant), tracker=ExactStreamTracker(SCENE), segmenter=timed))
    assert [r.frame_idx for r in results] == list(range(12))
    assert set(counting.counts.values()) == {1}


def test_masks_that_wait_on_disk_are_the_same_to_the_bit() -> None:
    config = settings("at-median-area", previous_mask=True, backward_consistency=True, anchor=True)
    assert run(config, ROOM, waiting_bytes=2000) == run(config, ROOM)


def test_a_segmenter_that_does_not_know_its_sizes_is_asked_as_before() -> None:
    class Unknown:
        """The segmenter without what it knows of its embeddings."""

        info = nano().info
        encode = staticmethod(nano().encode)
        decode = staticmethod(nano().decode)

    config = settings("at-median-area")
    assert run(config, ROOM, Unknown()) == run(config, 0)


def test_many_objects_never_have_full_size_logits_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = crossing_scene(3)
    size_hw = scene.size_hw
    monkeypatch.setattr("sampt.prompts.parts._MAX_LOGITS", 3 * size_hw[0] * size_hw[1])
    prompted: list[int] = []

    class Watching(ExactSegmenter):
        def decode(self, embedding: Any, prompts: Any, *, full_size: bool = True) -> Any:
            if full_size:
                prompted.append(len(prompts))
            return super().decode(embedding, prompts, full_size=full_size)

    engine = Engine(ExactStreamTracker(scene), Watching(scene), SegmentConfig(prompting=PromptConfig()))
    points = spread_points(np.asarray(scene.masks(0)[0]), 4)
    prompts = [ObjectPrompt(i, points, np.ones(len(points), np.bool_)) for i in range(1, 8)]
    masks = engine.segment(scene.frame(0)[None], [prompts], tuple(range(1, 9)))[0]
    assert max(prompted) == 3
    assert [m.object_id for m in masks] == list(range(1, 9))
    assert all(np.array_equal(m.mask(size_hw), scene.masks(0)[0]) for m in masks[:7])
    assert masks[7].state is ObjectState.NO_VISIBLE_POINT
