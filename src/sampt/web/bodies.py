"""Bodies of requests: how large one may be, and how long a client may take to send it."""

from __future__ import annotations

import asyncio
import time
from typing import Final

from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.types import Message, Receive, Scope

from sampt.web.settings import Limits

__all__ = ["API", "announced_bytes", "limited"]

API: Final = "/api/v1"


def limited(scope: Scope, receive: Receive, limits: Limits) -> Receive:
    """``receive`` that ends a request whose body is too large or too slow.

    It raises HTTPException: 413 before anything is read when the headers announce too many bytes, and else at the first one too
    many; 408 when the client is silent or slow. How large an upload may be is the business of its route.
    """
    is_upload = scope["path"].startswith(f"{API}/uploads/")
    headers = Headers(scope=scope)
    limit = None if is_upload else _max_bytes(scope["path"], headers, limits)
    announced = announced_bytes(headers) or 0
    pace = _Pace(limits.wait_s, limits.upload_bytes_a_s if is_upload else limits.bytes_a_s)
    seen, is_whole = 0, False

    async def receiving() -> Message:
        nonlocal seen, is_whole
        if is_whole:  # what comes now is the end of the connection, which may take its time
            return await receive()
        if limit is not None and announced > limit:
            raise _too_large(limit)
        message = await pace.next(receive)
        is_whole = not message.get("more_body", False)
        seen += len(message.get("body", b""))
        if limit is not None and seen > limit:
            raise _too_large(limit)
        return message

    return receiving


def announced_bytes(headers: Headers) -> int | None:
    """What Content-Length says; None where it says nothing."""
    length = headers.get("content-length", "")
    return int(length) if length.isascii() and length.isdecimal() and len(length) < 19 else None


def media_type(headers: Headers) -> str:
    """What Content-Type says, without its parameters; empty where it says nothing."""
    return headers.get("content-type", "").partition(";")[0].strip().lower()


def _max_bytes(path: str, headers: Headers, limits: Limits) -> int:
    if not path.endswith("/mask"):
        return limits.json_bytes
    return limits.code_bytes if media_type(headers) == "application/json" else limits.mask_bytes


def _too_large(limit: int) -> HTTPException:
    return HTTPException(413, f"The request has more than {limit} bytes; expected a smaller one.")


class _Pace:
    """Time that a client has left: it goes by while the server waits for it, and every byte earns some."""

    def __init__(self, max_s: float, bytes_a_s: float) -> None:
        self._max_s = self._left_s = max_s
        self._bytes_a_s = bytes_a_s

    async def next(self, receive: Receive) -> Message:
        began_s = time.monotonic()
        try:
            async with asyncio.timeout(self._left_s):
                message = await receive()
        except TimeoutError:
            raise HTTPException(
                408,
                f"The body of the request did not come in time; expected {self._bytes_a_s:g} bytes a second or more.",
                {"connection": "close"},
            ) from None
        earned_s = len(message.get("body", b"")) / self._bytes_a_s
        self._left_s = min(self._max_s, self._left_s - (time.monotonic() - began_s) + earned_s)
        return message
