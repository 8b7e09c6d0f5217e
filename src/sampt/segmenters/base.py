"""What a promptable segmenter is: the interface that every backend fills.

Encode a frame once, decode any number of prompts for it. A segmenter keeps no state between calls: what ``encode`` returns is
all that ``decode`` needs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np

from sampt.backends.spec import SegmenterInfo
from sampt.errors import BackendError
from sampt.types import BoolArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = [
    "MaskSegmenter",
    "PromptableSegmenter",
    "RefinementPlan",
    "RefiningSegmenter",
    "SegmenterInfo",
    "SegmenterView",
    "SizedEmbeddings",
    "StorableEmbeddings",
    "check_prompt",
    "innermost",
]


@runtime_checkable
class PromptableSegmenter(Protocol):
    """Turns points, boxes and previous logits into masks, like Segment Anything with single-mask output."""

    @property
    def info(self) -> SegmenterInfo: ...

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        """Look at (b, h, w, 3) uint8 RGB frames once.

        Returns:
            b embeddings, one a frame; opaque to everybody but ``decode``.
        """
        ...

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        """Predict for all ``prompts`` about one frame together.

        Args:
            embedding: one item that ``encode`` returned.
            prompts: any number of them, with any numbers of points; each has at least one positive point or a box. The
                prediction to one does not depend on the others.
            full_size: False when only ``low_res_logits`` and the box are wanted; ``logits`` is then None.

        Returns:
            One prediction a prompt, in order.
        """
        ...


@runtime_checkable
class MaskSegmenter(Protocol):
    """What a segmenter may add: a mask that somebody else made, a person say, becomes ``mask_logits`` of a prompt.

    Its ``info.has_mask_logits`` is True.
    """

    def make_mask_logits(self, mask: BoolArray) -> Any:
        """What ``low_res_logits`` would be of a sure prediction that is this (h, w) mask, with at least one pixel set."""
        ...


@runtime_checkable
class SizedEmbeddings(Protocol):
    """What a segmenter may add: it knows how large its embeddings are, so that they can be kept within a number of bytes."""

    def embedding_bytes(self, embedding: Any) -> int:
        """Memory that one embedding holds now, wherever it lies; checked again after every ``decode``, which may add to it."""
        ...


@runtime_checkable
class StorableEmbeddings(SizedEmbeddings, Protocol):
    """What a segmenter may add: its embeddings can be written down and read again, by another process too."""

    @property
    def identity(self) -> str:
        """Changes whenever the embedding of an equal frame could: name, digest of the weights, precision, runtime, settings."""
        ...

    def pack(self, embedding: Any) -> Mapping[str, np.ndarray]:
        """The embedding as arrays by name; none of objects."""
        ...

    def unpack(self, arrays: Mapping[str, np.ndarray]) -> Any:
        """The inverse of :meth:`pack`: ``decode`` gives the same to the bit.

        Raises:
            Exception: any, when the arrays are not those of an embedding; they are then made anew.
        """
        ...


@dataclass(frozen=True)
class RefinementPlan:
    """How often a segmenter is prompted on a frame (docs/algorithm.md, "Prompts and masks").

    Attributes:
        positives_first: every prompt starts from a prediction for its positive points alone.
        steps: with the box and the logits of the step before.
        stop_fraction: a prompt's refinement steps end when no more than this fraction of its mask changes; None: never early.
    """

    positives_first: bool
    steps: int
    stop_fraction: float | None = None


@runtime_checkable
class RefiningSegmenter(Protocol):
    """What a segmenter may add: it goes through all passes by itself, without a way back to the host in between.

    Its ``info.has_refinement`` is True.
    """

    def decode_with_refinement(
        self, embedding: Any, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> list[MaskPrediction]:
        """Full-size predictions of the last pass for prompts without boxes, as :func:`sampt.prompts.refine.segment_prompts`."""
        ...


class SegmenterView:
    """A segmenter made from another one, ``segmenter``; what it does not change, it passes on."""

    def __init__(self, segmenter: PromptableSegmenter) -> None:
        self.segmenter = segmenter

    @property
    def info(self) -> SegmenterInfo:
        return self.segmenter.info

    def encode(self, frames: UInt8Array) -> Sequence[Any]:
        return self.segmenter.encode(frames)

    def decode(self, embedding: Any, prompts: Sequence[ObjectPrompt], *, full_size: bool = True) -> list[MaskPrediction]:
        return self.segmenter.decode(embedding, prompts, full_size=full_size)

    def decode_with_refinement(
        self, embedding: Any, prompts: Sequence[ObjectPrompt], plan: RefinementPlan
    ) -> list[MaskPrediction]:
        """Where ``info.has_refinement``."""
        return cast(RefiningSegmenter, self.segmenter).decode_with_refinement(embedding, prompts, plan)

    def make_mask_logits(self, mask: BoolArray) -> Any:
        """Where ``info.has_mask_logits``."""
        return cast(MaskSegmenter, self.segmenter).make_mask_logits(mask)


def innermost(segmenter: PromptableSegmenter) -> PromptableSegmenter:
    """The segmenter that all views are made from: the one that knows its embeddings."""
    while isinstance(segmenter, SegmenterView):
        segmenter = segmenter.segmenter
    return segmenter


def check_prompt(prompt: ObjectPrompt, name: str) -> None:
    """For the segmenter called ``name``: refuse a prompt that says nowhere where the object is.

    Raises:
        BackendError: the prompt has neither a positive point nor a box.
    """
    if not prompt.is_positive.any() and prompt.box_xyxy is None:
        raise BackendError(
            f"{name!r} got no positive point and no box for object {prompt.object_id}, expected one of them: add a point."
        )
