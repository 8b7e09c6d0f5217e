"""Label maps as one archive of palette PNGs, the layout of the DAVIS data sets."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from sampt.errors import OutputError
from sampt.exporters.base import ExportObject, add_to_zip, export_file, selected
from sampt.exporters.masks import MAX_LABEL, label_map
from sampt.files.palette import PALETTE
from sampt.types import FrameMasks
from sampt.video.base import Video

__all__ = ["write_label_maps"]


def write_label_maps(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path) -> None:
    """Write a ZIP with ``<frame name>.png`` a frame: the pixel's value is the object's id, 0 background, in the DAVIS palette.

    Where masks overlap the smaller id wins. Names and colours are not part of it. An id above 255, which a project has after
    many objects were made and removed, does not fit into a PNG: its object gets the smallest number that is free, and
    ``objects.json`` says which number each object has. The bytes depend on the masks alone, and then on the names.

    Raises:
        OutputError: it cannot be written, or there are more than 255 objects.
    """
    numbers = _numbers([item.object_id for item in objects])
    palette = PALETTE.tobytes()
    with export_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for frame in selected(frames, video, objects):
            image = Image.fromarray(label_map(frame, [numbers[o] for o in frame.object_ids.tolist()]))
            image.putpalette(palette)
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=3)
            add_to_zip(archive, f"{video.frame_name(frame.frame_idx)}.png", buffer.getvalue())
        if any(number != object_id for object_id, number in numbers.items()):
            told = [{"value": numbers[o.object_id], "object_id": o.object_id, "name": o.name} for o in objects]
            add_to_zip(archive, "objects.json", json.dumps(told, indent=1).encode("ascii"))


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
