"""The network of the tracker ``nano``: features of a frame, and one step of points onto a frame.

A recipe of the field, scaled down and made recurrent. As in TAP-Net and TAPIR (Doersch et al., arXiv 2211.03726, 2306.08637)
a point's feature is matched against the whole frame, so that it is found wherever it comes back. As in RAFT, CoTracker3 and
LocoTrack (Cho et al., arXiv 2407.15420) the correlation of two neighbourhoods, the template's and the frame's, tells how to
move a location. Two locations are looked at: where the point was a frame ago, and the best match; the better one goes on. What
carries over from frame to frame is a fixed state for each point, so that the tracker streams.

The same comparison, with the same weights, finds the points again in a larger image (:meth:`NanoTrackerStep.refine`).

Positions are pixels of the network's image, (0, 0) at the centre of the top-left pixel. Batches are b clips of n points.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from sampt.backends.blocks import ConvNorm, FoldingNetwork, Residual
from sampt.checks import shape_repr
from sampt.trackers.nano.runtime import HIDDEN, PointState

__all__ = ["COARSE", "NanoTrackerNetwork", "StepDetails"]

FINE, COARSE = 4, 8
"""Pixels to a cell of the two feature maps."""
FINE_CHANNELS, COARSE_CHANNELS = 64, 128
SUPPORT = 3
"""Cells to a side of a point's template."""
REACH = 7
"""Cells to a side of the neighbourhood it is compared with."""
_AROUND = 2
"""The location of the best match is averaged over so many cells on every side of it."""
_OUTSIDE_PX = 16.0
"""Points are tracked so far beyond the border."""
_LEARN = 0.2
"""How fast the recent template follows what a confident point looks like."""
_SURE = 0.6
REFINED_PX = 24.0
"""The refinement moves a point by less than so many pixels of the larger image."""
_REFINED = 0.5
"""Least confidence with which it does."""
_HINTS = 14
"""Numbers beside the comparison: see :meth:`NanoTrackerStep._estimate`."""


class StepDetails(NamedTuple):
    """What training looks at beside the state.

    Attributes:
        match: (b, n, cells) logits of the match over the coarse map.
        likeness: (b, n, cells) cosine with the query template alone.
        starts: (b, n, 2, 2) the two locations looked at for every point: where it was, and the match.
        estimates: position (b, n, 2, 2), visibility and certainty logits (b, n, 2) after a look at each.
        final: position (b, n, 2), visibility and certainty logits (b, n) after the second comparison at the better one.
    """

    match: Tensor
    likeness: Tensor
    starts: Tensor
    estimates: tuple[Tensor, Tensor, Tensor]
    final: tuple[Tensor, Tensor, Tensor]

    def __repr__(self) -> str:
        return shape_repr(self)


