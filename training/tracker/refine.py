"""Train the second look of the point tracker: the same points in a larger image.

    python -m training.tracker.refine --data ../shared/training --out training-runs/refinement [--steps N] [--device cuda]

Encoder and step stay as they are. The step tracks the points through a clip half as large; the refinement, which began as
a copy of the step's own look, learns to say where they are in the full one. Runs, checkpoints: :mod:`training.run`.
"""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.backends.folded import load_folded
from sampt.trackers.nano import BUNDLED_WEIGHTS
from sampt.trackers.nano.network import NanoTrackerNetwork, NanoTrackerRefinement
from training.run import command_line
from training.tracker.scenes import held_out_scenes
from training.tracker.train import Trainer

_WITHIN_PX = (2, 4, 8, 16)


class RefinementTrainer(Trainer):
    """A run of the refinement; ``network`` and ``average`` are the refinement alone.

    Settings as for the tracker, and a table ``refinement``: ``reduced``, by which the image of the step is smaller.
    """

    network: NanoTrackerRefinement  # type: ignore[assignment]
    average: NanoTrackerRefinement  # type: ignore[assignment]

    def __init__(self, settings: dict[str, Any], data: Path, out: Path, device: str) -> None:
        self.tracker = load_folded(NanoTrackerNetwork, BUNDLED_WEIGHTS, ("encoder", "step")).to(device).requires_grad_(False)
        super().__init__(settings, data, out, device)

    def make(self) -> NanoTrackerRefinement:
        """It begins with what the step knows of comparing."""
        refinement = NanoTrackerRefinement()
        refinement.load_state_dict({k: v for k, v in copy.deepcopy(self.tracker.step.state_dict()).items() if k != "match"})
        return refinement.requires_grad_(True)

    def loss(self) -> tuple[Tensor, int, dict[str, Tensor | float]]:
        """One batch, frame by frame."""
        batch = self.batch()
        b, t = batch.frames.shape[:2]
        with torch.no_grad():
            features, given, seen = self.tracked(batch.frames, batch.xy[:, 0])
        sums: dict[str, Tensor] = {}
        state = self.network.begin(features[0][:, 0], features[1][:, 0], batch.xy[:, 0])
        for k in range(1, t):
            fine, coarse = features[0][:, k], features[1][:, k]
            state, look = self.network(fine, coarse, state, given[k], seen[k])
            parts = self.look_losses(look, batch.xy[:, k], batch.visible[:, k], batch.known[:, k], coarse.shape[-2:])
            with torch.no_grad():
                there = (batch.visible[:, k] & batch.known[:, k]).float()
                for name, xy in (("_given_4px", given[k]), ("_taken_4px", state.xy)):
                    near = ((xy - batch.xy[:, k]).norm(dim=-1) < 4) * there
                    parts[name] = near.sum() / there.sum().clamp(min=1)
            for name, value in parts.items():
                sums[name] = sums.get(name, value.new_zeros(())) + value / (t - 1)
        weights = self.settings["loss"]
        loss = sum(weights.get(name, 1.0) * value for name, value in sums.items() if not name.startswith("_"))
        assert isinstance(loss, Tensor)
        return loss, b, {name.strip("_"): value.detach() for name, value in sums.items()}

    def tracked(self, frames: Tensor, xy: Tensor) -> tuple[tuple[Tensor, Tensor], list[Tensor], list[Tensor]]:
        """Features of (b, t, 3, h, w) frames, (b, t, c, h', w'), and where the step says that (b, n, 2) points are on each.

        Positions are pixels of the frames.
        """
        b, t = frames.shape[:2]
        by = self.settings["refinement"]["reduced"]
        images = frames.flatten(0, 1)
        fine, coarse = (f.unflatten(0, (b, t)) for f in self.tracker.encoder(images))
        small = F.avg_pool2d(images, by)
        small_fine, small_coarse = (f.unflatten(0, (b, t)) for f in self.tracker.encoder(small))
        state = self.tracker.step.begin(small_fine[:, 0], small_coarse[:, 0], (xy + 0.5) / by - 0.5)
        given, seen = [xy], [torch.ones_like(xy[..., 0])]
        for k in range(1, t):
            state, _ = self.tracker.step(small_fine[:, k], small_coarse[:, k], state)
            given.append((state.xy + 0.5) * by - 0.5)
            seen.append(state.seen)
        return (fine, coarse), given, seen

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """The fraction of visible points within so many pixels on scenes of images that are not trained on."""
        if not self._clips:
            size_hw = self.settings["train"]["stages"][-1]["size_hw"]
            self._clips = list(held_out_scenes(self.data, self.settings, 16, 6, 1, (size_hw[0], size_hw[1])))
        self.average.eval()
        errors, before = [], []
        for clip in self._clips:
            frames = torch.from_numpy(clip.frames).to(self.device).permute(0, 3, 1, 2)[None].float() / 127.5 - 1
            points = torch.from_numpy(clip.points_xy).to(self.device)[None]
            features, given, seen = self.tracked(frames, points)
            state = self.average.begin(features[0][:, 0], features[1][:, 0], points)
            for k in range(1, len(clip.frames)):
                state, _ = self.average(features[0][:, k], features[1][:, k], state, given[k], seen[k])
                there = clip.visible[k]
                errors.append(np.linalg.norm(state.xy[0].cpu().numpy() - clip.xy[k], axis=-1)[there])
                before.append(np.linalg.norm(given[k][0].cpu().numpy() - clip.xy[k], axis=-1)[there])
        return {
            f"{name}_{limit}px": round(float((np.concatenate(found) < limit).mean()), 4)
            for name, found in (("given", before), ("taken", errors))
            for limit in _WITHIN_PX
        }


if __name__ == "__main__":
    command_line(__doc__, Path(__file__).with_name("refine.toml"), RefinementTrainer)
