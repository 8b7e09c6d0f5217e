"""Small videos made with PyAV, whose frames carry their own number."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

NUMBER_BITS = 6
SQUARE = 16


def numbered_frame(number: int, size_hw: tuple[int, int] = (48, 96)) -> np.ndarray:
    """A moving texture below a row of black and white squares that spell ``number``, lowest bit first."""
    height, width = size_hw
    y, x = np.mgrid[:height, :width]
    frame = np.stack([128 + 90 * np.sin((x + 3 * number) / 9), 128 + 90 * np.cos(y / 7), (x + y) % 256], -1).astype(np.uint8)
    for bit in range(NUMBER_BITS):
        frame[:SQUARE, bit * SQUARE : (bit + 1) * SQUARE] = 255 * (number >> bit & 1)
    return frame


def number_of(frame_rgb: np.ndarray) -> int:
    """The number that a frame of :func:`numbered_frame` carries."""
    centres = frame_rgb[SQUARE // 2, SQUARE // 2 :: SQUARE][:NUMBER_BITS].mean(-1)
    return sum(int(value > 128) << bit for bit, value in enumerate(centres))


def write_video(
    path: Path,
    frames: Sequence[np.ndarray],
    *,
    codec: str = "libx264",
    pts: Sequence[int] | None = None,
    time_base: Fraction = Fraction(1, 25),
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    rotation: dict[str, Any] | None = None,
    aspect: Fraction | None = None,
) -> Path:
    """Write ``frames`` with the times ``pts``; ``rotation`` holds arguments of set_display_rotation."""
    with av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.height, stream.width = frames[0].shape[:2]
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = time_base
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if rotation:
            stream.set_display_rotation(**rotation)
        for i, rgb in enumerate(frames):
            frame = av.VideoFrame.from_ndarray(rgb, format="rgb24")
            frame.pts, frame.time_base = pts[i] if pts else i, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture
def make_video(tmp_path: Path) -> Callable[..., Path]:
    """Writes ``num_frames`` numbered frames as ``name`` and returns the path."""

    def make(name: str, num_frames: int = 40, **how: Any) -> Path:
        return write_video(tmp_path / name, [numbered_frame(i) for i in range(num_frames)], **how)

    return make


@pytest.fixture
def read_number() -> Callable[[np.ndarray], int]:
    return number_of


@pytest.fixture(scope="session")
def bees() -> Path:
    """A real video: 277 frames of 1280x720, H.264 with B-frames."""
    path = Path(__file__).resolve().parents[3] / "shared" / "clips" / "bees.mp4"
    if not path.exists():
        pytest.skip(f"{path} is not there")
    return path
