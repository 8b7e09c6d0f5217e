"""What a frame costs on the CPU: two presets, and SAM 2.1 tiny for video of `transformers`, on the same frames.

    pip install 'sampt[sam]'
    python -m benchmarks.peers                                 # 24 frames of 854x480, one and three objects
    python -m benchmarks.peers --frames-of FOLDER --mask LABELS.png                     # without fast

Objects are given by masks on frame 0, all networks stand before the clock runs, results are masks at the frames' own size.
Each measurement is a process of its own: its peak resident memory is that of the whole process, with models and frames.
They are taken in turn, --repeats times; medians.

The preset `default` has its own weights. The others' are random: of `fast`, the network computes and the scene's exact
masks come back (benchmarks/played.py), which only the rendered scene allows; of SAM 2.1 the memory is as
full as ever, whatever it holds. Run it on a machine that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.memory import peak_megabytes
from sampt.config import SegmentConfig
from sampt.errors import SamptError
from sampt.pipeline.backends import make_segmenter, make_tracker
from sampt.pipeline.segment import segment_video
from sampt.points.mask_images import read_mask_image
from sampt.presets import preset
from sampt.runs.timing import StageClock
from sampt.testing.scenes import demo_scene
from sampt.types import BoolArray, QueryMask, UInt8Array
from sampt.video.array import ArrayVideo
from sampt.video.open import open_video

SAM2 = "sam2.1-tiny-video"
SYSTEMS = ("default", "fast", SAM2)

Clip = tuple[UInt8Array, BoolArray]
"""Frames (t, h, w, 3) and masks (m, h, w) of the objects on the first one."""
Prepared = Callable[[], Iterator[object]]
"""Begins a run whose models are made; gives something for every frame."""


def main(arguments: Sequence[str] | None = None) -> int:
    args = parse_arguments(arguments)
    try:
        if args.measure:
            print(json.dumps(measure(args)))
            return 0
        return compare(args)
    except SamptError as error:
        print(f"benchmarks.peers: {error}", file=sys.stderr)
        return 2


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--frames", type=int, default=24, help="of the clip (default: 24)")
    parser.add_argument(
        "--size", type=int, nargs=2, default=(854, 480), metavar=("W", "H"), help="of the scene (default: 854 480)"
    )
    parser.add_argument("--objects", type=int, nargs="+", default=[1, 3], choices=(1, 2, 3), help="(default: 1 3)")
    parser.add_argument("--systems", nargs="+", default=list(SYSTEMS), choices=SYSTEMS, help="(default: all)")
    parser.add_argument("--repeats", type=int, default=3, help="of each measurement (default: 3)")
    parser.add_argument("--threads", type=int, default=0, help="of PyTorch (default: its own choice)")
    parser.add_argument("--frames-of", type=Path, help="video or folder instead of the scene; not for fast")
    parser.add_argument("--mask", type=Path, help="label map on the first of --frames-of; its objects are taken in order")
    parser.add_argument("--measure", choices=SYSTEMS, help=argparse.SUPPRESS)
    args = parser.parse_args(arguments)
    if (args.frames_of is None) != (args.mask is None):
        parser.error("expected --frames-of and --mask together")
    if args.frames_of is not None and "fast" in args.systems:
        args.systems = [system for system in args.systems if system != "fast"]
    if args.frames < 2 or args.repeats < 1 or min(args.size) < 32:
        parser.error("expected at least 2 --frames, 1 of --repeats and a --size of 32 pixels")
    return args


def compare(args: argparse.Namespace) -> int:
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    shared = ["--frames", str(args.frames), "--size", *map(str, args.size), "--threads", str(args.threads)]
    if args.frames_of is not None:
        shared += ["--frames-of", str(args.frames_of), "--mask", str(args.mask)]
    for _ in range(args.repeats):
        for count in args.objects:
            for system in args.systems:
                command = [sys.executable, "-m", "benchmarks.peers", "--measure", system, "--objects", str(count), *shared]
                done = subprocess.run(command, check=False, stdout=subprocess.PIPE, text=True)
                if done.returncode:
                    print(
                        f"benchmarks.peers: {system} ended with status {done.returncode}, its message is above.",
                        file=sys.stderr,
                    )
                    return 2
                found.setdefault((system, count), []).append(json.loads(done.stdout))
    print("| system | objects | seconds a frame | over default | peak resident memory (MB) |\n|---|---|---|---|---|")
    for (system, count), runs in found.items():
        seconds, memory = (statistics.median(run[key] for run in runs) for key in ("frame_s", "peak_mb"))
        base = found.get(("default", count))
        ratio = f"{seconds / statistics.median(run['frame_s'] for run in base):.2f}" if base else ""
        print(f"| {system} | {count} | {seconds:.2f} | {ratio} | {memory:.0f} |")
    return 0


def measure(args: argparse.Namespace) -> dict[str, float]:
    """One system in this process."""
    (count,) = args.objects
    if args.threads:
        import torch

        torch.set_num_threads(args.threads)
    frames, masks = read_clip(args)
    clock = StageClock()
    if len(masks) < count:
        raise SamptError(f"The first frame has {len(masks)} objects, expected {count}: choose fewer --objects.")
    begin = prepare_sam2(frames, masks[:count]) if args.measure == SAM2 else prepare_preset(args, frames, masks[:count], clock)
    start_s, played_s = time.perf_counter(), sum(clock.seconds.values())
    num_frames = sum(1 for _ in begin())
    seconds = time.perf_counter() - start_s - (sum(clock.seconds.values()) - played_s)
    return {"frame_s": seconds / num_frames, "frames": num_frames, "peak_mb": peak_megabytes()}


def read_clip(args: argparse.Namespace) -> Clip:
    if args.frames_of is None:
        width, height = args.size
        scene = demo_scene(args.frames, (height, width))
        return np.stack([scene.frame(i) for i in range(args.frames)]), scene.masks(0)
    video = open_video(args.frames_of)
    image = read_mask_image(args.mask, size_hw=video.size_hw)
    return video.read(0, min(args.frames, video.num_frames)), np.stack([image.values == label for label in image.present])


def prepare_preset(args: argparse.Namespace, frames: UInt8Array, masks: BoolArray, clock: StageClock) -> Prepared:
    """``clock`` gets the seconds of what plays, and no others; they are no part of a figure."""
    config: SegmentConfig = preset(args.measure)
    queries = [QueryMask(k + 1, 0, mask) for k, mask in enumerate(masks)]
    video = ArrayVideo(frames)
    tracker = make_tracker(config, "cpu")
    if args.measure == "default":
        segmenter: Any = make_segmenter(config, "cpu")
    else:
        from benchmarks.played import KnownScene, PlayedSegmenter
        from sampt.segmenters.create import create_segmenter

        known = KnownScene(demo_scene(args.frames, (args.size[1], args.size[0])))
        segmenter = PlayedSegmenter(create_segmenter(config.segmenter, weights="random", device="cpu"), known, clock)

    def begin() -> Iterator[object]:
        return segment_video(video, queries, config=config, tracker=tracker, segmenter=segmenter)

    for _ in islice(begin(), 1):  # random weights are made, runtimes are warm
        pass
    return begin


def prepare_sam2(frames: UInt8Array, masks: BoolArray) -> Prepared:
    """The video model's own loop, with its own memory and prompts, from frames of 8 bits to masks at their size."""
    import torch
    import torch.nn.functional as F
    from transformers.models.sam2_video.configuration_sam2_video import Sam2VideoConfig
    from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession, Sam2VideoModel

    from sampt.segmenters.sam.checkpoint import fill_random
    from sampt.segmenters.sam.resizing import Fit, to_square
    from sampt.segmenters.sam2.network import TINY, vision_config

    model: Any = Sam2VideoModel(Sam2VideoConfig(vision_config=vision_config(TINY))).eval().requires_grad_(False)
    fill_random(model)
    size_hw = (frames.shape[1], frames.shape[2])
    fit = Fit.stretched(size_hw, TINY.side)

    @torch.inference_mode()
    def begin() -> Iterator[object]:
        pixels = torch.cat([to_square(frame[None], fit, torch.device("cpu")) for frame in frames])
        session = Sam2VideoInferenceSession(video=pixels, video_height=size_hw[0], video_width=size_hw[1], dtype=torch.float32)
        for k, mask in enumerate(masks):
            given = F.interpolate(
                torch.from_numpy(mask)[None, None].float(), (fit.side, fit.side), mode="bilinear", antialias=True
            )
            session.add_mask_inputs(session.obj_id_to_idx(k + 1), 0, (given >= 0.5).float())
        session.obj_with_new_inputs = [k + 1 for k in range(len(masks))]
        for output in model.propagate_in_video_iterator(session, start_frame_idx=0):
            logits = F.interpolate(output.pred_masks.float(), size_hw, mode="bilinear", align_corners=False)
            yield (logits[:, 0] > 0).numpy()

    for _ in islice(begin(), 1):
        pass
    return begin


if __name__ == "__main__":
    sys.exit(main())
