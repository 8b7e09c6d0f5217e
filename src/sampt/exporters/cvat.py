"""Annotations that CVAT imports as "CVAT 1.1": masks or polygons frame by frame, polygons or boxes as tracks.

CVAT has no tracks of masks. Its importer (``load_anno`` in cvat/apps/dataset_manager/formats/cvat.py) reads a ``<mask>`` inside
a ``<track>``, but keeps the first one only and makes a single shape of it; the maintainers say the same (cvat-ai/cvat issue
6264). So masks go out as "CVAT for images 1.1", which the same importer takes for image and for video tasks, and where
``group_id`` says which masks are one object; the tracks of "CVAT for video 1.1" carry one box or polygon a frame.
Elements and attributes are those of https://docs.cvat.ai/docs/other/xml_format; a frame's ``id`` finds it in a video task, its
``name`` in a task of images.
"""

from __future__ import annotations

import html
import re
from array import array
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from sampt.exporters.base import ExportContext, ExportFrame, ExportObject, color_hex, named_by_id
from sampt.exporters.boxes import BoxTables, clip_name, find_box, run_lengths
from sampt.exporters.files import SpooledText, TextExport
from sampt.exporters.polygons import trace_polygon, trace_polygons
from sampt.types import FloatArray, IntArray

__all__ = ["CvatBoxes", "CvatMasks", "CvatPolygons", "CvatTracks"]


