"""Samples made on the device, a batch at a time: images, targets, clicks and stale masks.

All of it is torch on whatever device the store is on, drawn from one generator, so that a GPU never waits for a loader and a
run can be repeated. Coordinates of a crop are pixels with (0, 0) at its top-left corner, as the decoder takes them.
"""

from __future__ import annotations

from dataclasses import fields, replace

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sampt.segmenters.nano.runtime import saliency_side
from training.data import KINDS, Regions, Store
from training.draws import Draws
from training.segmenter.composition import Composer, Scene
from training.segmenter.crops import CropMaker
from training.segmenter.degradation import Degrader
from training.segmenter.priors import PriorMaker
from training.segmenter.prompts import PromptMaker
from training.segmenter.recorded import Recorded
from training.segmenter.samples import Batch, Placement, Prompts, Settings, shrink
from training.segmenter.views import choose_views, crop_views


class Maker(Draws):
    """Draws batches from a store.

    Args:
        store: the images.
        settings: the configuration.
        generator: of all that is drawn.
        recorded: prompts of runs through the clips, for some of the batches.
        appearances: what the object memory says of the store's regions.
    """

    def __init__(
        self,
        store: Store,
        settings: Settings,
        generator: Generator,
        recorded: Recorded | None = None,
        appearances: Tensor | None = None,
    ) -> None:
        super().__init__(generator, store.images.device)
        self.store = store
        self.recorded = recorded
        self.settings = settings
        self.weights = {name: _weigh(store.regions, settings["data"][name]) for name in ("few_clicks", "many_clicks")}
        whole = self.weights["many_clicks"] * (store.regions.kind <= KINDS.index("person"))
        self.crops = CropMaker(store, settings, generator)
        self.degrader = Degrader(settings, generator, self.device)
        self.priors = PriorMaker(store, settings, generator, appearances)
        self.composer = Composer(self.crops, self.degrader, self.priors, whole, settings, generator)
        self.prompts = PromptMaker(self.crops, settings, generator)

    def batch(self) -> Batch:
        """The next batch."""
        s = self.settings
        if self.recorded is not None and bool(self.chance(s["recorded"]["probability"], 1)):
            return self._make_recorded(self.recorded)
        side = s["crop"]["sides"][self.pick(s["crop"]["side_probabilities"])]
        cap = s["points"]["caps"][self.pick(s["points"]["cap_probabilities"])]
        scene, grid = self._make_scene(saliency_side(side), few=cap <= 2)
        stale = self.prompts.make_stale_masks(scene.region, grid, scene.mask, scene.other)
        memory = self.priors.add_mistakes(F.avg_pool2d(scene.memory * scene.inside, 4 * scene.side // side))
        mask, inside, other, stale = (shrink(x, side) for x in (scene.mask, scene.inside, scene.other, stale))
        target, inside = (mask > 0.5).float(), (inside > 0.5).float()
        # An object that is hardly in the crop teaches nothing.
        keep = torch.nonzero(target.sum((1, 2, 3)) >= 0.004 * side * side)[:, 0]
        target, inside, stale, other, memory = (x[keep] for x in (target, inside, stale, other, memory))
        image = self.degrader.degrade(scene.image[keep]) * scene.inside[keep]
        # How much object there is within 7 pixels.
        near = F.interpolate(F.avg_pool2d(F.avg_pool2d(target, 2), 7, 1, 3), scale_factor=2.0)
        other = (other > 0.5).float() * (1 - target) * inside
        first = self.prompts.make(target, inside, near, other, cap, stale, s["previous"]["first"])
        if cap >= 32:  # a tracker's points, not a person's
            labels, previous = self.prompts.spread_mistakes(first.points, first.labels, first.previous, s["points"])
            first = replace(first, labels=labels, previous=previous)
        first = self.prompts.add_correction(first, target, inside, self.chance(s["previous"]["corrected"], len(target)))
        second = self.prompts.make(target, inside, near, other, cap, stale, 0.0)
        return _make_batch(image, target, inside, memory, first, second)

    def _make_scene(self, side: int, *, few: bool) -> tuple[Scene, Tensor]:
        """What crops of regions show, and their grid; ``few``: the regions are those that few clicks may mean."""
        s = self.settings
        weights = self.weights["few_clicks" if few else "many_clicks"]
        region = torch.multinomial(weights, s["train"]["batch"], True, generator=self.rng)
        grid = self.crops.choose(region, s["crop"]["ratio_few" if few else "ratio_many"]).grid(side)
        image, inside = self.crops.read_images(self.store.regions.image[region], grid)
        mask = self.crops.read_masks(region, self.store.regions.labels[region], grid) * inside
        other = self.crops.read_others(region, grid) * inside
        scene = Scene(region, image, mask, inside, other, self.priors.read(region, grid))
        self.composer.compose(scene)
        return scene, grid

    def _make_recorded(self, recorded: Recorded) -> Batch:
        """Frames of clips with the prompts of a run through them; nothing is pasted in: the prompts are about what is there."""
        s = self.settings
        side = s["crop"]["sides"][self.pick(s["crop"]["side_probabilities"])]
        large = saliency_side(side)
        which = torch.multinomial(recorded.weight, s["train"]["batch"], True, generator=self.rng)
        region, window, has = recorded.region[which], recorded.window[which], recorded.has_previous[which]
        placed = self.crops.choose(region, s["crop"]["ratio_many"])
        # Mostly about the previous mask, as in the segmenter.
        size = (window[:, 2:] - window[:, :2]).amax(1)
        about = (has & self.chance(s["recorded"]["about"], len(which))).unsqueeze(1)
        centre = (window[:, 2:] + window[:, :2]) / 2 + self.normal(len(which), 2) * (0.03 * size.unsqueeze(1))
        half = size / 2 * torch.exp(self.normal(len(which)) * 0.1)
        placed = Placement(
            torch.where(about, centre, placed.centre), torch.where(about[:, 0], half, placed.half), placed.matrix
        )
        grid = placed.grid(large)
        image, inside_large = self.crops.read_images(self.store.regions.image[region], grid)
        mask = self.crops.read_masks(region, self.store.regions.labels[region], grid) * inside_large
        target, inside = ((shrink(x, side) > 0.5).float() for x in (mask, inside_large))
        xy, labels = recorded.points(which)
        xy = placed.to_crop(xy, side)
        labels = torch.where(((xy >= 0) & (xy < side)).all(2), labels, -1.0)
        quarter = placed.grid(side // 4)
        memory = self.priors.add_mistakes(self.priors.read(region, quarter) * F.avg_pool2d(inside, 4))
        unit = (quarter - window[:, None, None, :2]) / (window[:, 2:] - window[:, :2])[:, None, None] * 2 - 1
        previous = F.grid_sample(recorded.maps[which].unsqueeze(1).float() / 255, unit, mode="bilinear", align_corners=False)
        labels, previous = self.prompts.spread_mistakes(xy, labels, previous, s["recorded"])
        prompts = Prompts(xy, labels, torch.zeros(len(which), 4, device=self.device), previous, has.float())
        keep = torch.nonzero((target.sum((1, 2, 3)) >= 0.004 * side * side) & (labels == 1).any(1))[:, 0]
        prompts = Prompts(*(getattr(prompts, f.name)[keep] for f in fields(prompts)))
        image = self.degrader.degrade(image[keep]) * inside_large[keep]
        return _make_batch(image, target[keep], inside[keep], memory[keep], prompts, prompts, is_recorded=True)

    def correct(self, batch: Batch, probability: Tensor) -> Prompts:
        """The prompts of a second prediction: those of the first and a click on what that got wrong, or new ones.

        Args:
            batch: the samples.
            probability: (b, 1, s / 4, s / 4) of the first prediction, the previous mask of most samples.
        """
        s = self.settings["previous"]
        b = len(probability)
        has = self.switch(s["second"], b)
        goes_on = torch.ones_like(has, dtype=torch.bool) if batch.is_recorded else self.chance(s["goes_on"], b)
        first, second = batch.first, batch.second

        def choose(a: Tensor, c: Tensor) -> Tensor:
            return torch.where(goes_on.view(-1, *[1] * (a.ndim - 1)), a, c)

        extra = first.labels.shape[1] - second.labels.shape[1]
        points = choose(first.points, F.pad(second.points, (0, 0, 0, extra)))
        labels = choose(first.labels, F.pad(second.labels, (0, extra), value=-1.0))
        prompts = Prompts(
            points, labels, choose(first.box, second.box), probability, torch.where(goes_on, torch.ones_like(has), has)
        )
        clicks = self.chance(self.settings["recorded"]["corrected"], b) if batch.is_recorded else goes_on
        return self.prompts.add_correction(prompts, batch.target, batch.inside, clicks)


def _weigh(regions: Regions, kinds: dict[str, float]) -> Tensor:
    """(r,) how often each region is drawn, given how often each kind is."""
    weight = torch.zeros(len(regions), device=regions.kind.device)
    for k, kind in enumerate(KINDS):
        own = (regions.kind == k).float() * regions.weight
        weight += own / own.sum().clamp(min=1e-9) * kinds[kind]
    return weight


def _make_batch(
    large: Tensor,
    target: Tensor,
    inside: Tensor,
    memory: Tensor,
    first: Prompts,
    second: Prompts,
    *,
    is_recorded: bool = False,
) -> Batch:
    """The batch with the images that both networks see of the ``large`` ones."""
    side = target.shape[-1]
    view = choose_views(first, inside)
    seen = crop_views(large, view, side)
    image = shrink(large, side) * inside
    image, seen = (p.contiguous(memory_format=torch.channels_last) for p in (image, seen))
    return Batch(image, seen, view, target, inside, memory, first, second, is_recorded)
