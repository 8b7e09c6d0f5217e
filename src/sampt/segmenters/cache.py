"""Embeddings that are kept, in memory and on disk: a frame that was encoded before is not encoded again."""

from __future__ import annotations

import hashlib
import io
import logging
import os
import re
import threading
import time
from collections.abc import Callable, Collection, Hashable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Generic, TypeVar

import numpy as np

from sampt.errors import BackendError, ConfigError
from sampt.files.names import name_bytes
from sampt.segmenters.base import (
    PromptableSegmenter,
    RefinementPlan,
    SegmenterView,
    SizedEmbeddings,
    StorableEmbeddings,
    innermost,
)
from sampt.types import MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["CachedSegmenter", "EmbeddingCache"]

logger = logging.getLogger(__name__)

Key = TypeVar("Key", bound=Hashable)

_UNSIZED = 4
_DIGEST_BYTES = 16
_FORMAT = b"sampt embedding 1\0"
_NAME = re.compile(r"sampt-[0-9a-f]{32}\.npz(\.\d+\.partial)?")
_KEY, _ARRAY = "key", "array:"
_PARTIAL_S = 3600.0


class CachedSegmenter(SegmenterView):
    """A segmenter that encodes no frame twice as long as it caches it; for clicking on the same frames again and again.

    Frames are known by their pixels and size. Those of a call that are new are encoded together, each once. Kept are those used
    last, as many as fit; one that is too large by itself is not kept. Embeddings are the same objects every time, and so are
    the predictions, to the bit; on a GPU the first prediction may depend on which frames are encoded together, as without a
    cache. Several threads may use it; while one encodes, the others wait.

    Args:
        segmenter: encodes and decodes. When it does not know the size of its embeddings
            (:class:`~sampt.segmenters.base.SizedEmbeddings`), each counts as a quarter of ``memory_bytes``.
        memory_bytes: room for embeddings in memory, on the device when they lie there.
        folder: where embeddings are kept on disk, too, if anywhere; made when needed. Other processes find them there when
            their segmenter has the same identity. A file that is broken or strange is replaced; where nothing can be written,
            a warning is logged once and the run goes on. Other files in the folder are left alone.
        disk_bytes: room in the folder for all who use it; the files used longest ago make way.

    Raises:
        ConfigError: a number of bytes is negative.
        BackendError: with a folder: the segmenter does not say how to write embeddings down
            (:class:`~sampt.segmenters.base.StorableEmbeddings`).
    """

    def __init__(
        self,
        segmenter: PromptableSegmenter,
        *,
        memory_bytes: int = 256 << 20,
        folder: str | Path | None = None,
        disk_bytes: int = 4 << 30,
    ) -> None:
        super().__init__(segmenter)
        for name, value in (("memory_bytes", memory_bytes), ("disk_bytes", disk_bytes)):
            if value < 0:
                raise ConfigError(f"{name} is {value}; expected a number of bytes of at least 0.")
        self._memory: EmbeddingCache[bytes] = EmbeddingCache(segmenter, memory_bytes, max_unsized=_UNSIZED)
        self._files = None if folder is None else _EmbeddingFiles(segmenter, Path(folder), disk_bytes)
        self._lock = threading.Lock()

    @property
    def num_bytes(self) -> int:
        """Memory that the kept embeddings hold now."""
        with self._lock:
            return self._memory.num_bytes

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        """See :meth:`~sampt.segmenters.base.PromptableSegmenter.encode`."""
        keys = [_frame_key(frame) for frame in frames]
        with self._lock:
            found = {key: embedding for key in dict.fromkeys(keys) if (embedding := self._recall(key)) is not None}
            missing: dict[bytes, int] = {}
            for k, key in enumerate(keys):
                if key not in found:
                    missing.setdefault(key, k)
            if missing:
                # Indexing copies: whoever changes the frames later changes no embedding that refers to them.
                new = self.segmenter.encode(frames[list(missing.values())])
                found |= zip(missing, new, strict=True)
                if self._files is not None:
                    for key in missing:
                        self._files.write(key, found[key])
            self._memory.put_all(found)
        return [found[key] for key in keys]

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        """See :meth:`~sampt.segmenters.base.PromptableSegmenter.decode`."""
        predictions = super().decode(embedding, prompts, full_size=full_size)
        self._trim()
        return predictions

    def decode_with_refinement(
        self, embedding: Any, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> list[MaskPrediction]:
        """See :meth:`~sampt.segmenters.base.RefiningSegmenter.decode_with_refinement`."""
        predictions = super().decode_with_refinement(embedding, prompts, plan)
        self._trim()
        return predictions

    def _trim(self) -> None:
        """An embedding may grow when it is decoded."""
        with self._lock:
            self._memory.trim()

    def _recall(self, key: bytes) -> Any:
        """The embedding, wherever it is kept, or None."""
        embedding = self._memory.get(key)
        if embedding is None and self._files is not None:
            embedding = self._files.read(key)
        return embedding


def _longest_ago(keys: Collection[Key]) -> Key:
    return next(iter(keys))


class EmbeddingCache(Generic[Key]):
    """Embeddings by key, never more than fit: their sizes are requested again at every :meth:`put_all` and :meth:`trim`.

    Args:
        segmenter: whose embeddings they are.
        budget: bytes that they may hold together.
        first_out: chooses what makes way when they are too many; keys come in the order of their last use. Left out: the first.
        max_unsized: how many are kept when the segmenter does not know their sizes.
    """

    def __init__(
        self,
        segmenter: PromptableSegmenter,
        budget: int,
        first_out: Callable[[Collection[Key]], Key] = _longest_ago,
        *,
        max_unsized: int = 0,
    ) -> None:
        inner = innermost(segmenter)
        # Whether it has the methods, not what class it is; no flag of `info`, which a third party's segmenter that has them
        # would have to set to be cached as before.
        self._size_of: Callable[[Any], int] | None = inner.embedding_bytes if isinstance(inner, SizedEmbeddings) else None
        self._fraction = max(budget // max_unsized, 1) if max_unsized else budget + 1
        self._budget, self._first_out = budget, first_out
        self._entries: dict[Key, Any] = {}

    @property
    def num_bytes(self) -> int:
        """What they hold now; those of unknown size count as the fraction of the budget that they take."""
        return sum(self._sizes().values())

    def get(self, key: Key) -> Any:
        """The embedding, or None when it is not kept."""
        embedding = self._entries.pop(key, None)
        if embedding is not None:
            self._entries[key] = embedding  # at the end: used last
        return embedding

    def put_all(self, embeddings: dict[Key, Any]) -> None:
        """Keep these, if they fit, in the order of their use."""
        for key, embedding in embeddings.items():
            self._entries.pop(key, None)
            self._entries[key] = embedding
        self.trim()

    def drop_all(self, is_done: Callable[[Key], bool]) -> None:
        """Forget those that will not be requested."""
        self._entries = {key: embedding for key, embedding in self._entries.items() if not is_done(key)}

    def trim(self) -> None:
        """Forget what does not fit: first each that is too large by itself, then those that are ``first_out``."""
        sizes = self._sizes()
        for key in [key for key, size in sizes.items() if size > self._budget]:
            del sizes[key], self._entries[key]
        total = sum(sizes.values())
        while total > self._budget:
            key = self._first_out(sizes)
            total -= sizes.pop(key)
            del self._entries[key]

    def _sizes(self) -> dict[Key, int]:
        size_of = self._size_of
        return {key: self._fraction if size_of is None else size_of(embedding) for key, embedding in self._entries.items()}


class _EmbeddingFiles:
    """Embeddings in a folder, by frame; a file holds one as an npz archive, with its key so that a renamed one is noticed."""

    def __init__(self, segmenter: PromptableSegmenter, folder: Path, budget: int) -> None:
        inner = innermost(segmenter)
        if not isinstance(inner, StorableEmbeddings):  # whether it has the methods, as for SizedEmbeddings
            raise BackendError(
                f"{segmenter.info.name!r} cannot keep embeddings in a folder, {str(folder)!r} was given; leave the folder out."
            )
        self._segmenter: StorableEmbeddings = inner
        self._folder, self._budget = folder, budget
        self._is_writable = True

    def read(self, frame_key: bytes) -> Any:
        """The embedding, or None where there is no good file of it."""
        key = self._key(frame_key)
        path = self._path(key)
        try:
            with np.load(path, allow_pickle=False) as file:
                if file[_KEY].tobytes() != key:
                    raise ValueError("it has the key of another one")
                arrays = {name.removeprefix(_ARRAY): file[name] for name in file.files if name != _KEY}
            embedding = self._segmenter.unpack(arrays)
        except OSError:
            return None
        except Exception as error:  # broken files fail in many ways; each is made anew
            logger.info("%s is no good embedding (%s) and is replaced.", path, error)
            return None
        with suppress(OSError):  # where it cannot be written, others keep the folder in order
            _mark_used(path)
        return embedding

    def write(self, frame_key: bytes, embedding: Any) -> None:
        """Keep the embedding, as far as that is possible."""
        if not self._is_writable:
            return
        key = self._key(frame_key)
        data = self._data(key, embedding)
        if len(data) > self._budget:
            return
        path = self._path(key)
        partial = path.with_name(f"{path.name}.{os.getpid()}.partial")
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._make_room(len(data))
            partial.write_bytes(data)
            _mark_used(partial)
            partial.replace(path)
        except OSError as error:
            self._is_writable = False
            with suppress(OSError):
                partial.unlink(missing_ok=True)
            logger.warning("No further embeddings are kept in %s (%s).", self._folder, error.strerror or error)

    def _data(self, key: bytes, embedding: Any) -> bytes:
        arrays = self._segmenter.pack(embedding)
        for name, array in arrays.items():
            if array.dtype.hasobject:
                raise BackendError(f"The segmenter's pack() gave {name!r} as Python objects; expected an array of numbers.")
        buffer = io.BytesIO()  # at once: an archive that cannot be written to its end fails in more ways than a file
        named: dict[str, Any] = {_KEY: np.frombuffer(key, np.uint8)} | {_ARRAY + name: a for name, a in arrays.items()}
        np.savez(buffer, **named)
        return buffer.getvalue()

    def _make_room(self, needed: int) -> None:
        """Delete the files used longest ago until ``needed`` bytes more fit; and what a killed process left half written."""
        files = sorted(self._files())
        total = sum(size for _, _, size in files)
        for used_ns, path, size in files:
            is_left = path.suffix == ".partial" and time.time() - used_ns / 1e9 > _PARTIAL_S
            if is_left or (total + needed > self._budget and path.suffix != ".partial"):
                path.unlink(missing_ok=True)
                total -= size

    def _files(self) -> Iterator[tuple[int, Path, int]]:
        """Last use in nanoseconds, path and bytes of every file of a cache in the folder."""
        with os.scandir(self._folder) as entries:
            for entry in entries:
                if _NAME.fullmatch(entry.name):
                    with suppress(FileNotFoundError):  # another process was quicker
                        found = entry.stat(follow_symlinks=False)
                        yield found.st_mtime_ns, Path(entry.path), found.st_size

    def _path(self, key: bytes) -> Path:
        return self._folder / f"sampt-{key.hex()}.npz"

    def _key(self, frame_key: bytes) -> bytes:
        """Of the frame as this segmenter sees it."""
        return hashlib.blake2b(_FORMAT + frame_key + name_bytes(self._segmenter.identity), digest_size=_DIGEST_BYTES).digest()


def _mark_used(path: Path) -> None:
    """The file's time is its last use; given exactly, as the system's own is some milliseconds coarse."""
    now_ns = time.time_ns()
    os.utime(path, ns=(now_ns, now_ns))


def _frame_key(frame: UInt8Array) -> bytes:
    """Digest of the pixels and the size."""
    digest = hashlib.blake2b(f"{frame.shape} {frame.dtype.str}\0".encode(), digest_size=_DIGEST_BYTES)
    digest.update(np.ascontiguousarray(frame).reshape(-1).data)
    return digest.digest()
