"""The bundled segmenter `nano`: contract, windows, edges, runtimes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from sampt.backends.onnx_files import open_session
from sampt.errors import BackendError
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.nano import BUNDLED_WEIGHTS, NanoSegmenter
from sampt.segmenters.nano.low_res_logits import LowResLogits, enforce_clicks
from sampt.segmenters.nano.onnx_runtime import OnnxRuntime
from sampt.segmenters.nano.runtime import FILES, INT8_SALIENCY, EncodedWindow, PromptArrays, lay_over, saliency_side
from sampt.segmenters.nano.sharpen import guided_upsample
from sampt.segmenters.nano.windows import Encoded, View, choose_level, encode_windows, make_window, prepare_image
from sampt.testing.contracts import check_segmenter
from sampt.types import FloatArray, MaskPrediction, ObjectPrompt

DAVIS = Path(__file__).resolve().parents[3] / "shared" / "davis"
RED, BLUE = (200, 60, 50), (50, 80, 190)


@pytest.fixture(scope="module")
def nano() -> NanoSegmenter:
    segmenter = create_segmenter("nano")
    assert isinstance(segmenter, NanoSegmenter)
    return segmenter


def disc(size_hw: tuple[int, int], centre_xy: tuple[float, float], radius: float) -> np.ndarray:
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    return np.hypot(x - centre_xy[0], y - centre_xy[1]) <= radius


def paint(mask: np.ndarray) -> np.ndarray:
    """A red object on blue, with some noise."""
    clean = np.where(mask[..., None], RED, BLUE) + np.random.default_rng(1).normal(0, 8, (*mask.shape, 3))
    return np.clip(clean, 0, 255).astype(np.uint8)


def prompt(positive: list[tuple[float, float]], negative: list[tuple[float, float]] | None = None) -> ObjectPrompt:
    points = [*positive, *(negative or [])]
    return ObjectPrompt(1, np.array(points, np.float32), np.arange(len(points)) < len(positive))


def predict(segmenter: PromptableSegmenter, frame: np.ndarray, given: ObjectPrompt) -> MaskPrediction:
    return segmenter.decode(segmenter.encode(frame[None])[0], [given])[0]


def iou(predicted: MaskPrediction, mask: np.ndarray) -> float:
    assert predicted.logits is not None
    found = predicted.logits > 0
    return float((found & mask).sum() / (found | mask).sum())


def test_contract(nano: NanoSegmenter) -> None:
    check_segmenter(nano)


@pytest.mark.parametrize(
    ("size_hw", "centre", "radius"),
    [
        ((480, 854), (600, 200), 90),
        ((480, 854), (120, 400), 22),
        ((1080, 1920), (1500, 300), 30),
        ((854, 480), (240, 500), 200),
    ],
)
def test_a_disc_of_any_size_is_found_from_points(
    nano: NanoSegmenter, size_hw: tuple[int, int], centre: tuple[int, int], radius: int
) -> None:
    mask = disc(size_hw, centre, radius)
    x, y = centre
    d = radius * 0.6
    given = prompt(
        [(x, y), (x - d, y), (x + d, y), (x, y - d), (x, y + d)], [(x - 2 * radius, y - radius), (x + 2 * radius, y)]
    )
    predicted = predict(nano, paint(mask), given)
    assert iou(predicted, mask) > 0.9
    assert predicted.score > 0.7


def test_one_click_finds_a_disc(nano: NanoSegmenter) -> None:
    mask = disc((480, 854), (430, 240), 80)
    assert iou(predict(nano, paint(mask), prompt([(430, 240)])), mask) > 0.85


def test_three_close_clicks_mean_the_small_object_and_not_what_it_sits_on(nano: NanoSegmenter) -> None:
    large, small = disc((480, 854), (430, 240), 180), disc((480, 854), (470, 260), 24)
    frame = paint(large)
    frame[small] = (60, 50, 40)
    predicted = predict(nano, frame, prompt([(460, 255), (478, 268), (472, 248)]))
    assert iou(predicted, small) > 0.8


@pytest.mark.skipif(not DAVIS.is_dir(), reason="the project's shared data is not beside this checkout")
@pytest.mark.parametrize("second", [(331, 276), (319, 271), (350, 290), (300, 240)])
def test_a_second_click_near_the_first_keeps_the_swan(nano: NanoSegmenter, second: tuple[int, int]) -> None:
    frame = cv2.imread(str(DAVIS / "JPEGImages/480p/blackswan/00000.jpg"))[..., ::-1].copy()
    swan = cv2.imread(str(DAVIS / "Annotations/480p/blackswan/00000.png"), cv2.IMREAD_UNCHANGED) > 0
    once = iou(predict(nano, frame, prompt([(319, 271)])), swan)
    assert once > 0.55
    assert iou(predict(nano, frame, prompt([(319, 271), second])), swan) > once - 0.1


def test_clicks_at_one_place_count_once(nano: NanoSegmenter) -> None:
    mask = disc((120, 160), (35, 50), 12)
    frame = paint(mask)
    once, thrice = (predict(nano, frame, prompt([(35, 50)] * count)) for count in (1, 3))
    assert once.logits is not None
    assert thrice.logits is not None
    np.testing.assert_array_equal(once.logits, thrice.logits)
    assert iou(thrice, mask) > 0.8


def test_a_click_that_the_network_disobeys_is_enforced_once_however_often_it_is_repeated() -> None:
    window = make_window((120, 160), np.array([80.0, 60.0]), 100.0, 160, 453)
    low_res = LowResLogits(np.full((160, 160), -3, np.float32), window, (120, 160))
    once, thrice = (enforce_clicks(prompt([(70, 50)] * count), low_res, 2.5).logits for count in (1, 3))
    assert np.array_equal(once, thrice)
    assert once.max() > 0
    beside = enforce_clicks(prompt([(70, 50), (71, 50)]), low_res, 2.5)
    assert 0 < (once > 0).sum() < (beside.logits > 0).sum() < 2 * (once > 0).sum()
    assert beside.logits.max() == pytest.approx(once.max(), abs=0.1)


def test_a_negative_click_takes_an_alike_neighbour_away(nano: NanoSegmenter) -> None:
    left, right = disc((240, 426), (130, 120), 50), disc((240, 426), (270, 120), 50)
    frame = paint(left | right)
    clicks = [(130.0, 120.0), (110.0, 100.0), (150.0, 140.0), (130.0, 90.0)]
    apart = predict(nano, frame, prompt(clicks, [(270, 120), (250, 100), (290, 140), (270, 150)]))
    assert apart.logits is not None
    assert iou(apart, left) > 0.8
    assert (apart.logits > 0)[right].mean() < 0.1


def test_a_wrong_score_is_lower_than_a_right_one(nano: NanoSegmenter) -> None:
    mask = disc((240, 320), (150, 110), 50)
    right = predict(nano, paint(mask), prompt([(150, 110), (125, 95), (170, 135), (150, 80)], [(40, 40), (280, 60)]))
    noise = np.random.default_rng(3).integers(0, 255, (240, 320, 3), dtype=np.uint8)
    wrong = predict(nano, noise, prompt([(150, 110), (20, 15), (270, 225), (150, 40)], [(152, 112), (22, 16), (268, 222)]))
    assert right.score > wrong.score + 0.2


def test_a_box_alone_and_a_previous_answer_lead_to_the_object(nano: NanoSegmenter) -> None:
    mask = disc((240, 320), (150, 110), 50)
    embedding = nano.encode(paint(mask)[None])[0]
    none = ObjectPrompt(1, np.zeros((0, 2), np.float32), np.zeros(0, bool), np.array([100, 60, 200, 160], np.float32))
    boxed = nano.decode(embedding, [none])[0]
    assert iou(boxed, mask) > 0.85
    again = nano.decode(embedding, [replace(prompt([(150, 110)]), mask_logits=boxed.low_res_logits)])[0]
    assert iou(again, mask) > 0.85


def test_previous_logits_of_another_frame_size_or_back_end_are_refused(nano: NanoSegmenter) -> None:
    small, large = paint(disc((120, 160), (80, 60), 30)), paint(disc((240, 320), (80, 60), 30))
    other = predict(nano, small, prompt([(80, 60)])).low_res_logits
    for wrong in (other, np.zeros((256, 256), np.float32)):
        with pytest.raises(BackendError, match=r"expected low_res_logits that it gave for a frame of \(h, w\) = \(240, 320\)"):
            predict(nano, large, replace(prompt([(80, 60)]), mask_logits=wrong))


def test_no_positive_point_and_no_box_is_refused(nano: NanoSegmenter) -> None:
    with pytest.raises(BackendError, match="add a point"):
        predict(nano, paint(disc((120, 160), (80, 60), 30)), prompt([], [(10, 10)]))


def test_more_prompts_than_a_batch_get_their_own_answers(nano: NanoSegmenter) -> None:
    frame = paint(disc((240, 320), (150, 110), 50))
    prompts = [replace(prompt([(20.0 + 7 * k, 110.0)]), object_id=k + 1) for k in range(40)]
    embedding = nano.encode(frame[None])[0]
    predictions = nano.decode(embedding, prompts)
    assert [a.object_id for a in predictions] == [p.object_id for p in prompts]
    alone = nano.decode(embedding, [prompts[33]])[0]
    assert alone.logits is not None
    np.testing.assert_allclose(predictions[33].logits, alone.logits, atol=1e-3)


# ---- windows ---------------------------------------------------------------------------------------------------------------


def test_levels_are_a_factor_of_root_two_apart() -> None:
    assert [choose_level(w) for w in (10, 128, 150, 160, 181, 256, 362)] == [128, 128, 128, 181, 181, 256, 362]


@pytest.mark.parametrize("extent", [40.0, 120.0, 300.0, 700.0, 5000.0])
@pytest.mark.parametrize("centre", [(0.0, 0.0), (427.0, 240.0), (853.0, 479.0)])
def test_a_window_holds_its_centre_and_positions_go_there_and_back(extent: float, centre: tuple[float, float]) -> None:
    window = make_window((480, 854), np.array(centre, np.float32), extent, 160, 453)
    at = window.to_window(np.array(centre, np.float32))
    assert (at >= 0).all()
    assert (at <= 160).all()
    np.testing.assert_allclose(window.to_frame(at), centre, atol=1e-2)


def test_a_pattern_stands_where_the_window_says_it_does(nano: NanoSegmenter) -> None:
    """The same spot seen through a shared level and through a window of its own has features at the same location."""
    frame = np.zeros((480, 854, 3), np.uint8)
    frame[240:248, 420:428] = 255
    runtime = OnnxRuntime(BUNDLED_WEIGHTS)
    for extent, shared in ((300.0, 1000), (300.0, 0), (120.0, 453)):
        window = make_window((480, 854), np.array([424.0, 244.0], np.float32), extent, 160, shared)
        assert (window.level is None) == (shared < 453 or extent < 200)
        encoded, blank = Encoded(frame), Encoded(np.zeros_like(frame))
        view = View.around(np.array([330.0, 200.0]), np.array([460.0, 280.0]), 0.35, (480, 854))
        maps = [encode_windows(e, [window], 160, runtime, [view])[0] for e in (encoded, blank)]
        difference = np.abs(maps[0].features[0] - maps[1].features[0]).sum((0, 1))
        y, x = np.unravel_index(difference.argmax(), difference.shape)
        seen = np.array([x + 0.5, y + 0.5]) * 2 - np.array([maps[0].x, maps[0].y])
        expected = window.to_window(np.array([424.0, 244.0], np.float32))
        assert np.abs(seen - expected).max() <= 5
        known = [encoded_window.salient for encoded_window in maps]
        assert known[0] is not None
        assert known[1] is not None
        difference = np.abs(known[0][0] - known[1][0]).sum((0, 1))
        y, x = np.unravel_index(difference.argmax(), difference.shape)
        scale = 160 / difference.shape[-1]
        assert np.abs(np.array([x + 0.5, y + 0.5]) * scale - expected).max() <= 8


def test_what_is_seen_of_a_view_lies_over_the_window_where_it_belongs() -> None:
    """A linear map of the frame stays that map, finer or coarser, and is 0 beyond the view."""
    side = 160
    seen = saliency_side(side)
    low, high = np.array([[-30.0, 12.0], [40.0, 50.0]]), np.array([[150.0, 300.0], [90.0, 70.0]])
    for (down, across), (fine, cell) in zip(lay_over(low, high, side), ((4, 2), (4, 4), (8, 8), (16, 16)), strict=True):
        for k in range(2):
            at_seen = [(np.arange(seen // fine) + 0.5) / (seen // fine) * (high[k, i] - low[k, i]) + low[k, i] for i in (0, 1)]
            ramp = at_seen[0][None] + 3 * at_seen[1][:, None]
            found = down[k] @ ramp @ across[k].T
            at = (np.arange(side // cell) + 0.5) * cell
            expected = at[None] + 3 * at[:, None]
            margin = 1.5 * np.maximum(cell, (high[k] - low[k]) * fine / seen)
            inner = [(at > low[k, i] + margin[i]) & (at < high[k, i] - margin[i]) for i in (0, 1)]
            outer = [(at < low[k, i]) | (at > high[k, i]) for i in (0, 1)]
            assert inner[0].any() or fine > 4
            cells = np.ix_(inner[1], inner[0])
            np.testing.assert_allclose(found[cells], expected[cells], rtol=0.02, atol=1)
            assert (found[outer[1]] == 0).all()
            assert (found[:, outer[0]] == 0).all()


def test_the_saliency_network_looks_at_the_positive_points_whatever_the_previous_mask(nano: NanoSegmenter) -> None:
    """A previous mask that has leaked must not choose what is seen: the point of having a second network."""
    seen: list[FloatArray] = []
    runtime = OnnxRuntime(BUNDLED_WEIGHTS)
    find = runtime.find_salient
    runtime.find_salient = lambda images, overlay: seen.append(images) or find(images, overlay)  # type: ignore
    segmenter = NanoSegmenter(runtime)
    mask = disc((240, 320), (100, 120), 40)
    frame = paint(mask)
    xy = [(float(x), float(y)) for x in range(75, 126, 10) for y in range(95, 146, 10)]
    embedding = segmenter.encode(frame[None])[0]
    for shown in (mask, disc((240, 320), (160, 120), 100)):
        segmenter.decode(embedding, [replace(prompt(xy), mask_logits=segmenter.make_mask_logits(shown))])
    np.testing.assert_array_equal(seen[0], seen[1])


def test_pictures_are_padded_with_zero_and_scaled_to_one() -> None:
    out = prepare_image(np.full((30, 50, 3), 255, np.uint8), (30, 50))
    assert out.shape == (1, 3, 32, 64)
    assert (out[0, :, :30, :50] == 1).all()
    assert not out[0, :, 30:].any()
    assert not out[0, :, :, 50:].any()


# ---- clicks ----------------------------------------------------------------------------------------------------------------


def test_a_click_of_a_person_has_its_sign_in_the_mask_and_a_tracked_point_is_only_evidence(nano: NanoSegmenter) -> None:
    """Clicks anywhere, against all likelihood too: in the middle of the object, on its border, far away, twice on a pixel."""
    mask = disc((240, 426), (200, 120), 70)
    frame = paint(mask)
    rng = np.random.default_rng(0)
    contradicted = 0
    for _ in range(4):
        xy = np.concatenate([[(200, 120)], rng.uniform(0, 1, (5, 2)) * (425, 239)]).astype(np.float32)
        signs = np.array([True, *rng.integers(0, 2, 5).astype(bool)])
        given = ObjectPrompt(1, xy, signs)
        predicted = predict(nano, frame, given)
        assert predicted.logits is not None
        columns, rows = np.rint(xy).astype(int).T
        assert ((predicted.logits[rows, columns] > 0) == signs).all()
        tracked = predict(nano, frame, replace(given, is_certain=np.zeros(len(xy), np.bool_)))
        assert tracked.logits is not None
        contradicted += int(((tracked.logits[rows, columns] > 0) != signs).sum())
        changed = (tracked.logits > 0) != (predicted.logits > 0)
        assert changed.mean() < 0.05
        again = predict(nano, frame, replace(given, mask_logits=predicted.low_res_logits))
        assert again.logits is not None
        assert ((again.logits[rows, columns] > 0) == signs).all()
    assert contradicted > 0


def test_a_prior_settles_what_the_points_leave_open(nano: NanoSegmenter) -> None:
    """Points on the left half of a thing: is it all of the object?"""
    whole = disc((240, 426), (200, 120), 60)
    right = whole & (np.arange(426) > 215)
    frame = paint(whole)
    xy = np.array([(x, y) for x in range(155, 196, 10) for y in range(90, 151, 15)], np.float32)
    tracked = ObjectPrompt(1, xy, np.ones(len(xy), np.bool_), is_certain=np.zeros(len(xy), np.bool_))
    cells = cv2.resize(whole.astype(np.float32), (26, 15), interpolation=cv2.INTER_AREA)
    all_of_it = np.where(cells > 0.5, 4, -4)
    half = np.where(np.arange(26) < 13, all_of_it, -4)
    found = {}
    for name, prior in (("all", all_of_it), ("half", half)):
        predicted = predict(nano, frame, replace(tracked, prior=prior))
        assert predicted.logits is not None
        found[name] = (predicted.logits > 0)[right].mean()
    assert found["all"] > 0.8
    assert found["half"] < 0.5


# ---- edges -----------------------------------------------------------------------------------------------------------------


def test_a_blurred_edge_moves_onto_the_edge_of_the_guide() -> None:
    mask = disc((160, 160), (80, 80), 41)
    coarse = np.where(mask[::4, ::4], 1, -1).astype(np.float32)
    coarse = np.roll(coarse, 1, 1)  # 4 pixels off
    plain = guided_upsample(coarse, paint(mask), 0, 1e-3) > 0
    sharp = guided_upsample(coarse, paint(mask), 3, 1e-3) > 0
    wrong = [(found ^ mask).sum() for found in (plain, sharp)]
    assert wrong[1] < 0.6 * wrong[0]


def test_on_a_flat_guide_the_filter_keeps_the_values_in_range() -> None:
    coarse = np.where(disc((40, 40), (20, 20), 10), 1, -1).astype(np.float32)
    out = guided_upsample(coarse, np.full((80, 80, 3), 90, np.uint8), 2, 1e-3)
    assert np.isfinite(out).all()
    assert np.abs(out).max() <= 1.001


# ---- weights and runtimes --------------------------------------------------------------------------------------------------


def test_the_bundled_weights_are_small() -> None:
    assert sum(path.stat().st_size for path in BUNDLED_WEIGHTS.iterdir()) <= 10e6


def test_without_the_pretrained_networks_both_runtimes_encode_alike_and_otherwise() -> None:
    pytest.importorskip("torch")
    from sampt.segmenters.nano.torch_runtime import TorchRuntime

    images = np.random.default_rng(0).uniform(-1, 1, (1, 3, 96, 128)).astype(np.float32)
    makers = (OnnxRuntime, lambda folder, **options: TorchRuntime(folder, "cpu", **options))
    bare, whole = ([make(BUNDLED_WEIGHTS, pretrained=p).encode(images)[0] for make in makers] for p in (False, True))
    for onnx, torch, more in zip(*bare, whole[0], strict=True):
        np.testing.assert_allclose(onnx, torch.numpy(), atol=1e-3)
        assert onnx.shape == more.shape
    assert all(np.abs(a - b).max() > 0.1 for a, b in zip(bare[0][1:], whole[0][1:], strict=True))


def test_pytorch_computes_what_onnx_runtime_computes() -> None:
    pytest.importorskip("torch")
    from sampt.segmenters.nano.torch_runtime import TorchRuntime

    rng = np.random.default_rng(0)
    onnx, torch = OnnxRuntime(BUNDLED_WEIGHTS), TorchRuntime(BUNDLED_WEIGHTS, "cpu")
    for side, height, width, n, points in ((160, 96, 160, 3, 7), (128, 208, 256, 1, 40), (64, 64, 64, 2, 1)):
        images = rng.uniform(-1, 1, (1, 3, height, width)).astype(np.float32)
        features = [runtime.encode(images)[0] for runtime in (onnx, torch)]
        for a, b in zip(*features, strict=True):
            np.testing.assert_allclose(a, b.numpy(), atol=1e-3)
        quarter = side // 4
        prompts = PromptArrays(
            np.ones((n, 1, quarter, quarter), np.float32),
            rng.uniform(0, side, (n, points, 2)).astype(np.float32),
            rng.integers(-1, 2, (n, points)).astype(np.float32),
            rng.uniform(0, side, (n, 4)).astype(np.float32),
            rng.uniform(0, 1, (n, 1, quarter, quarter)).astype(np.float32),
            rng.integers(0, 2, n).astype(np.float32),
            rng.uniform(0, 1, n).astype(np.float32),
            rng.uniform(-3, 3, (n, 1, quarter, quarter)).astype(np.float32),
        )
        large = saliency_side(side)
        windows = rng.uniform(-1, 1, (n, 3, large, large)).astype(np.float32)
        low, high = rng.uniform(-20, 20, (n, 2)), side + rng.uniform(-20, 20, (n, 2))
        seen = torch.find_salient(windows, lay_over(low, high, side))
        known = [[tuple(m.numpy() for m in maps) for maps in seen], seen]
        for salient in (known, [[None] * n] * 2):
            predictions = [
                runtime.decode([EncodedWindow(f, 16 * k, -16, found[k]) for k in range(n)], side, prompts)
                for runtime, f, found in zip((onnx, torch), features, salient, strict=True)
            ]
            np.testing.assert_allclose(predictions[0][0], predictions[1][0], atol=2e-3)
            np.testing.assert_allclose(predictions[0][1], predictions[1][1], atol=1e-4)


def test_saliency_in_integers_is_near_the_one_in_single_precision() -> None:
    """On photos; PyTorch and the float file agree to rounding."""
    torch_tensor = pytest.importorskip("torch").from_numpy
    from sampt.segmenters.nano.torch_runtime import TorchRuntime

    onnx, torch = OnnxRuntime(BUNDLED_WEIGHTS), TorchRuntime(BUNDLED_WEIGHTS, "cpu")
    whole = open_session(BUNDLED_WEIGHTS / "saliency.onnx", "nano")
    overlay = lay_over(np.zeros((1, 2)), np.full((1, 2), 160.0), 160)
    errors: list[float] = []
    for name in ("camel", "dog", "soapbox"):
        photo = cv2.imread(str(DAVIS / "JPEGImages" / "480p" / name / "00000.jpg"))[..., ::-1]
        view = View(100, 0, 700, 480).crop(photo, saliency_side(160))
        exact = torch.find_salient(view, overlay)[0]
        np.testing.assert_allclose(
            whole.run(None, {"picture": view})[0], torch._network.saliency(torch_tensor(view))[0].numpy(), atol=2e-3
        )
        for a, b in zip(onnx.find_salient(view, overlay)[0], exact, strict=True):
            errors.append(float(np.abs(a - b.numpy()).mean() / np.abs(b.numpy()).mean()))
    assert max(errors) < 0.25
    assert np.mean(errors) < 0.15


def test_without_saliency_the_network_that_finds_it_never_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the saliency network was run")

    monkeypatch.setattr(OnnxRuntime, "find_salient", refuse)
    mask = disc((96, 128), (60, 50), 22)
    given = prompt([(60, 50)])
    fast, whole = create_segmenter("nano-fast"), create_segmenter("nano")
    assert (fast.info.name, whole.info.name) == ("nano-fast", "nano")
    assert iou(predict(fast, paint(mask), given), mask) > 0.7
    with pytest.raises(AssertionError, match="was run"):
        predict(whole, paint(mask), given)


def test_a_dark_picture_is_as_salient_as_a_bright_one() -> None:
    """The network sees every image as bright as its brightest value makes it; what lies outside the frame does not count."""
    runtime = OnnxRuntime(BUNDLED_WEIGHTS)
    bright = np.full((1, 3, 80, 80), 0.0, np.float32)
    bright[:, :, :48] = np.random.default_rng(0).integers(0, 256, (1, 3, 48, 80)) / 127.5 - 1
    bright[0, 0, 0, 0] = 1.0
    dark = np.where(bright == 0, 0, (bright + 1) * 0.25 - 1).astype(np.float32)
    overlay = lay_over(np.zeros((1, 2)), np.full((1, 2), 40.0), 40)
    for a, b in zip(*(runtime.find_salient(x, overlay)[0] for x in (bright, dark)), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.slow
def test_random_weights_fill_the_contract_but_for_accuracy() -> None:
    torch = pytest.importorskip("torch")
    state = torch.random.get_rng_state()
    segmenter = create_segmenter("nano", weights=None)
    assert torch.equal(state, torch.random.get_rng_state())
    check_segmenter(segmenter, min_iou=None)


def test_a_missing_or_foreign_weight_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(BackendError, match=r"found no encoder\.onnx"):
        create_segmenter("nano", weights=str(tmp_path))
    for name in (*FILES, INT8_SALIENCY):
        (tmp_path / name).write_bytes(b"not a network")
    with pytest.raises(BackendError, match="cannot read its weights"):
        create_segmenter("nano", weights=str(tmp_path))
    for name in (*FILES, INT8_SALIENCY):
        (tmp_path / name).write_bytes((BUNDLED_WEIGHTS / "encoder.onnx").read_bytes())
    with pytest.raises(BackendError, match=r"decoder\.onnx with inputs"):
        create_segmenter("nano", weights=str(tmp_path))


def test_an_unknown_device_is_one_clear_error() -> None:
    pytest.importorskip("torch")
    with pytest.raises(BackendError, match="cannot run on device 'banana'"):
        create_segmenter("nano", device="banana")


def test_a_given_mask_comes_back_as_it_is_seen_in_a_window(nano: NanoSegmenter) -> None:
    """Of any size, as logits at the window's resolution: where it is put back on the frame it is the mask, and an empty click
    on something else does not move it."""
    for radius, centre in ((90, (200, 120)), (12, (400, 30)), (40, (3, 236))):
        mask = disc((240, 426), centre, radius)
        logits = nano.make_mask_logits(mask)
        assert logits.size_hw == (240, 426)
        y, x = np.nonzero(mask)
        at = np.floor(logits.window.to_window(np.stack([x, y], 1) + 0.5)).astype(int)
        inside = ((at >= 0) & (at < logits.logits.shape[0])).all(1)
        assert inside.all()
        assert (logits.logits[at[:, 1], at[:, 0]] > 0).mean() > 0.95
        area = (logits.logits > 0).sum() / np.prod(logits.window.scale)
        assert area == pytest.approx(mask.sum(), rel=0.06)
        found = predict(
            nano, paint(mask), ObjectPrompt(1, np.array([centre], np.float32), np.array([True]), mask_logits=logits)
        )
        assert iou(found, mask) > 0.9
