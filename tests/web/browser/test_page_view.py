"""Where clicks land, what masks decode to, and what the page offers to keys, screen readers and small screens."""

from __future__ import annotations

import re
from collections.abc import Callable
from io import BytesIO
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from playwright.sync_api import expect
from pycocotools import mask as coco

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")  # of pycocotools

SQUARES = np.array([[580, 330], [660, 380]])
"""First pixels (x, y) of two white squares on black, by which an image of the canvas tells where the frame is."""
SIDE = 12


@pytest.fixture
def squares(served: Any, request: pytest.FixtureRequest) -> str:
    """The name of a folder with three frames of 1280x720."""
    name = re.sub(r"\W+", "-", request.node.name)
    folder = served.folder / name
    folder.mkdir()
    frame = np.zeros((720, 1280, 3), np.uint8)
    for x, y in SQUARES:
        frame[y : y + SIDE, x : x + SIDE] = 255
    for index in range(3):
        Image.fromarray(frame).save(folder / f"{index:03}.png")
    return name


def _shown_centres(ui: Any) -> npt.NDArray[np.float64]:
    """(2, 2) centres of the squares in CSS pixels of the canvas, from an image of it."""
    ui.page.mouse.move(5, 5)
    ui.page.evaluate("for (const one of document.querySelectorAll('#hint, .readout')) one.style.visibility = 'hidden'")
    bright = np.zeros(0)

    def only_squares() -> bool:
        """A point or a mask that was undone is drawn until the next paint, which may be late on a busy machine."""
        nonlocal bright
        image = Image.open(BytesIO(ui.page.locator("#stage").screenshot()))
        bright = np.asarray(image.convert("L"), np.float64) * (np.asarray(image.convert("L")) >= 60)
        return cv2.connectedComponents((bright > 0).astype(np.uint8))[0] == 1 + len(SQUARES)

    ui.until(only_squares)
    rows, columns = np.nonzero(bright)
    # The squares lie on a diagonal: the line across it between them parts them.
    middle = (rows + columns).min() + np.ptp(rows + columns) / 2
    centres = []
    for part in (rows + columns < middle, rows + columns >= middle):
        weights = bright[rows[part], columns[part]]
        centres.append([np.average(columns[part] + 0.5, weights=weights), np.average(rows[part] + 0.5, weights=weights)])
    ratio = ui.page.evaluate("devicePixelRatio")
    return np.array(centres) / ratio


def _check_click(ui: Any, offset_xy: tuple[int, int], **options: Any) -> None:
    """Click near the squares; the server's point is what the image says, to a small part of a pixel."""
    shown, true = _shown_centres(ui), SQUARES + (SIDE - 1) / 2
    scale = (shown[1] - shown[0]) / (true[1] - true[0])
    location = np.round(shown[0]) + offset_xy
    expected = true[0] + (location - shown[0]) / scale
    count = len(ui.state["points"])
    ui.page.locator("#stage").click(position={"x": float(location[0]), "y": float(location[1])}, **options)
    ui.until(lambda: len(ui.state["points"]) == count + 1)
    ui.rest()
    point = ui.state["points"][-1]
    assert np.abs([point["x"], point["y"]] - expected).max() < 0.15, f"{point} where {expected} was clicked, at scale {scale}"
    ui.page.get_by_role("button", name="Undo").click()
    ui.until(lambda: len(ui.state["points"]) == count)
    ui.rest()


@pytest.mark.parametrize("ratio", [1, 2])
def test_clicks_are_exact_at_three_zooms(new_ui: Callable[..., Any], squares: str, ratio: int) -> None:
    ui = new_ui(device_scale_factor=ratio)
    ui.open(squares)
    _check_click(ui, (40, -30))
    ui.page.keyboard.press("0")
    _check_click(ui, (-31, 22), button="right")
    ui.page.locator("#stage").hover(position=ui.location_of(620, 350))
    while float((ui.page.get_attribute("#stage", "data-view") or "").split()[0]) < 6:
        ui.page.mouse.wheel(0, -120)
        ui.page.wait_for_timeout(40)
    _check_click(ui, (51, 33), modifiers=["Alt"])


