"""Speed of the Segment Anything family: what a frame costs after its encoder, and the encoder, by runtime. Random weights.

    pip install 'sampt[openvino]'
    python -m benchmarks.sam                               # MobileSAM, three objects, R = 12, 854x480, on the CPU
    python -m benchmarks.sam --model light-hq-sam --objects 1 --rounds 3
    python -m benchmarks.sam --device cuda --model sam-vit-h --precision bfloat16 --no-exported

Three tables:
  after the encoder   all passes about one frame: positives first, all points, R refinement steps with box and logits. The
                      official sequence prompts for one object and one pass at a time, as the program of SAM-PT does through the
                      official predictor: prompt encoder, mask decoder, logits to full size, mask to the host, its box there. It
                      is written here from the modules of `transformers` as they are. Ours is `segment_prompts`.
  early stops         the same with --stop-fraction, and how far the masks are from those without.
  encoder             a frame to its embedding, resizing left out, by runtime; and the IoU of the masks after the passes with
                      those of PyTorch in float32.

Each object has 16 positive points and 1 negative one, and those of the others as negatives. Weights are random, so that the
masks mean nothing, and an early stop's time is that of masks which hardly move. Everything is called in turn, in one process;
medians.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers.models.sam.configuration_sam import SamMaskDecoderConfig
from transformers.models.sam.modeling_sam import SamMaskDecoder

from sampt.config import PromptConfig
from sampt.errors import SamptError
from sampt.geometry import find_mask_box
from sampt.prompts.refine import segment_prompts
from sampt.segmenters.create import create_segmenter
from sampt.segmenters.sam.adapter import SamEmbedding, SamSegmenter
from sampt.segmenters.sam.export import export_network
from sampt.segmenters.sam.network import SamNetwork, decoder_settings
from sampt.segmenters.sam.resizing import to_square, upsample
from sampt.types import MaskPrediction, ObjectPrompt
from sampt.video.open import open_video

CLIP = Path(__file__).resolve().parents[2] / "shared" / "davis" / "JPEGImages" / "480p" / "camel"
LIMIT_TORCH, LIMIT_EXPORTED = 0.6, 0.35
POSITIVES = 16
PAUSE_S = 0.2
"""Before each call, for the threads of the library called last to stop waiting for more work, which takes a core."""


@dataclass(frozen=True)
class Way:
    """A way to do the passes: its name, what does them, and its limit over the official sequence."""

    name: str
    run: Callable[[], Sequence[Any]]
    limit: float | None = None


def main() -> int:
    args = parse_arguments()
    try:
        return compare(args)
    except SamptError as error:
        print(f"benchmarks.sam: {error}", file=sys.stderr)
        return 2


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__,
        epilog="Exit status 1: a limit does not hold.",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--model", default="mobile-sam", help="as `sampt backends` shows it; not SAM 2 (default: mobile-sam)")
    parser.add_argument("--objects", type=int, default=3, help="(default: 3)")
    parser.add_argument("--steps", type=int, default=12, help="of refinement (default: 12)")
    parser.add_argument("--repeats", type=int, default=5, help="(default: 5)")
    parser.add_argument("--device", default="cpu", help="(default: cpu)")
    parser.add_argument("--precision", default="auto", help="of PyTorch (default: auto)")
    parser.add_argument("--openvino-precision", default="float32", help="float32 or bfloat16 (default: float32)")
    parser.add_argument("--no-exported", action="store_true", help="leave out ONNX Runtime and OpenVINO")
    parser.add_argument("--frame", type=Path, default=CLIP, help="video or folder of images; its first frame is used")
    return parser.parse_args()


def compare(args: argparse.Namespace) -> int:
    frame = open_video(args.frame).read(0, 1)
    segmenters = {"torch": create_segmenter(args.model, weights=None, device=args.device, precision=args.precision)}
    plain = segmenters["torch"]
    assert isinstance(plain, SamSegmenter)
    network = plain.runtime.network  # type: ignore[attr-defined]
    prompts = make_prompts(args.objects, frame.shape[1:3])
    with tempfile.TemporaryDirectory() as folder:
        if not args.no_exported:
            export_network(network, Path(folder) / "export", args.model, "random", "random")
            for runtime in ("onnxruntime", "openvino"):
                segmenters[runtime] = create_segmenter(
                    args.model,
                    weights=str(Path(folder) / "export"),
                    device="cpu",
                    runtime=runtime,
                    precision=args.openvino_precision if runtime == "openvino" else "float32",
                )
        holds = after_encoder(args, segmenters, network, frame, prompts)
        early_stops(args, plain, frame, prompts)
        encoders(args, segmenters, frame, prompts)
    return 0 if holds else 1


def make_prompts(count: int, size_hw: Sequence[int]) -> list[ObjectPrompt]:
    """Objects side by side: 16 points on each, one off it, those of the others as negatives."""
    rng = np.random.default_rng(0)
    height, width = size_hw
    step = width / count
    last = max(step - 1, 0)
    own = [rng.uniform((k * step, 0), (k * step + last, height - 1), (POSITIVES + 1, 2)) for k in range(count)]
    prompts = []
    for k, points in enumerate(own):
        others = [other[:POSITIVES] for j, other in enumerate(own) if j != k]
        xy = np.concatenate([points, *others]).astype(np.float32)
        prompts.append(ObjectPrompt(k + 1, xy, np.arange(len(xy)) < POSITIVES))
    return prompts


# ---- after the encoder -----------------------------------------------------------------------------------------------------


def after_encoder(
    args: argparse.Namespace, segmenters: dict[str, Any], network: SamNetwork, frame: np.ndarray, prompts: Any
) -> bool:
    config = PromptConfig(refinement_steps=args.steps)
    ways = []
    if type(network) is SamNetwork:
        official = OfficialSequence(network, segmenters["torch"].encode(frame)[0], args.steps)
        ways.append(Way("official sequence", lambda: [official.mask(prompt) for prompt in prompts]))
    for name, segmenter in segmenters.items():
        embedding = segmenter.encode(frame)[0]
        limit = LIMIT_TORCH if name == "torch" else LIMIT_EXPORTED
        ways.append(Way(name, lambda s=segmenter, e=embedding: segment_prompts(s, e, prompts, config), limit))
    times = in_turn([way.run for way in ways], args.repeats, args.device)
    reference = [read_mask(prediction) for prediction in ways[0].run()]
    print(f"## After the encoder: {args.model}, {args.objects} objects, R = {args.steps}, {args.device}\n")
    print(f"| | median (ms) | over {ways[0].name} | limit | mask IoU with {ways[0].name} |\n|---|---|---|---|---|")
    holds, exported = True, []
    for way, seconds in zip(ways, times, strict=True):
        ratio = seconds / times[0]
        limit = way.limit if ways[0].name == "official sequence" and args.device == "cpu" else None
        if limit == LIMIT_EXPORTED:
            exported.append(ratio)
        elif limit is not None:
            holds = holds and ratio <= limit
        iou = min(compute_iou(read_mask(prediction), mask) for prediction, mask in zip(way.run(), reference, strict=True))
        print(f"| {way.name} | {1e3 * seconds:.0f} | {ratio:.2f} | {limit or ''} | {iou:.4f} |")
    if exported:
        holds = holds and min(exported) <= LIMIT_EXPORTED  # one CPU runtime is enough
        print(f"\nlimits: {'hold' if holds else 'DO NOT HOLD'}")
    return holds


class OfficialSequence:
    """One object and one pass at a time, each with logits at full size and the mask on the host."""

    def __init__(self, network: SamNetwork, embedding: SamEmbedding, steps: int) -> None:
        self._encoder, self._embedding, self._steps, self._side = network.prompt_encoder, embedding, steps, network.side
        self._device = embedding.features.embedding.device
        decoder = SamMaskDecoder(SamMaskDecoderConfig(**decoder_settings())).to(self._device)
        decoder.load_state_dict(network.mask_decoder.state_dict())
        self._decoder = decoder.eval().requires_grad_(False)

    @torch.inference_mode()
    def mask(self, prompt: ObjectPrompt) -> np.ndarray:
        positives = ObjectPrompt(prompt.object_id, prompt.xy[prompt.is_positive], prompt.is_positive[prompt.is_positive])
        _, low = self._predict(positives, None, None)
        mask, low = self._predict(prompt, None, low)
        for _ in range(self._steps):
            if mask.sum() < 2:
                break
            mask, low = self._predict(prompt, find_mask_box(mask), low)
        return mask

    def _predict(
        self, prompt: ObjectPrompt, box: np.ndarray | None, low: torch.Tensor | None
    ) -> tuple[np.ndarray, torch.Tensor]:
        fit, device = self._embedding.fit, self._device
        xy = torch.from_numpy(fit.scale_xy(prompt.xy)).to(device)[None, None]
        labels = torch.from_numpy(prompt.is_positive.astype(np.int64)).to(device)[None, None]
        boxes = None if box is None else torch.from_numpy(fit.scale_xy(box.reshape(2, 2)).reshape(1, 1, 4)).to(device)
        sparse, dense = self._encoder(xy, labels, boxes, low)
        logits, _ = self._decoder(
            image_embeddings=self._embedding.features.embedding.float(),
            image_positional_embeddings=self._positions(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=False,
        )[:2]
        low = logits[:, 0]
        return (upsample(low[:, 0], fit)[0] > 0).cpu().numpy(), low

    def _positions(self) -> torch.Tensor:
        """Made at every call, as the official decoder's caller does."""
        side = self._side // 16
        at = (torch.arange(side, device=self._device) + 0.5) / side
        y, x = torch.meshgrid(at, at, indexing="ij")
        return self._encoder.shared_embedding(torch.stack([x, y], -1)).permute(2, 0, 1)[None]


