"""From tracked points on a frame to prompts."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sampt.config import PromptConfig
from sampt.prompts.build import build_prompts, prompts_digest
from sampt.types import FramePoints, HiddenBy, ObjectPrompt

# Object, sign, hidden by; x is the position.
ROWS = [
    (1, True, HiddenBy.NONE),
    (2, True, HiddenBy.NONE),
    (1, False, HiddenBy.NONE),
    (1, True, HiddenBy.TRACKER),
    (2, False, HiddenBy.NONE),
    (3, True, HiddenBy.BORDER),
    (3, False, HiddenBy.NONE),
    (2, True, HiddenBy.NONE),
    (1, True, HiddenBy.NONE),
]


def row() -> FramePoints:
    n = len(ROWS)
    ids, signs, codes = (np.array(c) for c in zip(*ROWS, strict=True))
    xy = np.stack([np.arange(n), np.full(n, 5)], 1)
    return FramePoints(np.arange(n), ids, signs, xy, np.ones(n), codes)  # type: ignore[arg-type]


def build(object_ids: tuple[int, ...] = (1, 2, 3), seed: int = 0, **changed: object) -> list[ObjectPrompt]:
    return build_prompts(row(), object_ids, replace(PromptConfig(), **changed), lambda i: np.random.default_rng([seed, i]))  # type: ignore[arg-type]


def plain(prompt: ObjectPrompt) -> list[tuple[int, bool]]:
    return list(zip(prompt.xy[:, 0].astype(int).tolist(), prompt.is_positive.tolist(), strict=True))


def test_own_visible_points_then_the_others_visible_positives_as_negatives() -> None:
    prompts = build()
    assert [p.object_id for p in prompts] == [1, 2]  # object 3 has no visible positive point, whatever negatives it has
    assert plain(prompts[0]) == [(0, True), (2, False), (8, True), (1, False), (7, False)]
    assert plain(prompts[1]) == [(1, True), (4, False), (7, True), (0, False), (8, False)]
    assert all(p.box_xyxy is None and p.mask_logits is None for p in prompts)
    assert not any(p.is_certain.any() for p in prompts)  # tracked points may have slid off


def test_too_small_a_fraction_of_visible_points_is_absence() -> None:
    # Object 1 has three positive points, two of them visible; object 2 two of two.
    assert [p.object_id for p in build(min_visible=0.66)] == [1, 2]
    assert [p.object_id for p in build(min_visible=0.67)] == [2]
    assert [p.object_id for p in build(min_visible=1.0)] == [2]
    codes = row().hidden_by.copy()
    codes[3] = HiddenBy.NOT_TRACKED  # a point that is not tracked here counts for nothing
    points = replace(row(), hidden_by=codes)
    config = replace(PromptConfig(), min_visible=1.0)
    assert [p.object_id for p in build_prompts(points, (1, 2, 3), config, np.random.default_rng)] == [1, 2]
    assert plain(build(min_visible=1.0)[0])[-2:] == [(0, False), (8, False)]  # absent, but still a neighbour


def test_one_visible_positive_point_is_enough_for_a_prompt_and_none_is_not() -> None:
    codes = np.array([HiddenBy.NONE, HiddenBy.TRACKER, HiddenBy.NONE], np.uint8)
    points = FramePoints(np.arange(3), np.full(3, 5), np.array([True, True, False]), np.eye(3, 2) * 9, np.ones(3), codes)
    config = replace(PromptConfig(), min_visible=0.0)
    (prompt,) = build_prompts(points, (5,), config, np.random.default_rng)
    assert prompt.xy.tolist() == [[9, 0], [0, 0]]
    assert prompt.is_positive.tolist() == [True, False]
    hidden = replace(points, hidden_by=np.array([HiddenBy.BORDER, HiddenBy.TRACKER, HiddenBy.NONE], np.uint8))
    assert build_prompts(hidden, (5,), config, np.random.default_rng) == []


def test_others_can_be_left_out() -> None:
    assert plain(build(other_objects_as_negatives=False)[0]) == [(0, True), (2, False), (8, True)]
    assert plain(build(max_other_points=0)[0]) == [(0, True), (2, False), (8, True)]


def test_at_most_so_many_others_drawn_at_random() -> None:
    drawn = {plain(build(seed=seed, max_other_points=1)[0])[-1][0] for seed in range(20)}
    assert drawn == {1, 7}
    assert len(plain(build(max_other_points=1)[0])) == 4
    assert plain(build(seed=3, max_other_points=1)[0]) == plain(build(seed=3, max_other_points=1)[0])
    assert plain(build(max_other_points=2)[0]) == plain(build()[0])


def test_only_the_objects_asked_for_get_prompts_but_all_count_as_others() -> None:
    (prompt,) = build((2,))
    assert plain(prompt) == [(1, True), (4, False), (7, True), (0, False), (8, False)]
    assert build((3, 9)) == []


def test_digests_differ_when_what_is_asked_differs() -> None:
    prompts = build()
    same = prompts_digest(build())
    assert prompts_digest(prompts) == same
    moved = replace(prompts[0], xy=prompts[0].xy + np.float32(1e-4))
    flipped = replace(prompts[0], is_positive=~prompts[0].is_positive)
    renamed = replace(prompts[0], object_id=9)
    clicked = replace(prompts[0], is_certain=~prompts[0].is_certain)
    others = [[p, prompts[1]] for p in (moved, flipped, renamed, clicked)] + [prompts[:1], prompts[::-1], []]
    assert len({prompts_digest(o) for o in others} | {same}) == 8
