"""Crops of the training images: where they lie, and what they show."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.data import Store
from training.draws import Draws
from training.segmenter.samples import Placement, Settings


class CropMaker(Draws):
    """Draws crops, and reads images and masks in them.

    Args:
        store: the images.
        settings: the configuration; its table ``crop`` is read.
        generator: of all that is drawn.
    """

    def __init__(self, store: Store, settings: Settings, generator: Generator) -> None:
        super().__init__(generator, store.images.device)
        self.store = store
        self.settings = settings

    def choose(self, region: Tensor, ratio: list[float]) -> Placement:
        """A crop about each region."""
        s = self.settings["crop"]
        b = len(region)
        box = self.store.regions.box[region]
        centre = (box[:, :2] + box[:, 2:]) / 2
        size = (box[:, 2:] - box[:, :2]).amax(1)
        half = size * self.log_uniform(b, low=ratio[0], high=ratio[1]) / 2
        half = torch.minimum(half, self.store.sizes[self.store.regions.image[region]].amax(1) * 0.62)
        centre = centre + self.uniform(b, 2, low=-0.7, high=0.7) * (half - 0.4 * size).clamp(min=0.0).unsqueeze(1)
        # Mostly moved into the image as far as it fits, as the segmenter does.
        extent = self.store.sizes[self.store.regions.image[region]].flip(1)
        low = torch.minimum(half.unsqueeze(1), extent / 2)
        within = torch.minimum(torch.maximum(centre, low), extent - low)
        centre = torch.where(self.chance(s["within"], b).unsqueeze(1), within, centre)
        turn = self.normal(b) * math.radians(s["turn_degrees"]) * (self.uniform(b) < 0.5)
        turn = turn + self.chance(s["quarter_turn"], b) * math.pi / 2
        stretch = torch.exp(self.normal(b) * s["stretch"] / 2)
        flip = torch.where(self.chance(s["flip"], b), -1.0, 1.0)
        cos, sin = torch.cos(turn), torch.sin(turn)
        matrix = torch.stack([cos * stretch * flip, -sin / stretch, sin * stretch * flip, cos / stretch], 1).view(b, 2, 2)
        return Placement(centre, half, matrix)

    def read_images(self, index: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Images in [-1, 1] at ``grid`` and (b, 1, s, s) 1 where the grid is inside the image."""
        canvas = self.store.images.shape[-1]
        source = self.store.images[index].float()
        unit = grid * (2 / canvas) - 1
        image = F.grid_sample(source, unit, mode="bilinear", align_corners=False)
        # Of images made more than one and a half times smaller, every pixel is a mean, as where the segmenter shrinks frames.
        step = torch.linalg.vector_norm(grid[:, 0, 1] - grid[:, 0, 0], dim=-1)
        small = torch.nonzero(step > 1.5)[:, 0]
        if len(small):
            image[small] = F.grid_sample(F.avg_pool2d(source[small], 2), unit[small], mode="bilinear", align_corners=False)
        size = self.store.sizes[index].flip(1).view(-1, 1, 1, 2)
        inside = ((grid >= 0) & (grid <= size)).all(-1).float().unsqueeze(1)
        return image / 127.5 - 1, inside

    def read_masks(self, region: Tensor, labels: Tensor, grid: Tensor) -> Tensor:
        """(b, 1, s, s) the regions in these label maps, from 0 to 1."""
        canvas = self.store.labels.shape[-1]
        ids = self.store.labels[labels].long()
        mask = torch.gather(self.store.regions.table[region], 1, ids.view(len(region), -1)).view(len(region), 1, canvas, canvas)
        return F.grid_sample(mask.float(), grid * (2 / canvas) - 1, mode="bilinear", align_corners=False)

    def read_others(self, region: Tensor, grid: Tensor) -> Tensor:
        """(b, 1, s, s) the objects beside the region's own, where the image's ids tell several."""
        canvas = self.store.labels.shape[-1]
        regions = self.store.regions
        out = torch.zeros(len(region), 1, *grid.shape[1:3], device=self.device)
        which = torch.nonzero(regions.has_others[region])[:, 0]
        if len(which):
            ids = self.store.labels[regions.labels[region[which]]].long().view(len(which), -1)
            table = 1 - regions.table[region[which]]
            table[:, 0] = 0
            mask = torch.gather(table, 1, ids).view(len(which), 1, canvas, canvas).float()
            out[which] = F.grid_sample(mask, grid[which] * (2 / canvas) - 1, mode="bilinear", align_corners=False)
        return out

    def draw_elsewhere(self, b: int, side: int) -> Tensor:
        """Crops of other images, wholly inside them."""
        index = torch.randint(len(self.store.images), (b,), generator=self.rng, device=self.device)
        size = self.store.sizes[index].flip(1)
        half = size.amin(1) * self.uniform(b, low=0.2, high=0.5)
        centre = half.unsqueeze(1) + self.uniform(b, 2) * (size - 2 * half.unsqueeze(1)).clamp(min=0)
        axis = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        unit = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        flip = torch.where(self.uniform(b, 2) < 0.5, -1.0, 1.0)
        grid = centre.view(b, 1, 1, 2) + unit * (half.unsqueeze(1) * flip).view(b, 1, 1, 2)
        return self.read_images(index, grid)[0]
