"""Train the point tracker from scratch.

    python -m training.tracker.train --data ../shared/training --out training-runs/tracker [--steps N] [--device cuda]

What a run writes, and how it is stopped and gone on with: :mod:`training.run`. Clips are made on the device and kept in a pool
for a few steps, each time cut to another window, played either way, with other points: making one costs as much as
learning from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.evaluation import mean_tap_vid, tap_vid_score
from sampt.trackers.nano.network import COARSE, NanoTrackerNetwork, StepDetails
from training.data import is_held_out, load_store
from training.run import Run, command_line
from training.tracker.real import RealMaker, TrackedClip, track_clips
from training.tracker.scenes import HeldOutClip, SceneMaker, held_out_clips

_LIKENESS_SCALE = 16.0
"""Makes logits of cosines."""


@dataclass(frozen=True)
class _Clip:
    """One clip of the pool: frames (t, 3, h, w) uint8, xy (t, n, 2), visible and known (t, n)."""

    frames: Tensor
    xy: Tensor
    visible: Tensor
    known: Tensor


@dataclass(frozen=True)
class Batch:
    """frames (b, t, 3, h, w) in [-1, 1]; xy (b, t, n, 2); visible and known (b, t, n), all true on frame 0."""

    frames: Tensor
    xy: Tensor
    visible: Tensor
    known: Tensor


class Pool:
    """Clips that are used some times before new ones replace them."""

    def __init__(self, maker: SceneMaker | RealMaker, settings: dict[str, Any]) -> None:
        self.maker = maker
        self.settings = settings
        self.clips: list[_Clip] = []
        self.owed = 0.0
        self.next = 0
        self.shape: tuple[int, int, int] = (0, 0, 0)

    def batch(self, stage: dict[str, Any]) -> Batch:
        """The next batch of a stage: so many clips of so many frames."""
        pool = self.settings["pool"]
        shape = (stage["made_frames"], *stage["size_hw"])
        if shape != self.shape:
            self.clips, self.owed, self.next, self.shape = [], float(pool["first"]), 0, shape
        self.owed += stage["clips"] / pool["uses"]
        while self.owed >= pool["together"]:
            self._make(pool["together"], pool["max_clips"])
            self.owed -= pool["together"]
        order = torch.randperm(len(self.clips), generator=self.maker.rng, device=self.maker.device)
        cut = [self._cut(self.clips[int(i)], stage["frames"]) for i in order[: stage["clips"]]]
        return Batch(*(torch.stack(part) for part in zip(*cut, strict=True)))

    def _make(self, b: int, max_clips: int) -> None:
        t, *size_hw = self.shape
        made = self.maker.batch(b, t, (size_hw[0], size_hw[1]), self.settings["points"]["made"])
        for k in range(b):
            keep = made.usable[k]
            if not bool(keep.any()):
                continue
            frames = (made.frames[k] * 255).round().byte()
            clip = _Clip(frames, made.xy[k][:, keep], made.visible[k][:, keep], made.known[k][:, keep])
            if len(self.clips) < max_clips:
                self.clips.append(clip)
            else:
                self.clips[self.next % max_clips] = clip
                self.next += 1

    def _cut(self, clip: _Clip, frames: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """A window, either way, mirrored or not, and points that are visible on its first frame."""
        rng, device = self.maker.rng, self.maker.device
        draw = torch.rand(3, generator=rng, device=device).tolist()
        first = int(draw[0] * (len(clip.frames) - frames + 1))
        order = torch.arange(first, first + frames, device=device)
        if draw[1] < 0.5:
            order = order.flip(0)
        given = clip.visible & clip.known
        if not bool(given[order[0]].any()):
            order = torch.arange(frames, device=device)  # all points are visible on frame 0
        image, xy = clip.frames[order].float() / 127.5 - 1, clip.xy[order]
        if draw[2] < 0.5:
            image = image.flip(3)
            xy = torch.stack([image.shape[3] - 1 - xy[..., 0], xy[..., 1]], -1)
        weight = given[order[0]].float()
        count = self.settings["points"]["count"]
        points = torch.multinomial(weight, count, int(weight.sum()) < count, generator=rng)
        return image, xy[:, points], clip.visible[order][:, points], clip.known[order][:, points]


class Trainer(Run):
    """A run of the point tracker."""

    network: NanoTrackerNetwork
    average: NanoTrackerNetwork

    def __init__(self, settings: dict[str, Any], data: Path, out: Path, device: str) -> None:
        super().__init__(NanoTrackerNetwork, settings, out, device)
        d = settings["data"]
        store = load_store(
            data, lambda path: not is_held_out(path, d["held_out"]), d["canvas"], d["smallest"], d["largest"], device
        )
        self.data = data
        self.pool = Pool(SceneMaker(store, settings, self.rng), settings)
        self._real: Pool | None = None
        self._clips: list[HeldOutClip] = []

    def stage(self) -> dict[str, Any]:
        """The stage that this step belongs to."""
        s = self.settings["train"]
        end = 0.0
        stages: list[dict[str, Any]] = s["stages"]
        for stage in stages:
            end += stage["fraction"]
            if self.step < end * s["steps"]:
                return stage
        return stages[-1]

    def batch(self) -> Batch:
        """The next batch: made, or as often as the stage says of real clips."""
        stage = self.stage()
        probability = stage.get("real", 0.0)
        if probability and float(torch.rand((), generator=self.rng, device=self.device)) < probability:
            return self._real_pool(stage).batch(stage)
        return self.pool.batch(stage)

    def _real_pool(self, stage: dict[str, Any]) -> Pool:
        """The pool of real clips; they are tracked with the network's average, once; a run that goes on takes these."""
        if self._real is None:
            path = self.out / "tracked.pt"
            if path.exists():
                tracked = [TrackedClip(*parts) for parts in torch.load(path, map_location=self.device, weights_only=True)]
            else:
                self.average.eval()
                seed = self.settings["seed"]
                tracked = track_clips(self.average, self.data, self.settings, stage["made_frames"], seed)
                self._write([(clip.frames, clip.xy, clip.known) for clip in tracked], path.name)
            assert isinstance(self.pool.maker, SceneMaker)
            self._real = Pool(RealMaker(tracked, self.pool.maker), self.settings)
        return self._real

    def loss(self) -> tuple[Tensor, int, dict[str, Tensor | float]]:
        """One batch, frame by frame."""
        batch = self.batch()
        # At the end the network learns with the statistics that it will run with.
        self.network.train(not self.falling())
        b, t = batch.frames.shape[:2]
        sums: dict[str, Tensor] = {}
        with torch.autocast(self.device_kind, dtype=torch.bfloat16, enabled=self.has_bfloat16):
            images = batch.frames.flatten(0, 1).contiguous(memory_format=torch.channels_last)
            fine, coarse = (f.unflatten(0, (b, t)) for f in self.network.encoder(images))
            state = self.network.step.begin(fine[:, 0], coarse[:, 0], batch.xy[:, 0])
            for k in range(1, t):
                state, details = self.network.step(fine[:, k], coarse[:, k], state)
                parts = self._losses(details, batch.xy[:, k], batch.visible[:, k], batch.known[:, k], coarse.shape[-2:])
                for name, value in parts.items():
                    sums[name] = sums.get(name, value.new_zeros(())) + value / (t - 1)
        weights = self.settings["loss"]
        loss = sum(weights.get(name, 1.0) * value for name, value in sums.items() if not name.startswith("_"))
        assert isinstance(loss, Tensor)
        return loss, b, {name.strip("_"): value.detach() for name, value in sums.items()}

    def _losses(self, details: StepDetails, xy: Tensor, visible: Tensor, known: Tensor, size: torch.Size) -> dict[str, Tensor]:
        s = self.settings["loss"]
        seen, judged = (visible & known).float(), known.float()
        counted = seen.sum().clamp(min=1)
        estimates = {
            "look": (
                details.starts,
                *details.estimates,
                xy.unsqueeze(2).expand(-1, -1, 2, -1),
                seen.unsqueeze(2).expand(-1, -1, 2),
                judged.unsqueeze(2).expand(-1, -1, 2),
            ),
            "place": (None, *details.final, xy, seen, judged),
        }
        losses = {
            "match": (_match_loss(details.match, xy, size) * seen).sum() / counted,
            "likeness": (_match_loss(_LIKENESS_SCALE * details.likeness, xy, size) * seen).sum() / counted,
            "visible": xy.new_zeros(()),
            "certain": xy.new_zeros(()),
        }
        for name, (start, location, visible_logit, certain_logit, gt_xy, there, counts) in estimates.items():
            error = (location - gt_xy).square().sum(-1).add(1e-4).sqrt()
            extent = torch.tensor([size[1] * COARSE - 1.0, size[0] * COARSE - 1.0], device=xy.device)
            inside = ((gt_xy > -16) & (gt_xy < extent + 16)).all(-1).float()
            begun = error.detach() if start is None else (start - gt_xy).norm(dim=-1)
            weight = counts * (there + s["hidden"] * (1 - there) * inside) * (begun < s["reach_px"]).float()
            losses[name] = (weight * _robust(error / 4)).sum() / weight.sum().clamp(min=1)
            bce = F.binary_cross_entropy_with_logits(visible_logit, there, reduction="none")
            losses["visible"] = losses["visible"] + (bce * counts).sum() / counts.sum().clamp(min=1) / 2
            near = (error.detach() < s["sure_px"]).float()
            weight = counts * (there + s["hidden"] * (1 - there) * inside)
            bce = F.binary_cross_entropy_with_logits(certain_logit, near, reduction="none")
            losses["certain"] = losses["certain"] + (bce * weight).sum() / weight.sum().clamp(min=1) / 2
        with torch.no_grad():
            error = (details.final[0] - xy).norm(dim=-1)
            losses["_within_4px"] = ((error < 4) * seen).sum() / counted
            found = (details.starts[:, :, 1] - xy).norm(dim=-1)
            losses["_found_8px"] = ((found < 8) * seen).sum() / counted
            right = ((details.final[1] > 0) == visible).float()
            losses["_seen_right"] = (right * judged).sum() / judged.sum().clamp(min=1)
        return losses

    def held_out(self) -> dict[str, float]:
        """TAP-Vid measures on clips of images that are not trained on."""
        if not self._clips:
            self._clips = list(held_out_clips(self.data, 24, 12, 1))
        self.average.eval()
        scores = []
        for clip in self._clips:
            xy, visible = track_points(self.average, clip, self.device)
            scores.append(
                tap_vid_score(xy, visible, clip.xy, clip.visible, torch.zeros(xy.shape[1]).long().numpy(), (160, 256))
            )
        mean = mean_tap_vid(scores)
        return {
            "average_jaccard": round(mean.average_jaccard, 4),
            "delta_avg": round(mean.delta_avg, 4),
            "occlusion_accuracy": round(mean.occlusion_accuracy, 4),
        }


