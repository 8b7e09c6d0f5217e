"""The exact sequence of requests to the segmenter, as a recording fake sees it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from sampt.config import PromptConfig
from sampt.prompts.refine import segment_prompts
from sampt.testing import ExactSegmenter, static_scene
from sampt.testing.fakes import RecordedClip
from sampt.types import MaskPrediction, ObjectPrompt

SCENE = static_scene(1)
MASKS = SCENE.masks(0)
ONE, TWO, OFF = (27.0, 29.0), (70.0, 34.0), (2.0, 2.0)


class Recorder:
    """The exact segmenter; keeps every batch that it is prompted, and every logits that it gave."""

    def __init__(self, spoil: Callable[[int, MaskPrediction], MaskPrediction] = lambda call, prediction: prediction) -> None:
        self.exact = ExactSegmenter(SCENE)
        self.info = self.exact.info
        self.spoil = spoil
        self.batches: list[tuple[list[ObjectPrompt], bool]] = []
        self.given: list[list[Any]] = []

    def encode(self, frames: Any) -> Any:
        return self.exact.encode(frames)

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        predictions = self.exact.decode(embedding, prompts, full_size=full_size)
        predictions = [self.spoil(len(self.batches), replace(a, low_res_logits=object())) for a in predictions]
        self.batches.append((list(prompts), full_size))
        self.given.append([a.low_res_logits for a in predictions])
        return predictions


def prompt(object_id: int, *positives: tuple[float, float], off: Sequence[tuple[float, float]] = ()) -> ObjectPrompt:
    xy = np.array([*positives, *off], np.float32)
    return ObjectPrompt(object_id, xy, np.arange(len(xy)) < len(positives))


def predict(recorder: Recorder, prompts: list[ObjectPrompt], steps: int) -> list[MaskPrediction]:
    embedding = recorder.encode(SCENE.frame(0)[None])[0]
    return segment_prompts(recorder, embedding, prompts, PromptConfig(refinement_steps=steps))


def test_the_first_pass_can_be_switched_off() -> None:
    recorder = Recorder()
    config = PromptConfig(refinement_steps=0, positives_first=False)
    segment_prompts(recorder, recorder.encode(SCENE.frame(0)[None])[0], [prompt(1, ONE, off=[OFF])], config)
    ((batch, full_size),) = recorder.batches
    assert full_size
    assert (len(batch[0].xy), batch[0].mask_logits) == (2, None)


def test_two_passes_then_rounds_all_objects_in_one_batch() -> None:
    recorder = Recorder()
    prompts = [prompt(1, ONE, (28, 30), off=[OFF, TWO]), prompt(2, TWO, off=[ONE])]
    predictions = predict(recorder, prompts, steps=3)
    assert [len(batch) for batch, _ in recorder.batches] == [2, 2, 2, 2, 2]
    assert [full for _, full in recorder.batches] == [False, False, False, False, True]
    first = recorder.batches[0][0]
    assert [p.xy.tolist() for p in first] == [[list(ONE), [28, 30]], [list(TWO)]]
    assert all(p.is_positive.all() and p.mask_logits is None and p.box_xyxy is None for p in first)
    for k, (batch, _) in enumerate(recorder.batches[1:], 1):
        for m, (prompted, own) in enumerate(zip(batch, prompts, strict=True)):
            assert np.array_equal(prompted.xy, own.xy)
            assert np.array_equal(prompted.is_positive, own.is_positive)
            assert prompted.mask_logits is recorder.given[k - 1][m]
            assert (prompted.box_xyxy is None) == (k == 1)
    box = recorder.batches[2][0][0].box_xyxy
    rows, columns = np.nonzero(MASKS[0])
    assert box is not None
    assert box.tolist() == [columns.min(), rows.min(), columns.max(), rows.max()]
    for prediction, mask in zip(predictions, MASKS, strict=True):
        assert prediction.logits is not None
        assert np.array_equal(prediction.logits > 0, mask)


def test_without_rounds_the_second_pass_is_the_last() -> None:
    recorder = Recorder()
    predictions = predict(recorder, [prompt(1, ONE, off=[OFF])], steps=0)
    assert [(len(batch), full) for batch, full in recorder.batches] == [(1, False), (1, True)]
    assert predictions[0].logits is not None


def test_prompts_whose_negative_points_are_hidden_take_part_in_the_first_pass() -> None:
    recorder = Recorder()
    predict(recorder, [prompt(1, ONE, (28, 30)), prompt(2, TWO, off=[ONE])], steps=0)
    (first, _), (second, full_size) = recorder.batches
    assert [p.xy.tolist() for p in first] == [[list(ONE), [28, 30]], [list(TWO)]]
    assert [len(p.xy) for p in second] == [2, 2]
    assert [p.mask_logits for p in second] == recorder.given[0]
    assert full_size


def emptied(*, object_id: int, from_call: int) -> Callable[[int, MaskPrediction], MaskPrediction]:
    """Predictions without pixels for one object from one call on."""

    def spoil(call: int, prediction: MaskPrediction) -> MaskPrediction:
        if prediction.object_id != object_id or call < from_call:
            return prediction
        logits = None if prediction.logits is None else np.full_like(prediction.logits, -8)
        return replace(prediction, box_xyxy=None, logits=logits, score=0.25)

    return spoil


def test_an_object_with_fewer_than_two_pixels_stops_and_the_others_go_on() -> None:
    recorder = Recorder(emptied(object_id=1, from_call=3))
    predictions = predict(recorder, [prompt(1, ONE, off=[OFF]), prompt(2, TWO, off=[OFF])], steps=5)
    # Calls: pass 1, pass 2, round 1, round 2 (object 1 is now empty), rounds 3 and 4 for object 2, round 5 with full size.
    assert [[p.object_id for p in batch] for batch, _ in recorder.batches] == [[1, 2]] * 4 + [[2], [2], [2, 1]]
    assert [full for _, full in recorder.batches] == [False] * 6 + [True]
    # The last prediction about object 1 is that to its own last request, now with full-size logits.
    again, before = recorder.batches[6][0][1], recorder.batches[3][0][0]
    assert again.mask_logits is before.mask_logits
    assert np.array_equal(again.box_xyxy, before.box_xyxy)  # type: ignore[arg-type]
    assert [a.object_id for a in predictions] == [1, 2]
    assert predictions[0].score == 0.25
    assert predictions[0].logits is not None
    assert not (predictions[0].logits > 0).any()
    assert predictions[1].logits is not None
    assert (predictions[1].logits > 0).sum() == MASKS[1].sum()


@pytest.mark.parametrize("steps", [1, 4])
def test_a_mask_that_is_empty_from_the_start_is_answered_too(steps: int) -> None:
    recorder = Recorder()
    (prediction,) = predict(recorder, [prompt(1, OFF)], steps)
    assert prediction.logits is not None
    assert not (prediction.logits > 0).any()
    assert prediction.score == 0
    assert recorder.batches[-1][1] is True


def test_one_pixel_is_too_few_and_two_are_enough() -> None:
    frame = np.random.default_rng(0).integers(0, 255, (1, 8, 12, 3), np.uint8)
    config = PromptConfig(refinement_steps=3, positives_first=False)
    for pixels, calls in ((1, 2), (2, 4)):
        mask = np.zeros((1, 1, 8, 12), bool)
        mask[0, 0, 3, 4 : 4 + pixels] = True
        segmenter = ExactSegmenter(RecordedClip(frame, mask))
        embedding = segmenter.encode(frame)[0]
        segment_prompts(segmenter, embedding, [prompt(1, (4, 3))], config)
        assert len(segmenter.calls) == calls
        assert [c.full_size for c in segmenter.calls] == [False] * (calls - 1) + [True]


def test_no_prompt_no_question() -> None:
    recorder = Recorder()
    assert predict(recorder, [], steps=3) == []
    assert recorder.batches == []


def test_logits_of_an_earlier_frame_start_the_first_question_and_no_other() -> None:
    earlier = object()
    recorder = Recorder()
    prompted = replace(prompt(1, ONE, off=[OFF]), mask_logits=earlier)
    predict(recorder, [prompted, replace(prompt(2, TWO), mask_logits=earlier)], steps=1)
    first, second, third = (batch for batch, _ in recorder.batches)
    assert [p.mask_logits for p in first] == [earlier, earlier]
    assert [p.mask_logits for p in second] == recorder.given[0]
    assert [p.mask_logits for p in third] == recorder.given[1]
