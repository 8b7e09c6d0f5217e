"""Every file that a result can be exported to, by name, with one signature: what a page and a command line list."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Final, NamedTuple

from sampt.errors import ConfigError, OutputError, did_you_mean
from sampt.exporters.base import ExportFunction, ExportObject, object_named, read_frame, selected
from sampt.exporters.cutout import write_cutout_pngs, write_cutout_webm
from sampt.exporters.cvat import write_cvat_boxes, write_cvat_masks
from sampt.exporters.label_maps import write_label_maps
from sampt.exporters.label_studio import write_label_studio_brush, write_label_studio_video
from sampt.exporters.overlay import OverlayWriter
from sampt.exporters.tracks_text import write_tracks_csv, write_tracks_json
from sampt.exporters.youtube_vis import write_youtube_vis
from sampt.types import FrameMasks
from sampt.video.base import Video

__all__ = ["EXPORTERS", "ExportObject", "Exporter", "export", "object_named", "write_overlay"]


class Exporter(NamedTuple):
    """A kind of file.

    Attributes:
        suffix: how its name ends, with the dot.
        title: what it is, in a line for people.
        write: makes it.
    """

    suffix: str
    title: str
    write: ExportFunction


def write_overlay(frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path) -> None:
    """Write an MP4 of the frames with masks, contours, points and ids drawn on them (the colours are those of the ids).

    Raises:
        OutputError: it cannot be written.
    """
    writer = OverlayWriter(path, video.fps, video.size_hw)
    first_s: float | None = None
    is_complete = False
    try:
        for frame in selected(frames, video, objects):
            time_s = video.time_s(frame.frame_idx)
            first_s = time_s if first_s is None else first_s
            duration_s = video.duration_s(frame.frame_idx)
            writer.write(read_frame(video, frame.frame_idx), frame, time_s - first_s, duration_s)
        is_complete = True
    finally:
        writer.close(is_complete)


EXPORTERS: Final[Mapping[str, Exporter]] = MappingProxyType(
    {
        "png": Exporter(".zip", "Label maps: palette PNGs in a ZIP (DAVIS layout)", write_label_maps),
        "youtube-vis": Exporter(".json", "Masks as COCO RLE, a track an object (YouTube-VIS layout)", write_youtube_vis),
        "overlay": Exporter(".mp4", "Video with masks, points and ids drawn on it", write_overlay),
        "cutout": Exporter(".webm", "Objects on a transparent background (WebM, VP9 with alpha)", write_cutout_webm),
        "cutout-png": Exporter(".zip", "Objects on a transparent background (RGBA PNGs in a ZIP)", write_cutout_pngs),
        "tracks-json": Exporter(".json", "Tracks of the points as JSON", write_tracks_json),
        "tracks-csv": Exporter(".csv", "Tracks of the points as a table (CSV)", write_tracks_csv),
        "cvat": Exporter(".xml", "Masks for CVAT (CVAT for images 1.1)", write_cvat_masks),
        "cvat-boxes": Exporter(".xml", "Boxes as tracks for CVAT (CVAT for video 1.1)", write_cvat_boxes),
        "label-studio": Exporter(".json", "Masks for Label Studio (brush, a task a frame)", write_label_studio_brush),
        "label-studio-video": Exporter(".json", "Boxes as tracks for Label Studio (VideoRectangle)", write_label_studio_video),
    }
)
"""Name -> what it makes."""


def export(name: str, frames: Iterable[FrameMasks], video: Video, objects: Sequence[ExportObject], path: Path | str) -> Path:
    """Write the result ``frames`` as the kind of file ``name``.

    The file appears under its name only when it is complete. Memory is that of a frame and a few numbers an object and frame.

    Args:
        name: of :data:`EXPORTERS`.
        frames: read once; ascending, of ``video``; some frames may be missing, where formats of all frames say so.
        video: what was segmented, at the masks' size.
        objects: those to export, with names and colours; other objects of the frames are left out.
        path: ends in the suffix of the kind; its folder exists; a file of that name is replaced.

    Returns:
        ``path``.

    Raises:
        ConfigError: the kind is unknown.
        OutputError: ``path`` has another suffix or cannot be written, or frames or objects cannot be exported.
    """
    if name not in EXPORTERS:
        raise ConfigError(f"Unknown export {name!r}.{did_you_mean(name, EXPORTERS)} Available: {', '.join(EXPORTERS)}.")
    target, kind = Path(path), EXPORTERS[name]
    if target.suffix.lower() != kind.suffix:
        raise OutputError(f"The export {name} was to be written to {target}; expected a name that ends in {kind.suffix}.")
    kind.write(frames, video, objects, target)
    return target
