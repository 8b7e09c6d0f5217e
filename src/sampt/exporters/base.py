"""What every exporter shares: objects with their names, the frames that they are on, files that appear only when complete."""

from __future__ import annotations

import contextlib
import unicodedata
import zipfile
from array import array
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from sampt.errors import OutputError
from sampt.files.atomic import completing, partial_of
from sampt.files.palette import display_colour_of
from sampt.types import BoolArray, FrameMasks, IntArray, UInt8Array
from sampt.video.base import Video

__all__ = [
    "ExportFunction",
    "ExportObject",
    "add_to_zip",
    "box_of",
    "box_tables",
    "clip_name",
    "export_file",
    "named_by_id",
    "object_named",
    "read_frame",
    "run_lengths",
    "selected",
]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the bytes of an archive depend on its contents alone
_UNIX = 3
_NOT_IN_XML = ("\ufffe", "\uffff")


@dataclass(frozen=True)
class ExportObject:
    """One object as a person knows it.

    Attributes:
        object_id: from 1.
        name: what it is called; objects with one name are of one class in formats that have classes.
        colour_rgb: three numbers from 0 to 255.

    Raises:
        OutputError: the name is empty or holds control characters, the id is below 1, or the colour is none.
    """

    object_id: int
    name: str
    colour_rgb: tuple[int, int, int]

    def __post_init__(self) -> None:
        if self.object_id < 1:
            raise OutputError(f"Object id {self.object_id} cannot be exported; expected ids from 1 (0 is background).")
        unfit = any(c in _NOT_IN_XML or unicodedata.category(c) in ("Cc", "Cs") for c in self.name)
        if unfit or not self.name.strip():
            raise OutputError(
                f"Object {self.object_id} is named {self.name!r}; expected one line without control characters: rename it."
            )
        if len(self.colour_rgb) != 3 or not all(0 <= value <= 255 for value in self.colour_rgb):
            raise OutputError(
                f"Object {self.object_id} has the colour {self.colour_rgb}; expected red, green and blue from 0 to 255."
            )

    @property
    def colour_hex(self) -> str:
        """``#rrggbb``."""
        return "#{:02x}{:02x}{:02x}".format(*self.colour_rgb)


ExportFunction: TypeAlias = Callable[[Iterable[FrameMasks], Video, Sequence[ExportObject], Path], None]
"""(frames, video, objects, path): writes one file. See :func:`sampt.exporters.registry.export`."""


def object_named(object_id: int, name: str | None = None) -> ExportObject:
    """An object in the colour that overlays give it, called ``object <id>`` when it has no name."""
    return ExportObject(object_id, name or f"object {object_id}", display_colour_of(object_id))


def named_by_id(objects: Sequence[ExportObject]) -> dict[int, ExportObject]:
    """Objects by id, ascending.

    Raises:
        OutputError: there is none, or an id occurs twice.
    """
    by_id = {item.object_id: item for item in sorted(objects, key=lambda item: item.object_id)}
    if not objects or len(by_id) != len(objects):
        raise OutputError(
            f"The export was given the objects {[item.object_id for item in objects]}; expected at least one, each once."
        )
    return by_id


def selected(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject]) -> Iterator[FrameMasks]:
    """``frames`` reduced to ``objects``, in order of their ids, one at a time.

    An object that is listed but not part of a frame is not part of what is given for it.

    Raises:
        OutputError: frames do not ascend, are none, lie outside the video, or have another size than it.
    """
    wanted = np.array(list(named_by_id(objects)), np.int64)
    last = -1
    for frame in frames:
        if not last < frame.frame_idx < video.num_frames:
            raise OutputError(
                f"Frame {frame.frame_idx} was to be exported after frame {last} of {video.label}, which has "
                f"{video.num_frames}; expected frames of the video in ascending order."
            )
        if frame.masks.shape[1:] != video.size_hw:
            raise OutputError(
                f"The masks of frame {frame.frame_idx} are {frame.masks.shape[2]}x{frame.masks.shape[1]}, expected the video's "
                f"{video.size_hw[1]}x{video.size_hw[0]}: open the video that was segmented."
            )
        last = frame.frame_idx
        yield _reduced(frame, wanted)
    if last < 0:
        raise OutputError("The export was given no frame; expected at least one: segment the video first.")


def _reduced(frame: FrameMasks, wanted: IntArray) -> FrameMasks:
    keep = np.isin(frame.object_ids, wanted)
    keep_points = np.isin(frame.points.object_id, wanted)
    if keep.all() and keep_points.all():
        return frame
    return FrameMasks(
        frame.frame_idx,
        frame.object_ids[keep],
        frame.masks[keep],
        frame.scores[keep],
        frame.states[keep],
        frame.points.select(keep_points),
    )


@contextmanager
def export_file(path: Path) -> Iterator[Path]:
    """The partial file to write inside the block; it becomes ``path`` when the block ends well, else it is removed.

    Raises:
        OutputError: it cannot be written.
    """
    try:
        with completing(path) as partial:
            yield partial
    except BaseException:
        with contextlib.suppress(OSError):  # the first failure is the one to tell
            partial_of(path).unlink(missing_ok=True)
        raise


def add_to_zip(archive: zipfile.ZipFile, name: str, data: bytes) -> None:
    """Add a member, stored as it is, with the same bytes on every machine and day.

    A backslash in its name, which Windows would take for the end of a folder's name, becomes ``_``, and so does what begins the
    escape of a byte that is no UTF-8.

    Raises:
        OutputError: the archive has a member of that name: two frames of the video have one name.
    """
    name = name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\\", "_")
    if name in archive.NameToInfo:
        raise OutputError(f"Two frames of the video would both be {name} in the archive; expected frames with different names.")
    info = zipfile.ZipInfo(name, _EPOCH)
    info.compress_type, info.create_system, info.external_attr = zipfile.ZIP_STORED, _UNIX, 0o644 << 16
    archive.writestr(info, data)


def read_frame(video: Video, frame_idx: int) -> UInt8Array:
    """One frame, (h, w, 3) uint8 RGB."""
    return np.asarray(video.read(frame_idx, frame_idx + 1)[0], np.uint8)


def clip_name(video: Video) -> str:
    """The name of the video's file or folder, without its ending."""
    return Path(video.label).stem


def box_of(mask: BoolArray) -> tuple[int, int, int, int] | None:
    """Left, top, width and height of the set pixels of an (h, w) mask; None when there is none."""
    x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
    return (x, y, width, height) if width else None


def box_tables(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject]) -> dict[int, IntArray]:
    """The boxes of every object that is present at all, by id: (n, 5) frame, left, top, width, height; 40 bytes a row.

    Raises:
        OutputError: as :func:`selected`.
    """
    rows = {object_id: array("q") for object_id in named_by_id(objects)}
    for frame in selected(frames, video, objects):
        for object_id, mask in zip(frame.object_ids.tolist(), frame.masks, strict=True):
            if box := box_of(mask):
                rows[object_id].extend((frame.frame_idx, *box))
    return {object_id: np.frombuffer(row, np.int64).reshape(-1, 5) for object_id, row in rows.items() if row}


def run_lengths(mask: BoolArray) -> IntArray:
    """Lengths of the runs of an (h, w) mask read row by row, first of unset pixels (0 when the first pixel is set)."""
    flat = np.concatenate(([False], mask.ravel()))
    ends = np.flatnonzero(flat[1:] != flat[:-1])
    return np.diff(np.concatenate(([0], ends, [mask.size]))).astype(np.int64)
