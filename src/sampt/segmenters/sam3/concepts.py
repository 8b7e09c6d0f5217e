"""Words to masks: all objects of a frame that a short text names, by SAM 3's detector.

What the official processor does with its defaults (facebookresearch/sam3, ``Sam3Processor``): a query's score is that of its
being one of the objects times that of there being any; queries above 0.5 are found; a mask is where its logits, resized to the
frame, are above 0. It applies no non-maximum suppression, nor does this.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from sampt.backends.options import check_option
from sampt.backends.torch_networks import computing, load_exactly, repeatable, running_on
from sampt.checks import shape_repr
from sampt.errors import BackendError, ConfigError
from sampt.segmenters.automatic import check_frame
from sampt.segmenters.sam.checkpoint import fill_random
from sampt.segmenters.sam.resizing import Fit, to_square
from sampt.segmenters.sam.runtime import default_precision, reporting_memory
from sampt.segmenters.sam3.names import convert_concepts
from sampt.segmenters.sam3.network import build_concepts
from sampt.segmenters.sam3.weights import ConceptFiles
from sampt.types import BoolArray, FloatArray, UInt8Array
from sampt.weights import load_checkpoint

__all__ = ["MAX_TOKENS", "ConceptMask", "ConceptSegmenter"]

MAX_TOKENS = 32
"""Of a text, with one each for its begin and its end."""
_BEGIN, _END = 49406, 49407
_THRESHOLD = 0.5
_MAX_LOGITS = 1 << 25
"""Full-size logits made at a time on the device, but at least one object's."""

Tokenize = Callable[[str], list[int]]
"""The numbers of a text, begin and end included."""


@dataclass(frozen=True, eq=False)
class ConceptMask:
    """An object that a text names.

    Attributes:
        text: as given.
        mask: (h, w) bool; may have no pixel set.
        box_xyxy: (4,) float32, predicted beside the mask: first and last pixel, inclusive, within the frame.
        score: from 0 to 1.
    """

    text: str
    mask: BoolArray
    box_xyxy: FloatArray
    score: float

    __repr__ = shape_repr