class NanoTrackerEncoder(nn.Module):
    """An image -> features of unit length every 4 and every 8 pixels."""

    def __init__(self, widths: tuple[int, int, int, int] = (32, 48, 96, 128)) -> None:
        super().__init__()
        stem, fine, coarse, deep = widths
        self.stem = ConvNorm(3, stem, stride=2)
        self.fine = nn.Sequential(ConvNorm(stem, fine, stride=2), nn.ReLU(), Residual(fine), Residual(fine))
        self.coarse = nn.Sequential(ConvNorm(fine, coarse, stride=2), nn.ReLU(), Residual(coarse), Residual(coarse))
        self.deep = nn.Sequential(ConvNorm(coarse, deep, stride=2), nn.ReLU(), Residual(deep), Residual(deep))
        self.deep_to_wide = nn.Conv2d(deep, COARSE_CHANNELS, 1)
        self.coarse_to_wide = nn.Conv2d(coarse, COARSE_CHANNELS, 1)
        self.wide_out = nn.Conv2d(COARSE_CHANNELS, COARSE_CHANNELS, 3, 1, 1)
        self.wide_to_narrow = nn.Conv2d(COARSE_CHANNELS, FINE_CHANNELS, 1)
        self.fine_to_narrow = nn.Conv2d(fine, FINE_CHANNELS, 1)
        self.narrow_out = nn.Conv2d(FINE_CHANNELS, FINE_CHANNELS, 3, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(b, 3, h, w) in [-1, 1], h and w multiples of 16 -> (b, 64, h/4, w/4) and (b, 128, h/8, w/8)."""
        fine = self.fine(F.relu(self.stem(image)))
        coarse = self.coarse(fine)
        wide = F.relu(self.coarse_to_wide(coarse) + _twice(self.deep_to_wide(self.deep(coarse))))
        narrow = F.relu(self.fine_to_narrow(fine) + _twice(self.wide_to_narrow(wide)))
        return _unit(self.narrow_out(narrow), 1), _unit(self.wide_out(wide), 1)


class _Recur(nn.Module):
    """A gated recurrent unit (Cho et al. 2014), of parts that every ONNX exporter knows."""

    def __init__(self, inputs: int, memory: int) -> None:
        super().__init__()
        self.gates = nn.Linear(inputs + memory, 2 * memory)
        self.new = nn.Linear(inputs + memory, memory)

    def forward(self, x: Tensor, memory: Tensor) -> Tensor:
        reset, update = torch.sigmoid(self.gates(torch.cat([x, memory], -1))).chunk(2, -1)
        new = torch.tanh(self.new(torch.cat([x, reset * memory], -1)))
        return memory + update * (new - memory)


class NanoTrackerStep(nn.Module):
    """Points, and what is known of them, onto the next frame."""

    def __init__(self) -> None:
        super().__init__()
        self.match = nn.Parameter(torch.tensor([12.0, 8.0, 1.0, 1.0]))
        """What counts in the match over the frame: likeness to the query template and to the recent one, being near the last
        location of a point that was seen there, being not too far from it."""
        pairs = 2 * SUPPORT * SUPPORT * REACH * REACH
        self.look_fine = nn.Linear(pairs, 128)
        self.look_coarse = nn.Linear(pairs, 128)
        self.mix = nn.Linear(256 + _HINTS, HIDDEN)
        self.recur = _Recur(HIDDEN, HIDDEN)
        self.out = nn.Sequential(nn.Linear(2 * HIDDEN, 128), nn.ReLU(), nn.Linear(128, 4))

    def begin(self, fine: Tensor, coarse: Tensor, xy: Tensor) -> PointState:
        """The state of (b, n, 2) points given on a frame with these features."""
        first_fine, first_coarse = _template(fine, xy, FINE), _template(coarse, xy, COARSE)
        hidden = xy.new_zeros((*xy.shape[:2], HIDDEN))
        seen = torch.ones_like(xy[..., 0])
        return PointState(xy, torch.zeros_like(xy), seen, hidden, first_fine, first_coarse, first_fine, first_coarse)

    def forward(self, fine: Tensor, coarse: Tensor, state: PointState) -> tuple[PointState, StepDetails]:
        """One frame on: features as the encoder gives them, (b, c, h, w)."""
        likeness, match, found, strength = self._global(coarse, state)
        starts, estimates, final, hidden = self._compare_at(fine, coarse, state, found, strength)
        after = self._after(fine, coarse, state, final[0].detach(), _confidence(final), hidden)
        return after, StepDetails(match, likeness, starts, estimates, final)

    def refine(self, fine: Tensor, coarse: Tensor, state: PointState, given: Tensor, given_seen: Tensor) -> PointState:
        """One frame on in a larger image, where a step in a smaller one has found the points.

        Looked at are where a point was there a frame ago and where the step says that it is. Where it is not sure, or far from
        that, the step's word holds.

        Args:
            fine, coarse: features of the larger image.
            state: the points in it; templates and memory are its own.
            given: (b, n, 2) where the step says that they are, in pixels of the larger image.
            given_seen: (b, n) its confidence.
        """
        middle = SUPPORT * SUPPORT // 2
        there = _cells(coarse, torch.floor((given + 0.5) / COARSE), 1)[:, :, 0]
        templates = (state.first_coarse[:, :, middle], state.recent_coarse[:, :, middle])
        strength = torch.stack([*((template * there).sum(2).float() for template in templates), given_seen], 2)
        _, _, final, hidden = self._compare_at(fine, coarse, state, given, strength)
        sure = _confidence(final)
        taken = ((final[0] - given).square().sum(-1) < REFINED_PX**2) & (sure >= _REFINED)
        xy = torch.where(taken.unsqueeze(-1), final[0], given)
        return self._after(fine, coarse, state, xy, sure * taken.to(sure.dtype), hidden)

    def _compare_at(
        self, fine: Tensor, coarse: Tensor, state: PointState, found: Tensor, strength: Tensor
    ) -> tuple[Tensor, tuple[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor], Tensor]:
        """Compare where points were and (b, n, 2) ``found`` locations, then once more the better one.

        Returns:
            Starts, estimates and what is final, as in :class:`StepDetails`, and the memory (b, n, h).
        """
        templates = (
            torch.cat([state.first_fine, state.recent_fine], 2).transpose(2, 3),
            torch.cat([state.first_coarse, state.recent_coarse], 2).transpose(2, 3),
        )
        hints = torch.cat([strength, state.seen.unsqueeze(-1)], -1).unsqueeze(2)
        starts = torch.stack([state.xy, found], 2)
        estimates, hidden = self._estimate((fine, coarse), templates, state, starts, state.hidden.unsqueeze(2), hints)
        better = (estimates[2][:, :, 1:] > estimates[2][:, :, :1]).unsqueeze(-1)
        location = torch.where(better, estimates[0][:, :, 1:], estimates[0][:, :, :1]).detach()
        hidden = torch.where(better, hidden[:, :, 1:], hidden[:, :, :1])
        (xy, visible, certain), hidden = self._estimate((fine, coarse), templates, state, location, hidden, hints)
        return starts, estimates, (xy[:, :, 0], visible[:, :, 0], certain[:, :, 0]), hidden[:, :, 0]

    def _after(self, fine: Tensor, coarse: Tensor, state: PointState, xy: Tensor, seen: Tensor, hidden: Tensor) -> PointState:
        """What is carried on of points at (b, n, 2) locations with (b, n) confidence."""
        learn = (_LEARN * (seen > _SURE).to(fine.dtype)).unsqueeze(-1).unsqueeze(-1)
        recent_fine = state.recent_fine + learn * (_template(fine, xy, FINE) - state.recent_fine)
        recent_coarse = state.recent_coarse + learn * (_template(coarse, xy, COARSE) - state.recent_coarse)
        return PointState(xy, xy - state.xy, seen, hidden, state.first_fine, state.first_coarse, recent_fine, recent_coarse)

    def _global(self, coarse: Tensor, state: PointState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Over the whole frame: likeness to the query template, match, the best location, and how well it matches (b, n, 3)."""
        h, w = coarse.shape[2:]
        middle = SUPPORT * SUPPORT // 2
        cells = coarse.flatten(2)
        first, recent = state.first_coarse[:, :, middle], state.recent_coarse[:, :, middle]
        cell = (state.xy + 0.5) / COARSE - 0.5
        # One product for both templates, one for both bells: maps of all points are what costs here.
        match = (self.match[0] * first + self.match[1] * recent) @ cells
        heights = torch.stack([self.match[2] * state.seen, self.match[3].expand_as(state.seen)], 2)
        match = match.float() + _bells(cell, h, w, (1.5, 6.0), heights)
        best = match.argmax(2, keepdim=True)
        top = torch.gather(match, 2, best)
        fraction = 1 / torch.exp(match - top).sum(2, keepdim=True)
        clip = torch.arange(coarse.shape[0], device=coarse.device).view(-1, 1) * (h * w)
        there = torch.index_select(cells.transpose(1, 2).flatten(0, 1), 0, (best[..., 0] + clip).flatten()).view_as(first)
        like = [(template * there).sum(2, keepdim=True).float() for template in (first, recent)]
        strength = torch.cat([*like, fraction], 2)
        # The location is averaged over the cells about the best one.
        column, row = best % w, torch.div(best, w, rounding_mode="floor")
        steps = torch.arange(-_AROUND, _AROUND + 1, device=coarse.device)
        columns, rows = (column + steps).clamp(0, w - 1), (row + steps).clamp(0, h - 1)
        index = (rows.unsqueeze(3) * w + columns.unsqueeze(2)).flatten(2)
        # Cells beyond the border do not count.
        there = (rows == row + steps).unsqueeze(3) & (columns == column + steps).unsqueeze(2)
        weight = torch.exp(torch.gather(match, 2, index) - top) * there.flatten(2).float()
        x = (weight * (index % w)).sum(2) / weight.sum(2)
        y = (weight * torch.div(index, w, rounding_mode="floor")).sum(2) / weight.sum(2)
        found = (torch.stack([x, y], 2) + 0.5) * COARSE - 0.5
        return first @ cells, match, found.detach(), strength.detach()  # the first one for training alone

    def _estimate(
        self,
        maps: tuple[Tensor, Tensor],
        templates: tuple[Tensor, Tensor],
        state: PointState,
        start: Tensor,
        hidden: Tensor,
        hints: Tensor,
    ) -> tuple[tuple[Tensor, Tensor, Tensor], Tensor]:
        """Compare the neighbourhoods of the cells at (b, n, p, 2) locations with the templates.

        Nothing is interpolated: the neighbourhood is the nearest cell's, and hints say where in the cell the location was and
        in which quarter of the coarse cell the fine one lies.

        Returns:
            Better locations (b, n, p, 2), visibility and certainty logits (b, n, p); memory (b, n, p, h).
        """
        b, n, p, _ = start.shape
        # By a product, not torch.tensor: an ONNX file would keep the size of the image that it was exported with.
        size_xy = torch.stack([start.new_ones(()) * (maps[1].shape[k] * COARSE - 1) for k in (3, 2)])
        cell = torch.floor((start + 0.5) / FINE)
        coarse_cell = torch.floor(cell / 2)
        near = self.look_fine(_compare(maps[0], cell, templates[0]))
        wide = self.look_coarse(_compare(maps[1], coarse_cell, templates[1]))
        quarter = 2 * (cell - 2 * coarse_cell) - 1
        centre = (cell + 0.5) * FINE - 0.5
        within, start = (start - centre) / FINE, centre
        moved = (start - state.xy.unsqueeze(2)) / 16
        ahead = moved - state.velocity.unsqueeze(2) / 16
        border = torch.minimum(start, size_xy - start) / 32
        hints = torch.cat(
            [
                ahead.clamp(-4, 4),
                moved.clamp(-4, 4),
                border.clamp(-1, 1),
                hints.expand(b, n, p, hints.shape[-1]),
                within,
                quarter,
            ],
            -1,
        )
        mixed = F.relu(self.mix(torch.cat([F.relu(near), F.relu(wide), hints.to(near.dtype)], -1)))
        hidden = self.recur(mixed, hidden.to(mixed.dtype).expand(b, n, p, HIDDEN))
        out = self.out(torch.cat([hidden, mixed], -1)).float()
        location = start + out[..., :2] * FINE
        low = torch.full_like(size_xy, -_OUTSIDE_PX)
        location = torch.minimum(torch.maximum(location, low), size_xy + _OUTSIDE_PX)
        return (location, out[..., 2], out[..., 3]), hidden


class NanoTrackerNetwork(FoldingNetwork):
    """Encoder and step."""

    def __init__(self) -> None:
        super().__init__()
        self.encoder = NanoTrackerEncoder()
        self.step = NanoTrackerStep()


def _confidence(final: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """(b, n) that a point is visible and within few pixels of the location, of the logits of both."""
    return (torch.sigmoid(final[1]) * torch.sigmoid(final[2])).detach()


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")


def _unit(x: Tensor, axis: int) -> Tensor:
    return x * torch.rsqrt((x * x).sum(axis, keepdim=True) + 1e-6)


def _bells(cell: Tensor, h: int, w: int, radii: tuple[float, ...], heights: Tensor) -> Tensor:
    """Sum of bells about each of (b, n, 2) locations over all cells, (b, n, h * w), distances in cells.

    A bell is height * exp(-d^2 / (2 radius^2)), heights (b, n, radii); it is a product of a row and a column.
    """
    x = torch.arange(w, device=cell.device) - cell[..., 0:1]
    y = torch.arange(h, device=cell.device) - cell[..., 1:2]
    rows = torch.stack([torch.exp(x * x * (-0.5 / r**2)) for r in radii], 2)
    columns = torch.stack([torch.exp(y * y * (-0.5 / r**2)) for r in radii], 3)
    return ((columns * heights.unsqueeze(2)) @ rows).flatten(2)


def _cells(features: Tensor, low: Tensor, side: int) -> Tensor:
    """The side^2 cells from each of (b, m, 2) lowest ones on, (b, m, side^2, c); border cells are repeated."""
    b, c, h, w = features.shape
    steps = torch.arange(side, device=low.device)
    column = (low[..., 0:1].long() + steps).clamp(0, w - 1)
    row = (low[..., 1:2].long() + steps).clamp(0, h - 1)
    clip = (torch.arange(b, device=low.device) * h).view(b, 1, 1)
    index = ((row + clip) * w).unsqueeze(-1) + column.unsqueeze(-2)
    cells = features.permute(0, 2, 3, 1).reshape(b * h * w, c)
    return torch.index_select(cells, 0, index.reshape(-1)).view(b, low.shape[1], side * side, c)


def _template(features: Tensor, xy: Tensor, stride: int) -> Tensor:
    """(b, n, 9, c) features about each of (b, n, 2) points, interpolated: the middle one lies exactly at the point."""
    cell = (xy + 0.5) / stride - 0.5
    low = torch.floor(cell)
    b, n, _ = xy.shape
    v = _cells(features, low - SUPPORT // 2, SUPPORT + 1).view(b, n, SUPPORT + 1, SUPPORT + 1, -1)
    fx, fy = ((cell - low).to(features.dtype)[..., k].view(b, n, 1, 1, 1) for k in (0, 1))
    rows = v[:, :, :-1] * (1 - fy) + v[:, :, 1:] * fy
    return (rows[:, :, :, :-1] * (1 - fx) + rows[:, :, :, 1:] * fx).flatten(2, 3)


def _compare(features: Tensor, cell: Tensor, templates: Tensor) -> Tensor:
    """(b, n, p, 49 * 18) products of the features about (b, n, p, 2) cells with the point's templates (b, n, c, 18)."""
    b, n, p, _ = cell.shape
    patch = _cells(features, cell.flatten(1, 2) - REACH // 2, REACH)
    return (patch.view(b, n, p * REACH * REACH, -1) @ templates).reshape(b, n, p, -1)
