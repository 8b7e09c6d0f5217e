"""Results on disk: an append-only file of checked records, and the few numbers about each that are kept in memory.

A record says what it was made from (:attr:`sampt.session.plan.PromptFrame.digest`): a result of other inputs is never taken
for a good one, and one that fits again after an undo is found. It reaches the operating system in one write before anybody is
reported of it: ``kill -9`` loses at most the record being written, which is cut off when the file is opened again. A damaged
record among good ones is passed over.
"""

from __future__ import annotations

import itertools
import logging
import os
import struct
import threading
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

from sampt.errors import OutputError, ValueCheckError
from sampt.files.atomic import disk_errors
from sampt.files.limits import MAX_RECORD_BYTES
from sampt.masks.rle import Rle
from sampt.session.types import STRENGTH_CELL_PX, NeedsReview, Record, Strength
from sampt.types import FramePoints, ObjectState

__all__ = ["Entry", "ResultStore", "Summary", "pack_record", "read_summary", "unpack_record"]

_LOG = logging.getLogger(__name__)

_HEADER = b"sampt session masks 1\n"
_FRAME = struct.Struct("<4sII")
_MAGIC = b"rec\0"
_MAX_RUN = 1 << 31
"""Numbers of runs count from 1; the record's field holds twice as many."""
_VERSIONS = 4
"""Results of other inputs that are cached for an object and a frame: how far undo brings results back."""
_COMPACT_BYTES = 64 << 20
"""A larger file of which more than half is outdated is written anew when the project is opened."""
_FIXED = struct.Struct("<II16sBBfIIIII3I")
_STRENGTH = struct.Struct("<iiHHf")
_POINT = np.dtype(
    [("id", "<i8"), ("sign", "u1"), ("code", "u1"), ("confidence", "u1"), ("x", "<f4"), ("y", "<f4")], align=False
)
_REVIEW = struct.Struct("<fH")
"""At the end of a record: what is known of its quality. An older sampt wrote none."""
_MAX_POINTS = 1 << 20


class Entry(NamedTuple):
    """Where a record is, and what is known of it without reading it.

    Attributes:
        can_start: it has visible positive points and a mask, so that propagation can go on from it.
        good_probability: :attr:`sampt.session.types.Record.good_probability`; NaN for None.
        reasons: bits of :class:`~sampt.session.types.NeedsReview`.
    """

    offset: int
    num_bytes: int
    digest: bytes
    state: ObjectState
    score: float
    area_px: int
    num_visible: int
    can_start: bool
    good_probability: float
    reasons: int


