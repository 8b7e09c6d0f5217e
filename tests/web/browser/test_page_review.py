"""Review in the page: one stop for each run of doubtful frames, why, and how many are reviewed."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from sampt.testing.fakes import ExactSegmenter, ExactStreamTracker
from sampt.testing.scenes import slow_scene
from sampt.web.serving import make_server
from sampt.web.settings import WebSettings
from tests.web.browser.conftest import SIZE, Served, Ui

FRAMES = 12
DOUBTS = {1: (3, 4, 5), 2: (9,)}


@pytest.fixture
def ui(chromium: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ui]:
    """The page with a scene of two objects; the segmenter is unsure of the first on three frames, of the second on one."""
    scene: Any = slow_scene(FRAMES)
    home = tmp_path_factory.mktemp("review")
    folder = home / "videos"
    (folder / "clip").mkdir(parents=True)
    for index in range(FRAMES):
        Image.fromarray(scene.frame(index)).save(folder / "clip" / f"{index:03}.png")

    def backends(_: Any) -> Any:
        unsure = ExactSegmenter(scene, score=lambda frame_idx, object_id: 0.6 if frame_idx in DOUBTS[object_id] else 0.95)
        return ExactStreamTracker(scene), unsure

    bound = socket.create_server(("127.0.0.1", 0))
    server = make_server(WebSettings({"videos": folder}, home / "work", backends))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [bound]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    served = Served(f"http://127.0.0.1:{bound.getsockname()[1]}", folder)
    context = chromium.new_context(viewport=SIZE)
    made = Ui(context.new_page(), served.address)
    made.watch()
    made.open("clip")
    for number in (1, 2):
        ys, xs = np.nonzero(scene.masks(0)[number - 1])
        made.click(round(xs.mean()), round(ys.mean()))
        if number == 1:
            made.page.keyboard.press("n")
            made.page.wait_for_selector("li[data-id='2'].selected")
    yield made
    made.leave()
    context.close()
    server.should_exit = True
    thread.join(20)
    assert made.faults == []


def test_g_stops_once_for_each_run_says_why_and_v_counts(ui: Ui) -> None:
    page, count, notice = ui.page, ui.page.locator("#review-count"), ui.page.locator("#review-notice")
    page.keyboard.press("p")
    expect(page.get_by_text("Done: ")).to_be_visible(timeout=60_000)
    expect(count).to_have_text("0 of 2 reviewed", timeout=30_000)
    ui.wait_shown("frame", "0")
    expect(notice).to_be_hidden()

    page.keyboard.press("g")
    ui.wait_shown("frame", "3")
    expect(page.locator("li[data-id='1']")).to_have_class("object selected")
    expect(notice).to_contain_text("Frames 3–5: confidence low.")
    page.keyboard.press("g")
    ui.wait_shown("frame", "9")
    expect(page.locator("li[data-id='2']")).to_have_class("object selected")
    expect(notice).to_contain_text("Frame 9: confidence low.")
    page.keyboard.press("v")
    expect(count).to_have_text("1 of 2 reviewed", timeout=30_000)
    expect(notice).to_be_hidden()

    page.keyboard.press("g")
    ui.wait_shown("frame", "3")
    notice.get_by_role("button", name="Looks right").click()
    expect(count).to_have_text("2 of 2 reviewed", timeout=30_000)
    assert ui.state["reviewed"] == {"1": [[3, 4]], "2": [[9, 10]]}
    page.keyboard.press("g")
    expect(page.get_by_text("All that needed review is reviewed.")).to_be_visible()
    page.close()
    visitor = page.context.request
    assert visitor.delete(f"{ui.address}/api/v1/session", headers={"Origin": ui.address}).ok
    (entry,) = (e for e in visitor.get(f"{ui.address}/api/v1/files?path=videos").json()["entries"] if e["name"] == "clip")
    assert (entry["work"]["state"], entry["work"]["num_reviewed"], entry["work"]["num_events"]) == ("reviewed", 2, 2)
