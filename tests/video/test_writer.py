from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from sampt.errors import OutputError
from sampt.video import writer as writer_module
from sampt.video.file import VideoFile
from sampt.video.writer import VideoWriter


def _scene(num_frames: int, size_hw: tuple[int, int]) -> np.ndarray:
    """Smooth moving colours with one coloured square each frame: what x264 keeps nearly as it is."""
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    frames = [
        np.stack([120 + 60 * np.sin((x + i) / 20), 120 + 60 * np.cos((y + i) / 15), 100 + 40 * np.sin((x + y) / 30)], -1)
        for i in range(num_frames)
    ]
    return np.stack(frames).astype(np.uint8)


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    frames = _scene(30, (72, 96))
    with VideoWriter(tmp_path / "a.mp4", 25, (72, 96)) as writer:
        assert not (tmp_path / "a.mp4").exists()
        for frame in frames:
            writer.write(frame)
    assert [p.name for p in tmp_path.iterdir()] == ["a.mp4"]
    video = VideoFile(tmp_path / "a.mp4")
    assert (video.num_frames, video.size_hw, video.fps) == (30, (72, 96), 25.0)
    error = np.abs(video.read(0, 30).astype(int) - frames)
    assert error.mean() < 2
    assert error.max() < 25


def test_flat_colors_survive_the_matrix(tmp_path: Path) -> None:
    # Written with one colour matrix and tagged with another, saturated colours would shift by 10 and more.
    colors = [(220, 30, 30), (30, 200, 40), (40, 50, 210), (250, 250, 250), (5, 5, 5)]
    with VideoWriter(tmp_path / "a.mp4", 10, (32, 32), crf=1) as writer:
        for color in colors:
            writer.write(np.full((32, 32, 3), color, np.uint8))
    read = VideoFile(tmp_path / "a.mp4").read(0, len(colors))[:, 16, 16].astype(int)
    assert np.abs(read - colors).max() <= 3


def test_the_file_is_what_browsers_play(tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", 24, (32, 32)) as writer:
        for frame in _scene(3, (32, 32)):
            writer.write(frame)
    with av.open(str(tmp_path / "a.mp4")) as container:
        stream = container.streams.video[0]
        assert (stream.codec_context.name, stream.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert (stream.codec_context.colorspace, stream.codec_context.color_range) == (1, 1)
        assert float(stream.duration * stream.time_base) == pytest.approx(3 / 24)
    data = (tmp_path / "a.mp4").read_bytes()
    assert data.index(b"moov") < data.index(b"mdat")


def test_odd_sizes_are_padded_by_their_edge(tmp_path: Path) -> None:
    frames = _scene(3, (33, 47))
    with VideoWriter(tmp_path / "a.mp4", 24, (33, 47), crf=10) as writer:
        for frame in frames:
            writer.write(frame)
    video = VideoFile(tmp_path / "a.mp4")
    assert video.size_hw == (34, 48)
    padded = np.pad(frames, ((0, 0), (0, 1), (0, 1), (0, 0)), mode="edge")
    assert np.abs(video.read(0, 3).astype(int) - padded).mean() < 2


def test_times_are_kept(tmp_path: Path) -> None:
    times_s = [0.0, 0.04, 0.1, 0.5, 0.501, 2.0]
    with VideoWriter(tmp_path / "a.mp4", 25, (32, 32)) as writer:
        for frame, time_s in zip(_scene(6, (32, 32)), times_s, strict=True):
            writer.write(frame, time_s)
    video = VideoFile(tmp_path / "a.mp4")
    assert [video.time_s(i) for i in range(6)] == pytest.approx(times_s, abs=1e-4)


@pytest.mark.parametrize("fps", [30000 / 1001, 23.976, 12.5])
def test_fractional_rates_do_not_drift(fps: float, tmp_path: Path) -> None:
    with VideoWriter(tmp_path / "a.mp4", fps, (16, 16)) as writer:
        for frame in _scene(200, (16, 16)):
            writer.write(frame)
    assert VideoFile(tmp_path / "a.mp4").time_s(199) == pytest.approx(199 / fps, abs=1e-3)


def test_an_exception_leaves_nothing_and_keeps_the_old_file(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_bytes(b"old")
    with pytest.raises(KeyboardInterrupt), VideoWriter(tmp_path / "a.mp4", 24, (32, 32)) as writer:
        writer.write(_scene(1, (32, 32))[0])
        raise KeyboardInterrupt
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.mp4", b"old")]


def test_wrong_frames_and_times_are_refused(tmp_path: Path) -> None:
    frame = _scene(1, (32, 48))[0]
    shape = r"Frame 1 of .* is uint8 of shape \(48, 32, 3\), expected uint8 of \(32, 48, 3\)"
    with pytest.raises(OutputError, match=shape), VideoWriter(tmp_path / "a.mp4", 24, (32, 48)) as writer:
        writer.write(frame)
        writer.write(frame.transpose(1, 0, 2))
    order = r"shown at 0\.5 s, expected later than the frame before it at 1 s"
    with pytest.raises(OutputError, match=order), VideoWriter(tmp_path / "b.mp4", 24, (32, 48)) as writer:
        writer.write(frame, 1.0)
        writer.write(frame, 0.5)
    with pytest.raises(OutputError, match="was closed without a frame"), VideoWriter(tmp_path / "a.mp4", 24, (32, 48)):
        pass
    assert list(tmp_path.iterdir()) == []


def test_locations_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def open_writer(path: Path, fps: float = 24) -> None:
        with VideoWriter(path, fps, (32, 32)):
            pytest.fail("opened")

    with pytest.raises(OutputError, match=r"a\.mp4 cannot be written: No such file or directory"):
        open_writer(tmp_path / "missing" / "a.mp4")
    with pytest.raises(OutputError, match=r"expected a name that ends in \.mp4"):
        open_writer(tmp_path / "a.xyz")
    with pytest.raises(OutputError, match="at 0 frames per second"):
        open_writer(tmp_path / "a.mp4", 0)
    monkeypatch.setattr(writer_module, "_ENCODER", "no-such-encoder")
    with pytest.raises(OutputError, match="This build of PyAV has no no-such-encoder"):
        open_writer(tmp_path / "a.mp4")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_reported(tmp_path: Path) -> None:
    (tmp_path / "a.mkv.partial").symlink_to("/dev/full")
    noise = np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    with pytest.raises(OutputError, match="No space left on device"), VideoWriter(tmp_path / "a.mkv", 24, (64, 64)) as writer:
        for _ in range(60):
            writer.write(noise)
    assert list(tmp_path.iterdir()) == []


def test_equal_frames_give_equal_files_whatever_is_in_memory(tmp_path: Path) -> None:
    frames = np.random.default_rng(0).integers(0, 256, (1, 96, 200, 3), np.uint8) // 2 + _scene(8, (96, 200)) // 2
    files = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        with VideoWriter(tmp_path / "a.mp4", 25, (96, 200)) as writer:
            for frame in frames:
                # Blocks of the sizes that the encoder requests, filled and freed: what is read unwritten shows.
                for size in (40_000, 50_000, 84_480, 100_000, 200_000):
                    rng.integers(0, 256, size, np.uint8)
                writer.write(frame)
        files.append((tmp_path / "a.mp4").read_bytes())
    assert len(set(files)) == 1
