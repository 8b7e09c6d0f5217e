from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sampt.errors import VideoError
from sampt.video.frame_names import natural_order
from sampt.video.image_files import read_image
from sampt.video.images import ImageVideo

ORIENTATION = 0x0112


def _flat(path: Path, size_hw: tuple[int, int] = (8, 12), value: int = 0) -> Path:
    Image.fromarray(np.full((*size_hw, 3), value, np.uint8)).save(path)
    return path


def test_natural_order_counts() -> None:
    names = ["img10.png", "img2.png", "IMG1.png", "a/9.png", "a/10.png", "img02.png"]
    assert [str(p) for p in natural_order(map(Path, names))] == [
        "a/9.png",
        "a/10.png",
        "IMG1.png",
        "img02.png",
        "img2.png",
        "img10.png",
    ]


def test_frames_are_named_by_stem_and_read_in_any_window(tmp_path: Path) -> None:
    video = ImageVideo([_flat(tmp_path / f"f{i}.png", value=i) for i in (3, 7, 11)], "frames")
    assert (video.num_frames, video.size_hw, video.fps, video.label) == (3, (8, 12), 24.0, "frames")
    assert [video.frame_name(i) for i in range(3)] == ["f3", "f7", "f11"]
    assert video.read(1, 3)[:, 0, 0, 0].tolist() == [7, 11]
    assert video.read(3, 3).shape == (0, 8, 12, 3)
    with pytest.raises(VideoError, match="Frames 2 to 4 were requested of frames, which has 3"):
        video.read(2, 4)


def test_the_first_two_sizes_that_differ_are_named(tmp_path: Path) -> None:
    paths = [
        _flat(tmp_path / "a.png"),
        _flat(tmp_path / "b.png"),
        _flat(tmp_path / "c.png", (8, 10)),
        _flat(tmp_path / "d.png", (4, 4)),
    ]
    with pytest.raises(VideoError, match=r"a\.png is 12x8, .*c\.png is 10x8\. Resize"):
        ImageVideo(paths, "frames")


def test_two_files_with_one_stem_are_named(tmp_path: Path) -> None:
    with pytest.raises(VideoError, match=r"a\.jpg and .*a\.png share the name 'a'"):
        ImageVideo([_flat(tmp_path / "a.jpg"), _flat(tmp_path / "a.png")], "frames")


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
def test_exif_orientation_is_applied(suffix: str, tmp_path: Path) -> None:
    stored = np.zeros((16, 32, 3), np.uint8)
    stored[:8, :8] = 255  # the top-left corner, which orientation 6 (turn clockwise) shows at the top right
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    path = tmp_path / f"a.{suffix}"
    Image.fromarray(stored).save(path, exif=exif, quality=95)
    video = ImageVideo([path], "frames")
    assert video.size_hw == (32, 16)
    frame = video.read(0, 1)[0]
    assert frame[2, 13].min() > 240
    assert max(frame[2, 2].max(), frame[29, 2].max(), frame[29, 13].max()) < 15


def test_sixteen_bit_grey_keeps_its_upper_bits(tmp_path: Path) -> None:
    grey = np.array([[0, 255, 256, 32768, 65535]], np.uint16)
    for name in ("a.png", "a.tif"):
        Image.fromarray(grey).save(tmp_path / name)
        assert read_image(tmp_path / name)[0].tolist() == [[v] * 3 for v in (0, 0, 1, 128, 255)]


def test_sixteen_bit_rgb_keeps_its_upper_bits(tmp_path: Path) -> None:
    import cv2

    rgb = np.array([[[0, 255, 256], [32768, 40000, 65535]]], np.uint16)
    cv2.imwrite(str(tmp_path / "a.png"), rgb[..., ::-1])
    assert read_image(tmp_path / "a.png")[0].tolist() == [[0, 0, 1], [128, 156, 255]]


def test_other_modes_become_rgb(tmp_path: Path) -> None:
    colors = [(255, 0, 0), (0, 128, 0), (10, 20, 30)]
    rgb = Image.fromarray(np.array([colors], np.uint8))
    rgb.quantize(8).save(tmp_path / "palette.png")
    with_alpha = Image.fromarray(
        np.array([[(*color, alpha) for color, alpha in zip(colors, (0, 128, 255), strict=True)]], np.uint8)
    )
    with_alpha.save(tmp_path / "alpha.png")
    for name in ("palette.png", "alpha.png"):  # alpha is dropped: the colour below a transparent pixel is kept
        assert read_image(tmp_path / name)[0].tolist() == [list(c) for c in colors], name
    Image.fromarray(np.array([[0, 77, 255]], np.uint8)).save(tmp_path / "grey.png")
    assert read_image(tmp_path / "grey.png")[0].tolist() == [[v] * 3 for v in (0, 77, 255)]
    Image.fromarray(np.array([[False, True]])).save(tmp_path / "bits.png")
    assert read_image(tmp_path / "bits.png")[0].tolist() == [[0] * 3, [255] * 3]
    Image.new("CMYK", (16, 16), (0, 255, 255, 0)).save(tmp_path / "cmyk.jpg", quality=95)
    assert np.abs(read_image(tmp_path / "cmyk.jpg")[8, 8].astype(int) - (255, 0, 0)).max() < 6


def test_pixels_without_a_known_range_are_refused(tmp_path: Path) -> None:
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "depth.tif")
    with pytest.raises(VideoError, match=r"depth\.tif has 32-bit pixels \(mode F\), expected 8 or 16 bits"):
        read_image(tmp_path / "depth.tif")


@pytest.mark.parametrize("suffix", ["jpg", "png", "bmp", "tif", "webp"])
def test_a_truncated_image_is_named(suffix: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    first, second = tmp_path / f"a.{suffix}", tmp_path / f"b.{suffix}"
    Image.fromarray(noise).save(first)
    second.write_bytes(first.read_bytes()[: first.stat().st_size // 2])
    with pytest.raises(VideoError, match=rf"Image .*b\.{suffix} cannot be read: .*\. Replace the file or take it out\."):
        ImageVideo([first, second], "frames").read(0, 2)


def test_a_text_file_with_an_image_ending_is_named_when_opened(tmp_path: Path) -> None:
    (tmp_path / "b.jpg").write_text("no image")
    with pytest.raises(VideoError, match=r"Image .*b\.jpg cannot be read"):
        ImageVideo([_flat(tmp_path / "a.jpg"), tmp_path / "b.jpg"], "frames")
