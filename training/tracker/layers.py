"""Layers of a scene: maps between the frame and what a layer shows, and the tracks of points by them.

Positions on a frame: pixels, (0, 0) at the centre of the top-left one, or frame units, see :func:`to_unit`.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

DEFORM_CELLS = 33
DEFORM_HALF = 1.6
"""The deformation is given on a grid of so many cells over [-half, half] of the layer's own unit."""
_SOLVE_STEPS = 12
_SOLVED_PX = 0.1


@dataclass(frozen=True)
class Layer:
    """One layer of b clips.

    Attributes:
        texture: (b, 4, c, c) colour in [0, 1] and opacity; with ``light`` a fifth channel, what the light changes where.
        centre, scale: (b, 2) pixels of the texture: location = centre + scale * layer unit.
        inverse, forward: (b, t, 3, 3) homographies frame unit -> layer unit, and back.
        bend: (b, t, 2, g, g) deformation in layer units.
        endless: the texture goes on, mirrored, beyond its border.
        light: (b, t) how much.
    """

    texture: Tensor
    centre: Tensor
    scale: Tensor
    inverse: Tensor
    forward: Tensor
    bend: Tensor
    endless: bool = False
    light: Tensor | None = None


def homography(location: Tensor, turn: Tensor, grow: Tensor, stretch: Tensor, tilt: Tensor) -> Tensor:
    """(b, t, 3, 3) from location (b, 2, t), angle, log of size, log of aspect (b, t), perspective (b, 2, t)."""
    b, t = turn.shape
    out = torch.zeros(b, t, 3, 3, device=turn.device)
    wide, high = torch.exp(grow + stretch), torch.exp(grow - stretch)
    out[..., 0, 0], out[..., 0, 1] = turn.cos() * wide, -turn.sin() * high
    out[..., 1, 0], out[..., 1, 1] = turn.sin() * wide, turn.cos() * high
    # About the layer's own middle: the same tilt wherever it is.
    out[..., :2, :2] += location.transpose(1, 2).unsqueeze(3) * tilt.transpose(1, 2).unsqueeze(2)
    out[..., 0, 2], out[..., 1, 2] = location[:, 0], location[:, 1]
    out[..., 2, 0], out[..., 2, 1] = tilt[:, 0], tilt[:, 1]
    out[..., 2, 2] = 1
    return out


def to_unit(xy: Tensor, size_hw: tuple[int, int]) -> Tensor:
    """Pixels -> frame unit: (0, 0) in the middle, half the width is 1."""
    h, w = size_hw
    return (xy - torch.tensor([(w - 1) / 2, (h - 1) / 2], device=xy.device)) / (w / 2)


def from_unit(unit: Tensor, size_hw: tuple[int, int]) -> Tensor:
    h, w = size_hw
    return unit * (w / 2) + torch.tensor([(w - 1) / 2, (h - 1) / 2], device=unit.device)


def project(matrix: Tensor, unit: Tensor) -> Tensor:
    """(..., 3, 3) applied to (..., n, 2)."""
    moved = unit @ matrix[..., :2, :2].transpose(-1, -2) + matrix[..., None, :2, 2]
    depth = unit @ matrix[..., 2:, :2].transpose(-1, -2) + matrix[..., None, 2:, 2]
    return moved / torch.where(depth.abs() < 0.05, 0.05, depth)


def _bend_at(bend: Tensor, location: Tensor) -> Tensor:
    """(m, 2, g, g) at (m, n, 2) -> (m, n, 2)."""
    out = F.grid_sample(bend, location.unsqueeze(1) / DEFORM_HALF, mode="bilinear", padding_mode="border", align_corners=True)
    return out[:, :, 0].transpose(1, 2)


def to_layer(layer: Layer, unit: Tensor, frames: slice) -> Tensor:
    """Frame unit (b, t, n, 2) -> layer unit."""
    z = project(layer.inverse[:, frames], unit)
    b, t, n, _ = z.shape
    return z + _bend_at(layer.bend[:, frames].flatten(0, 1), z.flatten(0, 1)).view(b, t, n, 2)


