"""Learned trackers against straightforward calls of the same networks: what is read, encoded and tracked only once. On the CPU.

    pip install 'sampt[torch]'
    python -m benchmarks.learned_trackers                    # all measures
    python -m benchmarks.learned_trackers --measure pips --frames 24

Weights are random, frames are noise; both say nothing about accuracy, and the same about time.
  pips        16 points on frame 0 of 60 frames of 144x256. Straightforward: one point and one window of eight frames at a time,
              whose features are made anew; the windows are linked by the same rule. At least 4 times faster.
  cotracker   16 points on frame 0 of 24 frames of 384x512, CoTracker3 offline. Straightforward: the clip forward and, for what
              would lie before the query, backward, features made for each. At least 1.8 times faster.
  raft        frames that `raft-small` encodes while it tracks points through 12 frames forward, and back from the last one:
              each once in either direction, and none again when the other direction follows.
Each is run once after a short clip to warm up; the locations of the points are compared, too.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable

import numpy as np
import torch

from sampt.backends.torch_networks import quicken
from sampt.trackers.cotracker.adapter import CoTracker
from sampt.trackers.cotracker.adapter import load_network as load_cotracker
from sampt.trackers.cotracker.network import STRIDE
from sampt.trackers.cotracker.windows import WindowPlan, whole_clip
from sampt.trackers.create import create_tracker
from sampt.trackers.pips.adapter import PipsTracker, next_links
from sampt.trackers.pips.adapter import load_network as load_pips
from sampt.trackers.pips.network import PipsNetwork
from sampt.trackers.raft.adapter import RaftTracker
from sampt.types import Points
from sampt.video.array import ArrayVideo

CPU = torch.device("cpu")
NUM_POINTS = 16
COTRACKER_ITERATIONS = 6
LIMITS = {"pips": 4.0, "cotracker": 1.8}
PIPS_HW, COTRACKER_HW, RAFT_HW = (144, 256), (384, 512), (128, 192)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status 1: a limit does not hold.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--measure", action="append", choices=list(MEASURES), help="repeatable (default: all)")
    parser.add_argument("--frames", type=int, help="of the clip (default: each measure's own)")
    args = parser.parse_args()
    print("| measure | frames | ours (s) | straightforward (s) | ratio | limit | locations differ by (px) |")
    print("|---|---|---|---|---|---|---|")
    held = [MEASURES[name](args.frames) for name in args.measure or MEASURES]
    return int(not all(held))


def noise(num_frames: int, size_hw: tuple[int, int]) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (num_frames, *size_hw, 3), dtype=np.uint8)


def points_on_first(size_hw: tuple[int, int]) -> np.ndarray:
    high = (size_hw[1] - 9, size_hw[0] - 9)
    return np.random.default_rng(0).uniform((8, 8), high, (NUM_POINTS, 2)).astype(np.float32)


def compared(
    name: str, frames: np.ndarray, ours: Callable[[np.ndarray], np.ndarray], theirs: Callable[..., np.ndarray]
) -> bool:
    """One row; both give (t, n, 2) locations."""
    ours(frames[:2]), theirs(frames[:2])
    start = time.perf_counter()
    found = ours(frames)
    middle = time.perf_counter()
    expected = theirs(frames)
    seconds, other = middle - start, time.perf_counter() - middle
    ratio, limit, difference = other / seconds, LIMITS[name], np.abs(found - expected).max()
    print(
        f"| {name} | {len(frames)} | {seconds:.2f} | {other:.2f} | {ratio:.1f} | at least {limit:g} | {difference:.4f} |",
        flush=True,
    )
    return ratio >= limit


# ---- PIPS ------------------------------------------------------------------------------------------------------------------


def pips(num_frames: int | None) -> bool:
    network = load_pips(None)
    quicken(network)
    # Random steps magnify the last digit to pixels; smaller ones do not, and take as long.
    last = network.delta_block.to_delta[-1]
    last.weight *= 0.01
    last.bias *= 0.01
    xy = points_on_first(PIPS_HW)
    tracker = PipsTracker(network, CPU)
    return compared(
        "pips",
        noise(num_frames or 60, PIPS_HW),
        lambda frames: tracker.track(ArrayVideo(frames), Points.of(1, 0, xy)).xy,
        lambda frames: one_by_one(network, frames, xy),
    )


@torch.inference_mode()
def one_by_one(network: PipsNetwork, frames: np.ndarray, xy: np.ndarray, iterations: int = 6) -> np.ndarray:
    """(t, n, 2) of points on frame 0."""
    last, length = len(frames) - 1, network.sizes.frames
    out = np.broadcast_to(xy, (len(frames), *xy.shape)).astype(np.float32)
    for k in range(len(xy)):
        here, template = 0, None
        while here < last:
            window = np.arange(here, here + length)
            images = torch.from_numpy(frames[np.minimum(window, last)]).permute(0, 3, 1, 2).float()
            pyramid, at, location = network.encode(images), torch.arange(length)[None], torch.from_numpy(out[here, k][None])
            template = network.features_at(pyramid, at[:, 0], location) if template is None else template
            found = network.track(pyramid, at, location, template, iterations)
            is_real = window[1:] <= last
            out[window[1:][is_real], k] = found.xy[0, 1:][torch.from_numpy(is_real)].numpy()
            here += int(next_links(found.visibility[0, None, 1:].sigmoid().numpy(), is_real[None])[0])
    return out


# ---- CoTracker3 ------------------------------------------------------------------------------------------------------------


def cotracker(num_frames: int | None) -> bool:
    network = load_cotracker("cotracker3-offline", None)
    tracker = CoTracker("cotracker3-offline", network, CPU)
    xy = points_on_first(COTRACKER_HW)
    return compared(
        "cotracker",
        noise(num_frames or 24, COTRACKER_HW),
        lambda frames: tracker.track(ArrayVideo(frames), Points.of(1, 0, xy)).xy,
        lambda frames: bidirectional(network, frames, xy),
    )


@torch.inference_mode()
def bidirectional(network: torch.nn.Module, frames: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """(t, n, 2) of points on frame 0; the backward pass, in which they lie on the last frame, changes nothing."""
    images, plan = torch.from_numpy(frames).permute(0, 3, 1, 2).float(), WindowPlan.offline(len(frames))
    found = []
    for clip, frame_idx in ((images, 0), (images.flip(0), len(frames) - 1)):
        prompt_frames = torch.full((len(xy),), frame_idx)
        found.append(whole_clip(network, plan, clip, torch.from_numpy(xy), prompt_frames, COTRACKER_ITERATIONS))
    out = (found[0].xy * STRIDE).transpose(0, 1).numpy().copy()
    out[0] = xy
    return np.clip(out, 0, np.array(frames.shape[2:0:-1]) - 1)


# ---- RAFT ------------------------------------------------------------------------------------------------------------------


def raft(num_frames: int | None) -> bool:
    frames = noise(num_frames or 12, RAFT_HW)
    xy, last = points_on_first(RAFT_HW), len(frames) - 1
    holds = True
    for text, frame_idx, expected in (("forward", 0, len(frames)), ("backward", last, len(frames)), ("forward after it", 0, 0)):
        if text != "forward after it":
            tracker = create_tracker("raft-small", weights=None, device="cpu")
            assert isinstance(tracker, RaftTracker)
            encoded = counted(tracker)
        encoded.clear()
        tracker.track(ArrayVideo(frames), Points.of(1, frame_idx, xy))
        holds &= len(encoded) == len(set(encoded)) == expected
        print(
            f"| raft {text} | {len(frames)} | {len(encoded)} encoded | {len(set(encoded))} different | | {expected} | |",
            flush=True,
        )
    return holds


def counted(tracker: RaftTracker) -> list[bytes]:
    """The frames that the tracker encodes from now on."""
    encoded: list[bytes] = []
    encode = tracker.encode
    tracker.encode = lambda frame: encoded.append(frame.tobytes()) or encode(frame)  # type: ignore[method-assign, func-returns-value]
    return encoded


MEASURES = {"pips": pips, "cotracker": cotracker, "raft": raft}

if __name__ == "__main__":
    sys.exit(main())
