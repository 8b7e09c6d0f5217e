"""The Segment Anything family behind the seam of a segmenter: frames in, masks out, as the official predictor does it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from sampt.errors import BackendError
from sampt.segmenters.base import SegmenterInfo
from sampt.segmenters.sam.checkpoint import load_network
from sampt.segmenters.sam.models import SamModel
from sampt.segmenters.sam.picture import Fit, boxes_of, to_square, upsample
from sampt.segmenters.sam.prompts import batch_of, group
from sampt.torch_networks import running_on
from sampt.types import MaskPrediction, ObjectPrompt, UInt8Array

if TYPE_CHECKING:
    from sampt.segmenters.sam.network import FrameFeatures, SamNetwork

__all__ = ["SamEmbedding", "SamSegmenter"]

_ENCODE_BATCH = {"cpu": 1}
_ENCODE_BATCH_ELSEWHERE = 4
_MOST_TOGETHER = 16
"""Prompts decoded at a time: each takes some 50 MB in between."""
_MOST_LOGITS = 1 << 25
"""Full-size logits made at a time on the device, but at least one object's."""


@dataclass(frozen=True, eq=False)
class SamEmbedding:
    """A frame that the network has looked at: its features, on the device, and how it lies in the network's square."""

    features: FrameFeatures
    fit: Fit


class SamSegmenter:
    """A model of the family; fills :class:`~sampt.segmenters.base.PromptableSegmenter`.

    Prompts get the single-mask output, as in SAM-PT; the score is the predicted IoU, clipped to [0, 1]; ``low_res_logits`` are
    a (256, 256) tensor on the device. No randomness, no state.

    Args:
        model: what it is.
        load: gives the network, on the CPU; called once, when the network is first needed.
        device: where it runs.
        has_weights: False for random ones.
    """

    def __init__(
        self, model: SamModel, load: Callable[[], SamNetwork], device: torch.device, *, has_weights: bool = False
    ) -> None:
        self._model, self._load, self._device, self._has_weights = model, load, device, has_weights

    @classmethod
    def load(cls, model: SamModel, path: Path | None, device: str) -> SamSegmenter:
        """See :func:`sampt.segmenters.sam.models.create_model`; weights at a path are loaded now, random ones when needed."""
        with running_on(device, model.name) as place:
            segmenter = cls(model, partial(load_network, model, path), place, has_weights=path is not None)
            if path is not None:
                _ = segmenter.network
        return segmenter

    @cached_property
    def network(self) -> SamNetwork:
        """The network, on the device."""
        return self._load().to(self._device)

    @property
    def info(self) -> SegmenterInfo:
        return SegmenterInfo(
            name=self._model.name,
            licence_code="Apache-2.0",
            licence_weights="Apache-2.0" if self._has_weights else None,
            encode_batch=_ENCODE_BATCH.get(self._device.type, _ENCODE_BATCH_ELSEWHERE),
            device=str(self._device),
            source=self._model.source,
        )

    @torch.inference_mode()
    def encode(self, frames: UInt8Array) -> Sequence[SamEmbedding]:
        """Look at (b, h, w, 3) uint8 RGB frames, ``info.encode_batch`` at a time.

        Raises:
            BackendError: the device's memory is too small.
        """
        fit = self.network.fit((frames.shape[1], frames.shape[2]))
        size = self.info.encode_batch
        embeddings: list[SamEmbedding] = []
        with self._memory():
            for start in range(0, len(frames), size):
                part = frames[start : start + size]
                seen = self.network.encode(to_square(part, fit, self._device))
                embeddings += [SamEmbedding(seen.at(k), fit) for k in range(len(part))]
        return embeddings

    @torch.inference_mode()
    def decode(
        self, embedding: SamEmbedding, prompts: Sequence[ObjectPrompt], *, full_size: bool = True
    ) -> list[MaskPrediction]:
        """Answer all prompts in batches; see :meth:`~sampt.segmenters.base.PromptableSegmenter.decode`.

        Raises:
            BackendError: a prompt has neither a positive point nor a box, or logits of another size, or the device's memory is
                too small.
        """
        answers: dict[int, MaskPrediction] = {}
        network, fit = self.network, embedding.fit
        with self._memory():
            for members in group(prompts, _MOST_TOGETHER, ends_boxes=network.ends_boxes):
                asked = [prompts[k] for k in members]
                batch = batch_of(asked, fit, network.mask_side, self._device, self._model.name, ends_boxes=network.ends_boxes)
                logits, iou = network.predict(embedding.features, batch)
                found = _answers(asked, logits[:, 0], iou[:, 0], fit, full_size, network.logit_limit)
                answers |= zip(members, found, strict=True)
        return [answers[k] for k in range(len(prompts))]

    @contextmanager
    def _memory(self) -> Iterator[None]:
        try:
            yield
        except torch.OutOfMemoryError as error:
            raise BackendError(
                f"{self._model.name!r} needs more memory than {self._device} has free; choose a smaller model, "
                "'mobile-sam' say, or device 'cpu'."
            ) from error


def _answers(
    prompts: Sequence[ObjectPrompt], low_res: Tensor, iou: Tensor, fit: Fit, full_size: bool, limit: float | None
) -> list[MaskPrediction]:
    """Low-resolution logits (n, m, m) and IoU (n,) as answers; only what the caller sees leaves the device."""
    kept = low_res if limit is None else low_res.clamp(-limit, limit)
    scores = np.clip(iou.float().cpu().numpy(), 0, 1)
    size = max(1, _MOST_LOGITS // (fit.size_hw[0] * fit.size_hw[1]))
    answers: list[MaskPrediction] = []
    for start in range(0, len(prompts), size):
        full = upsample(low_res[start : start + size].float(), fit)
        boxes = boxes_of(full).cpu().numpy()
        arrays = full.cpu().numpy() if full_size else None
        for k, box in enumerate(boxes):
            at = start + k
            answers.append(
                MaskPrediction(
                    prompts[at].object_id,
                    float(scores[at]),
                    kept[at],
                    box[:4].astype(np.float32) if box[4] > 1 else None,
                    None if arrays is None else arrays[k],
                )
            )
    return answers
