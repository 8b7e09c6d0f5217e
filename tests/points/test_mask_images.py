"""Every form in which images say what belongs to which object: one reader, whose table is in docs/queries.md."""

from __future__ import annotations

import io
import zlib
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image

from sampt.errors import QueryError, SamptError
from sampt.files.palette import PALETTE
from sampt.points.mask_images import VOID, MaskImage, read_mask_image

CASES = Path(__file__).parents[3] / "shared" / "cases" / "masks"
SIZE_HW = (60, 80)
YX = np.mgrid[: SIZE_HW[0], : SIZE_HW[1]]
DISC = np.hypot(YX[0] - 30, YX[1] - 25) < 15
SQUARE = (abs(YX[0] - 20) < 8) & (abs(YX[1] - 60) < 8)
IDS = (DISC + 2 * SQUARE).astype(np.uint8)
WHITE = (DISC * 255).astype(np.uint8)


def encoded(image: Any, format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    (image if isinstance(image, Image.Image) else Image.fromarray(image)).save(buffer, format, **options)
    return buffer.getvalue()


def palette_image(indices: np.ndarray, colors: Any = PALETTE) -> Image.Image:
    image = Image.fromarray(indices.astype(np.uint8))
    image.putpalette(np.asarray(colors, np.uint8).tobytes())
    return image


def with_alpha(rgb: Any, alpha: np.ndarray) -> np.ndarray:
    return np.dstack([np.broadcast_to(np.asarray(rgb, np.uint8), (*SIZE_HW, 3)), alpha.astype(np.uint8)])


def blurred(mask: np.ndarray, sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(mask.astype(np.uint8) * 255, (0, 0), sigma)


def ids(image: Any, **options: Any) -> np.ndarray:
    return read_mask_image(image if isinstance(image, bytes) else encoded(image), **options).ids()


NUMBERED = {
    "palette": palette_image(IDS),
    "palette of other colours": palette_image(IDS, [[255, 255, 255], [0, 0, 0], [7, 9, 200]]),
    "grey": IDS,
    "equal bands": np.dstack([IDS] * 3),
    "equal bands and alpha": with_alpha(IDS[..., None], np.full(SIZE_HW, 255)),
    "16 bits": IDS.astype(np.uint16),
    "32 bits": encoded(Image.fromarray(IDS.astype(np.int32)), "TIFF"),
    "whole fractions": encoded(Image.fromarray(IDS.astype(np.float32)), "TIFF"),
    "DAVIS colours": PALETTE[IDS],
    "DAVIS colours, transparent": with_alpha(PALETTE[IDS], (IDS > 0) * 255),
    "other colours": np.array([[0, 0, 0], [255, 90, 0], [0, 90, 255]], np.uint8)[np.where(IDS, 3 - IDS, 0)],
}


@pytest.mark.parametrize("kind", NUMBERED)
def test_ids_are_read_from_every_form(kind: str) -> None:
    if kind == "other colours":  # numbered as they appear: the square begins further up
        np.testing.assert_array_equal(ids(NUMBERED[kind]), np.where(IDS, 3 - IDS, 0))
    else:
        np.testing.assert_array_equal(ids(NUMBERED[kind]), IDS)


@pytest.mark.parametrize("scale", [1, 7, 40, 90, 127])
def test_ids_with_gaps_stay_as_they_are(scale: int) -> None:
    np.testing.assert_array_equal(ids((IDS * scale).astype(np.uint8)), IDS.astype(np.int64) * scale)
    np.testing.assert_array_equal(ids(IDS.astype(np.uint16) * 200 * scale), IDS.astype(np.int64) * 200 * scale)


ONE_OBJECT = {
    "0 and 255": WHITE,
    "one bit": Image.fromarray(DISC),
    "16 bits, 255": WHITE.astype(np.uint16),
    "16 bits, 65535": WHITE.astype(np.uint16) * 257,
    "white with alpha": with_alpha([255, 255, 255], WHITE),
    "black with alpha": with_alpha([0, 0, 0], WHITE),
    "one colour": np.where(DISC[..., None], [255, 0, 0], 0).astype(np.uint8),
    "an image cut out": with_alpha(np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3)), WHITE),
    "a grey photograph cut out": with_alpha(np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 1)), WHITE),
    "GIF": encoded(Image.fromarray(WHITE), "GIF"),
    "JPEG": encoded(WHITE, "JPEG", quality=75),
    "colour JPEG": encoded(np.dstack([WHITE] * 3), "JPEG", quality=75),
    "JPEG saved again": np.asarray(Image.open(io.BytesIO(encoded(WHITE, "JPEG", quality=75)))),
}


@pytest.mark.parametrize("kind", ONE_OBJECT)
def test_one_object(kind: str) -> None:
    np.testing.assert_array_equal(ids(ONE_OBJECT[kind]), DISC)


SOFT = {
    "slightly": blurred(DISC, 0.6),
    "smoothed": blurred(DISC, 1.0),
    "feathered": blurred(DISC, 3.0),
    "in three bands": np.dstack([blurred(DISC, 1.0)] * 3),
    "16 bits": blurred(DISC, 1.0).astype(np.uint16) * 257,
    "grey palette": palette_image(blurred(DISC, 1.0), np.repeat(np.arange(256)[:, None], 3, 1)),
    "one colour": np.dstack([blurred(DISC, 1.0), np.zeros((*SIZE_HW, 2), np.uint8)]),
    "alpha": with_alpha([255, 255, 255], blurred(DISC, 1.0)),
}


