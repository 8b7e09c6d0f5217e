"""Train the click segmenter.

    python -m training.segmenter.train --data ../shared/training --out training-runs/segmenter [--steps N] [--device cuda]
        --start-from training/segmenter/weights.pt       or what training.segmenter.start wrote

What a run writes, and how it is stopped and gone on with: :mod:`training.run`.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.backends.onnx_files import open_session
from sampt.segmenters.nano import BUNDLED_WEIGHTS
from sampt.segmenters.nano.network import NanoNetwork
from sampt.segmenters.nano.runtime import INT8_SALIENCY, lay_over
from sampt.segmenters.nano.settings import NanoSettings
from training.data import load_training_store
from training.run import Run, command_line
from training.segmenter.appearances import load_appearances
from training.segmenter.augment import Batch, Maker, Prompts
from training.segmenter.evaluate import crop_iou
from training.segmenter.recorded import load_recorded

_MIN_KEPT = 0.3
"""What is left of features with channels missing is scaled up as if this fraction of them were there, if fewer are."""


class Trainer(Run):
    """A run of the click segmenter."""

    network: NanoNetwork
    average: NanoNetwork

    def __init__(self, settings: dict[str, Any], data: Path, out: Path, device: str) -> None:
        super().__init__(NanoNetwork, settings, out, device)
        self.data = data
        store = load_training_store(data, settings["data"], device)
        recorded = load_recorded(Path(settings["recorded"]["folder"]), store)
        appearances = load_appearances(Path(settings["memory"]["file"]), store)
        if appearances is None:
            print(f"There is no {settings['memory']['file']}: the object memory knows nothing in this run.", flush=True)
        self.maker = Maker(store, settings, self.rng, recorded, appearances)
        self.salient_on_cpu = None
        if device == "cpu":  # half the time, and what the segmenter computes there
            self.salient_on_cpu = open_session(BUNDLED_WEIGHTS / INT8_SALIENCY, "nano", threads=torch.get_num_threads())

    def held_out(self) -> dict[str, float]:
        d = self.settings["data"]
        return crop_iou(self.average, self.data, d["held_out"], d["held_out_things"])

    def rate_scale(self, name: str) -> float:
        new = ("decoder.memory_",)
        return 1.0 if name.startswith(new) else float(self.settings["train"]["learnt_scale"])

    def loss(self) -> tuple[Tensor, int, dict[str, Tensor | float]]:
        """Of both predictions for a batch: the first, and the one that has the first as previous mask."""
        batch = self.maker.batch()
        s = self.settings["train"]
        self.network.train()
        with torch.autocast(self.device_kind, dtype=torch.bfloat16, enabled=self.has_bfloat16):
            unknown, bare = (bool(self.maker.chance(s[name], 1)) for name in ("unknown", "bare"))
            features, inside = self.network.encode_crop(batch.image, batch.inside, self._doubted, knows=not (unknown and bare))
            if unknown:
                salient = self.network.without_saliency(batch.image)
            else:
                with torch.no_grad():
                    low, high = batch.view.cpu().numpy().reshape(-1, 2, 2).swapaxes(0, 1)
                    overlay = lay_over(low, high, batch.image.shape[-1])
                    salient = self.network.laid_over(self._salient(batch.seen), overlay)
            predictions = [self._predict((*features, *self._at_first(salient, batch.first), inside), batch.first, batch.memory)]
            prompts = self.maker.correct(batch, F.avg_pool2d(torch.sigmoid(predictions[0][0].detach().float()), 4))
            predictions.append(self._predict((*features, *salient, inside), prompts, batch.memory))
        masks, scores, clicks = (torch.zeros((), device=self.device) for _ in range(3))
        for (logits, score), given in zip(predictions, (batch.first, prompts), strict=True):
            masks = masks + _mask_loss(logits.float(), batch.target, batch.inside) / 2
            scores = scores + _score_loss(score.float(), logits, batch) / 2
            clicks = clicks + _click_loss(logits.float(), batch.target, given) / 2
        loss = masks + s["score_weight"] * scores + s["click_weight"] * clicks
        with torch.no_grad():
            iou = [float(_iou(logits, batch).mean()) for logits, _ in predictions]
        logged: dict[str, Tensor | float] = {"mask": masks, "score": scores, "clicks": clicks}
        logged |= {"iou_first": iou[0], "iou_second": iou[1]}
        return loss, len(batch.image), logged

    def _salient(self, seen: Tensor) -> Sequence[Tensor]:
        if self.salient_on_cpu is None:
            found: Sequence[Tensor] = self.network.saliency(seen)
            return found
        return [torch.from_numpy(m) for m in self.salient_on_cpu.run(None, {"picture": seen.contiguous().numpy()})]

    def _doubted(self, features: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        """Learnt features with channels missing.

        The encoder knows the training images by heart and new ones less well; backbone and saliency have never been fitted to
        either. Were the learnt features as good as they are here, the decoder would trust these two too little.
        """
        s = self.settings["train"]
        b = len(features[0])
        missing = self.maker.uniform(b, 1, high=s["doubt"]) * self.maker.switch(s["doubted"], b, 1)
        kept = ((self.maker.uniform(b, m.shape[1]) >= missing).float() / (1 - missing).clamp(min=_MIN_KEPT) for m in features)
        return tuple(m * k[..., None, None] for m, k in zip(features, kept, strict=True))

    def _at_first(self, salient: tuple[Tensor, ...], first: Prompts) -> tuple[Tensor, ...]:
        """What is salient, where the segmenter finds it out for its first windows, and for some others."""
        s = NanoSettings()
        few = ((first.labels == 1).sum(1) <= s.saliency_first) & (first.has_previous == 0)
        known = (few | self.maker.chance(self.settings["train"]["known_first"], len(few))).float().view(-1, 1, 1, 1)
        return tuple(m * known for m in salient)

    def _predict(self, known: tuple[Tensor, ...], p: Prompts, memory: Tensor) -> tuple[Tensor, Tensor]:
        prediction: tuple[Tensor, Tensor] = self.network.decoder(
            *known,
            p.points,
            p.labels,
            p.box,
            p.previous,
            p.has_previous,
            torch.zeros_like(p.has_previous),  # true and drawn points, which the general trust is learnt from
            memory,
        )
        return prediction


def _click_loss(logits: Tensor, target: Tensor, prompts: Prompts) -> Tensor:
    """Cross-entropy at the pixels under the clicks whose sign is right: these are to be obeyed to the pixel."""
    side = logits.shape[-1]
    grid = (prompts.points * (2 / side) - 1).unsqueeze(1)
    at = F.grid_sample(logits, grid, mode="nearest", align_corners=False)[:, 0, 0]
    truth = F.grid_sample(target, grid, mode="nearest", align_corners=False)[:, 0, 0]
    right = ((prompts.labels == truth) & (grid[:, 0].abs() < 1).all(-1)).float()
    entropy = F.binary_cross_entropy_with_logits(at, truth, right, reduction="none").sum(1)
    return (entropy / (right.sum(1) + 1)).mean()


def _mask_loss(logits: Tensor, target: Tensor, inside: Tensor) -> Tensor:
    """Cross-entropy and 1 - soft IoU, each sample counting alike.

    The cross-entropy is weighted so that object and background count half each to a part, small objects being few pixels.
    """
    fraction = target.mean((1, 2, 3), keepdim=True).clamp(0.02, 0.98)
    weight = inside * (0.5 + 0.25 * torch.where(target > 0.5, 1 / fraction, 1 / (1 - fraction)) * 0.5)
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