def from_layer(layer: Layer, location: Tensor) -> tuple[Tensor, Tensor]:
    """Layer unit (b, 1, n, 2) -> frame unit on all frames (b, t, n, 2), and the largest remaining error (b, n), frame unit."""
    b, t = layer.inverse.shape[:2]
    n = location.shape[2]
    goal = location.expand(b, t, n, 2).flatten(0, 1)
    bend = layer.bend.flatten(0, 1)
    z = goal
    for _ in range(_SOLVE_STEPS):
        z = goal - _bend_at(bend, z)
    left = (z + _bend_at(bend, z) - goal).norm(dim=-1).view(b, t, n)
    unit = project(layer.forward, z.view(b, t, n, 2))
    shift = layer.forward[..., :2, :2].flatten(2).norm(dim=-1).unsqueeze(-1)
    return unit, (left * shift).amax(1)


def map_frame(layer: Layer, size_hw: tuple[int, int], t: int) -> Tensor:
    """(b * t, 2, h/4 + 2, w/4 + 2) layer units of every fourth pixel, one more beyond the border; smooth, so interpolated."""
    h, w = size_hw
    device = layer.inverse.device
    x = torch.arange(-1, w // 4 + 1, device=device) * 4 + 1.5
    y = torch.arange(-1, h // 4 + 1, device=device) * 4 + 1.5
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    unit = to_unit(torch.stack([xx, yy], -1).view(1, 1, -1, 2), size_hw).expand(len(layer.inverse), t, -1, 2)
    location = to_layer(layer, unit, slice(None))
    return location.flatten(0, 1).transpose(1, 2).reshape(-1, 2, len(y), len(x))


def _make_grid(layer: Layer, location: Tensor) -> Tensor:
    """Layer units (b, ..., 2) -> what ``grid_sample`` takes for the layer's texture."""
    canvas = layer.texture.shape[-1]
    shape = (-1, *[1] * (location.ndim - 2))
    pixels = layer.centre.view(*shape, 2) + layer.scale.view(*shape, 2) * location
    return (pixels + 0.5) * (2 / canvas) - 1


def sample_texture(layer: Layer, location: Tensor) -> Tensor:
    """What the texture holds, (b * t, 4 or 5, h, w), at layer units (b * t, h, w, 2)."""
    b = len(layer.texture)
    t = len(location) // b
    grid = _make_grid(layer, location.reshape(b, -1, *location.shape[2:])).clamp(-20, 20)
    padding = "reflection" if layer.endless else "zeros"
    out = F.grid_sample(layer.texture, grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return out.view(b, out.shape[1], t, location.shape[1], -1).transpose(1, 2).flatten(0, 1)


def sample_opacity(layer: Layer, location: Tensor) -> Tensor:
    """Opacity (b, t, n) at layer units (b, t, n, 2)."""
    return F.grid_sample(
        layer.texture[:, 3:4], _make_grid(layer, location).clamp(-20, 20), mode="bilinear", align_corners=False
    )[:, 0]


def compute_tracks(
    layers: list[Layer], owner: Tensor, start: Tensor, size_hw: tuple[int, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Tracks (b, t, n, 2), visible (b, t, n), usable (b, n)."""
    b, t, h, w = owner.shape
    n = start.shape[1]
    nearest = start.round().long()
    index = nearest[..., 1].clamp(0, h - 1) * w + nearest[..., 0].clamp(0, w - 1)
    own = torch.gather(owner[:, 0].reshape(b, -1), 1, index)
    xy = torch.zeros(b, t, n, 2, device=start.device)
    usable = torch.ones(b, n, dtype=torch.bool, device=start.device)
    unit = to_unit(start, size_hw)
    for k, layer in enumerate(layers):
        location = to_layer(layer, unit.unsqueeze(1), slice(0, 1))
        there, error = from_layer(layer, location)
        mine = own == k
        xy = torch.where(mine.view(b, 1, n, 1), from_unit(there, size_hw), xy)
        usable &= ~mine | (error * size_hw[1] / 2 < _SOLVED_PX)
    inside = ((xy >= -0.5) & (xy <= torch.tensor([w - 0.5, h - 0.5], device=start.device))).all(-1)
    covered = torch.zeros(b, t, n, dtype=torch.bool, device=start.device)
    unit = to_unit(xy, size_hw)
    for k, layer in enumerate(layers[1:], 1):
        sampled = sample_opacity(layer, to_layer(layer, unit, slice(None)))
        covered |= (own < k).unsqueeze(1) & (sampled > 0.5)
    visible = inside & ~covered
    usable &= visible[:, 0] & torch.isfinite(xy).all(-1).all(1)
    xy = torch.nan_to_num(xy, 0.0, 0.0, 0.0)
    return xy.clamp(-2.0 * w, 3.0 * w), visible, usable
