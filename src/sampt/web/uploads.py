"""Videos from a browser's machine: written to a partial file as they come, looked at once, and only then given a name."""

from __future__ import annotations

import contextlib
import os
import secrets
import unicodedata
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.to_thread
from starlette.exceptions import HTTPException

from sampt.errors import VideoError
from sampt.files.names import portable_name
from sampt.video.file import VideoFile
from sampt.video.open import VIDEO_SUFFIXES, open_video
from sampt.web.disk import check_free
from sampt.web.roots import Roots
from sampt.web.settings import Limits

__all__ = ["Uploads"]

_LONGEST_NAME_BYTES = 150
_BLOCK_BYTES = 1 << 20


class Uploads:
    """Takes files into one folder.

    Args:
        folder: made when the first file comes.
        roots: with that folder.
        limits: sizes and numbers.
    """

    def __init__(self, folder: Path, roots: Roots, limits: Limits) -> None:
        self._folder, self._roots, self._limits = folder, roots, limits
        self._running: Counter[str] = Counter()

    async def take(self, name: str, body: AsyncIterator[bytes], promised_bytes: int | None, client: str) -> str:
        """Store a file; a name that is taken gets a number.

        Args:
            name: of a video file.
            body: its contents.
            promised_bytes: its length, when it is known.
            client: who sends it.

        Returns:
            Its path as the interface has it.

        Raises:
            HTTPException: 400 for a name or a file that is none of a video, 413, 415 for another suffix, 429, 503.
        """
        name = _check_name(name)
        if promised_bytes is not None and promised_bytes > self._limits.upload_bytes:
            raise self._too_large()
        if self._running.total() >= self._limits.uploads or self._running[client] >= self._limits.uploads_a_client:
            raise HTTPException(429, "Other uploads are running; wait for their end.", {"retry-after": "5"})
        self._running[client] += 1
        partial = self._folder / f".{secrets.token_hex(8)}.partial{Path(name).suffix.lower()}"
        try:
            await self._write(partial, body, promised_bytes or 0)
            return await anyio.to_thread.run_sync(self._accept, partial, name)
        except OSError as error:
            raise HTTPException(503, f"The upload cannot be stored ({error.strerror}): the server's disk is full.") from None
        finally:
            self._running[client] -= 1
            self._running += Counter()  # without those that are zero
            with contextlib.suppress(OSError):
                partial.unlink(missing_ok=True)

    async def _write(self, partial: Path, body: AsyncIterator[bytes], promised_bytes: int) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        check_free(self._folder, self._limits.free_bytes + promised_bytes)
        written = checked = 0
        async with await anyio.open_file(partial, "xb") as file:
            async for block in body:
                written += len(block)
                if written > self._limits.upload_bytes:
                    raise self._too_large()
                if written - checked > 64 * _BLOCK_BYTES:
                    check_free(self._folder, self._limits.free_bytes)
                    checked = written
                await file.write(block)
        if not written:
            raise HTTPException(400, "The upload is empty (0 bytes); expected the bytes of a video file as the request's body.")

    def _accept(self, partial: Path, name: str) -> str:
        try:
            _inspect(partial)
        except VideoError as error:
            reason = self._roots.message(str(error).replace(str(partial), name)).replace(partial.name, name)
            raise HTTPException(400, reason) from None
        path = self._folder / name
        for number in range(2, 10_000):
            try:
                path.open("xb").close()  # a rename alone could replace what another upload has put there
                os.replace(partial, path)
                break
            except FileExistsError:
                path = self._folder / f"{Path(name).stem}-{number}{Path(name).suffix}"
        else:
            raise HTTPException(400, f"There are too many files called {name!r}; give the file another name.")
        return self._roots.describe(path)

    def _too_large(self) -> HTTPException:
        limit = self._limits.upload_bytes
        return HTTPException(413, f"The upload has more than {limit} bytes; copy the file into a folder of the server instead.")


def _inspect(path: Path) -> None:
    """Read a frame of a video file; raises VideoError when there is none."""
    video = open_video(path)
    try:
        video.read(0, 1)
    finally:
        if isinstance(video, VideoFile):
            video.close()


def _check_name(name: str) -> str:
    name = unicodedata.normalize("NFC", name)
    is_plain = name.isprintable() and name == portable_name(name.strip()) and name[:1] not in ".-"
    if not is_plain or not 0 < len(name.encode("utf-8", "replace")) <= _LONGEST_NAME_BYTES:
        raise HTTPException(400, f"A file cannot be stored as {name[:100]!r}; expected a plain file name such as clip.mp4.")
    if not name.lower().endswith(VIDEO_SUFFIXES):
        raise HTTPException(415, f"{name!r} is no video by its name; expected one that ends in {', '.join(VIDEO_SUFFIXES)}.")
    return name
