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


def _text_later(target: str) -> Callable[[ExportContext], str]:
    """Likewise a function that makes text."""

    def make_text(context: ExportContext) -> str:
        module, _, name = target.partition(":")
        text: str = getattr(importlib.import_module(f"sampt.exporters.{module}"), name)(context)
        return text

    return make_text


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
        "coco-instances": Exporter(
            "Masks as COCO instances: images and annotations, RLE",
            ".json",
            _open_later("coco_instances:CocoInstances"),
            images_at="images/default",
            result_at="annotations/instances_default.json",
        ),
        "coco-polygons": Exporter(
            "Masks as COCO instances: images and annotations, polygons",
            ".json",
            _open_later("coco_instances:CocoPolygons"),
            images_at="images/default",
            result_at="annotations/instances_default.json",
        ),
        "yolo-seg": Exporter(
            "Polygons for YOLO: labels and data.yaml in a ZIP",
            ".zip",
            _open_later("yolo:YoloSegments"),
            run_name="yolo-seg",
            images_at="images/train",
        ),
        "mots": Exporter(
            "Masks as MOTS: 16-bit PNGs and text in a ZIP",
            ".zip",
            _open_later("mots:MotsMasks"),
            run_name="mots",
            images_at="train/images",
        ),
        "image-folder": Exporter(
            "Frames and masks of classes, a folder each in a ZIP",
            ".zip",
            _open_later("image_folder:FramesAndMasks"),
            run_name="image-folder",
            images_at="images",
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
        "cvat": Exporter(
            "Masks for CVAT (CVAT for images 1.1)",
            ".xml",
            _open_later("cvat:CvatMasks"),
            images_at="images",
            result_at="annotations.xml",
        ),
        "cvat-polygons": Exporter(
            "Polygons for CVAT (CVAT for images 1.1)",
            ".xml",
            _open_later("cvat:CvatPolygons"),
            images_at="images",
            result_at="annotations.xml",
        ),
        "cvat-tracks": Exporter(
            "Polygons as tracks for CVAT (CVAT for video 1.1)",
            ".xml",
            _open_later("cvat:CvatTracks"),
            images_at="images",
            image_stem="frame_{frame_idx:06d}",
            result_at="annotations.xml",
        ),
        "cvat-boxes": Exporter(
            "Boxes as tracks for CVAT (CVAT for video 1.1)",
            ".xml",
            _open_later("cvat:CvatBoxes"),
            images_at="images",
            image_stem="frame_{frame_idx:06d}",
            result_at="annotations.xml",
        ),
        "label-studio": Exporter(
            "Masks for Label Studio (brush, a task a frame)",
            ".json",
            _open_later("label_studio:LabelStudioMasks"),
            images_at="images",
            result_at="tasks.json",
            extras={"label-config.xml": _text_later("label_studio:image_config")},
        ),
        "label-studio-video": Exporter(
            "Boxes as tracks for Label Studio (VideoRectangle)", ".json", _open_later("label_studio:LabelStudioBoxes")
        ),
    }
)
"""Name -> what it makes."""