class ConceptSegmenter:
    """SAM 3's detector for words. No randomness, no state between calls.

    Args:
        model: a ``Sam3Model`` on ``device``.
        tokenize: numbers of a text.
        device: where it runs.
        precision: a key of :data:`sampt.backends.torch_networks.PRECISIONS`.
    """

    def __init__(self, model: Any, tokenize: Tokenize, device: torch.device, precision: str = "float32") -> None:
        self._model, self._tokenize, self._device, self._precision = model, tokenize, device, precision

    @classmethod
    def load(cls, files: ConceptFiles | None, device: str, *, precision: str = "auto") -> ConceptSegmenter:
        """See :func:`sampt.segmenters.sam3.create_concepts`; None stands for random weights."""
        check_option("precision", precision)
        with running_on(device, "sam3") as location, reporting_memory("sam3", location):
            chosen = default_precision(location) if precision == "auto" else precision
            with repeatable():
                model = build_concepts()
            if files is None:
                fill_random(model)
            else:
                state = convert_concepts(load_checkpoint(files.weights))
                expected = "model.safetensors of https://huggingface.co/facebook/sam3"
                load_exactly(model, state, name="sam3", path=files.weights, other=None, expected=expected)
            tokenize = number_bytes if files is None else _Tokenizer(files.tokenizer)
            return cls(model.to(location), tokenize, location, chosen)

    @torch.inference_mode()
    def find(
        self, frame_rgb: UInt8Array, text: str | Sequence[str], *, score_threshold: float = _THRESHOLD
    ) -> list[ConceptMask]:
        """All objects that ``text`` names on a frame.

        Args:
            frame_rgb: (h, w, 3) uint8 RGB.
            text: a short noun phrase in English ("a dog", "yellow school bus"), or several; the frame is encoded once.
            score_threshold: objects have a greater score; from 0 to 1.

        Returns:
            At most 200 for each text, by texts, then best score first.

        Raises:
            VideoError: the frame has another shape or type, or no pixel.
            ConfigError: the threshold is out of range.
            BackendError: a text is empty or longer than 32 tokens, or the device's memory is too small.
        """
        size_hw = check_frame(frame_rgb, "sam3")
        if not 0 <= score_threshold <= 1:
            raise ConfigError(f"score_threshold got {score_threshold!r}, expected 0 to 1.")
        texts = [text] if isinstance(text, str) else list(text)
        numbers = [self._number(one) for one in texts]
        found: list[ConceptMask] = []
        with reporting_memory("sam3", self._device), computing(self._device.type, self._precision):
            seen = self._model.vision_encoder(self._to_square(frame_rgb, size_hw))
            for one, (ids, is_used) in zip(texts, numbers, strict=True):
                outputs = self._model(vision_embeds=seen, input_ids=ids, attention_mask=is_used)
                found += _masks(outputs, one, size_hw, score_threshold)
        return found

    @cached_property
    def _side(self) -> int:
        return int(self._model.config.vision_config.image_size)

    def _to_square(self, frame: UInt8Array, size_hw: tuple[int, int]) -> Tensor:
        """(1, 3, side, side) from -1 to 1. The official program resizes 8-bit images, so values lie on their steps."""
        square = to_square(frame[None], Fit.stretched(size_hw, self._side, is_centered=True), self._device)
        return ((square + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1

    def _number(self, text: str) -> tuple[Tensor, Tensor]:
        """(1, 32) numbers of a text, filled up, and (1, 32) where they count."""
        if not text.strip():
            raise BackendError("'sam3' got an empty text, expected a few words that name a kind of object, such as 'a dog'.")
        numbers = self._tokenize(text)
        if len(numbers) > MAX_TOKENS:
            raise BackendError(
                f"'sam3' got a text of {len(numbers)} tokens, {text[:40]!r}..., expected at most {MAX_TOKENS}: name one kind "
                "of object in a few words."
            )
        filled = numbers + [_END] * (MAX_TOKENS - len(numbers))
        is_used = [1] * len(numbers) + [0] * (MAX_TOKENS - len(numbers))
        return torch.tensor([filled], device=self._device), torch.tensor([is_used], device=self._device)


class _Tokenizer:
    """The published one, read by the package `tokenizers`."""

    def __init__(self, path: Any) -> None:
        from tokenizers import Tokenizer

        try:
            self._tokenizer = Tokenizer.from_file(str(path))
        except Exception as error:  # of a kind that the package does not name
            line = " ".join(str(error).split())[:120]
            raise BackendError(
                f"{path} cannot be read as a tokenizer ({line}); expected tokenizer.json of https://huggingface.co/facebook/sam3."
            ) from error
        self._tokenizer.no_padding()
        self._tokenizer.no_truncation()

    def __call__(self, text: str) -> list[int]:
        numbers: list[int] = self._tokenizer.encode(text).ids
        return numbers


def number_bytes(text: str) -> list[int]:
    """For random weights, to which words mean nothing: a number for each byte."""
    return [_BEGIN, *text.strip().lower().encode(), _END]


def _masks(outputs: Any, text: str, size_hw: tuple[int, int], threshold: float) -> list[ConceptMask]:
    """What was found for one text on one frame."""
    scores = (outputs.pred_logits[0].float().sigmoid() * outputs.presence_logits[0].float().sigmoid()).cpu().numpy()
    order = np.argsort(-scores, kind="stable")
    chosen = order[scores[order] > threshold]
    height, width = size_hw
    boxes = outputs.pred_boxes[0].float().cpu().numpy() * np.array([width, height, width, height], np.float32)
    boxes = np.clip(boxes - np.array([0, 0, 1, 1], np.float32), 0, np.array([width - 1, height - 1] * 2, np.float32))
    together = max(1, _MAX_LOGITS // (height * width))
    found = []
    for start in range(0, len(chosen), together):
        part = chosen[start : start + together]
        logits = outputs.pred_masks[0, torch.from_numpy(part)].float()
        full = F.interpolate(logits[:, None], size_hw, mode="bilinear", align_corners=False)[:, 0] > 0
        masks = full.cpu().numpy()
        for k, mask in zip(part, masks, strict=True):
            mask.setflags(write=False)
            found.append(ConceptMask(text, mask, boxes[k], float(scores[k])))
    return found
