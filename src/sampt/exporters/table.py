"""The kinds of files that sampt itself exports: as data, so that nothing is imported to list them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from sampt.exporters.base import ExportContext, Exporter, ExportWriter

__all__ = ["BUILT_IN"]


def _open_later(target: str) -> Callable[[Path, ExportContext], ExportWriter]:
    """What ``module:name`` within this package opens; the module is imported then, not before."""

    def open_target(path: Path, context: ExportContext) -> ExportWriter:
        module, _, name = target.partition(":")
        writer: ExportWriter = getattr(importlib.import_module(f"sampt.exporters.{module}"), name)(path, context)
        return writer

    return open_target


BUILT_IN: Final[Mapping[str, Exporter]] = MappingProxyType(
    {
        "png": Exporter(
            "Label maps: palette PNGs in a ZIP (DAVIS layout)", ".zip", _open_later("masks:open_masks"), run_name="masks"
        ),
        "coco": Exporter(
            "Masks as COCO RLE, of one category (YouTube-VIS layout)",
            ".json",
            _open_later("masks:CocoRleWriter"),
            run_name="masks.json",
        ),
        "npz": Exporter(
            "Tracks of the points as NumPy arrays (NPZ)",
            ".npz",
            _open_later("tracks_npz:TracksWriter"),
            run_name="tracks.npz",
            needs=("points",),
        ),
        "overlay": Exporter(
            "Video with masks, points and ids drawn on it", ".mp4", _open_later("overlay:OverlayWriter"), shows_points=True
        ),
        "sheet": Exporter("Twelve frames on one page", ".png", _open_later("sheet:ContactSheet"), shows_points=True),
        "youtube-vis": Exporter(
            "Masks as COCO RLE, a track an object (YouTube-VIS layout)", ".json", _open_later("youtube_vis:NamedRleWriter")
        ),
        "cutout": Exporter(
            "Objects on a transparent background (WebM, VP9 with alpha)", ".webm", _open_later("cutout:CutoutVideo")
        ),
        "cutout-png": Exporter(
            "Objects on a transparent background (RGBA PNGs in a ZIP)",
            ".zip",
            _open_later("cutout:CutoutImages"),
            run_name="cutouts",
        ),
        "tracks-json": Exporter(
            "Tracks of the points as JSON",
            ".json",
            _open_later("tracks_text:TracksJson"),
            run_name="tracks.json",
            needs=("points",),
        ),
        "tracks-csv": Exporter(
            "Tracks of the points as a table (CSV)",
            ".csv",
            _open_later("tracks_text:TracksCsv"),
            run_name="tracks.csv",
            needs=("points",),
        ),
        "cvat": Exporter("Masks for CVAT (CVAT for images 1.1)", ".xml", _open_later("cvat:CvatMasks")),
        "cvat-boxes": Exporter("Boxes as tracks for CVAT (CVAT for video 1.1)", ".xml", _open_later("cvat:CvatBoxes")),
        "label-studio": Exporter(
            "Masks for Label Studio (brush, a task a frame)", ".json", _open_later("label_studio:LabelStudioMasks")
        ),
        "label-studio-video": Exporter(
            "Boxes as tracks for Label Studio (VideoRectangle)", ".json", _open_later("label_studio:LabelStudioBoxes")
        ),
    }
)
"""Name -> what it makes."""