def test_a_wheel_keeps_what_is_under_the_pointer(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui()
    ui.open(squares)
    before = _shown_centres(ui)[0]
    box = ui.page.locator("#stage").bounding_box()
    for delta in (-200, -200, 150):
        ui.page.mouse.move(box["x"] + before[0], box["y"] + before[1])
        ui.page.mouse.wheel(0, delta)
        ui.page.wait_for_timeout(60)
    assert np.abs(_shown_centres(ui)[0] - before).max() < 0.6


def test_points_are_moved_deleted_and_boxes_drawn(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui()
    ui.open(squares)
    ui.click(586, 336)
    [start, end] = [ui.location_of(586, 336), ui.location_of(640, 376)]
    ui.page.locator("#stage").drag_to(ui.page.locator("#stage"), source_position=start, target_position=end)
    ui.until(lambda: abs(ui.state["points"][0]["x"] - 640) < 1 and abs(ui.state["points"][0]["y"] - 376) < 1)
    ui.page.keyboard.press("r")
    corners = [ui.location_of(590, 330), ui.location_of(660, 390)]
    ui.page.locator("#stage").drag_to(ui.page.locator("#stage"), source_position=corners[0], target_position=corners[1])
    ui.until(lambda: len(ui.state["boxes"]) == 1)
    box = ui.state["boxes"][0]
    assert np.abs(np.array([box[key] for key in ("x0", "y0", "x1", "y1")]) - [590, 330, 660, 390]).max() <= 1
    ui.rest()
    ui.page.locator("#stage").hover(position=end)
    ui.page.keyboard.press("Delete")
    ui.until(lambda: ui.state["points"] == [])
    ui.page.get_by_role("button", name="Delete box", exact=False).click()
    ui.until(lambda: ui.state["boxes"] == [])
    expect(ui.page.get_by_text("None for the selected object.")).to_be_visible()


def test_masks_decode_as_pycocotools_does(new_ui: Callable[..., Any]) -> None:
    ui = new_ui()
    ui.page.goto(ui.address)
    rng = np.random.default_rng(3)
    masks = [rng.random((h, w)) < p for h, w, p in [(1, 1, 1.0), (7, 5, 0.5), (33, 17, 0.9), (720, 1280, 0.02), (4, 9, 0.0)]]
    masks.append(np.ones((40, 30), np.bool_))
    masks.append(np.pad(np.ones((300, 500), np.bool_), ((100, 320), (400, 380))))
    rles = [coco.encode(np.asfortranarray(mask, np.uint8)) for mask in masks]
    given = [{"size": [int(n) for n in rle["size"]], "counts": rle["counts"].decode()} for rle in rles]
    script = """async (rles) => {
      const { decodeMask } = await import("/static/rle.js");
      const plain = (shape) => shape && { ...shape, data: Array.from(shape.data).join("") };
      return rles.map((rle) => plain(decodeMask(rle)));
    }"""
    for mask, shape in zip(masks, ui.page.evaluate(script, given), strict=True):
        if not mask.any():
            assert shape is None
            continue
        ys, xs = np.nonzero(mask)
        assert (shape["x"], shape["y"], shape["area"]) == (xs.min(), ys.min(), mask.sum())
        cut = mask[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
        data = np.frombuffer(shape["data"].encode(), np.uint8) == ord("1")
        np.testing.assert_array_equal(data.reshape(shape["height"], shape["width"]), cut)


ROLES = "button|slider|combobox|spinbutton|textbox|checkbox|radio|link|dialog|application|progressbar"
NAMELESS = re.compile(rf"^\s*- ({ROLES})(:| \[|$)")


def test_all_controls_have_names_and_keys_open_the_help(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui()
    ui.page.goto(ui.address)
    ui.page.wait_for_selector("dialog[open] .file-row")
    images = [ui.page.locator("body").aria_snapshot()]
    ui.open(squares)
    ui.click(586, 336)
    images.append(ui.page.locator("body").aria_snapshot())
    for key, name in (("?", "Keys and help"), ("Shift+E", "Export"), ("Shift+O", "Open a video")):
        ui.page.keyboard.press(key)
        dialog = ui.page.get_by_role("dialog", name=name)
        expect(dialog).to_be_visible()
        images.append(dialog.aria_snapshot())
        ui.page.keyboard.press("Escape")
        expect(dialog).to_be_hidden()
    ui.page.get_by_role("button", name="About sampt").click()
    expect(ui.page.get_by_role("dialog", name="About sampt").get_by_role("row", name="tracker")).to_contain_text("Apache-2.0")
    nameless = [line for image in images for line in image.splitlines() if NAMELESS.match(line)]
    assert nameless == []
    assert all("slider" in image for image in images[1:2])


def test_errors_are_one_line_that_can_be_dismissed(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui()
    ui.open(squares)
    ui.click(586, 336)
    ui.page.keyboard.press("l")
    ui.until(lambda: ui.state["objects"][0]["is_locked"])
    ui.rest()
    ui.page.locator("#stage").click(position=ui.location_of(640, 376))
    alert = ui.page.get_by_role("alert")
    expect(alert).to_contain_text("Object 1 is locked. Unlock it (L) to change it.")
    assert len(ui.state["points"]) == 1
    alert.get_by_role("button", name="Dismiss").click()
    expect(alert).to_be_hidden()


def test_objects_are_renamed_hidden_colored_and_deleted(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui()
    ui.open(squares)
    ui.click(586, 336)
    ui.page.keyboard.press("F2")
    field = ui.page.get_by_role("textbox", name="New name of Object 1")
    field.fill("Left square")
    field.press("Enter")
    ui.until(lambda: ui.state["objects"][0]["name"] == "Left square")
    ui.page.get_by_label("Colour of Left square").fill("#00ff00")
    ui.until(lambda: ui.state["objects"][0]["color"] == "#00ff00")
    ui.page.keyboard.press("h")
    expect(ui.page.get_by_role("button", name="Show Left square")).to_be_visible()
    ui.page.get_by_role("button", name="Show Left square").click()
    ui.until(lambda: not ui.state["objects"][0]["is_hidden"])
    ui.page.keyboard.press("Shift+Delete")
    expect(ui.page.get_by_text("Left square was deleted.")).to_be_visible()
    assert ui.state["objects"] == []
    ui.page.keyboard.press("Control+z")
    expect(ui.page.locator(".object-name")).to_contain_text("Left square")
    assert len(ui.state["points"]) == 1


def test_a_video_is_uploaded_and_opened(new_ui: Callable[..., Any], bees: str, served: Any) -> None:
    ui = new_ui()
    ui.page.goto(ui.address)
    dialog = ui.page.get_by_role("dialog", name="Open a video")
    expect(dialog).to_be_visible()  # until then the page's program may not have begun to listen
    wrong = {"name": "notes.txt", "mimeType": "text/plain", "buffer": b"no video"}
    ui.page.get_by_label("Video to upload").set_input_files(wrong)
    expect(dialog.get_by_role("alert")).to_contain_text("notes.txt is not a video that can be uploaded")
    ui.page.get_by_label("Video to upload").set_input_files(served.folder / bees)
    ui.wait_shown("frame", "0")
    expect(dialog).to_be_hidden()
    assert ui.state["video"]["num_frames"] == 277


def test_a_session_that_the_server_has_put_away_comes_back(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui()
    ui.open(squares)
    ui.click(586, 336)
    before = ui.state
    ui.go_to(2)
    # The browser notes that the session was not found, which is what this is about, and that the page gave up a try to connect.
    ui.expected = r"a status of 404 .*/api/v1/session[/?']|closed before the connection is established"
    assert ui.page.context.request.delete(f"{ui.address}/api/v1/session", headers={"Origin": ui.address}).ok
    ui.until(lambda: ui.page.context.request.get(f"{ui.address}/api/v1/session").ok)
    ui.page.wait_for_selector("#offline", state="hidden")
    ui.wait_shown("frame", "2")
    assert ui.state["points"] == before["points"]


def test_a_small_screen_shows_everything_without_scrolling(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui(viewport={"width": 1024, "height": 700}, color_scheme="light", has_touch=True)
    ui.open(squares)
    assert ui.page.evaluate("document.documentElement.dataset.theme") == "light"
    cut_off = """[...document.querySelectorAll("button, input, select, canvas")].filter((one) => one.checkVisibility())
      .map((one) => [one.id, one.getBoundingClientRect()])
      .filter(([, box]) => box.right > innerWidth + 1 || box.bottom > innerHeight + 1).map(([id]) => id)"""
    assert ui.page.evaluate(cut_off) == []
    assert ui.page.evaluate("document.documentElement.scrollWidth") <= 1024
    location = ui.location_of(586, 336)
    ui.page.locator("#stage").tap(position=location)
    ui.until(lambda: len(ui.state["points"]) == 1)
    ui.page.get_by_role("button", name="Use dark colours").click()
    ui.page.reload()
    ui.wait_shown("frame", "0")
    assert ui.page.evaluate("document.documentElement.dataset.theme") == "dark"


def test_two_fingers_zoom_and_a_long_press_deletes(new_ui: Callable[..., Any], squares: str) -> None:
    ui = new_ui(has_touch=True)
    ui.open(squares)
    ui.click(586, 336)
    box, location, at = ui.page.locator("#stage").bounding_box(), ui.location_of(586, 336), ui.location_of(800, 500)
    touch = ui.page.context.new_cdp_session(ui.page)

    def send(kind: str, *fingers: tuple[float, float]) -> None:
        points = [{"x": box["x"] + x, "y": box["y"] + y, "id": i} for i, (x, y) in enumerate(fingers)]
        touch.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    before = float((ui.page.get_attribute("#stage", "data-view") or "").split()[0])
    send("touchStart", (at["x"] - 40, at["y"]), (at["x"] + 40, at["y"]))
    for reach in (60, 90, 120):
        send("touchMove", (at["x"] - reach, at["y"]), (at["x"] + reach, at["y"]))
    send("touchEnd")
    ui.page.wait_for_timeout(100)
    after = float((ui.page.get_attribute("#stage", "data-view") or "").split()[0])
    assert after / before == pytest.approx(3.0, rel=0.02)
    assert len(ui.state["points"]) == 1, "two fingers click nothing"
    ui.page.keyboard.press("f")
    ui.page.wait_for_timeout(100)
    send("touchStart", (location["x"], location["y"]))
    ui.until(lambda: ui.state["points"] == [])
    send("touchEnd")
    ui.rest()
    assert ui.state["points"] == []


def test_playing_and_scrubbing(new_ui: Callable[..., Any], bees: str) -> None:
    ui = new_ui()
    ui.open(bees)
    ui.page.keyboard.press(" ")
    ui.until(lambda: int(ui.page.get_attribute("#stage", "data-frame") or 0) > 5)
    ui.page.get_by_role("button", name="Pause").click()
    expect(ui.page.get_by_role("button", name="Play", exact=True)).to_be_visible()
    timeline = ui.page.get_by_role("slider", name="Timeline")
    box = timeline.bounding_box()
    ui.page.mouse.move(box["x"] + 300, box["y"] + 12)
    ui.page.mouse.down()
    for x in range(300, 1200, 60):
        ui.page.mouse.move(box["x"] + x, box["y"] + 12)
    ui.page.mouse.up()
    frame = timeline.get_attribute("aria-valuenow")
    assert 200 < int(frame or 0) < 277
    ui.wait_shown("frame", frame)
