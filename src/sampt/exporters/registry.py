"""Every kind of file that a result can be exported to, by name: what a run, a page and a command line offer alike.

Others join by the entry-point group ``sampt.exporters``, each entry an :class:`~sampt.exporters.base.Exporter`.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Final

import numpy as np

from sampt.errors import ConfigError, OutputError, did_you_mean
from sampt.exporters.base import ExportContext, Exporter, ExportFrame, ExportObject, ImageFormat, named_by_id
from sampt.exporters.bundle import open_bundle
from sampt.exporters.table import BUILT_IN
from sampt.types import FrameMasks, IntArray
from sampt.video.base import Video

__all__ = [
    "GROUP",
    "all_exporters",
    "check_images",
    "describe_exporters",
    "export",
    "exporter_names",
    "find_exporter",
    "run_name",
]

_LOG = logging.getLogger(__name__)
GROUP: Final = "sampt.exporters"
"""Of entry points."""


def _entry_points() -> dict[str, metadata.EntryPoint]:
    return {entry.name: entry for entry in metadata.entry_points(group=GROUP) if entry.name not in BUILT_IN}


def exporter_names() -> tuple[str, ...]:
    """Names of all kinds, the built-in ones first; none is imported."""
    return (*BUILT_IN, *sorted(_entry_points()))


def describe_exporters() -> dict[str, str]:
    """Name -> what it is, in a line; of an installed one the package that brings it, for none is imported."""
    found = {name: exporter.title for name, exporter in BUILT_IN.items()}
    for name, entry in sorted(_entry_points().items()):
        found[name] = f"of {entry.dist.name} {entry.dist.version}" if entry.dist else entry.value
    return found


def find_exporter(name: str, what: str = "export") -> Exporter:
    """The exporter ``name``; an installed one is imported.

    Args:
        name: of :func:`exporter_names`.
        what: how the message calls it.

    Raises:
        ConfigError: there is none of that name, or an installed one is broken.
    """
    if name in BUILT_IN:
        return BUILT_IN[name]
    entry = _entry_points().get(name)
    if entry is None:
        names = exporter_names()
        raise ConfigError(f"Unknown {what} {name!r}.{did_you_mean(name, names)} Available: {', '.join(names)}.")
    try:
        exporter = entry.load()
    except Exception as error:
        raise ConfigError(
            f"The exporter {name!r} cannot be imported from {entry.value} ({type(error).__name__}: {str(error).rstrip('.')}). "
            f"Run sampt.exporters.registry.find_exporter({name!r}) in Python to see where."
        ) from error
    if not isinstance(exporter, Exporter):
        kind = f"the class {exporter.__name__}" if isinstance(exporter, type) else f"a {type(exporter).__name__}"
        raise ConfigError(
            f"The exporter {name!r} is registered as {kind} ({entry.value}); expected an Exporter of sampt.exporters.base."
        )
    return exporter


def all_exporters() -> dict[str, Exporter]:
    """All by name; of a broken one the log tells."""
    found = dict(BUILT_IN)
    for name in sorted(_entry_points()):
        try:
            found[name] = find_exporter(name)
        except ConfigError as error:
            _LOG.warning("%s", error)
    return found


def run_name(name: str, exporter: Exporter) -> str:
    """What the exporter ``name`` makes in the folder of a run: a file, or a folder where that has no ending."""
    return exporter.run_name or f"{name}{exporter.suffix}"


def export(
    kind: str | Exporter,
    frames: Iterable[FrameMasks],
    video: Video,
    objects: Sequence[ExportObject],
    path: Path | str,
    *,
    overlapping: bool = False,
    num_frames: int | None = None,
    mean_scores: Mapping[int, float] | None = None,
    classes: Sequence[str] = (),
    images: ImageFormat | None = None,
) -> Path:
    """Write the result ``frames`` as a file.

    The file appears under its name only when it is complete. Memory is that of a frame and a few numbers an object and frame.

    Args:
        kind: of :func:`exporter_names`, or an exporter itself.
        frames: read once; ascending, of ``video``; some frames may be missing, where formats of all frames say so.
        video: what was segmented, at the masks' size.
        objects: those to export, with names and colors; other objects of the frames are left out.
        path: ends in the suffix of the kind, with ``images`` in ``.zip``; its folder exists; a file of that name is replaced.
        overlapping, num_frames, mean_scores, classes, images: see :class:`~sampt.exporters.base.ExportContext`.

    Returns:
        ``path``.

    Raises:
        ConfigError: the kind is unknown, or has no place for frames that ``images`` requests.
        OutputError: ``path`` has another suffix or cannot be written, or frames or objects cannot be exported.
    """
    exporter = find_exporter(kind) if isinstance(kind, str) else kind
    target, name = Path(path), kind if isinstance(kind, str) else exporter.title
    check_images(name, exporter, images)
    suffix = exporter.suffix_with(images)
    if target.suffix.lower() != suffix:
        raise OutputError(f"The export {name} was to be written to {target}; expected a name that ends in {suffix}.")
    ids = np.array(list(named_by_id(objects)), np.int64)
    context = ExportContext(video, objects, overlapping, num_frames, mean_scores or {}, classes, images)
    writer = open_bundle(exporter, target, context) if images and exporter.result_at else exporter.open(target, context)
    is_complete = False
    try:
        for frame in _select(frames, video, ids):
            writer.write(ExportFrame(frame, video))
        is_complete = True
    finally:
        writer.close(is_complete)
    return target


def check_images(name: str, exporter: Exporter, images: ImageFormat | None) -> None:
    """Refuse frames beside the result of a kind that has no place for them; raises ConfigError."""
    if images and not exporter.images_at:
        others = ", ".join(other for other, item in all_exporters().items() if item.images_at)
        raise ConfigError(f"The export {name} has no place for the frames; leave them out, or choose one of: {others}.")


def _select(frames: Iterable[FrameMasks], video: Video, object_ids: IntArray) -> Iterator[FrameMasks]:
    """``frames`` reduced to these objects, one at a time.

    An object that is listed but not part of a frame is not part of what is given for it.

    Raises:
        OutputError: frames do not ascend, are none, lie outside the video, or have another size than it.
    """
    last = -1
    for frame in frames:
        if not last < frame.frame_idx < video.num_frames:
            raise OutputError(
                f"Frame {frame.frame_idx} was to be exported after frame {last} of {video.label}, which has "
                f"{video.num_frames}; expected frames of the video in ascending order."
            )
        if frame.masks.shape[1:] != video.size_hw:
            raise OutputError(
                f"The masks of frame {frame.frame_idx} are {frame.masks.shape[2]}x{frame.masks.shape[1]}, expected the video's "
                f"{video.size_hw[1]}x{video.size_hw[0]}: open the video that was segmented."
            )
        last = frame.frame_idx
        yield _reduce(frame, object_ids)
    if last < 0:
        raise OutputError("The export was given no frame; expected at least one: segment the video first.")


def _reduce(frame: FrameMasks, object_ids: IntArray) -> FrameMasks:
    keep = np.isin(frame.object_ids, object_ids)
    keep_points = np.isin(frame.points.object_id, object_ids)
    if keep.all() and keep_points.all():
        return frame
    return FrameMasks(
        frame.frame_idx,
        frame.object_ids[keep],
        frame.masks[keep],
        frame.scores[keep],
        frame.states[keep],
        frame.points.select(keep_points),
        None if frame.good_probability is None else frame.good_probability[keep],
    )
