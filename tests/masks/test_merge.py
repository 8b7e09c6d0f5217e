"""Cutting, resizing and merging the masks of a frame."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from sampt.geometry import size_with_longest_side
from sampt.masks.merge import ObjectMask, contest, merge_objects
from sampt.types import FrameMasks, FramePoints, MaskPrediction, ObjectState

SIZE_HW = (6, 10)
NO_POINTS = FramePoints.concat([])


def predicted(object_id: int, logits: object, score: float = 0.9, gate: float = 0.7) -> ObjectMask:
    array = np.asarray(logits, np.float32)
    return ObjectMask.of_prediction(MaskPrediction(object_id, score, None, None, array), gate)


def region(rows: slice, columns: slice, inside: float, outside: float = -5) -> np.ndarray:
    logits = np.full(SIZE_HW, outside, np.float32)
    logits[rows, columns] = inside
    return logits


def merge(*objects: ObjectMask, overlapping: bool = False, compete: bool = True) -> FrameMasks:
    return merge_objects(3, objects, SIZE_HW, NO_POINTS, overlapping=overlapping, compete=compete)


LEFT = region(slice(1, 5), slice(1, 6), 2.0)
RIGHT = region(slice(1, 5), slice(4, 9), 3.0)


def test_the_larger_logit_wins() -> None:
    result = merge(predicted(1, LEFT), predicted(2, RIGHT))
    labels = np.zeros(SIZE_HW, int)
    labels[1:5, 1:4], labels[1:5, 4:9] = 1, 2
    assert np.array_equal(result.label_map(), labels)
    assert result.frame_idx == 3
    assert result.scores.tolist() == pytest.approx([0.9, 0.9])
    assert result.states.tolist() == [ObjectState.PRESENT] * 2
    assert not (result.masks[0] & result.masks[1]).any()


def test_objects_are_ordered_by_id_and_ties_go_to_the_smaller_one() -> None:
    same = np.where(RIGHT > 0, np.float32(2), RIGHT)
    result = merge(predicted(9, LEFT), predicted(4, same))
    assert result.object_ids.tolist() == [4, 9]
    assert result.masks[0].sum() == 20
    assert result.masks[1].sum() == 12


def test_the_background_has_logit_zero() -> None:
    logits = np.linspace(-1, 1, 60).reshape(SIZE_HW)
    logits[0, 0] = 0.0
    for result in (merge(predicted(1, logits)), merge(predicted(1, logits), predicted(2, -np.ones(SIZE_HW)))):
        assert np.array_equal(result.masks[0], logits > 0)


def test_where_little_is_contested_the_merge_is_a_dense_argmax() -> None:
    logits = np.random.default_rng(0).normal(-0.5, 1, (5, *SIZE_HW)).round(1).astype(np.float32)
    for i, one in enumerate(logits):  # two columns each, and some of the next object's
        one[:, : 2 * i] = one[:, 2 * i + 3 :] = -1
        one[:, 2 * i : 2 * i + 2] = np.abs(one[:, 2 * i : 2 * i + 2])
        one[1:, 2 * i + 2 :] = -1
    expected = np.concatenate([np.zeros((1, *SIZE_HW), np.float32), logits]).argmax(0)  # ties go to the first
    assert np.array_equal(merge(*(predicted(i + 1, one) for i, one in enumerate(logits))).label_map(), expected)


def test_overlapping_output_keeps_every_mask_whole() -> None:
    result = merge(predicted(1, LEFT), predicted(2, RIGHT), overlapping=True)
    assert np.array_equal(result.masks[0], LEFT > 0)
    assert np.array_equal(result.masks[1], RIGHT > 0)


@pytest.mark.parametrize("given_id", [1, 2, 3])
def test_a_given_mask_wins_over_every_prediction(given_id: int) -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[2:4, 3:8] = True
    others = [predicted(i, region(slice(0, 6), slice(0, 10), 1000.0)) for i in (1, 2, 3) if i != given_id]
    result = merge(ObjectMask.of_given(given_id, mask), *others)
    assert np.array_equal(result.masks[given_id - 1], mask)
    assert np.isnan(result.scores[given_id - 1])  # the segmenter did not run


def test_of_two_given_masks_the_smaller_id_wins() -> None:
    result = merge(ObjectMask.of_given(2, RIGHT > 0), ObjectMask.of_given(1, LEFT > 0))
    assert [m.sum() for m in result.masks] == [20, 12]


def test_the_gate() -> None:
    result = merge(predicted(1, LEFT, score=0.69), predicted(2, RIGHT, score=0.7))
    assert result.states.tolist() == [ObjectState.LOW_SCORE, ObjectState.PRESENT]
    assert result.scores.tolist() == pytest.approx([0.69, 0.7])
    assert [m.sum() for m in result.masks] == [0, 20]


def test_an_object_that_loses_every_pixel_is_hidden_by_others() -> None:
    covered = region(slice(2, 4), slice(5, 7), 1.0)
    result = merge(predicted(1, covered), predicted(2, RIGHT))
    assert result.states.tolist() == [ObjectState.HIDDEN_BY_OTHERS, ObjectState.PRESENT]
    assert merge(predicted(1, covered), predicted(2, RIGHT), overlapping=True).states[0] == ObjectState.PRESENT


def test_absent_objects_stay_with_their_state() -> None:
    result = merge(ObjectMask(5, ObjectState.RETIRED), predicted(2, LEFT), ObjectMask(1, ObjectState.BEFORE_QUERY))
    assert result.object_ids.tolist() == [1, 2, 5]
    assert result.states.tolist() == [ObjectState.BEFORE_QUERY, ObjectState.PRESENT, ObjectState.RETIRED]
    assert np.isnan(result.scores).tolist() == [True, False, True]
    assert not result.masks[[0, 2]].any()


def test_a_mask_keeps_only_what_is_around_it() -> None:
    logits = np.full((400, 600), -3, np.float32)
    logits[100:110, 200:230] = 4
    item = predicted(1, logits)
    assert item.logits is not None
    assert item.logits.shape == (14, 34)
    assert item.origin_yx == (98, 198)
    assert np.array_equal(item.mask((400, 600)), logits > 0)


def smooth(size_hw: tuple[int, int], seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(0, 1, size_hw).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(noise, (0, 0), 3) * 20 - 1, np.float32)


@pytest.mark.parametrize("to_hw", [(96, 144), (101, 160), (48, 72), (30, 41), (97, 60), (48, 300)])
@pytest.mark.parametrize("seed", range(3))
def test_resizing_the_cut_equals_resizing_the_whole(to_hw: tuple[int, int], seed: int) -> None:
    from_hw = (48, 72)
    logits = smooth(from_hw, seed)
    direct = cv2.resize(logits, to_hw[::-1], interpolation=cv2.INTER_LINEAR)
    item = predicted(1, logits).resized(from_hw, to_hw)
    unsure = np.abs(direct) < 0.1  # OpenCV's remap works with 1/32 pixel
    assert unsure.mean() < 0.1
    assert np.array_equal(item.mask(to_hw)[~unsure], (direct > 0)[~unsure])


def test_a_small_mask_is_resized_in_its_location() -> None:
    logits = np.full((48, 72), -4, np.float32)
    logits[10:14, 20:26] = 4
    mask = predicted(1, logits).resized((48, 72), (96, 144)).mask((96, 144))
    expected = np.zeros((96, 144), bool)
    expected[20:28, 40:52] = True
    assert np.array_equal(mask, expected)
    back = predicted(1, np.where(expected, 4, -4)).resized((96, 144), (48, 72)).mask((48, 72))
    assert np.array_equal(back, logits > 0)


def test_masks_on_the_frame_edge_reach_the_edge_after_resizing() -> None:
    for to_hw in ((95, 151), (20, 31)):
        mask = predicted(1, np.full((48, 72), 3.0)).resized((48, 72), to_hw).mask(to_hw)
        assert mask.all()


def test_resizing_to_the_same_size_changes_nothing() -> None:
    item = predicted(1, LEFT)
    assert item.resized(SIZE_HW, SIZE_HW) is item
    empty = ObjectMask(1, ObjectState.NO_VISIBLE_POINT)
    assert empty.resized(SIZE_HW, (60, 100)) is empty
    assert size_with_longest_side(SIZE_HW, 100) == (60, 100)


def test_a_small_part_that_two_claim_is_shared_pixel_by_pixel_and_a_large_one_is_not() -> None:
    rng = np.random.default_rng(0)
    for columns, is_shared in ((1, True), (4, False)):
        left, right = region(slice(0, 6), slice(0, 5), 2.0), region(slice(0, 6), slice(5 - columns, 10), 2.0)
        both = slice(5 - columns, 5)
        left[:, both] += rng.normal(0, 0.5, (6, columns))
        right[:, both] += rng.normal(0.1, 0.5, (6, columns))
        masks = merge(predicted(1, left), predicted(2, right)).masks
        assert not (masks[0] & masks[1]).any()
        assert (masks[0] | masks[1]).all()
        owners = masks[0][:, both]
        assert owners.any() != owners.all() if is_shared else owners.any() == owners.all()
        if not is_shared:
            assert owners.all() == (left[:, both].sum() > right[:, both].sum())
        apart = merge(predicted(1, left), predicted(2, right), compete=False).masks
        assert np.array_equal(apart[0][:, both], left[:, both] >= right[:, both])


def test_a_given_mask_keeps_the_part_that_it_claims() -> None:
    mask = np.zeros(SIZE_HW, bool)
    mask[:, :5] = True
    given = ObjectMask.of_given(2, mask)
    masks = merge(predicted(1, region(slice(0, 6), slice(0, 7), 9.0)), given).masks
    assert np.array_equal(masks[1], mask)
    assert not (masks[0] & mask).any()


def test_contested_objects_lose_what_another_has() -> None:
    items = [predicted(2, RIGHT), predicted(1, LEFT), predicted(3, region(slice(1, 3), slice(5, 8), 1.0))]
    alone = contest(items[:1], SIZE_HW)
    assert alone[0] is items[0]
    right, left, third = contest(items, SIZE_HW)
    assert right is items[0]
    merged = merge(*items)
    assert np.array_equal(left.mask(SIZE_HW), merged.masks[0])
    assert left.logits is not None
    assert left.logits.min() < 0
    assert third.state is ObjectState.HIDDEN_BY_OTHERS
    assert third.logits is None
    assert merge(right, left, third).states.tolist() == merged.states.tolist()


def test_a_gap_between_two_objects_goes_to_the_likelier_one() -> None:
    """Soft aggregation: where each has 0.42 and 0.4 the background has 0.35."""
    first, second = region(slice(1, 5), slice(1, 5), 2.0), region(slice(1, 5), slice(6, 9), 3.0)
    first[1:5, 5], second[1:5, 5] = np.log(0.42 / 0.58), np.log(0.4 / 0.6)
    labels = np.zeros(SIZE_HW, int)
    labels[1:5, 1:6], labels[1:5, 6:9] = 1, 2
    objects = predicted(1, first), predicted(2, second)
    assert np.array_equal(merge(*objects).label_map(), labels)
    labels[1:5, 5] = 0
    assert np.array_equal(merge(*objects, compete=False).label_map(), labels)
    assert np.array_equal(merge(objects[0]).label_map() > 0, first > 0)
    won, other = contest(objects, SIZE_HW)
    assert won.mask(SIZE_HW)[1:5, 5].all()
    assert not other.mask(SIZE_HW)[1:5, 5].any()
    given = dataclasses.replace(predicted(2, second), is_given=True)
    assert np.array_equal(merge(objects[0], given).label_map(), labels)  # the user's mask ends where it ends


def test_the_background_keeps_what_it_probably_is() -> None:
    first, second = region(slice(1, 5), slice(1, 5), 2.0), region(slice(1, 5), slice(6, 9), 3.0)
    first[1:5, 5] = second[1:5, 5] = np.log(0.35 / 0.65)  # the background has 0.42
    assert not merge(predicted(1, first), predicted(2, second)).masks[:, 1:5, 5].any()
