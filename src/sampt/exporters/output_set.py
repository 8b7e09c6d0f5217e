"""Results on disk: everything a run writes except its manifest, opened, fed and closed together."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Protocol

from sampt.errors import ConfigError, OutputError, did_you_mean
from sampt.exporters.masks import CocoRleWriter, LabelMapWriter, ObjectMaskWriter, check_label_ids
from sampt.exporters.overlay import OverlayStyle, OverlayWriter
from sampt.exporters.sheet import ContactSheet
from sampt.exporters.tracks_npz import TracksWriter
from sampt.files.atomic import make_folder, output_errors
from sampt.types import FrameMasks, UInt8Array
from sampt.video.base import Video

__all__ = ["FORMATS", "MANIFEST_NAME", "OutputSet", "check_outputs", "open_outputs"]

FORMATS = {
    "png": "masks",
    "coco": "masks.json",
    "npz": "tracks.npz",
    "overlay": "overlay.mp4",
    "sheet": "sheet.png",
}
"""Format -> the file or folder that it makes in the output folder."""

MANIFEST_NAME = "run.json"


class _Writer(Protocol):
    def close(self, success: bool) -> None: ...


_Step = Callable[[UInt8Array, FrameMasks], None]


class OutputSet:
    """The writers of one run. Feed it every frame, then ``close(success=True)``; as a context manager it closes by itself.

    Until then files carry the suffix ``.partial``; mask PNGs get their name one by one, so only the manifest, which the caller
    writes after ``close``, says that a run is complete.

    Attributes:
        files: format -> path of what it makes.
    """

    def __init__(self, files: dict[str, Path], video: Video, *, overlapping: bool, style: OverlayStyle | None) -> None:
        self.files, self._video = files, video
        self._overlapping, self._style = overlapping, style
        self._writers: list[_Writer] = []
        self._steps: list[_Step] = []
        try:
            for name, path in files.items():
                writer, step = self._open(name, path)
                self._writers.append(writer)
                self._steps.append(step)
        except BaseException:
            self.close(success=False)
            raise

    def write(self, frame_rgb: UInt8Array, frame_masks: FrameMasks) -> None:
        """Write one frame, (h, w, 3) uint8 RGB, and its result everywhere.

        Raises:
            OutputError: something cannot be written; call ``close(success=False)``.
        """
        for step in self._steps:
            step(frame_rgb, frame_masks)

    def close(self, success: bool) -> None:
        """Complete the files, or with ``success=False`` leave none that looks complete. A second call does nothing.

        Raises:
            OutputError: a file cannot be completed; none but the mask PNGs is there then.
        """
        failure: OutputError | None = None
        writers, self._writers, self._steps = self._writers, [], []
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

    def _open(self, name: str, path: Path) -> tuple[_Writer, _Step]:
        video = self._video
        if name == "png":
            masks = ObjectMaskWriter(path) if self._overlapping else LabelMapWriter(path)
            return masks, lambda _, result: masks.write(result, video.frame_name(result.frame_idx))
        if name == "coco":
            coco = CocoRleWriter(path, video)
            return coco, lambda _, result: coco.write(result)
        if name == "npz":
            tracks = TracksWriter(path)
            return tracks, lambda _, result: tracks.write(result, video.frame_name(result.frame_idx))
        if name == "overlay":
            overlay = OverlayWriter(path, video.fps, video.size_hw, self._style)
            return overlay, lambda frame, result: overlay.write(
                frame, result, video.time_s(result.frame_idx), video.duration_s(result.frame_idx)
            )
        sheet = ContactSheet(path, None if video.is_live else video.num_frames, style=self._style)
        return sheet, lambda frame, result: sheet.write(frame, result, video.frame_name(result.frame_idx))


def check_outputs(formats: Sequence[str], object_ids: Iterable[int], *, overlapping: bool) -> None:
    """Whether :func:`open_outputs` would take these, before a file is touched; raises as it does."""
    if not formats:
        raise ConfigError(f"No output format is given; expected some of: {', '.join(FORMATS)}.")
    for name in formats:
        if name not in FORMATS:
            raise ConfigError(f"Unknown output {name!r}.{did_you_mean(name, FORMATS)} Available: {', '.join(FORMATS)}.")
    if "png" in formats and not overlapping:
        check_label_ids(list(object_ids))


def open_outputs(
    folder: Path | str,
    formats: Sequence[str],
    video: Video,
    *,
    object_ids: Iterable[int] = (),
    overlapping: bool = False,
    style: OverlayStyle | None = None,
) -> OutputSet:
    """Prepare ``folder`` for the results of one run.

    A manifest in the folder is removed: it told of an earlier run, whose files are now replaced.

    Args:
        folder: made when missing, with its parents.
        formats: names of :data:`FORMATS`.
        video: the frames that will be written; gives names, times, size and number.
        object_ids: the run's objects, where known, so that ids too large for a PNG are refused at once.
        overlapping: masks may overlap: one PNG an object instead of one label map.
        style: how overlay and contact sheet look; None draws everything.

    Raises:
        ConfigError: a format is unknown.
        OutputError: the folder is a file or cannot be written, or an id does not fit.
    """
    check_outputs(formats, object_ids, overlapping=overlapping)
    root = make_folder(Path(folder))
    with output_errors(root / MANIFEST_NAME):
        (root / MANIFEST_NAME).unlink(missing_ok=True)
    files = {name: root / FORMATS[name] for name in dict.fromkeys(formats)}
    return OutputSet(files, video, overlapping=overlapping, style=style)
