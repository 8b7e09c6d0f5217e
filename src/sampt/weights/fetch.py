"""From a description of a checkpoint to the file: at hand already, or downloaded, verified and renamed in one step."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar
from hashlib import sha256
from pathlib import Path

from sampt.errors import BackendError
from sampt.files.limits import MAX_WEIGHTS_BYTES, max_weights_bytes
from sampt.weights.archive import WrongArchiveError, opened_member
from sampt.weights.cache import (
    Verification,
    check_room,
    disk_errors,
    find_verified,
    is_offline,
    locked,
    make_partial_path,
    verify_and_record,
    weights_folder,
)
from sampt.weights.download import NotServedError, Progress, Request, discard, download
from sampt.weights.hub import at_endpoint
from sampt.weights.sources import SOURCES, WeightsSource, describe_bytes

__all__ = ["Progress", "Show", "downloads_shown_by", "fetch", "fetch_first", "no_downloads"]

logger = logging.getLogger(__name__)

_CHUNK = 1 << 20
Show = Callable[[WeightsSource], AbstractContextManager[Progress]]
"""Begins to show the download of a source; what it gives is called as it goes on."""
_show: ContextVar[Show | None] = ContextVar("show", default=None)
_why_not: ContextVar[str | None] = ContextVar("why_not", default=None)


class _WrongContentsError(BackendError):
    """What was downloaded is not what it should be; unlike a full disk, it will not do another time either."""


@contextmanager
def downloads_shown_by(show: Show) -> Iterator[None]:
    """Inside the block, downloads that are given no ``progress`` are shown by ``show``, and not by a line in the log."""
    token = _show.set(show)
    try:
        yield
    finally:
        _show.reset(token)


@contextmanager
def no_downloads(why: str) -> Iterator[None]:
    """Inside the block, and in its thread, only what is at hand is used; what is not is a :class:`BackendError`.

    Args:
        why: who requests the weights, as the end of the sentence "they are not downloaded, because ...".
    """
    token = _why_not.set(why)
    try:
        yield
    finally:
        _why_not.reset(token)


def fetch(source: WeightsSource, progress: Progress | None = None) -> Path:
    """The file of ``source`` with the right digest: from the cache, from the hub's cache, or downloaded.

    A download that was cut, even by a killed process, goes on where it stopped; the file gets its name when it is complete and
    verified; a second process waits for the first one's file.

    Args:
        source: an entry of :data:`sampt.weights.SOURCES`, or one of your own.
        progress: called with (bytes there, bytes in all or None); without it one line is logged that a download begins.

    Returns:
        Its path, which may lie in the hub's cache: only for reading.

    Raises:
        BackendError: it cannot be fetched or is not what it should be, or it is not at hand and ``SAMPT_OFFLINE`` or
            :func:`no_downloads` forbids to fetch it.
    """
    found = find_verified(source)
    if found:
        return found.path
    _refuse_without_network(source)
    with locked(_download_name(source)):
        found = find_verified(source)  # another process may have fetched it meanwhile
        return found.path if found else _download(source, progress).path


def fetch_first(sources: Sequence[WeightsSource], progress: Progress | None = None) -> Path:
    """The file of the first of ``sources`` that is at hand, else of the first that its server has.

    Raises:
        BackendError: as :func:`fetch`; or no server has any of them.
    """
    for source in sources:
        if found := find_verified(source):
            return found.path
    refused: list[NotServedError] = []
    for source in sources:
        try:
            return fetch(source, progress)
        except NotServedError as error:
            refused.append(error)
    if len(sources) == 1:
        raise refused[0]
    first = sources[0]
    names = " or ".join((source.url or source.file).rpartition("/")[2] for source in sources)
    raise BackendError(
        f"{first.name!r} is no file or folder here, and {first.page} has no {names} for everybody (it responded with"
        f" {refused[0].status}); check the name, or get the file by hand and give its path."
    ) from refused[0]


def _refuse_without_network(source: WeightsSource) -> None:
    target = weights_folder() / source.file
    if source.url is None:
        raise BackendError(
            f"{source.name!r} cannot be downloaded directly; get it as {source.page} says and put it at {target}."
        )
    if source.is_gated and source.hub_file is not None:
        repository, file = source.hub_file
        raise BackendError(
            f"{source.name!r} is given only to admitted accounts; request access at {source.page}, then run: hf download"
            f" {repository} {file} (the hub's cache is used), or put {at_endpoint(source.url)} at {target}."
        )
    if is_offline():
        part = f"{source.member} out of " if source.member else ""
        raise BackendError(
            f"{source.name!r} is not in the cache and SAMPT_OFFLINE is set; fetch {part}{at_endpoint(source.url)} on a machine"
            f" with network and put it at {target}, or unset SAMPT_OFFLINE."
        )
    if why := _why_not.get():
        raise BackendError(
            f"The weights {source.name!r} ({describe_bytes(source.num_bytes)}) are not here and not downloaded, because"
            f" {why}; if you want them, run: sampt weights pull {source.name}"
        )


def _by_hand(source: WeightsSource) -> str:
    return f"get {source.member or source.file} from {source.page} and put it at {weights_folder() / source.file}"


def _download_name(source: WeightsSource) -> str:
    """Of the file that comes over the line; sources in one archive share it."""
    if source.member is None:
        return source.file
    assert source.url is not None
    return f"{sha256(source.url.encode()).hexdigest()[:8]}-{source.url.partition('?')[0].rpartition('/')[2]}"


def _download(source: WeightsSource, progress: Progress | None) -> Verification:
    assert source.url is not None
    folder = weights_folder()
    url, show = at_endpoint(source.url), _show.get()
    if progress is None and show is None:
        size = describe_bytes(source.num_bytes)
        license = f"licence of the weights: {source.license_weights}"
        logger.warning("downloading %s (%s) from %s to %s; %s", source.file, size, url, folder, license)
    is_file = source.member is None
    request = Request(
        url,
        make_partial_path(folder / _download_name(source)),
        source.name,
        _by_hand(source),
        exact_bytes=source.num_bytes if is_file and source.is_exact_size else None,
        max_bytes=_max_bytes(source) if is_file else MAX_WEIGHTS_BYTES,
        has_digest=is_file and source.digest is not None,
    )
    with nullcontext(progress or _unseen) if progress or show is None else show(source) as on_bytes:
        download(request, on_bytes)
    return _accept(source, request.partial) if is_file else _unpack(source, request.partial)


def _max_bytes(source: WeightsSource) -> int:
    return max_weights_bytes(source.num_bytes, is_exact=source.is_exact_size)


def _unseen(done: int, total: int | None) -> None:
    """A progress that nobody looks at."""


def _accept(source: WeightsSource, partial: Path) -> Verification:
    """Give a complete file its name, if it is the right one."""
    target = weights_folder() / source.file
    with disk_errors(target.parent, source.name):
        try:
            found = verify_and_record(source, partial, is_named=target)
        except BackendError as error:
            discard(partial)
            raise _WrongContentsError(
                f"What {source.url} gave for {source.name!r} {error}; it was removed. Run it again; if that does not help,"
                f" {_by_hand(source)}."
            ) from error
        with partial.open("rb+") as file:  # its contents have to reach the disk before its name does
            os.fsync(file.fileno())
        partial.replace(target)
        discard(partial)
    return found


def _unpack(source: WeightsSource, archive: Path) -> Verification:
    """Take the file out of a downloaded archive, with the others there that are known and not at hand, and remove it."""
    try:
        found = _take(source, archive)
        for other in SOURCES.values():
            if other.url == source.url and other.file != source.file and not (weights_folder() / other.file).exists():
                with contextlib.suppress(BackendError, WrongArchiveError):  # nobody requested it
                    _take(other, archive)
    except WrongArchiveError as error:
        discard(archive)
        by_hand = _by_hand(source)
        advice = f"it was removed. Run it again, or {by_hand}" if error.is_damaged else by_hand
        raise _WrongContentsError(f"What {source.url} gave for {source.name!r} {error}; {advice}.") from error
    except _WrongContentsError:
        discard(archive)
        raise
    discard(archive)
    return found


def _take(source: WeightsSource, archive: Path) -> Verification:
    assert source.member is not None
    partial = make_partial_path(weights_folder() / source.file)
    try:
        with opened_member(archive, source.member) as (size, packed):
            if size > _max_bytes(source):
                raise WrongArchiveError(f"holds {source.member} with {size} bytes, which it cannot have", is_damaged=False)
            check_room(partial.parent, size, source.name)
            with disk_errors(partial.parent, source.name, size):
                file = partial.open("wb")
            with file:
                while chunk := packed.read(_CHUNK):
                    with disk_errors(partial.parent, source.name, size):  # not around the reading, whose errors are others
                        file.write(chunk)
    except BaseException:
        partial.unlink(missing_ok=True)
        raise
    return _accept(source, partial)
