"""Many objects: peak resident memory and time of `segment_video` at 640x360, a click each, preset `default`.

Examples:
    python -m benchmarks.objects                          # 5, 10, 20 and 40 objects on 20 frames
    python -m benchmarks.objects --objects 100 --frames 20
    python -m benchmarks.objects --davis ../shared/davis  # frames per second with 1, 3 and 7 objects

The clip is one image seen by a camera that moves two pixels a frame; the clicks lie on a grid. Frames per second are those of
the first 24 frames of DAVIS' camel (854x480), its mask on the first one cut into upright parts of equal area; networks are
loaded and have run before.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

import sampt
from benchmarks.memory import peak_megabytes
from sampt.evaluation.datasets import davis_sequences
from sampt.presets import PRESETS

SIZE_HW = (360, 640)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--objects", type=int, nargs="+", default=[5, 10, 20, 40], help="numbers of objects")
    parser.add_argument("--frames", type=int, default=20, help="length of the clip")
    parser.add_argument("--alone", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--davis", type=Path, help="measure frames per second on this DAVIS folder's camel instead")
    args = parser.parse_args()
    if args.davis:
        measure_speed(args.davis)
        return 0
    if args.alone:
        measure(args.objects[0], args.frames)
        return 0
    print("| objects | peak resident memory (MB) | processor seconds |\n|---|---|---|", flush=True)
    for count in args.objects:  # each in a process of its own: a peak never falls
        subprocess.run([sys.executable, __file__, "--alone", "--objects", str(count), "--frames", str(args.frames)], check=True)
    return 0


def measure(count: int, num_frames: int) -> None:
    clip = moving(num_frames)
    side = int(np.ceil(np.sqrt(count)))
    grid = np.meshgrid(np.linspace(40, SIZE_HW[1] - 41, side), np.linspace(40, SIZE_HW[0] - 41, side))
    xy = np.stack(grid, -1).reshape(-1, 2)[:count]
    clicks = sampt.Points(xy, np.zeros(count, np.int64), np.arange(1, count + 1), np.ones(count, np.bool_))
    results = sampt.segment_video(clip, clicks, config=PRESETS["default"])
    num_results = sum(result.masks.shape[0] for result in results)
    assert num_results == count * num_frames
    peak_mb = peak_megabytes()
    print(f"| {count} | {peak_mb:.0f} | {time.process_time():.0f} |", flush=True)


def measure_speed(davis: Path, counts: Sequence[int] = (1, 3, 7), num_frames: int = 24) -> None:
    (camel,) = (s for s in davis_sequences(davis) if s.name == "camel")
    video, mask = camel.open(), camel.label_map(0) > 0
    frames = np.concatenate([video.read(i, i + 1) for i in range(num_frames)])
    tracker, segmenter = sampt.create_tracker("nano"), sampt.create_segmenter("nano")
    columns = np.sort(np.nonzero(mask)[1])
    print("| objects | frames per second |\n|---|---|", flush=True)
    for k, count in enumerate((1, *counts)):
        edges = columns[np.linspace(0, len(columns) - 1, count + 1).astype(int)]
        part = np.searchsorted(edges[1:-1], np.arange(mask.shape[1]), side="right")
        queries = [sampt.QueryMask(i + 1, 0, mask & (part == i)) for i in range(count)]
        start = time.perf_counter()
        results = list(sampt.segment_video(frames, queries, tracker=tracker, segmenter=segmenter, config=PRESETS["default"]))
        seconds = time.perf_counter() - start
        assert len(results[-1].masks) == count
        if k:  # the first time is not counted
            print(f"| {count} | {num_frames / seconds:.1f} |", flush=True)


def moving(num_frames: int) -> np.ndarray:
    """(t, h, w, 3) uint8: an image with detail at several scales, like no photo in particular."""
    rng = np.random.default_rng(3)
    size_wh = (SIZE_HW[1] + 2 * num_frames, SIZE_HW[0] + num_frames)
    image = np.zeros((*size_wh[::-1], 3), np.float32)
    for cells, weight in ((4, 70), (10, 50), (28, 40), (70, 20)):
        noise = rng.normal(size=(cells, cells * 2, 3)).astype(np.float32)
        image += weight * cv2.resize(noise, size_wh, interpolation=cv2.INTER_CUBIC)
    whole = np.clip(image * 0.6 + 128, 0, 255).astype(np.uint8)
    return np.stack([whole[i : i + SIZE_HW[0], 2 * i : 2 * i + SIZE_HW[1]] for i in range(num_frames)])


if __name__ == "__main__":
    sys.exit(main())
