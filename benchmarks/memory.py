"""Memory: peak resident memory of `sampt segment` with three objects at 854x480 on a short and on a long clip.

Examples:
    python -m benchmarks.memory                       # 250 and 1000 frames, default preset and outputs

The clip is the demo scene played forward and backward over and over, so that both lengths show the same images.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from sampt.runs.record import peak_memory_bytes
from sampt.testing.scenes import demo_scene
from sampt.video.writer import VideoWriter

SIZE_HW = (480, 854)
CYCLE_FRAMES = 60
LIMIT_MB = 700
LIMIT_RATIO = 1.10


@dataclass(frozen=True)
class Peak:
    num_frames: int
    megabytes: float
    seconds: float


def main() -> int:
    args = parse_arguments()
    with tempfile.TemporaryDirectory() as folder:
        peaks = [measure(Path(folder), n, args.options) for n in sorted(args.frames)]
    print("| frames | peak resident memory (MB) | frames/s |\n|---|---|---|")
    for peak in peaks:
        print(f"| {peak.num_frames} | {peak.megabytes:.0f} | {peak.num_frames / peak.seconds:.1f} |")
    ratio = peaks[-1].megabytes / peaks[0].megabytes
    holds = ratio <= LIMIT_RATIO and peaks[-1].megabytes < LIMIT_MB
    print(f"\nratio {ratio:.3f} (limit {LIMIT_RATIO}), limit {LIMIT_MB} MB: {'holds' if holds else 'DOES NOT HOLD'}")
    return 0 if holds else 1


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status 1: a limit does not hold.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[250, 1000], help="lengths of the clip")
    parser.add_argument("options", nargs="*", help="further options of `sampt segment`, after --")
    return parser.parse_args()


def measure(folder: Path, num_frames: int, options: list[str]) -> Peak:
    """Run the command on a clip of ``num_frames``."""
    clip, mask = folder / f"clip-{num_frames}.mp4", folder / "mask.png"
    # In a process of its own: on Linux a child's peak starts at what its parent held when it was started.
    maker = multiprocessing.get_context("spawn").Process(target=make_clip, args=(clip, mask, num_frames))
    maker.start()
    maker.join()
    if maker.exitcode:
        raise SystemExit(f"The clip of {num_frames} frames could not be made; its error is above.")
    sampt = Path(sys.executable).with_name("sampt")
    command = [sampt, "segment", clip, "--mask", mask, "--output", folder / f"out-{num_frames}", "--quiet", *options]
    start_s = time.perf_counter()
    process = subprocess.Popen([str(part) for part in command])
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"sampt segment ended with status {process.returncode}; expected 0. Its message is above.")
    return Peak(num_frames, usage.ru_maxrss * 1024 / 1e6, time.perf_counter() - start_s)


def peak_megabytes() -> float:
    """The most resident memory that this process has held so far."""
    return (peak_memory_bytes() or 0) / 1e6


def make_clip(clip: Path, mask: Path, num_frames: int) -> None:
    """Write the clip, and the label map of the three objects on its first frame."""
    scene = demo_scene(CYCLE_FRAMES, SIZE_HW)
    frames = [scene.frame(i) for i in range(CYCLE_FRAMES)]
    there_and_back = frames + frames[-2:0:-1]
    with VideoWriter(clip, scene.fps, SIZE_HW) as writer:
        for i in range(num_frames):
            writer.write(there_and_back[i % len(there_and_back)])
    ids = np.arange(1, scene.num_objects + 1, dtype=np.uint8)
    Image.fromarray((scene.masks(0) * ids[:, None, None]).sum(0).astype(np.uint8)).save(mask)


if __name__ == "__main__":
    sys.exit(main())