class ResultStore:
    """Results by object and frame. Several threads may use it.

    Args:
        path: the file.
        size_hw: of the frames; results of another size are refused when they are read. None: any.

    Raises:
        OutputError: (from any call) the file cannot be written or read, or is none of a session.
    """

    def __init__(self, path: Path, size_hw: tuple[int, int] | None = None) -> None:
        self.path, self._size_hw = path, size_hw
        self._lock = threading.Lock()
        self._entries: dict[tuple[int, int], tuple[Entry, ...]] = {}
        self._next_run = 1
        with disk_errors(path):
            self._file: BinaryIO = _open_journal(path)
            try:
                self._load()
                if self._end > _COMPACT_BYTES and self._newest_bytes() < self._end // 2:
                    self._compact()
            except BaseException:
                self._file.close()
                raise

    def find(self, object_id: int, frame_idx: int, digest: bytes) -> Entry | None:
        """The result made from ``digest``."""
        for entry in self._entries.get((object_id, frame_idx), ()):
            if entry.digest == digest:
                return entry
        return None

    def newest(self, object_id: int, frame_idx: int) -> Entry | None:
        """The result written last, whatever it was made from."""
        entries = self._entries.get((object_id, frame_idx))
        return entries[-1] if entries else None

    def new_run(self) -> int:
        """A number by which the points of one run are distinguished from those of all others."""
        with self._lock:
            self._next_run += 1
            return self._next_run - 1

    def read(self, entry: Entry) -> Record:
        """The record."""
        with self._lock, disk_errors(self.path):
            self._check_open()
            self._file.seek(entry.offset)
            payload = self._payload(self._file.read(entry.num_bytes))
        if payload is None:
            raise OutputError(f"{self.path} has been changed by another program; close the project and open it again.")
        try:
            record = unpack_record(payload)
            if self._size_hw not in (None, record.size_hw):
                raise ValueCheckError(f"a mask of {record.size_hw[1]}x{record.size_hw[0]} pixels")
        except (ValueError, OverflowError, struct.error, zlib.error) as error:
            text = " ".join(str(error).split()).rstrip(".")
            raise OutputError(
                f"{self.path} holds a result that is none of this project ({text}); move it away to start without results."
            ) from error
        return record

    def append(self, record: Record) -> None:
        """Write the record; it is the newest of its object and frame from now on."""
        payload = pack_record(record)
        data = _FRAME.pack(_MAGIC, len(payload), zlib.crc32(payload)) + payload
        with self._lock, disk_errors(self.path):
            self._check_open()
            # Should the disk be full: what was written of the record is written over, or cut off when the file is opened.
            self._write(self._end, data)
            self._note(read_summary(payload), self._end, len(data))
            self._end += len(data)

    def close(self) -> None:
        """Close the file; a second call does nothing."""
        with self._lock, disk_errors(self.path):
            self._file.close()

    def _check_open(self) -> None:
        if self._file.closed:
            raise OutputError(f"{self.path} is closed; open the project again.")

    def _write(self, offset: int, data: bytes) -> None:
        self._file.seek(offset)
        rest = memoryview(data)
        while len(rest):
            rest = rest[self._file.write(rest) :]

    def _note(self, new: Summary, offset: int, num_bytes: int) -> None:
        can_start = new.state is ObjectState.PRESENT and new.num_visible > 0
        known = new.score, new.area_px, new.num_visible, can_start, new.good_probability, new.reasons
        entry = Entry(offset, num_bytes, new.digest, new.state, *known)
        key = (new.object_id, new.frame_idx)
        others = tuple(e for e in self._entries.get(key, ()) if e.digest != new.digest)
        self._entries[key] = (*others[1 - _VERSIONS :], entry)
        self._next_run = max(self._next_run, new.run + 1)

    def _load(self) -> None:
        """Note all good records; cut off what follows the last one, and start a file that is empty."""
        header = self._file.read(len(_HEADER))
        if not _HEADER.startswith(header):
            raise OutputError(f"{self.path} holds no results that this sampt reads; move it away to start without results.")
        if len(header) < len(_HEADER):
            self._write(0, _HEADER)
        self._end = len(_HEADER)
        for summary, offset, num_bytes in self._summaries():
            if offset > self._end:
                _LOG.warning("%s is damaged at byte %d; %d bytes are passed over.", self.path, self._end, offset - self._end)
            self._note(summary, offset, num_bytes)
            self._end = offset + num_bytes
        if self._file.seek(0, 2) > self._end:
            level = logging.INFO if self._file.tell() - self._end < 1 << 16 else logging.WARNING
            _LOG.log(level, "%s ends in a record that was not written to its end; it is cut off.", self.path)
            self._file.truncate(self._end)

    def _summaries(self) -> Iterator[tuple[Summary, int, int]]:
        """Of every good record in turn, with its location and length."""
        with self.path.open("rb") as file:
            offset: int | None = len(_HEADER)
            while offset is not None:
                file.seek(offset)
                head = file.read(_FRAME.size)
                size = _FRAME.unpack(head)[1] if len(head) == _FRAME.size else 0
                payload = self._payload(head + file.read(size if size < MAX_RECORD_BYTES else 0))
                summary = None if payload is None else _summary(payload)
                if summary is None:
                    offset = _next_magic(file, offset + 1)
                else:
                    yield summary, offset, len(head) + size
                    offset += len(head) + size

    def _payload(self, data: bytes) -> bytes | None:
        """What is in a whole, undamaged record."""
        if len(data) < _FRAME.size:
            return None
        magic, size, checksum = _FRAME.unpack_from(data)
        payload = data[_FRAME.size :]
        is_good = magic == _MAGIC and size == len(payload) and checksum == zlib.crc32(payload)
        return payload if is_good else None

    def _newest_bytes(self) -> int:
        return sum(entries[-1].num_bytes for entries in self._entries.values())

    def _compact(self) -> None:
        """Write the file anew with the newest result of every object and frame."""
        partial = self.path.with_name(self.path.name + ".partial")
        kept: dict[tuple[int, int], tuple[Entry, ...]] = {}
        with partial.open("wb") as file:
            file.write(_HEADER)
            for key, entries in self._entries.items():
                self._file.seek(entries[-1].offset)
                kept[key] = (entries[-1]._replace(offset=file.tell()),)
                file.write(self._file.read(entries[-1].num_bytes))
            file.flush()
            os.fsync(file.fileno())
        self._file.close()
        partial.replace(self.path)
        self._file = _open_journal(self.path)
        self._entries, self._end = kept, self._file.seek(0, 2)


def _summary(payload: bytes) -> Summary | None:
    try:
        summary = read_summary(payload)
    except (ValueError, struct.error):
        return None
    return summary if summary.run < _MAX_RUN else None


def _next_magic(file: BinaryIO, offset: int) -> int | None:
    """Where a record may begin, from ``offset`` on."""
    file.seek(offset)
    held = b""
    while part := file.read(1 << 20):
        held = held[1 - len(_MAGIC) :] + part
        if (at := held.find(_MAGIC)) >= 0:
            return file.tell() - len(held) + at
    return None


def _open_journal(path: Path) -> BinaryIO:
    return path.open("r+b" if path.exists() else "w+b", buffering=0)


class Summary(NamedTuple):
    """What of a record is held in memory."""

    object_id: int
    frame_idx: int
    digest: bytes
    state: ObjectState
    score: float
    run: int
    area_px: int
    num_visible: int
    good_probability: float
    reasons: int


