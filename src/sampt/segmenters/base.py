"""What a promptable segmenter is: the seam that every back end fills.

Encode a frame once, decode any number of prompts for it. A segmenter keeps no state between calls: what ``encode`` returns is
all that ``decode`` needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from sampt.errors import BackendError
from sampt.types import MaskPrediction, ObjectPrompt, UInt8Array

__all__ = ["PromptableSegmenter", "SegmenterInfo", "check_prompt"]


@dataclass(frozen=True)
class SegmenterInfo:
    """What the pipeline and the user need to know about a segmenter.

    Attributes:
        name: the name under which it is created.
        licence_code: SPDX identifier of the code.
        licence_weights: SPDX identifier of the weights, or None when there are none.
        encode_batch: frames that one ``encode`` call takes best.
        device: where it runs.
        source: paper or program that defines the method.
    """

    name: str
    licence_code: str
    licence_weights: str | None
    encode_batch: int = 1
    device: str = "cpu"
    source: str = ""


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
        """Answer all ``prompts`` about one frame together.

        Args:
            embedding: one item that ``encode`` returned.
            prompts: any number of them, with any numbers of points; each has at least one positive point or a box. The answer
                to one does not depend on the others.
            full_size: False when only ``low_res_logits`` and the box are wanted; ``logits`` is then None.

        Returns:
            One answer a prompt, in order.
        """
        ...


def check_prompt(prompt: ObjectPrompt, name: str) -> None:
    """For the segmenter called ``name``: refuse a prompt that says nowhere where the object is.

    Raises:
        BackendError: the prompt has neither a positive point nor a box.
    """
    if not prompt.is_positive.any() and prompt.box_xyxy is None:
        raise BackendError(
            f"{name!r} got no positive point and no box for object {prompt.object_id}, expected one of them: add a point."
        )
