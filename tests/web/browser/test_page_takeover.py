"""A project that two browsers want, and a folder as a list of work."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from PIL import Image
from playwright.sync_api import expect

from tests.web.browser.conftest import Served, Ui

FRAMES = 2


def test_a_project_is_taken_over_and_back_and_the_list_says_how_far_each_is(new_ui: Callable[..., Ui], served: Served) -> None:
    rng = np.random.default_rng(0)
    for name in ("ants", "wasps"):
        (served.folder / "work" / name).mkdir(parents=True)
        for index in range(FRAMES):
            image = rng.integers(0, 255, (48, 64, 3), np.uint8)
            Image.fromarray(image).save(served.folder / "work" / name / f"{index:03}.png")
    first, second = new_ui(), new_ui()
    first.expected = second.expected = "status of (404|409)"

    first.page.goto(first.address)
    dialog = first.page.get_by_role("dialog", name="Open a video")
    for name in ("videos", "work"):
        dialog.get_by_role("button", name=name, exact=True).or_(dialog.get_by_role("button", name=f"{name} Folder")).click()
    expect(first.page.locator("#work-summary")).to_have_text("2 new")
    dialog.get_by_role("button", name="ants").click()
    first.page.wait_for_selector("#stage[data-frame='0']")
    first.click(32, 24)

    second.page.goto(second.address)
    dialog = second.page.get_by_role("dialog", name="Open a video")
    for name in ("videos", "work"):
        dialog.get_by_role("button", name=f"{name} Folder").click()
    expect(second.page.locator("#work-summary")).to_have_text("1 new · 1 partly done")
    rows = dialog.locator(".file-row")
    expect(rows).to_have_count(2)
    dialog.get_by_role("combobox", name="Show").select_option("partly")
    expect(rows).to_have_count(1)
    expect(rows.locator(".work-state")).to_have_text(f"partly done · 0 of {FRAMES} frames · open now")
    rows.click()
    expect(dialog.get_by_role("alert")).to_contain_text("is open in another browser")
    dialog.get_by_role("button", name="Take over here").click()
    second.page.wait_for_selector("#stage[data-frame='0']")
    expect(dialog).to_be_hidden(timeout=30_000)
    assert len(second.state["points"]) == 1

    notice = first.page.get_by_role("dialog", name="Open in another browser now")
    expect(notice).to_be_visible()
    notice.get_by_role("button", name="Take over here").click()
    expect(notice).to_be_hidden(timeout=30_000)
    first.click(20, 20)
    expect(second.page.get_by_role("dialog", name="Open in another browser now")).to_be_visible(timeout=30_000)
    second.page.keyboard.press("Escape")
    expect(second.page.get_by_role("dialog", name="Open a video")).to_be_visible()
    assert len(first.state["points"]) == 2
