"""Servers whose response has no end: more bytes than the file can have, or hardly any."""

from __future__ import annotations

import threading
import time
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from sampt.errors import BackendError
from sampt.files.limits import MAX_WEIGHTS_BYTES, max_weights_bytes
from sampt.weights import WeightsSource, fetch


@pytest.fixture
def served() -> Iterator[Callable[[int, float], str]]:
    """Starts a server that responds for ever, so many bytes at a time with so many seconds in between; gives its address."""
    servers: list[ThreadingHTTPServer] = []

    def start(size: int, pause_s: float) -> str:
        class Handler(BaseHTTPRequestHandler):
            def log_message(self, format: str, *args: Any) -> None:
                pass

            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("ETag", '"first"')
                self.end_headers()
                try:
                    while True:
                        self.wfile.write(b"x" * size)
                        self.wfile.flush()
                        time.sleep(pause_s)
                except OSError:
                    return

        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        server.block_on_close = False
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_address[1]}/file.pth"

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def source(url: str, **changes: Any) -> WeightsSource:
    facts: dict[str, Any] = {"name": "some", "backend": "some", "file": "some.pth", "url": url, "page": "PAGE"}
    return WeightsSource(**facts | {"license_code": "MIT", "license_weights": "MIT"} | changes)


@pytest.mark.parametrize(
    ("changes", "limit"),
    [
        ({"num_bytes": 100_000, "is_exact_size": True}, 100_000),
        ({"num_bytes": 1_000_000}, 1_500_000 + (1 << 20)),
    ],
)
def test_more_bytes_than_the_file_can_have_are_not_taken(served: Any, cache: Path, changes: dict[str, Any], limit: int) -> None:
    seen = 0

    def progress(done: int, total: int | None) -> None:
        nonlocal seen
        seen = max(seen, done)

    with pytest.raises(BackendError, match=rf"has more than {limit} bytes, which some cannot have") as caught:
        fetch(source(served(1 << 16, 0), **changes), progress)
    assert "\n" not in str(caught.value)
    assert seen <= limit
    assert not list(cache.glob("some.pth*")), "nothing of it is kept"


def test_a_size_that_is_not_known_has_a_limit_too(served: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert max_weights_bytes(None, is_exact=False) == MAX_WEIGHTS_BYTES
    monkeypatch.setattr("sampt.files.limits.MAX_WEIGHTS_BYTES", 1 << 20)
    with pytest.raises(BackendError, match=r"has more than 1048576 bytes"):
        fetch(source(served(1 << 16, 0)), lambda done, total: None)


def test_a_server_that_sends_hardly_anything_is_given_up_and_what_came_is_kept(
    served: Any, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sampt.weights.download._WINDOW_S", 0.3)
    started = time.monotonic()
    with pytest.raises(BackendError, match=r"given up at \d+ bytes: \d+ bytes a second came in the last"):
        fetch(source(served(5, 0.05)), lambda done, total: None)
    assert time.monotonic() - started < 10
    assert (cache / "some.pth.partial").stat().st_size >= 5


def test_a_download_ends_after_a_day(served: Any, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sampt.weights.download.MAX_DOWNLOAD_S", 0.2)
    with pytest.raises(BackendError, match=r"it took more than"):
        fetch(source(served(1000, 0.02)), lambda done, total: None)


def test_a_member_of_an_archive_has_the_size_of_its_source(server: Any, cache: Path, tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("folder/some.pth", bytes(5 << 20))
    server.content = (tmp_path / "a.zip").read_bytes()
    given = server.source(url=server.url("a.zip"), member="some.pth", sha256=None, num_bytes=1000)
    with pytest.raises(BackendError, match=r"holds some\.pth with 5242880 bytes, which it cannot have"):
        fetch(given, lambda done, total: None)
    assert not list(cache.glob("some.pth*"))
