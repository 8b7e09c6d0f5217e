"""Which frames count by which protocol, and how groups are averaged: figures worked out by hand."""

from __future__ import annotations

import math

import pytest

from sampt.errors import EvaluationError
from sampt.evaluation.vos.jf import db_statistics
from sampt.evaluation.vos.protocols import ObjectScore, bdd_groups, g_measure, lvos_variation, scoring_rule, seen_unseen

EVERY_FIFTH = (0, 5, 10, 15, 20)


def scored(j: list[float], f: list[float], visible: list[bool] | None = None, group: str | None = None) -> ObjectScore:
    seen = tuple(visible or [True] * len(j))
    return ObjectScore(1, db_statistics(j), db_statistics(f), tuple(range(1, len(j) + 1)), tuple(j), tuple(f), seen, group)


@pytest.mark.parametrize(
    ("protocol", "given_on_0", "given_on_5"),
    [
        ("davis-2016", (5, 10, 15), (5, 10, 15)),
        ("davis-2017", (5, 10, 15), (5, 10, 15)),
        ("mose", (5, 10, 15), (5, 10, 15)),
        ("lvos", (5, 10, 15), (10, 15)),
        ("youtube-vos", (5, 10, 15, 20), (10, 15, 20)),
        ("long-video", (5, 10, 15, 20), (10, 15, 20)),
        ("bdd100k", (5, 10, 15, 20), (10, 15, 20)),
        ("plain", (5, 10, 15, 20), (10, 15, 20)),
    ],
)
def test_scored_frames(protocol: str, given_on_0: tuple[int, ...], given_on_5: tuple[int, ...]) -> None:
    rule = scoring_rule(protocol)
    assert rule.frames(EVERY_FIFTH, 0) == given_on_0
    assert rule.frames(EVERY_FIFTH, 5) == given_on_5
    assert rule.frames((0,), 0) == ()


def test_a_mask_given_between_annotations_drops_none_of_the_later_ones() -> None:
    assert scoring_rule("youtube-vos").frames(EVERY_FIFTH, 7) == (10, 15, 20)


def test_only_plain_folders_leave_void_pixels_out() -> None:
    assert scoring_rule("plain").ignores_void
    assert not scoring_rule("davis-2017").ignores_void


def test_an_unknown_protocol_is_named() -> None:
    with pytest.raises(EvaluationError, match=r"Unknown protocol 'youtube'\. Did you mean 'youtube-vos'\?"):
        scoring_rule("youtube")


def test_g_is_the_mean_of_four_whatever_the_number_of_objects() -> None:
    objects = [
        scored([0.8], [0.6], group="seen"),
        scored([0.6], [0.4], group="seen"),
        scored([0.7], [0.5], group="seen"),
        scored([0.1], [0.3], group="unseen"),
    ]
    groups = seen_unseen(objects)
    assert list(groups) == ["seen", "unseen"]
    assert (groups["seen"].num_objects, groups["seen"].j, groups["seen"].f) == (3, pytest.approx(0.7), pytest.approx(0.5))
    assert g_measure(groups) == pytest.approx((0.7 + 0.5 + 0.1 + 0.3) / 4)
    assert g_measure({"seen": groups["seen"]}) == pytest.approx(0.6)
    assert seen_unseen([scored([1.0], [1.0])]) == {}
    with pytest.raises(EvaluationError, match="Some objects have no group"):
        seen_unseen([*objects, scored([1.0], [1.0])])
    with pytest.raises(EvaluationError, match="no group of objects"):
        g_measure({})


def test_bdd_groups_count_the_given_frame_as_visible() -> None:
    # Visible on 3, 4, 28 and 29 scored frames, so 4, 5, 29 and 30 with the given one.
    lengths = {0.1: 3, 0.2: 4, 0.4: 28, 0.8: 29}
    groups = bdd_groups([scored([j] * n, [j / 2] * n) for j, n in lengths.items()])
    assert {name: (g.num_objects, g.j, g.f) for name, g in groups.items() if name != "visible"} == {
        "short": (1, pytest.approx(0.1), pytest.approx(0.05)),
        "medium": (2, pytest.approx(0.3), pytest.approx(0.15)),
        "long": (1, pytest.approx(0.8), pytest.approx(0.4)),
    }
    assert groups["visible"].j == pytest.approx((0.1 + 0.2 + 0.4 + 0.8) / 4)


def test_bdd_groups_by_frame_are_means_over_the_objects_that_have_such_frames() -> None:
    half = scored([1.0, 0.5, 0.0], [0.8, 0.6, 0.1], [True, True, False])
    always = scored([0.25], [0.5])
    on_the_last_frame = ObjectScore(3, db_statistics([1.0]), db_statistics([1.0]))
    groups = bdd_groups([half, always, on_the_last_frame])
    assert (groups["visible"].num_objects, groups["hidden"].num_objects) == (3, 2)
    assert groups["visible"].j == pytest.approx((0.75 + 0.25 + 1) / 3)
    assert groups["visible"].f == pytest.approx((0.7 + 0.5 + 1) / 3)
    assert groups["hidden"].j == pytest.approx((0.0 + 1) / 2)
    assert groups["short"].num_objects == 3


def test_lvos_variation_rounds_the_variance() -> None:
    # (J + F) / 2 are 0.2 and 0.6, each 0.2 from their mean: a variance of 0.04
    assert lvos_variation([0.1, 0.5], [0.3, 0.7]) == pytest.approx(0.2)
    # 0.5 and 0.51: a variance of 0.000025 is rounded to 0; 0.5 and 0.52: 0.0001
    assert lvos_variation([0.5, 0.51], [0.5, 0.51]) == 0
    assert lvos_variation([0.5, 0.525], [0.5, 0.525]) == pytest.approx(math.sqrt(0.0002))
    with pytest.raises(EvaluationError, match="no scored frame"):
        lvos_variation([], [])
