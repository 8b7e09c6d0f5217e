"""Keypoints of frames, and which of two frames belong together, by the networks that `transformers` and `kornia` carry.

Only called here, never written anew: the licence of SuperGlue's own program forbids that. Locations are pixels of the frame as
it was given; the frame is resized by half-pixel centres, as in the official programs, and locations go back by
:func:`sampt.geometry.rescale_xy`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.checks import shape_repr
from sampt.geometry import rescale_xy, size_with_longest_side
from sampt.types import FloatArray, IntArray, UInt8Array

__all__ = ["Features", "GlueMatcher", "KeypointMatcher", "LightGlueMatcher", "Pairs", "TransformersMatcher", "network_size"]

_LONGEST_SIDE = 1024
"""Of what the networks see: LightGlue's official programs resize to it, and SAM-PT's ran SuperGlue on frames of that size."""
_MAX_ENLARGED = 4
"""Smaller frames are enlarged by this at most: beyond it there is nothing more to find."""
_MIN_SIDE = 16
"""Of an image that the networks can look at; frames that come out thinner have no keypoints."""
_LUMA = (0.2989, 0.587, 0.114)
"""ITU-R BT.601, in the rounding of torchvision, on which the hub's preprocessing rests."""


@dataclass(frozen=True, eq=False)
class Features:
    """Keypoints of one frame.

    Attributes:
        xy: (k, 2) float32 on the CPU, pixels of the frame.
        network_xy: (k, 2) the same in the resized frame.
        network_hw: its size.
        score: (k,) of the detector.
        descriptor: (k, d).
    """

    xy: FloatArray
    network_xy: Tensor
    network_hw: tuple[int, int]
    score: Tensor
    descriptor: Tensor

    __repr__ = shape_repr

    def __len__(self) -> int:
        return len(self.xy)

    @property
    def num_bytes(self) -> int:
        """Memory that they take."""
        return self.xy.nbytes + self.network_xy.nbytes + self.score.nbytes + self.descriptor.nbytes


@dataclass(frozen=True, eq=False)
class Pairs:
    """Which keypoints of two frames belong together.

    Attributes:
        first: (m,) positions in the first frame's keypoints, ascending, each once.
        second: (m,) positions in the second frame's.
        score: (m,) in (0, 1].
    """

    first: IntArray
    second: IntArray
    score: FloatArray

    __repr__ = shape_repr


class KeypointMatcher(ABC):
    """Finds keypoints and matches those of two frames of one size."""

    @abstractmethod
    def extract(self, frame: UInt8Array) -> Features:
        """The keypoints of an (h, w, 3) uint8 RGB frame."""

    @abstractmethod
    def match(self, first: Features, second: Features) -> Pairs:
        """Which of them belong together."""


def network_size(size_hw: tuple[int, int], longest_side: int) -> tuple[int, int]:
    """The size at which the networks see a frame of ``size_hw``."""
    return size_with_longest_side(size_hw, min(longest_side, _MAX_ENLARGED * max(size_hw)))


