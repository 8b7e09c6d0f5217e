"""Annotated points on real video: the joints of BADJA on DAVIS sequences.

Source: Biggs et al., "Creatures Great and SMAL: Recovering the Shape and Motion of Animals from Video" (ACCV 2018), and the
program benjiebob/BADJA: a joint is (row, column) of a pixel of the frame at full resolution, its ``visibility`` says whether
it is seen, and the entry of a joint that is not seen says nothing. About every fifth frame is annotated.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from sampt.checks import shape_repr
from sampt.errors import EvaluationError
from sampt.evaluation.datasets import LabelMapSequence, davis_sequences, select_sequences
from sampt.evaluation.json_files import read_json
from sampt.files.listing import visible
from sampt.geometry import inside_frame, rescale_xy
from sampt.types import BoolArray, FloatArray, IntArray, Points

__all__ = ["BADJA_SIZE_HW", "PointTracks", "davis_point_tracks", "read_badja"]

BADJA_SIZE_HW = (1080, 1920)
"""Size of the DAVIS frames at full resolution on which the joints were marked."""


@dataclass(frozen=True, eq=False)
class PointTracks:
    """Where n points truly are on the f annotated frames of a video.

    Attributes:
        name: of the file.
        sequence: name of the video.
        frame_idx: (f,) int64, the annotated frames, ascending.
        xy: (f, n, 2) float32, pixels of the frames that they were read for; without meaning where not visible.
        visible: (f, n) bool; every point is visible on two frames at least.
    """

    name: str
    sequence: str
    frame_idx: IntArray
    xy: FloatArray
    visible: BoolArray

    __repr__ = shape_repr

    def __post_init__(self) -> None:
        f, n = self.visible.shape
        if self.xy.shape != (f, n, 2) or self.frame_idx.shape != (f,):
            raise EvaluationError(
                f"{self.name} has frame_idx {self.frame_idx.shape}, xy {self.xy.shape}, visible {self.visible.shape}; "
                "expected (f,), (f, n, 2), (f, n)."
            )
        if (np.diff(self.frame_idx) <= 0).any():
            raise EvaluationError(f"{self.name} does not have its frames in ascending order; expected each of them once.")
        if (self.visible.sum(0) < 2).any():
            raise EvaluationError(f"{self.name} has a point that is visible on fewer than two frames; leave it out.")
        for array in (self.frame_idx, self.xy, self.visible):
            array.setflags(write=False)

    @cached_property
    def queries(self) -> Points:
        """Each point on the first frame on which it is visible, as positive points of object 1."""
        return self._points_at(self.visible.argmax(0))

    @cached_property
    def last_queries(self) -> Points:
        """Each point on the last frame on which it is visible: for tracking backward."""
        return self._points_at(len(self.visible) - 1 - self.visible[::-1].argmax(0))

    def scored(self, queries: Points) -> BoolArray:
        """(f, n): visible, and not on the frame on which the point is given."""
        return np.asarray(self.visible & (self.frame_idx[:, None] != queries.frame_idx))

    def until(self, num_frames: int) -> PointTracks:
        """What is annotated before frame ``num_frames``, without the points that are then seen on fewer than two frames.

        Raises:
            EvaluationError: nothing is left.
        """
        early = self.frame_idx < num_frames
        kept = self.visible[early].sum(0) >= 2
        if not kept.any():
            raise EvaluationError(f"{self.name} has no point on two of the first {num_frames} frames; take more frames.")
        return PointTracks(
            self.name, self.sequence, self.frame_idx[early], self.xy[early][:, kept], self.visible[early][:, kept]
        )

    def _points_at(self, rows: np.ndarray) -> Points:
        n = len(rows)
        xy = self.xy[rows, np.arange(n)]
        return Points(xy, self.frame_idx[rows], np.ones(n, np.int64), np.ones(n, np.bool_))


def davis_point_tracks(root: Path | str) -> list[tuple[PointTracks, LabelMapSequence]]:
    """The files ``point_tracks/badja_*.json`` of a folder in DAVIS layout, each with its sequence, in pixels of its frames.

    Raises:
        EvaluationError: there is no such file, one is broken, or its sequence is not in the folder.
    """
    folder = Path(root) / "point_tracks"
    paths = sorted(visible(folder.glob("badja_*.json")))
    if not paths:
        raise EvaluationError(f"{folder} holds no badja_*.json; expected the joints of at least one sequence.")
    known = davis_sequences(root)
    found = []
    for path in paths:
        sequence = select_sequences(known, [_sequence_name(path, _entries(path))])[0]
        video = sequence.open()
        tracks = read_badja(path, video.size_hw)
        if tracks.frame_idx[-1] >= video.num_frames:
            raise EvaluationError(
                f"{path} annotates frame {tracks.frame_idx[-1]}, but {sequence.name} has {video.num_frames} frames."
            )
        found.append((tracks, sequence))
    return found


def read_badja(path: Path | str, size_hw: tuple[int, int], full_size_hw: tuple[int, int] = BADJA_SIZE_HW) -> PointTracks:
    """Read the joints of one BADJA file.

    Joints that are visible on fewer than two annotated frames are left out: there is nothing to compare them with.

    Args:
        path: a list of ``{"image_path", "joints", "visibility"}``; the stem of ``image_path`` is the number of the frame.
        size_hw: of the frames to track on; the joints are moved to their pixels.
        full_size_hw: of the frames on which they were marked.

    Raises:
        EvaluationError: the file is missing or not of this kind, or a visible joint lies outside the frame.
    """
    path = Path(path)
    entries = _entries(path)
    name = _sequence_name(path, entries)
    try:
        frame_idx = np.array([int(PurePosixPath(entry["image_path"]).stem) for entry in entries], np.int64)
        rows_columns = np.array([entry["joints"] for entry in entries], np.float32)
        visible = np.array([entry["visibility"] for entry in entries])
    except (KeyError, TypeError, ValueError) as error:
        raise EvaluationError(f"{path} is not of the BADJA kind: {type(error).__name__} {error}.") from None
    if visible.dtype != np.bool_ or rows_columns.shape != (*visible.shape, 2):
        raise EvaluationError(
            f"{path} has joints {rows_columns.shape} and visibility {visible.dtype} {visible.shape}; "
            "expected (f, n, 2) and true or false for each."
        )
    xy = rows_columns[..., ::-1]
    if not inside_frame(xy, full_size_hw)[visible].all():
        raise EvaluationError(f"{path} has a visible joint outside a frame of {full_size_hw[1]}x{full_size_hw[0]}.")
    kept = visible.sum(0) >= 2
    if not kept.any():
        raise EvaluationError(f"{path} has no joint that is visible on two frames; expected at least one.")
    order = np.argsort(frame_idx, kind="stable")
    moved = rescale_xy(xy[order][:, kept], full_size_hw, size_hw)
    return PointTracks(path.stem, name, frame_idx[order], moved, visible[order][:, kept])


def _entries(path: Path) -> list[Any]:
    entries = read_json(path, "a file of joints")
    if not isinstance(entries, list) or not entries or not all(isinstance(entry, dict) for entry in entries):
        raise EvaluationError(f"{path} is not of the BADJA kind: expected a list with one object a frame.")
    return entries


def _sequence_name(path: Path, entries: list[Any]) -> str:
    """The folder that all frames of a file lie in."""
    names = {PurePosixPath(str(entry.get("image_path", ""))).parent.name for entry in entries}
    if len(names) != 1 or names == {""}:
        raise EvaluationError(f"{path} has frames of {sorted(names)}; expected the image_path of one sequence.")
    return str(names.pop())
