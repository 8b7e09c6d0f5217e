"""How much any input may request: every limit of a file format in one location, checked before the work that it bounds.

A limit is far above what real input needs and below what hurts a machine of a few gigabytes; docs/limits.md lists them. What
one server grants all its browsers together is a setting of the server (``sampt.web.settings.Limits``), not of a format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sampt.errors import LimitError

__all__ = [
    "MAX_BOXES",
    "MAX_BOX_BYTES",
    "MAX_CLICKS",
    "MAX_CORNERS",
    "MAX_DOWNLOAD_S",
    "MAX_IMAGE_PIXELS",
    "MAX_LIST_BYTES",
    "MAX_MANIFEST_BYTES",
    "MAX_PROJECT_BYTES",
    "MAX_QUERY_BYTES",
    "MAX_RECORD_BYTES",
    "MAX_STROKE_POINTS",
    "MAX_STROKE_RADIUS",
    "MAX_WEIGHTS_BYTES",
    "MIN_DOWNLOAD_BYTES_PER_S",
    "check_boxes",
    "check_clicks",
    "check_pixels",
    "is_short_of_memory",
    "max_code_chars",
    "max_weights_bytes",
    "parse_json",
    "read_bounded",
]

MAX_IMAGE_PIXELS = 1 << 26
"""Of a frame or a mask: 8192 x 8192, twice the pixels of 8K video. A frame then takes 200 MB, a mask 67 MB."""
MAX_CLICKS = 1 << 16
"""In one query file."""
MAX_BOXES = 1 << 20
"""Of a file of detections, and its images: 10 on each frame of an hour, or 100 on each of six minutes."""
MAX_BOX_BYTES = 128 << 20
"""Of a file of detections, or of all files of a folder; COCO's take about 120 bytes a box."""
MAX_CORNERS = 1000
"""Of one polygon."""
MAX_STROKE_POINTS = 2000
"""Of one stroke of a brush."""
MAX_STROKE_RADIUS = 1000.0
"""Of a brush, in pixels of the video."""
MAX_QUERY_BYTES = 16 << 20
"""Of a query file; so many clicks take 5 MB."""
MAX_LIST_BYTES = 64 << 20
"""Of a batch's list of videos."""
MAX_MANIFEST_BYTES = 256 << 20
"""Of a ``run.json``, which has about 150 bytes a result file."""
MAX_PROJECT_BYTES = 64 << 20
"""Of a ``project.json``."""
MAX_RECORD_BYTES = 1 << 28
"""Of one frame in a journal."""
MAX_WEIGHTS_BYTES = 16 << 30
"""Of weights whose size is not known beforehand."""
MIN_DOWNLOAD_BYTES_PER_S = 1000
"""Mean over a minute: a server that sends less has stopped."""
MAX_DOWNLOAD_S = 24 * 3600.0
"""Of one download with all its attempts; what came stays, and another call goes on from there."""

_SHORT_OF_MEMORY = (
    "can't start new thread",
    "Resource temporarily unavailable",  # of FFmpeg, which got no thread
    "Cannot allocate memory",
    "cannot allocate memory",
    "failed to map segment",
    "Insufficient memory",
    "can't allocate memory",
    "out of memory",
    "ALLOC_FAILED",
    "Failed to allocate memory",
    "bad_alloc",
)


def is_short_of_memory(error: BaseException | None) -> bool:
    """Whether an error, or one that it came from, says that the machine or a device gives no more memory or threads.

    Libraries have classes of their own for that, so messages tell: of Python, of the loader of libraries, of OpenCV, of PyTorch
    on the CPU and on Apple's GPUs, of NVIDIA's libraries, of ONNX Runtime and of OpenVINO.
    """
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, MemoryError) or any(text in str(error) for text in _SHORT_OF_MEMORY):
            return True
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return False


def max_weights_bytes(num_bytes: int | None, *, is_exact: bool) -> int:
    """How large a download of weights may become whose size is reported to be ``num_bytes``: a rounded one by half again."""
    if num_bytes is None:
        return MAX_WEIGHTS_BYTES
    return num_bytes if is_exact else num_bytes + num_bytes // 2 + (1 << 20)


_BLOCK_BYTES = 1 << 20


def check_pixels(width: int, height: int, what: str) -> None:
    """Refuse an image that is too large, by the size in its header, before its pixels are made.

    Args:
        width, height: in pixels, as the decoder itself understands the header (for Pillow ``Image.size`` after opening: a file
            with two headers means the last one).
        what: how the message calls it.

    Raises:
        LimitError: it has more than :data:`MAX_IMAGE_PIXELS`.
    """
    if width * height > MAX_IMAGE_PIXELS:
        raise LimitError(
            f"{what} is {width}x{height}; expected at most {MAX_IMAGE_PIXELS} pixels, such as 8192x8192: make it smaller."
        )


def check_clicks(count: int, what: str) -> None:
    """Refuse a file that names too many clicks, before anything is made of them.

    Raises:
        LimitError: there are more than :data:`MAX_CLICKS`.
    """
    if count > MAX_CLICKS:
        raise LimitError(f"{what} has {count} clicks; expected at most {MAX_CLICKS}: leave some out, or give a mask.")


def check_boxes(count: int, what: str) -> None:
    """Refuse a file of detections that has too many boxes or images, while it is read.

    Raises:
        LimitError: there are more than :data:`MAX_BOXES`.
    """
    if count > MAX_BOXES:
        raise LimitError(f"{what} has more than {MAX_BOXES} boxes or images; expected detections on one video: leave some out.")


def max_code_chars(size_hw: tuple[int, int]) -> int:
    """The longest that COCO's compressed code of an (h, w) mask can be.

    A run takes one character, and one more for each further five bits of its difference d to the run before the last, so at
    most 1 + |d| / 16. There are at most h * w + 1 runs, and the differences add up to at most twice their sum, h * w.
    """
    pixels = size_hw[0] * size_hw[1]
    return pixels + pixels // 8 + 16


def read_bounded(path: Path | str, max_bytes: int, what: str) -> bytes:
    """A whole file that has at most ``max_bytes``. A device or pipe without an end is read so far and no further.

    Raises:
        LimitError: it has more; ``what`` says what was expected of it.
        OSError: it cannot be read.
    """
    blocks, room = [], max_bytes
    with Path(path).open("rb") as file:
        while block := file.read(min(room + 1, _BLOCK_BYTES)):  # read() makes room for all that it is requested
            room -= len(block)
            if room < 0:
                raise LimitError(f"{path} has more than {max_bytes} bytes; expected {what}.")
            blocks.append(block)
    return b"".join(blocks)


def parse_json(text: str | bytes) -> Any:
    """What JSON text holds, whoever wrote it.

    Raises:
        ValueError: it is no JSON (UTF-8 where it is bytes), nested too deeply, or holds a number of thousands of digits;
            :class:`json.JSONDecodeError` where there is a line and a column to tell.
    """
    try:
        return json.loads(text if isinstance(text, str) else text.decode("utf-8"))
    except RecursionError:
        raise ValueError("nested too deeply") from None
