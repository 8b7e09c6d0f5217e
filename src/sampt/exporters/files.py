"""Files that appear only when they are complete, for exporters to be made of: text, and images in a folder or an archive."""

from __future__ import annotations

import contextlib
import io
import shutil
import zipfile
from abc import ABC, abstractmethod
from pathlib import Path

from PIL import Image

from sampt.errors import OutputError
from sampt.exporters.base import ExportFrame, ImageFormat
from sampt.files.atomic import SpooledWriter, completing, make_folder, make_partial_path, output_errors, write_atomic
from sampt.types import UInt8Array

__all__ = [
    "FileExport",
    "ImageArchive",
    "ImageFolder",
    "SpooledText",
    "TextExport",
    "image_bytes",
    "is_archive",
    "open_images",
    "png_bytes",
]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the bytes of an archive depend on its contents alone
_UNIX = 3
_JPEG_QUALITY = 95
_PNG_COMPRESS_LEVEL = 3  # of 0..9; as fast as 1 and an eighth smaller; from 4 on twice as slow (854x480: 0.6 ms, 6 kB)


class _PartialFile(ABC):
    """Grows as ``partial`` and bears its name when it is complete.

    Attributes:
        path: the file.
        partial: where it grows.
    """

    def __init__(self, path: Path) -> None:
        self.path, self.partial = path, make_partial_path(path)

    def close(self, success: bool) -> None:
        """See :meth:`sampt.exporters.base.ExportWriter.close`."""
        try:
            if success:
                with output_errors(self.path):
                    self.finish()
                    self.release()
                    self.partial.replace(self.path)
        finally:
            with contextlib.suppress(OSError):  # a full disk fails here once more; the first failure is the one to tell
                self.release()
            with contextlib.suppress(OSError):
                self.partial.unlink(missing_ok=True)

    def finish(self) -> None:  # noqa: B027 - some have no end to write
        """Write the end of the file."""

    @abstractmethod
    def release(self) -> None:
        """Close what is open; a second call does nothing."""


class FileExport(_PartialFile):
    """A writer of one file: give it ``write``, ``release`` and, where the file has an end, ``finish``."""

    @abstractmethod
    def write(self, frame: ExportFrame) -> None:
        """See :meth:`sampt.exporters.base.ExportWriter.write`."""


class TextExport(FileExport):
    """A writer of one text file (UTF-8): give it ``write`` and, where the file has an end, ``finish``; both :meth:`put` text.

    Attributes:
        file: has ``write``, which is what ``csv.writer`` wants; the same as :meth:`put`.

    Raises:
        OutputError: the file cannot be written.
    """

    def __init__(self, path: Path, *, errors: str = "strict") -> None:
        """``errors``: what becomes of what is no UTF-8, as :func:`open` has it."""
        super().__init__(path)
        self.file = _Text(path, self.partial, errors)

    def put(self, text: str) -> None:
        """Write text; lines end as they are given."""
        self.file.write(text)

    def release(self) -> None:
        self.file.close()


class _Text:
    """A text file whose errors are reported as those of ``path``."""

    def __init__(self, path: Path, partial: Path, errors: str) -> None:
        self._path = path
        with output_errors(path):
            self._file = partial.open("w", encoding="utf-8", errors=errors, newline="")

    def write(self, text: str) -> None:
        with output_errors(self._path):
            self._file.write(text)

    def close(self) -> None:
        self._file.close()


class SpooledText(SpooledWriter):
    """A writer of one text file (UTF-8) whose head tells what is known at the end alone: how many frames a streamed video had.

    Give it ``head``, ``write``, which :meth:`put` text, and ``tail``. The text waits on disk until the head is known.

    Raises:
        OutputError: the file cannot be written.
    """

    def put(self, text: str) -> None:
        """Write text of the body; lines end as they are given."""
        with output_errors(self.path):
            self._spool.write(text.encode("utf-8"))

    @abstractmethod
    def head(self) -> str:
        """What comes before all frames."""

    @abstractmethod
    def tail(self) -> str:
        """What comes after them."""

    def _assemble(self, partial: Path) -> None:
        self._spool.seek(0)
        with partial.open("wb") as file:
            file.write(self.head().encode("utf-8"))
            shutil.copyfileobj(self._spool, file)
            file.write(self.tail().encode("utf-8"))


class ImageFolder:
    """A folder that gets one file after another, each with its name when it is complete."""

    def __init__(self, path: Path) -> None:
        self.path = make_folder(path)
        self._made: set[Path] = {path}

    def add(self, name: str, data: bytes) -> None:
        """Write a file; its name may begin with a folder's."""
        path = self.path / name
        if path.parent not in self._made:
            self._made.add(make_folder(path.parent))
        write_atomic(path, data)

    def add_file(self, name: str, path: Path) -> None:
        """Write a copy of a file, piece by piece."""
        target = self.path / name
        with output_errors(target):
            target.parent.mkdir(parents=True, exist_ok=True)
        with completing(target) as partial:
            shutil.copyfile(path, partial)

    def close(self, success: bool) -> None:
        """Nothing is open."""


class ImageArchive(_PartialFile):
    """A ZIP file of the same: members are stored as they are, with the same bytes on every machine and day."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        with output_errors(path):
            self._archive = zipfile.ZipFile(self.partial, "w")

    def add(self, name: str, data: bytes) -> None:
        """Add a member.

        A backslash in its name, which Windows would take for the end of a folder's name, becomes ``_``, and so does what begins
        the escape of a byte that is no UTF-8.

        Raises:
            OutputError: the archive has a member of that name: two frames of the video have one name.
        """
        info = self._member(name, zipfile.ZIP_STORED)
        with output_errors(self.path):
            self._archive.writestr(info, data)

    def add_file(self, name: str, path: Path) -> None:
        """Add a member from a file, piece by piece, and compressed."""
        info = self._member(name, zipfile.ZIP_DEFLATED)
        info.file_size = path.stat().st_size  # tells whether the archive needs the fields of large files
        with output_errors(self.path), path.open("rb") as source, self._archive.open(info, "w") as target:
            shutil.copyfileobj(source, target)

    def _member(self, name: str, compress_type: int) -> zipfile.ZipInfo:
        name = name.encode("utf-8", "backslashreplace").decode("utf-8").replace("\\", "_")
        if name in self._archive.NameToInfo:
            raise OutputError(
                f"Two frames of the video would both be {name} in the archive; expected frames with different names."
            )
        info = zipfile.ZipInfo(name, _EPOCH)
        info.compress_type, info.create_system, info.external_attr = compress_type, _UNIX, 0o644 << 16
        return info

    def release(self) -> None:
        self._archive.close()


def is_archive(path: Path) -> bool:
    """Whether images go to an archive, by the ending ``.zip``, and not to a folder."""
    return path.suffix.lower() == ".zip"


def open_images(path: Path) -> ImageFolder | ImageArchive:
    """Where images go; see :func:`is_archive`."""
    return ImageArchive(path) if is_archive(path) else ImageFolder(path)


def image_bytes(frame_rgb: UInt8Array, images: ImageFormat) -> bytes:
    """A frame, (h, w, 3) uint8 RGB, as a file; JPEGs are of quality 95 without chroma subsampling."""
    image = Image.fromarray(frame_rgb)
    if images == "png":
        return png_bytes(image)
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    return buffer.getvalue()


def png_bytes(image: Image.Image) -> bytes:
    """A PNG file; its bytes depend on the pixels alone."""
    buffer = io.BytesIO()
    image.save(buffer, "PNG", compress_level=_PNG_COMPRESS_LEVEL)
    return buffer.getvalue()
