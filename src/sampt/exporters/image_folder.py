"""Frames and masks of classes, each in a folder of their own: what trains semantic segmentation."""

from __future__ import annotations

import json
from pathlib import Path

from PIL import Image

from sampt.errors import OutputError
from sampt.exporters.base import ExportContext, ExportFrame, named_by_id
from sampt.exporters.files import image_bytes, open_images, png_bytes
from sampt.exporters.masks import label_map
from sampt.files.atomic import make_partial_path, output_errors
from sampt.files.palette import PALETTE

__all__ = ["FramesAndMasks"]

_BACKGROUND = "background"
_MAX_CLASSES = 255


class FramesAndMasks:
    """Writes ``images/<frame name>`` and ``masks/<frame name>.png``: palette PNGs, the pixel's value is the class from 1.

    0 is the background. Of two objects at a pixel the smaller id counts. ``metadata.jsonl`` pairs them for Hugging Face's
    ImageFolder and names the classes that are there; ``dataset_meta.json`` names all for datumaro ("common semantic
    segmentation"), with the colors of the palette.

    Raises:
        OutputError: it cannot be written, there are more than 255 classes, or one is called background.
    """

    def __init__(self, path: Path, context: ExportContext) -> None:
        named_by_id(context.objects)
        names = context.class_names
        if len(names) > _MAX_CLASSES:
            raise OutputError(
                f"The objects are of {len(names)} classes; masks hold {_MAX_CLASSES}: export some objects at a time."
            )
        if _BACKGROUND in names:
            raise OutputError(f"A class is named {_BACKGROUND!r}, which masks have as their value 0: rename it.")
        self._context, self._values = context, {o: n + 1 for o, n in context.class_numbers().items()}
        self._images = open_images(path)
        self._rows_path = make_partial_path(path.with_name(f"{path.name}.jsonl"))
        with output_errors(self._rows_path):
            self._rows = self._rows_path.open("wb")

    def write(self, frame: ExportFrame) -> None:
        values = [self._values[o] for o in frame.result.object_ids.tolist()]
        labels = label_map(frame.result, values)
        mask = Image.fromarray(labels)
        mask.putpalette(PALETTE.tobytes())
        image_name, mask_name = f"images/{self._context.image_name(frame)}", f"masks/{frame.name}.png"
        self._images.add(image_name, image_bytes(frame.image, self._context.images or "png"))
        self._images.add(mask_name, png_bytes(mask))
        there = [name for number, name in enumerate(self._context.class_names, 1) if (labels == number).any()]
        row = {"file_name": image_name, "mask_file_name": mask_name, "frame_idx": frame.frame_idx, "classes": there}
        with output_errors(self._rows_path):
            self._rows.write(json.dumps(row).encode("ascii") + b"\n")

    def close(self, success: bool) -> None:
        is_complete = False
        try:
            with output_errors(self._rows_path):
                self._rows.close()
            if success:
                self._images.add("dataset_meta.json", self._meta().encode("ascii"))
                self._images.add_file("metadata.jsonl", self._rows_path)
            is_complete = success
        finally:
            self._rows_path.unlink(missing_ok=True)
            self._images.close(is_complete)

    def _meta(self) -> str:
        names = [_BACKGROUND, *self._context.class_names]
        colors = PALETTE[: len(names)].tolist()
        return json.dumps({"label_map": dict(enumerate(names)), "segmentation_colors": colors}, indent=1)
