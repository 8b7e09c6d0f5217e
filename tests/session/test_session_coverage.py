"""What an export has: previews where somebody has clicked, what is known elsewhere, and a count of both beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from sampt.errors import QueryError
from sampt.session.types import Coverage


def test_a_frame_that_was_clicked_and_not_propagated_is_exported(make_bench: Callable[..., Any]) -> None:
    bench = make_bench("slow", 12)
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 4, 1)
    (frame,) = session.merged_masks()
    assert frame.frame_idx == 4
    assert np.array_equal(frame.masks[0], bench.scene.masks(4)[0])
    assert np.array_equal(frame.masks[0], session.preview(4)[1].mask(session.size_hw))
    assert bench.tracker.calls == []
    list(session.propagate())
    after = {f.frame_idx: f for f in session.merged_masks()}
    assert len(after) == 12
    assert np.array_equal(after[4].masks, frame.masks)


def test_a_correction_that_was_not_propagated_is_exported_as_it_is_shown(make_bench: Callable[..., Any]) -> None:
    bench = make_bench("slow", 12)
    session = bench.create()
    session.add_object()
    bench.click(session, 1, 0, 1)
    list(session.propagate())
    given = np.zeros(session.size_hw, np.bool_)
    given[2:5, 3:9] = True
    session.set_mask(1, 8, given)
    frames = {f.frame_idx: f.masks[0] for f in session.merged_masks()}
    assert np.array_equal(frames[8], given)
    assert np.array_equal(frames[9], bench.scene.masks(9)[0])  # out of date, and known
    assert np.array_equal(frames[2], bench.scene.masks(2)[0])


def test_previews_share_pixels_with_results_of_others_as_results_do(make_bench: Callable[..., Any]) -> None:
    bench = make_bench("crossing", 8)
    session = bench.create()
    for object_id in (1, 2):
        session.add_object()
        session.set_mask(object_id, 3, bench.scene.masks(3)[object_id - 1] | bench.scene.masks(3)[0])
    (before,) = session.merged_masks()
    assert not (before.masks[0] & before.masks[1]).any()
    list(session.propagate(range(3, 4)))
    (after,) = session.merged_masks(range(3, 4))
    assert np.array_equal(before.masks, after.masks)
    assert before.object_ids.tolist() == after.object_ids.tolist() == [1, 2]


def test_coverage_counts_frames_by_the_worst_of_their_objects(make_bench: Callable[..., Any]) -> None:
    bench = make_bench("slow", 12)
    session = bench.create()
    assert session.coverage() == Coverage(12, 0, 0, 0, 0)
    session.add_object()
    assert session.coverage() == Coverage(12, 0, 0, 0, 0)
    bench.click(session, 1, 0, 1)
    assert session.coverage() == Coverage(12, 1, 1, 0, 11)  # the preview
    list(session.propagate(range(9)))
    assert session.coverage() == Coverage(12, 9, 9, 0, 3)
    assert session.coverage(range(2, 6)) == Coverage(4, 4, 4, 0, 0)
    assert session.coverage(range(2, 6)).is_complete
    session.add_object()
    assert session.coverage(range(9)) == Coverage(9, 9, 9, 0, 0)  # nothing was said of the second one
    bench.click(session, 2, 5, 2)
    assert session.coverage(range(9)) == Coverage(9, 9, 1, 0, 8)
    assert session.coverage(range(9), [1]).is_complete
    list(session.propagate())
    assert session.coverage() == Coverage(12, 12, 12, 0, 0)
    given = np.zeros(session.size_hw, np.bool_)
    given[2:5, 3:9] = True
    session.set_mask(1, 8, given)  # frames 5 to 11 are nearer to 8 than to 0
    assert session.coverage() == Coverage(12, 12, 6, 6, 0)
    assert session.coverage(object_ids=[1]) == Coverage(12, 6, 6, 6, 0)
    assert bench.segmenter.prompted(1)[-1:] != [8]  # counting computes nothing


def test_coverage_of_what_there_is_not_is_refused(make_bench: Callable[..., Any]) -> None:
    session = make_bench("slow", 6).create()
    with pytest.raises(QueryError, match="range within 0 to 5"):
        session.coverage(range(9))
    with pytest.raises(QueryError, match="7"):
        session.coverage(object_ids=[7])
