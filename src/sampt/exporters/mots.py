"""Masks as multi-object tracking and segmentation has them (MOTS): 16-bit images, and the same as text.

https://www.vision.rwth-aachen.de/page/mots: a pixel's value is 1000 times the class plus the object's number, and a line of the
text is "frame id class height width code". The folders are those in which datumaro and CVAT look for the images.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from sampt.errors import OutputError
from sampt.exporters.base import ExportContext, ExportFrame, named_by_id
from sampt.exporters.boxes import clip_name
from sampt.exporters.files import image_bytes, open_images, png_bytes
from sampt.files.atomic import make_partial_path, output_errors
from sampt.masks.rle import encode_mask

__all__ = ["MAX_CLASSES", "MAX_INSTANCE", "MotsMasks"]

MAX_CLASSES = 9
"""Class 10 is what the format has for regions that do not count."""
MAX_INSTANCE = 999
_SUBSET = "train"


class MotsMasks:
    """Writes ``train/instances/<frame name>.png``, ``train/instances/labels.txt`` with the classes, a line each, and
    ``instances_txt/<clip>.txt``, in which frames count from 0; in an archive with frames ``train/images/``.

    Classes count from 1: of the challenge car is 1 and pedestrian 2. Where masks overlap, the smaller id wins, as the format
    has one object a pixel. The text waits on disk.

    Raises:
        OutputError: it cannot be written, there are more than 9 classes or an id above 999, or a class cannot be a line of
            ``labels.txt``.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        named_by_id(context.objects)
        _check(context)
        self._context = context
        self._values = {o: 1000 * (number + 1) + o for o, number in context.class_numbers().items()}
        self._images = open_images(path)
        self._text = make_partial_path(path.with_name(f"{path.name}.txt"))
        with output_errors(self._text):
            self._file = self._text.open("wb")

    def write(self, frame: ExportFrame) -> None:
        result = frame.result
        labels = np.zeros(result.masks.shape[1:], np.uint16)
        ids = result.object_ids.tolist()
        for object_id, mask in zip(reversed(ids), result.masks[::-1], strict=True):
            labels[mask] = self._values[object_id]
        self._images.add(f"{_SUBSET}/instances/{frame.name}.png", png_bytes(Image.fromarray(labels)))
        if self._context.images:
            name = f"{_SUBSET}/images/{self._context.image_name(frame)}"
            self._images.add(name, image_bytes(frame.image, self._context.images))
        height, width = result.masks.shape[1:]
        for object_id in ids:
            value = self._values[object_id]
            mask = labels == value
            if mask.any():
                line = f"{frame.frame_idx} {value} {value // 1000} {height} {width} {encode_mask(mask).counts}\n"
                with output_errors(self._text):
                    self._file.write(line.encode("ascii"))

    def close(self, success: bool) -> None:
        is_complete = False
        try:
            with output_errors(self._text):
                self._file.close()
            if success:
                names = "".join(f"{name}\n" for name in self._context.class_names)
                self._images.add(f"{_SUBSET}/instances/labels.txt", names.encode("utf-8"))
                self._images.add_file(f"instances_txt/{clip_name(self._context.video)}.txt", self._text)
            is_complete = success
        finally:
            self._text.unlink(missing_ok=True)
            self._images.close(is_complete)


def _check(context: ExportContext) -> None:
    names = context.class_names
    if len(names) > MAX_CLASSES:
        raise OutputError(
            f"The objects are of {len(names)} classes; MOTS has {MAX_CLASSES} at most: give objects of one class one name, "
            "or choose another format."
        )
    if wrong := [name for name in names if name != name.strip() or len(name.splitlines()) != 1]:
        raise OutputError(f"A class is named {wrong[0]!r}; MOTS wants a line without blanks around it: rename it.")
    if large := [item.object_id for item in context.objects if item.object_id > MAX_INSTANCE]:
        raise OutputError(
            f"Object id {large[0]} does not fit into MOTS; expected ids up to {MAX_INSTANCE}: renumber the objects."
        )
