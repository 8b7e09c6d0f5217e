"""Speed of the bundled segmenter `nano` against the image encoder of MobileSAM, both run by ONNX Runtime on the CPU.

    pip install torch onnx 'kornia>=0.9'
    python -m benchmarks.segmenter_speed                   # DAVIS in ../shared/davis beside the repository

What it shows: the mask of one object on a frame of 854x480 (encode and decode, logits at the frame's size) is to take at most a
tenth of the time of that encoder alone, five objects at most three times the time of one, and the saliency network is to
make `nano` at most 3.5 times as slow as `nano-fast`.

The encoder: TinyViT-5M with SAM's neck at its official input of 1024x1024, as kornia builds it, with random weights, which take
as long as trained ones. Its time is that of the network alone; reading, resizing and normalising the image are left out.

One object: the camel on the first frame of its sequence, 16 positive and 16 negative random points of the ground-truth mask.
Five
objects: the camel and four copies of its mask moved to the middles of the frame's quarters and cut where they leave the frame,
each with points of its own. The moved ones follow nothing in the image; they stand for objects of that size elsewhere. Since
`nano` encodes a small object's window by itself and shares the frame's features among large ones, all is repeated with the
masks shrunk to a quarter. Every time is that of a frame not seen before: nothing that was encoded is used again. `encode` alone
is the first window's size; what else of the frame is needed, `nano` encodes while it decodes.

Everything is called in turn, in one process with ONNX Runtime's default threads, and medians over the rounds are compared.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime

from benchmarks.segmenter import gt_points
from sampt.errors import SamptError
from sampt.evaluation.datasets import davis_sequences, select_sequences
from sampt.segmenters.base import PromptableSegmenter
from sampt.segmenters.create import create_segmenter
from sampt.types import ObjectPrompt

DAVIS = Path(__file__).resolve().parents[2] / "shared" / "davis"
LIMIT_ENCODER_OVER_ONE = 10.0
LIMIT_SALIENCY = 3.5
LIMIT_FIVE_OVER_ONE = 3.0

POINTS = 16
"""Positive points of an object, and as many negative ones."""
SMALL = 0.25
"""Size of the small objects, over the camel's."""
QUARTERS = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
"""Centres of the four copies, over the frame's width and height."""

ENCODER_SIDE = 1024
ENCODER_OUTPUT = (1, 256, 64, 64)
MEAN, DEVIATION = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)
"""SAM's normalisation of RGB from 0 to 255."""

PAUSE_S = 0.05
"""Before each call, for the threads of the session called last to stop waiting for more work, which takes a core."""

ENCODER, ENCODE, GRABCUT = "TinyViT-5M encoder, 1024x1024", "nano: encode alone", "grabcut: one object"
SIZES = {"the camel's size": 1.0, f"{SMALL:g} of it": SMALL}


# ---- what is prompted
# ---------------------------------------------------------------------------------------------------------