_NOT_IN_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Of version 1.0 (https://www.w3.org/TR/xml/#charsets): control characters, and bytes of names that are no UTF-8."""


class CvatMasks(SpooledText):
    """Writes "CVAT for images 1.1": an ``<image>`` a frame with a ``<mask>`` an object that is present.

    ``rle`` holds run lengths inside the box of the mask (left, top, width, height), row by row, background first. ``label`` is
    the object's name, ``group_id`` its id; where masks overlap the smaller id lies on top (``z_order``). The task must have
    labels of these names.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._context, self._named = context, named_by_id(context.objects)
        super().__init__(path)

    def head(self) -> str:
        return _head(self._context, "annotation")

    def write(self, frame: ExportFrame) -> None:
        height, width = self._context.video.size_hw
        name = _text(self._context.image_name(frame))
        self.put(f'  <image id="{frame.frame_idx}" name="{name}" width="{width}" height="{height}">\n')
        for shape in self._shapes(frame):
            self.put(shape)
        self.put("  </image>\n")

    def _shapes(self, frame: ExportFrame) -> Iterator[str]:
        return _masks(frame, self._named)

    def tail(self) -> str:
        return "</annotations>\n"


def _masks(frame: ExportFrame, named: dict[int, ExportObject]) -> Iterator[str]:
    result = frame.result
    for i, (object_id, mask) in enumerate(zip(result.object_ids.tolist(), result.masks, strict=True)):
        box = find_box(mask)
        if box is None:
            continue
        left, top, width, height = box
        runs = ", ".join(map(str, run_lengths(mask[top : top + height, left : left + width]).tolist()))
        location = f'left="{left}" top="{top}" width="{width}" height="{height}" z_order="{len(result.object_ids) - 1 - i}"'
        label = f'label="{_text(named[object_id].name)}" source="auto" group_id="{object_id}"'
        yield f'    <mask {label} occluded="0" rle="{runs}" {location}>\n    </mask>\n'


class CvatPolygons(CvatMasks):
    """The same with a ``<polygon>`` for each part of a mask, holes cut open (:mod:`sampt.exporters.polygons`).

    ``group_id`` says which are one object.
    """

    def _shapes(self, frame: ExportFrame) -> Iterator[str]:
        result = frame.result
        for i, (object_id, mask) in enumerate(zip(result.object_ids.tolist(), result.masks, strict=True)):
            label = f'label="{_text(self._named[object_id].name)}" source="auto" group_id="{object_id}"'
            z_order = len(result.object_ids) - 1 - i
            for polygon in trace_polygons(mask):
                yield f'    <polygon {label} occluded="0" points="{_points(polygon)}" z_order="{z_order}">\n    </polygon>\n'


class CvatTracks(SpooledText):
    """Writes "CVAT for video 1.1": a ``<track>`` an object with one ``<polygon>`` on every frame where it is present.

    As a track has one shape a frame, the parts of a mask are joined by lines of no width. All are key frames, and an object's
    absence is ``outside="1"``, as with :class:`CvatBoxes`. The polygons wait on disk; memory grows by 24 bytes an object and
    frame.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._context, self._named = context, named_by_id(context.objects)
        self._rows = {object_id: array("q") for object_id in self._named}  # frame, offset and length in the spool
        super().__init__(path)

    def write(self, frame: ExportFrame) -> None:
        for object_id, mask in zip(frame.result.object_ids.tolist(), frame.result.masks, strict=True):
            polygon = trace_polygon(mask)
            if polygon is not None:
                text = _points(polygon)
                self._rows[object_id].extend((frame.frame_idx, self._spool.tell(), len(text)))
                self.put(text)

    def head(self) -> str:
        return _head(self._context, "interpolation")

    def tail(self) -> str:
        return "</annotations>\n"

    def _assemble(self, partial: Path) -> None:
        with partial.open("w", encoding="utf-8", newline="") as file:
            file.write(self.head())
            present = [object_id for object_id, row in self._rows.items() if row]
            for number, object_id in enumerate(present):
                label = _text(self._named[object_id].name)
                file.write(f'  <track id="{number}" label="{label}" source="auto" group_id="{object_id}">\n')
                file.writelines(self._polygons(object_id))
                file.write("  </track>\n")
            file.write(self.tail())

    def _polygons(self, object_id: int) -> Iterator[str]:
        table = np.frombuffer(self._rows[object_id], np.int64).reshape(-1, 3)
        next_frames = chain(table[1:, 0].tolist(), [self._context.video.num_frames])
        for (frame, offset, length), next_frame in zip(table.tolist(), next_frames, strict=True):
            self._spool.seek(offset)
            points = self._spool.read(length).decode("ascii")
            yield _track_polygon(frame, points, is_outside=False)
            if next_frame > frame + 1:
                yield _track_polygon(frame + 1, points, is_outside=True)


def _track_polygon(frame_idx: int, points: str, *, is_outside: bool) -> str:
    state = f'frame="{frame_idx}" keyframe="1" outside="{int(is_outside)}" occluded="0"'
    return f'    <polygon {state} points="{points}" z_order="0">\n    </polygon>\n'


def _points(polygon: FloatArray) -> str:
    return ";".join(f"{x:.0f},{y:.0f}" for x, y in polygon.tolist())


class CvatBoxes(TextExport):
    """Writes "CVAT for video 1.1": a ``<track>`` an object with its ``<box>`` on every frame where it is present.

    A box spans the outer edges of the pixels of the mask. All are key frames, so nothing is interpolated; where an object goes
    absent, or the exported frames end, its last box is repeated with ``outside="1"`` on the next frame. An object that is never
    present has no track. Memory grows by 40 bytes an object and frame.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._context, self._named = context, named_by_id(context.objects)
        self._boxes = BoxTables(context.objects)
        super().__init__(path)

    def write(self, frame: ExportFrame) -> None:
        self._boxes.add(frame)

    def finish(self) -> None:
        self.put(_head(self._context, "interpolation"))
        for number, (object_id, table) in enumerate(self._boxes.tables().items()):
            label = _text(self._named[object_id].name)
            self.put(f'  <track id="{number}" label="{label}" source="auto" group_id="{object_id}">\n')
            for box in _boxes(table, self._context.video.num_frames):
                self.put(box)
            self.put("  </track>\n")
        self.put("</annotations>\n")


def _boxes(table: IntArray, num_frames: int) -> Iterator[str]:
    next_rows = chain(table[1:, 0].tolist(), [num_frames])
    for (frame, left, top, width, height), next_frame in zip(table.tolist(), next_rows, strict=True):
        location = f'xtl="{left}" ytl="{top}" xbr="{left + width}" ybr="{top + height}" z_order="0"'
        yield f'    <box frame="{frame}" keyframe="1" outside="0" occluded="0" {location}>\n    </box>\n'
        if next_frame > frame + 1:
            yield f'    <box frame="{frame + 1}" keyframe="1" outside="1" occluded="0" {location}>\n    </box>\n'


def _head(context: ExportContext, mode: str) -> str:
    video = context.video
    height, width = video.size_hw
    labels = "".join(
        f"        <label>\n          <name>{_text(name)}</name>\n          <color>{color_hex(color)}</color>\n"
        "          <type>any</type>\n          <attributes>\n          </attributes>\n        </label>\n"
        for name, color in context.class_colors.items()
    )
    size = f"<width>{width}</width>\n        <height>{height}</height>"
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n'
        f"      <name>{_text(clip_name(video))}</name>\n      <size>{video.num_frames}</size>\n"
        f"      <mode>{mode}</mode>\n      <labels>\n{labels}      </labels>\n"
        f"      <original_size>\n        {size}\n      </original_size>\n    </task>\n  </meta>\n"
    )


def _text(text: str) -> str:
    """For elements and attributes: names of frames are names of files, which may hold what XML cannot."""
    kept = _NOT_IN_XML.sub("\ufffd", text)
    return html.escape(kept, quote=True).replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")
