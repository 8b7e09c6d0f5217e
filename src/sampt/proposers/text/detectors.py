"""OWLv2 and Grounding DINO, by ``transformers``: words to boxes, of which the segmenter of the frame makes masks.

What the official programs do with their defaults. OWLv2 sees the frame with grey added to a square, and each phrase by itself;
a query of the image is the phrase that its logit is greatest for. Grounding DINO sees the frame reduced in proportion, and all
phrases as one text, each ended by a full stop; a query is the phrase with the greatest logit among its tokens.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from transformers import (
    AutoTokenizer,
    GroundingDinoConfig,
    GroundingDinoForObjectDetection,
    Owlv2Config,
    Owlv2ForObjectDetection,
)
from transformers.utils import logging

from sampt.backends.table import PROPOSERS
from sampt.backends.torch_networks import repeatable, running_on
from sampt.errors import BackendError
from sampt.files.limits import parse_json, read_bounded
from sampt.proposers.base import MAX_PROPOSALS, Proposal, ProposerFrame, ProposerInfo, masks_of_boxes
from sampt.proposers.text.files import TextFiles
from sampt.segmenters.automatic import distinct_boxes
from sampt.segmenters.sam.checkpoint import fill_random
from sampt.segmenters.sam.runtime import reporting_memory
from sampt.types import FloatArray, UInt8Array
from sampt.weights import load_checkpoint

__all__ = ["FAMILIES", "TextProposer"]

_SAME_BOX = 0.5
"""IoU above which of two boxes of one phrase only the better one counts."""
_CLIP = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
"""Means and deviations of the images that a network was trained on, RGB from 0 to 1."""
_GREY = 0.5
_SHORTEST, _LONGEST = 800, 1333
"""Sides that Grounding DINO sees a frame with: the shorter one, unless the longer one becomes too long."""
_MAX_CONFIG_BYTES = 1 << 20
_BEGIN, _END = 49406, 49407
_CLS, _SEP, _STOP = 101, 102, 1012
"""Numbers of tokens: OWLv2's begin and end; Grounding DINO's begin, end and full stop, which its program counts on, too."""

Tokenize = Callable[[str], list[int]]
"""The numbers of a phrase, without begin and end."""


@dataclass(frozen=True)
class Found:
    """Boxes on a frame.

    Attributes:
        edges: (n, 4) float32 x and y of their first and last edges, in pixels of the frame from its corner.
        scores: (n, p) float32 from 0 to 1, of each phrase.
    """

    edges: FloatArray
    scores: FloatArray


class _Owlv2:
    """OWLv2; tokens are numbered once."""

    threshold = 0.1

    def __init__(self, model: Any, tokenize: Tokenize, phrases: Sequence[str], device: torch.device) -> None:
        self._model, self._device = model, device
        self._side = int(model.config.vision_config.image_size)
        room = int(model.config.text_config.max_position_embeddings)
        numbers = [[_BEGIN, *tokenize(phrase), _END] for phrase in phrases]
        _check_length("text", phrases, numbers, room)
        self._ids = torch.tensor([one + [0] * (room - len(one)) for one in numbers], device=device)
        self._is_used = torch.tensor([[1] * len(one) + [0] * (room - len(one)) for one in numbers], device=device)

    def find(self, frame: UInt8Array) -> Found:
        longest = max(frame.shape[:2])
        square = np.full((longest, longest, 3), _GREY, np.float32)
        square[: frame.shape[0], : frame.shape[1]] = frame / np.float32(255)
        image = _to_tensor(_resize(square, (self._side, self._side)), _CLIP, self._device)
        out = self._model(input_ids=self._ids, attention_mask=self._is_used, pixel_values=image)
        scores = out.logits[0].float().sigmoid().cpu().numpy()
        return Found(_edges(out.pred_boxes[0], (longest, longest)), scores)


class _GroundingDino:
    """Grounding DINO; all phrases are one text."""

    threshold = 0.25

    def __init__(self, model: Any, tokenize: Tokenize, phrases: Sequence[str], device: torch.device) -> None:
        self._model, self._device = model, device
        ids, self._spans = [_CLS], []
        for phrase in phrases:
            own = tokenize(phrase.lower())
            self._spans.append(slice(len(ids), len(ids) + len(own)))
            ids += [*own, _STOP]
        ids.append(_SEP)
        room = min(int(model.config.max_text_len), int(model.config.text_config.max_position_embeddings))
        _check_length("text-grounding-dino", [", ".join(phrases)], [ids], room)
        self._ids = torch.tensor([ids], device=device)

    def find(self, frame: UInt8Array) -> Found:
        height, width = frame.shape[:2]
        scale = min(_SHORTEST / min(height, width), _LONGEST / max(height, width))
        size_hw = max(1, round(height * scale)), max(1, round(width * scale))
        image = _to_tensor(_resize(frame / np.float32(255), size_hw), _IMAGENET, self._device)
        out = self._model(
            pixel_values=image,
            pixel_mask=torch.ones((1, *size_hw), dtype=torch.long, device=self._device),
            input_ids=self._ids,
            attention_mask=torch.ones_like(self._ids),
            token_type_ids=torch.zeros_like(self._ids),
        )
        tokens = out.logits[0].float().sigmoid().cpu().numpy()
        scores = np.stack([tokens[:, span].max(1) for span in self._spans], 1)
        return Found(_edges(out.pred_boxes[0], (height, width)), scores)


@dataclass(frozen=True)
class Family:
    """A kind of network.

    Attributes:
        config: its class of sizes.
        published: the sizes of the published network, arguments of ``config``.
        model: its class.
        reader: finds boxes with it.
        model_type: as ``transformers`` calls it.
    """

    config: Any
    published: dict[str, Any]
    model: Any
    reader: type[_Owlv2] | type[_GroundingDino]
    model_type: str


FAMILIES = {
    "text": Family(Owlv2Config, {"vision_config": {"image_size": 960}}, Owlv2ForObjectDetection, _Owlv2, "owlv2"),
    "text-grounding-dino": Family(GroundingDinoConfig, {}, GroundingDinoForObjectDetection, _GroundingDino, "grounding-dino"),
}


class TextProposer:
    """What phrases name: boxes by a detector, masks by the segmenter of the frame. No randomness, no state.

    Args:
        name: of the proposer.
        reader: the detector.
        phrases: what is looked for.
        device: where the detector runs.
    """

    def __init__(self, name: str, reader: _Owlv2 | _GroundingDino, phrases: tuple[str, ...], device: torch.device) -> None:
        self.info: ProposerInfo = replace(PROPOSERS[name].info, device=str(device))
        self._reader, self._phrases, self._device = reader, phrases, device

    @classmethod
    def load(cls, name: str, files: TextFiles | None, phrases: tuple[str, ...], device: str) -> TextProposer:
        """See :func:`sampt.proposers.text.create`; None stands for random weights."""
        family = FAMILIES[name]
        with running_on(device, name) as location, reporting_memory(name, location):
            model = _load_model(name, family, files).to(location).eval().requires_grad_(False)
            tokenize = _number_bytes if files is None else _load_words(name, family, files)
            return cls(name, family.reader(model, tokenize, phrases, location), phrases, location)

    @torch.inference_mode()
    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`sampt.proposers.base.Proposer.propose`.

        Raises:
            BackendError: the device's memory is too small.
        """
        with reporting_memory(self.info.name, self._device):
            found = self._reader.find(frame.image)
        phrase = found.scores.argmax(1)
        scores = found.scores.max(1)
        boxes = _clip_to_frame(found.edges, frame.size_hw)
        rows = np.flatnonzero((scores > self._reader.threshold) & (boxes[:, 2] >= boxes[:, 0]) & (boxes[:, 3] >= boxes[:, 1]))
        kept: list[int] = []
        for one in range(len(self._phrases)):
            own = rows[phrase[rows] == one]
            if len(own):
                kept += own[distinct_boxes(boxes[own].astype(np.int64), scores[own], _SAME_BOX, MAX_PROPOSALS)].tolist()
        best = sorted(kept, key=lambda k: -scores[k])[:MAX_PROPOSALS]
        if not best:
            return []
        return masks_of_boxes(frame, boxes[best], scores[best], [self._phrases[phrase[k]] for k in best])


