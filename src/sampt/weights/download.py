"""One file over HTTP into a partial file, gone on with after a cut or a killed process, and never made of two versions.

Beside ``NAME.partial`` lies ``NAME.partial.json`` with what the server said of the file when its first byte came: ETag,
Last-Modified, size. A later response is appended only when the server says the same of it.
"""

from __future__ import annotations

import http.client
import logging
import re
import ssl
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from email.message import Message
from pathlib import Path
from typing import IO, Any

from sampt.errors import BackendError
from sampt.files.limits import MAX_DOWNLOAD_S, MAX_WEIGHTS_BYTES, MIN_DOWNLOAD_BYTES_PER_S, parse_json
from sampt.version import __version__
from sampt.weights.cache import check_room, disk_errors, write_json

__all__ = ["NotServedError", "Progress", "Request", "discard", "download"]

logger = logging.getLogger(__name__)

Progress = Callable[[int, int | None], None]
"""Called with (bytes there, bytes in all or None)."""

_CHUNK = 1 << 18
_TIMEOUT_S = 30.0
_WINDOW_S = 60.0
_BACKOFF_S = (0.5, 1.0, 2.0, 4.0)
"""Waits before the second, third ... attempt; an attempt that brought something begins the count anew."""
_PASSING = (408, 425, 429, 500, 502, 503, 504)
_NOT_SERVED = (401, 403, 404, 410)
"""The hub responds with 401, too, where there is no such repository, so that nobody learns which private ones there are."""
_NOT_WEIGHTS = {b"<!doctype html": "a web page", b"<html": "a web page", b"version https://git-lfs": "a pointer of Git LFS"}


@dataclass(frozen=True)
class Request:
    """What to download.

    Attributes:
        url: http or https.
        partial: where it grows.
        what: its name in messages.
        advice: how a person gets it without this program.
        exact_bytes: size it has to have, or None.
        max_bytes: larger it cannot be.
        has_digest: True when the caller knows its digest, which then tells a mixture of two versions, too.
    """

    url: str
    partial: Path
    what: str
    advice: str
    exact_bytes: int | None = None
    max_bytes: int = MAX_WEIGHTS_BYTES
    has_digest: bool = False


@dataclass(frozen=True)
class _Version:
    """What a server says of a file that tells one version of it from another."""

    url: str
    etag: str | None
    modified: str | None
    total: int | None

    def may_be_continued_by(self, other: _Version, *, blindly: bool) -> bool:
        """Whether bytes of ``other`` fit behind bytes of this one."""
        pairs = [(self.etag, other.etag), (self.modified, other.modified)]
        compared = [a == b for a, b in pairs if a and b]
        return all(compared) and self.total == other.total and (bool(compared) or blindly)


class NotServedError(BackendError):
    """The server has no such file, or not for everybody.

    Attributes:
        status: status and reason, "404 Not Found".
    """

    def __init__(self, message: str, status: str) -> None:
        super().__init__(message)
        self.status = status


class _CutError(Exception):
    """The transfer failed in a way that may pass."""


def download(request: Request, progress: Progress) -> None:
    """Make ``request.partial`` the whole file; goes on where an earlier call stopped.

    Raises:
        BackendError: the server has no such file, keeps failing, or there is no room; what came stays for the next call where
            that makes sense.
    """
    failures, limit = 0, _size(request.partial)
    pace = _Pace()
    while True:
        try:
            _attempt(request, progress, pace)
            return
        except _CutError as error:
            size = _size(request.partial)
            failures = 1 if size > limit else failures + 1
            limit = max(limit, size)
            if failures > len(_BACKOFF_S):
                raise BackendError(
                    f"The download of {request.what} from {request.url} stopped at {size} bytes ({error});"
                    " run it again to go on from there."
                ) from error
            logger.info("%s: %s; another attempt follows", request.url, error)
            time.sleep(_BACKOFF_S[failures - 1])


def discard(partial: Path) -> None:
    """Remove a partial file and what is known of it."""
    partial.unlink(missing_ok=True)
    _version_path(partial).unlink(missing_ok=True)


