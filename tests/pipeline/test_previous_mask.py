"""What re-initialisation passes on: the mask before, a person's mask, and what new points are checked by."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampt.config import (
    with_settings,
)
from sampt.testing import (
    ExactSegmenter,
)
from sampt.types import (
    QueryMask,
)
from tests.pipeline.scenes import (
    CROSSING,
    VOS,
    on,
    reinit,
    run,
)

ONE_PASS = {"prompting.positives_first": False, "prompting.refinement_steps": 0, "prompting.iou_threshold": 0.5}


@pytest.mark.parametrize("previous", [False, True])
def test_a_frame_is_asked_about_with_the_answer_on_the_frame_before(previous: bool) -> None:
    segmenter = ExactSegmenter(CROSSING)
    config = with_settings(reinit("on-horizon-and-sync", base=VOS, previous_mask=previous), ONE_PASS)
    results = run(CROSSING, [on(CROSSING, 1, 0)], config, segmenter=segmenter)
    assert all(r.masks.any() for r in results)
    with_logits = {call.frame_idx for call in segmenter.calls if call.has_mask_logits}
    assert with_logits == (set(range(1, CROSSING.num_frames)) if previous else set())


def test_after_a_frame_without_the_object_nothing_is_passed_on() -> None:
    gone = {3, 4}
    segmenter = ExactSegmenter(CROSSING, score=lambda frame_idx, _: 0.0 if frame_idx in gone else 1.0)
    config = with_settings(reinit("on-horizon-and-sync", 9, base=VOS, previous_mask=True), ONE_PASS)
    run(CROSSING, [on(CROSSING, 1, 0)], config, segmenter=segmenter)
    without = {call.frame_idx for call in segmenter.calls if not call.has_mask_logits}
    assert without == {0} | {frame_idx + 1 for frame_idx in gone}


class FromMasks(ExactSegmenter):
    """Predicts wrongly on one frame; makes logits of a given mask; caches what each frame was prompted with."""

    def __init__(self, wrong_on: int) -> None:
        super().__init__(CROSSING)
        self.wrong_on = wrong_on
        self.asked_with: list[tuple[int, Any]] = []

    @property
    def info(self) -> Any:
        return replace(super().info, has_mask_logits=True)

    def make_mask_logits(self, mask: np.ndarray) -> Any:
        return mask.copy()

    def decode(self, embedding: Any, prompts: Any, *, full_size: bool = True) -> Any:
        predictions = super().decode(embedding, prompts, full_size=full_size)
        frame_idx = self.calls[-1].frame_idx
        self.asked_with += [(frame_idx, p.mask_logits) for p in prompts]
        if frame_idx == self.wrong_on:
            predictions = [replace(a, logits=None if a.logits is None else np.ones_like(a.logits)) for a in predictions]
        return predictions


@pytest.mark.parametrize(("protocol", "around"), [("vos", [6]), ("bidirectional", [4, 6])])
def test_a_given_mask_is_what_the_next_frame_is_asked_with_and_what_points_are_checked_against(
    protocol: str, around: list[int]
) -> None:
    """Not the segmenter's own prediction on that frame, which a person has corrected by giving the mask."""
    given = CROSSING.masks(5)[0]
    queries = [QueryMask(1, 5, given)]
    for previous in (True, False):
        segmenter = FromMasks(wrong_on=5)
        config = reinit("on-horizon-and-sync", 3, previous_mask=previous, backward_consistency=True, anchor=True)
        config = with_settings(replace(config, protocol=protocol), ONE_PASS)  # type: ignore[arg-type]
        results = run(CROSSING, queries, config, segmenter=segmenter)
        seen = [f for f, logits in segmenter.asked_with if isinstance(logits, np.ndarray) and np.array_equal(logits, given)]
        assert sorted(set(seen)) == (around if previous else [])
        if previous:
            for frame_idx in (*around, 11):
                assert np.array_equal(results[frame_idx].masks[0], CROSSING.masks(frame_idx)[0])
