"""Clicks in the page: to the object that the person sees, kept while offline, and choices about what they come to.

The server is a real one with exact backends; its segmenter jumps to the other object when it is clicked in a corner.
"""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from playwright.sync_api import Route, expect
from pycocotools import mask as coco

from sampt.geometry import cover_polygon, cover_stroke
from tests.web.browser.conftest import CORNER, FRAMES, Ui

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools


def _centre(scene: Any, number: int, frame: int) -> tuple[int, int]:
    ys, xs = np.nonzero(scene.masks(frame)[number - 1])
    return round(xs.mean()), round(ys.mean())


def _mask(ui: Ui, frame: int, key: str = "rle", preview: bool = True) -> npt.NDArray[np.bool_]:
    (found,) = ui.api(f"/session/frames/{frame}/masks?preview={str(preview).lower()}")["objects"]
    return coco.decode(found[key]).astype(bool)


def test_n_and_a_quick_click_go_to_the_new_object(ui: Ui, scene: Any) -> None:
    """Also where the click is within ten pixels of the old object's point, where adding takes its time, and where another
    object is selected after the click."""
    x, y = _centre(scene, 1, 0)
    ui.click(x, y)
    at = ui.location_of(x, y)

    def add_slowly(route: Route) -> None:
        time.sleep(0.3)
        route.continue_()

    ui.page.route("**/session/objects", add_slowly)
    ui.page.keyboard.press("n")
    ui.page.locator("#stage").click(position={"x": at["x"] + 6, "y": at["y"]})
    ui.page.keyboard.press("1")
    ui.until(lambda: len(ui.state["points"]) == 2)
    ui.rest()
    assert [p["object_id"] for p in ui.state["points"]] == [1, 2]
    expect(ui.page.locator("li[data-id='1']")).to_have_class("object selected")


def test_a_click_beside_another_objects_point_is_for_the_selected_one(ui: Ui, scene: Any) -> None:
    x, y = _centre(scene, 1, 0)
    ui.click(x, y)
    ui.page.keyboard.press("n")
    ui.page.wait_for_selector("li[data-id='2'].selected")
    at = ui.location_of(x, y)
    ui.page.locator("#stage").click(position={"x": at["x"] - 5, "y": at["y"] + 5})
    ui.until(lambda: len(ui.state["points"]) == 2)
    ui.rest()
    assert [p["object_id"] for p in ui.state["points"]] == [1, 2]
    expect(ui.page.locator("li[data-id='2']")).to_have_class("object selected")


def test_clicks_while_offline_wait_and_come_once(ui: Ui, scene: Any) -> None:
    """Of the first click one request is lost on its way and one response on the way back; it and the second one arrive once."""
    ui.expected = "net::ERR_|Failed to load resource"
    x, y = _centre(scene, 1, 0)
    ui.click(x, y)
    tries = []

    def lose(route: Route) -> None:
        tries.append(route.request.post_data_json["x"])
        if len(tries) == 1:
            route.abort("internetdisconnected")
        elif len(tries) == 2:
            route.fetch()
            route.abort("connectionreset")
        else:
            route.continue_()

    ui.page.route("**/session/points", lose)
    ui.page.locator("#stage").click(position=ui.location_of(x + 4, y))
    ui.page.locator("#stage").click(position=ui.location_of(90, 10), button="right")
    ui.until(lambda: len(ui.state["points"]) == 3)
    ui.rest()
    assert [round(p["x"]) for p in ui.state["points"]] == [x, x + 4, 90]
    assert [p["is_positive"] for p in ui.state["points"]] == [True, True, False]
    assert [round(number) for number in tries] == [x + 4, x + 4, 90]
    expect(ui.page.get_by_role("alert")).to_have_count(0)


def test_a_click_waits_until_the_server_has_the_session_open_again(ui: Ui, scene: Any) -> None:
    ui.expected = r"a status of 404 .*/api/v1/session[/?']|closed before the connection is established"
    x, y = _centre(scene, 1, 0)
    ui.click(x, y)

    def open_slowly(route: Route) -> None:
        if route.request.method == "POST":
            expect(ui.page.locator("#offline")).to_be_visible()
            ui.page.locator("#stage").click(position=ui.location_of(x + 4, y))
            expect(ui.page.locator("#offline")).to_contain_text("Clicks that wait: 1.")
        route.continue_()

    ui.page.route("**/api/v1/session", open_slowly)
    assert ui.page.context.request.delete(f"{ui.address}/api/v1/session", headers={"Origin": ui.address}).ok
    ui.until(lambda: ui.page.context.request.get(f"{ui.address}/api/v1/session").ok)
    ui.until(lambda: len(ui.state["points"]) == 2)
    ui.rest()
    assert round(ui.state["points"][1]["x"]) == x + 4
    expect(ui.page.locator("#offline")).to_be_hidden()