class _Pace:
    """Whether a server sends at all, and comes to an end."""

    def __init__(self) -> None:
        self._started = self._window_s = time.monotonic()
        self._came = 0

    def note(self, num_bytes: int, request: Request) -> None:
        """So many bytes came.

        Raises:
            BackendError: it takes too long.
        """
        now = time.monotonic()
        self._came += num_bytes
        if now - self._window_s >= _WINDOW_S:
            rate, self._window_s, self._came = self._came / (now - self._window_s), now, 0
            if rate < MIN_DOWNLOAD_BYTES_PER_S:
                self._stop(request, f"{rate:.0f} bytes a second came in the last {_WINDOW_S:.0f} s")
        if now - self._started > MAX_DOWNLOAD_S:
            self._stop(request, f"it took more than {MAX_DOWNLOAD_S / 3600:.0f} hours")

    def _stop(self, request: Request, reason: str) -> None:
        raise BackendError(
            f"The download of {request.what} from {request.url} was given up at {_size(request.partial)} bytes: {reason};"
            f" run it again to go on from there, or {request.advice}."
        )


def _attempt(request: Request, progress: Progress, pace: _Pace) -> None:
    begun = _find_begun(request)
    done = _size(request.partial) if begun else 0
    if begun and begun.total == done:
        return  # a process was killed between the last byte and what follows
    with _open(request, begun, done) as response:
        version = _find_version(request.url, response.headers, response.status)
        if response.status == 206 and done:
            if not (_first_byte(response.headers) == done and begun and _fits(begun, version, request)):
                discard(request.partial)
                raise _CutError("the file on the server is another one now")
        elif response.status != 200:
            raise BackendError(
                f"{request.url} responded with {response.status} {response.reason}, expected the file of {request.what}."
            )
        else:
            done = 0
        if request.exact_bytes is not None and version.total not in (None, request.exact_bytes):
            raise BackendError(
                f"{request.url} has {version.total} bytes, expected {request.exact_bytes}: it is not {request.what};"
                f" {request.advice}."
            )
        _check_size(request, version.total or 0)
        needed = None if version.total is None else version.total - done
        check_room(request.partial.parent, needed or 0, request.what)
        if not done:
            with disk_errors(request.partial.parent, request.what):
                discard(request.partial)
                write_json(_version_path(request.partial), asdict(version))
        _copy(response, request, done, version.total, progress, pace)


def _fits(begun: _Version, version: _Version, request: Request) -> bool:
    return begun.may_be_continued_by(version, blindly=request.has_digest)


def _find_begun(request: Request) -> _Version | None:
    """The version that the partial file is the beginning of; None when it has to be started over."""
    try:
        data = parse_json(_version_path(request.partial).read_text(encoding="utf-8"))
        begun = _Version(**data)
    except (OSError, ValueError, TypeError):
        return None
    size = _size(request.partial)
    is_sound = begun.url == request.url and size > 0 and (begun.total is None or size <= begun.total)
    return begun if is_sound and (begun.etag or begun.modified or request.has_digest) else None


def _open(request: Request, begun: _Version | None, done: int) -> http.client.HTTPResponse:
    headers = {"User-Agent": f"sampt/{__version__}", "Accept-Encoding": "identity"}
    if begun:
        headers["Range"] = f"bytes={done}-"
        if validator := begun.etag or begun.modified:
            headers["If-Range"] = validator
    if not request.url.startswith(("https://", "http://")):
        raise BackendError(f"{request.what} has the address {request.url!r}; expected one that begins with https://.")
    opener = urllib.request.build_opener(_KeepsEncrypted)
    try:
        response: http.client.HTTPResponse = opener.open(
            urllib.request.Request(request.url, headers=headers),  # noqa: S310
            timeout=_TIMEOUT_S,
        )
    except urllib.error.HTTPError as error:
        with error:
            _refuse(error, request)
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", error)
        if isinstance(reason, ssl.SSLCertVerificationError):
            raise BackendError(
                f"{request.url} cannot be trusted ({reason.verify_message}); check the clock and the certificates of this"
                f" machine, or {request.advice}."
            ) from error
        raise _CutError(f"no connection: {_line(reason)}") from error
    if response.headers.get_content_type() == "text/html":
        response.close()
        raise BackendError(_describe_other(request, "a web page"))
    return response


