"""How long a person waits for the mask of a first click in a 4K video, on frames that were not prompted before.

    python -m benchmarks.first_click                  # twelve frames, each with a new object; 3840x2160, worked at 1280

Frames of ../shared/davis, enlarged, as an H.264 file; each click lies in the middle of its frame's object. Timed are adding the
object, the click and its mask, as the page's server does them. Limit of issue 21: 1 s.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from benchmarks.quality import SHARED
from sampt.config import default_config, with_settings
from sampt.evaluation.datasets import read_label_map
from sampt.session import Session
from sampt.video.writer import VideoWriter

IMAGES, ANNOTATIONS = (SHARED / "davis" / kind / "480p" for kind in ("JPEGImages", "Annotations"))
SIZE_HW = (2160, 3840)
SEQUENCES = ("blackswan", "camel", "car-shadow", "dog", "libby", "soapbox")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--longest-side", type=int, default=1280, help="of the frames that are worked on, pixels")
    arguments = parser.parse_args()
    frames = [(path, ANNOTATIONS / path.parent.name / f"{path.stem}.png") for path in list_frames()]
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "clip.mp4"
        with VideoWriter(video, 24, SIZE_HW) as writer:
            for path, _ in frames:
                writer.write(enlarged(path))
        config = with_settings(default_config(), {"longest_side": arguments.longest_side})
        with Session.create(video, Path(folder) / "clip.sampt", config=config) as session:
            waits = [waited(session, k, middle(labels)) for k, (_, labels) in enumerate(frames)]
    first, others = waits[0], waits[1:]
    print(f"| first click, 3840x2160 worked at {arguments.longest_side}, {os.cpu_count()} cores | seconds |\n|---|---|")
    print(f"| of a session, with loading | {first:.2f} |")
    print(f"| on another frame, median of {len(others)} | {statistics.median(others):.2f} |\n| worst | {max(others):.2f} |")
    return 0


def list_frames() -> list[Path]:
    """Two frames of each sequence."""
    found = []
    for name in SEQUENCES:
        paths = sorted((IMAGES / name).glob("*.jpg"))
        found += [paths[0], paths[len(paths) // 2]]
    return found


def enlarged(path: Path) -> np.ndarray:
    frame = cv2.cvtColor(np.asarray(cv2.imread(str(path))), cv2.COLOR_BGR2RGB)
    return np.asarray(cv2.resize(frame, SIZE_HW[::-1], interpolation=cv2.INTER_CUBIC))


def middle(path: Path) -> tuple[float, float]:
    """The innermost pixel of the largest part of a label map, at the size of the video."""
    labels = read_label_map(path) > 0
    depth = cv2.distanceTransform(labels.astype(np.uint8), cv2.DIST_L2, 5)
    y, x = np.unravel_index(int(np.argmax(depth)), depth.shape)
    return (float(x) + 0.5) / labels.shape[1] * SIZE_HW[1], (float(y) + 0.5) / labels.shape[0] * SIZE_HW[0]


def waited(session: Session, frame_idx: int, at: tuple[float, float]) -> float:
    start = time.perf_counter()
    object_id = session.add_object().object_id
    session.add_point(object_id, frame_idx, at)
    shown = session.preview(frame_idx, [object_id])
    seconds = time.perf_counter() - start
    assert shown[object_id].mask(SIZE_HW).any(), "a click in the middle of an object has a mask"
    return seconds


if __name__ == "__main__":
    sys.exit(main())
