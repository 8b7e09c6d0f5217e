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
from collections.abc import Iterable, Iterator, Sequence
from itertools import chain
from pathlib import Path
from typing import IO

from sampt.exporters.base import ExportObject, box_of, box_tables, clip_name, export_file, named_by_id, run_lengths, selected
from sampt.types import FrameMasks, IntArray
from sampt.video.base import Video

__all__ = ["write_cvat_boxes", "write_cvat_masks"]


_NOT_IN_XML = re.compile("[^\\t\\n\\r\\x20-\\ud7ff\\ue000-\\ufffd\\U00010000-\\U0010ffff]")
"""Of version 1.0 (https://www.w3.org/TR/xml/#charsets): control characters, and bytes of names that are no UTF-8."""


def write_cvat_masks(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path) -> None:
    """Write "CVAT for images 1.1": an ``<image>`` a frame with a ``<mask>`` an object that is present.

    ``rle`` holds run lengths inside the box of the mask (left, top, width, height), row by row, background first. ``label`` is
    the object's name, ``group_id`` its id; where masks overlap the smaller id lies on top (``z_order``). The task must have
    labels of these names.

    Raises:
        OutputError: it cannot be written.
    """
    named = named_by_id(objects)
    height, width = video.size_hw
    with export_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        _write_head(file, video, named.values(), "annotation")
        for frame in selected(frames, video, objects):
            name = _text(f"{video.frame_name(frame.frame_idx)}.png")
            file.write(f'  <image id="{frame.frame_idx}" name="{name}" width="{width}" height="{height}">\n')
            file.writelines(_masks(frame, named))
            file.write("  </image>\n")
        file.write("</annotations>\n")


def _masks(frame: FrameMasks, named: dict[int, ExportObject]) -> Iterator[str]:
    for i, (object_id, mask) in enumerate(zip(frame.object_ids.tolist(), frame.masks, strict=True)):
        box = box_of(mask)
        if box is None:
            continue
        left, top, width, height = box
        runs = ", ".join(map(str, run_lengths(mask[top : top + height, left : left + width]).tolist()))
        place = f'left="{left}" top="{top}" width="{width}" height="{height}" z_order="{len(frame.object_ids) - 1 - i}"'
        label = f'label="{_text(named[object_id].name)}" source="auto" group_id="{object_id}"'
        yield f'    <mask {label} occluded="0" rle="{runs}" {place}>\n    </mask>\n'


def write_cvat_boxes(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path) -> None:
    """Write "CVAT for video 1.1": a ``<track>`` an object with its ``<box>`` on every frame where it is present.

    A box spans the outer edges of the pixels of the mask. All are key frames, so nothing is interpolated; where an object goes
    absent, or the exported frames end, its last box is repeated with ``outside="1"`` on the next frame. An object that is never
    present has no track. Memory grows by 40 bytes an object and frame.

    Raises:
        OutputError: it cannot be written.
    """
    named = named_by_id(objects)
    with export_file(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        tables = box_tables(frames, video, objects)
        _write_head(file, video, named.values(), "interpolation")
        for number, (object_id, table) in enumerate(tables.items()):
            label = _text(named[object_id].name)
            file.write(f'  <track id="{number}" label="{label}" source="auto" group_id="{object_id}">\n')
            file.writelines(_boxes(table, video.num_frames))
            file.write("  </track>\n")
        file.write("</annotations>\n")


def _boxes(table: IntArray, num_frames: int) -> Iterator[str]:
    following = chain(table[1:, 0].tolist(), [num_frames])
    for (frame, left, top, width, height), next_frame in zip(table.tolist(), following, strict=True):
        place = f'xtl="{left}" ytl="{top}" xbr="{left + width}" ybr="{top + height}" z_order="0"'
        yield f'    <box frame="{frame}" keyframe="1" outside="0" occluded="0" {place}>\n    </box>\n'
        if next_frame > frame + 1:
            yield f'    <box frame="{frame + 1}" keyframe="1" outside="1" occluded="0" {place}>\n    </box>\n'


def _write_head(file: IO[str], video: Video, objects: Iterable[ExportObject], mode: str) -> None:
    height, width = video.size_hw
    colours: dict[str, str] = {}
    for item in objects:
        colours.setdefault(item.name, item.colour_hex)
    file.write('<?xml version="1.0" encoding="utf-8"?>\n<annotations>\n  <version>1.1</version>\n  <meta>\n    <task>\n')
    file.write(f"      <name>{_text(clip_name(video))}</name>\n      <size>{video.num_frames}</size>\n")
    file.write(f"      <mode>{mode}</mode>\n      <labels>\n")
    for name, colour in colours.items():
        file.write(f"        <label>\n          <name>{_text(name)}</name>\n          <color>{colour}</color>\n")
        file.write("          <type>any</type>\n          <attributes>\n          </attributes>\n        </label>\n")
    file.write("      </labels>\n")
    size = f"<width>{width}</width>\n        <height>{height}</height>"
    file.write(f"      <original_size>\n        {size}\n      </original_size>\n    </task>\n  </meta>\n")


def _text(text: str) -> str:
    """For elements and attributes: names of frames are names of files, which may hold what XML cannot."""
    kept = _NOT_IN_XML.sub("\ufffd", text)
    return html.escape(kept, quote=True).replace("\t", "&#9;").replace("\n", "&#10;").replace("\r", "&#13;")
