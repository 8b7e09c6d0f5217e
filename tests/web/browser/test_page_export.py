"""The export dialog says what there is before it exports, and offers to propagate first."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import expect
from pycocotools import mask as coco

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def test_what_there_is_is_told_before_a_file_is_made(new_ui: Callable[..., Any], bees: str, tmp_path: Path) -> None:
    ui = new_ui()
    ui.open(bees)
    ui.click(340, 240)
    num_frames = ui.state["video"]["num_frames"]
    ui.page.get_by_role("button", name="Export").click()
    dialog = ui.page.get_by_role("dialog", name="Export")
    images = dialog.get_by_role("combobox", name="Images")
    dialog.get_by_role("radio", name="Twelve frames on one page").check()
    expect(images).to_be_disabled()
    dialog.get_by_role("radio", name="images and annotations, RLE").check()
    dialog.get_by_role("textbox", name="Class of object 1").fill("flower")
    dialog.get_by_role("textbox", name="All classes").fill("bee, flower")
    images.select_option("jpg")
    dialog.get_by_role("button", name="Export", exact=True).click()
    told = f"1 of {num_frames} frames have masks that are up to date, {num_frames - 1} are not propagated."
    expect(dialog.get_by_text(told)).to_be_visible()
    expect(dialog.get_by_role("button", name="Propagate first")).to_be_focused()

    ui.page.screenshot(path=tmp_path / "told.png")
    with ui.page.expect_download(timeout=60_000) as waiting:
        dialog.get_by_role("button", name="Export anyway").click()
    assert waiting.value.suggested_filename.endswith("-coco-instances.zip")
    waiting.value.save_as(tmp_path / "o.zip")
    expect(dialog.get_by_text(told)).to_be_hidden()
    with zipfile.ZipFile(tmp_path / "o.zip") as archive:
        data = json.loads(archive.read("annotations/instances_default.json"))
        assert [name for name in archive.namelist() if name.endswith(".jpg")] == ["images/default/00000.jpg"]
    assert [c["name"] for c in data["categories"]] == ["bee", "flower"]
    assert ui.state["objects"][0]["name"] == "flower"
    (annotation,) = data["annotations"]
    assert annotation["category_id"] == 2
    shown = ui.api("/session/frames/0/masks?preview=true")["objects"][0]["rle"]
    assert np.array_equal(coco.decode(annotation["segmentation"]), coco.decode(shown))

    dialog.get_by_role("combobox", name="Frames", exact=True).select_option("frame")
    dialog.get_by_role("radio", name="Masks as MOTS").check()
    with ui.page.expect_download(timeout=60_000):  # nothing is missing of this frame
        dialog.get_by_role("button", name="Export", exact=True).click()
    dialog.get_by_role("combobox", name="Frames", exact=True).select_option("all")
    dialog.get_by_role("button", name="Export", exact=True).click()
    dialog.get_by_role("button", name="Propagate first").click()
    expect(dialog).to_be_hidden()
    ui.until(lambda: ui.api("/session/propagations") is not None)
    ui.page.get_by_role("button", name="Cancel").first.click()
