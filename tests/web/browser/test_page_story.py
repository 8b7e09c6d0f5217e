"""The page from a first click to exports, as a person goes through it, in a real browser."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import Download, expect
from pycocotools import mask as coco

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

LEFT_BEE = (340.0, 240.0)
RIGHT_BEE = (1137.0, 411.0)
LAST = 3
"""Of the range that is propagated: a few frames are enough here."""


def _masks(ui: Any, frame: int) -> dict[int, Any]:
    return {item["object_id"]: item for item in ui.api(f"/session/frames/{frame}/masks?preview=false")["objects"]}


def _seen(ui: Any) -> npt.NDArray[np.int64]:
    """The canvas as it looks: (h, w, 3)."""
    image = Image.open(BytesIO(ui.page.locator("#stage").screenshot(animations="disabled"))).convert("RGB")
    return np.asarray(image, np.int64)


def _colors_under(ui: Any, mask: npt.NDArray[np.bool_]) -> npt.NDArray[np.int64]:
    """Of the canvas, (n, 3), at some pixels of the video well inside a mask."""
    inside = mask & np.roll(mask, 9, 0) & np.roll(mask, -9, 0) & np.roll(mask, 9, 1) & np.roll(mask, -9, 1)
    ys, xs = np.nonzero(inside)
    chosen = np.linspace(0, len(ys) - 1, 50).astype(int)
    locations = [ui.location_of(xs[i], ys[i]) for i in chosen]
    return _seen(ui)[[int(p["y"]) for p in locations], [int(p["x"]) for p in locations]]


def test_story(new_ui: Callable[..., Any], bees: str, tmp_path: Path) -> None:
    ui = new_ui()
    ui.open(bees)
    expect(ui.page.get_by_text("Click the object you want to segment.")).to_be_visible()
    _click_both(ui)
    _propagate(ui)
    _correct_and_undo(ui)
    _export_everything(ui, tmp_path)
    _reload(ui)


def _click_both(ui: Any) -> None:
    before = _seen(ui)
    ui.click(*LEFT_BEE)
    ui.wait_shown("masks", "1")
    preview = ui.api("/session/frames/0/masks?preview=true")["objects"][0]
    colors = _colors_under(ui, coco.decode(preview["rle"]).astype(bool))
    assert before.shape == _seen(ui).shape, "the frame moved when the first object came"
    opacity, red = 0.55, np.array([255, 72, 72])
    assert np.all(colors[:, 0] >= opacity * red[0] - 12), "masks are painted in the object's colour"
    ui.page.keyboard.press("n")
    ui.page.wait_for_selector("li[data-id='2'].selected")
    ui.click(*RIGHT_BEE)
    ui.wait_shown("masks", "1 2")
    ui.page.keyboard.press("1")
    ui.click(700, 150, button="right")
    ui.click(720, 160, modifiers=["Alt"])
    points = ui.state["points"]
    assert [(p["object_id"], p["is_positive"]) for p in points] == [(1, True), (2, True), (1, False), (1, False)]


def _propagate(ui: Any) -> None:
    ui.go_to(LAST)
    ui.page.keyboard.press("o")
    expect(ui.page.get_by_text(f"0 – {LAST}", exact=True)).to_be_visible()
    assert _masks(ui, 1).get(1, {"rle": None})["rle"] is None
    ui.page.keyboard.press("p")
    expect(ui.page.get_by_text("Done: ")).to_be_visible(timeout=60_000)
    ui.wait_shown("masks", "1 2")
    done = [_masks(ui, frame) for frame in range(LAST + 1)]
    assert all(set(objects) == {1, 2} and not objects[1]["is_stale"] for objects in done)
    assert ui.page.get_by_role("button", name="Object 1", exact=False).first.inner_text().count("present") == 1


def _correct_and_undo(ui: Any) -> None:
    before = _masks(ui, LAST)
    ui.page.keyboard.press("2")
    ui.click(RIGHT_BEE[0], RIGHT_BEE[1] + 150, button="right")
    assert len(ui.state["points"]) == 5
    assert _masks(ui, LAST)[2]["is_stale"]
    assert not _masks(ui, LAST)[1]["is_stale"], "an edit of one object leaves the other alone"
    ui.page.keyboard.press("Control+z")
    ui.until(lambda: len(ui.state["points"]) == 4)
    ui.rest()
    assert _masks(ui, LAST) == before
    ui.page.keyboard.press("Control+Shift+z")
    ui.until(lambda: len(ui.state["points"]) == 5)
    ui.page.get_by_role("button", name="Undo").click()
    ui.until(lambda: len(ui.state["points"]) == 4)


def _export_everything(ui: Any, folder: Path) -> None:
    ui.page.get_by_role("button", name="Export").click()
    dialog = ui.page.get_by_role("dialog", name="Export")
    assert dialog.get_by_role("combobox", name="Frames").locator("option:checked").inner_text() == f"Range 0 – {LAST}"
    formats = ui.api("/about")["exporters"]
    assert dialog.get_by_role("radio").count() == len(formats) >= 11
    for kind in formats:
        dialog.get_by_role("radio", name=kind["title"]).check()
        with ui.page.expect_download(timeout=60_000) as waiting:
            dialog.get_by_role("button", name="Export", exact=True).click()
        path = folder / f"{kind['name']}{kind['suffix']}"
        _keep(waiting.value, path, kind["suffix"])
    assert len(zipfile.ZipFile(folder / "png.zip").namelist()) >= LAST + 1
    tracks = json.loads((folder / "youtube-vis.json").read_text())["annotations"]
    assert sorted(len(track["segmentations"]) for track in tracks)[-1] >= LAST + 1
    dialog.get_by_role("button", name="Close").click()
    expect(dialog).to_be_hidden()


def _keep(download: Download, path: Path, suffix: str) -> None:
    assert download.suggested_filename.endswith(suffix)
    download.save_as(path)
    assert path.stat().st_size > 0


def _reload(ui: Any) -> None:
    ui.go_to(2)
    ui.page.wait_for_url("**/#frame=2")
    before = ui.state
    ui.page.reload()
    ui.wait_shown("frame", "2")
    ui.wait_shown("masks", "1 2")
    assert ui.state == before
    expect(ui.page.get_by_text(f"0 – {LAST}", exact=True)).to_be_visible()
    expect(ui.page.locator("li[data-id='2']")).to_have_class("object selected")
    ui.click(300, 250)
    assert ui.state["points"][-1]["frame"] == 2
