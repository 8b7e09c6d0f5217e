"""A served page in headless Chromium, with its console and its requests watched."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, Request, sync_playwright

from sampt.segmenters.base import SegmenterView
from sampt.testing.fakes import ExactProposer, ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import slow_scene
from sampt.types import MaskPrediction, ObjectPrompt
from sampt.web.serving import make_server
from sampt.web.settings import WebSettings

CHROMIUM = Path("/usr/bin/chromium")
CLIP = Path(__file__).resolve().parents[4] / "shared" / "clips" / "bees.mp4"
SIZE = {"width": 1440, "height": 900}
FRAMES = 6
"""Of the scene that the exact server has."""
CORNER = 6


def _installed_chromium() -> Path:
    """Debian's Chromium, installed when it is missing."""
    if not CHROMIUM.exists():
        if os.geteuid() != 0 or shutil.which("apt-get") is None:
            pytest.fail(f"There is no {CHROMIUM}; install Debian's package chromium.", pytrace=False)
        for command in (["apt-get", "update", "-q"], ["apt-get", "install", "-qy", "--no-install-recommends", "chromium"]):
            environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
            made = subprocess.run(command, env=environment, capture_output=True, text=True)
            if made.returncode != 0:
                pytest.fail(f"{' '.join(command)} failed: {made.stderr.strip().splitlines()[-1:]}", pytrace=False)
    return CHROMIUM


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """For a module alone: Playwright keeps an event loop running, in which tests of other files could start none."""
    path = _installed_chromium()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@dataclass
class Served:
    """A running server, and the folder that it gives files of."""

    address: str
    folder: Path


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """`sampt ui` on a free port, with the small backends that come with sampt."""
    home = tmp_path_factory.mktemp("ui")
    folder = home / "videos"
    folder.mkdir()
    command = [sys.executable, "-m", "sampt", "ui", "--root", str(folder), "--no-browser", "--port", "0"]
    environment = {**os.environ, "XDG_DATA_HOME": str(home / "data"), "PYTHONUNBUFFERED": "1"}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        try:
            yield Served(_address_in(process), folder)
        finally:
            process.terminate()
            process.communicate(timeout=20)


