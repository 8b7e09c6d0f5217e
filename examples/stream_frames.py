"""Segment frames while they come, from a camera or any other iterator of arrays; memory does not grow.

    python examples/stream_frames.py sampt-demo/clip.mp4 150,180 185,175 --stop 30
    python examples/stream_frames.py 0 320,240                       # the first camera

The clicks are X,Y on the first frame. A result comes with its frame, before the next one is taken.
"""

import argparse
import itertools
import time
from collections.abc import Iterator

import cv2
import numpy as np

import sampt


def frames_of(source: str) -> Iterator[np.ndarray]:
    """(h, w, 3) uint8 RGB, as OpenCV delivers them from a file, an address or the camera of that number."""
    capture = cv2.VideoCapture(int(source) if source.isdigit() else source)
    if not capture.isOpened():
        raise SystemExit(f"OpenCV cannot open {source!r}; expected a video file, an address or the number of a camera.")
    try:
        while True:
            has_frame, frame = capture.read()
            if not has_frame:
                return
            yield cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)
    finally:
        capture.release()


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("source")
parser.add_argument("clicks", nargs="+", metavar="X,Y")
parser.add_argument("--stop", type=int, help="after so many frames")
arguments = parser.parse_args()

clicks = sampt.Points.of(object_id=1, frame_idx=0, xy=[[float(v) for v in click.split(",")] for click in arguments.clicks])
frames = itertools.islice(frames_of(arguments.source), arguments.stop)
start = time.perf_counter()
for result in sampt.segment_stream(frames, clicks):
    rate = (result.frame_idx + 1) / (time.perf_counter() - start)
    print(f"frame {result.frame_idx}: {result.masks[0].sum()} pixels, {rate:.1f} frames per second so far")
