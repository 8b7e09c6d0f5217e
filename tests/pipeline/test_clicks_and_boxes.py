"""Clicks and boxes that become points of the segmenter's mask, and one click instead of a mask."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampt.config import (
    SamplingConfig,
    with_settings,
)
from sampt.errors import QueryError
from sampt.testing import (
    ExactSegmenter,
)
from sampt.types import (
    MaskPrediction,
    ObjectPrompt,
    QueryBox,
    QueryMask,
)
from tests.pipeline.scenes import (
    BEFORE,
    CROSSING,
    PRESENT,
    QUICK,
    VOS,
    assert_exact,
    box_on,
    on,
    run,
    square,
    states,
)


def test_clicks_are_expanded_to_points_of_the_segmenters_mask() -> None:
    sampling = SamplingConfig(positive_points=30, negative_points=4, expand_clicks=True)
    config = replace(QUICK, sampling=sampling)
    results = run(CROSSING, [on(CROSSING, 1, 5, 1), on(CROSSING, 2, 8, 1)], config)
    assert_exact(CROSSING, results)
    for object_id, frame_idx in ((1, 5), (2, 8)):
        row = results[frame_idx].points
        row = row.select(row.object_id == object_id)
        assert row.is_positive.sum() == 31  # the click and what is sampled
        assert (~row.is_positive).sum() == 4
        inside = CROSSING.masks(frame_idx)[object_id - 1][row.xy[:, 1].astype(int), row.xy[:, 0].astype(int)]
        assert np.array_equal(inside, row.is_positive)


@pytest.mark.parametrize("longest_side", [None, 48])
def test_a_box_is_followed_by_points_of_the_segmenters_mask(longest_side: int | None) -> None:
    sampling = SamplingConfig(positive_points=30, negative_points=4)
    queries = [box_on(CROSSING, 1, 5), on(CROSSING, 2, 8)]
    config = replace(QUICK, sampling=sampling, longest_side=longest_side)
    parts = {} if longest_side is None else {"segmenter": "grabcut", "tracker": "dis-flow"}
    results = run(CROSSING, queries, config, **parts)
    row = results[5].points
    row = row.select(row.object_id == 1)
    assert (row.is_positive.sum(), (~row.is_positive).sum()) == (30, 4)
    assert [len(r.object_ids) for r in results] == [2] * 12
    if longest_side is None:
        assert_exact(CROSSING, results)


def test_clicks_of_the_object_go_with_its_box() -> None:
    prompted: list[ObjectPrompt] = []

    class Listening(ExactSegmenter):
        def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
            prompted.extend(prompts)
            return super().decode(embedding, prompts, full_size=full_size)

    box = box_on(CROSSING, 1, 5)
    clicks = [on(CROSSING, 1, 5, 2), on(CROSSING, 1, 7, 3), on(CROSSING, 2, 5, 4)]
    run(CROSSING, [*clicks, box], segmenter=Listening(CROSSING))
    boxed = prompted[:2]
    assert [(p.object_id, len(p.xy), p.box_xyxy.tolist()) for p in boxed] == [(1, 2, box.box_xyxy.tolist())] * 2  # type: ignore[union-attr]
    assert boxed[0].mask_logits is None
    assert boxed[1].mask_logits is not None


def test_a_box_without_an_object_in_it_is_refused() -> None:
    empty = QueryBox(1, 0, np.array([0, 0, 1, 1]))
    with pytest.raises(QueryError, match="found nothing in the box of object 1 on frame 0"):
        run(CROSSING, empty)


def test_clicks_beside_a_given_mask_do_not_replace_it() -> None:
    sampling = SamplingConfig(positive_points=30, negative_points=0, expand_clicks=True)
    part = square(CROSSING)
    row = run(CROSSING, [on(CROSSING, 1, 5, 1), QueryMask(1, 5, part)], replace(QUICK, sampling=sampling))[5].points
    assert len(row) == 31
    assert part[row.xy[1:, 1].astype(int), row.xy[1:, 0].astype(int)].all()


def test_one_click_replaces_the_mask_by_the_segmenters_own() -> None:
    config = replace(QUICK, sampling=SamplingConfig(positive_points=30, negative_points=4, one_click=True))
    part = square(CROSSING)
    results = run(CROSSING, QueryMask(1, 5, part), config)
    assert_exact(CROSSING, results)
    row = results[5].points
    inside = part[row.xy[:, 1].astype(int), row.xy[:, 0].astype(int)]
    assert row.is_positive.sum() == 30
    assert not inside[row.is_positive].all()  # points come from the whole object
    assert (~row.is_positive).sum() == 4


def test_one_click_prompts_once_without_refinement() -> None:
    segmenter = ExactSegmenter(CROSSING)
    settings = {"sampling.one_click": True, "prompting.refinement_steps": 3}
    run(CROSSING, QueryMask(1, 5, square(CROSSING)), with_settings(QUICK, settings), segmenter=segmenter)
    first, second = segmenter.calls[:2]
    assert (first.frame_idx, len(first.xy), first.has_mask_logits, first.box_xyxy, first.full_size) == (5, 1, False, None, True)
    assert (second.frame_idx, len(second.xy)) == (0, 16)  # then the video


def test_one_click_under_protocol_vos_keeps_the_given_mask_on_its_frame() -> None:
    settings = {"sampling.one_click": True, "sampling.positive_points": 30}
    part = square(CROSSING)
    results = run(CROSSING, QueryMask(1, 5, part), with_settings(VOS, settings))
    assert np.array_equal(results[5].masks[0], part)
    assert states(results) == [BEFORE] * 5 + [PRESENT] * 7
    assert_exact(CROSSING, results[6:])
    row = results[5].points
    assert not part[row.xy[:, 1].astype(int), row.xy[:, 0].astype(int)][row.is_positive].all()


def test_one_click_on_nothing_is_told() -> None:
    config = replace(QUICK, sampling=SamplingConfig(one_click=True))
    mask = np.zeros((64, 96), bool)
    mask[:3, :3] = True
    with pytest.raises(QueryError, match=r"The segmenter found nothing at the centre of object 1 on frame 5; give points or"):
        run(CROSSING, QueryMask(1, 5, mask), config)
