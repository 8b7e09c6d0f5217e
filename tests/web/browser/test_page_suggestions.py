"""Objects that nobody named, in the page: suggested, accepted with one key or click, dropped, and never added unasked."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest
from playwright.sync_api import Route, expect

from sampt.masks.rle import Rle, decode_mask
from tests.web.browser.conftest import SIZE, Ui
from tests.web.browser.test_page_access import AXE, AXE_JS, LOST_JS

PHONE = {"width": 390, "height": 844}


def _names(ui: Ui) -> list[str]:
    return [item["name"] for item in ui.state["objects"]]


def _masks(ui: Ui) -> list[Any]:
    found = ui.api("/session/frames/0/masks?preview=true")["objects"]
    return [decode_mask(Rle(tuple(item["rle"]["size"]), item["rle"]["counts"])) for item in found]


@pytest.mark.parametrize("ui", [{"bypass_csp": True, "color_scheme": "dark"}], indirect=True)
def test_suggestions_are_accepted_by_keys_alone_and_dropped(ui: Ui, scene: Any) -> None:
    page, bar = ui.page, ui.page.locator("#suggestions")
    page.keyboard.press("Shift+N")
    ui.wait_shown("suggestions", "1 2")
    expect(page.locator("#suggestion-status")).to_have_text(
        "2 suggestions. Enter accepts the selected one, Shift Enter all, Escape drops them."
    )
    assert _names(ui) == [], "nothing was added unasked"
    if AXE.exists():
        page.evaluate(AXE.read_text())
        assert page.evaluate(AXE_JS, "body") == []
        page.set_viewport_size(PHONE)  # type: ignore[arg-type]
        assert page.evaluate(AXE_JS, "body") == []
        assert page.evaluate(LOST_JS) == [True, PHONE["width"], []]
        page.set_viewport_size(SIZE)  # type: ignore[arg-type]
    expect(page.get_by_role("button", name="Accept suggestion 1 left")).to_be_focused()
    page.keyboard.press("Tab")
    expect(bar.locator(".selected")).to_have_text("2 right")
    page.keyboard.press("Enter")
    ui.until(lambda: _names(ui) == ["right"])
    ui.wait_shown("masks", "1")
    np.testing.assert_array_equal(_masks(ui), scene.masks(0)[1:])
    ui.wait_shown("suggestions", "1")
    expect(page.get_by_role("button", name="Accept suggestion 1 left")).to_be_focused()
    expect(page.locator("#suggestion-status")).to_have_text("right was added. 1 suggestion left.")
    page.keyboard.press("Control+z")
    ui.until(lambda: _names(ui) == [])
    ui.wait_shown("suggestions", "1")
    page.keyboard.press("ArrowRight")  # leaving the frame drops the other one
    ui.wait_shown("frame", "1")
    ui.wait_shown("suggestions", "")
    expect(bar).to_be_hidden()
    page.keyboard.press("Home")
    ui.wait_shown("frame", "0")
    ui.wait_shown("suggestions", "")
    page.keyboard.press("Shift+N")
    ui.wait_shown("suggestions", "1 2")
    page.keyboard.press("Escape")
    ui.wait_shown("suggestions", "")
    assert _names(ui) == []
    page.keyboard.press("Shift+N")
    ui.wait_shown("suggestions", "1 2")
    page.keyboard.press("Shift+Enter")
    ui.until(lambda: _names(ui) == ["left", "right"])
    ui.wait_shown("masks", "2 3")
    expect(bar).to_be_hidden()
    page.keyboard.press("Shift+N")
    expect(page.get_by_text("Nothing found here that is not an object already.")).to_be_visible()
    assert len(_names(ui)) == 2


def test_a_click_accepts_a_suggestion_and_a_slow_search_is_cancelled(ui: Ui, scene: Any) -> None:
    page, button = ui.page, ui.page.get_by_role("button", name="Find objects")

    def find_slowly(route: Route) -> None:
        time.sleep(0.3)
        route.continue_()

    page.route("**/suggestions", find_slowly)
    button.click()
    expect(page.get_by_text("Looking for objects …").first).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#suggestions")).to_be_hidden()
    button.click()
    ui.wait_shown("suggestions", "1 2")
    page.unroute("**/suggestions")
    y, x = (round(v.mean()) for v in np.nonzero(scene.masks(0)[1]))
    page.locator("#stage").hover(position=ui.location_of(x, y))
    expect(page.locator(".suggestion.selected")).to_have_text("2 right")
    page.locator("#stage").dblclick(position=ui.location_of(x, y))  # accepted once, and no click of an object
    ui.until(lambda: _names(ui) == ["right"])
    assert (ui.state["points"], len(ui.state["masks"])) == ([], 1)
    ui.wait_shown("suggestions", "1")
    page.locator("#stage").click(position=ui.location_of(x, y), button="right")  # a click like any other
    ui.until(lambda: len(ui.state["points"]) == 1)
    ui.rest()
    assert not _masks(ui)[0][y, x]
