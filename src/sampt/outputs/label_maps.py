"""Label maps as one archive of palette PNGs, the layout of the DAVIS data sets."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.outputs.export_base import ExportObject, add_to_zip, export_file, selected
from sampt.outputs.masks import check_label_ids
from sampt.outputs.palette import PALETTE
from sampt.types import FrameMasks
from sampt.video.base import Video

__all__ = ["write_label_maps"]


def write_label_maps(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path) -> None:
    """Write a ZIP with ``<frame name>.png`` a frame: the pixel's value is the object's id, 0 background, in the DAVIS palette.

    Where masks overlap the smaller id wins. Names and colours are not part of it. The bytes depend on the masks alone.

    Raises:
        OutputError: it cannot be written, or an id is greater than 255.
    """
    check_label_ids([item.object_id for item in objects])
    palette = PALETTE.tobytes()
    with export_file(path) as partial, zipfile.ZipFile(partial, "w") as archive:
        for frame in selected(frames, video, objects):
            image = Image.fromarray(frame.label_map().astype(np.uint8))
            image.putpalette(palette)
            buffer = io.BytesIO()
            image.save(buffer, "PNG", compress_level=3)
            add_to_zip(archive, f"{video.frame_name(frame.frame_idx)}.png", buffer.getvalue())
