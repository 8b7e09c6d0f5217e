"""What the object memory says at the crops, with mistakes; see :mod:`training.segmenter.appearances`."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.data import Store
from training.draws import Draws
from training.segmenter.appearances import SCALE
from training.segmenter.samples import Settings


class PriorMaker(Draws):
    """Draws log odds of the object memory.

    Args:
        store: the images.
        settings: the configuration; its table ``memory`` is read.
        generator: of all that is drawn.
        appearances: (r, variants, 28, 28) int8 of the store's regions; None: the memory knows nothing.
    """

    def __init__(self, store: Store, settings: Settings, generator: Generator, appearances: Tensor | None) -> None:
        super().__init__(generator, store.images.device)
        self.store = store
        self.settings = settings
        self.appearances = appearances

    def read(self, region: Tensor, grid: Tensor) -> Tensor:
        """(b, 1, s, s) what the object memory says at ``grid``; 0 without one."""
        if self.appearances is None:
            return torch.zeros(len(region), 1, *grid.shape[1:3], device=self.device)
        variant = self.chance(self.settings["memory"]["second"], len(region)).long()
        maps = self.appearances[region, variant].unsqueeze(1).float() / SCALE
        size = self.store.sizes[self.store.regions.image[region]].flip(1).view(-1, 1, 1, 2)
        return F.grid_sample(maps, grid * (2 / size) - 1, mode="bilinear", padding_mode="border", align_corners=False)

    def add_mistakes(self, memory: Tensor) -> Tensor:
        """The same with mistakes; nothing for some."""
        s = self.settings["memory"]
        b, _, side, _ = memory.shape
        if self.appearances is None:
            return memory
        gain = torch.exp(self.normal(b, 1, 1, 1) * s["gain"])
        offset = self.normal(b, 1, 1, 1) * s["offset"] + self.clouds(b, 1, side, 5) * self.uniform(b, 1, 1, 1) * s["noise"]
        patch = (self.clouds(b, 1, side, 4) > 1.6) & self.chance(s["wrong"], b).view(b, 1, 1, 1) & (memory != 0)
        memory = torch.where(patch, self.normal(b, 1, 1, 1) * 2, memory * gain + offset * (memory != 0))
        return memory.clamp(-6, 6) * (1 - self.switch(s["unknown"], b, 1, 1, 1))

    def deny(self, n: int) -> Tensor:
        """(n, 1, 1, 1) what the object memory says of something else."""
        return -2.0 - self.normal(n, 1, 1, 1).abs() * 1.5


def blend(below: Tensor, above: Tensor, alpha: Tensor) -> Tensor:
    """What the object memory says of something with something else over it, as coarse as its cells are."""
    small = F.avg_pool2d(F.avg_pool2d(alpha, 8), 3, 1, 1)
    fraction = F.interpolate(small, alpha.shape[-2:], mode="bilinear", align_corners=False)
    return below + (above - below) * fraction
