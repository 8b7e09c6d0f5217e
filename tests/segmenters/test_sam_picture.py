"""Frames to the square of the Segment Anything family and logits back, as the official program does it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")

from sampt.segmenters.sam.picture import Fit, boxes_of, resize_bilinear, to_square, upsample  # noqa: E402

CPU = torch.device("cpu")

SIZES = [(480, 854), (97, 61), (61, 97), (1, 300), (300, 1), (1023, 1024), (1111, 1500), (2160, 1217), (7, 1025), (3, 3)]


@pytest.mark.parametrize("size_hw", SIZES)
def test_resizing_equals_pillow_to_the_bit(size_hw: tuple[int, int]) -> None:
    frame = np.random.default_rng(0).integers(0, 256, (*size_hw, 3), dtype=np.uint8)
    height, width = Fit.of(size_hw, 1024).resized_hw
    expected = np.asarray(Image.fromarray(frame).resize((width, height), Image.Resampling.BILINEAR))
    assert np.array_equal(resize_bilinear(torch.from_numpy(frame[None]), (height, width))[0].numpy(), expected)


def test_the_square_is_normalised_and_padded_with_zeros() -> None:
    frame = np.zeros((60, 100, 3), np.uint8)
    frame[:] = (255, 0, 128)
    fit = Fit.of((60, 100), 128)
    assert fit.resized_hw == (77, 128)  # 76.8
    square = to_square(frame[None], fit, CPU)
    assert square.shape == (1, 3, 128, 128)
    expected = [(255 - 123.675) / 58.395, (0 - 116.28) / 57.12, (128 - 103.53) / 57.375]
    assert np.abs(square[0, :, :77].numpy() - np.array(expected)[:, None, None]).max() < 1e-6
    assert not square[0, :, 77:].any()


@pytest.mark.parametrize(
    ("size_hw", "resized_hw"), [((480, 854), (576, 1024)), ((1, 5000), (1, 1024)), ((8192, 8192), (1024, 1024))]
)
def test_frames_of_any_shape_fill_the_longest_side(size_hw: tuple[int, int], resized_hw: tuple[int, int]) -> None:
    assert Fit.of(size_hw, 1024).resized_hw == resized_hw


def test_points_are_scaled_as_the_official_program_scales_them() -> None:
    fit = Fit.of((480, 854), 1024)
    scaled = fit.scale_xy(np.array([[0, 0], [427, 240], [853, 479]], np.float32))
    assert scaled == pytest.approx(np.array([[0, 0], [512, 288], [853 * 1024 / 854, 479 * 1.2]]), abs=1e-3)


@pytest.mark.parametrize("size_hw", [(480, 854), (97, 61), (1, 300), (333, 500), (1500, 1100)])
def test_upsampling_is_that_of_the_official_program(size_hw: tuple[int, int]) -> None:
    fit = Fit.of(size_hw, 1024)
    low = torch.randn((2, 256, 256), generator=torch.Generator().manual_seed(0))
    square = torch.nn.functional.interpolate(low[:, None], (1024, 1024), mode="bilinear", align_corners=False)
    cut = square[..., : fit.resized_hw[0], : fit.resized_hw[1]]
    expected = torch.nn.functional.interpolate(cut, size_hw, mode="bilinear", align_corners=False)[:, 0]
    assert (upsample(low, fit) - expected).abs().max() < 1e-5


def test_boxes_are_the_first_and_last_pixels_above_zero() -> None:
    logits = torch.full((3, 20, 30), -1.0)
    logits[0, 4:9, 7:21] = 1
    logits[1, 19, 29] = 1
    assert boxes_of(logits).tolist()[0] == [7, 4, 20, 8, 70]
    assert boxes_of(logits).tolist()[1] == [29, 19, 29, 19, 1]
    assert boxes_of(logits).tolist()[2][4] == 0