@torch.no_grad()
def track_points(network: NanoTrackerNetwork, clip: HeldOutClip, device: str) -> tuple[Any, Any]:
    """Tracks (t, n, 2) and visibility (t, n) of the points of a clip."""
    xy, visible = [torch.from_numpy(clip.points_xy)], [torch.ones(len(clip.points_xy), dtype=torch.bool)]
    state = None
    for frame in clip.frames:
        image = torch.from_numpy(frame).to(device).permute(2, 0, 1)[None].float() / 127.5 - 1
        fine, coarse = network.encoder(image.contiguous(memory_format=torch.channels_last))
        if state is None:
            state = network.step.begin(fine, coarse, xy[0][None].to(device))
            continue
        state, _ = network.step(fine, coarse, state)
        xy.append(state.xy[0].cpu())
        visible.append(state.seen[0].cpu() > 0.5)
    return torch.stack(xy).numpy(), torch.stack(visible).numpy()


def _robust(cells: Tensor) -> Tensor:
    """Square near 0, linear beyond half a cell."""
    return torch.where(cells < 0.5, cells * cells, cells - 0.25)


def _match_loss(logits: Tensor, xy: Tensor, size: torch.Size) -> Tensor:
    """(b, n) cross-entropy of the match with the four cells about the true location, weighted as between them."""
    h, w = size
    limit = torch.tensor([w - 1.0, h - 1.0], device=xy.device)
    cell = torch.minimum(((xy + 0.5) / COARSE - 0.5).clamp(min=0), limit)
    low = torch.minimum(cell.floor(), (limit - 1).clamp(min=0))
    part = cell - low
    log = torch.log_softmax(logits.float(), -1)
    loss = torch.zeros_like(xy[..., 0])
    for dx in (0, 1):
        for dy in (0, 1):
            index = ((low[..., 1] + dy) * w + low[..., 0] + dx).long()
            weight = (part[..., 0] if dx else 1 - part[..., 0]) * (part[..., 1] if dy else 1 - part[..., 1])
            loss = loss - weight * torch.gather(log, 2, index.unsqueeze(-1))[..., 0]
    return loss


if __name__ == "__main__":
    command_line(__doc__, Path(__file__).with_name("config.toml"), Trainer)
