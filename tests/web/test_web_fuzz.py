"""Random requests and messages: nothing breaks, nothing leaks, and no session is harmed by another browser's."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import re
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import hypothesis
import numpy as np
import pytest
import uvicorn

schemathesis = pytest.importorskip("schemathesis", reason="schemathesis is one of the [dev] extras")

import requests  # noqa: E402 - it comes with schemathesis
from websockets.exceptions import ConnectionClosed  # noqa: E402
from websockets.sync.client import connect  # noqa: E402

from sampt.web.app import create_app  # noqa: E402

_EXAMPLES = int(os.environ.get("SAMPT_FUZZ_EXAMPLES", "8"))
_CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_schema_conformance",
    "response_headers_conformance",
)


class Running:
    """A server in a thread, prompted over a real connection.

    Attributes:
        url: of the server.
        site: what it serves.
    """

    def __init__(self, site: Any) -> None:
        self.site = site
        bound = socket.create_server(("127.0.0.1", 0))
        self.port = bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        settings = site.settings.with_limits(messages_a_s=1e9, upload_bytes=1 << 20, sessions=8)
        config = uvicorn.Config(create_app(settings), log_config=None, log_level="error", ws_max_size=1 << 16, lifespan="on")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [bound]})
        self.thread.start()

    def browser(self, project: str) -> requests.Session:
        """One with the clip open in a project of that name."""
        session = requests.Session()
        self.open(session, project)
        return session

    def open(self, session: requests.Session, project: str) -> None:
        wanted = {"video": "root/clip", "project": f"root/{project}.sampt"}
        answer = session.post(f"{self.url}/api/v1/session", json=wanted)
        assert answer.status_code == 201, answer.text
        if not answer.json()["points"]:
            session.post(f"{self.url}/api/v1/session/objects", json={})
            wanted = {"object_id": 1, "frame": 0, **self.site.inside(1)}
            assert session.post(f"{self.url}/api/v1/session/points", json=wanted).status_code == 201

    def end(self) -> None:
        self.server.should_exit = True
        self.thread.join(30)
        assert not self.thread.is_alive()


@pytest.fixture
def running(site: Any, caplog: pytest.LogCaptureFixture) -> Iterator[Running]:
    server = Running(site)
    with caplog.at_level(logging.ERROR):
        yield server
        server.end()
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == []


@pytest.fixture
def bystander(running: Running) -> Iterator[requests.Session]:
    """Another browser, whose session is the same before and after."""
    browser = running.browser("bystander")
    api = f"{running.url}/api/v1/session"
    browser.patch(f"{api}/objects/1", json={"name": "mine"})
    before = browser.get(api).json()
    yield browser
    after = browser.get(api)
    assert after.status_code == 200
    assert after.json() == before
    shown = browser.get(f"{api}/frames/0/masks", params={"preview": True}).json()["objects"][0]
    assert np.array_equal(running.site.mask(shown), running.site.masks(0)[0])
    browser.close()


def test_no_random_request_breaks_the_interface(running: Running, bystander: requests.Session) -> None:
    schema = schemathesis.openapi.from_url(f"{running.url}/api/v1/openapi.json")
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) >= 28
    checks = [getattr(schemathesis.checks, name, None) or _check(name) for name in _CHECKS]
    browser, secret = running.browser("fuzzed"), str(running.site.folder)
    seen: dict[int, int] = {}
    for operation in operations:
        for mode in (schemathesis.GenerationMode.POSITIVE, schemathesis.GenerationMode.NEGATIVE):
            with contextlib.suppress(hypothesis.errors.Unsatisfiable):  # nothing about it can be wrong
                _try(running, browser, operation, mode, checks, secret, seen)
    browser.close()
    assert sum(number for status, number in seen.items() if status < 300) > 40, seen
    assert sum(number for status, number in seen.items() if 400 <= status < 500) > 150, seen


def _try(
    running: Running, browser: requests.Session, operation: Any, mode: Any, checks: list[Any], secret: str, seen: dict[int, int]
) -> None:
    """Request one operation with random parameters and bodies."""
    limits = hypothesis.settings(
        max_examples=_EXAMPLES,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=list(hypothesis.HealthCheck),
        phases=[hypothesis.Phase.generate],
    )

    @limits
    @hypothesis.given(case=operation.as_strategy(generation_mode=mode))
    def ask(case: Any) -> None:
        if browser.get(f"{running.url}/api/v1/session").status_code == 404:
            running.open(browser, "fuzzed")
        if mode is schemathesis.GenerationMode.POSITIVE and sum(seen.values()) % 4:
            _bring_near(case)
        response = case.call(session=browser)
        case.validate_response(response, checks=checks)
        assert secret.encode() not in response.content
        assert response.status_code < 500 or response.status_code == 503
        seen[response.status_code] = seen.get(response.status_code, 0) + 1

    ask()


def _bring_near(case: Any) -> None:
    """Make a random request one about objects, frames and pixels that there are."""
    near = {"object_id": 1, "point_id": 1, "export_id": 3, "frame": 8, "start": 4, "stop": 8, "x": 90, "y": 60}
    near |= {"x0": 40, "y0": 30, "x1": 90, "y1": 60}
    for values in (case.path_parameters, case.body):
        if isinstance(values, dict):
            for name, limit in near.items():
                if isinstance(values.get(name), (int, float)):
                    values[name] = limit if limit == 1 or name in ("x1", "y1") else abs(values[name]) % limit
            if "format" in values:
                values["format"] = "png"
            if values.get("object_ids"):
                values["object_ids"] = [1]


def _check(name: str) -> Any:
    """A check by its name: those of OpenAPI are in a module of their own."""
    from schemathesis.specs.openapi import checks

    return getattr(checks, name)


def _messages(rng: np.random.Generator, count: int) -> Iterator[str | bytes]:
    """Right ones, nearly right ones and noise."""
    values = [None, True, -1, 0, 3, 7, 8, 2**31, 2**53, 2**70, 1.5, "", "none", "all", "é\u0000", [], {}, [[1]], {"a": 1}]
    kinds = ["preview", "watch", "cancel", "ping", "hello", "frame", "", 3, None]
    keys = ["request", "frame", "frames", "more", "type", ""]
    for _ in range(count):
        body: dict[str, Any] = {"type": kinds[rng.choice(len(kinds), p=[0.35, 0.2, 0.05, 0.2, *[0.04] * 5])]}
        for _ in range(rng.integers(0, 4)):
            body[keys[rng.integers(len(keys))]] = values[rng.integers(len(values))]
        if rng.random() < 0.3:
            body |= {"request": int(rng.integers(100)), "frame": int(rng.integers(10))}
        text = json.dumps(body)
        fate = rng.random()
        if fate < 0.1:
            text = text[: rng.integers(len(text))]
        elif fate < 0.15:
            location = rng.integers(len(text))
            text = text[:location] + chr(rng.integers(1, 0xD7FF)) + text[location + 1 :]
        yield rng.bytes(rng.integers(0, 200)) if fate > 0.97 else "[" * rng.integers(1, 3000) if fate > 0.96 else text


@pytest.mark.parametrize("count", [2000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_thousands_of_random_messages_do_no_harm(running: Running, bystander: requests.Session, count: int) -> None:
    browser, site = running.browser("fuzzed"), running.site
    api = f"{running.url}/api/v1/session"
    browser.post(f"{api}/propagations", json={})
    cookie = "; ".join(f"{c.name}={c.value}" for c in browser.cookies)
    before = {k: v for k, v in browser.get(api).json().items() if k in ("objects", "points", "boxes", "masks", "video")}
    kinds: dict[str, int] = {}
    with connect(f"ws://127.0.0.1:{running.port}/api/v1/session/events", additional_headers={"Cookie": cookie}) as stream:
        reader = threading.Thread(target=_read_all, args=(stream, kinds, str(site.folder)))
        reader.start()
        for i, message in enumerate(_messages(np.random.default_rng(8), count)):
            stream.send(message)
            if i % 100 == 99:
                _catch_up(stream, kinds, (i + 1) // 100)
        stream.close()
        reader.join(30)
    assert "leak" not in kinds
    assert kinds["error"] > count / 10
    assert kinds["pong"] > count / 100
    assert kinds["preview"] > count / 500
    after = {k: v for k, v in browser.get(api).json().items() if k in before}
    assert after == before
    assert re.fullmatch(r"[0-9]+", str(browser.get(f"{api}/timelines").json()["revision"]))
    browser.close()


def _catch_up(stream: Any, kinds: dict[str, int], number: int) -> None:
    """Wait until all that was sent is handled: nobody who does not read may send on."""
    stream.send(json.dumps({"type": "preview", "request": 10**6 + number, "frame": 99}))
    for _ in range(3000):
        if kinds.get(f"request {10**6 + number}"):
            return
        time.sleep(0.005)
    raise AssertionError(f"the stream does not respond any more: {kinds}")


def _read_all(stream: Any, kinds: dict[str, int], secret: str) -> None:
    with contextlib.suppress(ConnectionClosed):
        for text in stream:
            body = json.loads(text)
            kind = body["type"] if secret not in text else "leak"
            kinds[kind] = kinds.get(kind, 0) + 1
            if body.get("request") is not None and body["request"] >= 10**6:
                kinds[f"request {body['request']}"] = 1
