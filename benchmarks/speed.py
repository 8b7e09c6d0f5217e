"""Speed: wall time of the whole command `sampt segment` against that of the bare library calls it needs, on the same frames.

Examples:
    python -m benchmarks.speed                        # camel of ../shared/davis, all outputs

Both are processes of their own, from the start of the interpreter to its end, run alternately; medians are compared. The bare
calls of a frame: read it, dense flow from the frame before and back at the size of the frame (OpenCV), and
the two looks of the bundled network at one object, with the encoding that they need (ONNX Runtime).
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
import onnxruntime

from sampt.presets import PRESETS
from sampt.segmenters.nano import BUNDLED_WEIGHTS

DAVIS = Path(__file__).resolve().parents[2] / "shared" / "davis"
LIMIT_RATIO = 1.5
TRACKER = ("--tracker", "dis-flow", "--no-reinit-keep-queries", "--no-reinit-backward-consistency")
"""What the bare calls stand for; the rest is the default preset."""

# What sampt.segmenters.nano requests of the network on most frames of camel in the default preset: to be changed together with
# it.
ENCODED_HW = ((144, 256),)  # both looks share it
WINDOW_SIDES = (128, 160)
POINTS = 128


def main() -> int:
    args = parse_arguments()
    frames, mask = DAVIS / "JPEGImages" / "480p" / args.sequence, DAVIS / "Annotations" / "480p" / args.sequence / "00000.png"
    frames, mask = args.frames or frames, args.mask or mask
    if args.bare:
        bare_calls(sorted(frames.glob("*.jpg")), args.longest_side)
        return 0
    bare = [sys.executable, __file__, "--bare", "--frames", str(frames)]
    if PRESETS["default"].longest_side is not None:
        bare += ["--longest-side", str(PRESETS["default"].longest_side)]
    whole_s, bare_s = [], []
    for _ in range(args.repeats):
        with tempfile.TemporaryDirectory() as folder:
            sampt = str(Path(sys.executable).with_name("sampt"))
            whole = [
                sampt,
                "segment",
                str(frames),
                "--mask",
                str(mask),
                "--output",
                f"{folder}/out",
                "--quiet",
                *TRACKER,
                *args.options,
            ]
            whole_s.append(timed(whole))
        bare_s.append(timed(bare))
    print(to_markdown(frames, whole_s, bare_s))
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sequence", default="camel", help="a sequence of ../shared/davis")
    parser.add_argument("--frames", type=Path, help="folder of JPEG frames, instead of a sequence")
    parser.add_argument("--mask", type=Path, help="label map of the first of --frames")
    parser.add_argument("--repeats", type=int, default=3, help="runs of each, alternating")
    parser.add_argument("--bare", action="store_true", help="only make the bare calls, once: what the timed process does")
    parser.add_argument("--longest-side", type=int, help="with --bare: size of the flow (default: that of the frames)")
    parser.add_argument("options", nargs="*", help="further options of `sampt segment`, after --")
    return parser.parse_args()


def bare_calls(frame_paths: list[Path], longest_side: int | None) -> None:
    """What OpenCV and ONNX Runtime have to do for the default preset, with nothing around it."""
    flow = cv2.DISOpticalFlow.create(cv2.DISOPTICAL_FLOW_PRESET_MEDIUM)
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # as sampt does: it would slow the flow
    encoder, decoder = (
        onnxruntime.InferenceSession(str(BUNDLED_WEIGHTS / f"{half}.onnx"), options) for half in ("encoder", "decoder")
    )
    images = [np.zeros((1, 3, *size_hw), np.float32) for size_hw in ENCODED_HW]
    windows = [decoder_inputs(encoder, side) for side in WINDOW_SIDES]
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
        for image in images:
            encoder.run(None, {"picture": image})
        for window in windows:
            decoder.run(None, window)


def decoder_inputs(encoder: onnxruntime.InferenceSession, side: int) -> dict[str, np.ndarray]:
    """Inputs of the right shapes: how long a network takes does not depend on the values."""
    features = encoder.run(None, {"picture": np.zeros((1, 3, side, side), np.float32)})
    quarter = (1, 1, side // 4, side // 4)
    rng = np.random.default_rng(0)
    return dict(zip(("stem", "fine", "middle", "coarse"), features, strict=True)) | {
        "inside": np.ones(quarter, np.float32),
        "points_xy": rng.uniform(0, side, (1, POINTS, 2)).astype(np.float32),
        "labels": (np.arange(POINTS) % 2).astype(np.float32)[None],
        "box": np.zeros((1, 4), np.float32),
        "previous": rng.random(quarter, np.float32),
        "has_previous": np.ones(1, np.float32),
    }


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
