"""Train the click segmenter from scratch.

    python -m training.segmenter.train --data ../shared/training --out training-runs/segmenter [--steps N] [--device cuda]

Writes ``checkpoint.pt`` (every few minutes, and when stopped), ``log.jsonl`` and, after the last step, ``weights.pt``.
Started again with the same ``--out`` it goes on from the checkpoint. The learning rate warms up, stays, and falls at the end,
so that runs add up: ``before-decay.pt``, written when the fall begins, is what ``--start-from`` takes to begin a longer run.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import time
import tomllib
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.segmenters.nano.network import NanoNetwork
from training.segmenter.augment import Batch, Maker, Prompts
from training.segmenter.data import load_store
from training.segmenter.evaluate import crop_iou

HERE = Path(__file__).parent


class Trainer:
    """Network, optimiser, average and position of a run."""

    def __init__(self, settings: dict[str, Any], data: Path, out: Path, device: str) -> None:
        self.settings = settings
        self.out = out
        self.device = device
        torch.manual_seed(settings["seed"])
        self.network = NanoNetwork().to(device, memory_format=torch.channels_last)
        self.average = NanoNetwork().to(device)
        self.average.load_state_dict(self.network.state_dict())
        s = settings["train"]
        decayed = [p for p in self.network.parameters() if p.ndim > 1]
        others = [p for p in self.network.parameters() if p.ndim <= 1]
        self.optimiser = torch.optim.AdamW(
            [{"params": decayed, "weight_decay": s["weight_decay"]}, {"params": others, "weight_decay": 0.0}], lr=s["rate"]
        )
        self.rng = torch.Generator(device).manual_seed(settings["seed"])
        d = settings["data"]
        store = load_store(data, d["held_out"], d["canvas"], d["smallest"], d["largest"], device)
        self.maker = Maker(store, settings, self.rng)
        self.step = 0
        self.seconds = 0.0
        self.samples = 0

    # ---- checkpoints -------------------------------------------------------------------------------------------------------

    def save(self, name: str = "checkpoint.pt") -> None:
        """Write everything that a run needs to go on, and move it into place."""
        state = {
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "rng": self.rng.get_state(),
            "step": self.step,
            "seconds": self.seconds,
            "samples": self.samples,
        }
        partial = self.out / f"{name}.partial"
        torch.save(state, partial)
        os.replace(partial, self.out / name)

    def save_compact(self, name: str) -> None:
        """Write the weights and their average alone, at half precision: small enough to keep; a longer run starts from it."""
        state: dict[str, Any] = {"step": self.step, "seconds": self.seconds, "samples": self.samples}
        for key, network in (("network", self.network), ("average", self.average)):
            values = network.state_dict().items()
            state[key] = {k: v.half() if v.dtype.is_floating_point else v for k, v in values}
        partial = self.out / f"{name}.partial"
        torch.save(state, partial)
        os.replace(partial, self.out / name)

    def start_from(self, path: Path) -> None:
        """Begin at the first step with the weights of another run: ``before-decay.pt`` or ``weights.pt``."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state.get("network", state))
        self.average.load_state_dict(state.get("average", state))
        self.seconds, self.samples = state.get("seconds", 0.0), state.get("samples", 0)

    def load(self, path: Path) -> None:
        """Go on from a checkpoint."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state["network"])
        self.average.load_state_dict(state["average"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.rng.set_state(state["rng"].cpu())
        self.step, self.seconds, self.samples = state["step"], state["seconds"], state["samples"]

    # ---- steps -------------------------------------------------------------------------------------------------------------

    def rate(self) -> float:
        """The learning rate of this step: warm-up, plateau, straight fall to zero."""
        s = self.settings["train"]
        fall = (s["steps"] - self.step) / (s["decay"] * s["steps"])
        return float(s["rate"] * min(1.0, (self.step + 1) / s["warmup"], max(fall, 0.0)))

    def one(self) -> dict[str, float]:
        """One step; returns what is logged."""
        batch = self.maker.batch()
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate()
        self.network.train()
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16):
            features, inside = self.network.encode_crop(batch.picture, batch.inside)
            first, first_score = self._decode(features, inside, batch.first)
            second_prompts = self._again(batch, first)
            second, second_score = self._decode(features, inside, second_prompts)
        losses = [_mask_loss(logits.float(), batch.target, batch.inside) for logits in (first, second)]
        scores = [_score_loss(score.float(), logits, batch) for score, logits in ((first_score, first), (second_score, second))]
        loss = sum(losses) / 2 + self.settings["train"]["score_weight"] * sum(scores) / 2
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings["train"]["clip"])
        self.optimiser.step()
        self._follow()
        self.step += 1
        if self.step == int((1 - self.settings["train"]["decay"]) * self.settings["train"]["steps"]):
            self.save_compact("before-decay.pt")
        self.samples += len(batch.picture)
        with torch.no_grad():
            iou = [float(_iou(x, batch).mean()) for x in (first, second)]
        logged = {"loss": loss, "mask": sum(losses) / 2, "score": sum(scores) / 2, "norm": norm}
        return {name: float(value.detach()) for name, value in logged.items()} | {"iou_first": iou[0], "iou_second": iou[1]}

    def _decode(self, features: tuple[Tensor, ...], inside: Tensor, p: Prompts) -> tuple[Tensor, Tensor]:
        out: tuple[Tensor, Tensor] = self.network.decoder(
            *features, inside, p.points, p.labels, p.box, p.previous, p.has_previous
        )
        return out

    def _again(self, batch: Batch, first: Tensor) -> Prompts:
        """The second set of prompts, with the first answer as previous mask."""
        p = batch.second
        answer = F.avg_pool2d(torch.sigmoid(first.detach().float()), 4)
        has = (torch.rand(len(answer), generator=self.rng, device=self.device) < self.settings["previous"]["second"]).float()
        return Prompts(p.points, p.labels, p.box, answer, has)

    def _follow(self) -> None:
        """Move the average a little towards the network; faster in the beginning."""
        keep = min(self.settings["train"]["average"], (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)


def _mask_loss(logits: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Cross-entropy and 1 - soft IoU, each sample counting alike.

    The cross-entropy is weighted so that object and background count half each to a part, small objects being few pixels.
    """
    share = target.mean((1, 2, 3), keepdim=True).clamp(0.02, 0.98)
    weight = inside * (0.5 + 0.25 * torch.where(target > 0.5, 1 / share, 1 / (1 - share)) * 0.5)
    entropy = F.binary_cross_entropy_with_logits(logits, target, weight, reduction="none").mean((1, 2, 3))
    probability = torch.sigmoid(logits) * inside
    both = (probability * target).sum((1, 2, 3))
    either = (probability + target - probability * target).sum((1, 2, 3))
    return (entropy + 1 - both / (either + 1)).mean()


