"""Clients that open connections and say nothing, send slowly, or fetch nothing: on real sockets, against a real server."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import pytest

pytest.importorskip("uvicorn", reason="uvicorn is one of the [ui] extras")
pytest.importorskip("resource", reason="Windows has no limit of open files to set")

import resource

from sampt.web.addresses import find_client
from sampt.web.connections import Connection, Door, DoorConfig, num_allowed
from sampt.web.serving import make_server
from sampt.web.settings import Limits

HALF = b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-A: "
TOKEN = "secret"


class Served:
    """A server on a port of its own."""

    def __init__(self, settings: Any) -> None:
        bound = socket.create_server(("127.0.0.1", 0))
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 16384)  # inherited: what nobody fetches stays with the server
        self.port = bound.getsockname()[1]
        self.server = make_server(settings)
        config = self.server.config
        assert isinstance(config, DoorConfig)
        self.door = config.door
        self.thread = threading.Thread(target=self.server.run, kwargs={"sockets": [bound]}, daemon=True)
        self.thread.start()
        self._made: list[socket.socket] = []
        until(lambda: self.server.started)

    def connect(self, data: bytes = b"") -> socket.socket:
        made = socket.create_connection(("127.0.0.1", self.port), timeout=20)
        self._made.append(made)
        made.sendall(data)
        return made

    def client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {TOKEN}"}
        return httpx.Client(base_url=f"http://127.0.0.1:{self.port}/api/v1/", headers=headers, timeout=20, trust_env=False)

    def about(self) -> int:
        with self.client() as client:
            return client.get("about").status_code

    def close(self) -> None:
        for made in self._made:
            made.close()
        self.server.should_exit = True
        self.thread.join(20)


@pytest.fixture
def served(site: Any) -> Iterator[Callable[..., Served]]:
    """Starts servers with limits of the test; a token is needed."""
    made: list[Served] = []

    def start(**limits: Any) -> Served:
        made.append(Served(dataclasses.replace(site.settings.with_limits(**limits), token=TOKEN)))
        return made[-1]

    yield start
    for one in made:
        one.close()


def until(is_right: Callable[[], bool], limit_s: float = 20) -> None:
    end_s = time.monotonic() + limit_s
    while not is_right():
        assert time.monotonic() < end_s, f"it did not become right within {limit_s} s"
        time.sleep(0.01)


def ended_after_s(peer: socket.socket) -> float:
    """Seconds until the server ends a connection."""
    began_s = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while peer.recv(1 << 16):
            pass
    return time.monotonic() - began_s


def put(name: str, num_bytes: int) -> bytes:
    return (
        f"PUT /api/v1/uploads/{name} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n"
        f"Content-Length: {num_bytes}\r\n\r\n"
    ).encode()


def test_half_open_requests_make_way_for_whole_ones(served: Callable[..., Served]) -> None:
    server = served(connections=20, connections_a_client=10, header_s=60)
    peers = [server.connect(HALF) for _ in range(60)]
    assert server.about() == 200
    assert len(server.door) <= 10
    assert sum(ended_after_s(p) < 1 for p in peers[:40]) == 40  # the oldest went
    assert server.about() == 200


def test_256_open_files_are_enough_for_any_number_of_half_open_requests(site: Any) -> None:
    """The server in a process of its own, as it is started."""
    few = (256, resource.getrlimit(resource.RLIMIT_NOFILE)[1])
    environment = os.environ | {"XDG_DATA_HOME": str(site.folder / "data"), "PYTHONWARNINGS": "ignore"}
    command = "import sys; from sampt.cli.main import main; sys.exit(main())"
    process = subprocess.Popen(
        [sys.executable, "-c", command, "ui", "--no-browser", "--port", "0", "--token", "--root", str(site.root)],
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_NOFILE, few),
    )
    assert process.stderr is not None
    peers: list[socket.socket] = []
    try:
        found = re.search(r"http://127.0.0.1:(\d+)/\?token=(\S+)", process.stderr.readline())
        assert found
        for _ in range(300):
            peers.append(socket.create_connection(("127.0.0.1", int(found[1])), timeout=20))
            peers[-1].sendall(HALF)
        headers = {"authorization": f"Bearer {found[2]}"}
        with httpx.Client(
            base_url=f"http://127.0.0.1:{found[1]}/api/v1/", headers=headers, timeout=10, trust_env=False
        ) as client:
            assert client.get("about").status_code == 200
            assert client.post("session", json={"video": "root/clip"}).status_code == 201  # files can be opened, too
    finally:
        for peer in peers:
            peer.close()
        process.send_signal(signal.SIGKILL)
        process.wait(20)
        process.stderr.close()


def test_headers_have_to_come_in_time_however_they_trickle(served: Callable[..., Served]) -> None:
    server = served(header_s=0.5)
    silent, trickling = server.connect(), server.connect(HALF)
    began_s = time.monotonic()
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began_s < 15:
            trickling.sendall(b"a")
            time.sleep(0.02)
    assert 0.3 < time.monotonic() - began_s < 10
    assert ended_after_s(silent) < 5


def test_a_body_that_nobody_reads_ends_in_time(served: Callable[..., Served]) -> None:
    """Refused for want of a token, and sent on and on all the same."""
    server = served(header_s=0.5)
    peer = server.connect(b"POST /api/v1/session HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 999999999\r\n\r\n")
    began_s = time.monotonic()
    assert peer.recv(12) == b"HTTP/1.1 401"
    with contextlib.suppress(ConnectionError):
        while time.monotonic() - began_s < 15:
            peer.sendall(b"a")
            time.sleep(0.02)
    assert time.monotonic() - began_s < 10


def test_the_next_headers_of_a_connection_have_to_come_in_time(served: Callable[..., Served]) -> None:
    server = served(header_s=0.5, keep_alive_s=60)
    whole = f"GET /api/v1/about HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    peer = server.connect(whole)
    assert peer.recv(12) == b"HTTP/1.1 200"
    time.sleep(1.0)  # between requests silence is allowed
    peer.sendall(whole)
    received = b""  # what is left of the first response, with or before the beginning of the second
    while b"HTTP/1.1 200" not in received and (more := peer.recv(1 << 16)):
        received += more
    assert b"HTTP/1.1 200" in received
    peer.sendall(HALF)
    assert ended_after_s(peer) < 10


def test_stalled_uploads_end_and_leave_nothing(served: Callable[..., Served], site: Any) -> None:
    server = served(uploads=2, uploads_a_client=2, wait_s=1.0)
    data = (site.root / "clip.mp4").read_bytes()
    peers = [server.connect(put("stalled.mp4", 10_000_000) + data[:1000]) for _ in range(2)]
    uploads = site.settings.work / "uploads"
    until(lambda: len(list(uploads.iterdir())) == 2)
    with server.client() as client:
        assert client.put("uploads/clip.mp4", content=data).status_code == 429
        for peer in peers:
            assert peer.recv(12) == b"HTTP/1.1 408"
            assert ended_after_s(peer) < 5
        assert client.put("uploads/clip.mp4", content=data).status_code == 201
    assert [p.name for p in uploads.iterdir()] == ["clip.mp4"]


def test_slow_uploads_end_and_steady_ones_do_not(served: Callable[..., Served], site: Any) -> None:
    server = served(wait_s=0.6, upload_bytes_a_s=2000)
    data = (site.root / "clip.mp4").read_bytes()
    slow = server.connect(put("slow.mp4", len(data)))
    for start in range(0, len(data), 40):  # 800 bytes a second
        slow.sendall(data[start : start + 40])
        slow.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            assert slow.recv(12) == b"HTTP/1.1 408"
            break
    else:
        raise AssertionError("it was taken to its end")
    steady = server.connect(put("steady.mp4", len(data)))
    began_s = time.monotonic()
    step = -(-len(data) // 12)
    assert step > 300  # 0.1 s each: faster than what is requested
    for start in range(0, len(data), step):
        steady.sendall(data[start : start + step])
        time.sleep(0.1)
    assert steady.recv(12) == b"HTTP/1.1 201"
    assert time.monotonic() - began_s > 1.0  # longer than a silence may be


def test_an_answer_that_nobody_fetches_is_given_up(served: Callable[..., Served]) -> None:
    server = served(wait_s=0.6)
    one = f"GET /static/main.js HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\n\r\n".encode()
    peer = socket.socket()
    peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    peer.connect(("127.0.0.1", server.port))
    peer.setblocking(False)
    with contextlib.suppress(BlockingIOError, ConnectionError):  # megabytes are requested, as long as anybody listens
        for _ in range(20_000):
            peer.send(one)
    until(lambda: len(server.door) == 0, 15)
    peer.close()


def test_clients_that_go_away_leave_no_traceback(served: Callable[..., Served], site: Any, caplog: Any) -> None:
    server = served()
    with server.client() as client:
        assert client.post("session", json={"video": "root/clip"}).status_code == 201
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
        for path in ("uploads/clip.mp4", "session/objects/1/frames/0/mask", "session/objects/1/frames/0/box"):
            peer = server.connect(
                f"PUT /api/v1/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nCookie: {cookie}\r\n"
                "Content-Type: image/png\r\nContent-Length: 1000\r\n\r\nabc".encode()
            )
            until(lambda: any(not c.is_idle for c in server.door.inside))
            peer.close()
            until(lambda: all(c.is_idle for c in server.door.inside))
        assert client.get("about").status_code == 200
    assert list((site.settings.work / "uploads").iterdir()) == []
    assert [r.getMessage() for r in caplog.records if r.levelname == "ERROR"] == []


def test_streams_outlive_a_flood_of_connections(served: Callable[..., Served]) -> None:
    from websockets.sync.client import connect

    server = served(connections=20, connections_a_client=10, header_s=60)
    with server.client() as client:
        assert client.post("session", json={"video": "root/clip"}).status_code == 201
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    headers = {"Cookie": cookie, "Authorization": f"Bearer {TOKEN}"}
    with connect(f"ws://127.0.0.1:{server.port}/api/v1/session/events", additional_headers=headers, proxy=None) as stream:
        assert "hello" in stream.recv(10)
        peers = [server.connect(HALF) for _ in range(60)]
        stream.send('{"type": "ping"}')
        assert "pong" in stream.recv(10)
        assert len(server.door) <= 10
        assert len(peers) == 60


def test_a_message_in_endless_parts_ends_its_stream(served: Callable[..., Served]) -> None:
    server = served()
    with server.client() as client:
        assert client.post("session", json={"video": "root/clip"}).status_code == 201
        cookie = "; ".join(f"{name}={value}" for name, value in client.cookies.items())
    stream = server.connect(
        f"GET /api/v1/session/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {TOKEN}\r\nCookie: {cookie}\r\n"
        "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert stream.recv(12) == b"HTTP/1.1 101"
    with contextlib.suppress(ConnectionError):
        stream.sendall(b"\x01\x80abcd" + b"\x00\x80abcd" * 5000)  # a text that begins, and goes on without a byte
    assert ended_after_s(stream) < 5


class Wire:
    """A transport that is only looked at."""

    def __init__(self, host: str) -> None:
        self.host, self.unsent, self.is_ended = host, 0, False

    def get_extra_info(self, name: str) -> Any:
        return (self.host, 1) if name == "peername" else None

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def abort(self) -> None:
        self.is_ended = True


async def _crowded() -> list[str]:
    """What goes when six may be there, four of a client, and a crowd comes after a quiet client and one at work."""
    door = Door(Limits(connections=6, connections_a_client=4))
    quiet, working = Wire("10.0.0.1"), Wire("10.0.0.9")
    door.enter(quiet)  # type: ignore[arg-type]
    door.enter(working, is_idle=False)  # type: ignore[arg-type]
    crowd = [Wire("10.0.0.9") for _ in range(9)]
    for wire in crowd:
        assert door.enter(wire) is not None  # type: ignore[arg-type]
    others = [Wire(f"10.0.1.{i}") for i in range(3)]
    for wire in others:
        assert door.enter(wire) is not None  # type: ignore[arg-type]
    assert len(door) == 6
    named = [("quiet", quiet), ("working", working), *((f"crowd{i}", w) for i, w in enumerate(crowd))]
    return [name for name, wire in [*named, *((f"other{i}", w) for i, w in enumerate(others))] if not wire.is_ended]


def test_the_oldest_idle_connection_of_who_has_most_makes_way() -> None:
    # Of the crowd three are there beside the one at work; they make way for others, and nobody else does.
    assert asyncio.run(_crowded()) == ["quiet", "working", "crowd8", "other0", "other1", "other2"]


def test_when_all_are_at_work_a_new_connection_is_refused() -> None:
    async def full() -> bool:
        door = Door(Limits(connections=2, connections_a_client=2))
        for _ in range(2):
            door.enter(Wire("10.0.0.1"), is_idle=False)  # type: ignore[arg-type]
        return door.enter(Wire("10.0.0.2")) is None  # type: ignore[arg-type]

    assert asyncio.run(full())


def test_time_to_fetch_an_answer_is_earned_by_fetching() -> None:
    limits = Limits(wait_s=10, bytes_a_s=100)
    wire = Wire("10.0.0.1")
    connection = Connection(wire, False, None)  # type: ignore[arg-type]
    wire.unsent = 10_000
    for _ in range(30):  # a second for a hundred bytes: for ever
        assert not connection.is_stuck(1.0, limits)
        wire.unsent -= 100
    stuck = [connection.is_stuck(1.0, limits) for _ in range(12)]
    assert stuck == [False] * 11 + [True]


@pytest.mark.parametrize(
    ("host", "client"),
    [
        ("10.0.0.1", "10.0.0.1"),
        ("::ffff:10.0.0.1", "10.0.0.1"),
        ("2001:db8:1:2:3::9", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
    ],
)
def test_a_client_is_an_address_or_a_network(host: str | None, client: str) -> None:
    assert find_client(host) == client


@pytest.mark.parametrize(("files", "wanted", "allowed"), [(256, 128, 128), (200, 128, 72), (1024, 128, 128), (100, 128, 8)])
def test_connections_leave_files_for_everything_else(
    files: int, wanted: int, allowed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resource, "getrlimit", lambda _: (files, files))
    assert num_allowed(wanted) == allowed