@pytest.mark.parametrize("kind", SOFT)
def test_soft_edges_are_cut_in_the_middle(kind: str) -> None:
    sigma = {"slightly": 0.6, "feathered": 3.0}.get(kind, 1.0)
    image = read_mask_image(encoded(SOFT[kind]))
    top = int(blurred(DISC, sigma).max())
    np.testing.assert_array_equal(image.ids(), blurred(DISC, sigma) >= -(-top // 2))
    assert kind == "alpha" or any("soft" in note or "colors" in note for note in image.notes)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_255_beside_small_ids_is_void(dtype: Any) -> None:
    band = cv2.dilate(DISC.astype(np.uint8), np.ones((5, 5))) - DISC
    image = read_mask_image(encoded(np.where(band, VOID, IDS).astype(dtype)))
    np.testing.assert_array_equal(image.ids(), np.where(band, 0, IDS))
    np.testing.assert_array_equal(image.void, band)  # type: ignore[arg-type]
    wide = read_mask_image(encoded(np.where(band, 65535, IDS).astype(np.uint16)))
    np.testing.assert_array_equal(wide.void, band)  # type: ignore[arg-type]
    large = read_mask_image(encoded(np.where(SQUARE, 255, DISC * 120).astype(dtype)))
    assert (large.void, large.present) == (None, [120, 255])  # no id beside it is small


def test_thin_objects_are_no_soft_edges() -> None:
    lines = np.zeros(SIZE_HW, np.uint8)
    lines[10, 5:70], lines[20:22, 5:70], lines[30:50, 30:60] = 1, 40, 2
    lines[52:55, :] = 255
    np.testing.assert_array_equal(ids(lines), np.where(lines == 255, 0, lines))


def test_many_ids_that_fill_areas_are_ids() -> None:
    many = np.kron(np.arange(1, 193, dtype=np.uint8).reshape(12, 16), np.ones((5, 5), np.uint8))
    np.testing.assert_array_equal(ids(many), many)


def test_an_image_is_turned_as_its_tag_says() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # lies on its left side
    data = encoded(np.rot90(WHITE), "JPEG", quality=95, exif=exif)
    np.testing.assert_array_equal(ids(data, size_hw=SIZE_HW), DISC)


def test_transparent_palette_entries_are_background() -> None:
    np.testing.assert_array_equal(ids(encoded(palette_image(IDS), transparency=2)), DISC)


def test_nothing_visible_is_nothing() -> None:
    assert not ids(with_alpha([9, 9, 9], np.zeros(SIZE_HW))).any()


REFUSED = {
    "an image": np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3)).astype(np.uint8),
    "a grey photograph": np.random.default_rng(0).integers(0, 255, SIZE_HW).astype(np.uint8),
    "a photograph": encoded(np.random.default_rng(0).integers(0, 255, (*SIZE_HW, 3)).astype(np.uint8), "JPEG"),
    "ids in a JPEG": encoded(IDS, "JPEG"),
    "colours in a JPEG": encoded(PALETTE[IDS], "JPEG"),
    "colours without a background": np.array([[255, 90, 0], [0, 90, 255]], np.uint8)[DISC.astype(int)],
    "several pages": encoded(Image.fromarray(IDS), "TIFF", save_all=True, append_images=[Image.fromarray(IDS)]),
    "fractions": encoded(Image.fromarray(DISC.astype(np.float32) / 3), "TIFF"),
    "negative": encoded(Image.fromarray(-DISC.astype(np.int32)), "TIFF"),
    "no image": b"text",
    "nothing": b"",
    "cut off": encoded(IDS)[:-30],
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_is_no_mask_is_refused(kind: str) -> None:
    with pytest.raises(QueryError) as caught:
        ids(REFUSED[kind])
    assert "\n" not in str(caught.value)


def test_another_size_is_refused_before_anything_is_decoded() -> None:
    cut = encoded(IDS)[:60]
    with pytest.raises(QueryError, match="80x60 pixels; expected the frames' size, 40x30"):
        read_mask_image(cut, size_hw=(30, 40))
    header = bytearray(encoded(IDS))
    header[16:24] = (9000).to_bytes(4) * 2
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4)
    with pytest.raises(SamptError, match="9000x9000"):
        read_mask_image(bytes(header))


def test_other_colors_are_refused_where_ids_must_agree() -> None:
    np.testing.assert_array_equal(ids(PALETTE[IDS], has_other_colors=False), IDS)
    with pytest.raises(QueryError, match="not of the DAVIS palette"):
        ids(NUMBERED["other colours"], has_other_colors=False)


@pytest.mark.skipif(not CASES.exists(), reason="the shared cases are not here")
@pytest.mark.parametrize(
    ("name", "areas"),
    [("void.png", [1009, 676]), ("rgb.png", [1009, 676]), ("bin.jpg", [1009]), ("aa.png", [1009]), ("white_alpha.png", [1009])],
)
def test_the_shared_images(name: str, areas: list[int]) -> None:
    image: MaskImage = read_mask_image(CASES / name)
    assert np.bincount(image.ids().ravel())[1:].tolist() == areas
    assert bool(image.notes) == (name in ("bin.jpg", "aa.png"))
