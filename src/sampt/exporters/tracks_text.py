"""Tracks of points as text: JSON with an entry a frame, or CSV with a row a point and frame."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sampt.exporters.base import ExportContext, ExportFrame, named_by_id
from sampt.exporters.files import SpooledText, TextExport
from sampt.types import FramePoints, HiddenBy

__all__ = ["CSV_COLUMNS", "TRACKS_FORMAT", "TracksCsv", "TracksJson"]

TRACKS_FORMAT = "sampt-tracks-1"
CSV_COLUMNS = (
    "frame_idx",
    "frame_name",
    "time_s",
    "object_id",
    "object_name",
    "point_id",
    "is_positive",
    "x",
    "y",
    "visible",
    "confidence",
    "hidden_by",
)
_FORMULA = re.compile(r"[\s\x00]*[=+@\t\r\uff1d\uff0b\uff0d\uff20-]|'")
"""How text begins that Excel, LibreOffice or Google Sheets computes (https://owasp.org/www-community/attacks/CSV_Injection)."""
_CODES = {int(code): code.name.lower() for code in HiddenBy}


def _rows(points: FramePoints) -> Iterator[dict[str, Any]]:
    """Numbers in their shortest form that reads back as the same float32."""
    for i in range(len(points)):
        yield {
            "point_id": int(points.point_id[i]),
            "object_id": int(points.object_id[i]),
            "is_positive": bool(points.is_positive[i]),
            "x": float(str(points.xy[i, 0])),
            "y": float(str(points.xy[i, 1])),
            "visible": bool(points.visible[i]),
            "confidence": float(str(points.confidence[i])),
            "hidden_by": _CODES[int(points.hidden_by[i])],
        }


class TracksJson(SpooledText):
    """Writes one JSON object: ``format``, ``video``, ``objects`` and ``frames``, each with its ``points``.

    ``x`` and ``y`` are pixels, (0, 0) the centre of the top-left one; ``hidden_by`` is ``none`` where the point is visible,
    else the reason (see :class:`sampt.types.HiddenBy`). A point keeps its ``point_id`` over the frames.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._video, self._named = context.video, named_by_id(context.objects)
        self._between = "\n"
        super().__init__(path)

    def head(self) -> str:
        video, (height, width) = self._video, self._video.size_hw
        about = {"label": video.label, "width": width, "height": height, "num_frames": video.num_frames, "fps": video.fps}
        listed = [{"id": o.object_id, "name": o.name, "color": o.color_hex} for o in self._named.values()]
        return f'{{"format": "{TRACKS_FORMAT}", "video": {json.dumps(about)},\n"objects": {json.dumps(listed)},\n"frames": ['

    def write(self, frame: ExportFrame) -> None:
        head = {"frame_idx": frame.frame_idx, "name": frame.name, "time_s": frame.time_s}
        self.put(self._between + json.dumps({**head, "points": list(_rows(frame.result.points))}))
        self._between = ",\n"

    def tail(self) -> str:
        return "\n]}\n"


class TracksCsv(TextExport):
    """Writes a CSV file (UTF-8, RFC 4180) with the columns of :data:`CSV_COLUMNS`; values as in :class:`TracksJson`.

    Boolean values are 0 and 1. A name that a spreadsheet would take for a formula (it begins with =, +, -, @ or the like) has
    an apostrophe in front, and so has one that begins with an apostrophe: whoever reads names back takes one off.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._named = named_by_id(context.objects)
        super().__init__(path, errors="backslashreplace")
        self._table = csv.DictWriter(self.file, CSV_COLUMNS)
        self._table.writeheader()

    def write(self, frame: ExportFrame) -> None:
        head = {"frame_idx": frame.frame_idx, "frame_name": _cell(frame.name), "time_s": frame.time_s}
        for row in _rows(frame.result.points):
            numbers = {key: int(value) if isinstance(value, bool) else value for key, value in row.items()}
            self._table.writerow({**head, "object_name": _cell(self._named[row["object_id"]].name), **numbers})


def _cell(text: str) -> str:
    """Text that stays text in a spreadsheet."""
    return f"'{text}" if _FORMULA.match(text) else text
