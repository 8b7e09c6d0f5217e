"""Samples made on the device, a batch at a time: pictures, targets, clicks and stale masks.

All of it is torch on whatever device the store is on, drawn from one generator, so that a GPU never waits for a loader and a
run can be repeated. Coordinates of a crop are pixels with (0, 0) at its top-left corner, as the decoder takes them.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from sampt.segmenters.nano.runtime import saliency_side
from sampt.segmenters.nano.settings import NanoSettings
from training.data import KINDS, Store
from training.draws import Draws
from training.segmenter.appearances import SCALE as APPEARANCE_SCALE
from training.segmenter.recorded import Recorded

Settings = dict[str, Any]


@dataclass(frozen=True)
class Prompts:
    """One set of prompts for every sample: points (b, p, 2), labels (b, p) in 1, 0, -1; box (b, 4); stale mask."""

    points: Tensor
    labels: Tensor
    box: Tensor
    previous: Tensor
    has_previous: Tensor


@dataclass(frozen=True)
class Batch:
    """Samples and what they are asked.

    Attributes:
        picture: (b, 3, s, s) in [-1, 1].
        seen: (b, 3, l, l) what the saliency network sees: the part ``view`` (b, 4) x0, y0, x1, y1 of the picture, stretched.
        target: (b, 1, s, s) 0 or 1.
        inside: (b, 1, s, s).
        memory: (b, 1, s / 4, s / 4) log odds of the object memory; 0 where it knows nothing.
        first, second: two sets of prompts.
        is_recorded: whether the prompts are those of a run through the clip.
    """

    picture: Tensor
    seen: Tensor
    view: Tensor
    target: Tensor
    inside: Tensor
    memory: Tensor
    first: Prompts
    second: Prompts
    is_recorded: bool = False


@dataclass(frozen=True)
class Placement:
    """Where crops lie: ``centre`` (b, 2), ``half`` (b,) of their side on the canvas, ``matrix`` (b, 2, 2) turn and stretch."""

    centre: Tensor
    half: Tensor
    matrix: Tensor

    def grid(self, side: int) -> Tensor:
        """(b, side, side, 2) canvas positions, from its corner, of the pixels."""
        axis = (torch.arange(side, device=self.half.device) + 0.5) / side * 2 - 1
        unit = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1).view(1, -1, 2)
        place = (unit @ self.matrix.transpose(1, 2)) * self.half.view(-1, 1, 1) + self.centre.unsqueeze(1)
        return place.view(-1, side, side, 2)

    def to_crop(self, xy: Tensor, side: int) -> Tensor:
        """(b, p, 2) canvas positions as pixels of the crops, from the corner."""
        unit = (xy - self.centre.unsqueeze(1)) / self.half.view(-1, 1, 1)
        return (unit @ torch.linalg.inv(self.matrix).transpose(1, 2) + 1) * (side / 2)


class Maker(Draws):
    """Draws batches from a store."""

    def __init__(
        self,
        store: Store,
        settings: Settings,
        generator: Generator,
        recorded: Recorded | None = None,
        appearances: Tensor | None = None,
    ) -> None:
        super().__init__(generator, store.pictures.device)
        self.store = store
        self.recorded = recorded
        self.appearances = appearances
        self.settings = settings
        regions = store.regions
        self.weights = {}
        for name in ("few_clicks", "many_clicks"):
            weight = torch.zeros(len(regions), device=self.device)
            for k, kind in enumerate(KINDS):
                own = (regions.kind == k).float() * regions.weight
                weight += own / own.sum().clamp(min=1e-9) * settings["data"][name][kind]
            self.weights[name] = weight
        whole = regions.kind <= KINDS.index("person")
        self.weights["whole"] = self.weights["many_clicks"] * whole

    # ---- random numbers ----------------------------------------------------------------------------------------------------

    def pick(self, shares: list[float]) -> int:
        return int(torch.multinomial(torch.tensor(shares, dtype=torch.float32, device=self.device), 1, generator=self.rng))

    # ---- one batch ---------------------------------------------------------------------------------------------------------

    def batch(self) -> Batch:
        """The next batch."""
        s = self.settings
        if self.recorded is not None and bool(self.chance(s["recorded"]["share"], 1)):
            return self._recorded_batch(self.recorded)
        b = s["train"]["batch"]
        side = s["crop"]["sides"][self.pick(s["crop"]["side_shares"])]
        cap = s["points"]["caps"][self.pick(s["points"]["cap_shares"])]
        few = cap <= 2
        region = torch.multinomial(self.weights["few_clicks" if few else "many_clicks"], b, True, generator=self.rng)
        large = saliency_side(side)
        grid = self._placed(region, s["crop"]["ratio_few" if few else "ratio_many"]).grid(large)
        index = self.store.regions.picture[region]
        picture, inside = self._picture(index, grid)
        mask = self._mask(region, self.store.regions.labels[region], grid) * inside
        other = self._others(region, grid) * inside
        memory = self._remembered(region, grid)
        picture, mask, inside, other, memory = self._made(region, picture, mask, inside, other, memory)
        stale = self._stale(region, grid, mask, other)
        inside_large = inside
        memory = self._doubtful(F.avg_pool2d(memory * inside, 4 * large // side))
        mask, inside, other, stale = (_shrink(x, side) for x in (mask, inside, other, stale))
        target, inside = (mask > 0.5).float(), (inside > 0.5).float()
        # An object that is hardly in the crop teaches nothing.
        seen = target.sum((1, 2, 3)) >= 0.004 * side * side
        keep = torch.nonzero(seen)[:, 0]
        target, inside, stale, other, memory = (x[keep] for x in (target, inside, stale, other, memory))
        picture = self._colour(picture[keep]) * inside_large[keep]
        # How much object there is within 7 pixels.
        near = F.interpolate(F.avg_pool2d(F.avg_pool2d(target, 2), 7, 1, 3), scale_factor=2.0)
        other = (other > 0.5).float() * (1 - target) * inside
        first = self._prompts(target, inside, near, other, cap, stale, s["previous"]["first"])
        if cap >= 32:  # a tracker's points, not a person's
            labels, previous = self._worn(first.points, first.labels, first.previous, s["points"])
            first = replace(first, labels=labels, previous=previous)
        first = self._corrected(first, target, inside, self.chance(s["previous"]["corrected"], len(target)))
        second = self._prompts(target, inside, near, other, cap, stale, 0.0)
        return self._seen(picture, target, inside, memory, first, second)

    def _seen(
        self,
        large: Tensor,
        target: Tensor,
        inside: Tensor,
        memory: Tensor,
        first: Prompts,
        second: Prompts,
        *,
        is_recorded: bool = False,
    ) -> Batch:
        """The batch with the pictures that both networks see of the ``large`` ones."""
        side = target.shape[-1]
        view = self._view(first, inside)
        axis = (torch.arange(large.shape[-1], device=self.device) + 0.5) / large.shape[-1]
        x, y = (view[:, k, None] + axis * (view[:, k + 2] - view[:, k]).unsqueeze(1) for k in (0, 1))
        unit = (
            torch.stack([x.unsqueeze(1).expand(-1, len(axis), -1), y.unsqueeze(2).expand(-1, -1, len(axis))], -1) * (2 / side)
            - 1
        )
        seen = F.grid_sample(large, unit, mode="bilinear", align_corners=False)
        picture = _shrink(large, side) * inside
        picture, seen = (p.contiguous(memory_format=torch.channels_last) for p in (picture, seen))
        return Batch(picture, seen, view, target, inside, memory, first, second, is_recorded)

    def _view(self, prompts: Prompts, inside: Tensor) -> Tensor:
        """(b, 4) what the saliency network sees, as in the segmenter: around box or positive points, or all of the crop."""
        side = inside.shape[-1]
        s = NanoSettings()
        positive = prompts.labels == 1
        count = positive.sum(1)
        share = torch.where(count >= 10, 0.05, 0.0)
        ordered = prompts.points.masked_fill(~positive.unsqueeze(2), math.inf).sort(1).values

        def quantile(q: Tensor) -> Tensor:
            at = q * (count - 1).clamp(min=0)
            low = at.floor().long().view(-1, 1, 1).expand(-1, 1, 2)
            high = torch.minimum(low + 1, (count - 1).clamp(min=0).view(-1, 1, 1))
            a, b = ordered.gather(1, low)[:, 0], ordered.gather(1, high)[:, 0]
            return a + (b - a) * (at - at.floor()).unsqueeze(1)

        many = count > s.few_points
        low, high = (torch.where(many.unsqueeze(1), quantile(q), 0.0) for q in (share, 1 - share))
        boxed = prompts.box[:, 2] > prompts.box[:, 0]
        low, high = (torch.where(boxed.unsqueeze(1), c, p) for c, p in ((prompts.box[:, :2], low), (prompts.box[:, 2:], high)))
        more = s.view_margin * (high - low).amax(1, keepdim=True) + 0.02 * side
        low, high = low - more, high + more
        around = (many | boxed).unsqueeze(1)
        axis = torch.arange(side, device=self.device, dtype=torch.float32)
        there = torch.stack([inside.amax(2)[:, 0], inside.amax(3)[:, 0]], 1) > 0  # columns, rows
        first = torch.where(there, axis, side).amin(2).clamp(max=side - 8)
        last = torch.maximum(torch.where(there, axis + 1, 0).amax(2), first + 8)
        low = torch.minimum(torch.maximum(torch.where(around, low, first), first), last - 8)
        high = torch.maximum(torch.minimum(torch.where(around, high, last), last), low + 8)
        return torch.cat([low, high], 1)

    def _recorded_batch(self, recorded: Recorded) -> Batch:
        """Frames of clips with what a run asked about them; nothing is pasted in, for the prompts are about what is there."""
        s = self.settings
        side = s["crop"]["sides"][self.pick(s["crop"]["side_shares"])]
        large = saliency_side(side)
        which = torch.multinomial(recorded.weight, s["train"]["batch"], True, generator=self.rng)
        region, window, has = recorded.region[which], recorded.window[which], recorded.has_previous[which]
        placed = self._placed(region, s["crop"]["ratio_many"])
        # Mostly about the previous mask, as the segmenter looks.
        size = (window[:, 2:] - window[:, :2]).amax(1)
        about = (has & self.chance(s["recorded"]["about"], len(which))).unsqueeze(1)
        centre = (window[:, 2:] + window[:, :2]) / 2 + self.normal(len(which), 2) * (0.03 * size.unsqueeze(1))
        half = size / 2 * torch.exp(self.normal(len(which)) * 0.1)
        placed = Placement(
            torch.where(about, centre, placed.centre), torch.where(about[:, 0], half, placed.half), placed.matrix
        )
        grid = placed.grid(large)
        picture, inside_large = self._picture(self.store.regions.picture[region], grid)
        mask = self._mask(region, self.store.regions.labels[region], grid) * inside_large
        target, inside = ((_shrink(x, side) > 0.5).float() for x in (mask, inside_large))
        xy, labels = recorded.points(which)
        xy = placed.to_crop(xy, side)
        labels = torch.where(((xy >= 0) & (xy < side)).all(2), labels, -1.0)
        quarter = placed.grid(side // 4)
        memory = self._doubtful(self._remembered(region, quarter) * F.avg_pool2d(inside, 4))
        unit = (quarter - window[:, None, None, :2]) / (window[:, 2:] - window[:, :2])[:, None, None] * 2 - 1
        previous = F.grid_sample(recorded.maps[which].unsqueeze(1).float() / 255, unit, mode="bilinear", align_corners=False)
        labels, previous = self._worn(xy, labels, previous, s["recorded"])
        prompts = Prompts(xy, labels, torch.zeros(len(which), 4, device=self.device), previous, has.float())
        keep = torch.nonzero((target.sum((1, 2, 3)) >= 0.004 * side * side) & (labels == 1).any(1))[:, 0]
        prompts = Prompts(*(getattr(prompts, f.name)[keep] for f in fields(prompts)))
        picture = self._colour(picture[keep]) * inside_large[keep]
        return self._seen(picture, target[keep], inside[keep], memory[keep], prompts, prompts, is_recorded=True)

    def _remembered(self, region: Tensor, grid: Tensor) -> Tensor:
        """(b, 1, s, s) what the object memory says at ``grid``; 0 without one."""
        if self.appearances is None:
            return torch.zeros(len(region), 1, *grid.shape[1:3], device=self.device)
        variant = self.chance(self.settings["memory"]["second"], len(region)).long()
        maps = self.appearances[region, variant].unsqueeze(1).float() / APPEARANCE_SCALE
        size = self.store.sizes[self.store.regions.picture[region]].flip(1).view(-1, 1, 1, 2)
        return F.grid_sample(maps, grid * (2 / size) - 1, mode="bilinear", padding_mode="border", align_corners=False)

    def _doubtful(self, memory: Tensor) -> Tensor:
        """The same with mistakes; nothing for some."""
        s = self.settings["memory"]
        b, _, side, _ = memory.shape
        if self.appearances is None:
            return memory
        gain = torch.exp(self.normal(b, 1, 1, 1) * s["gain"])
        offset = self.normal(b, 1, 1, 1) * s["offset"] + self._clouds(b, 1, side, 5) * self.uniform(b, 1, 1, 1) * s["noise"]
        patch = (self._clouds(b, 1, side, 4) > 1.6) & self.chance(s["wrong"], b).view(b, 1, 1, 1) & (memory != 0)
        memory = torch.where(patch, self.normal(b, 1, 1, 1) * 2, memory * gain + offset * (memory != 0))
        return memory.clamp(-6, 6) * (1 - self.switch(s["unknown"], b, 1, 1, 1))

    def correct(self, batch: Batch, answer: Tensor) -> Prompts:
        """The prompts of a second question: those of the first and a click on what its answer got wrong, or new ones.

        Args:
            batch: the samples.
            answer: (b, 1, s / 4, s / 4) probability, the previous mask of most of them.
        """
        s = self.settings["previous"]
        b = len(answer)
        has = self.switch(s["second"], b)
        goes_on = torch.ones_like(has, dtype=torch.bool) if batch.is_recorded else self.chance(s["goes_on"], b)
        first, second = batch.first, batch.second

        def pick(a: Tensor, c: Tensor) -> Tensor:
            return torch.where(goes_on.view(-1, *[1] * (a.ndim - 1)), a, c)

        extra = first.labels.shape[1] - second.labels.shape[1]
        points = pick(first.points, F.pad(second.points, (0, 0, 0, extra)))
        labels = pick(first.labels, F.pad(second.labels, (0, extra), value=-1.0))
        prompts = Prompts(points, labels, pick(first.box, second.box), answer, torch.where(goes_on, torch.ones_like(has), has))
        clicks = self.chance(self.settings["recorded"]["corrected"], b) if batch.is_recorded else goes_on
        return self._corrected(prompts, batch.target, batch.inside, clicks)

    def _corrected(self, prompts: Prompts, target: Tensor, inside: Tensor, which: Tensor) -> Prompts:
        """With a point more (-1 where not ``which``), in the middle of the largest region that the previous mask has wrong."""
        side = target.shape[-1]
        mask = (F.interpolate(prompts.previous, (side, side), mode="bilinear", align_corners=False) > 0.5).float()
        wrong = torch.cat([target * (1 - mask), (1 - target) * mask * inside], 1)  # missing, extra
        # How deep inside: what is wrong around, at a few distances, found at a quarter of the size for its time.
        reach = 2 * int(torch.randint(1, 4, (1,), generator=self.rng, device=self.device)) + 1
        coarse = F.avg_pool2d(wrong, 4)
        coarse = F.avg_pool2d(F.avg_pool2d(coarse, reach, 1, reach // 2), 3, 1, 1)
        depth = F.interpolate(coarse, (side, side), mode="bilinear", align_corners=False) * wrong
        value, flat = depth.flatten(1).max(1)
        place = flat % (side * side)
        xy = torch.stack([place % side, place // side], -1).float() + 0.5
        label = (flat < side * side).float()
        label = torch.where(which & (value > 0) & (prompts.has_previous > 0), label, torch.full_like(label, -1.0))
        points = torch.cat([prompts.points, xy.unsqueeze(1)], 1)
        labels = torch.cat([prompts.labels, label.unsqueeze(1)], 1)
        return Prompts(points, labels, prompts.box, prompts.previous, prompts.has_previous)

    def _worn(self, xy: Tensor, labels: Tensor, previous: Tensor, s: Settings) -> tuple[Tensor, Tensor]:
        """Labels and previous mask with a place gone wrong in both, as mistakes go on from frame to frame: what lies within a
        disk about one of the points has joined the object, or has been lost to it."""
        b, side = len(xy), previous.shape[-1]
        known = labels >= 0
        centre = xy[torch.arange(b, device=self.device), (self.uniform(*labels.shape) * known).argmax(1)]
        radius = self.log_uniform(b, 1, low=0.06, high=0.25) * 4 * side
        axis = (torch.arange(side, device=self.device) + 0.5) * 4
        away = (axis - centre[:, :1]).square().view(b, 1, 1, side) + (axis - centre[:, 1:]).square().view(b, 1, side, 1)
        disk = torch.sigmoid((radius.view(b, 1, 1, 1) - away.sqrt()) / 3)
        near = known & ((xy - centre.unsqueeze(1)).norm(dim=2) < radius)
        how = self.uniform(b, 1)
        joined, lost = how < s["joined"], how > 1 - s["lost"]
        labels = torch.where(near & joined, 1.0, labels)
        gone = torch.where(self.chance(0.5, *labels.shape), 0.0, -1.0)
        labels = torch.where(near & lost & (labels == 1), gone, labels)
        previous = torch.where(joined.view(b, 1, 1, 1), torch.maximum(previous, disk), previous)
        return labels, torch.where(lost.view(b, 1, 1, 1), previous * (1 - disk), previous)

    def _placed(self, region: Tensor, ratio: list[float]) -> Placement:
        """A crop about each region."""
        s = self.settings["crop"]
        b = len(region)
        box = self.store.regions.box[region]
        centre = (box[:, :2] + box[:, 2:]) / 2
        size = (box[:, 2:] - box[:, :2]).amax(1)
        half = size * self.log_uniform(b, low=ratio[0], high=ratio[1]) / 2
        half = torch.minimum(half, self.store.sizes[self.store.regions.picture[region]].amax(1) * 0.62)
        centre = centre + self.uniform(b, 2, low=-0.7, high=0.7) * (half - 0.4 * size).clamp(min=0.0).unsqueeze(1)
        # Mostly moved into the picture as far as it fits, as the segmenter does.
        extent = self.store.sizes[self.store.regions.picture[region]].flip(1)
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

    def _picture(self, index: Tensor, grid: Tensor) -> tuple[Tensor, Tensor]:
        """Pictures in [-1, 1] at ``grid`` and (b, 1, s, s) 1 where the grid is inside the picture."""
        canvas = self.store.pictures.shape[-1]
        source = self.store.pictures[index].float()
        unit = grid * (2 / canvas) - 1
        picture = F.grid_sample(source, unit, mode="bilinear", align_corners=False)
        # Of pictures made more than one and a half times smaller, every pixel is a mean, as where the segmenter shrinks frames.
        step = torch.linalg.vector_norm(grid[:, 0, 1] - grid[:, 0, 0], dim=-1)
        small = torch.nonzero(step > 1.5)[:, 0]
        if len(small):
            picture[small] = F.grid_sample(F.avg_pool2d(source[small], 2), unit[small], mode="bilinear", align_corners=False)
        size = self.store.sizes[index].flip(1).view(-1, 1, 1, 2)
        inside = ((grid >= 0) & (grid <= size)).all(-1).float().unsqueeze(1)
        return picture / 127.5 - 1, inside

    def _mask(self, region: Tensor, labels: Tensor, grid: Tensor) -> Tensor:
        canvas = self.store.labels.shape[-1]
        ids = self.store.labels[labels].long()
        mask = torch.gather(self.store.regions.table[region], 1, ids.view(len(region), -1)).view(len(region), 1, canvas, canvas)
        return F.grid_sample(mask.float(), grid * (2 / canvas) - 1, mode="bilinear", align_corners=False)

    def _others(self, region: Tensor, grid: Tensor) -> Tensor:
        """(b, 1, s, s) the objects beside the region's own, where the picture's ids tell several."""
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

    def _elsewhere(self, b: int, side: int) -> Tensor:
        """Crops of other pictures, wholly inside them."""
        index = torch.randint(len(self.store.pictures), (b,), generator=self.rng, device=self.device)
        size = self.store.sizes[index].flip(1)
        half = size.amin(1) * self.uniform(b, low=0.2, high=0.5)
        centre = half.unsqueeze(1) + self.uniform(b, 2) * (size - 2 * half.unsqueeze(1)).clamp(min=0)
        axis = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
        unit = torch.stack(torch.meshgrid(axis, axis, indexing="xy"), -1)
        flip = torch.where(self.uniform(b, 2) < 0.5, -1.0, 1.0)
        grid = centre.view(b, 1, 1, 2) + unit * (half.unsqueeze(1) * flip).view(b, 1, 1, 2)
        return self._picture(index, grid)[0]

    def _another_object(
        self, own: Tensor, side: int, ratio: list[float], memory: Tensor, mask: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Crops about n whole objects, some of them the ``own`` regions again: others that look alike. The objects' masks
        (n, 1, s, s) in them, and (n, 1, 1, 1) what the memory of the own ones says of these: no, or as much as of themselves."""
        n = len(own)
        region = torch.multinomial(self.weights["whole"], n, True, generator=self.rng)
        alike = self.chance(self.settings["made"]["alike"], n)
        region = torch.where(alike, own, region)
        mean = ((memory * mask).sum((1, 2, 3)) / (mask.sum((1, 2, 3)) + 1)).view(n, 1, 1, 1)
        says = torch.where(alike.view(n, 1, 1, 1), mean + self.normal(n, 1, 1, 1), self._no(n))
        grid = self._placed(region, ratio).grid(side)
        picture, valid = self._picture(self.store.regions.picture[region], grid)
        return picture, self._mask(region, self.store.regions.labels[region], grid) * valid, says

    def _no(self, n: int) -> Tensor:
        """(n, 1, 1, 1) what the object memory says of something else."""
        return -2.0 - self.normal(n, 1, 1, 1).abs() * 1.5

    def _clouds(self, b: int, channels: int, side: int, cells: int) -> Tensor:
        """Smooth noise of unit variance."""
        coarse = self.normal(b, channels, cells, cells)
        return F.interpolate(coarse, (side, side), mode="bicubic", align_corners=False)

    def _made(
        self, region: Tensor, picture: Tensor, mask: Tensor, inside: Tensor, other: Tensor, memory: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Objects on other pictures, behind and before other objects; shapes of noise."""
        s = self.settings["made"]
        b, side = len(picture), picture.shape[-1]
        soft = F.avg_pool2d(mask, 3, 1, 1)
        which = torch.nonzero(self.chance(s["pasted"], b))[:, 0]
        if len(which):
            n = len(which)
            back = self._elsewhere(n, side)
            plain = (self._clouds(n, 3, side, 5) * 0.4 + self.normal(n, 3, 1, 1) * 0.4).clamp(-1, 1)
            back = torch.where(self.chance(s["plain"] / s["pasted"], n).view(n, 1, 1, 1), plain, back)
            alpha = soft[which]
            picture[which] = picture[which] * alpha + self._shift_colour(back) * (1 - alpha)
            inside[which] = 1.0
            other[which] = 0.0
            memory[which] = _blend(self._no(n), memory[which], mask[which])
        which = torch.nonzero(self.chance(s["behind"], b))[:, 0]
        if len(which):
            behind, alpha, says = self._another_object(region[which], side, [1.0, 3.0], memory[which], mask[which])
            alpha = alpha * (1 - mask[which])
            soft_behind = F.avg_pool2d(alpha, 3, 1, 1) * (1 - soft[which])
            picture[which] = self._shift_colour(behind) * soft_behind + picture[which] * (1 - soft_behind)
            other[which] = torch.maximum(other[which], alpha)
            memory[which] = _blend(memory[which], says, alpha)
        which = torch.nonzero(self.chance(s["occluded"], b))[:, 0]
        if len(which):
            n = len(which)
            front, alpha, says = self._another_object(region[which], side, [1.2, 4.0], memory[which], mask[which])
            covered = mask[which] * (1 - alpha)
            # Not so that the object all but disappears.
            fine = (covered.sum((1, 2, 3)) > 0.4 * mask[which].sum((1, 2, 3))).view(n, 1, 1, 1)
            alpha = alpha * fine
            soft_front = F.avg_pool2d(alpha, 3, 1, 1)
            picture[which] = self._shift_colour(front) * soft_front + picture[which] * (1 - soft_front)
            mask[which] = mask[which] * (1 - alpha)
            other[which] = torch.maximum(other[which], alpha)
            memory[which] = _blend(memory[which], says, alpha)
        which = torch.nonzero(self.chance(s["blob"], b))[:, 0]
        if len(which):
            n = len(which)
            axis = (torch.arange(side, device=self.device) + 0.5) / side * 2 - 1
            centre = self.uniform(n, 2, 1, low=-0.5, high=0.5)
            away = (axis - centre[:, :1]).square().view(n, 1, side) + (axis - centre[:, 1:]).square().view(n, side, 1)
            size = self.log_uniform(n, low=0.15, high=0.7).view(n, 1, 1, 1)
            height = 1 - away.unsqueeze(1) / size.square() + 0.5 * self._clouds(n, 1, side, 8)
            shape = (height > 0).float()
            alpha = F.avg_pool2d(shape, 3, 1, 1)
            picture[which] = self._shift_colour(self._elsewhere(n, side)) * alpha + picture[which] * (1 - alpha)
            mask[which] = shape
            inside[which] = torch.maximum(inside[which], shape)
            other[which] = 0.0
            memory[which] = _blend(self._no(n), 1.5 + self.normal(n, 1, 1, 1), shape)
        return picture, mask, inside, other, memory

    def _shift_colour(self, picture: Tensor) -> Tensor:
        b = len(picture)
        s = self.settings["colour"]
        gain = 1 + self.normal(b, 3, 1, 1) * s["gain"] / 2
        return (picture * gain + self.normal(b, 3, 1, 1) * s["offset"]).clamp(-1, 1)

    def _colour(self, picture: Tensor) -> Tensor:
        """Exposure, white balance, gamma, grey, blur and noise."""
        s = self.settings["colour"]
        b, _, side, _ = picture.shape
        on = self.chance(s["share"], b).float().view(b, 1, 1, 1)
        gain = 1 + on * (self.normal(b, 1, 1, 1) + 0.4 * self.normal(b, 3, 1, 1)) * s["gain"]
        offset = on * (self.normal(b, 1, 1, 1) + 0.4 * self.normal(b, 3, 1, 1)) * s["offset"]
        unit = ((picture * gain + offset) * 0.5 + 0.5).clamp(0, 1)
        unit = (unit + 1e-3).pow(torch.exp(on * self.normal(b, 1, 1, 1) * s["gamma"]))
        dark = self.chance(s["dark"], b).view(b, 1, 1, 1)
        unit = torch.where(dark, unit * self.uniform(b, 1, 1, 1, low=0.12, high=0.5), unit)
        grey = unit.mean(1, keepdim=True)
        depth = torch.where(self.chance(s["grey"], b).view(b, 1, 1, 1), 0.0, 1 + on * 0.3 * self.normal(b, 1, 1, 1))
        unit = grey + (unit - grey) * depth
        which = torch.nonzero(self.chance(s["blur"], b))[:, 0]
        if len(which):
            small = F.interpolate(
                unit[which], scale_factor=float(self.uniform(1, low=0.3, high=0.8)), mode="bilinear", antialias=True
            )
            unit[which] = F.interpolate(small, (side, side), mode="bilinear", align_corners=False)
        noise = self.uniform(b, 1, 1, 1) * s["noise"] * on
        unit = (unit + noise * self.normal(*unit.shape)).clamp(0, 1)
        which = torch.nonzero(self.chance(s["jpeg"], b))[:, 0]
        if len(which):
            quality = self.log_uniform(len(which), low=s["jpeg_quality"][0], high=s["jpeg_quality"][1])
            unit[which] = _as_jpeg(unit[which], quality)
        return unit * 2 - 1

    # ---- prompts -----------------------------------------------------------------------------------------------------------

    def _stale(self, region: Tensor, grid: Tensor, mask: Tensor, other: Tensor) -> Tensor:
        """(b, 1, s, s) the mask as an earlier frame or an earlier answer may have shown it: moved, grown, shrunken, a part
        missing, or with a neighbour or some background."""
        s = self.settings["previous"]
        b, _, side, _ = mask.shape
        neighbour = self.store.regions.neighbour[region]
        use = (neighbour >= 0) & self.chance(s["neighbour"], b)
        earlier = self._mask(region, torch.where(use, neighbour, self.store.regions.labels[region]), grid)
        # What was pasted or covered has no neighbour: there the mask of the sample itself is moved.
        unchanged = (F.avg_pool2d(mask, side) - F.avg_pool2d(earlier, side)).abs().view(b) < 0.03
        base = torch.where((use & unchanged).view(b, 1, 1, 1), earlier, mask)
        move = torch.where((use & unchanged).unsqueeze(1), 0.0, self.normal(b, 2) * 0.05)
        scale = torch.exp(torch.where(use & unchanged, 0.0, self.normal(b) * 0.07))
        theta = torch.zeros(b, 2, 3, device=self.device)
        theta[:, 0, 0] = theta[:, 1, 1] = scale
        theta[:, :, 2] = move
        base = F.grid_sample(base, F.affine_grid(theta, list(base.shape), align_corners=False), align_corners=False)
        part = (self._clouds(b, 1, side, 4) + self.normal(b, 1, 1, 1) * 0.5 > 0.6).float()
        how = self.uniform(b, 1, 1, 1)
        base = torch.where(how < s["lost"], base * (1 - part), base)
        more = torch.where(other.sum((1, 2, 3), keepdim=True) > 0, other, part)
        base = torch.where(how > 1 - s["spilt"], torch.maximum(base, more), base)
        reach = 2 * int(torch.randint(1, 6, (1,), generator=self.rng, device=self.device)) + 1
        level = self.uniform(b, 1, 1, 1, low=0.2, high=0.8) + 0.15 * self._clouds(b, 1, side, 6)
        return torch.sigmoid(6 * (F.avg_pool2d(base, reach, 1, reach // 2) - level) / 0.5)

    def _prompts(
        self, target: Tensor, inside: Tensor, near: Tensor, other: Tensor, cap: int, stale: Tensor, previous: float
    ) -> Prompts:
        s = self.settings["points"]
        b = len(target)
        positives = self.log_uniform(b, low=1, high=cap + 0.99).floor()
        equal = self.chance(0.5, b)
        negatives = torch.where(equal, positives, self.log_uniform(b, low=1, high=cap + 0.99).floor())
        negatives = torch.where(self.chance(s["no_negatives"], b), 0.0, negatives)
        rate = torch.where(
            self.chance(s["wrong_share"], b) & (positives >= 4), self.uniform(b, low=s["wrong"][0], high=s["wrong"][1]), 0.0
        )
        outside = (1 - target) * inside
        # A person's few clicks lie well inside; a tracker's points anywhere.
        central = target * (near - 0.5).clamp(min=0) * self.uniform(b, 1, 1, 1, low=0.0, high=3.0 if cap <= 2 else 0.0)
        on = self._draw(target, central, cap)
        on = self._clustered(on, target, cap)
        off_anywhere = self._draw(outside, torch.zeros_like(target), cap)
        off_near = self._draw(outside * (near > 0), torch.zeros_like(target), cap)
        beside = self.uniform(b, cap) < s["near"]
        off = _choose(beside, off_near, off_anywhere)
        off_other = self._draw(other, torch.zeros_like(target), cap)
        neighbours = (self.uniform(b, cap) < s["neighbours"]) & off_other[1]
        off = _choose(neighbours, off_other, off)
        wrong_on = self.uniform(b, cap) < rate.unsqueeze(1)
        wrong_off = self.uniform(b, cap) < rate.unsqueeze(1)
        on_xy, on_valid = _choose(wrong_on, _roll(off), on)
        off_xy, off_valid = _choose(wrong_off, _roll(on), off)
        count = torch.arange(cap, device=self.device)
        with_box = self.chance(s["box"], b)
        # A sample with a box may have no click at all.
        positives = torch.where(with_box & self.chance(0.4, b), 0.0, positives)
        negatives = torch.where(positives == 0, 0.0, negatives)
        labels = torch.full((b, 2 * cap), -1.0, device=self.device)
        labels[:, :cap][on_valid & (count < positives.unsqueeze(1))] = 1.0
        labels[:, cap:][off_valid & (count < negatives.unsqueeze(1))] = 0.0
        xy = torch.cat([on_xy, off_xy], 1)
        xy = xy + self.normal(*xy.shape) * self.uniform(b, 1, 1) * s["jitter"]
        box = self._boxes(target) * with_box.unsqueeze(1)
        has = self.chance(previous, b).float()
        return Prompts(xy, labels, box, F.avg_pool2d(stale, 4), has)

    def _clustered(self, on: tuple[Tensor, Tensor], target: Tensor, cap: int) -> tuple[Tensor, Tensor]:
        """Some samples' positive points all near their first one: double clicks, scribbles."""
        s = self.settings["points"]
        b, _, side, _ = target.shape
        axis = torch.arange(side, device=self.device) + 0.5
        xy = on[0][:, 0]
        away = (axis - xy[:, :1]).square().view(b, 1, side) + (axis - xy[:, 1:]).square().view(b, side, 1)
        radius = self.log_uniform(b, low=1.5, high=side / 6).view(b, 1, 1)
        close = self._draw(target * (away < radius.square()).unsqueeze(1), torch.zeros_like(target), cap)
        share = s["clustered"] if cap <= 8 else s["clustered"] / 4
        which = self.chance(share, b).unsqueeze(1) & close[1]
        return _choose(which, close, on)

    def _draw(self, where: Tensor, favour: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Random pixels with ``where`` > 0: (b, count, 2) xy and (b, count) whether there was one."""
        b, _, side, _ = where.shape
        order = torch.where(where > 0, self.uniform(*where.shape) + favour, torch.full_like(where, -1.0)).view(b, -1)
        value, flat = order.topk(count, dim=1)
        xy = torch.stack([flat % side, flat // side], -1).float() + 0.5
        return xy, value >= 0

    def _boxes(self, target: Tensor) -> Tensor:
        """(b, 4) tight boxes, a few pixels off."""
        side = target.shape[-1]
        axis = torch.arange(side, device=self.device, dtype=torch.float32)
        edges = []
        for dim in (2, 3):
            there = target.amax(dim)[:, 0] > 0
            edges.append((torch.where(there, axis, side).amin(1), torch.where(there, axis + 1, 0).amax(1)))
        box = torch.stack([edges[0][0], edges[1][0], edges[0][1], edges[1][1]], 1)
        size = torch.stack([box[:, 2] - box[:, 0], box[:, 3] - box[:, 1]] * 2, 1)
        return box + self.normal(*box.shape) * 0.04 * size


_LUMA = (0.299, 0.587, 0.114)
# The quantisation table of brightness that the standard (ITU-T T.81, annex K) gives as an example; colour has one of its own,
# for which, coarser throughout, half as much again is near enough here.
_QUANTA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip


def _as_jpeg(unit: Tensor, quality: Tensor) -> Tensor:
    """Pictures (n, 3, s, s) in 0 .. 1, s a multiple of 8, as JPEGs of the qualities (n,), below 50, show them."""
    n, _, side, _ = unit.shape
    device = unit.device
    luma = (unit * torch.tensor(_LUMA, device=device).view(1, 3, 1, 1)).sum(1, keepdim=True)
    colour = unit - luma
    # Colour is kept at half the size.
    colour = F.interpolate(F.avg_pool2d(colour, 2), scale_factor=2.0, mode="bilinear", align_corners=False)
    k = torch.arange(8, device=device, dtype=torch.float32)
    dct = torch.cos((2 * k + 1) * k.view(8, 1) * (math.pi / 16)) * torch.where(k == 0, math.sqrt(1 / 8), 0.5).view(8, 1)
    table = torch.tensor(_QUANTA, device=device, dtype=torch.float32) / 255 * (50 / quality).view(n, 1, 1, 1, 1, 1)
    blocks = torch.cat([luma - 0.5, colour], 1).view(n, 4, side // 8, 8, side // 8, 8).transpose(3, 4)
    step = table * torch.tensor([1.0, 1.5, 1.5, 1.5], device=device).view(1, 4, 1, 1, 1, 1)
    kept = torch.round(dct @ blocks @ dct.t() / step) * step
    out = (dct.t() @ kept @ dct).transpose(3, 4).reshape(n, 4, side, side)
    return (out[:, 1:] + out[:, :1] + 0.5).clamp(0, 1)


def _blend(below: Tensor, above: Tensor, alpha: Tensor) -> Tensor:
    """What the object memory says of something with something else over it, as coarse as its cells are."""
    small = F.avg_pool2d(F.avg_pool2d(alpha, 8), 3, 1, 1)
    share = F.interpolate(small, alpha.shape[-2:], mode="bilinear", align_corners=False)
    return below + (above - below) * share


def _shrink(x: Tensor, side: int) -> Tensor:
    return F.interpolate(x, (side, side), mode="bilinear", antialias=True)


def _choose(which: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.where(which.unsqueeze(-1), a[0], b[0]), torch.where(which, a[1], b[1])


def _roll(points: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The same points in another order, so that a wrong positive is not also the negative of its place."""
    return points[0].flip(1), points[1].flip(1)
