"""Who may connect: token, Host, Origin; what every response carries. For HTTP and WebSocket alike."""

from __future__ import annotations

import ipaddress
import json
import re
import secrets
import socket
from collections.abc import Iterable
from typing import Final
from urllib.parse import parse_qs

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sampt.web.bodies import API, limited
from sampt.web.settings import WebSettings

__all__ = ["API", "SECURITY_HEADERS", "Guard", "allowed_hosts", "is_loopback"]

SECURITY_HEADERS: Final = {
    "content-security-policy": "default-src 'self'; img-src 'self' blob: data:; object-src 'none'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=()",
}
_SAFE = ("GET", "HEAD", "OPTIONS")
_NO_STATUS = 1008


def is_loopback(host: str) -> bool:
    """Whether a server bound to ``host`` can be reached from its own machine alone."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host.lower().rstrip(".") == "localhost"


def allowed_hosts(host: str) -> frozenset[str]:
    """Names under which a server bound to ``host`` may be reached; addresses are no names (:func:`_is_allowed`)."""
    names = {"localhost", host.lower()}
    if not is_loopback(host):
        names |= {socket.gethostname().lower(), socket.getfqdn().lower()}
    return frozenset(names)


class Guard:
    """Refuses what nobody who was given the address could request, before anything else sees it.

    Another page in the browser of a person who uses the server could send requests to it: by a name of its own that it makes
    point here (Host is checked) or under this server's name (Origin and Sec-Fetch-Site are).

    Args:
        app: what is guarded.
        settings: of the server.
    """

    def __init__(self, app: ASGIApp, settings: WebSettings) -> None:
        self._app, self._token, self._limits = app, settings.token, settings.limits
        self._cookie = settings.cookie("token")
        self._is_local = is_loopback(settings.host)
        self._names = allowed_hosts(settings.host)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        refusal = self._refusal(scope)
        if scope["type"] == "websocket":
            if refusal is None:
                await self._app(scope, receive, send)
            else:
                await receive()
                await send({"type": "websocket.close", "code": _NO_STATUS, "reason": refusal[1][:100]})
            return
        sending = _with_headers(send, is_api=scope["path"].startswith(API))
        if refusal is None:
            await self._app(scope, limited(scope, receive, self._limits), sending)
        elif refusal[0] == 401 and (token := self._token_in_url(scope)) is not None:
            await _respond(sending, 303, "", {"location": "/", "set-cookie": self._set_cookie(token)})
        else:
            await _respond(sending, refusal[0], refusal[1], {"www-authenticate": "Bearer"} if refusal[0] == 401 else {})

    def _refusal(self, scope: Scope) -> tuple[int, str] | None:
        """Status and reason."""
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_allowed(hosts[0]):
            return 403, "The Host header is not one of this server's names; use the address that the server printed."
        if not _is_same_origin(scope, headers, hosts[0]):
            return 403, "The request comes from a page of another origin; use the page of this server."
        if self._token is not None and not self._has_token(headers):
            return (
                401,
                "The token is missing or wrong; use the whole address that the server printed, or Authorization: Bearer.",
            )
        return None

    def _is_allowed(self, host: str) -> bool:
        """A name of the server, or an address: no other site can make its name point to an address in this header."""
        found = re.fullmatch(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]/@\s]+)(?::\d{1,5})?", host)
        if found is None:
            return False
        name = found[1].strip("[]").lower().rstrip(".")
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return name in self._names
        return address.is_loopback or not self._is_local

    def _has_token(self, headers: Headers) -> bool:
        assert self._token is not None
        given = [value for part in headers.getlist("cookie") for value in _cookies(part, self._cookie)]
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() == "bearer":
            given.append(value.strip())
        return any(secrets.compare_digest(one.encode(), self._token.encode()) for one in given)

    def _token_in_url(self, scope: Scope) -> str | None:
        """The right token in the query of the page's address."""
        if self._token is None or scope["method"] not in ("GET", "HEAD") or scope["path"] != "/":
            return None
        for given in parse_qs(scope["query_string"].decode("latin-1")).get("token", [])[:1]:
            if secrets.compare_digest(given.encode(), self._token.encode()):
                return self._token
        return None

    def _set_cookie(self, token: str) -> str:
        return f"{self._cookie}={token}; HttpOnly; SameSite=Strict; Path=/"


def _is_same_origin(scope: Scope, headers: Headers, host: str) -> bool:
    origin = headers.get("origin")
    is_unsafe = scope["type"] == "websocket" or scope["method"] not in _SAFE
    if is_unsafe and origin is not None and origin.lower() not in (f"http://{host.lower()}", f"https://{host.lower()}"):
        return False
    is_page = scope["type"] == "http" and not scope["path"].startswith(API)
    return is_page or headers.get("sec-fetch-site", "none") in ("none", "same-origin")


def _cookies(header: str, name: str) -> Iterable[str]:
    """Values of a cookie that is never quoted. The standard library's parser takes longer than a stranger's header is worth."""
    for part in header.split(";"):
        found, _, value = part.partition("=")
        if found.strip() == name:
            yield value.strip()


def _with_headers(send: Send, *, is_api: bool) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in SECURITY_HEADERS.items():
                headers[name] = value
            if is_api:
                headers.setdefault("cache-control", "no-store")
        await send(message)

    return sending


async def _respond(send: Send, status: int, line: str, headers: dict[str, str]) -> None:
    body = json.dumps({"error": line}).encode() if line else b""
    kept = {"content-length": str(len(body)), "content-type": "application/json", "cache-control": "no-store"} | headers
    await send(
        {"type": "http.response.start", "status": status, "headers": [(k.encode(), v.encode()) for k, v in kept.items()]}
    )
    await send({"type": "http.response.body", "body": body})
