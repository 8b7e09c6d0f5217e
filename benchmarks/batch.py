"""Many short clips by one worker and by two, in one run: the ratio of their times, and whether the results are the same bytes.

    python -m benchmarks.batch                       # 200 clips of 8 frames, cut from ../shared/davis
    python -m benchmarks.batch --clips 40 --frames 4

Clips are stretches of DAVIS sequences at a quarter of their size, with the first frame's annotation as query. Each worker has
one thread. At least 1.7 times faster.
"""

from __future__ import annotations

import argparse
import hashlib
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

LIMIT = 1.7
MIN_PIXELS = 30
SIZE = (214, 120)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, default=Path(__file__).resolve().parents[2] / "shared" / "davis")
    parser.add_argument("--clips", type=int, default=200)
    parser.add_argument("--frames", type=int, default=8)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        clips, root = Path(folder) / "clips", Path(folder)
        count = cut(arguments.davis, clips, arguments.clips, arguments.frames)
        seconds = {workers: timed(clips, root / f"by{workers}", workers) for workers in (1, 2)}
        same = digest(root / "by1") == digest(root / "by2")
    ratio = seconds[1] / seconds[2]
    print(
        "| clips | frames each | one worker (s) | two workers (s) | ratio | limit | same bytes |\n|---|---|---|---|---|---|---|"
    )
    times = " | ".join(f"{s:.1f}" for s in seconds.values())
    print(f"| {count} | {arguments.frames} | {times} | {ratio:.2f} | at least {LIMIT} | {'yes' if same else 'no'} |")
    return int(ratio < LIMIT or not same)


def cut(davis: Path, clips: Path, count: int, num_frames: int) -> int:
    """Fill the folder with clips, every one from another location, as long as there are frames; they may overlap."""
    sequences = sorted((davis / "JPEGImages" / "480p").iterdir())
    starts = [
        (sequence, frames, i)
        for step in range(0, 400, max(1, num_frames // 4))
        for sequence in sequences
        for frames in (sorted(sequence.glob("*.jpg")),)
        for i in (step,)
        if i + num_frames <= len(frames)
    ]
    clips.mkdir()
    made = 0
    for sequence, frames, i in starts:
        annotation = davis / "Annotations" / "480p" / sequence.name / f"{frames[i].stem}.png"
        mask = Image.fromarray((np.asarray(Image.open(annotation)) > 0).astype(np.uint8)).resize(SIZE, Image.Resampling.NEAREST)
        if np.count_nonzero(mask) < MIN_PIXELS:
            continue
        name = f"{sequence.name}-{i:03d}"
        (clips / name).mkdir()
        for frame in frames[i : i + num_frames]:
            Image.open(frame).resize(SIZE, Image.Resampling.BOX).save(clips / name / frame.name, quality=92)
        mask.save(clips / f"{name}.png")
        made += 1
        if made == count:
            break
    return made


def timed(clips: Path, output: Path, workers: int) -> float:
    command = [sys.executable, "-m", "sampt", "batch", str(clips), "-o", str(output), "--quiet"]
    start = time.perf_counter()
    subprocess.run([*command, "--workers", str(workers), "--threads", "1"], check=True)
    return time.perf_counter() - start


def digest(output: Path) -> str:
    """Of all results but run.json, which tells times."""
    total = hashlib.sha256()
    for path in sorted(p for p in output.rglob("*") if p.is_file() and not p.name.startswith(("run.json", "batch.json"))):
        total.update(str(path.relative_to(output)).encode() + hashlib.sha256(path.read_bytes()).digest())
    return total.hexdigest()


if __name__ == "__main__":
    sys.exit(main())
