"""Masks on disk: palette PNG label maps, one PNG an object, and run-length codes in the YouTube-VIS layout."""

from __future__ import annotations

import json
import math
from array import array
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

from sampt.errors import OutputError
from sampt.exporters.base import ExportContext, ExportFrame, ExportWriter, MeanScores
from sampt.exporters.boxes import clip_name
from sampt.exporters.files import is_archive, open_images, png_bytes
from sampt.files.atomic import SpooledWriter, output_errors
from sampt.files.palette import PALETTE
from sampt.masks.rle import encode_mask
from sampt.types import FrameMasks, UInt8Array

__all__ = ["CocoRleWriter", "LabelMapWriter", "ObjectMaskWriter", "check_label_ids", "label_map", "open_masks"]

MAX_LABEL = 255


def check_label_ids(object_ids: Iterable[int]) -> None:
    """Refuse ids that a palette PNG cannot hold.

    Raises:
        OutputError: an id is greater than 255.
    """
    largest = max(object_ids, default=0)
    if largest > MAX_LABEL:
        raise OutputError(
            f"Object id {largest} does not fit into a palette PNG; expected ids up to {MAX_LABEL}: "
            "renumber the objects, or request overlapping masks or COCO output."
        )


def label_map(frame_masks: FrameMasks, values: Sequence[int]) -> UInt8Array:
    """``FrameMasks.label_map`` as (h, w) uint8, which is what a palette PNG holds, at a tenth of its time.

    Args:
        frame_masks: of m objects.
        values: m numbers up to 255 that stand for them, their ids mostly.
    """
    labels = np.zeros(frame_masks.masks.shape[1:], np.uint8)
    for value, mask in zip(reversed(values), frame_masks.masks[::-1], strict=True):
        np.copyto(labels, np.uint8(value), where=mask)
    return labels


def open_masks(path: Path, context: ExportContext) -> ExportWriter:
    """Images of masks, in a folder or a ZIP archive: label maps, or one an object where masks may overlap."""
    return ObjectMaskWriter(path, context) if context.overlapping else LabelMapWriter(path, context)


class LabelMapWriter:
    """Writes ``<frame name>.png``: palette PNG (DAVIS layout), the pixel's value is the object's id, 0 background.

    Where masks overlap, the smaller id wins. The bytes depend on the masks alone. An id above 255, which a project has after
    many objects were made and removed, does not fit into a PNG. In an archive its object gets the smallest number that is free,
    and ``objects.json`` says which number and which name each object has; in a folder, where programs that compare masks look
    for the ids, it is refused.

    Raises:
        OutputError: it cannot be written, the disk is full, an id is greater than 255, or there are more than 255 objects.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._objects = context.objects
        self._numbers = _numbers([item.object_id for item in context.objects]) if is_archive(path) else {}
        self._images = open_images(path)
        self._palette = PALETTE.tobytes()

    def write(self, frame: ExportFrame) -> None:
        values = [self._numbers.get(i, i) for i in frame.result.object_ids.tolist()]
        check_label_ids(values)
        image = Image.fromarray(label_map(frame.result, values))
        image.putpalette(self._palette)
        self._images.add(f"{frame.name}.png", png_bytes(image))

    def close(self, success: bool) -> None:
        is_complete = False
        try:
            if success:
                self._add_numbers()
            is_complete = success
        finally:
            self._images.close(is_complete)

    def _add_numbers(self) -> None:
        numbers = self._numbers
        if any(number != object_id for object_id, number in numbers.items()):
            listed = [{"value": numbers[o.object_id], "object_id": o.object_id, "name": o.name} for o in self._objects]
            self._images.add("objects.json", json.dumps(listed, indent=1).encode("ascii"))


def _numbers(object_ids: Sequence[int]) -> dict[int, int]:
    """Values from 1 to 255 by id: the id itself, or the smallest that is free.

    Raises:
        OutputError: there are too many.
    """
    if len(object_ids) > MAX_LABEL:
        raise OutputError(
            f"{len(object_ids)} objects do not fit into palette PNGs, which hold {MAX_LABEL}; "
            "export some of them at a time, or COCO run-length codes."
        )
    own = {o for o in object_ids if o <= MAX_LABEL}
    free = (number for number in range(1, MAX_LABEL + 1) if number not in own)
    return {o: o if o in own else next(free) for o in sorted(object_ids)}


class ObjectMaskWriter:
    """Writes ``<object id>/<frame name>.png``: one black and white PNG (1 bit) an object and frame, also where empty.

    Raises:
        OutputError: it cannot be written or the disk is full.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        self._images = open_images(path)

    def write(self, frame: ExportFrame) -> None:
        height, width = frame.result.masks.shape[1:]
        for object_id, mask in zip(frame.result.object_ids.tolist(), frame.result.masks, strict=True):
            image = Image.frombytes("1", (width, height), np.packbits(mask, axis=1).tobytes())
            self._images.add(f"{object_id}/{frame.name}.png", png_bytes(image))

    def close(self, success: bool) -> None:
        self._images.close(success)