def test_a_correction_has_its_pixel_and_u_leaves_only_the_clicks(ui: Ui, scene: Any) -> None:
    """On a propagated frame, where the exact segmenter says the same whatever is clicked."""
    ui.click(*_centre(scene, 1, 0))
    ui.page.keyboard.press("p")
    expect(ui.page.get_by_text("Done: ")).to_be_visible(timeout=60_000)
    ui.go_to(3)
    (x, y), (other_x, other_y) = _centre(scene, 1, 3), _centre(scene, 2, 3)
    assert _mask(ui, 3, preview=False)[y, x]
    ui.click(x, y, button="right")
    corrected = _mask(ui, 3)
    assert not corrected[y, x]
    assert (corrected ^ scene.masks(3)[0]).sum() < 10
    ui.click(other_x, other_y)
    ui.page.keyboard.press("u")
    ui.until(lambda: ui.state["clicks_alone"] == [{"object_id": 1, "frame": 3}])
    ui.rest()
    np.testing.assert_array_equal(_mask(ui, 3), scene.masks(3)[1])


def test_v_marks_a_frame_that_stays(ui: Ui, scene: Any) -> None:
    ui.click(*_centre(scene, 1, 0))
    ui.page.keyboard.press("p")
    expect(ui.page.get_by_text("Done: ")).to_be_visible(timeout=60_000)
    ui.go_to(1)
    ui.page.keyboard.press("v")
    button = ui.page.get_by_role("button", name="Looks right")
    expect(button).to_have_attribute("aria-pressed", "true")
    ui.go_to(0)
    expect(button).to_have_attribute("aria-pressed", "false")
    ui.click(*_centre(scene, 2, 0))
    ui.click(*_centre(scene, 1, 0), button="right", modifiers=["Shift"])
    assert ui.state["reviewed"] == {"1": [[1, 2]]}
    assert ui.state["stale"] == {"1": [[0, 1], [2, FRAMES]]}
    ui.go_to(1)
    button.click()
    ui.until(lambda: ui.state["stale"] == {"1": [[0, FRAMES]]})


def test_a_large_change_elsewhere_is_offered_and_w_takes_it(ui: Ui, scene: Any) -> None:
    x, y = _centre(scene, 1, 0)
    ui.click(x, y)
    notice = ui.page.get_by_text("The last click would change much elsewhere, too.")
    expect(notice).to_be_hidden()
    ui.click(2, 2)
    expect(notice).to_be_visible()
    corner = np.zeros_like(scene.masks(0)[0])
    corner[:CORNER, :CORNER] = True
    np.testing.assert_array_equal(_mask(ui, 0), scene.masks(0)[0] | corner)
    whole = _mask(ui, 0, "whole_rle")
    assert whole[y, x], "the first click has its pixel in either mask"
    assert (whole ^ (scene.masks(0)[1] | corner)).sum() == 5
    ui.page.keyboard.press("w")
    ui.until(lambda: ui.state["points"][-1]["is_whole"])
    ui.rest()
    np.testing.assert_array_equal(_mask(ui, 0), whole)
    expect(notice).to_be_hidden()
    ui.page.keyboard.press("Control+z")
    expect(notice).to_be_visible()