def _iou(logits: Tensor, batch: Batch) -> Tensor:
    mask = (logits > 0).float() * batch.inside
    both = (mask * batch.target).sum((1, 2, 3))
    either = torch.maximum(mask, batch.target).sum((1, 2, 3))
    return both / either.clamp(min=1)


def _score_loss(score: Tensor, logits: Tensor, batch: Batch) -> Tensor:
    with torch.no_grad():
        truth = _iou(logits, batch)
    return F.binary_cross_entropy_with_logits(score, truth)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=HERE / "config.toml")
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="instead of the configuration's")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop (resumable) after so long")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--start-from", type=Path, help="before-decay.pt or weights.pt of another run")
    args = parser.parse_args()
    settings = tomllib.loads(args.config.read_text())
    if args.steps:
        settings["train"]["steps"] = args.steps
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(settings, args.data, args.out, args.device)
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    elif args.start_from:
        trainer.start_from(args.start_from)
    run(trainer, args.minutes, args.data)


def run(trainer: Trainer, minutes: float, data: Path) -> None:
    """Steps until the last one, a signal, or the end of the time."""
    s = trainer.settings["train"]
    stop = []
    signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
    signal.signal(signal.SIGINT, lambda *_: stop.append(True))
    begin = last_save = last = time.monotonic()
    sums: dict[str, float] = {}
    count = 0
    while trainer.step < s["steps"] and not stop and time.monotonic() - begin < 60 * minutes:
        for key, value in trainer.one().items():
            sums[key] = sums.get(key, 0.0) + value
        count += 1
        now = time.monotonic()
        trainer.seconds += now - last
        last = now
        if trainer.step % s["log_every"] == 0:
            entry = {"step": trainer.step, "minutes": round(trainer.seconds / 60, 2), "samples": trainer.samples,
                     "rate": trainer.rate(), **{k: round(v / count, 4) for k, v in sums.items()}}  # fmt: skip
            sums, count = {}, 0
            if trainer.step % s["evaluate_every"] == 0:
                entry["held_out"] = crop_iou(trainer.average, data, trainer.settings["data"]["held_out"])
                last = time.monotonic()
            with (trainer.out / "log.jsonl").open("a") as log:
                log.write(json.dumps(entry) + "\n")
            print(json.dumps(entry), flush=True)
        if now - last_save > 60 * s["checkpoint_minutes"]:
            trainer.save()
            last_save = now
    trainer.save()
    if trainer.step >= s["steps"]:
        torch.save(trainer.average.state_dict(), trainer.out / "weights.pt")


if __name__ == "__main__":
    main()