# ---- early stops and encoders ----------------------------------------------------------------------------------------------


def early_stops(args: argparse.Namespace, segmenter: SamSegmenter, frame: np.ndarray, prompts: Any) -> None:
    embedding = segmenter.encode(frame)[0]
    fractions = (None, 0.0, 0.001, 0.01)
    configs = [PromptConfig(refinement_steps=args.steps, stop_fraction=fraction) for fraction in fractions]
    runs = [lambda c=config: segment_prompts(segmenter, embedding, prompts, c) for config in configs]
    times = in_turn(runs, args.repeats, args.device)
    reference = [read_mask(prediction) for prediction in runs[0]()]
    print("\n## Early stops, torch\n\n| steps end when no more changes than | median (ms) | over none | mask IoU with none |")
    print("|---|---|---|---|")
    for fraction, run, seconds in zip(fractions, runs, times, strict=True):
        iou = min(compute_iou(read_mask(prediction), mask) for prediction, mask in zip(run(), reference, strict=True))
        text = "never" if fraction is None else "nothing (exact)" if fraction == 0 else f"{100 * fraction:g} % of the mask"
        print(f"| {text} | {1e3 * seconds:.0f} | {seconds / times[0]:.2f} | {iou:.4f} |")


@torch.inference_mode()
def encoders(args: argparse.Namespace, segmenters: dict[str, SamSegmenter], frame: np.ndarray, prompts: Any) -> None:
    config = PromptConfig(refinement_steps=args.steps)
    device = torch.device(args.device)
    runs, masks = [], []
    for name, segmenter in segmenters.items():
        runtime = segmenter.runtime
        image = to_square(frame, runtime.fit(frame.shape[1:3]), device if name == "torch" else torch.device("cpu"))
        runs.append(lambda r=runtime, p=image: r.encode(p))
        masks.append([read_mask(a) for a in segment_prompts(segmenter, segmenter.encode(frame)[0], prompts, config)])
    times = in_turn(runs, args.repeats, args.device)
    print("\n## Encoder\n\n| | median (ms) | over torch | mask IoU with torch |\n|---|---|---|---|")
    for name, seconds, found in zip(segmenters, times, masks, strict=True):
        iou = min(compute_iou(mask, other) for mask, other in zip(found, masks[0], strict=True))
        print(f"| {name} | {1e3 * seconds:.0f} | {seconds / times[0]:.2f} | {iou:.4f} |")


def read_mask(prediction: MaskPrediction | np.ndarray) -> np.ndarray:
    if isinstance(prediction, np.ndarray):
        return prediction
    assert prediction.logits is not None
    return prediction.logits > 0


def compute_iou(one: np.ndarray, two: np.ndarray) -> float:
    union = np.count_nonzero(one | two)
    return np.count_nonzero(one & two) / union if union else 1.0


def in_turn(runs: Sequence[Callable[[], object]], repeats: int, device: str) -> list[float]:
    """Median seconds of each, called one after another, round after round, after one call each to warm up."""
    times: list[list[float]] = [[] for _ in runs]
    for k in range(repeats + 1):
        for run, found in zip(runs, times, strict=True):
            time.sleep(PAUSE_S)
            start = time.perf_counter()
            run()
            if device.startswith("cuda"):
                torch.cuda.synchronize()
            if k:
                found.append(time.perf_counter() - start)
    return [statistics.median(found) for found in times]


if __name__ == "__main__":
    sys.exit(main())
