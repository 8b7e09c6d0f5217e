"""Queries are one value from whoever reads them to the pipeline, checked against a video once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sampt
from sampt.errors import QueryError
from sampt.pipeline.queries import Queries, parse_queries
from sampt.pipeline.randomness import RngPurpose, rng_for
from sampt.runs.job import Job, RunOptions
from sampt.runs.run import run_job
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import SceneVideo, crossing_scene
from sampt.types import Points, QueryBox, QueryMask

MASK = QueryMask(2, 7, np.eye(4, 6, dtype=bool))
BOX = QueryBox(5, 3, np.array([1, 1, 4, 2], np.float32))
CLICKS = Points.of(3, 1, [[2, 2], [3, 1]])


def test_a_mixture_is_told_apart() -> None:
    queries = Queries.of([MASK, CLICKS, BOX, Points.of(2, 9, [[1, 1]], False)])
    assert queries.points.object_id.tolist() == [3, 3, 2]
    assert (queries.masks, queries.boxes) == ((MASK,), (BOX,))
    assert (queries.object_ids, sorted(queries.frames)) == ([2, 3, 5], [1, 1, 3, 7, 9])
    assert Queries.of(queries) is queries
    assert [len(Queries.of(one).frames) for one in (CLICKS, MASK, BOX, [])] == [2, 1, 1, 0]


def test_the_same_video_is_checked_once(monkeypatch: pytest.MonkeyPatch) -> None:
    queries = Queries.of([MASK, CLICKS])
    with pytest.raises(QueryError, match="A query is on frame 7, but the video has 7 frames"):
        queries.checked(7, (4, 6))
    checked = queries.checked(8, (4, 6))
    monkeypatch.setattr("sampt.pipeline.queries.check_queries", lambda *_: pytest.fail("it was checked again"))
    assert checked.checked(8, (4, 6)) is checked
    for num_frames, size_hw in ((8, (4, 7)), (None, (4, 6)), (9, (4, 6))):
        with pytest.raises(pytest.fail.Exception, match="checked again"):
            checked.checked(num_frames, size_hw)


def test_other_frames_have_to_be_checked_again() -> None:
    moved = Queries.of([MASK, CLICKS, BOX]).checked(8, (4, 6)).on_frames({1: 0, 3: 1, 7: 8})
    assert (moved.points.frame_idx.tolist(), moved.masks[0].frame_idx, moved.boxes[0].frame_idx) == ([0, 0], 8, 1)
    assert moved.points.xy.tolist() == CLICKS.xy.tolist()
    with pytest.raises(QueryError, match="frame 8"):
        moved.checked(8, (4, 6))


def test_a_job_checks_its_queries_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from sampt.points.check import check_queries

    scene, seen = crossing_scene(4), []

    def check(*arguments: Any) -> None:
        seen.append(arguments)
        check_queries(*arguments)

    monkeypatch.setattr("sampt.pipeline.queries.check_queries", check)
    masks = [QueryMask(1, 2, scene.masks(2)[0])]
    job = Job(SceneVideo(scene), masks, tmp_path, sampt.preset("classical"), RunOptions(formats=["png"]), start=1)
    backends = ExactStreamTracker(scene), ExactSegmenter(scene)
    assert run_job(job, make=lambda config, options: backends).num_frames == 3
    assert len(seen) == 1


def test_texts_and_files(tmp_path: Path) -> None:
    (tmp_path / "q.json").write_text('{"objects": [{"id": 4, "clicks": [{"frame": 2, "x": 1, "y": 0}]}]}')
    queries = parse_queries(clicks=["1,0,2,3 1,5,2,3,-"], boxes=["2,0,0,0,3,3"], file=str(tmp_path / "q.json"))
    assert queries.points.object_id.tolist() == [1, 1, 4]
    assert queries.points.is_positive.tolist() == [True, False, True]
    assert [(b.object_id, b.frame_idx) for b in queries.boxes] == [(2, 0)]


def test_its_repr_holds_no_array() -> None:
    assert repr(Queries.of(CLICKS)).startswith("Queries(points=Points(xy=float32 (2, 2), ")


def test_purposes_keep_their_numbers() -> None:
    """Masks of earlier versions came of these."""
    assert {p.name: p.value for p in RngPurpose} == {
        "SAMPLE_QUERY": 1,
        "ONE_CLICK": 2,
        "PROMPT": 3,
        "REINIT": 4,
        "SIMULATED_PERSON": 5,
        "FIND": 6,
    }
    assert rng_for(72, RngPurpose.REINIT, 1, 9).integers(1 << 62) == np.random.default_rng([72, 4, 1, 9]).integers(1 << 62)
