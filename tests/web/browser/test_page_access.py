"""The page without a mouse, on a phone, zoomed, in the system's colours; and with many objects."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.web.browser.conftest import Ui

AXE = Path(__file__).resolve().parents[3] / "node_modules" / "axe-core" / "axe.min.js"

# Controls that cannot be reached: outside of what can be scrolled to, or under something else when they are.
LOST_JS = """
() => {
  const seen = [...document.querySelectorAll("button, select, input, canvas")].filter(e =>
    e.checkVisibility() && !e.closest("dialog") && !e.disabled && e.type !== "file");
  const lost = seen.filter(e => {
    e.scrollIntoView({ block: "center", inline: "nearest" });
    const { left, right, top, bottom } = e.getBoundingClientRect();
    const at = document.elementFromPoint((left + right) / 2, (top + bottom) / 2);
    return left < 0 || right > innerWidth + 1 || !at || !(e === at || e.contains(at));
  });
  const isWide = e => e.checkVisibility() && e.getBoundingClientRect().right > screen.width + 1;
  const wide = [...document.body.querySelectorAll("*")].filter(isWide);
  if (wide.length) return wide.map(e => e.id || e.className);
  return [seen.length > 25, innerWidth, lost.map(e => e.id || e.getAttribute("aria-label"))];
}
"""
# Contrast is measured when nothing fades any more.
AXE_JS = """
async selector => {
  await new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)));
  const ending = document.getAnimations().filter(one => Number.isFinite(one.effect.getComputedTiming().endTime));
  await Promise.all(ending.map(one => one.finished.catch(() => null)));
  return (await axe.run(selector, { resultTypes: ["violations"] })).violations
    .map(({ id, nodes }) => `${id}: ${nodes.map(node => node.html.slice(0, 90)).join(", ")}`);
}
"""


def test_everything_is_reached_without_a_mouse_or_much_room(new_ui: Callable[..., Ui], bees: str) -> None:
    if not AXE.exists():
        pytest.skip(f"{AXE} is not there; make test installs it (npm ci)")
    ui = new_ui(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, bypass_csp=True)
    ui.open(bees)
    page = ui.page
    ui.page.locator("#stage").tap(position=ui.location_of(282, 241))
    ui.until(lambda: len(ui.state["points"]) == 1)
    ui.rest()
    for size in ({"width": 390, "height": 844}, {"width": 720, "height": 450}):  # a phone; 200 % on 1440x900
        page.set_viewport_size(size)
        assert page.evaluate(LOST_JS) == [True, size["width"], []]
    page.evaluate(AXE.read_text())
    assert page.evaluate(AXE_JS, "body") == []
    for key, name in (("Shift+O", "open"), ("Shift+E", "export"), ("?", "help")):
        page.keyboard.press(key)
        page.wait_for_selector(f"#{name}-dialog[open]")
        assert page.evaluate(AXE_JS, f"#{name}-dialog") == [], name
        page.keyboard.press("Escape")
    page.locator("#about-button").click()
    assert page.evaluate(AXE_JS, "#about-dialog") == []
    page.keyboard.press("Escape")

    page.set_viewport_size({"width": 1440, "height": 900})
    for key in ("j", "ArrowRight", "ArrowRight", "Shift+ArrowDown"):
        page.keyboard.press(key)
    x, y = map(int, (page.locator("#crosshair-text").text_content() or "").removeprefix("Crosshair at ").split(", "))
    page.keyboard.press("Shift+Enter")
    ui.until(lambda: len(ui.state["points"]) == 2)
    point = ui.state["points"][1]
    assert (point["x"], point["y"], point["is_positive"]) == (x, y, False)
    page.locator("#tool-box").click()
    for key in ("Enter", "Shift+ArrowRight", "Shift+ArrowRight", "Shift+ArrowDown", "Enter", "Escape"):
        page.keyboard.press(key)
    ui.until(lambda: len(ui.state["boxes"]) == 1)
    box = ui.state["boxes"][0]
    assert [box[name] for name in ("x0", "y0", "x1", "y1")] == [x, y, x + 2, y + 1]
    page.keyboard.press("ArrowRight")  # the arrows are for frames again
    ui.wait_shown("frame", "1")

    page.emulate_media(forced_colors="active")
    outline = "e => getComputedStyle(document.querySelector(e)).outlineStyle"
    page.locator("#help-button").focus()
    page.keyboard.press("Tab")
    assert page.evaluate(outline, ":focus") == "solid"
    assert page.evaluate(outline, "#tool-box[aria-pressed=true]") == "solid"


def test_forty_objects_are_found_and_errors_go_when_they_are_over(new_ui: Callable[..., Ui], bees: str) -> None:
    ui = new_ui()
    ui.open(bees)
    page, address = ui.page, f"{ui.address}/api/v1/session"
    for i in range(1, 41):
        made = page.context.request.post(f"{address}/objects", data={"name": f"bee {i}"}, headers={"Origin": ui.address})
        assert made.ok
    rows = page.locator("#object-list li")
    ui.until(lambda: rows.count() == 40)

    def selected() -> str:
        row = page.locator("#object-list li.selected")
        top, bottom = page.evaluate("(b => [b.top, b.bottom])(document.getElementById('object-list').getBoundingClientRect())")
        box = row.bounding_box()
        assert box is not None
        assert top - 1 <= box["y"] <= box["y"] + box["height"] <= bottom + 1, "it is kept in view"
        return row.locator(".name").text_content() or ""

    page.keyboard.press("3")
    assert selected() == "bee 3"
    page.evaluate("new Promise(done => setTimeout(done, 800))")
    page.keyboard.type("37")
    assert selected() == "bee 37"
    page.keyboard.press("ArrowDown")
    assert selected() == "bee 38"
    page.keyboard.press("/")
    page.keyboard.type("bee 12")
    assert rows.count() == 1
    page.keyboard.press("Enter")
    assert selected() == "bee 12"

    # A save that failed is no error any more once one works.
    ui.expected = "status of 409"
    refusal = {"status": 409, "json": {"error": "There are 3 points already; delete some."}}
    page.route("**/session/points", lambda route: route.fulfill(**refusal))  # type: ignore[arg-type]
    page.locator("#stage").click(position=ui.location_of(100, 100))
    page.wait_for_selector(".message.error")
    page.unroute("**/session/points")
    ui.click(282, 241)
    assert page.locator(".message.error").count() == 0
