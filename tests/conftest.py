"""A server of weights on 127.0.0.1 that can misbehave, and an empty cache; what no test leaves behind."""

from __future__ import annotations

import hashlib
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.weights import WeightsSource

LONG_FILES = (
    *("cli/test_interruption.py", "evaluation/instances/test_predict_instances.py", "evaluation/test_predict.py"),
    *("web/browser/test_page_story.py", "web/browser/test_page_view.py", "web/browser/test_page_corrections.py"),
    *("batch/test_local.py", "pipeline/test_official_pipeline.py", "pipeline/test_real_video.py", "test_readme.py"),
    *("web/test_web_fuzz.py", "trackers/test_cotracker.py", "trackers/test_contract_trackers.py", "cli/test_bad_input.py"),
    *("trackers/test_bad_input_trackers.py", "exporters/test_registry.py", "batch/test_remote.py", "evaluation/test_sweep.py"),
    *("web/browser/test_page_review.py", "web/browser/test_page_access.py", "web/browser/test_page_takeover.py"),
    *("backends/test_registry.py", "backends/test_telemetry.py", "web/test_ui_command.py", "web/browser/test_page_export.py"),
)
"""Begun first: two processes take files in turns (`make test`), and one that came last would leave the other idle."""
CONTENT = np.random.default_rng(0).bytes(300_000)


@dataclass
class Seen:
    """A request, and how many bytes of a file were sent for it."""

    path: str
    range: str | None
    if_range: str | None
    agent: str | None
    sent: int = 0


@dataclass
class Server:
    """Serves ``content`` under any path.

    Attributes:
        content: the file.
        headers: of the response, besides its length.
        ranges: "yes", "no", or "careless": gives ranges whatever If-Range says.
        statuses: of the next responses; 0 is as usual.
        cuts: for the next responses, bytes after which the connection is closed; None sends everything.
        hold_at: bytes of the body after which it waits for ``go_on``.
        seen: requests so far.
    """

    content: bytes = CONTENT
    headers: dict[str, str] = field(default_factory=lambda: {"ETag": '"first"', "Content-Type": "application/octet-stream"})
    ranges: str = "yes"
    statuses: list[int] = field(default_factory=list)
    cuts: list[int | None] = field(default_factory=list)
    hold_at: int | None = None
    go_on: threading.Event = field(default_factory=threading.Event)
    seen: list[Seen] = field(default_factory=list)
    address: str = ""

    def url(self, path: str = "file.pth") -> str:
        return f"{self.address}/{path}"

    def source(self, **changes: Any) -> WeightsSource:
        """A source of ``content``, with its digest unless given otherwise."""
        facts: dict[str, Any] = {"name": "some", "backend": "some", "file": "some.pth", "url": self.url(), "page": "PAGE"}
        facts |= {"license_code": "MIT", "license_weights": "MIT", "sha256": hashlib.sha256(self.content).hexdigest()}
        return WeightsSource(**(facts | changes))

    @property
    def file_requests(self) -> list[Seen]:
        return [seen for seen in self.seen if not seen.path.startswith("/moved")]


def _handler(server: Server) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            names = ("Range", "If-Range", "User-Agent")
            seen = Seen(self.path, *(self.headers.get(name) for name in names))
            server.seen.append(seen)
            if self.path.startswith("/moved"):
                self._answer(302, {"Location": self.path.replace("/moved", "")})
            elif server.statuses and (status := server.statuses.pop(0)):
                self._answer(status, {})
            else:
                self._send(seen)

        def _send(self, seen: Seen) -> None:
            start, status, headers = 0, 200, dict(server.headers)
            is_same = server.ranges == "careless" or seen.if_range in (None, server.headers.get("ETag"))
            if seen.range and server.ranges != "no" and is_same:
                start, status = int(seen.range.removeprefix("bytes=").removesuffix("-")), 206
                if start >= len(server.content):
                    self._answer(416, {})
                    return
                headers["Content-Range"] = f"bytes {start}-{len(server.content) - 1}/{len(server.content)}"
            body = server.content[start:]
            cut = server.cuts.pop(0) if server.cuts else None
            self._answer(status, headers | {"Content-Length": str(len(body))})
            for begin in range(0, len(body) if cut is None else cut, 10_000):
                if server.hold_at is not None and begin >= server.hold_at:
                    server.go_on.wait(60)
                part = body[begin : begin + 10_000][: None if cut is None else cut - begin]
                self.wfile.write(part)
                seen.sent += len(part)

        def _answer(self, status: int, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()

    return Handler


class _Quiet(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that go away are meant to."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    folder = Path(__file__).parent
    rank = {folder / name: i for i, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


@pytest.fixture(autouse=True)
def signal_handlers_are_left_alone() -> Iterator[None]:
    """A handler that outlives its test decides how all tests after it are interrupted."""
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = [signal.getsignal(number) for number in numbers]
    yield
    assert [signal.getsignal(number) for number in numbers] == before, "the test leaves a signal handler"


@pytest.fixture
def server() -> Iterator[Server]:
    """A fresh server."""
    made = Server()
    with _Quiet(("127.0.0.1", 0), _handler(made)) as http:
        made.address = f"http://127.0.0.1:{http.server_address[1]}"
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield made
        made.go_on.set()
        http.shutdown()
        thread.join()


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of weights, no cache of the hub, no waiting between attempts."""
    for variable in ("SAMPT_OFFLINE", "HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    monkeypatch.setattr("sampt.weights.download._BACKOFF_S", (0.0, 0.0, 0.0))
    return tmp_path / "cache"


@pytest.fixture
def wait_until() -> Callable[[Callable[[], bool]], None]:
    """Waits for something to become true; fails after a minute."""

    def wait(is_true: Callable[[], bool]) -> None:
        for _ in range(6000):
            if is_true():
                return
            time.sleep(0.01)
        pytest.fail("it did not become true within a minute")

    return wait
