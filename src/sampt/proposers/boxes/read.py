"""Files of detections: which reader is for which."""

from __future__ import annotations

from pathlib import Path

from sampt.errors import BackendError
from sampt.proposers.boxes.coco import read_coco
from sampt.proposers.boxes.mot import read_mot
from sampt.proposers.boxes.rows import EXPECTED, FileBoxes
from sampt.proposers.boxes.yolo import read_yolo

__all__ = ["read_boxes"]


def read_boxes(path: Path) -> FileBoxes:
    """The detections in a file or a folder.

    Raises:
        BackendError: it is not there, or is none of the kinds that are read.
        LimitError: it holds too much.
    """
    if not path.exists():
        raise BackendError(f"No file of detections is at {path}; {EXPECTED}.")
    if path.is_dir():
        return read_yolo(path)
    readers = {".json": read_coco, ".txt": read_mot, ".csv": read_mot}
    reader = readers.get(path.suffix.lower())
    if reader is None:
        raise BackendError(f"{path} is no file of detections that can be read; {EXPECTED}.")
    try:
        return reader(path)
    except (OSError, ValueError) as error:
        raise BackendError(
            f"{path} cannot be read as detections ({' '.join(str(error).split()).rstrip('.')}); {EXPECTED}."
        ) from error
