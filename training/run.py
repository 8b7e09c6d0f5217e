"""What the training runs share: checkpoints, learning rate, moving average, log, and the loop that stops and goes on.

A run writes ``checkpoint.pt`` (every few minutes, and when stopped), ``log.jsonl`` and, after the last step, ``weights.pt``.
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
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import nn


class Run(ABC):
    """Network, optimiser, average and position of a run; subclasses know what a step is and how to judge.

    Args:
        make: makes the network; called twice, the second one holds the moving average.
        settings: the configuration; ``seed`` and the table ``train`` are read here.
        out: where the run writes.
        device: a PyTorch device.
    """

    def __init__(self, make: Callable[[], nn.Module], settings: dict[str, Any], out: Path, device: str) -> None:
        self.settings = settings
        self.out = out
        self.device = device
        torch.manual_seed(settings["seed"])
        self.network = make().to(device, memory_format=torch.channels_last)
        self.average = make().to(device)
        self.average.load_state_dict(self.network.state_dict())
        s = settings["train"]
        groups: dict[tuple[float, float], list[nn.Parameter]] = {}
        for name, parameter in self.network.named_parameters():
            if not parameter.requires_grad:
                continue
            groups.setdefault((self.rate_scale(name), s["weight_decay"] if parameter.ndim > 1 else 0.0), []).append(parameter)
        self.optimiser = torch.optim.AdamW(
            [{"params": held, "weight_decay": decay, "scale": scale} for (scale, decay), held in groups.items()], lr=s["rate"]
        )
        self.device_kind = device.split(":")[0]
        self.has_bfloat16 = _computes_bfloat16(self.device_kind)
        self.rng = torch.Generator(device).manual_seed(settings["seed"])
        self.step = 0
        self.seconds = 0.0
        self.samples = 0

    @abstractmethod
    def loss(self) -> tuple[torch.Tensor, int, dict[str, torch.Tensor | float]]:
        """The loss of the next batch, how many samples it had, and what is logged beside it."""

    def rate_scale(self, name: str) -> float:
        """What the learning rate of the parameter called ``name`` is multiplied by."""
        return 1.0

    @abstractmethod
    def held_out(self) -> dict[str, float]:
        """Figures of the moving average on held-out data."""

    # ---- checkpoints -------------------------------------------------------------------------------------------------------

    def save(self, name: str = "checkpoint.pt") -> None:
        """Write everything that a run needs to go on, and move it into place."""
        self._write(
            {
                "network": self.network.state_dict(),
                "average": self.average.state_dict(),
                "optimiser": self.optimiser.state_dict(),
                "rng": self.rng.get_state(),
                "step": self.step,
                "seconds": self.seconds,
                "samples": self.samples,
            },
            name,
        )

    def save_compact(self, name: str) -> None:
        """Write the weights and their average alone, at half precision: small enough to keep; a longer run starts from it.

        What is not trained is its own average and is written once.
        """
        state: dict[str, Any] = {"step": self.step, "seconds": self.seconds, "samples": self.samples}
        fixed = {name for name, parameter in self.network.named_parameters() if not parameter.requires_grad}
        for key, network, left_out in (("network", self.network, set()), ("average", self.average, fixed)):
            values = network.state_dict().items()
            state[key] = {k: v.half() if v.dtype.is_floating_point else v for k, v in values if k not in left_out}
        self._write(state, name)

    def _write(self, state: Any, name: str) -> None:
        partial = self.out / f"{name}.partial"
        torch.save(state, partial)
        os.replace(partial, self.out / name)

    def start_from(self, path: Path) -> None:
        """Begin at the first step with the weights of another run: ``before-decay.pt`` or ``weights.pt``."""
        state = torch.load(path, map_location=self.device, weights_only=True)
        self.network.load_state_dict(state.get("network", state))
        self.average.load_state_dict(averaged(state))
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

    def falling(self) -> bool:
        """Whether the learning rate has begun to fall."""
        s = self.settings["train"]
        return bool(self.step >= int((1 - s["decay"]) * s["steps"]))

    def one(self) -> dict[str, float]:
        """One step; returns what is logged."""
        for group in self.optimiser.param_groups:
            group["lr"] = self.rate() * group["scale"]
        loss, samples, logged = self.loss()
        self.optimiser.zero_grad(set_to_none=True)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(self.network.parameters(), self.settings["train"]["clip"])
        self.optimiser.step()
        self._update_average()
        was_falling = self.falling()
        self.step += 1
        if self.falling() and not was_falling:
            self.save_compact("before-decay.pt")
        self.samples += samples
        values = {"loss": loss, **logged, "norm": norm}
        return {name: float(v.detach() if isinstance(v, torch.Tensor) else v) for name, v in values.items()}

    def _update_average(self) -> None:
        """Move the average a little towards the network; faster in the beginning."""
        keep = min(self.settings["train"]["average"], (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for mean, value in zip(self.average.state_dict().values(), self.network.state_dict().values(), strict=True):
                if mean.dtype.is_floating_point:
                    mean.lerp_(value, 1 - keep)
                else:
                    mean.copy_(value)

    def go(self, minutes: float) -> None:
        """Steps until the last one, a signal, or the end of the time."""
        s = self.settings["train"]
        stop = []
        signal.signal(signal.SIGTERM, lambda *_: stop.append(True))
        signal.signal(signal.SIGINT, lambda *_: stop.append(True))
        begin = last_save = last = time.monotonic()
        sums: dict[str, float] = {}
        count = 0
        while self.step < s["steps"] and not stop and time.monotonic() - begin < 60 * minutes:
            for key, value in self.one().items():
                sums[key] = sums.get(key, 0.0) + value
            count += 1
            now = time.monotonic()
            self.seconds += now - last
            last = now
            if self.step % s["log_every"] == 0:
                self._log({key: round(value / count, 4) for key, value in sums.items()})
                sums, count, last = {}, 0, time.monotonic()
            if now - last_save > 60 * s["checkpoint_minutes"]:
                self.save()
                last_save = now
        self.save()
        if self.step >= s["steps"]:
            torch.save(self.average.state_dict(), self.out / "weights.pt")

    def _log(self, means: dict[str, float]) -> None:
        entry: dict[str, Any] = {"step": self.step, "minutes": round(self.seconds / 60, 2), "samples": self.samples}
        entry |= {"rate": self.rate(), **means}
        if self.step % self.settings["train"]["evaluate_every"] == 0:
            entry["held_out"] = self.held_out()
        with (self.out / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(entry) + "\n")
        print(json.dumps(entry), flush=True)


def averaged(state: dict[str, Any]) -> dict[str, torch.Tensor]:
    """The weights of ``weights.pt``, or the averaged ones of any other file of a run."""
    return {**state["network"], **state["average"]} if "average" in state else state


def _computes_bfloat16(device: str) -> bool:
    """Whether the device has bfloat16 arithmetic; a processor that emulates it is faster in float32."""
    if device != "cpu":
        return True
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and any(flag in cpuinfo.read_text() for flag in ("avx512_bf16", "amx_bf16"))


def command_line(description: str | None, config: Path, make: Callable[[dict[str, Any], Path, Path, str], Run]) -> None:
    """Read the command line and run.

    Args:
        description: shown by ``--help``.
        config: the configuration file when none is named.
        make: makes the run from settings, data folder, output folder and device.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, default=config)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--steps", type=int, help="instead of the configuration's")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="stop (resumable) after so long")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--start-from", type=Path, help="before-decay.pt or weights.pt of another run")
    args = parser.parse_args()
    settings = tomllib.loads(args.config.read_text(encoding="utf-8"))
    if args.steps:
        settings["train"]["steps"] = args.steps
    torch.set_num_threads(args.threads)
    args.out.mkdir(parents=True, exist_ok=True)
    run = make(settings, args.data, args.out, args.device)
    checkpoint = args.out / "checkpoint.pt"
    if checkpoint.exists():
        run.load(checkpoint)
    elif args.start_from:
        run.start_from(args.start_from)
    run.go(args.minutes)