class GlueMatcher(KeypointMatcher):
    """What the matchers by networks share: the image that goes in, and the locations and pairs that come out.

    Args:
        device: where the network is.
        longest_side: frames are resized to it.
    """

    def __init__(self, device: torch.device, longest_side: int = _LONGEST_SIDE) -> None:
        self._device, self._longest_side = device, longest_side

    @torch.inference_mode()
    def extract(self, frame: UInt8Array) -> Features:
        size_hw = (frame.shape[0], frame.shape[1])
        target_hw = self.network_size(size_hw)
        if min(target_hw) < _MIN_SIDE:
            none = torch.zeros(0, device=self._device)
            return Features(np.zeros((0, 2), np.float32), none.reshape(0, 2), target_hw, none, none.reshape(0, 1))
        network_xy, score, descriptor = self._detect(self.image(frame))
        xy = rescale_xy(network_xy.cpu().numpy(), target_hw, size_hw)
        return Features(xy, network_xy, target_hw, score, descriptor)

    @torch.inference_mode()
    def match(self, first: Features, second: Features) -> Pairs:
        if not len(first) or not len(second):
            return Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.float32))
        partner, score = (values.cpu().numpy() for values in self._partners(first, second))
        matched = np.flatnonzero((partner >= 0) & (score > 0))
        return Pairs(matched, partner[matched].astype(np.int64), score[matched].astype(np.float32))

    def network_size(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """The size to which a frame of ``size_hw`` is resized."""
        return network_size(size_hw, self._longest_side)

    def image(self, frame: UInt8Array) -> Tensor:
        """(1, 3, h, w) of an (h, w, 3) frame: resized, in [0, 1]."""
        image = torch.from_numpy(np.array(frame)).to(self._device).permute(2, 0, 1)[None].float()
        target_hw = self.network_size((frame.shape[0], frame.shape[1]))
        if target_hw != image.shape[-2:]:
            image = F.interpolate(image, size=target_hw, mode="bilinear", align_corners=False, antialias=True)
        return image / 255

    @abstractmethod
    def _detect(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """(k, 2) locations in the image, (k,) scores and (k, d) descriptors."""

    @abstractmethod
    def _partners(self, first: Features, second: Features) -> tuple[Tensor, Tensor]:
        """Of each of the k keypoints of ``first``, as the networks tell it: (k,) its partner, or -1, and (k,) its score."""


class TransformersMatcher(GlueMatcher):
    """SuperPoint with SuperGlue or LightGlue, as `transformers` has them in one model.

    Args:
        network: ``SuperGlueForKeypointMatching`` or ``LightGlueForKeypointMatching``, in evaluation mode, on ``device``.
        device: where it is.
        longest_side: frames are resized to it.
    """

    def __init__(self, network: nn.Module, device: torch.device, longest_side: int = _LONGEST_SIDE) -> None:
        super().__init__(device, longest_side)
        self._network: Any = network
        self._takes_scores = network.config.model_type == "superglue"  # type: ignore[union-attr]

    def _detect(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        grey = (image * image.new_tensor(_LUMA)[:, None, None]).sum(1, keepdim=True)
        found = self._network.keypoint_detector(grey.expand(-1, 3, -1, -1))
        width_height = image.new_tensor([image.shape[-1], image.shape[-2]])
        # It gives whole pixels divided by the size; the product is rounded to get them back.
        return (found.keypoints[0] * width_height).round(), found.scores[0], found.descriptors[0]

    def _partners(self, first: Features, second: Features) -> tuple[Tensor, Tensor]:
        # The model would detect the keypoints of both frames anew; its second half takes those that are there.
        both, length = (first, second), max(len(first), len(second))
        xy, score, descriptor = (
            torch.stack([_pad(values, length) for values in column])[None]
            for column in zip(*((f.network_xy, f.score, f.descriptor) for f in both), strict=True)
        )
        lengths = torch.tensor([len(f) for f in both], device=self._device)
        mask = (torch.arange(length, device=self._device) < lengths[:, None]).int()[None]
        scores = (score,) if self._takes_scores else ()
        partner, certainty = self._network._match_image_pair(xy, descriptor, *scores, *first.network_hw, mask=mask)[:2]
        own = slice(0, len(first))
        partner, certainty = partner.reshape(2, -1)[0, own], certainty.reshape(2, -1)[0, own]
        return torch.where(partner < len(second), partner, -1), certainty


def _pad(values: Tensor, length: int) -> Tensor:
    return F.pad(values, [0, 0] * (values.ndim - 1) + [0, length - len(values)])


class LightGlueMatcher(GlueMatcher):
    """ALIKED with LightGlue, as `kornia` has them.

    Args:
        detector: ``kornia.feature.ALIKED``, in evaluation mode, on ``device``.
        matcher: ``kornia.feature.LightGlue`` for it, likewise.
        device: where they are.
        longest_side: frames are resized to it.
    """

    def __init__(
        self, detector: nn.Module, matcher: nn.Module, device: torch.device, longest_side: int = _LONGEST_SIDE
    ) -> None:
        super().__init__(device, longest_side)
        self._detector, self._matcher = detector, matcher

    def _detect(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        (found,) = self._detector(image)
        return found.keypoints, found.keypoint_scores, found.descriptors

    def _partners(self, first: Features, second: Features) -> tuple[Tensor, Tensor]:
        images = {f"image{i}": _as_image(features) for i, features in enumerate((first, second))}
        found = self._matcher(images)
        return found["matches0"][0], found["matching_scores0"][0]


def _as_image(features: Features) -> dict[str, Tensor]:
    """Locations and size are those of the resized frame: LightGlue makes them relative, and takes none beyond the border."""
    height, width = features.network_hw
    return {
        "keypoints": features.network_xy[None],
        "descriptors": features.descriptor[None],
        "image_size": features.network_xy.new_tensor([[width, height]]),
    }
