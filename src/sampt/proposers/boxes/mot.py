"""Detections and tracks as MOTChallenge writes them: a line "frame, id, left, top, width, height, confidence, ..." a box.

https://motchallenge.net/instructions: frames count from 1. Boxes of a confidence of 0 do not count there, by its own rule.
"""

from __future__ import annotations

from pathlib import Path

from sampt.errors import BackendError
from sampt.files.limits import MAX_BOX_BYTES
from sampt.files.text import read_text
from sampt.proposers.boxes.rows import BoxRows, FileBoxes

__all__ = ["read_mot"]

_EXPECTED = "expected frame, id, left, top, width, height, confidence, separated by commas or blanks"


def read_mot(path: Path) -> FileBoxes:
    """The boxes of a text file.

    Raises:
        BackendError: a line is no box.
        ValueError: it is no text.
    """
    rows = BoxRows(path)
    for line, text in enumerate(read_text(path, MAX_BOX_BYTES, "detections").splitlines(), 1):
        if not text.strip() or (line == 1 and text.lstrip().lower().startswith("frame")):
            continue
        try:
            values = [float(part) for part in text.replace(",", " ").split()]
            if len(values) < 6 or not values[0].is_integer() or values[0] < 0:
                raise ValueError(f"it has {len(values)} numbers")
            frame, x, y, width, height = int(values[0]), *values[2:6]
            score = values[6] if len(values) > 6 else 1.0
            rows.add_image(frame, None, frame)
            if score != 0:
                rows.add(frame, (x, y, x + width, y + height), score, None, line)
        except (ValueError, OverflowError) as error:
            raise BackendError(f"{path}, line {line}: {text.strip()[:60]!r} is no box ({error}); {_EXPECTED}.") from error
    if not rows.numbers:
        raise BackendError(f"{path} has no line with a box; {_EXPECTED}.")
    return rows.finish()
