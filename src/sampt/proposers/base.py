"""What a proposer is: the interface that every backend fills which finds objects that nobody named.

A proposer looks at one frame, and at some frames near it if it likes. It says where something is that may be an object: as a
mask, or as a box, of which the segmenter makes the mask. Which of its proposals become objects is decided elsewhere
(:mod:`sampt.finding`), with what is known of the video.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Protocol, runtime_checkable

import numpy as np

from sampt.backends.spec import ProposerInfo
from sampt.checks import shape_repr
from sampt.geometry import SizeHW
from sampt.segmenters.base import PromptableSegmenter
from sampt.trackers.base import FrameSource
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, UInt8Array

__all__ = [
    "FRAMES_BEFORE",
    "MAX_PROPOSALS",
    "Proposal",
    "Proposer",
    "ProposerFrame",
    "ProposerInfo",
    "masks_of_boxes",
    "masks_of_prompts",
]


FRAMES_BEFORE = 8
"""Earlier frames that are there for a proposer in a stream."""


@dataclass(frozen=True, eq=False)
class Proposal:
    """Something that may be an object.

    Attributes:
        mask: (h, w) bool of the frame, read-only, at least one pixel set.
        score: how sure the proposer is, from 0 to 1; comparable among proposals of one proposer.
        label: what it is, in the proposer's words; None where it does not know.
    """

    mask: BoolArray
    score: float
    label: str | None = None

    __repr__ = shape_repr


class ProposerFrame:
    """A frame on which objects are to be found. What is requested of it is computed once.

    Args:
        video: frames of the size that is worked at.
        frame_idx: of the frame in it.
        segmenter: makes masks of points and boxes.
        source_hw: size of the video's own frames, where these are smaller (default: the same); files of other programs count
            its pixels.
        source_idx: the frame's number in the video itself, where some are left out (default: ``frame_idx``).
        source_name: the name of the frame's own image file, without its ending, where it has one.
        num_source_frames: of the video itself, where it is known.
    """

    def __init__(
        self,
        video: FrameSource,
        frame_idx: int,
        segmenter: PromptableSegmenter,
        *,
        source_hw: SizeHW | None = None,
        source_idx: int | None = None,
        source_name: str | None = None,
        num_source_frames: int | None = None,
    ) -> None:
        self._video = video
        self.frame_idx = frame_idx
        self.segmenter = segmenter
        self.size_hw: SizeHW = video.size_hw
        self.source_hw: SizeHW = source_hw or video.size_hw
        self.source_idx = frame_idx if source_idx is None else source_idx
        self.source_name = source_name
        self.num_source_frames = num_source_frames

    @cached_property
    def image(self) -> UInt8Array:
        """(h, w, 3) uint8 RGB."""
        return np.asarray(self._video.read(self.frame_idx, self.frame_idx + 1)[0])

    def neighbour(self, offset: int) -> UInt8Array | None:
        """The frame so many frames later, or earlier where ``offset`` is negative; None where there is none."""
        frame_idx = self.frame_idx + offset
        if not 0 <= frame_idx < self._video.num_frames:
            return None
        return np.asarray(self._video.read(frame_idx, frame_idx + 1)[0])

    @cached_property
    def embedding(self) -> Any:
        """Of the frame, by the segmenter."""
        return self.segmenter.encode(self.image[None])[0]

    def predict(self, prompts: Sequence[ObjectPrompt]) -> list[MaskPrediction]:
        """What the segmenter says of prompts on the frame, with full-size logits."""
        return self.segmenter.decode(self.embedding, prompts)


@runtime_checkable
class Proposer(Protocol):
    """Finds what may be an object on a frame, whatever the user named."""

    @property
    def info(self) -> ProposerInfo: ...

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """What may be objects on a frame.

        Args:
            frame: the frame; of its neighbours at most :data:`FRAMES_BEFORE` earlier and ``info.frames_after`` later ones may
                be requested.

        Returns:
            Any number of proposals, best score first; they may overlap. Equal frames give equal proposals.

        Raises:
            BackendError: the frame cannot be worked on, or a file does not fit the video.
        """
        ...


MAX_PROPOSALS = 100
"""Of a frame, the best ones; thousands of boxes of another program are neither segmented nor compared with each other."""
_PARTS = 16
"""Prompts whose full-size logits are in memory together."""
_NO_POINTS = np.zeros((0, 2), np.float32), np.zeros(0, np.bool_)


def masks_of_boxes(
    frame: ProposerFrame, boxes_xyxy: FloatArray, scores: FloatArray, labels: Sequence[str | None] | None = None
) -> list[Proposal]:
    """Proposals for boxes: the segmenter's mask of each, best score first; boxes without one are left out.

    Args:
        frame: the frame.
        boxes_xyxy: (n, 4) first and last pixels, within the frame.
        scores: (n,) from 0 to 1.
        labels: of each.
    """
    order = np.argsort(-np.asarray(scores), kind="stable")
    prompts = [ObjectPrompt(int(k) + 1, *_NO_POINTS, boxes_xyxy[k]) for k in order]
    return [
        Proposal(mask, float(scores[k]), None if labels is None else labels[k])
        for k, mask in zip(order, masks_of_prompts(frame, prompts), strict=True)
        if mask is not None
    ]


def masks_of_prompts(frame: ProposerFrame, prompts: Sequence[ObjectPrompt]) -> list[BoolArray | None]:
    """The segmenter's (h, w) mask of each prompt, read-only; None where it is empty."""
    found: list[BoolArray | None] = []
    for start in range(0, len(prompts), _PARTS):
        for prediction in frame.predict(prompts[start : start + _PARTS]):
            assert prediction.logits is not None, "full-size logits are requested"
            mask = np.asarray(prediction.logits > 0)
            mask.setflags(write=False)
            found.append(mask if mask.any() else None)
    return found
