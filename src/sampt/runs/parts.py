"""Some objects of a video in a file, before their merge with the others: what workers that share a video hand over.

A header, ``<JSON>`` and a line break, then a record a frame: length and CRC-32 (little-endian, 4 bytes each), then NumPy's NPZ
form, compressed. The file bears its name when it is complete, never before.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import IO, Any

import numpy as np

from sampt.errors import LimitError, OutputError, one_line
from sampt.files.atomic import completing
from sampt.files.limits import MAX_IMAGE_PIXELS, MAX_RECORD_BYTES, parse_json
from sampt.masks.merge import ObjectMask
from sampt.pipeline.segment import PartOfFrame
from sampt.types import FramePoints, ObjectState

__all__ = ["PartFile", "write_part"]

_FORMAT = "sampt-part-1"
_HEAD = struct.Struct("<II")
_MAX_FRAME_BYTES = 4 * MAX_IMAGE_PIXELS * 64
"""Logits of 64 objects that fill the largest frame."""
# A file with the right checksums may still hold anything, and NumPy's readers have an error for each.
_BROKEN = (
    OSError, ValueError, LookupError, TypeError, AttributeError, EOFError, OverflowError, MemoryError, LimitError,
    struct.error, zlib.error, zipfile.BadZipFile,
)  # fmt: skip
_POINT_FIELDS = ("point_id", "object_id", "is_positive", "xy", "confidence", "hidden_by")


def write_part(path: Path, digest: str, frames: Iterable[PartOfFrame]) -> int:
    """Write the frames as they come; memory is one frame. Gives how many they were.

    Args:
        path: the file; its folder exists.
        digest: of the run and the part.
        frames: in order.

    Raises:
        OutputError: it cannot be written.
    """
    count = 0
    with completing(path) as partial, partial.open("wb") as file:
        file.write(json.dumps({"format": _FORMAT, "digest": digest}).encode() + b"\n")
        for frame in frames:
            data = zlib.compress(_pack(frame), 1)
            file.write(_HEAD.pack(len(data), zlib.crc32(data)) + data)
            count += 1
    return count


class PartFile:
    """A file that :func:`write_part` has made."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def is_of(self, digest: str) -> bool:
        """Whether it is there and belongs to this run and part."""
        try:
            with self.path.open("rb") as file:
                header = parse_json(file.readline(MAX_RECORD_BYTES))
        except (OSError, ValueError):
            return False
        return bool(header == {"format": _FORMAT, "digest": digest})

    def frames(self) -> Iterator[PartOfFrame]:
        """The frames in order.

        Raises:
            OutputError: it cannot be read, or is damaged.
        """
        try:
            with self.path.open("rb") as file:
                file.readline(MAX_RECORD_BYTES)
                while head := file.read(_HEAD.size):
                    yield _unpack(_inflate(head, file))
        except _BROKEN as error:
            text = one_line(error)
            raise OutputError(f"{self.path} cannot be read ({text}); delete it and start the batch again.") from error


def _inflate(head: bytes, file: IO[bytes]) -> bytes:
    """A frame's bytes, at most so many as a frame can have."""
    length, checksum = _HEAD.unpack(head)
    data = file.read(length)
    if zlib.crc32(data) != checksum:
        raise ValueError("a frame's checksum is wrong")
    unpacker = zlib.decompressobj()
    out = unpacker.decompress(data, _MAX_FRAME_BYTES)
    if not unpacker.eof:
        raise ValueError("a frame is larger than any")
    return out


def _pack(frame: PartOfFrame) -> bytes:
    objects = frame.objects
    logits = [np.zeros((0, 0), np.float32) if o.logits is None else o.logits for o in objects]
    arrays: dict[str, Any] = {
        "frame_idx": np.array(frame.frame_idx),
        "ids": np.array([o.object_id for o in objects], np.int64),
        "states": np.array([int(o.state) for o in objects], np.uint8),
        "scores": np.array([o.score for o in objects], np.float64),
        "is_given": np.array([o.is_given for o in objects], np.bool_),
        "origins": np.array([o.origin_yx for o in objects], np.int64).reshape(-1, 2),
        "sizes": np.array([x.shape for x in logits], np.int64).reshape(-1, 2),
        "logits": np.concatenate([np.zeros(0, np.float32), *(x.ravel() for x in logits)]),
    }
    buffer = io.BytesIO()
    np.savez(buffer, **arrays, **{f"points_{name}": getattr(frame.points, name) for name in _POINT_FIELDS})
    return buffer.getvalue()


def _unpack(data: bytes) -> PartOfFrame:
    with np.load(io.BytesIO(data), allow_pickle=False) as found:
        values = {name: found[name] for name in found.files}
    pieces = np.split(values["logits"], np.cumsum(values["sizes"].prod(1))[:-1]) if len(values["ids"]) else []
    objects = [_object(values, i, piece) for i, piece in enumerate(pieces)]
    return PartOfFrame(int(values["frame_idx"]), objects, FramePoints(*(values[f"points_{name}"] for name in _POINT_FIELDS)))


def _object(values: dict[str, Any], i: int, piece: Any) -> ObjectMask:
    size: Sequence[int] = values["sizes"][i].tolist()
    y, x = values["origins"][i].tolist()
    return ObjectMask(
        int(values["ids"][i]),
        ObjectState(int(values["states"][i])),
        float(values["scores"][i]),
        piece.reshape(size) if piece.size else None,
        (y, x),
        bool(values["is_given"][i]),
    )
