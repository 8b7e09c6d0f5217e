"""What a person waits for in the page of `sampt ui`, measured in headless Chromium against a real server.

    python -m benchmarks.ui                       # 30 clicks at rest, scrubbing, 15 clicks while a propagation runs

The video is an H.264 file (libx264's own settings) of the frames of ../shared/davis, 854x480, one sequence after the other. A
click is timed from the mouse button to the paint that shows the mask of a new object, on a frame that was prompted before;
scrubbing drags along the timeline and counts the different frames painted. Limits of issue 8: median of a click 0.5 s,
20 frames/s, 1 s while a propagation runs.
"""

from __future__ import annotations

import argparse
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from PIL import Image
from playwright.sync_api import Page, sync_playwright

CHROMIUM = "/usr/bin/chromium"
SIZE_WH = (854, 480)
FPS = 24

# Resolves with the milliseconds until a paint after which the canvas shows a mask of object `id`.
CLICK_JS = """
id => new Promise(done => {
  const canvas = document.getElementById("stage");
  const shows = () => canvas.dataset.masks.split(" ").includes(String(id));
  let start = 0;
  const observer = new MutationObserver(() => {
    if (!shows()) return;
    observer.disconnect();
    requestAnimationFrame(() => done(performance.now() - start));
  });
  observer.observe(canvas, { attributes: true });
  canvas.addEventListener("pointerdown", () => { start = performance.now(); }, { once: true, capture: true });
  window.isArmed = true;
})
"""
COUNT_JS = """
() => {
  window.painted = [];
  const canvas = document.getElementById("stage");
  new MutationObserver(() => {
    const frame = canvas.dataset.frame;
    if (frame !== window.painted.at(-1)?.frame) window.painted.push({ frame, time: performance.now() });
  }).observe(canvas, { attributes: true, attributeFilter: ["data-frame"] });
}
"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "davis")
    parser.add_argument("--clicks", type=int, default=30)
    parser.add_argument("--scrub-s", type=float, default=6.0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        num_frames = write_video(arguments.davis, Path(folder) / "davis.mp4")
        with served(Path(folder)) as address, shown(address) as page:
            rest = [timed_click(page) for _ in range(arguments.clicks)]
            speed = scrubbed(page, arguments.scrub_s)
            go_to_start(page)
            add_lasting_object(page)
            page.keyboard.press("p")
            page.wait_for_function("document.getElementById('progress-group').dataset.running === 'true'")
            busy = [timed_click(page) for _ in range(arguments.clicks // 2)]
            is_running = page.evaluate("document.getElementById('progress-group').dataset.running") == "true"
    print(f"| {num_frames} frames of 854x480, {os.cpu_count()} cores | median | 90 % | worst | limit |\n|---|---|---|---|---|")
    print(row("click to visible mask (s)", rest, "0.5 median"))
    print(row("the same while a propagation runs (s)" + ("" if is_running else " [it ended before]"), busy, "1"))
    print(f"| scrubbing (frames/s painted) | {speed:.0f} | | | 20 |")
    return 0


def row(name: str, seconds: list[float], limit: str) -> str:
    ninety = float(np.quantile(seconds, 0.9))
    return f"| {name} | {statistics.median(seconds):.3f} | {ninety:.3f} | {max(seconds):.3f} | {limit} |"


def write_video(davis: Path, target: Path) -> int:
    """All frames, one sequence after the other; returns how many."""
    paths = sorted((davis / "JPEGImages" / "480p").glob("*/*.jpg"))
    if not paths:
        raise SystemExit(f"There are no frames in {davis}/JPEGImages/480p; give the folder of DAVIS (--davis).")
    with av.open(str(target), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height = SIZE_WH
        stream.pix_fmt = "yuv420p"
        for path in paths:
            with Image.open(path) as image:
                container.mux(stream.encode(av.VideoFrame.from_image(image.convert("RGB").resize(SIZE_WH))))
        container.mux(stream.encode(None))
    return len(paths)


@contextmanager
def served(root: Path) -> Iterator[str]:
    """The address of a server for the video."""
    command = [sys.executable, "-m", "sampt", "ui", str(root / "davis.mp4"), "--root", str(root), "--no-browser", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    assert process.stdout is not None
    try:
        for line in process.stdout:
            if found := re.search(r"http://\S+", line):
                yield found[0]
                return
        raise SystemExit("The server reported no address.")
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def shown(address: str) -> Iterator[Page]:
    """The page, once it shows the first frame."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        # Playwright waits by scripts of its own, which the page itself would refuse.
        page = browser.new_page(viewport={"width": 1440, "height": 900}, bypass_csp=True)
        page.goto(address)
        page.wait_for_selector("#stage[data-frame='0']")
        yield page
        browser.close()


def timed_click(page: Page) -> float:
    """Seconds from a click for a new object to its mask; the object is taken away again."""
    rng = random.Random(page.evaluate("document.getElementById('stage').dataset.revision"))  # noqa: S311
    before = page.locator("#object-list li").count()
    page.keyboard.press("n")
    page.wait_for_function("n => document.querySelectorAll('#object-list li').length > n", arg=before)
    object_id = page.evaluate("Math.max(...[...document.querySelectorAll('#object-list li')].map(li => Number(li.dataset.id)))")
    box = page.locator("#stage").bounding_box()
    assert box is not None
    at = (box["x"] + box["width"] * rng.uniform(0.35, 0.65), box["y"] + box["height"] * rng.uniform(0.35, 0.65))
    page.evaluate(f"window.isArmed = false; window.waited = ({CLICK_JS})({object_id}); null")
    page.wait_for_function("window.isArmed")
    page.mouse.click(*at)
    milliseconds = float(page.evaluate("window.waited"))
    page.keyboard.press("Shift+Delete")
    page.wait_for_function("n => document.querySelectorAll('#object-list li').length === n", arg=before)
    return milliseconds / 1000


def scrubbed(page: Page, seconds: float) -> float:
    """Different frames painted in a second while the pointer is dragged along the timeline."""
    box = page.locator("#timeline").bounding_box()
    assert box is not None
    left, right, y = box["x"] + 150, box["x"] + box["width"] - 20, box["y"] + 12
    page.evaluate(f"({COUNT_JS})()")
    page.mouse.move(left, y)
    page.mouse.down()
    start = time.perf_counter()
    while (now := time.perf_counter() - start) < seconds:
        page.mouse.move(left + (right - left) * now / seconds, y)
        time.sleep(0.005)
    page.mouse.up()
    return float(page.evaluate("window.painted.length")) / now


def go_to_start(page: Page) -> None:
    page.keyboard.press("Home")
    page.wait_for_selector("#stage[data-frame='0']")


def add_lasting_object(page: Page) -> None:
    """One object that is tracked."""
    box = page.locator("#stage").bounding_box()
    assert box is not None
    page.mouse.click(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.wait_for_function("document.getElementById('stage').dataset.masks !== ''")


if __name__ == "__main__":
    sys.exit(main())