class _Segments:
    """What is kept in memory of one object: nine numbers a frame in which it is present."""

    def __init__(self) -> None:
        self._rows = array("q")  # frame, offset and length in the spool, area, x, y, width, height
        self._scores = array("d")

    def add(self, row: tuple[int, ...], score: float) -> None:
        self._rows.extend(row)
        self._scores.append(score)

    def scores(self) -> dict[int, float]:
        """Frame -> predicted IoU, where the object is present and was prompted."""
        frames = self._rows[::8]
        return {frame: score for frame, score in zip(frames, self._scores, strict=True) if not math.isnan(score)}

    def by_frame(self) -> dict[int, tuple[int, ...]]:
        table = np.frombuffer(self._rows, np.int64).reshape(-1, 8) if self._rows else np.zeros((0, 8), np.int64)
        return {int(row[0]): tuple(row[1:].tolist()) for row in table}


class CocoRleWriter(SpooledWriter):
    """Writes one JSON file in the YouTube-VIS layout: ``videos``, ``annotations`` and ``categories``.

    An annotation is an object, its ``id`` the object's. ``segmentations``, ``areas`` and ``bboxes`` ([x, y, width, height])
    have one entry a frame of ``video``, null where the object is absent. ``score`` is the mean predicted IoU over the frames
    where the object was prompted; ``scores``, which the layout does not have, are those of the frames, null where the object is
    absent or its mask was given. ``file_names`` follow the datasets' habit, ``<clip>/<frame name>.jpg``; a video file has no
    such images. The codes wait in a file beside ``path`` until ``close``; memory grows by 72 bytes an object and frame.

    Raises:
        OutputError: the file cannot be written or the disk is full.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        super().__init__(path)
        self._video, self._means = context.video, MeanScores(context)
        self._objects: dict[int, _Segments] = {}

    def write(self, frame: ExportFrame) -> None:
        result = frame.result
        self._means.add(frame)
        for object_id, mask, score in zip(result.object_ids.tolist(), result.masks, result.scores.tolist(), strict=True):
            segments = self._objects.setdefault(object_id, _Segments())
            x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
            if not width:
                continue
            code = json.dumps(encode_mask(mask).to_json()).encode("ascii")
            with output_errors(self.path):
                offset = self._spool.tell()
                self._spool.write(code)
            area = int(np.count_nonzero(mask))
            segments.add((frame.frame_idx, offset, len(code), area, x, y, width, height), score)

    def _assemble(self, partial: Path) -> None:
        with partial.open("w", encoding="ascii") as file:
            file.writelines(self._pieces())

    def _pieces(self) -> Iterator[str]:
        height, width = self._video.size_hw
        clip, frames = clip_name(self._video), range(self._video.num_frames)
        head = {"id": 1, "width": width, "height": height, "length": len(frames)}
        yield '{"info": {"description": "sampt"}, "videos": [' + json.dumps(head)[:-1] + ', "file_names": ['
        yield from _join(json.dumps(f"{clip}/{self._video.frame_name(i)}.jpg") for i in frames)
        yield ']}], "categories": [{"id": 1, "name": "object", "supercategory": "object"}], "annotations": ['
        for i, object_id in enumerate(sorted(self._objects)):
            yield ",\n" if i else "\n"
            yield from self._annotation(object_id, {"height": height, "width": width, "length": len(frames)})
        yield "\n]}\n"

    def _annotation(self, object_id: int, size: dict[str, int]) -> Iterator[str]:
        segments = self._objects[object_id]
        rows, scores, frames = segments.by_frame(), segments.scores(), range(size["length"])
        head: dict[str, Any] = {"id": object_id, "video_id": 1, "category_id": 1, "iscrowd": 0}
        head |= {"score": self._score(object_id), **size}
        yield json.dumps(head)[:-1] + ', "areas": ['
        yield from _join(str(rows[i][2]) if i in rows else "null" for i in frames)
        yield '], "bboxes": ['
        yield from _join(json.dumps(rows[i][3:]) if i in rows else "null" for i in frames)
        yield '], "scores": ['
        yield from _join(json.dumps(scores.get(i)) for i in frames)
        yield '], "segmentations": ['
        yield from _join(self._code(rows[i]) if i in rows else "null" for i in frames)
        yield "]}"

    def _score(self, object_id: int) -> float:
        return self._means.mean(object_id) or 0.0

    def _code(self, row: tuple[int, ...]) -> str:
        self._spool.seek(row[0])
        return self._spool.read(row[1]).decode("ascii")


def _join(items: Iterator[str]) -> Iterator[str]:
    for i, item in enumerate(items):
        yield ", " + item if i else item
