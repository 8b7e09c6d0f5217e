"""Scenes made of several images: objects on other images, behind and before other objects; shapes of noise."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.draws import Draws
from training.segmenter.crops import CropMaker
from training.segmenter.degradation import Degrader
from training.segmenter.priors import PriorMaker, blend
from training.segmenter.samples import Settings


@dataclass(frozen=True)
class Scene:
    """What crops show; made scenes are written into these tensors.

    Attributes:
        region: (b,) rows of the store's regions.
        image: (b, 3, s, s) in [-1, 1].
        mask: (b, 1, s, s) the object.
        inside: (b, 1, s, s) 1 inside the image.
        other: (b, 1, s, s) other objects.
        memory: (b, 1, s, s) log odds of the object memory.
    """

    region: Tensor
    image: Tensor
    mask: Tensor
    inside: Tensor
    other: Tensor
    memory: Tensor

    @property
    def side(self) -> int:
        return self.image.shape[-1]


class Composer(Draws):
    """Draws what is pasted into crops.

    Args:
        crops, degrader, priors: what it makes them of.
        weights: (r,) how often each region of the store is pasted in.
        settings: the configuration; its table ``made`` is read.
        generator: of all that is drawn.
    """

    def __init__(
        self,
        crops: CropMaker,
        degrader: Degrader,
        priors: PriorMaker,
        weights: Tensor,
        settings: Settings,
        generator: Generator,
    ) -> None:
        super().__init__(generator, crops.device)
        self.crops, self.degrader, self.priors = crops, degrader, priors
        self.weights = weights
        self.settings = settings

    def compose(self, scene: Scene) -> None:
        """Change some of the samples in place: one after the other, so that several changes may meet in a sample."""
        soft = F.avg_pool2d(scene.mask, 3, 1, 1)
        self._paste(scene, soft)
        self._add_behind(scene, soft)
        self._occlude(scene)
        self._add_blobs(scene)

    def _choose_samples(self, scene: Scene, name: str) -> Tensor:
        """Indices of the samples that are changed in the way that the table ``made`` calls ``name``."""
        return torch.nonzero(self.chance(self.settings["made"][name], len(scene.image)))[:, 0]

    def _paste(self, scene: Scene, soft: Tensor) -> None:
        """The object onto other images, or onto smooth noise."""
        which, s = self._choose_samples(scene, "pasted"), self.settings["made"]
        n, side = len(which), scene.side
        if not n:
            return
        back = self.crops.draw_elsewhere(n, side)
        plain = (self.clouds(n, 3, side, 5) * 0.4 + self.normal(n, 3, 1, 1) * 0.4).clamp(-1, 1)
        back = torch.where(self.chance(s["plain"] / s["pasted"], n).view(n, 1, 1, 1), plain, back)
        alpha = soft[which]
        scene.image[which] = scene.image[which] * alpha + self.degrader.shift_colors(back) * (1 - alpha)
        scene.inside[which] = 1.0
        scene.other[which] = 0.0
        scene.memory[which] = blend(self.priors.deny(n), scene.memory[which], scene.mask[which])

    def _add_behind(self, scene: Scene, soft: Tensor) -> None:
        """Another object behind the object."""
        which = self._choose_samples(scene, "behind")
        if not len(which):
            return
        behind, alpha, says = self._draw_object(scene, which, [1.0, 3.0])
        alpha = alpha * (1 - scene.mask[which])
        soft_behind = F.avg_pool2d(alpha, 3, 1, 1) * (1 - soft[which])
        scene.image[which] = self.degrader.shift_colors(behind) * soft_behind + scene.image[which] * (1 - soft_behind)
        scene.other[which] = torch.maximum(scene.other[which], alpha)
        scene.memory[which] = blend(scene.memory[which], says, alpha)

    def _occlude(self, scene: Scene) -> None:
        """Another object before the object, which must not all but disappear."""
        which = self._choose_samples(scene, "occluded")
        n = len(which)
        if not n:
            return
        front, alpha, says = self._draw_object(scene, which, [1.2, 4.0])
        covered = scene.mask[which] * (1 - alpha)
        fine = (covered.sum((1, 2, 3)) > 0.4 * scene.mask[which].sum((1, 2, 3))).view(n, 1, 1, 1)
        alpha = alpha * fine
        soft_front = F.avg_pool2d(alpha, 3, 1, 1)
        scene.image[which] = self.degrader.shift_colors(front) * soft_front + scene.image[which] * (1 - soft_front)
        scene.mask[which] = scene.mask[which] * (1 - alpha)
        scene.other[which] = torch.maximum(scene.other[which], alpha)
        scene.memory[which] = blend(scene.memory[which], says, alpha)

    def _add_blobs(self, scene: Scene) -> None:
        """Shapes of thresholded noise, filled from other images: these are the object then."""
        which = self._choose_samples(scene, "blob")
        n, side = len(which), scene.side
        if not n:
            return
        axis = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        centre = self.uniform(n, 2, 1, low=-0.5, high=0.5)
        away = (axis - centre[:, :1]).square().view(n, 1, side) + (axis - centre[:, 1:]).square().view(n, side, 1)
        size = self.log_uniform(n, low=0.15, high=0.7).view(n, 1, 1, 1)
        height = 1 - away.unsqueeze(1) / size.square() + 0.5 * self.clouds(n, 1, side, 8)
        shape = (height > 0).float()
        alpha = F.avg_pool2d(shape, 3, 1, 1)
        filling = self.degrader.shift_colors(self.crops.draw_elsewhere(n, side))
        scene.image[which] = filling * alpha + scene.image[which] * (1 - alpha)
        scene.mask[which] = shape
        scene.inside[which] = torch.maximum(scene.inside[which], shape)
        scene.other[which] = 0.0
        scene.memory[which] = blend(self.priors.deny(n), 1.5 + self.normal(n, 1, 1, 1), shape)

    def _draw_object(self, scene: Scene, which: Tensor, ratio: list[float]) -> tuple[Tensor, Tensor, Tensor]:
        """Crops about n whole objects, some of them those of the samples again: others of the same appearance.

        Returns:
            The crops, the objects' masks (n, 1, s, s) in them, and (n, 1, 1, 1) what the memory of the samples' own objects
            says of these: no, or as much as of themselves.
        """
        n, memory, mask = len(which), scene.memory[which], scene.mask[which]
        region = torch.multinomial(self.weights, n, True, generator=self.rng)
        alike = self.chance(self.settings["made"]["alike"], n)
        region = torch.where(alike, scene.region[which], region)
        mean = ((memory * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) + 1)).view(n, 1, 1, 1)
        says = torch.where(alike.view(n, 1, 1, 1), mean + self.normal(n, 1, 1, 1), self.priors.deny(n))
        grid = self.crops.choose(region, ratio).grid(scene.side)
        regions = self.crops.store.regions
        image, valid = self.crops.read_images(regions.image[region], grid)
        return image, self.crops.read_masks(region, regions.labels[region], grid) * valid, says
