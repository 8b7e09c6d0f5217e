"""Train the click segmenter from scratch.

    python -m training.segmenter.train --data ../shared/training --out training-runs/segmenter [--steps N] [--device cuda]

What a run writes, and how it is stopped and gone on with: :mod:`training.run`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.segmenters.nano.network import NanoNetwork
from training.data import load_store, sequence_of
from training.run import Run, command_line
from training.segmenter.augment import Batch, Maker, Prompts
from training.segmenter.evaluate import crop_iou


class Trainer(Run):
    """A run of the click segmenter."""

    network: NanoNetwork
    average: NanoNetwork

    def __init__(self, settings: dict[str, Any], data: Path, out: Path, device: str) -> None:
        super().__init__(NanoNetwork, settings, out, device)
        d = settings["data"]
        store = load_store(
            data, lambda path: sequence_of(path) not in d["held_out"], d["canvas"], d["smallest"], d["largest"], device
        )
        self.data = data
        self.maker = Maker(store, settings, self.rng)

    def held_out(self) -> dict[str, float]:
        return crop_iou(self.average, self.data, self.settings["data"]["held_out"])

    def loss(self) -> tuple[Tensor, int, dict[str, Tensor | float]]:
        """Both answers to a batch: the first, and the one that was shown the first."""
        batch = self.maker.batch()
        self.network.train()
        with torch.autocast(self.device.split(":")[0], dtype=torch.bfloat16):
            features, inside = self.network.encode_crop(batch.picture, batch.inside)
            first, first_score = self._decode(features, inside, batch.first)
            second_prompts = self._again(batch, first)
            second, second_score = self._decode(features, inside, second_prompts)
        masks = sum(_mask_loss(logits.float(), batch.target, batch.inside) for logits in (first, second)) / 2
        answers = ((first_score, first), (second_score, second))
        scores = sum(_score_loss(score.float(), logits, batch) for score, logits in answers) / 2
        loss = masks + self.settings["train"]["score_weight"] * scores
        assert isinstance(loss, Tensor)
        with torch.no_grad():
            iou = [float(_iou(x, batch).mean()) for x in (first, second)]
        logged = {"mask": masks, "score": scores, "iou_first": iou[0], "iou_second": iou[1]}
        return loss, len(batch.picture), logged

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


if __name__ == "__main__":
    command_line(__doc__, Path(__file__).with_name("config.toml"), Trainer)
