"""Annotations that CVAT imports as "CVAT 1.1": masks frame by frame, or boxes as tracks.

CVAT has no tracks of masks. Its importer (``load_anno`` in cvat/apps/dataset_manager/formats/cvat.py) reads a ``<mask>`` inside
a ``<track>``, but keeps the first one only and makes a single shape of it; the maintainers say the same (cvat-ai/cvat issue
6264). So masks go out as "CVAT for images 1.1", which the same importer takes for image and for video tasks, and where
``group_id`` says which masks are one object; the tracks of "CVAT for video 1.1" carry boxes. Elements and attributes are those
of https://docs.cvat.ai/docs/other/xml_format; a frame's ``id`` finds it in a video task, its ``name`` in a task of images.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

from sampt.exporters.base import ExportContext, ExportFrame, ExportObject, named_by_id
from sampt.exporters.boxes import BoxTables, clip_name, find_box, run_lengths
from sampt.exporters.files import SpooledText, TextExport
from sampt.types import IntArray
from sampt.video.base import Video

__all__ = ["CvatBoxes", "CvatMasks"]


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
        self._video, self._named = context.video, named_by_id(context.objects)
        super().__init__(path)

    def head(self) -> str:
        return _head(self._video, self._named.values(), "annotation")

    def write(self, frame: ExportFrame) -> None:
        height, width = self._video.size_hw
        name = _text(f"{frame.name}.png")
        self.put(f'  <image id="{frame.frame_idx}" name="{name}" width="{width}" height="{height}">\n')
        for mask in _masks(frame, self._named):
            self.put(mask)
        self.put("  </image>\n")

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


class CvatBoxes(TextExport):
    """Writes "CVAT for video 1.1": a ``<track>`` an object with its ``<box>`` on every frame where it is present.

    A box spans the outer edges of the pixels of the mask. All are key frames, so nothing is interpolated; where an object goes
    absent, or the exported frames end, its last box is repeated with ``outside="1"`` on the next frame. An object that is never
    present has no track. Memory grows by 40 bytes an object and frame.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._video, self._named = context.video, named_by_id(context.objects)
        self._boxes = BoxTables(context.objects)
        super().__init__(path)

    def write(self, frame: ExportFrame) -> None:
        self._boxes.add(frame)

    def finish(self) -> None:
        self.put(_head(self._video, self._named.values(), "interpolation"))
        for number, (object_id, table) in enumerate(self._boxes.tables().items()):
            label = _text(self._named[object_id].name)
            self.put(f'  <track id="{number}" label="{label}" source="auto" group_id="{object_id}">\n')
            for box in _boxes(table, self._video.num_frames):
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


def _head(video: Video, objects: Iterable[ExportObject], mode: str) -> str:
    height, width = video.size_hw
    colors: dict[str, str] = {}
    for item in objects:
        colors.setdefault(item.name, item.color_hex)
    labels = "".join(
        f"        <label>\n          <name>{_text(name)}</name>\n          <color>{color}</color>\n"
        "          <type>any</type>\n          <attributes>\n          </attributes>\n        </label>\n"
        for name, color in colors.items()
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
