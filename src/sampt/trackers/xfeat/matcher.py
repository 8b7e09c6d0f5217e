"""XFeat behind the interface of a matcher: keypoints of frames, and which of two frames are each other's nearest."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from sampt.backends.torch_networks import load_exactly, repeatable
from sampt.trackers.keypoints.matchers import Features, GlueMatcher, network_size
from sampt.trackers.xfeat.network import MULTIPLE, XFeatNetwork, detect
from sampt.weights import load_checkpoint

__all__ = ["XFeatMatcher", "load_network"]

_MAX_KEYPOINTS = 4096
"""As in the official program, which for whole images also takes each nearest pair, however far its angle."""
_LEFT_OUT = "fine_matcher."
"""Weights of what is not computed here."""


class XFeatMatcher(GlueMatcher):
    """XFeat's keypoints, matched where each is the other's nearest by the angle of their descriptors.

    Args:
        network: in evaluation mode, on ``device``.
        device: where it is.
        longest_side: frames are resized to about it: both sides to multiples of 32 below.
    """

    def __init__(self, network: XFeatNetwork, device: torch.device, longest_side: int = 1024) -> None:
        super().__init__(device, longest_side)
        self._network = network

    def network_size(self, size_hw: tuple[int, int]) -> tuple[int, int]:
        """See :meth:`sampt.trackers.keypoints.matchers.GlueMatcher.network_size`."""
        height, width = network_size(size_hw, self._longest_side)
        return height // MULTIPLE * MULTIPLE, width // MULTIPLE * MULTIPLE

    def _detect(self, image: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return detect(self._network, image, _MAX_KEYPOINTS)

    def _partners(self, first: Features, second: Features) -> tuple[Tensor, Tensor]:
        cosine = first.descriptor @ second.descriptor.T
        score, partner = cosine.max(1)
        is_mutual = cosine.argmax(0)[partner] == torch.arange(len(partner), device=partner.device)
        return torch.where(is_mutual, partner, -1), score.clamp(max=1)


def load_network(weights: Path | None) -> XFeatNetwork:
    """XFeat in evaluation mode; ``weights`` is the path of the official checkpoint, or None for random ones.

    Raises:
        BackendError: the file cannot be read, or holds other weights than exactly this network's.
    """
    with repeatable():
        network = XFeatNetwork().eval().requires_grad_(False)
    if weights is not None:
        state = {key: value for key, value in load_checkpoint(weights).items() if not key.startswith(_LEFT_OUT)}
        load_exactly(network, state, name="xfeat", path=weights, other=None, expected="the official xfeat.pt")
    return network