def test_brush_eraser_polygon_and_absence_survive_a_reload(ui: Ui, scene: Any) -> None:
    """Each stroke is one request however far the mouse moves, is seen while it is drawn, and is exact."""
    page, sent, ui.expected = ui.page, [], "willReadFrequently"  # colours are read here, and by nobody else
    page.on("request", lambda r: sent.append(r.post_data_json) if "/strokes" in r.url or "/polygons" in r.url else None)
    ui.click(*_centre(scene, 1, 0))
    page.keyboard.press("p")
    expect(page.get_by_text("Done: ")).to_be_visible(timeout=60_000)
    ui.go_to(2)
    expected = _mask(ui, 2)

    def drag(*way: tuple[float, float]) -> None:
        box = page.locator("#stage").bounding_box()
        assert box is not None
        for i, (x, y) in enumerate(way):
            at = ui.location_of(x, y)
            page.mouse.move(box["x"] + at["x"], box["y"] + at["y"], steps=12)
            if i == 0:
                page.mouse.down()

    def color_at(x: float, y: float) -> list[int]:
        at = ui.location_of(x, y)
        page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
        return page.evaluate(
            "([x, y]) => [...document.querySelector('#stage').getContext('2d').getImageData(x, y, 1, 1).data]",
            [at["x"], at["y"]],
        )

    def drawn(count: int) -> dict[str, Any]:
        ui.until(lambda: len(ui.state["masks"]) == 1 and len(sent) == count)
        ui.rest()
        return sent[-1]

    page.keyboard.press("b")
    radius = float(page.locator("#radius-text").inner_text().split()[0])
    page.keyboard.press("]")
    expect(page.locator("#radius-text")).not_to_have_text(f"{radius:g} px")
    plain = color_at(20, 4)
    drag((5, 4), (40, 4), (40, 10))
    assert color_at(20, 4) != plain
    assert sent == []
    page.mouse.up()
    stroke = drawn(1)
    assert stroke["radius"] > radius
    assert [round(v) for v in (*stroke["xy"][0], *stroke["xy"][-1])] == [5, 4, 40, 10]
    expected |= cover_stroke(np.array(stroke["xy"]), stroke["radius"], expected.shape)
    np.testing.assert_array_equal(_mask(ui, 2), expected)
    x, y = _centre(scene, 1, 2)
    page.keyboard.press("e")
    drag((x, y), (x + 3, y))
    page.mouse.up()
    stroke = drawn(2)
    expected &= ~cover_stroke(np.array(stroke["xy"]), stroke["radius"], expected.shape)
    np.testing.assert_array_equal(_mask(ui, 2), expected)
    page.keyboard.press("y")
    for corner in ((60, 50), (60, 55)):
        page.locator("#stage").click(position=ui.location_of(*corner))
    page.keyboard.press("Escape")
    for corner in ((60, 50), (80, 50), (80, 60), (5, 60)):
        page.locator("#stage").click(position=ui.location_of(*corner))
    page.keyboard.press("Backspace")
    page.keyboard.press("Enter")
    polygon = drawn(3)["xy"]
    assert len(polygon) == 3
    expected |= cover_polygon(np.array(polygon), expected.shape)
    np.testing.assert_array_equal(_mask(ui, 2), expected)
    expect(page.get_by_text("Drawn mask")).to_be_visible()
    ui.go_to(4)
    ui.wait_shown("masks", "1")
    page.keyboard.press("z")
    ui.wait_shown("masks", "")
    assert ui.state["absent"] == [{"object_id": 1, "frame": 4, "stop": FRAMES}]
    page.wait_for_url("**#frame=4")  # it is written a moment later
    page.reload()
    page.wait_for_selector("body[data-ready=true]")
    ui.wait_shown("frame", "4")
    expect(page.get_by_role("button", name="Absent from here on", exact=True)).to_have_attribute("aria-pressed", "true")
    ui.go_to(2)
    ui.wait_shown("masks", "1")
    np.testing.assert_array_equal(_mask(ui, 2), expected)
    page.keyboard.press("Control+z")
    ui.until(lambda: ui.state["absent"] == [])
    for _ in range(3):
        page.keyboard.press("Control+z")
    ui.until(lambda: ui.state["masks"] == [])


# Previews are requested later and later; then whether a pixel looks another than before, each time the screen is drawn.
SLOW_PREVIEWS_JS = """
([x, y]) => {
  const send = WebSocket.prototype.send;
  let count = 0;
  WebSocket.prototype.send = function (text) {
    if (JSON.parse(text).type === "preview") setTimeout(() => send.call(this, text), 500 * ++count);
    else send.call(this, text);
  };
  const context = document.querySelector("#stage").getContext("2d");
  const read = () => [...context.getImageData(x, y, 1, 1).data].join();
  const plain = read();
  window.seen = [];
  const look = () => {
    window.seen.push(read() !== plain);
    requestAnimationFrame(look);
  };
  look();
}
"""


def test_quick_strokes_stay_drawn_until_the_mask_with_both_is_here(ui: Ui, scene: Any) -> None:
    page, ui.expected = ui.page, "willReadFrequently"
    ui.click(*_centre(scene, 1, 0))
    page.keyboard.press("b")
    first, second = ui.location_of(20, 4), ui.location_of(60, 4)
    page.evaluate(SLOW_PREVIEWS_JS, [first["x"], first["y"]])
    box = page.locator("#stage").bounding_box()
    assert box is not None
    for at in (first, second):
        page.mouse.click(box["x"] + at["x"], box["y"] + at["y"])
    ui.until(lambda: bool(_mask(ui, 0)[4, [20, 60]].all()))
    ui.rest()
    seen = page.evaluate("window.seen")
    assert all(seen[seen.index(True) :]), "the first stroke went away meanwhile"
