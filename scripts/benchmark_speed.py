"""Speed: wall time of the whole command `sampt segment` against that of the bare OpenCV calls it needs, on the same frames.

Examples:
    python scripts/benchmark_speed.py                        # camel of ../shared/davis, default preset and outputs

Both are processes of their own, from the start of the interpreter to its end, run alternately; medians are compared. The bare
calls of a frame: read it, dense flow from the frame before and back at the size that the default preset works at, and the
graph cut at the segmenter's.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from sampt.config import PRESETS

DAVIS = Path(__file__).resolve().parents[2] / "shared" / "davis"
LIMIT_RATIO = 1.5

# What sampt.segmenters.grabcut asks of the graph cut, once a frame in the default preset: to be changed together with it.
CUT_LONGEST_SIDE = 256
CUT_MARGIN = 0.1
"""How far the window of the cut reaches beyond the object, as a share of the frame's diagonal."""


def main() -> int:
    args = parse_arguments()
    frames, mask = DAVIS / "JPEGImages" / "480p" / args.sequence, DAVIS / "Annotations" / "480p" / args.sequence / "00000.png"
    frames, mask = args.frames or frames, args.mask or mask
    if args.bare:
        bare_calls(sorted(frames.glob("*.jpg")), mask, args.longest_side)
        return 0
    bare = [sys.executable, __file__, "--bare", "--frames", str(frames), "--mask", str(mask)]
    if PRESETS["default"].longest_side is not None:
        bare += ["--longest-side", str(PRESETS["default"].longest_side)]
    whole_s, bare_s = [], []
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as folder:
            sampt = str(Path(sys.executable).with_name("sampt"))
            whole = [sampt, "segment", str(frames), "--mask", str(mask), "--output", f"{folder}/out", "--quiet", *args.options]
            whole_s.append(timed(whole))
        bare_s.append(timed(bare))
    print(to_markdown(frames, whole_s, bare_s))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence", default="camel", help="a sequence of ../shared/davis")
    parser.add_argument("--frames", type=Path, help="folder of JPEG frames, in place of a sequence")
    parser.add_argument("--mask", type=Path, help="label map of the first of --frames")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, alternating")
    parser.add_argument("--bare", action="store_true", help="only make the bare calls, once: what the timed process does")
    parser.add_argument("--longest-side", type=int, help="with --bare: size of the flow (default: that of the frames)")
    parser.add_argument("options", nargs="*", help="further options of `sampt segment`, after --")
    return parser.parse_args()


def bare_calls(frame_paths: list[Path], mask_path: Path, longest_side: int | None) -> None:
    """What OpenCV has to do for the default preset, with nothing around it."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    mask = cv2.imread(str(mask_path), cv2.IMREAD_GRAYSCALE)
    last = None
    for path in frame_paths:
        frame = cv2.imread(str(path))
        if longest_side is not None:
            scale = longest_side / max(frame.shape)
            frame = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        grey = cv2.cvtColor(frame, cv2.COLOR_BGR2GRAY)
        if last is not None:
            flow.calc(last, grey, None)
            flow.calc(grey, last, None)
        last = grey
        graph_cut(frame, mask)


def graph_cut(frame: np.ndarray, mask: np.ndarray) -> None:
    """One minimum cut at the segmenter's working size, in a window of the object's size, with given models."""
    scale = CUT_LONGEST_SIDE / max(frame.shape)
    small = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    prior = cv2.resize(mask, small.shape[1::-1], interpolation=cv2.INTER_NEAREST) > 0
    grow = round(CUT_MARGIN * float(np.hypot(*prior.shape)))
    x, y, width, height = cv2.boundingRect(prior.astype(np.uint8))
    window = (slice(max(0, y - grow), y + height + grow), slice(max(0, x - grow), x + width + grow))
    labels = np.where(prior[window], cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    cv2.grabCut(np.ascontiguousarray(small[window]), labels, None, model(90), model(160), 1, cv2.GC_EVAL_FREEZE_MODEL)


def model(mean: float) -> np.ndarray:
    """A colour model of one broad Gaussian, in OpenCV's layout."""
    values = np.zeros((1, 65))
    values[0, 0] = 1
    values[0, 5:8] = mean
    values[0, 20:] = np.tile(np.eye(3) * 2000, (5, 1, 1)).ravel()
    return values


def timed(command: list[str]) -> float:
    """Seconds that ``command`` takes; it must succeed."""
    start_s = time.perf_counter()
    status = subprocess.run(command, check=False).returncode
    if status:
        raise SystemExit(f"{' '.join(command)} ended with status {status}; expected 0. Its message is above.")
    return time.perf_counter() - start_s


def to_markdown(frames: Path, whole_s: list[float], bare_s: list[float]) -> str:
    whole, bare = statistics.median(whole_s), statistics.median(bare_s)
    count = len(list(frames.glob("*.jpg")))
    return (
        f"| clip | frames | sampt segment (s) | bare calls (s) | ratio (limit {LIMIT_RATIO}) |\n|---|---|---|---|---|\n"
        f"| {frames.name} | {count} | {whole:.2f} ({min(whole_s):.2f}-{max(whole_s):.2f}) "
        f"| {bare:.2f} ({min(bare_s):.2f}-{max(bare_s):.2f}) | {whole / bare:.2f} |"
    )


if __name__ == "__main__":
    sys.exit(main())
