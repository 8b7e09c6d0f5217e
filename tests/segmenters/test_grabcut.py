"""The segmenter `grabcut` on images whose prediction is known."""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np
import pytest

from sampt.errors import BackendError
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.grabcut.cut import min_cut
from sampt.segmenters.grabcut.unary import extract_features, point_spacing
from sampt.testing.contracts import check_segmenter
from sampt.types import MaskPrediction, ObjectPrompt

RED, BLUE = (200, 60, 50), (50, 80, 190)


def disc(size_hw: tuple[int, int], centre_xy: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return np.hypot(x - centre_xy[0], y - centre_xy[1]) <= radius


def image(mask: np.ndarray, noise: float = 6.0) -> np.ndarray:
    """A red object on blue, with some noise."""
    clean = np.where(mask[..., None], RED, BLUE) + np.random.default_rng(1).normal(0, noise, (*mask.shape, 3))
    return np.clip(clean, 0, 255).astype(np.uint8)


def prompt(positive: list[tuple[float, float]], negative: list[tuple[float, float]] | None = None) -> ObjectPrompt:
    points = [*positive, *(negative or [])]
    return ObjectPrompt(1, np.array(points, np.float32), np.arange(len(points)) < len(positive))


def predict(frame: np.ndarray, context: ObjectPrompt) -> MaskPrediction:
    segmenter = create_segmenter("grabcut")
    return segmenter.decode(segmenter.encode(frame[None])[0], [context])[0]


def iou(prediction: MaskPrediction, mask: np.ndarray) -> float:
    assert prediction.logits is not None
    found = prediction.logits > 0
    return float((found & mask).sum() / (found | mask).sum())


DISC = disc((240, 320), (150, 110), 50)
THREE_AND_THREE = prompt([(150, 110), (125, 95), (170, 135)], [(40, 40), (280, 60), (150, 220)])


def test_contract() -> None:
    check_segmenter(lambda: create_segmenter("grabcut"))


def test_a_disc_is_recovered_from_three_points_of_either_sign() -> None:
    assert iou(predict(image(DISC), THREE_AND_THREE), DISC) > 0.95


def test_a_disc_is_recovered_from_one_click() -> None:
    assert iou(predict(image(DISC), prompt([(150, 110)])), DISC) > 0.9


@pytest.mark.parametrize("size_hw", [(97, 61), (31, 203), (1, 40), (40, 1), (7, 5)])
def test_odd_and_tiny_sizes_are_answered_at_their_own_size(size_hw: tuple[int, int]) -> None:
    mask = disc(size_hw, (size_hw[1] / 2, size_hw[0] / 2), min(size_hw) / 4)
    prediction = predict(image(mask), prompt([(size_hw[1] / 2, size_hw[0] / 2)]))
    assert prediction.logits is not None
    assert prediction.logits.shape == size_hw
    assert np.isfinite(prediction.logits).all()


def test_one_wrong_point_in_sixteen_does_not_spoil_the_mask() -> None:
    rng = np.random.default_rng(3)
    inside, outside = (np.argwhere(m)[:, ::-1] for m in (DISC, ~DISC))
    xy = np.concatenate([inside[rng.choice(len(inside), 16)], outside[rng.choice(len(outside), 16)]]).astype(np.float32)
    xy[0] = 300, 220
    assert iou(predict(image(DISC), ObjectPrompt(1, xy, np.arange(32) < 16)), DISC) > 0.9


def test_answers_repeat_whatever_was_drawn_before() -> None:
    frame = image(DISC)
    first = predict(frame, THREE_AND_THREE)
    cv2.setRNGSeed(99)
    predict(image(disc((120, 90), (40, 60), 20)), prompt([(40, 60)]))
    second = predict(frame, THREE_AND_THREE)
    np.testing.assert_array_equal(first.logits, second.logits)
    assert first.score == second.score


def test_the_order_of_points_changes_nothing_at_all() -> None:
    turned = replace(THREE_AND_THREE, xy=THREE_AND_THREE.xy[::-1], is_positive=THREE_AND_THREE.is_positive[::-1])
    one, two = predict(image(DISC), THREE_AND_THREE), predict(image(DISC), turned)
    np.testing.assert_array_equal(one.logits, two.logits)


def test_opencvs_random_numbers_are_not_drawn() -> None:
    cv2.setRNGSeed(5)
    expected = cv2.randu(np.zeros(4, np.uint8), 0, 256).copy()
    cv2.setRNGSeed(5)
    predict(image(DISC), THREE_AND_THREE)
    np.testing.assert_array_equal(cv2.randu(np.zeros(4, np.uint8), 0, 256), expected)


def test_good_prompts_score_above_bad_ones() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (240, 320, 3), dtype=np.uint8)
    mixed = rng.uniform([0, 0], [320, 240], (16, 2)).astype(np.float32)
    good = predict(image(DISC), THREE_AND_THREE)
    bad = predict(noise, ObjectPrompt(1, mixed, np.arange(16) % 2 == 0))
    assert good.score > bad.score + 0.2


