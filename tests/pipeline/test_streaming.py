"""Frames that are read once: the masks of the offline run, as early as the tracker allows."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampt.config import (
    SamplingConfig,
)
from sampt.errors import BackendError, ConfigError, QueryError, SamptError, VideoError
from sampt.pipeline.segment import segment_stream, segment_video
from sampt.testing import (
    ExactSegmenter,
    ExactStreamTracker,
    ExactTracker,
    SceneVideo,
)
from sampt.trackers.base import StreamingTracks, TrackerInfo, TrackerStream, TrackStep
from sampt.trackers.streams import CausalTracks
from sampt.types import (
    FrameMasks,
    HiddenBy,
    Points,
    QueryMask,
)
from tests.pipeline.scenes import (
    CROSSING,
    EXACT,
    QUICK,
    VOS,
    Batched,
    assert_same,
    box_on,
    on,
    reinit,
    run,
)


def assert_same_live(live: Sequence[FrameMasks], offline: Sequence[FrameMasks], *prompt_frames: int) -> None:
    """All is the same, but for points before the prompt frames of objects 1, 2, ...: only the whole video tells of these."""
    for a, b in zip(live, offline, strict=True):
        later = np.array(prompt_frames)[a.points.object_id - 1] > a.frame_idx
        assert (a.points.hidden_by[later] == HiddenBy.NOT_TRACKED).all()
        assert (b.points.hidden_by[later] != HiddenBy.NOT_TRACKED).all()
        one, two = (replace(r, points=r.points.select(~later)) for r in (a, b))
        assert_same([one], [two])


@pytest.mark.parametrize("tracker", ["dis-flow", "lucas-kanade"])
def test_a_live_stream_gives_what_the_offline_run_gives(tracker: str) -> None:
    queries = Points.concat([on(CROSSING, 1, 0), on(CROSSING, 2, 4)])
    frames: Iterator[np.ndarray] = (CROSSING.frame(i) for i in range(12))
    live = segment_stream(frames, queries, config=VOS, tracker=tracker, segmenter=ExactSegmenter(CROSSING))
    assert_same_live(list(live), run(CROSSING, queries, VOS, tracker=tracker), 0, 4)


def test_a_live_result_needs_no_later_frame() -> None:
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for i in range(12):
            taken.append(i)
            yield CROSSING.frame(i)

    results = segment_stream(
        camera(), on(CROSSING, 1, 0), config=QUICK, tracker=ExactStreamTracker(CROSSING), segmenter=Batched(CROSSING, batch=8)
    )
    for i in range(4):
        assert np.array_equal(next(results).masks[0], CROSSING.masks(i)[0])
        assert taken == list(range(i + 1))


class Late(ExactStreamTracker):
    """Knows where points are when ``latency`` more frames have come."""

    latency = 3

    @property
    def info(self) -> TrackerInfo:
        return replace(super().info, is_causal=False, latency=self.latency)

    def start(self, points: Points) -> StreamingTracks:
        return _LateTracks(self.stream(), points, self.latency)


class _LateTracks(CausalTracks):
    def __init__(self, stream: TrackerStream, points: Points, latency: int) -> None:
        self._latency = latency
        self._steps: list[TrackStep] = []
        super().__init__(stream, points)

    def _push(self, frame: np.ndarray) -> list[TrackStep]:
        self._steps += super()._push(frame)
        return [self._steps.pop(0)] if len(self._steps) > self._latency else []

    def finish(self) -> list[TrackStep]:
        return self._steps


def test_a_tracker_that_waits_gives_live_results_that_late() -> None:
    taken: list[int] = []

    def camera() -> Iterator[np.ndarray]:
        for i in range(12):
            taken.append(i)
            yield CROSSING.frame(i)

    queries = Points.concat([on(CROSSING, 1, 0), on(CROSSING, 2, 4)])
    results = segment_stream(camera(), queries, config=VOS, tracker=Late(CROSSING), segmenter=ExactSegmenter(CROSSING))
    found = []
    for i in range(12):
        found.append(next(results))
        assert len(taken) == min(i + Late.latency + 1, 12)
    assert next(results, None) is None
    assert_same_live(found, run(CROSSING, queries, VOS, tracker=ExactStreamTracker(CROSSING)), 0, 4)


@pytest.mark.parametrize("longest_side", [None, 48])
def test_masks_on_the_first_frame_and_expanded_clicks_start_a_live_stream(longest_side: int | None) -> None:
    sampling = SamplingConfig(positive_points=12, negative_points=2, expand_clicks=True)
    config = replace(VOS, sampling=sampling, longest_side=longest_side)
    queries = [on(CROSSING, 1, 0, 1), QueryMask(2, 0, CROSSING.masks(0)[1])]
    frames = (CROSSING.frame(i) for i in range(12))
    scene = CROSSING if longest_side is None else None
    parts = {"tracker": "dis-flow", "segmenter": "grabcut" if scene is None else ExactSegmenter(CROSSING)}
    live = list(segment_stream(frames, queries, config=config, **parts))  # type: ignore[arg-type]
    assert_same(live, list(segment_video(SceneVideo(CROSSING), queries, config=config, **parts)))
    assert len(live[0].points) == 1 + 12 + 2 + 12 + 2


@pytest.mark.parametrize(
    ("queries", "message"),
    [
        (
            QueryMask(1, 2, CROSSING.masks(2)[0]),
            "A mask is on frame 2 of a stream, of which only frame 0 is there; click it",
        ),
        (Points.of(1, 3, [[30, 30]]), "A click is on frame 3 of a stream.*--no-expand-clicks"),
    ],
)
def test_a_live_stream_cannot_sample_points_on_frames_to_come(queries: Any, message: str) -> None:
    config = replace(QUICK, sampling=SamplingConfig(expand_clicks=True))
    with pytest.raises(QueryError, match=message):
        segment_stream(iter([CROSSING.frame(0)]), queries, config=config, **EXACT)  # type: ignore[arg-type]


def test_a_box_on_the_first_frame_starts_a_live_stream() -> None:
    queries = [box_on(CROSSING, 1, 0), on(CROSSING, 1, 0, 2), on(CROSSING, 2, 3)]
    frames = (CROSSING.frame(i) for i in range(12))
    live = list(segment_stream(frames, queries, config=VOS, **EXACT))  # type: ignore[arg-type]
    assert_same_live(live, run(CROSSING, queries, VOS, tracker=ExactStreamTracker(CROSSING)), 0, 3)
    with pytest.raises(QueryError, match="A box is on frame 3 of a stream"):
        segment_stream(iter([CROSSING.frame(0)]), box_on(CROSSING, 1, 3), config=VOS, **EXACT)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("frames", "changed", "error", "message"),
    [
        ([], {}, VideoError, "The stream has no frame"),
        ([np.zeros((4, 4), np.uint8)], {}, VideoError, r"Frame 0 of the stream is uint8 \(4, 4\); expected a uint8 RGB array"),
        ([np.zeros((64, 96, 3))], {}, VideoError, r"Frame 0 of the stream is float64 \(64, 96, 3\)"),
        ([[1]], {}, VideoError, "Frame 0 of the stream is list"),
        ([CROSSING.frame(0)], {"tracker": ExactTracker(CROSSING)}, BackendError, "needs the whole clip"),
        ([CROSSING.frame(0)], {"config": reinit("at-median-area")}, ConfigError, "is read once: switch re-initialisation off"),
        ([CROSSING.frame(0)[:20]], {}, QueryError, "lies outside the frame"),
    ],
)
def test_errors_of_a_stream_are_raised_at_once(frames: Any, changed: Any, error: type[SamptError], message: str) -> None:
    with pytest.raises(error, match=message):
        segment_stream(iter(frames), Points.of(1, 0, [[30, 30]]), **({"config": QUICK} | EXACT | changed))


def test_a_stream_whose_size_changes_is_told() -> None:
    frames = [CROSSING.frame(0), CROSSING.frame(1)[:40]]
    results = segment_stream(frames, Points.of(1, 0, [[30, 30]]), config=QUICK, **EXACT)  # type: ignore[arg-type]
    next(results)
    with pytest.raises(VideoError, match=r"Frame 1 .* is uint8 \(40, 96, 3\); expected a uint8 RGB array \(64, 96, 3\)"):
        next(results)
