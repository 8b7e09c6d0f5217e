"""Results on disk: everything a run writes except its manifest, opened, fed and closed together."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

from sampt.errors import ConfigError, OutputError
from sampt.exporters.base import ExportContext, Exporter, ExportFrame, ExportWriter, ImageFormat, object_named
from sampt.exporters.bundle import open_bundle
from sampt.exporters.labels import check_labels
from sampt.exporters.masks import check_label_ids
from sampt.exporters.registry import all_exporters, exporter_names, find_exporter, run_name
from sampt.files.atomic import make_folder
from sampt.types import FrameMasks, UInt8Array
from sampt.video.base import Video

__all__ = ["DEFAULT_FORMATS", "OutputSet", "all_run_names", "check_outputs", "open_outputs", "output_name"]

DEFAULT_FORMATS = ("png", "coco", "npz", "overlay", "sheet")
"""What a run writes when nothing else is said."""


def output_name(name: str, images: ImageFormat | None = None) -> str:
    """The file or folder that a format makes in the output folder; with the frames beside, where ``images`` is given and the
    format can have them.

    Raises:
        ConfigError: the format is unknown.
    """
    exporter = find_exporter(name, "output")
    return f"{name}.zip" if images and exporter.result_at else run_name(name, exporter)


def all_run_names() -> list[str]:
    """The same of all formats that there are, with frames and without."""
    exporters = all_exporters().items()
    return [run_name(name, item) for name, item in exporters] + [f"{name}.zip" for name, item in exporters if item.result_at]


class OutputSet:
    """The writers of one run. Feed it every frame, then ``close(success=True)``; as a context manager it closes by itself.

    Until then files carry the suffix ``.partial``; mask PNGs get their name one by one, so only the manifest, which the caller
    writes after ``close``, says that a run is complete.

    Attributes:
        files: format -> path of what it makes.
    """

    def __init__(self, files: dict[str, Path], context: ExportContext) -> None:
        self.files, self._video = files, context.video
        self._writers: list[ExportWriter] = []
        try:
            for name, path in files.items():
                self._writers.append(_open_writer(find_exporter(name, "output"), path, context))
        except BaseException:
            self.close(success=False)
            raise

    def write(self, frame_rgb: UInt8Array, frame_masks: FrameMasks) -> None:
        """Write one frame, (h, w, 3) uint8 RGB, and its result everywhere.

        Raises:
            OutputError: something cannot be written; call ``close(success=False)``.
        """
        frame = ExportFrame(frame_masks, self._video, frame_rgb)
        for writer in self._writers:
            writer.write(frame)

    def close(self, success: bool) -> None:
        """Complete the files, or with ``success=False`` leave none that looks complete. A second call does nothing.

        Raises:
            OutputError: a file cannot be completed; none but the mask PNGs is there then.
        """
        failure: OutputError | None = None
        writers, self._writers = self._writers, []
        for writer in writers:
            try:
                writer.close(success and failure is None)
            except OutputError as error:
                failure = failure or error
        if failure is not None and success:
            for path in self.files.values():
                if not path.is_dir():
                    with contextlib.suppress(OSError):  # the first failure is the one to tell
                        path.unlink()
            raise failure

    def __enter__(self) -> OutputSet:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close(success=kind is None)


def _open_writer(exporter: Exporter, path: Path, context: ExportContext) -> ExportWriter:
    if not (context.images and exporter.images_at):
        return exporter.open(path, dataclasses.replace(context, images=None))
    return open_bundle(exporter, path, context) if exporter.result_at else exporter.open(path, context)


def check_outputs(
    formats: Sequence[str],
    object_ids: Iterable[int],
    *,
    overlapping: bool,
    labels: Mapping[int, str] | None = None,
    images: ImageFormat | None = None,
) -> None:
    """Whether :func:`open_outputs` would take these, before a file is touched; raises as it does."""
    if labels:
        check_labels(labels, object_ids)
    if not formats:
        raise ConfigError(f"No output format is given; expected some of: {', '.join(exporter_names())}.")
    exporters = [find_exporter(name, "output") for name in formats]
    if images and not any(exporter.images_at for exporter in exporters):
        others = ", ".join(name for name, item in all_exporters().items() if item.images_at)
        raise ConfigError(
            f"None of the formats {', '.join(formats)} can have the frames beside; leave images out, or add one of: {others}."
        )
    if "png" in formats and not overlapping:
        check_label_ids(object_ids)


def open_outputs(
    folder: Path | str,
    formats: Sequence[str],
    video: Video,
    *,
    object_ids: Iterable[int] = (),
    overlapping: bool = False,
    labels: Mapping[int, str] | None = None,
    classes: Sequence[str] = (),
    images: ImageFormat | None = None,
) -> OutputSet:
    """Prepare ``folder`` for the results of one run; what tells of an earlier one is gone already.

    Args:
        folder: made when missing, with its parents.
        formats: names of :func:`sampt.exporters.registry.exporter_names`.
        video: the frames that will be written, all of them; gives names, times, size and number.
        object_ids: the run's objects.
        overlapping: masks may overlap: one PNG an object instead of one label map.
        labels, classes: see :class:`sampt.runs.job.Job`.
        images: frames are written beside, by the formats that can have them.

    Raises:
        ConfigError: a format is unknown.
        QueryError: the labels do not fit the objects.
        OutputError: the folder is a file or cannot be written, or an id does not fit.
    """
    ids = sorted(object_ids)
    check_outputs(formats, ids, overlapping=overlapping, labels=labels, images=images)
    root = make_folder(Path(folder))
    files = {name: root / output_name(name, images) for name in dict.fromkeys(formats)}
    num_frames = None if video.is_streaming else video.num_frames
    objects = [object_named(i, (labels or {}).get(i)) for i in ids]
    return OutputSet(files, ExportContext(video, objects, overlapping, num_frames, classes=classes, images=images))
