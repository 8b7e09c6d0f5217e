"""Nothing reports to anybody: no look-up, no connection to another machine, no file outside our own folders."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import sampt
from sampt.backends.telemetry import SWITCHES

PACKAGES = Path(sampt.__file__).parents[1]
SEALED = Path(__file__).with_name("sealed.py")
UNSHARE = ["unshare", "-n"] if os.geteuid() == 0 else ["unshare", "-rn"]

Seal = Callable[..., tuple[list[str], set[str]]]


@pytest.fixture
def seal(tmp_path: Path) -> Seal:
    """Runs a program in a network of its own; gives what it sent elsewhere, and the files in its home and temporary folder."""
    try:
        can = subprocess.run([*UNSHARE, "true"], check=False, capture_output=True).returncode == 0
    except OSError:
        can = False
    if not can:
        pytest.skip("this machine lets nobody make a network namespace")
    home, temporary = tmp_path / "home", tmp_path / "tmp"
    home.mkdir()
    temporary.mkdir()
    kept = {name: os.environ[name] for name in ("PATH", "LD_LIBRARY_PATH", "LANG") if name in os.environ}
    environment = kept | {
        "HOME": str(home),
        "TMPDIR": str(temporary),
        "PYTHONPATH": str(PACKAGES),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }

    def run(*command: str, **more: str) -> tuple[list[str], set[str]]:
        report = tmp_path / "report.json"
        whole = [*UNSHARE, sys.executable, str(SEALED), str(report), *command]
        done = subprocess.run(
            whole, env=environment | more, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=250
        )
        assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
        files = {
            str(path.relative_to(tmp_path)) for folder in (home, temporary) for path in folder.rglob("*") if path.is_file()
        }
        return json.loads(report.read_text()), files

    return run


def test_the_seal_sees_a_look_up_a_connection_and_a_file(seal: Seal) -> None:
    code = """
import os, pathlib, socket
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.sendto(b"who is there", ("192.0.2.7", 53))
sock.sendto(b"look-up by this machine", ("127.0.0.53", 53))
sock.sendto(b"not elsewhere", ("127.0.0.1", 4000))
reached = socket.socket()
reached.setblocking(False)
reached.connect_ex(("198.51.100.1", 443))
pathlib.Path.home().joinpath("deviceid").touch()
"""
    sent, files = seal(sys.executable, "-c", code)
    assert set(sent) == {"udp 192.0.2.7:53", "udp 127.0.0.53:53", "tcp 198.51.100.1:443"}
    assert files == {"home/deviceid"}


SEGMENT = """
import sys
import numpy as np
from sampt.cli.main import main
from sampt.testing.scenes import crossing_scene
from sampt.video.writer import VideoWriter
scene = crossing_scene(4)
with VideoWriter("clip.mp4", 10.0, scene.size_hw) as writer:
    for i in range(4):
        writer.write(np.array(scene.frame(i)))
raise SystemExit(main(["segment", "clip.mp4", "--points", "1,0,24,33", "-o", "out", "--quiet"]))
"""


def test_segmenting_a_video_reaches_nobody_and_leaves_nothing(seal: Seal, tmp_path: Path) -> None:
    sent, files = seal(sys.executable, "-c", SEGMENT)
    assert (tmp_path / "out" / "run.json").exists()
    assert (sent, files) == ([], set())


def test_nor_do_the_workers_of_a_batch(seal: Seal, tmp_path: Path) -> None:
    batch = (
        SEGMENT.partition("raise SystemExit")[0]
        + """
open("videos.jsonl", "w").write('{"video": "clip.mp4", "points": ["1,0,24,33"]}')
if __name__ == "__main__":
    raise SystemExit(main(["batch", "videos.jsonl", "-o", "out", "--workers", "1", "--quiet"]))
"""
    )
    sent, files = seal(sys.executable, "-c", batch)
    assert (tmp_path / "out" / "clip" / "run.json").exists()
    assert (sent, files) == ([], set())


PAGE = """
import atexit, json, re, subprocess, sys, time, urllib.request
from http.cookiejar import CookieJar
from pathlib import Path
exec(Path("make.py").read_text())
command = [sys.executable, "-m", "sampt", "ui", "clip.mp4", "--root", ".", "--no-browser", "--port", "0"]
server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
atexit.register(server.kill)  # the pipes of this program end with it
address = next(found[0].rstrip("/") for line in server.stdout if (found := re.search(r"http://[^/ ]+", line)))
browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(CookieJar()))
def ask(path, **values):
    data = json.dumps(values).encode() if values else None
    headers = {"content-type": "application/json"} if values else {}
    with browser.open(urllib.request.Request(address + path, data, headers), timeout=60) as answer:
        return answer.read()
page = ask("/").decode()
for link in re.findall(r'(?:src|href)="([^"#]+)"', page):
    ask(link if link.startswith("/") else "/" + link.removeprefix("./"))
name = json.loads(ask("/api/v1/session", video=Path.cwd().name + "/clip.mp4"))["video"]
assert name["num_frames"] == 4
made = json.loads(ask("/api/v1/session/objects", name="fish"))["object"]["object_id"]
ask("/api/v1/session/points", object_id=made, frame=0, x=24, y=33, is_positive=True)
shown = json.loads(ask("/api/v1/session/frames/0/masks?preview=true"))
assert shown["objects"][0]["rle"]["size"] == [name["height"], name["width"]]
time.sleep(float(sys.argv[1]))
server.terminate()
server.wait(20)
"""


PATIENT = pytest.mark.skipif(not os.environ.get("SAMPT_PATIENT"), reason="takes 130 s of waiting; SAMPT_PATIENT=1 runs it")


# ONNX Runtime makes its files at once, and looks its vendor up after 100 s.
@pytest.mark.parametrize("seconds", [0, pytest.param(130, marks=PATIENT)])
def test_nor_does_the_page(seconds: int, seal: Seal, tmp_path: Path) -> None:
    pytest.importorskip("fastapi", reason="the page is one of the [ui] extras")
    (tmp_path / "make.py").write_text(SEGMENT.partition("raise SystemExit")[0])
    sent, files = seal(sys.executable, "-c", PAGE, str(seconds))
    assert sent == []
    assert [f for f in files if not f.startswith(("home/.local/share/sampt/", "home/.cache/sampt/"))] == []


def test_nor_does_openvino(seal: Seal) -> None:
    if importlib.util.find_spec("openvino") is None:
        pytest.skip("openvino is one of the extras")
    code = """
import time
from sampt.backends.telemetry import without_openvino_telemetry
with without_openvino_telemetry():
    import openvino
assert openvino.Core().available_devices
time.sleep(0.5)
"""
    assert seal(sys.executable, "-c", code) == ([], set())


def test_a_switch_that_the_user_has_set_stays() -> None:
    code = "import os, json, sampt; print(json.dumps(dict(os.environ)))"
    environment = {k: v for k, v in os.environ.items() if k not in SWITCHES} | {"PYTHONPATH": str(PACKAGES)}
    for given in ({}, {"ORT_DISABLE_TELEMETRY": "0", "RAY_USAGE_STATS_ENABLED": "1"}):
        done = subprocess.run([sys.executable, "-c", code], env=environment | given, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout)
        assert {name: found.get(name) for name in SWITCHES} == SWITCHES | given


def test_openvino_that_a_program_has_imported_stays_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    from sampt.backends.telemetry import without_openvino_telemetry

    own = object()
    monkeypatch.setitem(sys.modules, "openvino_telemetry", own)
    with without_openvino_telemetry():
        assert sys.modules["openvino_telemetry"] is own
    assert sys.modules["openvino_telemetry"] is own