def _address_in(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    seen = ""
    for line in process.stdout:
        seen += line
        if found := re.search(r"http://127\.0\.0\.1:\d+", line):
            return found.group()
    pytest.fail(f"sampt ui ended without saying where it serves: {seen}", pytrace=False)


@dataclass
class Ui:
    """The page as a person uses it.

    Attributes:
        faults: console errors and warnings, exceptions, requests to other hosts.
        expected: what the console errors and warnings are like that are none; they may come after what they are about.
    """

    page: Page
    address: str
    faults: list[str] = field(default_factory=list)
    expected: str = "(?!)"  # nothing

    def watch(self) -> None:
        self.page.on("console", lambda m: self._note(f"{m.text} {m.location}") if m.type in ("error", "warning") else None)
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        self.page.on("request", self._check)

    def _note(self, text: str) -> None:
        if not re.search(self.expected, text):
            self.faults.append(text)

    def _check(self, request: Request) -> None:
        is_ours = request.url.startswith((self.address, "blob:", "data:", self.address.replace("http", "ws", 1)))
        if not is_ours:
            self.faults.append(f"a request to {request.url}")

    def open(self, name: str) -> None:
        """Open a file or folder in the dialog that a first visit shows."""
        self.page.goto(self.address)
        self.page.wait_for_selector("body[data-ready=true]")
        dialog = self.page.get_by_role("dialog", name="Open a video")
        dialog.get_by_role("button", name="videos").click()
        dialog.get_by_role("button", name=name).first.click()
        self.page.wait_for_selector("#stage[data-frame='0']")
        assert not dialog.is_visible()

    def api(self, path: str) -> Any:
        """What the server responds to a GET in this browser's session."""
        answer = self.page.context.request.get(f"{self.address}/api/v1{path}")
        assert answer.ok, answer.text()
        return answer.json()

    @property
    def state(self) -> Any:
        return self.api("/session")

    def wait_shown(self, attribute: str, value: str) -> None:
        """Wait until the canvas shows it."""
        self.page.wait_for_selector(f"#stage[data-{attribute}='{value}']", timeout=60_000)

    def rest(self) -> None:
        """Wait until edits and previews are handled."""
        self.page.wait_for_selector("#stage[data-busy='false']", timeout=60_000)

    def location_of(self, x: float, y: float) -> dict[str, float]:
        """Where on the canvas a position of the video is, as the page says."""
        scale, left, top = map(float, (self.page.get_attribute("#stage", "data-view") or "").split())
        return {"x": (x + 0.5) * scale + left, "y": (y + 0.5) * scale + top}

    def click(self, x: float, y: float, **options: Any) -> None:
        """Click a position of the video, and wait for the response."""
        count = len(self.state["points"])
        self.page.locator("#stage").click(position=self.location_of(x, y), **options)
        self.until(lambda: len(self.state["points"]) == count + 1)
        self.rest()

    def go_to(self, frame: int) -> None:
        number = self.page.get_by_role("spinbutton", name="Frame")
        number.fill(str(frame))
        number.press("Enter")
        self.wait_shown("frame", str(frame))

    def until(self, is_true: Callable[[], bool]) -> None:
        for _ in range(600):
            if is_true():
                return
            self.page.wait_for_timeout(50)
        pytest.fail("it did not become true within half a minute")

    def leave(self) -> None:
        """Close the page, and then the server's session, of which there are only a few."""
        self.page.close()
        self.page.context.request.delete(f"{self.address}/api/v1/session", headers={"Origin": self.address})


@pytest.fixture
def new_ui(chromium: Browser, served: Served) -> Iterator[Callable[..., Ui]]:
    """Makes pages, each of another visitor; afterwards none may have had a fault."""
    made: list[Ui] = []

    def make(**options: Any) -> Ui:
        context = chromium.new_context(**({"viewport": SIZE, "color_scheme": "dark", "accept_downloads": True} | options))
        ui = Ui(context.new_page(), served.address)
        ui.watch()
        made.append(ui)
        return ui

    yield make
    for ui in made:
        ui.leave()
        ui.page.context.close()
    assert [fault for ui in made for fault in ui.faults] == []


@pytest.fixture
def bees(served: Served, request: pytest.FixtureRequest) -> str:
    """The name of a copy of the clip of two bees, for this test alone."""
    assert CLIP.exists(), f"{CLIP}, a clip of the project's shared data, is not there"
    name = f"{request.node.name}.mp4"
    shutil.copy(CLIP, served.folder / name)
    return name


class Jumping(SegmenterView):
    """Exact, unless a positive click is in the upper left corner: then it means that corner and object 2."""

    def __init__(self, scene: Any) -> None:
        super().__init__(ExactSegmenter(scene))
        self.scene = scene

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        found = super().decode(embedding, prompts, full_size=full_size)
        jumped = np.array(self.scene.masks(embedding[1])[1])
        jumped[:CORNER, :CORNER] = True
        for i, prompt in enumerate(prompts):
            if (prompt.is_positive & (prompt.xy < CORNER).all(1)).any() and full_size:
                logits = np.where(jumped, np.float32(4), np.float32(-4))
                found[i] = MaskPrediction(prompt.object_id, 0.9, None, None, logits)
        return found


@pytest.fixture(scope="module")
def scene() -> Any:
    return slow_scene(FRAMES)


@pytest.fixture(scope="module")
def exact(scene: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server in this process, with exact backends; its segmenter jumps to the other object when it is clicked in a corner."""
    home = tmp_path_factory.mktemp("exact")
    folder = home / "videos"
    folder.mkdir()
    settings = WebSettings(
        {"videos": folder},
        home / "work",
        lambda _: (ExactStreamTracker(scene), Jumping(scene)),
        proposers=lambda _: ExactProposer(scene, labels=("left", "right")),
    )
    bound = socket.create_server(("127.0.0.1", 0))
    server = make_server(settings)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Served(f"http://127.0.0.1:{bound.getsockname()[1]}", folder)
    server.should_exit = True
    thread.join(20)


@pytest.fixture
def ui(chromium: Browser, exact: Served, scene: Any, request: pytest.FixtureRequest) -> Iterator[Ui]:
    """The page with the scene open, for one test, which may parametrize it with settings of the browser's context."""
    name = request.node.originalname
    (exact.folder / name).mkdir()
    for index in range(FRAMES):
        Image.fromarray(scene.frame(index)).save(exact.folder / name / f"{index:03}.png")
    context = chromium.new_context(**{"viewport": SIZE} | getattr(request, "param", {}))
    made = Ui(context.new_page(), exact.address)
    made.watch()
    made.open(name)
    yield made
    made.page.unroute_all()
    made.leave()
    context.close()
    assert made.faults == []
