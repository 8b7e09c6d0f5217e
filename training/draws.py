"""Random numbers of one generator on one device, so that a run can be repeated."""

from __future__ import annotations

import math

import torch
from torch import Generator, Tensor


class Draws:
    """What makers of samples draw from.

    Args:
        generator: on ``device``.
        device: of everything drawn.
    """

    def __init__(self, generator: Generator, device: torch.device) -> None:
        self.rng = generator
        self.device = device

    def uniform(self, *shape: int, low: float = 0.0, high: float = 1.0) -> Tensor:
        return torch.rand(shape, generator=self.rng, device=self.device) * (high - low) + low

    def normal(self, *shape: int) -> Tensor:
        return torch.randn(shape, generator=self.rng, device=self.device)

    def chance(self, share: float, *shape: int) -> Tensor:
        """True in this share of the places."""
        return self.uniform(*shape) < share

    def switch(self, share: float, *shape: int) -> Tensor:
        """1 in this share of the places and 0 elsewhere."""
        return self.chance(share, *shape).float()

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        return torch.exp(self.uniform(*shape, low=math.log(low), high=math.log(high)))