def read_summary(payload: bytes) -> Summary:
    """The start of a record's bytes, without its parts; errors as :func:`unpack_record`."""
    object_id, frame_idx, digest, state, _, score, run, area, num_visible, _, _, *sizes = _FIXED.unpack_from(payload)
    return Summary(
        object_id, frame_idx, digest, ObjectState(state), score, run, area, num_visible, *_unpack_review(payload, sizes)
    )


def pack_record(record: Record) -> bytes:
    """The inverse of :func:`unpack_record`."""
    counts = b"" if record.rle is None else record.rle.counts.encode("ascii")
    strength, points = _pack_strength(record.strength), _pack_points(record.points)
    fixed = _FIXED.pack(
        record.object_id,
        record.frame_idx,
        record.digest,
        int(record.state),
        int(record.is_given),
        float("nan") if record.score is None else record.score,
        record.run,
        record.area_px,
        record.num_visible,
        *record.size_hw,
        len(counts),
        len(strength),
        len(points),
    )
    review = _REVIEW.pack(np.nan if record.good_probability is None else record.good_probability, int(record.reasons))
    return b"".join((fixed, counts, strength, points, review))


def unpack_record(payload: bytes) -> Record:
    """The record of undamaged bytes.

    Raises:
        ValueError: (or of :mod:`struct` or :mod:`zlib`) they are none of this version.
    """
    object_id, frame_idx, digest, state, is_given, score, run, area, _, h, w, *sizes = _FIXED.unpack_from(payload)
    if _FIXED.size + sum(sizes) not in (len(payload), len(payload) - _REVIEW.size):
        raise ValueCheckError("A record has another length than its parts.")
    good_probability, reasons = _unpack_review(payload, sizes)
    ends = np.cumsum([_FIXED.size, *sizes]).tolist()
    counts, strength, points = (payload[a:b] for a, b in itertools.pairwise(ends))
    return Record(
        object_id,
        frame_idx,
        digest,
        run,
        (h, w),
        ObjectState(state),
        None if np.isnan(score) else score,
        area,
        Rle((h, w), counts.decode("ascii")) if counts else None,
        _unpack_strength(strength, (h, w)),
        bool(is_given),
        _unpack_points(points, object_id),
        None if np.isnan(good_probability) else good_probability,
        NeedsReview(reasons),
    )


def _unpack_review(payload: bytes, sizes: list[int]) -> tuple[float, int]:
    """The probability that the mask is good, NaN where it is not known, and what speaks against it."""
    if len(payload) != _FIXED.size + sum(sizes) + _REVIEW.size:
        return float("nan"), 0
    probability, reasons = _REVIEW.unpack_from(payload, len(payload) - _REVIEW.size)
    return float(probability), int(reasons)


def _pack_strength(strength: Strength | None) -> bytes:
    if strength is None:
        return b""
    fixed = _STRENGTH.pack(*strength.origin_yx, *strength.size_hw, strength.scale)
    return fixed + zlib.compress(strength.cells.tobytes(), 1)


def _unpack_strength(data: bytes, frame_hw: tuple[int, int]) -> Strength | None:
    if not data:
        return None
    y, x, h, w, scale = _STRENGTH.unpack_from(data)
    rows, columns = -(-h // STRENGTH_CELL_PX), -(-w // STRENGTH_CELL_PX)
    if min(y, x) < 0 or min(h, w) < 1 or y + h > frame_hw[0] or x + w > frame_hw[1]:
        raise ValueCheckError("A record's strengths lie outside its frame.")
    cells = np.frombuffer(_inflate(data[_STRENGTH.size :], rows * columns), np.uint8).reshape(rows, columns)
    return Strength((y, x), (h, w), cells, scale)


def _pack_points(points: FramePoints) -> bytes:
    rows = np.zeros(len(points), _POINT)
    rows["id"], rows["sign"], rows["code"] = points.point_id, points.is_positive, points.hidden_by
    rows["confidence"] = np.rint(np.clip(points.confidence, 0, 1) * 255)
    rows["x"], rows["y"] = points.xy.T
    # Field by field: equal numbers lie together and are packed well.
    columns = b"".join(np.ascontiguousarray(rows[name]).tobytes() for name in _POINT.names or ())
    return struct.pack("<I", len(points)) + zlib.compress(columns, 1)


def _unpack_points(data: bytes, object_id: int) -> FramePoints:
    (n,) = struct.unpack_from("<I", data)
    if n > _MAX_POINTS:
        raise ValueCheckError("A record has too many points.")
    columns, at, found = _inflate(data[4:], n * _POINT.itemsize), 0, {}
    for name in _POINT.names or ():
        kind = _POINT[name]
        found[name] = np.frombuffer(columns, kind, n, at)
        at += n * kind.itemsize
    return FramePoints(
        found["id"],
        np.full(n, object_id),
        found["sign"] > 0,
        np.stack([found["x"], found["y"]], 1),
        (found["confidence"] / 255).astype(np.float32),
        found["code"],
    )


def _inflate(data: bytes, num_bytes: int) -> bytes:
    """Exactly so many bytes, however many the data would like to become."""
    out = zlib.decompressobj().decompress(data, num_bytes + 1)
    if len(out) != num_bytes:
        raise ValueCheckError("A record's part has another length than it says.")
    return out
