"""Frames to the square of the Segment Anything family and logits back, as the official program does it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")

from sampt.segmenters.sam import resizing  # noqa: E402
from sampt.segmenters.sam.resizing import Fit, find_boxes, find_boxes_low_res, resize_bilinear, to_square, upsample  # noqa: E402

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
    assert find_boxes(logits).tolist()[0] == [7, 4, 20, 8, 70]
    assert find_boxes(logits).tolist()[1] == [29, 19, 29, 19, 1]
    assert find_boxes(logits).tolist()[2][4] == 0


LOW_SIDE = 256
NEARLY = 1e-4
"""Pixels whose logits are as near to 0, of up to some 10, may lie on either side of it."""
FRAMES = [
    (480, 854),
    (97, 61),
    (61, 97),
    (1, 300),
    (300, 1),
    (1, 1),
    (3000, 40),
    (40, 8192),
    (1024, 1024),
    (1500, 1100),
    (7, 1025),
]


def smooth_logits(count: int, seed: int) -> torch.Tensor:
    """(n, 256, 256): soft blobs of any size and location over a background of any depth, some far beside a wide frame."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:LOW_SIDE, :LOW_SIDE]
    out = []
    for _ in range(count):
        logits = np.full((LOW_SIDE, LOW_SIDE), -rng.uniform(0.05, 3))
        for _ in range(rng.integers(1, 4)):
            centre, radius = rng.uniform(0, LOW_SIDE, 2), np.exp(rng.uniform(np.log(0.7), np.log(90), 2))
            logits += rng.uniform(-4, 10) * np.exp(-(((y - centre[0]) / radius[0]) ** 2 + ((x - centre[1]) / radius[1]) ** 2))
        out.append(logits)
    return torch.tensor(np.array(out), dtype=torch.float32)


def check_boxes(found: torch.Tensor, full: torch.Tensor) -> None:
    """Boxes and counts of (n, h, w) logits, where pixels that are nearly 0 may count or not."""
    minimum, limit = find_boxes(full - NEARLY).tolist(), find_boxes(full + NEARLY).tolist()
    for (x0, y0, x1, y1, count), inner, outer in zip(found.tolist(), minimum, limit, strict=True):
        assert inner[4] <= count <= outer[4]
        if count:
            assert outer[0] <= x0 <= x1 <= outer[2]
            assert outer[1] <= y0 <= y1 <= outer[3]
        if inner[4]:
            assert x0 <= inner[0] <= inner[2] <= x1
            assert y0 <= inner[1] <= inner[3] <= y1


def fits(size_hw: tuple[int, int]) -> list[Fit]:
    return [Fit.of(size_hw, 4 * LOW_SIDE), Fit.stretched(size_hw, 4 * LOW_SIDE)]


@pytest.mark.parametrize("size_hw", FRAMES, ids=str)
def test_boxes_from_low_resolution_are_those_of_full_size(size_hw: tuple[int, int]) -> None:
    low_res = smooth_logits(12, seed=size_hw[0])
    for fit in fits(size_hw):
        full = upsample(low_res, fit)
        check_boxes(find_boxes_low_res(low_res, fit), full)
        down, across = resizing._upsampling(fit, LOW_SIDE, CPU)  # as on other devices: all of the frame
        check_boxes(find_boxes(down @ low_res @ across.T), full)


@pytest.mark.parametrize("size_hw", FRAMES, ids=str)
def test_single_locations_and_the_frames_edges_have_boxes(size_hw: tuple[int, int]) -> None:
    for fit in fits(size_hw):
        used = [-(-length // 4) for length in fit.resized_hw]
        corners = [(0, 0), (used[0] - 1, used[1] - 1), (0, used[1] // 2), (used[0] // 2, 0)]
        low_res = torch.full((len(corners), LOW_SIDE, LOW_SIDE), -0.01)
        for k, (row, column) in enumerate(corners):
            low_res[k, row, column] = 5
        full = upsample(low_res, fit)
        assert min(size_hw) < 200 or (find_boxes(full)[:, 4] > 0).all()  # smaller frames may step over a location
        check_boxes(find_boxes_low_res(low_res, fit), full)


def test_masks_that_are_empty_or_only_beside_the_frame_have_none() -> None:
    for size_hw in ((480, 854), (854, 480), (1, 300), (40, 8192)):
        fit = Fit.of(size_hw, 4 * LOW_SIDE)
        low_res = torch.full((3, LOW_SIDE, LOW_SIDE), -1.0)
        beside = -(-min(fit.resized_hw) // 4) + 2
        axis = int(size_hw[0] > size_hw[1])
        low_res[1].transpose(0, axis)[beside:] = 3.0
        low_res[2] = 0.0  # not more than 0
        assert find_boxes(upsample(low_res, fit))[:, 4].tolist() == [0, 0, 0]
        assert find_boxes_low_res(low_res, fit)[:, 4].tolist() == [0, 0, 0]
        low_res[1] = 3.0
        assert find_boxes_low_res(low_res, fit)[1].tolist() == [0, 0, size_hw[1] - 1, size_hw[0] - 1, size_hw[0] * size_hw[1]]


@pytest.mark.parametrize("size_hw", [(8192, 8192), (480, 854)], ids=str)
def test_upsampling_by_matrices_takes_no_memory_for_whole_frames(size_hw: tuple[int, int]) -> None:
    for fit in fits(size_hw):
        made = resizing._upsampling(fit, LOW_SIDE, CPU)  # for 8192 x 8192 pixels 256 frames would be 64 GiB
        for matrix, length in zip(made, size_hw, strict=True):
            assert matrix.shape == (length, LOW_SIDE)
            assert (matrix >= 0).all()
            assert (matrix.sum(1) - 1).abs().max() < 1e-5
