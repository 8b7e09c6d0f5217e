"""Random numbers of one generator on one device, so that a run can be repeated."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
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

    def chance(self, probability: float, *shape: int) -> Tensor:
        """True with this probability, every element by itself."""
        return self.uniform(*shape) < probability

    def switch(self, probability: float, *shape: int) -> Tensor:
        """1 with this probability, else 0."""
        return self.chance(probability, *shape).float()

    def log_uniform(self, *shape: int, low: float, high: float) -> Tensor:
        return torch.exp(self.uniform(*shape, low=math.log(low), high=math.log(high)))

    def pick(self, probabilities: list[float]) -> int:
        """An index, each with its probability."""
        weight = torch.tensor(probabilities, dtype=torch.float32, device=self.device)
        return int(torch.multinomial(weight, 1, generator=self.rng))

    def clouds(self, b: int, channels: int, side: int, cells: int) -> Tensor:
        """(b, channels, side, side) smooth noise of unit variance."""
        coarse = self.normal(b, channels, cells, cells)
        return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)
