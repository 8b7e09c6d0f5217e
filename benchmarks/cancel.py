"""How long a person waits for a propagation of many objects: for the first masks, and for the end after a cancel.

    python -m benchmarks.cancel                       # 22 objects on 20 frames of 640x360, 10 cancels at different moments

The clip is that of `benchmarks.objects`; the clicks lie on a grid; preset `default`. "First mask" is that of the clicked frame,
"first new mask" that of another one, from the call of `Session.propagate` on: masks that may still change count, as a person
sees them. Limits of issue 21: 1 s to the first masks, 0.5 s to the end after a cancel.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

from benchmarks.objects import SIZE_HW, moving
from sampt.session import PropagationWatch, Session
from sampt.video.writer import VideoWriter


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, default=22, help="how many there are")
    parser.add_argument("--frames", type=int, default=20, help="length of the clip")
    parser.add_argument("--cancels", type=int, default=10, help="how often it is cancelled")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.mp4"
        with VideoWriter(video, 24, SIZE_HW) as writer:
            for frame in moving(arguments.frames):
                writer.write(frame)
        with Session.create(video, Path(folder) / "clip.sampt") as session:
            add_objects(session, arguments.objects)
            runs = [cancelled(session, 0.3 + 0.7 * i) for i in range(arguments.cancels)]
    first, new, ends = ([v for v in column if v is not None] for column in zip(*runs, strict=True))
    print(f"| {arguments.objects} objects, {os.cpu_count()} cores (s) | median | worst |\n|---|---|---|")
    for name, seconds in (("first mask", first), ("first new mask", new), ("end after a cancel", ends)):
        print(f"| {name} | {statistics.median(seconds):.2f} | {max(seconds):.2f} |" if seconds else f"| {name} | | |")
    return 0


def add_objects(session: Session, count: int) -> None:
    side = int(np.ceil(np.sqrt(count)))
    xs, ys = np.meshgrid(np.linspace(40, SIZE_HW[1] - 41, side), np.linspace(40, SIZE_HW[0] - 41, side))
    for x, y in list(zip(xs.flat, ys.flat, strict=True))[:count]:
        session.add_point(session.add_object().object_id, 0, (float(x), float(y)))
    session.preview(0)  # as the page does


def cancelled(session: Session, after_s: float) -> tuple[float | None, float | None, float | None]:
    """Seconds to the first mask and to the first on another frame, where they came, and from the cancel to the end, where the
    propagation had not ended before."""
    cancel, start = threading.Event(), time.perf_counter()
    seen: list[tuple[int, float]] = []
    at: list[float] = []

    def stop() -> None:
        at.append(time.perf_counter())
        cancel.set()

    timer = threading.Timer(after_s, stop)
    timer.start()
    watch = PropagationWatch(on_provisional=lambda update: seen.append((update.frame_idx, time.perf_counter() - start)))
    for update in session.propagate(cancel=cancel, watch=watch):
        seen.append((update.frame_idx, time.perf_counter() - start))
    end = time.perf_counter()
    timer.join()
    first = min((s for frame, s in seen if frame == 0), default=None)
    return first, min((s for frame, s in seen if frame), default=None), end - at[0] if end > at[0] else None


if __name__ == "__main__":
    sys.exit(main())
