"""``sampt ui``: what it refuses, what it serves, and that neither Ctrl+C nor kill -9 loses what was said."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx2 as httpx
import numpy as np
import pytest

from sampt.cli.main import main
from sampt.session.session import Session
from sampt.session.store import ResultStore
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker

_SLOW = """
import sys, time
import sampt.web.backends as backends
from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import slow_scene

class Slow(ExactSegmenter):
    def encode(self, frames):
        time.sleep(0.1 * len(frames))
        return super().encode(frames)

class Exact:
    def __init__(self, *options): pass
    def __call__(self, config): return ExactStreamTracker(slow_scene(8)), Slow(slow_scene(8))

backends.NamedBackends = Exact
from sampt.cli.main import main
sys.exit(main())
"""


class Process:
    """``sampt ui`` in a process of its own, over slow exact fakes."""

    def __init__(self, site: Any, *arguments: str) -> None:
        environment = os.environ | {"XDG_DATA_HOME": str(site.folder / "data"), "PYTHONWARNINGS": "ignore"}
        command = [sys.executable, "-c", _SLOW, "ui", "--no-browser", *arguments]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"the page is at (http://[^ ]+) ", line)
        assert found, line + self.process.stderr.read()
        self.url = found[1]
        self.client = httpx.Client(base_url=re.sub(r"\?.*", "", self.url) + "api/v1", timeout=30)

    def end(self, number: int) -> int:
        if self.process.poll() is None:
            self.process.send_signal(number)
        status = self.process.wait(30)
        self.client.close()
        assert self.process.stderr is not None
        self.process.stderr.close()
        return status


@pytest.fixture
def start(site: Any) -> Iterator[Callable[..., Process]]:
    """Starts servers, which end with the test."""
    made: list[Process] = []

    def begin(*arguments: str) -> Process:
        made.append(Process(site, *arguments))
        return made[-1]

    yield begin
    for one in made:
        one.end(signal.SIGKILL)


@pytest.fixture(autouse=True)
def not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process nothing is served, so that a mistake that is not refused fails and does not wait."""

    def fail(*_: Any) -> None:
        raise AssertionError("it was to be refused")

    monkeypatch.setattr("sampt.web.serving.serve", fail)


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The one line that the command ends with."""
    assert main(["ui", "--no-browser", *arguments]) == 2
    printed = capsys.readouterr().err
    assert printed.count("\n") == 1
    return printed


def test_without_the_extra_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    import importlib.util

    real = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name, *rest: None if name == "uvicorn" else real(name, *rest))
    assert refused(capsys) == ("sampt: error: 'sampt ui' needs uvicorn, not installed here. Run: pip install 'sampt[ui]'.\n")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing.mp4"], "There is no file or folder nothing.mp4."),
        (["--root", "nothing"], "--root is nothing, which is no folder"),
        (["--project", "nothing.sampt"], "There is no project nothing.sampt"),
        (["{root}/clip.mp4", "--root", "{root}/clip"], "lies in no --root"),
        (["--host", "0.0.0.0", "--no-token"], "--no-token is for this machine alone"),
        (["--host", "no such host"], "--host is 'no such host', which is no address of this machine"),
        (["--host", "203.0.113.7"], "203.0.113.7 port 7268 cannot be used|203.0.113.7 port 0 cannot be used"),
        (["--port", "70000"], "--port is 70000; expected 0 to 65535."),
        (["--preset", "x"], "Unknown preset 'x'"),
        (["--tracker", "nanno"], "Unknown tracker 'nanno'. Did you mean 'nano'"),
        (["--segmenter", "nanno"], "Unknown segmenter 'nanno'. Did you mean 'nano'"),
        (["--runtime", "abacus"], "Unknown runtime 'abacus'"),
        (["{root}/.."], "holds no image"),
        (["{root}", "--project", "{root}/clip.sampt"], "real/root is a folder of videos, and --project belongs to one video"),
        ([__file__], "cannot be read as a video"),
        (["--project", "{root}/clip"], "is no project: there is no project.json in it"),
    ],
)
def test_mistakes_end_with_one_line(site: Any, capsys: Any, arguments: list[str], message: str) -> None:
    given = [a.format(root=site.root) for a in arguments]
    assert re.search(message, refused(capsys, *given))


def test_a_port_that_is_taken_is_an_error_when_it_was_asked_for(capsys: Any) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1 port {port} cannot be used" in refused(capsys, "--port", str(port))


def test_a_folder_of_videos_is_the_list_that_the_page_opens(start: Callable[..., Process], site: Any) -> None:
    server = start(str(site.root), "--port", "0")
    assert server.client.get("/about").json()["start"] == {"video": None, "project": None, "folder": "root"}
    entries = server.client.get("/files", params={"path": "root"}).json()["entries"]
    assert [(entry["name"], entry["work"]["state"]) for entry in entries] == [("clip", "new"), ("clip.mp4", "new")]


def test_the_usual_port_gives_way_to_a_free_one(start: Callable[..., Process], site: Any) -> None:
    with contextlib.ExitStack() as held:
        with contextlib.suppress(OSError):  # it is taken already
            held.enter_context(socket.create_server(("127.0.0.1", 7268)))
        server = start(str(site.root / "clip"))
        assert ":7268/" not in server.url
        body = server.client.get("/about").json()
        assert body["start"] == {"video": "root/clip", "project": None, "folder": None}
        assert body["segmenter"] == "nano"


def test_a_token_is_asked_for_when_others_could_reach_the_server(start: Callable[..., Process], site: Any) -> None:
    server = start("--root", str(site.root), "--host", "0.0.0.0", "--port", "0")
    token = server.url.partition("?token=")[2]
    assert len(token) >= 32
    port = re.search(r":(\d+)/", server.url)
    assert port
    with httpx.Client(base_url=f"http://127.0.0.1:{port[1]}") as client:
        assert client.get("/api/v1/about").status_code == 401
        assert client.get("/api/v1/about", headers={"authorization": f"Bearer {token}"}).status_code == 200
        assert client.get(f"/?token={token}").status_code == 303
        assert client.get("/api/v1/about").status_code == 200
        assert client.get("/api/v1/about", headers={"host": "evil.example"}).status_code == 403


def clicked(server: Process, site: Any) -> dict[str, Any]:
    """An open clip with clicks on both objects."""
    assert server.client.post("/session", json={"video": "root/clip"}).status_code == 201
    state: dict[str, Any] = {}
    for object_id in (1, 2):
        server.client.post("/session/objects", json={})
        wanted = {"object_id": object_id, "frame": 0, **site.inside(object_id)}
        state = server.client.post("/session/points", json=wanted).json()["state"]
    return state


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_in_order(start: Callable[..., Process], site: Any, number: int) -> None:
    server = start("--root", str(site.root), "--port", "0")
    clicked(server, site)
    server.client.post("/session/propagations", json={})
    server.client.post("/session/exports", json={"format": "png"})
    began = time.monotonic()
    assert server.end(number) == (0 if number == signal.SIGINT else -signal.SIGTERM)
    assert time.monotonic() - began < 15
    exports = site.folder / "data" / "sampt" / "ui" / "exports"
    assert [p for p in exports.rglob("*") if p.is_file()] == []
    with Session.open(site.root / "clip.sampt", tracker=ExactStreamTracker(site.scene), segmenter=site.segmenter) as session:
        assert len(session.clicks()) == 2


@pytest.mark.parametrize("wait_s", [0.05, 0.35, 0.7])
def test_kill_9_in_mid_propagation_loses_nothing_that_was_answered(
    start: Callable[..., Process], site: Any, wait_s: float
) -> None:
    server = start("--root", str(site.root), "--port", "0")
    state = clicked(server, site)
    server.client.post("/session/propagations", json={})
    time.sleep(wait_s)
    assert server.end(signal.SIGKILL) == -signal.SIGKILL
    again = start("--root", str(site.root), "--port", "0")
    body = again.client.post("/session", json={"video": "root/clip"}).json()
    for part in ("objects", "points", "boxes", "masks", "project"):
        assert body[part] == state[part]
    again.client.post("/session/propagations", json={})
    site.wait_for(lambda: again.client.get("/session/propagations").json(), lambda p: not p["is_running"])
    for frame in range(8):
        objects = again.client.get(f"/session/frames/{frame}/masks").json()["objects"]
        for item, exact in zip(objects, site.masks(frame), strict=True):
            assert np.array_equal(site.mask(item), exact)


def test_kill_9_between_and_during_clicks_loses_the_last_one_at_most(start: Callable[..., Process], site: Any) -> None:
    """Clicks are sent without a pause while the server is killed: all that were answered are there, and one more at most."""
    for delay_s in (0.02, 0.06, 0.11):
        server = start("--root", str(site.root), "--port", "0")
        opened = server.client.post("/session", json={"video": "root/clip"}).json()
        if not opened["objects"]:
            server.client.post("/session/objects", json={})
        answered, message = len(opened["points"]), len(opened["points"])
        killer = subprocess.Popen(
            [sys.executable, "-c", f"import os,time; time.sleep({delay_s}); os.kill({server.process.pid}, 9)"]
        )
        for i in range(3000):
            message += 1
            try:
                wanted = {"object_id": 1, "frame": i % 8, "x": i % 90, "y": i % 60}
                answer = server.client.post("/session/points", json=wanted)
            except httpx.TransportError:
                break
            assert answer.status_code == 201
            answered = len(answer.json()["state"]["points"])
        killer.wait()
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
        kept = len(json.loads((site.root / "clip.sampt" / "project.json").read_text())["clicks"])
        assert answered <= kept <= message
        with Session.open(site.root / "clip.sampt", tracker=ExactStreamTracker(site.scene), segmenter=_exact(site)) as session:
            assert len(session.clicks()) == kept


def test_a_result_that_was_half_written_is_left_out(start: Callable[..., Process], site: Any) -> None:
    """As when the power fails in mid-save: the record is cut off, and the rest is there."""
    server = start("--root", str(site.root), "--port", "0")
    clicked(server, site)
    server.client.post("/session/propagations", json={})
    site.wait_for(lambda: server.client.get("/session/propagations").json(), lambda p: not p["is_running"])
    server.end(signal.SIGKILL)
    journal = site.root / "clip.sampt" / "masks.journal"
    journal.write_bytes(journal.read_bytes()[:-7])
    (site.root / "clip.sampt" / "project.json.partial").write_bytes(b'{"format": "sampt-pro')
    store = ResultStore(journal)
    store.close()
    again = start("--root", str(site.root), "--port", "0")
    body = again.client.post("/session", json={"project": "root/clip.sampt"}).json()
    assert len(body["points"]) == 2
    assert sum(stop - begin for ranges in body["stale"].values() for begin, stop in ranges) == 1


def _exact(site: Any) -> ExactSegmenter:
    return ExactSegmenter(site.scene)


def test_the_port_of_the_help_is_the_servers() -> None:
    from sampt.cli import ui
    from sampt.web.settings import DEFAULT_PORT

    assert ui._PORT == DEFAULT_PORT