def placed(mask: np.ndarray, scale: float, centre_xy: tuple[float, float]) -> np.ndarray:
    """The mask shrunk to ``scale``, the centre of its box moved to ``centre_xy`` pixels; what leaves the frame is cut."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    from_xy = x + width / 2, y + height / 2
    matrix = np.array([[scale, 0, centre_xy[0] - scale * from_xy[0]], [0, scale, centre_xy[1] - scale * from_xy[1]]])
    return cv2.warpAffine(mask.astype(np.uint8), matrix, mask.shape[::-1], flags=cv2.INTER_NEAREST) > 0


def five_prompts(mask: np.ndarray, scale: float, rng: np.random.Generator) -> list[ObjectPrompt]:
    """Of the object where it is, and of its four copies."""
    x, y, width, height = cv2.boundingRect(mask.astype(np.uint8))
    centres = [(x + width / 2, y + height / 2), *((u * mask.shape[1], v * mask.shape[0]) for u, v in QUARTERS)]
    prompts = []
    for k, centre in enumerate(centres, start=1):
        drawn = gt_points(placed(mask, scale, centre), POINTS, POINTS, 0.0, rng)
        prompts.append(ObjectPrompt(k, drawn.xy, drawn.is_positive))
    return prompts


def predict_masks(segmenter: PromptableSegmenter, frame: np.ndarray, prompts: list[ObjectPrompt]) -> None:
    """Encode the frame and decode all prompts, logits at its size."""
    for prediction in segmenter.decode(segmenter.encode(frame[None])[0], prompts):
        assert prediction.logits is not None, "the predictions are to be timed at the frame's size"


# ---- the encoder it is compared with ---------------------------------------------------------------------------------------


def encoder_input(frame: np.ndarray) -> np.ndarray:
    """(1, 3, 1024, 1024) as SAM prepares it: longest side 1024, normalised, padded with 0 at the right and below."""
    scale = ENCODER_SIDE / max(frame.shape[:2])
    resized = cv2.resize(frame, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    out = np.zeros((1, 3, ENCODER_SIDE, ENCODER_SIDE), np.float32)
    normalised = (resized.astype(np.float32) - np.float32(MEAN)) / np.float32(DEVIATION)
    out[0, :, : resized.shape[0], : resized.shape[1]] = normalised.transpose(2, 0, 1)
    return out


def tiny_vit_session(image: np.ndarray) -> tuple[onnxruntime.InferenceSession, int]:
    """MobileSAM's encoder in ONNX Runtime, checked to give what it does in PyTorch, and its number of parameters.

    Raises:
        ImportError: PyTorch or kornia is missing.
    """
    import torch
    from kornia.models.tiny_vit import TinyViT

    torch.manual_seed(0)
    model = TinyViT.from_config("5m", img_size=ENCODER_SIDE, mobile_sam=True).eval()
    unused = ("norm_head.", "head.")  # the classifier, which MobileSAM does not call
    count = sum(value.numel() for name, value in model.named_parameters() if not name.startswith(unused))
    with tempfile.TemporaryDirectory() as folder, torch.inference_mode():
        path = Path(folder) / "tiny_vit.onnx"
        expected = model(torch.from_numpy(image)).numpy()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of the exporter: its age, and shapes that tracing makes constant, as they are
            torch.onnx.export(
                model, (torch.from_numpy(image),), str(path), dynamo=False, opset_version=17, input_names=["image"]
            )
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3  # as in sampt.segmenters.nano; all that touches speed is left at its default
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    got = session.run(None, {"image": image})[0]
    error = float(np.abs(got - expected).max()) if got.shape == expected.shape else float("inf")
    if got.shape != ENCODER_OUTPUT or not error < 1e-3 * float(np.abs(expected).max()):
        raise SystemExit(
            f"The exported encoder gave {got.shape}, {error:.2g} off PyTorch's {expected.shape}; expected {ENCODER_OUTPUT} and "
            f"the same values. Try kornia 0.9.0, which this script was written for, instead of {version('kornia')}."
        )
    return session, count


# ---- measuring -------------------------------------------------------------------------------------------------------------


def measure(calls: dict[str, Callable[[], object]], steps: int) -> dict[str, list[float]]:
    """Milliseconds of every call in every round, after one that does not count."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for k in range(steps + 1):
        for name, call in calls.items():
            time.sleep(PAUSE_S)
            start_s = time.perf_counter()
            call()
            if k:
                times[name].append((time.perf_counter() - start_s) * 1e3)
    return times


def compute_ratios(times: dict[str, list[float]]) -> list[dict[str, Any]]:
    """For each size of object, the two ratios of medians, their limits and whether they hold."""
    ms = {name: statistics.median(values) for name, values in times.items()}
    rows: list[dict[str, Any]] = []
    for size in SIZES:
        one, five = ms[row_name(1, size)], ms[row_name(5, size)]
        what, ratio, limit = f"TinyViT-5M encoder / one object, {size}", ms[ENCODER] / one, LIMIT_ENCODER_OVER_ONE
        rows.append({"what": what, "ratio": ratio, "limit": f"at least {limit:g}", "holds": ratio >= limit})
        what, ratio, limit = f"five objects / one, {size}", five / one, LIMIT_FIVE_OVER_ONE
        rows.append({"what": what, "ratio": ratio, "limit": f"at most {limit:g}", "holds": ratio <= limit})
        what, ratio, limit = f"nano / nano-fast, one object, {size}", one / ms[f"nano-fast: one object, {size}"], LIMIT_SALIENCY
        rows.append({"what": what, "ratio": ratio, "limit": f"at most {limit:g}", "holds": ratio <= limit})
    return rows


