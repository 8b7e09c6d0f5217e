"""Masks as COCO instances, for whatever trains on COCO: images and annotations, as run-length codes or as polygons.

The layout is that of https://cocodataset.org/#format-data. In an archive with frames it lies as datumaro and CVAT read COCO.
"""

from __future__ import annotations

import json
import math
import shutil
from array import array
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from sampt.exporters.base import ExportContext, ExportFrame, named_by_id
from sampt.exporters.boxes import find_box
from sampt.exporters.polygons import trace_polygons
from sampt.files.atomic import SpooledWriter, output_errors
from sampt.masks.rle import encode_mask
from sampt.types import BoolArray

__all__ = ["CocoInstances", "CocoPolygons"]


class CocoInstances(SpooledWriter):
    """Writes one JSON file: ``images``, one a frame, ``annotations``, one an object and frame where it is, and ``categories``.

    An image's id is the frame's number + 1, as programs take 0 for none; categories count from 1, one a class.
    ``segmentation`` is COCO's compressed code, exact also where masks overlap; ``bbox`` is [x, y, width, height] of the pixels'
    outer edges. ``attributes`` has the object's id as ``track_id``, which CVAT and datumaro keep, and ``score``, where it is
    known, is the predicted IoU. ``iscrowd`` is 0. Memory grows by 8 bytes a frame; annotations wait on disk.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        named_by_id(context.objects)
        self._context, self._numbers = context, context.class_numbers()
        self._frames, self._num_annotations = array("q"), 0
        super().__init__(path)

    def write(self, frame: ExportFrame) -> None:
        self._frames.append(frame.frame_idx)
        result, ids = frame.result, frame.result.object_ids.tolist()
        good = {} if result.good_probability is None else dict(zip(ids, result.good_probability.tolist(), strict=True))
        for object_id, mask, score in zip(ids, result.masks, result.scores.tolist(), strict=True):
            box = find_box(mask)
            if box is None:
                continue
            self._num_annotations += 1
            found: dict[str, Any] = {
                "id": self._num_annotations,
                "image_id": frame.frame_idx + 1,
                "category_id": self._numbers[object_id] + 1,
                "segmentation": self._segmentation(mask),
                "area": int(np.count_nonzero(mask)),
                "bbox": list(box),
                "iscrowd": 0,
                "attributes": {"track_id": object_id},
            }
            found |= {} if math.isnan(score) else {"score": round(score, 6)}
            if not math.isnan(good.get(object_id, math.nan)):
                found["attributes"]["good_probability"] = round(good[object_id], 4)
            text = ("\n" if self._num_annotations == 1 else ",\n") + json.dumps(found)
            with output_errors(self.path):
                self._spool.write(text.encode("ascii"))

    def _segmentation(self, mask: BoolArray) -> Any:
        return encode_mask(mask).to_json()

    def _assemble(self, partial: Path) -> None:
        self._spool.seek(0)
        with partial.open("wb") as file:
            file.writelines(piece.encode("ascii") for piece in self._head())
            shutil.copyfileobj(self._spool, file)
            file.write(b"\n]}\n")

    def _head(self) -> Iterator[str]:
        video, suffix = self._context.video, self._context.images or "png"
        height, width = video.size_hw
        yield '{"info": {"description": "sampt"}, "licenses": [], "categories": '
        yield json.dumps([{"id": i, "name": n, "supercategory": ""} for i, n in enumerate(self._context.class_names, 1)])
        yield ', "images": ['
        for i, frame_idx in enumerate(self._frames):
            name = f"{video.frame_name(frame_idx)}.{suffix}"
            image = {"id": frame_idx + 1, "file_name": name, "width": width, "height": height, "frame_idx": frame_idx}
            yield (",\n" if i else "\n") + json.dumps(image)
        yield '\n], "annotations": ['


class CocoPolygons(CocoInstances):
    """The same with polygons: ``segmentation`` is a list of them, one for each part of the mask, each [x, y, x, y, ...].

    Holes are cut open (:mod:`sampt.exporters.polygons`). Filled by pycocotools a polygon has an IoU of at least 0.99 with the
    mask; masks below 256 pixels are exact. ``area`` and ``bbox`` are those of the mask.
    """

    def _segmentation(self, mask: BoolArray) -> Any:
        return [polygon.astype(np.int64).ravel().tolist() for polygon in trace_polygons(mask)]