def _check_length(name: str, phrases: Sequence[str], numbers: Sequence[list[int]], room: int) -> None:
    for phrase, one in zip(phrases, numbers, strict=True):
        if len(one) > room:
            shown = phrase if len(phrase) <= 40 else f"{phrase[:40]}..."
            raise BackendError(
                f"{name!r} got words of {len(one)} tokens, {shown!r}, expected at most {room}: name a kind of object "
                "in a few words."
            )


def _resize(image: np.ndarray, size_hw: tuple[int, int]) -> np.ndarray:
    """(h, w, 3) float32; a mean where it becomes smaller."""
    shrinks = size_hw[0] < image.shape[0] and size_hw[1] < image.shape[1]
    return np.asarray(cv2.resize(image, size_hw[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR))


def _to_tensor(image: np.ndarray, trained_on: tuple[tuple[float, ...], tuple[float, ...]], device: torch.device) -> Tensor:
    """(1, 3, h, w) of an (h, w, 3) image from 0 to 1."""
    mean, deviation = (np.array(v, np.float32) for v in trained_on)
    return torch.from_numpy(np.ascontiguousarray(((image - mean) / deviation).transpose(2, 0, 1)[None])).to(device)


def _edges(boxes: Tensor, size_hw: tuple[int, int]) -> FloatArray:
    """Edges of (n, 4) boxes of centre and size, fractions of the sides."""
    x, y, width, height = boxes.float().cpu().numpy().T
    edges = np.stack([x - width / 2, y - height / 2, x + width / 2, y + height / 2], 1)
    return np.asarray(edges * np.array([*size_hw[::-1], *size_hw[::-1]]), np.float32)


def _clip_to_frame(edges: FloatArray, size_hw: tuple[int, int]) -> FloatArray:
    """(n, 4) first and last pixels of boxes with these edges; the last before the first where nothing is in the frame."""
    height, width = size_hw
    first = np.clip(np.floor(edges[:, :2] + 0.5), 0, None)
    last = np.clip(np.ceil(edges[:, 2:] - 0.5) - 1, None, [width - 1, height - 1])
    return np.asarray(np.concatenate([first, last], 1), np.float32)


def _load_model(name: str, family: Family, files: TextFiles | None) -> Any:
    config = _read_config(name, family, files)
    if files is None:
        with repeatable():
            model = family.model(config)
        fill_random(model)  # some parameters are made with whatever lies in memory
        return model
    state = load_checkpoint(files.weights)
    expected = f"model.safetensors of a network of the type {family.model_type}, with the config.json beside it"
    try:
        with repeatable(), _quiet():
            model, report = family.model.from_pretrained(
                None, config=config, state_dict=state, output_loading_info=True, dtype=torch.float32
            )
    except (RuntimeError, ValueError, KeyError) as error:
        raise BackendError(f"{name!r} got weights of another network in {files.weights}; expected {expected}.") from error
    wrong = sorted({*report["missing_keys"], *(str(key) for key in report["mismatched_keys"])})
    if wrong:
        raise BackendError(
            f"{name!r} got weights of another network in {files.weights}: {len(wrong)} parameters are missing or of another "
            f"size, the first is {wrong[0]!r}. Expected {expected}."
        )
    return model


@contextmanager
def _quiet() -> Iterator[None]:
    """Without the progress and the reports that ``transformers`` prints while it loads."""
    verbosity, shows = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if shows:
            logging.enable_progress_bar()


def _read_config(name: str, family: Family, files: TextFiles | None) -> Any:
    given = family.published
    if files is not None and files.config is not None:
        try:
            given = parse_json(read_bounded(files.config, _MAX_CONFIG_BYTES, "the sizes of a network"))
            if given["model_type"] != family.model_type:
                raise ValueError(f"it is of the type {given['model_type']!r}")
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise BackendError(f"{name!r} got {files.config} ({error}); expected that of {family.model_type!r}.") from error
    config = family.config.from_dict(dict(given)) if given is not family.published else family.config(**given)
    config.disable_custom_kernels = True  # they would be fetched
    return config


def _load_words(name: str, family: Family, files: TextFiles) -> Tokenize:
    """The published tokenizer: ``transformers`` reads a folder."""
    with tempfile.TemporaryDirectory() as folder:
        for file, path in files.words.items():
            shutil.copyfile(path, Path(folder, file))
        Path(folder, "config.json").write_text(json.dumps({"model_type": family.model_type}), encoding="utf-8")
        try:
            tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # of kinds that the packages do not name
            line = " ".join(str(error).split())[:120]
            first = next(iter(files.words.values()))
            raise BackendError(
                f"{first} cannot be read as a tokenizer of {name!r} ({line}); expected the published file."
            ) from error
    return lambda text: list(tokenizer(text, add_special_tokens=False)["input_ids"])


def _number_bytes(text: str) -> list[int]:
    """For random weights, to which words mean nothing: numbers of some bytes, none of which is a full stop's."""
    return [2000 + byte for byte in text.lower().encode()[:8]]