def test_the_box_bounds_the_mask() -> None:
    two = DISC | disc((240, 320), (260, 110), 40)
    prediction = predict(image(two), replace(prompt([(150, 110)]), box_xyxy=np.array([100, 60, 200, 160], np.float32)))
    assert prediction.box_xyxy is not None
    assert np.abs(prediction.box_xyxy - [100, 60, 200, 160]).max() <= 2


def test_previous_logits_move_the_answer_towards_them() -> None:
    frame = image(DISC, noise=60)
    context = prompt([(150, 110)])
    plain = predict(frame, context)
    right = cv2.resize(np.where(DISC, 8, -8).astype(np.float32), plain.low_res_logits.shape[::-1])
    assert iou(predict(frame, replace(context, mask_logits=right)), DISC) > iou(plain, DISC)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (ObjectPrompt(4, np.array([[3, 3]], np.float32), np.array([False])), "no positive point and no box for object 4"),
        (replace(prompt([(9, 9)]), mask_logits=np.zeros((5, 5), np.float32)), r"shape \(5, 5\), expected \(192, 256\)"),
    ],
)
def test_unusable_prompts_are_refused_in_one_line(context: ObjectPrompt, message: str) -> None:
    with pytest.raises(BackendError, match=message):
        predict(image(DISC), context)


def test_weights_are_refused() -> None:
    with pytest.raises(BackendError, match=r"has no weights but got 'x\.pt'"):
        create_segmenter("grabcut", weights="x.pt")


def test_the_cut_has_the_least_energy_of_all_labellings() -> None:
    rng = np.random.default_rng(8)
    mixed = 0
    for _ in range(40):
        edges = rng.integers(60, 120, (3, 3, 2), dtype=np.uint8)
        logits = (np.round(rng.normal(0, 1.5, (3, 3)) * 3.75) / 3.75).astype(np.float32)
        image = np.dstack([logits * 3.75, edges]).astype(np.float64)
        energies = [_energy(logits, image, labels, 1.5) for labels in _all_labellings()]
        found = min_cut(logits, edges, 1.5)
        mixed += bool(found.any() and not found.all())
        assert _energy(logits, image, found, 1.5) == pytest.approx(min(energies), abs=1e-5)
    assert mixed >= 3


def _all_labellings() -> list[np.ndarray]:
    return [np.array([(k >> i) & 1 for i in range(9)], bool).reshape(3, 3) for k in range(512)]


def _energy(logits: np.ndarray, image: np.ndarray, labels: np.ndarray, smoothness: float) -> float:
    """Of a 3 x 3 labelling: GrabCut's edge weights, with beta one over twice the mean squared difference of neighbours."""
    pairs = []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        one = (slice(0, 3 - dy), slice(max(0, -dx), 3 - max(0, dx)))
        two = (slice(dy, 3), slice(max(0, dx), 3 + min(0, dx)))
        pairs.append((((image[one] - image[two]) ** 2).sum(-1), labels[one] != labels[two], np.hypot(dy, dx)))
    beta = 1 / (2 * np.concatenate([square.ravel() for square, _, _ in pairs]).mean())
    contour = sum(float((np.exp(-beta * square) * differ).sum() / length) for square, differ, length in pairs)
    return smoothness * contour - float(logits[labels].sum())


def test_spacing_of_a_square_grid_is_its_step() -> None:
    grid = np.stack(np.meshgrid(np.arange(8), np.arange(8)), -1).reshape(-1, 2).astype(np.float32) * 10
    assert point_spacing(grid, (200, 300)) == pytest.approx(10 / 1.6, rel=1e-5)


def test_encoding_averages_pixels_down() -> None:
    frame = np.zeros((4, 4, 3), np.uint8)
    frame[:, 1::2] = 255
    frame_features = extract_features(frame, (2, 2))
    assert frame_features.color.shape == (2, 2, 4)
    assert np.allclose(frame_features.color[..., 0], frame_features.color[0, 0, 0])
