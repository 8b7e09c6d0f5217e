"""Tracks of points on disk: a ragged NPZ, because re-initialisation makes new points on the way."""

from __future__ import annotations

import dataclasses
import zipfile
from array import array
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.errors import OutputError
from sampt.exporters.base import ExportContext, ExportFrame
from sampt.files.atomic import SpooledWriter, output_errors
from sampt.types import BoolArray, FloatArray, IntArray, UInt8Array

__all__ = ["DenseTracks", "SavedTracks", "TracksWriter", "load_tracks"]

_ROW = np.dtype(
    [
        ("point_id", np.int64),
        ("object_id", np.int64),
        ("is_positive", np.bool_),
        ("xy", np.float32, (2,)),
        ("visible", np.bool_),
        ("confidence", np.float32),
        ("hidden_by", np.uint8),
    ]
)
_ROWS_AT_ONCE = 16384
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the bytes of the file depend on the tracks alone


class DenseTracks(NamedTuple):
    """Tracks as a table: point_id (n,) ascending; xy (t, n, 2), 0 where unknown; known (t, n): it exists in the frame."""

    point_id: IntArray
    xy: FloatArray
    known: BoolArray

    def __repr__(self) -> str:
        return shape_repr(self)


@dataclass(frozen=True, eq=False)
class SavedTracks:
    """What a tracks file holds. Rows [frame_splits[i]:frame_splits[i + 1]] are the points on the i-th frame.

    Attributes:
        frame_splits: (t + 1,) int64.
        frame_idx: (t,) int64, index of each frame in its video.
        frame_names: (t,) text.
        point_id: (r,) int64; a point keeps its id over the frames.
        object_id: (r,) int64.
        is_positive: (r,) bool.
        xy: (r, 2) float32, pixels.
        visible: (r,) bool.
        confidence: (r,) float32 in [0, 1].
        hidden_by: (r,) uint8 codes of :class:`sampt.types.HiddenBy`.
    """

    frame_splits: IntArray
    frame_idx: IntArray
    frame_names: npt.NDArray[np.str_]
    point_id: IntArray
    object_id: IntArray
    is_positive: BoolArray
    xy: FloatArray
    visible: BoolArray
    confidence: FloatArray
    hidden_by: UInt8Array

    __repr__ = shape_repr

    def dense(self) -> DenseTracks:
        """All points over all t frames; t x n numbers, so meant for clips whose table fits into memory."""
        point_id, column = np.unique(self.point_id, return_inverse=True)
        num_frames = len(self.frame_idx)
        row = np.repeat(np.arange(num_frames), np.diff(self.frame_splits))
        xy = np.zeros((num_frames, len(point_id), 2), np.float32)
        known = np.zeros((num_frames, len(point_id)), np.bool_)
        xy[row, column] = self.xy
        known[row, column] = True
        return DenseTracks(point_id, xy, known)


class TracksWriter(SpooledWriter):
    """Writes the points of every frame into one NPZ (see :class:`SavedTracks`); frames in the order of writing.

    Rows wait in a file beside ``path`` until ``close``; memory grows by a name and two numbers a frame.

    Raises:
        OutputError: the file cannot be written or the disk is full.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        super().__init__(path)
        self._splits, self._frame_idx, self._names = array("q", [0]), array("q"), list[str]()

    def write(self, frame: ExportFrame) -> None:
        points = frame.result.points
        rows = np.zeros(len(points), _ROW)
        for name in _ROW.names or ():
            rows[name] = getattr(points, name)
        with output_errors(self.path):
            self._spool.write(rows.tobytes())
        self._splits.append(self._splits[-1] + len(rows))
        self._frame_idx.append(frame.frame_idx)
        self._names.append(frame.name)

    def _assemble(self, partial: Path) -> None:
        self._spool.flush()
        with zipfile.ZipFile(partial, "w") as archive:
            _add(archive, "frame_splits", np.frombuffer(self._splits, np.int64))
            _add(archive, "frame_idx", np.array(self._frame_idx, np.int64))
            _add(archive, "frame_names", np.array(self._names, np.str_))
            for name in _ROW.names or ():
                self._add_column(archive, name)

    def _add_column(self, archive: zipfile.ZipFile, name: str) -> None:
        sample = np.zeros(0, _ROW)[name]
        header = np.lib.format.header_data_from_array_1_0(sample)
        header["shape"] = (self._splits[-1], *sample.shape[1:])
        self._spool.seek(0)
        with archive.open(_member(name), "w", force_zip64=True) as member:
            np.lib.format.write_array_header_1_0(member, header)
            while chunk := self._spool.read(_ROWS_AT_ONCE * _ROW.itemsize):
                member.write(np.ascontiguousarray(np.frombuffer(chunk, _ROW)[name]).tobytes())


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(f"{name}.npy", _EPOCH)
    info.compress_type = zipfile.ZIP_DEFLATED
    return info


def _add(archive: zipfile.ZipFile, name: str, values: npt.NDArray[np.generic]) -> None:
    with archive.open(_member(name), "w") as member:
        np.lib.format.write_array(_binary(member), values, allow_pickle=False)


def _binary(member: object) -> BinaryIO:
    return member  # type: ignore[return-value]  # zipfile's stream is typed IO[bytes]


def load_tracks(path: Path | str) -> SavedTracks:
    """Read a file of :class:`TracksWriter`.

    Raises:
        OutputError: the file is missing, broken, or holds something else.
    """
    names = [item.name for item in dataclasses.fields(SavedTracks)]
    try:
        with Path(path).open("rb") as file, np.load(file, allow_pickle=False) as archive:
            return SavedTracks(**{name: archive[name] for name in names})
    except (OSError, ValueError, KeyError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        reason = " ".join(str(error).split())
        raise OutputError(
            f"{path} cannot be read as tracks ({reason}); expected the tracks.npz of a sampt run: run it again with output npz."
        ) from error
