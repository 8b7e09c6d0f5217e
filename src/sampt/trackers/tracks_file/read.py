"""Files of point tracks: NumPy's, CSV, and the pickles of TAP-Vid, of which nothing is run."""

from __future__ import annotations

import csv
import io
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sampt.checks import shape_repr
from sampt.errors import BackendError
from sampt.files.text import read_text
from sampt.types import BoolArray, FloatArray
from sampt.weights.numpy_pickled import read_pickle
from sampt.weights.pickled import NotReadableError

__all__ = ["FileTracks", "read_tracks"]

_MAX_BYTES = 1 << 31
_SURE = 0.5
"""Where a file has numbers instead of true and false: visible, or occluded, is what is greater."""
_EXPECTED = 'expected .npz, .npy, .csv, or .pkl of TAP-Vid (docs/trackers.md, "Tracks from a file")'


@dataclass(frozen=True, eq=False)
class FileTracks:
    """Tracks of n points over t frames.

    Attributes:
        xy: (t, n, 2) float32, finite; (0, 0) is the centre of the top-left pixel. 0 where it is not known.
        known: (t, n) whether the file says where the point is.
        visible: (t, n), False where it is not known.
        confidence: (t, n) float32 in [0, 1].
        size_hw: of the frames whose pixels these are; None for those of the video's own; (1, 1) for fractions of the sides.
    """

    xy: FloatArray
    known: BoolArray
    visible: BoolArray
    confidence: FloatArray
    size_hw: tuple[int, int] | None = None

    __repr__ = shape_repr


def read_tracks(path: Path, name: str | None = None) -> FileTracks:
    """The tracks in a file.

    Args:
        path: its suffix says what it is.
        name: of the video, for a pickle of several.

    Raises:
        BackendError: it is not there, or is none of the kinds that are read.
    """
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        raise BackendError(f"{path} is no file of tracks that can be read; {_EXPECTED}.")
    if not path.is_file():
        raise BackendError(f"No file of tracks is at {path}; {_EXPECTED}.")
    if path.stat().st_size > _MAX_BYTES:
        raise BackendError(f"{path} has {path.stat().st_size} bytes; expected tracks in at most {_MAX_BYTES}.")
    try:
        return reader(path, name)
    except (OSError, EOFError, KeyError, TypeError, ValueError, zipfile.BadZipFile, NotReadableError) as error:
        what = f"{error} is missing" if isinstance(error, KeyError) else " ".join(str(error).split())
        raise BackendError(f"{path} cannot be read as tracks ({what.rstrip('.')}); {_EXPECTED}.") from error


def _read_npz(path: Path, _: str | None) -> FileTracks:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
        held = dict(arrays)
    if "frame_splits" in held:
        return _from_rows(
            np.repeat(np.asarray(held["frame_idx"], np.int64), np.diff(held["frame_splits"])),
            held["point_id"],
            held["xy"],
            held["visible"],
            held["confidence"],
        )
    xy = held["tracks"] if "tracks" in held else held["xy"]
    size = held.get("size_hw")
    size_hw = None if size is None else (int(size[0]), int(size[1]))
    return _checked(xy, _visible(held, xy), held.get("confidence"), size_hw)


def _visible(held: Mapping[str, Any], xy: Any) -> Any:
    """What a table of arrays says of visibility; without any, a point is visible where it is known."""
    if "occluded" in held:
        return ~(np.asarray(held["occluded"]) > _SURE)
    return np.asarray(held["visible"]) > _SURE if "visible" in held else np.ones(np.shape(xy)[:2], np.bool_)


def _read_npy(path: Path, _: str | None) -> FileTracks:
    table = np.load(path, allow_pickle=False)
    if table.ndim != 3 or table.shape[2] not in (2, 3):
        raise ValueError(f"its array is {table.shape}, expected (frames, points, 2), or 3 with visibility")
    visible = table[..., 2] > _SURE if table.shape[2] == 3 else np.ones(table.shape[:2], np.bool_)
    return _checked(table[..., :2], visible, None, None)


