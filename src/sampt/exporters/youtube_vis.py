"""Masks as run-length codes in the YouTube-VIS layout (COCO for video), with the objects' names as categories."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

from sampt.exporters.base import ExportContext, named_by_id
from sampt.exporters.boxes import clip_name
from sampt.exporters.masks import CocoRleWriter

__all__ = ["NamedRleWriter"]


class NamedRleWriter(CocoRleWriter):
    """Writes one JSON file: ``videos``, ``categories`` (one a name, with its color) and ``annotations`` (one an object).

    An annotation's ``id`` is the object's. ``segmentations`` (COCO's compressed codes), ``areas`` and ``bboxes`` ([x, y, width,
    height]) have one entry a frame of ``video``, null where the object is absent or the frame was not exported; an object that
    is never present has an annotation, too. ``score`` is the mean predicted IoU where the object was prompted. Masks that
    overlap stay whole. Memory grows by 72 bytes an object and frame; the codes wait on disk.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._named, self._context = named_by_id(context.objects), context
        super().__init__(path, context)

    def _pieces(self) -> Iterator[str]:
        length, (height, width) = self._video.num_frames, self._video.size_hw
        clip = clip_name(self._video)
        head = {"id": 1, "width": width, "height": height, "length": length}
        yield '{"info": {"description": "sampt"}, "videos": [' + json.dumps(head)[:-1] + ', "file_names": ['
        yield from _list(json.dumps(f"{clip}/{self._video.frame_name(i)}.jpg") for i in range(length))
        categories = [
            {"id": number, "name": name, "supercategory": "object", "color": color}
            for number, (name, color) in enumerate(self._context.class_colors.items(), 1)
        ]
        numbers = self._context.class_numbers()
        yield f']}}], "categories": {json.dumps(categories)}, "annotations": ['
        for i, item in enumerate(self._named.values()):
            yield ",\n" if i else "\n"
            yield from self._named_annotation(item.object_id, numbers[item.object_id] + 1, height, width)
        yield "\n]}\n"

    def _named_annotation(self, object_id: int, category_id: int, height: int, width: int) -> Iterator[str]:
        segments, frames = self._objects.get(object_id), range(self._video.num_frames)
        rows = segments.by_frame() if segments else {}
        head: dict[str, float] = {"id": object_id, "video_id": 1, "category_id": category_id, "iscrowd": 0}
        head |= {"score": self._score(object_id), "height": height, "width": width, "length": len(frames)}
        yield json.dumps(head)[:-1] + ', "areas": ['
        yield from _list(json.dumps(rows[i][2]) if i in rows else "null" for i in frames)
        yield '], "bboxes": ['
        yield from _list(json.dumps(rows[i][3:]) if i in rows else "null" for i in frames)
        yield '], "segmentations": ['
        yield from _list(self._code(rows[i]) if i in rows else "null" for i in frames)
        yield "]}"


def _list(items: Iterable[str]) -> Iterator[str]:
    for i, item in enumerate(items):
        yield ", " + item if i else item
