"""Which files are frames, what their pages and samples are: read rightly, or reported in one line."""

from __future__ import annotations

import pickle
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from sampt.errors import VideoError
from sampt.video.image_files import image_facts, read_image
from sampt.video.images import ImageVideo
from sampt.video.open import open_video

CASES = Path(__file__).resolve().parents[3] / "shared" / "cases" / "frames"


def flat(path: Path, value: int = 0, size_hw: tuple[int, int] = (8, 12)) -> Path:
    Image.fromarray(np.full((*size_hw, 3), value, np.uint8)).save(path, "PNG" if path.suffix != ".jfif" else None)
    return path


def names_of(folder: Path) -> list[str]:
    video = open_video(folder)
    return [video.frame_name(i) for i in range(video.num_frames)]


@pytest.fixture
def numbered(tmp_path: Path) -> Path:
    """A folder of four numbered frames."""
    folder = tmp_path / "frames"
    folder.mkdir()
    for i in range(4):
        flat(folder / f"{i:03d}.png", i)
    return folder


@pytest.mark.parametrize(
    "other", ["mask.png", "mask_003.png", "000-mask.png", "segmentation_1.png", "overlay.png", "first.png"]
)
def test_an_image_named_otherwise_is_no_frame(other: str, numbered: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat(numbered / other)
    assert names_of(numbered) == ["000", "001", "002", "003"]
    assert sum(other in message for message in caplog.messages) == 1
    # Whoever names it by a pattern means it.
    assert open_video(str(numbered / "*.png")).num_frames == 5


def test_masks_between_frames_are_no_frames(numbered: Path) -> None:
    for i in range(4):
        flat(numbered / f"{i:03d}_mask.png")
    assert names_of(numbered) == ["000", "001", "002", "003"]


def test_names_that_all_say_the_same_are_frames(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("mask_1.png", "mask_2.png", "mask_10.png"):
        flat(tmp_path / name)
    assert names_of(tmp_path) == ["mask_1", "mask_2", "mask_10"]
    assert not caplog.messages
    words = tmp_path / "words"
    words.mkdir()
    for name in ("one.png", "two.png", "three.png", "4.png"):
        flat(words / name)
    assert len(names_of(words)) == 4


def test_frames_with_names_of_two_kinds_are_all_taken_and_told(numbered: Path, caplog: pytest.LogCaptureFixture) -> None:
    flat(numbered / "retake_2.png")
    assert len(names_of(numbered)) == 5
    assert sum("retake_2.png" in message for message in caplog.messages) == 1


def test_all_endings_of_an_image_that_can_be_read_are_taken_and_others_told(
    numbered: Path, caplog: pytest.LogCaptureFixture
) -> None:
    for i, suffix in enumerate((".jfif", ".JPE", ".dib", ".pnm", ".jp2", ".tga", ".avif"), 4):
        flat(numbered / f"{i:03d}{suffix}")
    assert names_of(numbered) == [f"{i:03d}" for i in range(11)]
    assert not caplog.messages
    (numbered / "011.heic").write_bytes(b"?")
    (numbered / "notes.txt").write_text("no image")
    assert len(names_of(numbered)) == 11
    assert [("011.heic" in m, "notes" in m) for m in caplog.messages] == [(True, False)]


def test_every_page_of_a_stack_is_a_frame(tmp_path: Path) -> None:
    pages = [Image.fromarray(np.full((8, 12), i, np.uint8)) for i in range(12)]
    (tmp_path / "s").mkdir()
    path = tmp_path / "s" / "stack.tif"
    pages[0].save(path, save_all=True, append_images=pages[1:])
    for source in (path, tmp_path / "s", str(tmp_path / "s" / "*.tif")):
        video = open_video(source)
        assert (video.num_frames, video.size_hw, video.frame_name(11)) == (12, (8, 12), "00011")
        assert video.read(0, 12)[:, 0, 0].tolist() == [[i] * 3 for i in range(12)]
        assert [video.read(i, i + 1)[0, 0, 0, 0] for i in (11, 0, 5)] == [11, 0, 5]
    assert np.array_equal(pickle.loads(pickle.dumps(video)).read(3, 5), video.read(3, 5))
    Image.fromarray(np.zeros((8, 12), np.uint8)).save(tmp_path / "s" / "a1.png")
    assert names_of(tmp_path / "s") == ["a1", *(f"stack-{i:05d}" for i in range(12))]
    with pytest.raises(VideoError, match="is one image"):
        open_video(flat(tmp_path / "one.tif"))


def test_thumbnails_and_masks_in_a_tiff_are_no_pages(tmp_path: Path) -> None:
    big, small = (Image.fromarray(np.full(size, 7, np.uint8)) for size in ((8, 12), (4, 6)))
    path = tmp_path / "a.tif"
    big.save(path, save_all=True, append_images=[small])
    assert image_facts(path).pages == (0,)


def test_an_animation_has_its_frames_and_times(tmp_path: Path) -> None:
    frames = [Image.fromarray(np.full((8, 12, 3), value, np.uint8)) for value in (10, 90, 170, 250)]
    lasting = [40, 200, 80, 500]
    for name, how in (("a.webp", {"lossless": True}), ("a.png", {}), ("b.apng", {"format": "PNG"})):
        path = tmp_path / name
        frames[0].save(path, save_all=True, append_images=frames[1:], duration=lasting, **how)
        video = open_video(path)
        assert (video.num_frames, video.size_hw) == (4, (8, 12)), name
        assert video.read(0, 4)[:, 3, 3, 0].tolist() == [10, 90, 170, 250]
        assert [video.duration_s(i) for i in range(4)] == pytest.approx([0.04, 0.2, 0.08, 0.5])
        assert [video.time_s(i) for i in range(4)] == pytest.approx([0, 0.04, 0.24, 0.32])
        assert video.fps == pytest.approx(4 / 0.82)
        assert video.read(1, 2)[0, 0, 0, 0] == 90  # backward


def deep(folder: Path, kind: str, largest: int, count: int = 3) -> Path:
    """Frames of 16 bits whose samples go up to ``largest``; the sample in the corner is 512 times the frame's number."""
    folder.mkdir()
    for i in range(count):
        samples = np.linspace(0, largest, 96).astype(np.uint16).reshape(8, 12)
        samples[0, 0] = 256 * i
        image = samples if kind.startswith("grey") else np.repeat(samples[..., None], 3, axis=2)
        assert cv2.imwrite(str(folder / f"{i}{kind.split()[1]}"), image)
    return folder


@pytest.mark.parametrize("kind", ["grey .png", "grey .tif", "grey .pgm", "colour .png", "colour .tif", "colour .ppm"])
def test_samples_of_ten_bits_in_sixteen_are_not_black(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    video = open_video(deep(tmp_path / "low", kind, 1023))
    frames = video.read(0, 3)
    assert frames[:, -1, -1].tolist() == [[255] * 3] * 3
    assert frames[:, 0, 0, 1].tolist() == [0, 64, 128]  # one scale for all frames
    assert sum("1023" in message for message in caplog.messages) == 1
    caplog.clear()
    full = open_video(deep(tmp_path / "full", kind, 65535)).read(0, 3)
    assert full[:, -1, -1].tolist() == [[255] * 3] * 3
    assert full[:, 0, 0, 1].tolist() == [0, 1, 2]
    assert not caplog.messages


def test_what_a_file_says_of_its_samples_is_believed(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples = np.full((4, 4), 300, np.uint16)
    Image.fromarray(samples).save(tmp_path / "a.tif", tiffinfo={281: 4095})
    assert ImageVideo([tmp_path / "a.tif"], "a").read(0, 1).max() == 300 >> 4
    info = PngInfo()
    info.add(b"sBIT", bytes([12]))
    Image.fromarray(samples).save(tmp_path / "b.png", pnginfo=info)
    assert ImageVideo([tmp_path / "b.png"], "b").read(0, 1).max() == 300 >> 4
    assert not caplog.messages


def test_deep_colors_are_turned_upright(tmp_path: Path) -> None:
    for orientation in range(1, 9):
        stored = np.arange(2 * 3 * 3, dtype=np.uint16).reshape(2, 3, 3) * 3000
        exif = Image.Exif()
        exif[0x0112] = orientation
        path = tmp_path / f"{orientation}.png"
        shallow = (stored >> 8).astype(np.uint8)
        Image.fromarray(shallow).save(tmp_path / "shallow.png", exif=exif)
        chunk = cv2.imencode(".png", stored[..., ::-1])[1].tobytes()
        data = (tmp_path / "shallow.png").read_bytes()
        start = data.index(b"eXIf") - 4
        length = int.from_bytes(data[start : start + 4], "big") + 12
        path.write_bytes(chunk[:33] + data[start : start + length] + chunk[33:])
        assert np.array_equal(read_image(path), read_image(tmp_path / "shallow.png")), orientation


def test_programs_are_not_started_by_an_image(tmp_path: Path) -> None:
    (tmp_path / "0.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\nshowpage\n")
    with pytest.raises(VideoError, match="cannot identify"):
        open_video(tmp_path)


@pytest.mark.skipif(not CASES.exists(), reason=f"{CASES} is not there")
def test_the_frames_of_the_cases(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    counts = {"withmask": 12, "jfif": 12, "stack": 12, "i16low": 4}
    for name, count in counts.items():
        shutil.copytree(CASES / name, tmp_path / name)
        caplog.clear()
        video = open_video(tmp_path / name)
        assert video.num_frames == count, name
        assert len(caplog.messages) == (name in ("withmask", "i16low"))
    assert open_video(tmp_path / "i16low").read(0, 4).max() > 200
