"""Masks as YOLO's segmentation labels: a text file a frame, and the data.yaml that training is started with.

A line is a class number, from 0, and the corners of one polygon, x and y in turn as fractions of the width and the height
(https://docs.ultralytics.com/datasets/segment).
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from sampt.exporters.base import ExportContext, ExportFrame, named_by_id
from sampt.exporters.files import image_bytes, open_images
from sampt.exporters.polygons import trace_polygon

__all__ = ["YoloSegments"]

_SUBSET = "train"


class YoloSegments:
    """Writes ``labels/train/<frame name>.txt``, in an archive with frames ``images/train/``, and ``data.yaml``.

    An object has one line on a frame: its parts are joined to one polygon, and its holes cut open, by lines of no width.
    Filled, it has an IoU of at least 0.99 with the mask; masks below 256 pixels are exact. A frame without an object has an
    empty file, which trains as background. ``train`` and ``val`` of data.yaml are both these frames: divide videos, not
    frames, between them.

    Raises:
        OutputError: it cannot be written.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        named_by_id(context.objects)
        self._context, self._numbers = context, context.class_numbers()
        self._images = open_images(path)

    def write(self, frame: ExportFrame) -> None:
        height, width = frame.result.masks.shape[1:]
        lines = []
        for object_id, mask in zip(frame.result.object_ids.tolist(), frame.result.masks, strict=True):
            polygon = trace_polygon(mask, is_inset=True)
            if polygon is not None:
                numbers = (polygon / np.array([width, height])).ravel().tolist()
                lines.append(f"{self._numbers[object_id]} {' '.join(f'{number:.6f}' for number in numbers)}\n")
        self._images.add(f"labels/{_SUBSET}/{frame.name}.txt", "".join(lines).encode("ascii"))
        if self._context.images:
            name = f"images/{_SUBSET}/{self._context.image_name(frame)}"
            self._images.add(name, image_bytes(frame.image, self._context.images))

    def close(self, success: bool) -> None:
        is_complete = False
        try:
            if success:
                self._images.add("data.yaml", self._data().encode("ascii"))
            is_complete = success
        finally:
            self._images.close(is_complete)

    def _data(self) -> str:
        # A string of JSON is one of YAML, too, whatever is in it.
        names = "".join(f"  {number}: {json.dumps(name)}\n" for number, name in enumerate(self._context.class_names))
        # Without a path the folders lie beside the file.
        return f"train: images/{_SUBSET}\nval: images/{_SUBSET}\nnames:\n{names}"
