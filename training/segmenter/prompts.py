"""Prompts as persons, trackers and earlier predictions give them: clicks, boxes and stale masks, some of them wrong."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.draws import Draws
from training.segmenter.crops import CropMaker
from training.segmenter.samples import Prompts, Settings


class PromptMaker(Draws):
    """Draws prompts for masks.

    Args:
        crops: reads the masks of neighbouring frames.
        settings: the configuration; its tables ``points`` and ``previous`` are read.
        generator: of all that is drawn.
    """

    def __init__(self, crops: CropMaker, settings: Settings, generator: Generator) -> None:
        super().__init__(generator, crops.device)
        self.crops = crops
        self.settings = settings

    def make_stale_masks(self, region: Tensor, grid: Tensor, mask: Tensor, other: Tensor) -> Tensor:
        """(b, 1, s, s) the mask as an earlier frame or an earlier prediction may have shown it: moved, grown, shrunken, a part
        missing, or with a neighbour or some background."""
        s = self.settings["previous"]
        b, _, side, _ = mask.shape
        neighbour = self.crops.store.regions.neighbour[region]
        use = (neighbour >= 0) & self.chance(s["neighbour"], b)
        earlier = self.crops.read_masks(region, torch.where(use, neighbour, self.crops.store.regions.labels[region]), grid)
        # What was pasted or covered has no neighbour: there the mask of the sample itself is moved.
        unchanged = (F.avg_pool2d(mask, side) - F.avg_pool2d(earlier, side)).abs().view(b) < 0.03
        base = torch.where((use & unchanged).view(b, 1, 1, 1), earlier, mask)
        move = torch.where((use & unchanged).unsqueeze(1), 0.0, self.normal(b, 2) * 0.05)
        scale = torch.exp(torch.where(use & unchanged, 0.0, self.normal(b) * 0.07))
        theta = torch.zeros(b, 2, 3, device=self.device)
        theta[:, 0, 0] = theta[:, 1, 1] = scale
        theta[:, :, 2] = move
        base = F.grid_sample(base, F.affine_grid(theta, list(base.shape), align_corners=False), align_corners=False)
        part = (self.clouds(b, 1, side, 4) + self.normal(b, 1, 1, 1) * 0.5 > 0.6).float()
        how = self.uniform(b, 1, 1, 1)
        base = torch.where(how < s["lost"], base * (1 - part), base)
        more = torch.where(other.sum((1, 2, 3), keepdim=True) > 0, other, part)
        base = torch.where(how > 1 - s["spilt"], torch.maximum(base, more), base)
        reach = 2 * int(torch.randint(1, 6, (1,), generator=self.rng, device=self.device)) + 1
        level = self.uniform(b, 1, 1, 1, low=0.2, high=0.8) + 0.15 * self.clouds(b, 1, side, 6)
        return torch.sigmoid(6 * (F.avg_pool2d(base, reach, 1, reach // 2) - level) / 0.5)

    def make(
        self, target: Tensor, inside: Tensor, near: Tensor, other: Tensor, cap: int, stale: Tensor, previous: float
    ) -> Prompts:
        """Up to ``cap`` points of either sign; with the ``stale`` mask by the probability ``previous``."""
        s = self.settings["points"]
        b = len(target)
        positives = self.log_uniform(b, low=1, high=cap + 0.99).floor()
        equal = self.chance(0.5, b)
        negatives = torch.where(equal, positives, self.log_uniform(b, low=1, high=cap + 0.99).floor())
        negatives = torch.where(self.chance(s["no_negatives"], b), 0.0, negatives)
        rate = torch.where(
            self.chance(s["wrong_probability"], b) & (positives >= 4),
            self.uniform(b, low=s["wrong"][0], high=s["wrong"][1]),
            0.0,
        )
        outside = (1 - target) * inside
        # A person's few clicks lie well inside; a tracker's points anywhere.
        central = target * (near - 0.5).clamp(min=0) * self.uniform(b, 1, 1, 1, low=0.0, high=3.0 if cap <= 2 else 0.0)
        on = self._draw_pixels(target, central, cap)
        on = self._cluster(on, target, cap)
        off_anywhere = self._draw_pixels(outside, torch.zeros_like(target), cap)
        off_near = self._draw_pixels(outside * (near > 0), torch.zeros_like(target), cap)
        beside = self.uniform(b, cap) < s["near"]
        off = _choose(beside, off_near, off_anywhere)
        off_other = self._draw_pixels(other, torch.zeros_like(target), cap)
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
        box = self._make_boxes(target) * with_box.unsqueeze(1)
        has = self.chance(previous, b).float()
        return Prompts(xy, labels, box, F.avg_pool2d(stale, 4), has)

    def _cluster(self, on: tuple[Tensor, Tensor], target: Tensor, cap: int) -> tuple[Tensor, Tensor]:
        """Some samples' positive points all near their first one: double clicks, scribbles."""
        s = self.settings["points"]
        b, _, side, _ = target.shape
        axis = torch.arange(side, device=self.device) + 0.5
        xy = on[0][:, 0]
        away = (axis - xy[:, :1]).square().view(b, 1, side) + (axis - xy[:, 1:]).square().view(b, side, 1)
        radius = self.log_uniform(b, low=1.5, high=side / 6).view(b, 1, 1)
        close = self._draw_pixels(target * (away < radius.square()).unsqueeze(1), torch.zeros_like(target), cap)
        probability = s["clustered"] if cap <= 8 else s["clustered"] / 4
        which = self.chance(probability, b).unsqueeze(1) & close[1]
        return _choose(which, close, on)

    def _draw_pixels(self, where: Tensor, favour: Tensor, count: int) -> tuple[Tensor, Tensor]:
        """Random pixels with ``where`` > 0: (b, count, 2) xy and (b, count) whether there was one."""
        b, _, side, _ = where.shape
        order = torch.where(where > 0, self.uniform(*where.shape) + favour, torch.full_like(where, -1.0)).view(b, -1)
        value, flat = order.topk(count, dim=1)
        xy = torch.stack([flat % side, flat // side], -1).float() + 0.5
        return xy, value >= 0

    def _make_boxes(self, target: Tensor) -> Tensor:
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

    def add_correction(self, prompts: Prompts, target: Tensor, inside: Tensor, which: Tensor) -> Prompts:
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
        pixel = flat % (side * side)
        xy = torch.stack([pixel % side, pixel // side], -1).float() + 0.5
        label = (flat < side * side).float()
        label = torch.where(which & (value > 0) & (prompts.has_previous > 0), label, torch.full_like(label, -1.0))
        points = torch.cat([prompts.points, xy.unsqueeze(1)], 1)
        labels = torch.cat([prompts.labels, label.unsqueeze(1)], 1)
        return Prompts(points, labels, prompts.box, prompts.previous, prompts.has_previous)

    def spread_mistakes(self, xy: Tensor, labels: Tensor, previous: Tensor, s: Settings) -> tuple[Tensor, Tensor]:
        """Labels and previous mask with a location gone wrong in both, as mistakes go on from frame to frame: what lies within
        a disk about one of the points has joined the object, or has been lost to it."""
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


def _choose(which: Tensor, a: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    return torch.where(which.unsqueeze(-1), a[0], b[0]), torch.where(which, a[1], b[1])


def _roll(points: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """The same points in another order, so that a wrong positive is not also the negative of its location."""
    return points[0].flip(1), points[1].flip(1)
