"""Learned trackers by points, precision and runtime: frames/s, and the most memory on a GPU for a short and a long clip.

    pip install 'sampt[torch]'
    python -m benchmarks.tracker_speed                                      # on a GPU: everything, some ten minutes
    python -m benchmarks.tracker_speed --device cpu --tracker raft-small --points 16 --runtime torch --frames 8

Weights are random and frames noise: both say nothing about accuracy, and the same about time. Points lie on frame 0.
A short clip of other frames goes first, so that nothing is compiled or chosen within the time. Peak memory is what PyTorch had
allocated on the GPU (16 points, bfloat16, not compiled); a CPU does not tell it.
"""

from __future__ import annotations

import argparse
import itertools
import sys
import time

import numpy as np
import torch

from sampt.backends.torch_networks import running_on
from sampt.errors import SamptError
from sampt.trackers.base import PointTracker
from sampt.trackers.create import create_tracker
from sampt.types import Points, UInt8Array
from sampt.video.base import Video

TRACKERS = ("raft", "pips", "pips-pp", "tapir", "bootstapir-causal", "tapnext", "cotracker3-online")
_SEEDS = itertools.count()  # another clip every time: what is kept of equal frames would make the next run look fast
WARM_UP = 24  # frames: more than CoTracker's window, so that every shape of the long clip has been met


class Noise(Video):
    """Frames made when they are read: a long clip takes no memory here."""

    fps = 24.0

    def __init__(self, num_frames: int, size_hw: tuple[int, int], seed: int) -> None:
        self._num_frames, self._size_hw, self._seed = num_frames, size_hw, seed
        self._image = np.random.default_rng(seed).integers(0, 256, (*size_hw, 3), dtype=np.uint8)

    @property
    def num_frames(self) -> int:
        return self._num_frames

    @property
    def size_hw(self) -> tuple[int, int]:
        return self._size_hw

    def read(self, start: int, stop: int) -> UInt8Array:
        # Moved by another step each: no frame equals another one, whose features would be kept.
        return np.stack([np.roll(self._image, (k, 3 * k + k // self._size_hw[1]), (0, 1)) for k in range(start, stop)])


def main() -> int:
    args = parse_arguments()
    try:
        with running_on(args.device, args.tracker[0]) as torch_device:
            device, on_gpu = str(torch_device), torch_device.type == "cuda"
        text = torch.cuda.get_device_name(torch_device) if on_gpu else device
        print(f"{text}, PyTorch {torch.__version__}, frames of {args.size[0]}x{args.size[1]}")
        print("\n| tracker | points | precision | runtime | frames/s |\n|---|---|---|---|---|")
        for name in args.tracker:
            for precision in args.precision:
                for runtime in args.runtime:
                    tracker = create_tracker(name, weights=None, device=device, precision=precision, runtime=runtime)
                    for num_points in args.points:
                        rate = frames_per_second(tracker, args.frames, args.size, num_points, on_gpu=on_gpu)
                        print(f"| {name} | {num_points} | {precision} | {runtime} | {rate:.2f} |", flush=True)
        if on_gpu:
            short, long = args.memory_frames
            print(f"\n| tracker | GB, {short} frames | GB, {long} frames | ratio |\n|---|---|---|---|")
            for name in args.tracker:
                tracker = create_tracker(name, weights=None, device=device, precision="bfloat16")
                at = [peak_bytes(tracker, num_frames, args.size) / 1e9 for num_frames in (short, long)]
                print(f"| {name} | {at[0]:.2f} | {at[1]:.2f} | {at[1] / at[0]:.2f} |", flush=True)
    except SamptError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1 (default: auto)")
    parser.add_argument("--tracker", nargs="+", default=TRACKERS, help=f"(default: {' '.join(TRACKERS)})")
    parser.add_argument("--points", nargs="+", type=int, default=(16, 256), help="(default: 16 256)")
    parser.add_argument("--precision", nargs="+", default=("float32", "bfloat16"), help="(default: float32 bfloat16)")
    parser.add_argument("--runtime", nargs="+", default=("torch", "compiled"), help="(default: torch compiled)")
    parser.add_argument("--frames", type=int, default=96, help="that are timed (default: 96)")
    parser.add_argument("--memory-frames", nargs=2, type=int, default=(100, 1000), help="(default: 100 1000)")
    parser.add_argument("--size", nargs=2, type=int, default=(854, 480), metavar=("W", "H"), help="(default: 854 480)")
    return parser.parse_args()


def track_clip(tracker: PointTracker, num_frames: int, size_wh: tuple[int, int], num_points: int) -> None:
    width, height = size_wh
    xy = np.random.default_rng(0).uniform((8, 8), (width - 9, height - 9), (num_points, 2)).astype(np.float32)
    tracker.track(Noise(num_frames, (height, width), next(_SEEDS)), Points.of(1, 0, xy))


def frames_per_second(
    tracker: PointTracker, num_frames: int, size_wh: tuple[int, int], num_points: int, *, on_gpu: bool
) -> float:
    track_clip(tracker, min(WARM_UP, num_frames), size_wh, num_points)
    start = time.perf_counter()
    track_clip(tracker, num_frames, size_wh, num_points)
    if on_gpu:
        torch.cuda.synchronize()
    return num_frames / (time.perf_counter() - start)


def peak_bytes(tracker: PointTracker, num_frames: int, size_wh: tuple[int, int]) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    track_clip(tracker, num_frames, size_wh, 16)
    return torch.cuda.max_memory_allocated()


if __name__ == "__main__":
    sys.exit(main())
