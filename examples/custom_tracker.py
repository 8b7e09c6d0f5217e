"""A tracker of your own in 30 lines, checked by the contract that every tracker of sampt passes, then used for masks.

    python examples/custom_tracker.py sampt-demo/clip.mp4 150,180 185,175 120,182

This one is sparse optical flow, which hides a point when flow in the other direction does not bring it back to where it was.
Make yours known by an entry point, and it works as `--tracker NAME` (CONTRIBUTING.md, "Write a tracker in 30 lines").
"""

import argparse
from pathlib import Path

import cv2
import numpy as np

import sampt
from sampt.testing.contracts import check_tracker
from sampt.trackers.base import CausalTracker, TrackerInfo, TrackerStream, TrackStep


class FlowTracker(CausalTracker):
    @property
    def info(self) -> TrackerInfo:
        return TrackerInfo("my-flow", license_code="MIT", license_weights=None, is_causal=True)

    def stream(self) -> TrackerStream:
        return FlowStream()


class FlowStream(TrackerStream):
    """Points of one clip, given a frame after the other."""

    def __init__(self) -> None:
        self.gray, self.xy, self.seen = None, np.zeros((0, 2), np.float32), np.zeros(0, bool)

    def push(self, frame: np.ndarray) -> TrackStep:
        """Move all points to the next (h, w, 3) uint8 frame."""
        gray = cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY)
        if self.gray is not None and len(self.xy):
            there, found, _ = cv2.calcOpticalFlowPyrLK(self.gray, gray, self.xy, None)
            back, _, _ = cv2.calcOpticalFlowPyrLK(gray, self.gray, there, None)
            error = np.linalg.norm(back - self.xy, axis=1)
            inside = ((there >= 0) & (there <= np.array(gray.shape[::-1]) - 1)).all(1)
            self.seen &= (found[:, 0] > 0) & (error < 2) & inside  # what was lost once is not trusted again
            self.xy = np.where(self.seen[:, None], there, self.xy)
        self.gray = gray
        return TrackStep(self.xy.copy(), self.seen.copy(), self.seen.astype(np.float32))

    def add(self, xy: np.ndarray) -> None:
        """Begin to track (n, 2) points on the frame that was pushed last."""
        self.xy = np.concatenate([self.xy, xy]).astype(np.float32)
        self.seen = np.concatenate([self.seen, np.ones(len(xy), bool)])


def create(*, weights: str = "default", device: str = "auto") -> FlowTracker:
    return FlowTracker()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", type=Path)
    parser.add_argument("clicks", nargs="+", metavar="X,Y")
    arguments = parser.parse_args()
    check_tracker(create)  # raises a sentence that says which promise is broken
    print("the tracker keeps the contract")
    clicks = sampt.Points.of(1, 0, [[float(v) for v in click.split(",")] for click in arguments.clicks])
    for result in sampt.segment_video(arguments.video, clicks, tracker=create()):
        print(f"frame {result.frame_idx}: {result.masks[0].sum()} pixels, {result.points.visible.sum()} points visible")


if __name__ == "__main__":
    main()