def _read_csv(path: Path, _: str | None) -> FileTracks:
    rows = list(csv.DictReader(io.StringIO(read_text(path))))
    if not rows:
        raise ValueError("it has no rows")
    flags = {"true": True, "1": True, "false": False, "0": False}
    visible = [flags[str(row.get("visible") or "true").strip().lower()] for row in rows]
    return _from_rows(
        np.array([int(row["frame_idx"]) for row in rows]),
        np.array([int(row["point_id"]) for row in rows]),
        np.array([[float(row["x"]), float(row["y"])] for row in rows]),
        np.array(visible),
        np.array([float(row.get("confidence") or seen) for row, seen in zip(rows, visible, strict=True)]),
    )


def _from_rows(frame_idx: Any, point_id: Any, xy: Any, visible: Any, confidence: Any) -> FileTracks:
    """A row for each point on each frame where it is known."""
    frames = np.asarray(frame_idx, np.int64)
    if len(frames) == 0 or frames.min() < 0:
        raise ValueError("it has no rows, or a frame before 0")
    ids, column = np.unique(point_id, return_inverse=True)
    shape = int(frames.max()) + 1, len(ids)
    if shape[0] * shape[1] * 8 > _MAX_BYTES:
        raise ValueError(f"{shape[1]} points on {shape[0]} frames are too many")
    table = np.full((*shape, 2), np.nan)
    seen, sure = np.zeros(shape, np.bool_), np.zeros(shape, np.float32)
    table[frames, column], seen[frames, column], sure[frames, column] = xy, visible, confidence
    return _checked(table, seen, sure, None)


def _read_tapvid(path: Path, name: str | None) -> FileTracks:
    """``points`` (n, t, 2) are x and y in fractions of the sides, (0, 0) being the frame's corner; ``occluded`` is (n, t)."""
    tree = read_pickle(path)
    if isinstance(tree, list):
        tree = {str(i): entry for i, entry in enumerate(tree)}
    if not isinstance(tree, dict):
        raise ValueError("it holds no videos by name")
    videos = {"": tree} if "points" in tree else {str(key): value for key, value in tree.items()}
    if name is None and len(videos) > 1:
        raise ValueError(f"it has {len(videos)} videos; name one as tracks:FILE#NAME: {', '.join(list(videos)[:8])}, ...")
    chosen = next(iter(videos)) if name is None else name
    if chosen not in videos:
        raise ValueError(f"it has no video {chosen!r}, but {', '.join(list(videos)[:8])}")
    entry = videos[chosen]
    points, occluded = np.asarray(entry["points"], np.float64), np.asarray(entry["occluded"])
    if points.ndim != 3 or points.shape[2] != 2 or occluded.shape != points.shape[:2]:
        raise ValueError(f"points are {points.shape} and occluded {occluded.shape}, expected (n, t, 2) and (n, t)")
    return _checked(points.transpose(1, 0, 2), ~(occluded.T > _SURE), None, (1, 1))


def _checked(xy: Any, visible: Any, confidence: Any, size_hw: tuple[int, int] | None) -> FileTracks:
    locations, seen = np.asarray(xy, np.float64), np.asarray(visible, np.bool_)
    if locations.ndim != 3 or locations.shape[2] != 2 or seen.shape != locations.shape[:2]:
        raise ValueError(f"locations are {locations.shape} and visibility {seen.shape}, expected (t, n, 2) and (t, n)")
    known: BoolArray = np.asarray(np.isfinite(locations).all(-1))
    if not known.any():
        raise ValueError("it says of no point where it is")
    seen = seen & known
    sure = seen.astype(np.float32) if confidence is None else np.clip(np.nan_to_num(np.asarray(confidence, np.float32)), 0, 1)
    if sure.shape != seen.shape:
        raise ValueError(f"confidence is {sure.shape}, expected {seen.shape}")
    return FileTracks(np.where(known[..., None], locations, 0).astype(np.float32), known, seen, sure, size_hw)


_READERS: dict[str, Callable[[Path, str | None], FileTracks]] = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": _read_csv,
    ".pkl": _read_tapvid,
    ".pickle": _read_tapvid,
}
