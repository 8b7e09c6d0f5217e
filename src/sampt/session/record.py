"""One object's result on one frame, as bytes."""

from __future__ import annotations

import itertools
import struct
import zlib
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.errors import ValueCheckError
from sampt.masks.merge import ObjectMask
from sampt.masks.rle import Rle, decode_mask, encode_mask
from sampt.types import BoolArray, FramePoints, ObjectState, UInt8Array

__all__ = ["Record", "Strength", "Summary", "pack_record", "record_of", "summary_of", "unpack_record"]

_FIXED = struct.Struct("<II16sBBfIIIII3I")
_STRENGTH = struct.Struct("<iiHHf")
_STEP_PX = 8
"""Strengths are kept for cells of so many pixels a side."""
_WEAKEST = np.float32(1e-6)
_POINT = np.dtype(
    [("id", "<i8"), ("sign", "u1"), ("code", "u1"), ("confidence", "u1"), ("x", "<f4"), ("y", "<f4")], align=False
)
_MOST_POINTS = 1 << 20


@dataclass(frozen=True, eq=False)
class Strength:
    """How sure the segmenter was, coarsely: enough to decide which of two objects gets a pixel that both claim.

    Attributes:
        origin_yx: where the part lies in the frame.
        size_hw: of the part.
        cells: (ceil(h / 8), ceil(w / 8)) uint8: mean positive logit, 255 for ``scale``.
        scale: logit of 255.
    """

    origin_yx: tuple[int, int]
    size_hw: tuple[int, int]
    cells: UInt8Array
    scale: float

    __repr__ = shape_repr


@dataclass(frozen=True, eq=False)
class Record:
    """A result.

    Attributes:
        digest: (16 bytes) of what it was made from.
        run: number of the run that it comes from; new points have ids made from it.
        size_hw: of the frame.
        rle: the mask, before overlaps are resolved; None where the object is absent.
        strength: of the mask; None where it is given or absent.
        points: the object's own, tracked or given, at the video's size.
    """

    object_id: int
    frame_idx: int
    digest: bytes
    run: int
    size_hw: tuple[int, int]
    state: ObjectState
    score: float | None
    area_px: int
    rle: Rle | None
    strength: Strength | None
    is_given: bool
    points: FramePoints

    __repr__ = shape_repr

    @property
    def num_visible(self) -> int:
        """Visible positive points."""
        return int(np.count_nonzero(self.points.visible & self.points.is_positive))

    def mask(self) -> BoolArray:
        """(h, w) bool."""
        return np.zeros(self.size_hw, np.bool_) if self.rle is None else decode_mask(self.rle)

    def object_mask(self) -> ObjectMask:
        """As the merge of all objects takes it; logits are the strengths, interpolated."""
        score = float("nan") if self.score is None else self.score
        if self.rle is None:
            return ObjectMask(self.object_id, self.state, score)
        mask = decode_mask(self.rle)
        if self.is_given or self.strength is None:
            return ObjectMask.of_given(self.object_id, mask)
        (y, x), (h, w) = self.strength.origin_yx, self.strength.size_hw
        cells = self.strength.cells.astype(np.float32) * np.float32(self.strength.scale / 255)
        logits = np.maximum(cv2.resize(cells, (w, h), interpolation=cv2.INTER_LINEAR), _WEAKEST)
        logits = np.where(mask[y : y + h, x : x + w], logits, np.float32(-1))
        return ObjectMask(self.object_id, self.state, score, logits, (y, x))


def record_of(
    found: ObjectMask, frame_idx: int, digest: bytes, run: int, points: FramePoints, size_hw: tuple[int, int]
) -> Record:
    """The record of a mask at the video's size, and the object's points on the frame."""
    mask = found.mask(size_hw)
    area = int(np.count_nonzero(mask))
    state = found.state if area or found.logits is None else ObjectState.EMPTY
    return Record(
        found.object_id,
        frame_idx,
        digest,
        run,
        size_hw,
        state,
        None if np.isnan(found.score) else float(found.score),
        area,
        encode_mask(mask) if area else None,
        _strength(found) if area and not found.is_given else None,
        found.is_given,
        points,
    )


def _strength(found: ObjectMask) -> Strength:
    assert found.logits is not None, "the mask has pixels"
    h, w = found.logits.shape
    positive = np.maximum(found.logits, np.float32(0))
    cells = cv2.resize(positive, (-(-w // _STEP_PX), -(-h // _STEP_PX)), interpolation=cv2.INTER_AREA)
    scale = max(float(cells.max()), float(_WEAKEST))
    return Strength(found.origin_yx, (h, w), np.rint(cells * (255 / scale)).astype(np.uint8), scale)


class Summary(NamedTuple):
    """What is kept of a record in memory."""

    object_id: int
    frame_idx: int
    digest: bytes
    state: ObjectState
    score: float
    run: int
    area_px: int
    num_visible: int


def summary_of(payload: bytes) -> Summary:
    """The start of a record's bytes, without its parts; errors as :func:`unpack_record`."""
    object_id, frame_idx, digest, state, _, score, run, area, num_visible, *_ = _FIXED.unpack_from(payload)
    return Summary(object_id, frame_idx, digest, ObjectState(state), score, run, area, num_visible)


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
    return b"".join((fixed, counts, strength, points))


def unpack_record(payload: bytes) -> Record:
    """The record of undamaged bytes.

    Raises:
        ValueError: (or of :mod:`struct` or :mod:`zlib`) they are none of this version.
    """
    object_id, frame_idx, digest, state, is_given, score, run, area, _, h, w, *sizes = _FIXED.unpack_from(payload)
    if _FIXED.size + sum(sizes) != len(payload):
        raise ValueCheckError("A record has another length than its parts.")
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
    )


def _pack_strength(strength: Strength | None) -> bytes:
    if strength is None:
        return b""
    fixed = _STRENGTH.pack(*strength.origin_yx, *strength.size_hw, strength.scale)
    return fixed + zlib.compress(strength.cells.tobytes(), 1)


def _unpack_strength(data: bytes, frame_hw: tuple[int, int]) -> Strength | None:
    if not data:
        return None
    y, x, h, w, scale = _STRENGTH.unpack_from(data)
    rows, columns = -(-h // _STEP_PX), -(-w // _STEP_PX)
    if min(y, x) < 0 or min(h, w) < 1 or y + h > frame_hw[0] or x + w > frame_hw[1]:
        raise ValueCheckError("A record's strengths lie outside its frame.")
    cells = np.frombuffer(_inflated(data[_STRENGTH.size :], rows * columns), np.uint8).reshape(rows, columns)
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
    if n > _MOST_POINTS:
        raise ValueCheckError("A record has too many points.")
    columns, at, found = _inflated(data[4:], n * _POINT.itemsize), 0, {}
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


def _inflated(data: bytes, num_bytes: int) -> bytes:
    """Exactly so many bytes, however many the data would like to become."""
    out = zlib.decompressobj().decompress(data, num_bytes + 1)
    if len(out) != num_bytes:
        raise ValueCheckError("A record's part has another length than it says.")
    return out
