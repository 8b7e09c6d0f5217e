"""What a video's files hold, as one number by which a run is recognised when it is started again; and whether they still do."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path

from sampt.errors import InputChangedError, VideoError
from sampt.files.names import name_bytes

__all__ = ["OpenedFiles", "compute_digest_of_files"]


def compute_digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) over the names, sizes and contents of ``paths``, in their order; memory does not depend on their size.

    Raises:
        VideoError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                contents = hashlib.file_digest(file, "sha256")
                name = name_bytes(path.name)
                total.update(b"%d:%b:%d:" % (len(name), name, file.tell()))
        except OSError as error:
            raise VideoError(f"{path} cannot be read ({error.strerror or error}); expected a readable file.") from error
        total.update(contents.digest())
    return total.hexdigest()


class OpenedFiles:
    """Files as they are now; :meth:`check` tells later whether they still are.

    Size, time and number of a file are compared, which costs nothing; its contents only where these differ.
    """

    def __init__(self, paths: Sequence[Path]) -> None:
        self._paths = list(paths)
        self._stamps = [_stamp(path) for path in self._paths]
        self._digest: str | None = None

    def digest(self) -> str:
        """:func:`compute_digest_of_files`, of the files as they were when this was made.

        Raises:
            InputChangedError: they are others now, or change while they are read.
            VideoError: one cannot be read.
        """
        if self._digest is None:
            found = compute_digest_of_files(self._paths)
            self.check()
            self._digest = found
        return self._digest

    def check(self, only: int | None = None) -> None:
        """Refuse files that hold something else now. One that is gone is passed over: nothing else was read instead.

        Args:
            only: look at this one alone; None: at all.

        Raises:
            InputChangedError: one does.
            VideoError: one cannot be read.
        """
        for i in range(len(self._paths)) if only is None else (only,):
            if _stamp(self._paths[i]) not in (None, self._stamps[i]):
                stamps = [_stamp(path) or old for path, old in zip(self._paths, self._stamps, strict=True)]
                if self._digest is None or compute_digest_of_files(self._paths) != self._digest:
                    raise InputChangedError(
                        f"{self._paths[i]} has been replaced or changed while it was in use; what was made of it is not kept: "
                        "start again when it is complete."
                    )
                self._stamps = stamps  # copied again or touched, one mostly with others


def _stamp(path: Path) -> tuple[int, int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino
