"""The one file that is wanted out of a zip or tar archive, or out of a Python wheel, which is a zip.

Names in an archive are compared and never used as paths.
"""

from __future__ import annotations

import gzip
import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from sampt.files.limits import MAX_WEIGHTS_BYTES

__all__ = ["WrongArchiveError", "archive_suffix", "opened_member"]

_ZIPS = (".zip", ".whl")
_SUFFIXES = (*_ZIPS, ".tar.gz", ".tgz", ".tar")
_MAX_BYTES = MAX_WEIGHTS_BYTES
"""Of an archive when it is unpacked; what a few bytes swell to beyond that is not gone through."""
_MAX_MEMBERS = 10_000
_MAX_READ = 1 << 24
"""At a time: a tar may say of a file's name that it has gigabytes."""
_TOO_LARGE = "holds more than any checkpoint"


class WrongArchiveError(Exception):
    """An archive that is damaged or holds something else; the message ends a sentence that begins with the archive.

    Attributes:
        is_damaged: another download may do.
    """

    def __init__(self, message: str, *, is_damaged: bool) -> None:
        super().__init__(message)
        self.is_damaged = is_damaged


def archive_suffix(url: str) -> str | None:
    """Which kind of archive is at an address, by the end of its path: ".zip", ".tar.gz", ...; None for none."""
    path = url.partition("?")[0].lower()
    return next((suffix for suffix in _SUFFIXES if path.endswith(suffix)), None)


@contextmanager
def opened_member(archive: Path, name: str) -> Iterator[tuple[int, IO[bytes]]]:
    """The size and the bytes of the one file called ``name``, in whatever folder of the archive.

    Links, devices and whatever else is no plain file do not count.

    Args:
        archive: whose own name, but for ".partial", says which kind it is.
        name: without folders.

    Raises:
        WrongArchiveError: the file is not there once, or the archive is not sound.
    """
    suffix = archive_suffix(archive.name.removesuffix(".partial")) or "unknown"
    try:
        with _zip_member(archive, name) if suffix in _ZIPS else _tar_member(archive, name, suffix) as (size, file):
            yield size, file
    except (zipfile.BadZipFile, tarfile.TarError, gzip.BadGzipFile, zlib.error, EOFError) as error:
        text = " ".join(str(error).split())
        raise WrongArchiveError(f"is no sound {suffix[1:]} archive ({text})", is_damaged=True) from error
    except (NotImplementedError, RuntimeError) as error:  # a way to pack that is not known, or a password
        raise WrongArchiveError(f"is no {suffix[1:]} archive that can be read ({error})", is_damaged=True) from error


@contextmanager
def _zip_member(archive: Path, name: str) -> Iterator[tuple[int, IO[bytes]]]:
    with zipfile.ZipFile(archive) as opened:
        found = [entry for entry in opened.infolist() if not entry.is_dir() and _is_called(entry.filename, name)]
        _check_once(found, name)
        if found[0].file_size > _MAX_BYTES:
            raise WrongArchiveError(_TOO_LARGE, is_damaged=False)
        with opened.open(found[0]) as file:
            yield found[0].file_size, file


@contextmanager
def _tar_member(archive: Path, name: str, suffix: str) -> Iterator[tuple[int, IO[bytes]]]:
    # Gone through twice, for a tar has no table of what it holds: the name may come again at the very end.
    with _tar(archive, suffix) as opened:
        _check_once([entry for entry in _plain_files(opened) if _is_called(entry.name, name)], name)
    with _tar(archive, suffix) as opened:
        entry = next(entry for entry in _plain_files(opened) if _is_called(entry.name, name))
        file = opened.extractfile(entry)
        assert file is not None, "a plain file has contents"
        yield entry.size, file


@contextmanager
def _tar(archive: Path, suffix: str) -> Iterator[tarfile.TarFile]:
    with (
        archive.open("rb") if suffix == ".tar" else gzip.open(archive) as unpacked,
        tarfile.open(fileobj=_InParts(unpacked), mode="r:") as opened,
    ):
        yield opened


class _InParts(io.BufferedIOBase):
    """A file that is not read whole into memory by one request."""

    def __init__(self, file: io.BufferedIOBase) -> None:
        self._file = file

    def read(self, size: int | None = -1, /) -> bytes:
        if size is None or not 0 <= size <= _MAX_READ:
            raise WrongArchiveError(_TOO_LARGE, is_damaged=False)
        return self._file.read(size)

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()


def _plain_files(archive: tarfile.TarFile) -> Iterator[tarfile.TarInfo]:
    for count, entry in enumerate(archive):
        if count >= _MAX_MEMBERS or entry.offset_data + entry.size > _MAX_BYTES:
            raise WrongArchiveError(_TOO_LARGE, is_damaged=False)
        if entry.isreg() and not entry.issparse():
            yield entry


def _is_called(path: str, name: str) -> bool:
    return path.rpartition("/")[2] == name


def _check_once(found: list[zipfile.ZipInfo] | list[tarfile.TarInfo], name: str) -> None:
    if len(found) != 1:
        raise WrongArchiveError(f"holds {name} {len(found)} times, expected it once", is_damaged=False)
