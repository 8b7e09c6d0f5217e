"""A result together with the frames that it is about: one archive, laid out as the programs that read the format expect it."""

from __future__ import annotations

import contextlib
from pathlib import Path

from sampt.exporters.base import ExportContext, Exporter, ExportFrame, ExportWriter
from sampt.exporters.files import ImageArchive, image_bytes

__all__ = ["open_bundle"]


def open_bundle(exporter: Exporter, path: Path, context: ExportContext) -> ExportWriter:
    """A ZIP archive of the frames and of the file that ``exporter`` makes, where ``images_at`` and ``result_at`` say.

    Frames are added as they come. The file grows beside ``path`` and is added at the end.

    Raises:
        OutputError: it cannot be written.
    """
    return _Bundle(exporter, path, context)


class _Bundle:
    def __init__(self, exporter: Exporter, path: Path, context: ExportContext) -> None:
        self._exporter, self._context = exporter, context
        self._result = path.with_name(f"{path.name}.result{exporter.suffix}.partial")
        self._archive = ImageArchive(path)
        try:
            self._writer = exporter.open(self._result, context)
        except BaseException:
            self._archive.close(False)
            raise

    def write(self, frame: ExportFrame) -> None:
        images = self._context.images
        assert images is not None, "a bundle has frames"
        stem = self._exporter.image_stem.format(name=frame.name, frame_idx=frame.frame_idx)
        self._archive.add(f"{self._exporter.images_at}/{stem}.{images}", image_bytes(frame.image, images))
        self._writer.write(frame)

    def close(self, success: bool) -> None:
        is_complete = False
        try:
            self._writer.close(success)
            if success:
                self._archive.add_file(self._exporter.result_at, self._result)
                for name, make_text in self._exporter.extras.items():
                    self._archive.add(name, make_text(self._context).encode("utf-8"))
            is_complete = success
        finally:
            with contextlib.suppress(OSError):
                self._result.unlink(missing_ok=True)
            self._archive.close(is_complete)