def row_name(count: int, size: str) -> str:
    return f"nano: {'one object' if count == 1 else 'five objects'}, {size}"


def to_markdown(times: dict[str, list[float]], ratios: list[dict[str, Any]], setting: dict[str, Any]) -> str:
    lines = ["| what | median (ms) | range (ms) |", "|---|---|---|"]
    for name, values in times.items():
        lines.append(f"| {name} | {statistics.median(values):.1f} | {min(values):.1f}-{max(values):.1f} |")
    lines += ["", "| ratio of medians | measured | limit | holds |", "|---|---|---|---|"]
    for row in ratios:
        lines.append(f"| {row['what']} | {row['ratio']:.2f} | {row['limit']} | {'yes' if row['holds'] else 'no'} |")
    lines += ["", "rounds: {steps}; {frame}; {cores} cores; encoder of {encoder_parameters} parameters".format(**setting)]
    lines += ["; ".join(f"{name} {number}" for name, number in setting["versions"].items())]
    return "\n".join(lines)


def main() -> int:
    args = parse_arguments()
    try:
        sequence = select_sequences(davis_sequences(args.davis), ["camel"])[0]
        frame, mask = sequence.open().read(0, 1)[0], sequence.label_map(0) > 0
    except SamptError as error:
        print(f"{error} Name DAVIS's folder with --davis.", file=sys.stderr)
        return 2
    image = encoder_input(frame)
    try:
        session, parameters = tiny_vit_session(image)
    except ImportError as error:
        print(f"The encoder to compare with is missing ({error}). Run: pip install torch onnx 'kornia>=0.9'", file=sys.stderr)
        return 2
    nano, grabcut = create_segmenter("nano", device="cpu"), create_segmenter("grabcut")
    fast = create_segmenter("nano-fast", device="cpu")
    rng = np.random.default_rng(0)
    prompts = {size: five_prompts(mask, scale, rng) for size, scale in SIZES.items()}

    calls: dict[str, Callable[[], object]] = {ENCODER: lambda: session.run(None, {"image": image})}
    for size, five in prompts.items():
        for count in (1, 5):
            calls[row_name(count, size)] = lambda prompted=five[:count]: predict_masks(nano, frame, prompted)
        calls[f"nano-fast: one object, {size}"] = lambda prompted=five[:1]: predict_masks(fast, frame, prompted)
    calls[ENCODE] = lambda: nano.encode(frame[None])
    calls[GRABCUT] = lambda: predict_masks(grabcut, frame, next(iter(prompts.values()))[:1])
    times = measure(calls, args.steps)

    setting = {
        "steps": args.steps,
        "frame": f"camel 00000, {frame.shape[1]}x{frame.shape[0]}",
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "encoder_parameters": parameters,
        "versions": {name: version(name) for name in ("sampt", "onnxruntime", "kornia", "torch", "numpy")},
    }
    ratios = compute_ratios(times)
    print(to_markdown(times, ratios, setting))
    if args.json:
        args.json.write_text(json.dumps({"setting": setting, "times_ms": times, "ratios": ratios}, indent=1) + "\n")
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--davis", type=Path, default=DAVIS, help="folder with ImageSets, JPEGImages and Annotations")
    parser.add_argument("--steps", type=int, default=7, help="calls of each that count, taking turns")
    parser.add_argument("--json", type=Path, help="write every time and the ratios there too")
    args = parser.parse_args()
    if args.steps < 1:
        parser.error(f"--rounds is {args.steps}, expected 1 or more")
    return args


if __name__ == "__main__":
    sys.exit(main())
