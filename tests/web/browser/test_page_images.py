"""The images of docs/ui.md: the page at work on two flowers, which is what single clicks on the bees give.

``SAMPT_DOCS_IMAGES=1 pytest -m slow tests/web/browser/test_page_images.py`` makes them again, which is for a person to look at.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sampt.masks.rle import Rle, decode_mask
from tests.web.browser.conftest import CLIP, Served, Ui

DOCS = Path(__file__).resolve().parents[3] / "docs" / "images"
CORRECTED, STOP = 26, 40


@pytest.mark.slow
def test_images_of_the_documents(new_ui: Callable[..., Ui], served: Served, tmp_path: Path) -> None:
    (served.folder / "bees.mp4").write_bytes(CLIP.read_bytes())
    ui = new_ui(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    ui.open("bees.mp4")
    page, folder = ui.page, DOCS if os.environ.get("SAMPT_DOCS_IMAGES") else tmp_path
    for number, (name, xy) in enumerate((("Left flower", (340, 240)), ("Right flower", (1137, 411))), 1):
        page.keyboard.press("n")
        page.wait_for_selector(f"li[data-id='{number}'].selected")
        ui.click(*xy)
        made = page.context.request.patch(
            f"{ui.address}/api/v1/session/objects/{number}", data={"name": name}, headers={"Origin": ui.address}
        )
        assert made.ok
    ui.go_to(STOP - 1)
    page.keyboard.press("o")
    page.keyboard.press("p")
    page.get_by_text("Done: ").wait_for(timeout=550_000)
    page.keyboard.press("x")
    ui.go_to(CORRECTED)
    ui.wait_shown("masks", "1 2")
    ys, xs = np.nonzero(_mask(ui, 2))
    ui.click(float(xs.max()) - 4, float(ys[xs.argmax()]), button="right")
    page.mouse.move(620, 24)
    page.wait_for_selector(".message", state="detached")
    assert min(start for start, _ in ui.state["stale"]["2"]) < STOP, "the corrected half is out of date"

    def save(name: str, data: bytes) -> None:
        image = Image.open(BytesIO(data)).convert("RGB")
        image.quantize(256, dither=Image.Dither.FLOYDSTEINBERG).save(folder / f"ui-{name}.png", optimize=True)
        assert np.asarray(image).std() > 10, "something is on it"

    save("dark", page.screenshot())
    save("timeline", page.locator("footer.bottom").screenshot())
    for key, name in (("?", "help"), ("Shift+E", "export")):
        page.keyboard.press(key)
        save(name, page.locator(f"#{name}-dialog").screenshot())
        page.keyboard.press("Escape")
    page.get_by_role("button", name="Use light colours").click()
    page.mouse.move(620, 24)
    save("light", page.screenshot())
    for name, size in (("1024", (1024, 700)), ("phone", (390, 844))):
        page.set_viewport_size({"width": size[0], "height": size[1]})
        ui.rest()
        save(name, page.screenshot())


def _mask(ui: Any, object_id: int) -> Any:
    found = ui.api(f"/session/frames/{CORRECTED}/masks?preview=false")["objects"]
    (code,) = [o["rle"] for o in found if o["object_id"] == object_id]
    return decode_mask(Rle(tuple(code["size"]), code["counts"]))
