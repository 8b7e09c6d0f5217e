"""What a video's files hold, as one number, so that a run can be recognised when it is started again."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

from sampt.errors import VideoError

__all__ = ["digest_of_files"]


def digest_of_files(paths: Iterable[Path]) -> str:
    """SHA-256 (hex) over the names, sizes and contents of ``paths``, in their order; memory does not depend on their size.

    Raises:
        VideoError: a file cannot be read.
    """
    total = hashlib.sha256()
    for path in paths:
        try:
            with path.open("rb") as file:
                contents = hashlib.file_digest(file, "sha256")
                total.update(f"{len(path.name.encode())}:{path.name}:{file.tell()}:".encode())
        except OSError as error:
            raise VideoError(f"{path} cannot be read ({error.strerror or error}); expected a readable file.") from error
        total.update(contents.digest())
    return total.hexdigest()