def _refuse(error: urllib.error.HTTPError, request: Request) -> None:
    if error.code == 416:  # the file is shorter now than what is there of it
        discard(request.partial)
        raise _CutError("the file on the server is another one now") from error
    if error.code in _PASSING:
        raise _CutError(f"the server responded with {error.code} {_line(error.reason)}") from error
    status = f"{error.code} {_line(error.reason)}"
    message = f"{request.url} responded with {status}, expected the file of {request.what}; {request.advice}."
    if error.code in _NOT_SERVED:
        raise NotServedError(message, status) from error
    raise BackendError(message) from error


def _check_size(request: Request, num_bytes: int) -> None:
    if num_bytes > request.max_bytes:
        discard(request.partial)
        raise BackendError(
            f"{request.url} has more than {request.max_bytes} bytes, which {request.what} cannot have; {request.advice}."
        )


def _copy(response: IO[bytes], request: Request, done: int, total: int | None, progress: Progress, pace: _Pace) -> None:
    """Append the response to the partial file, which every chunk reaches at once: a killed process loses nothing."""
    progress(done, total)
    with _writing(request, total):
        file = request.partial.open("ab")
    try:
        while chunk := _read(response):
            if not done:
                _check_start(chunk, request)
            with _writing(request, total):
                file.write(chunk)
                file.flush()
            done += len(chunk)
            _check_size(request, done)
            pace.note(len(chunk), request)
            progress(done, total)
    finally:
        with _writing(request, total):
            file.close()
    if total is not None and done != total:
        raise _CutError(f"the connection was cut, {total - done} bytes are missing")


@contextmanager
def _writing(request: Request, total: int | None) -> Iterator[None]:
    """Errors of the disk as one line, with what is still missing."""
    try:
        yield
    except OSError:
        left = None if total is None else total - _size(request.partial)
        with disk_errors(request.partial.parent, request.what, left):
            raise


def _read(response: Any) -> bytes:
    try:
        chunk: bytes = response.read1(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise _CutError(f"the connection was cut: {_line(error)}") from error
    return chunk


def _check_start(chunk: bytes, request: Request) -> None:
    start = chunk[:64].lstrip().lower()
    for mark, kind in _NOT_WEIGHTS.items():
        if start.startswith(mark):
            discard(request.partial)
            raise BackendError(_describe_other(request, kind))


def _describe_other(request: Request, kind: str) -> str:
    return (
        f"{request.url} gave {kind} instead of {request.what}, as behind a proxy or a log-in, or for a moved file;"
        f" {request.advice}."
    )


class _KeepsEncrypted(urllib.request.HTTPRedirectHandler):
    """Follows redirections, but not from https to something that anybody on the way can change."""

    def redirect_request(
        self, req: urllib.request.Request, fp: IO[bytes], code: int, msg: str, headers: Message, newurl: str
    ) -> urllib.request.Request | None:
        if req.full_url.startswith("https:") and not newurl.startswith("https:"):
            raise BackendError(f"{req.full_url} redirects to {newurl}, which is not encrypted; get the file by hand.")
        return super().redirect_request(req, fp, code, msg, headers, newurl)  # type: ignore[arg-type]


def _find_version(url: str, headers: Message, status: int) -> _Version:
    etag = headers.get("ETag")
    length = headers.get("Content-Length", "")
    total: int | None = int(length) if length.isdigit() else None
    if status == 206:
        found = re.fullmatch(r"bytes \d+-\d+/(\d+)", headers.get("Content-Range", ""))
        total = int(found[1]) if found else None
    # A weak ETag does not promise the same bytes.
    return _Version(url, None if etag is None or etag.startswith("W/") else etag, headers.get("Last-Modified"), total)


def _first_byte(headers: Message) -> int | None:
    found = re.match(r"bytes (\d+)-", headers.get("Content-Range", ""))
    return int(found[1]) if found else None


def _version_path(partial: Path) -> Path:
    return partial.with_name(partial.name + ".json")


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _line(reason: object) -> str:
    return " ".join(str(reason).split()) or type(reason).__name__
