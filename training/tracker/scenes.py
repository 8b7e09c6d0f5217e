"""Clips made on the device, with exact tracks and visibility: photos and regions as layers under random motion.

A clip is a background and up to four objects in front of each other. What a layer shows at a location of the frame is given by
a map from the frame to the layer: the inverse of its homography and of the camera's, then a smooth deformation (waves, and a
bend of one part against the other). A point's track is found by undoing that map, to a tenth of a pixel (the image, drawn from
an interpolated map, agrees to 0.02 pixels on the average); it is visible where it is inside the frame and no layer before it
is opaque there. Positions: pixels, (0, 0) at the centre of the top-left one.
"""

from __future__ import annotations

import math
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Generator, Tensor

from training.data import KINDS, Store, is_held_out, load_store
from training.tracker.degradation import ClipDegrader
from training.tracker.layers import (
    DEFORM_CELLS,
    DEFORM_HALF,
    Layer,
    compute_tracks,
    homography,
    map_frame,
    sample_opacity,
    sample_texture,
    to_layer,
    to_unit,
)
from training.tracker.motion import MotionDraws

Settings = dict[str, Any]
_TEXTURE = 192
"""Side of the squares that objects are cut into, pixels."""


@dataclass(frozen=True)
class Clips:
    """b clips of t frames with n points, given on frame 0.

    Attributes:
        frames: (b, t, 3, h, w) in [0, 1].
        xy: (b, t, n, 2) exact locations, also where hidden.
        visible: (b, t, n) bool.
        usable: (b, n) bool; False for a point that is not to be trained on, as its track could not be solved, say.
        known: (b, t, n) bool; False where location and visibility are not known and nothing is to be learnt.
    """

    frames: Tensor
    xy: Tensor
    visible: Tensor
    usable: Tensor
    known: Tensor


@dataclass(frozen=True)
class HeldOutClip:
    """frames (t, h, w, 3) uint8; points_xy (n, 2) on frame 0; xy (t, n, 2); visible (t, n)."""

    frames: np.ndarray
    points_xy: np.ndarray
    xy: np.ndarray
    visible: np.ndarray


class SceneMaker(MotionDraws):
    """Draws clips from a store of images and regions."""

    def __init__(self, store: Store, settings: Settings, generator: Generator) -> None:
        super().__init__(generator, store.images.device)
        self.store = store
        self.settings = settings
        self.degrader = ClipDegrader(settings, generator, self.device)
        regions = store.regions
        self.weights = torch.zeros(len(regions), device=self.device)
        for k, kind in enumerate(KINDS):
            own = (regions.kind == k).float() * regions.weight
            self.weights += own / own.sum().clamp(min=1e-6) * settings["objects"]["kinds"].get(kind, 0.0)

    @torch.no_grad()
    def batch(self, b: int, t: int, size_hw: tuple[int, int], points: int) -> Clips:
        """b clips of t frames of ``size_hw``, with so many points each."""
        layers = self._make_layers(b, t, size_hw)
        maps = [map_frame(layer, size_hw, t) for layer in layers]
        blurred = bool(torch.rand((), generator=self.rng, device=self.device) < self.settings["camera"]["blur"])
        image, owner = self._render(layers, maps, size_hw, blurred)
        start = self._draw_points(owner, points)
        xy, visible, usable = compute_tracks(layers, owner, start, size_hw)
        frames = self.degrader.degrade(image.view(b, t, 3, *size_hw))
        return Clips(frames, xy, visible, usable, torch.ones_like(visible))

    @torch.no_grad()
    def add_crossing(self, frames: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Objects that pass in front of clips, and changes of the image.

        Args:
            frames: (b, t, 3, h, w) in [0, 1].
            xy: (b, t, n, 2) points in pixels.

        Returns:
            Frames like the given ones, and (b, t, n) which points are covered.
        """
        b, t, _, h, w = frames.shape
        still = torch.eye(3, device=self.device).expand(b, t, 3, 3)
        layers = [self._make_object(b, t, still, (h, w)) for _ in range(self.settings["real"]["crossing"])]
        maps = [map_frame(layer, (h, w), t) for layer in layers]
        image, _ = self._paint(layers, maps, (h, w), frames.flatten(0, 1))
        covered = torch.zeros(xy.shape[:3], dtype=torch.bool, device=self.device)
        unit = to_unit(xy, (h, w))
        for layer in layers:
            covered |= sample_opacity(layer, to_layer(layer, unit, slice(None))) > 0.5
        return self.degrader.degrade(image.view(b, t, 3, h, w)), covered

    # ---- layers ------------------------------------------------------------------------------------------------------------

    def _make_layers(self, b: int, t: int, size_hw: tuple[int, int]) -> list[Layer]:
        """Background first, then objects from back to front."""
        s = self.settings["camera"]
        speed = self.log_uniform(b, 1, 1, low=s["slow"], high=s["fast"]) * (1 - self.switch(s["still"], b, 1, 1))
        pan = self.path(b, t, speed, 10.0, s["jump"])
        pan = pan + self.smooth(b, 2, t, 1.0) * self.switch(s["shaking"], b, 1, 1) * self.log_uniform(
            b, 1, 1, low=3e-3, high=0.03
        )
        moving = (speed > 0).float()
        zoom = self.smooth(b, 1, t, 12.0)[:, 0] * 0.12 * moving[:, 0]
        turn = self.smooth(b, 1, t, 12.0)[:, 0] * 0.08 * moving[:, 0]
        tilt = self.smooth(b, 2, t, 12.0) * 0.04 * moving
        camera = homography(pan, turn, zoom, torch.zeros_like(zoom), tilt)
        layers = [self._make_background(b, t, camera)]
        for _ in range(self.settings["objects"]["max_layers"]):
            layers.append(self._make_object(b, t, camera, size_hw))
        return layers

    def _make_background(self, b: int, t: int, camera: Tensor) -> Layer:
        index = torch.randint(len(self.store.images), (b,), generator=self.rng, device=self.device)
        texture = self.store.images[index].float() / 255
        size = self.store.sizes[index].flip(1)
        texture = self._replace_some(_stretch_over_canvas(texture, size), self.settings["background"]["plain"])
        texture = torch.cat([texture, torch.ones_like(texture[:, :1])], 1)
        scale = (size.amax(1) / 2 * self.uniform(b, low=0.6, high=1.1)).unsqueeze(1) * texture.shape[-1] / size
        middle = torch.full_like(size, texture.shape[-1] / 2 - 0.5)
        bend = self._draw_bend(b, t, self.settings["background"]["bend"], 0.0)
        inverse = torch.linalg.inv(camera)
        return Layer(texture, middle, scale, inverse, camera, bend, endless=True)

    def _make_object(self, b: int, t: int, camera: Tensor, size_hw: tuple[int, int]) -> Layer:
        ratio, width_px = size_hw[0] / size_hw[1], size_hw[1]
        s = self.settings["objects"]
        region = torch.multinomial(self.weights, b, True, generator=self.rng)
        # Layer unit: the object's box reaches from -1 to 1.
        size = self.log_uniform(b, 1, low=s["smallest"], high=s["largest"]) * ratio
        cut = [
            self._cut(int(r), float(z) * width_px * self.settings["objects"]["sharp"])
            for r, z in zip(region, size, strict=True)
        ]
        texture, half = torch.stack([c[0] for c in cut]), torch.stack([c[1] for c in cut])
        color = self._replace_some(texture[:, :3], s["plain"])
        color = (color * (1 + self.normal(b, 3, 1, 1) * 0.12) + self.normal(b, 3, 1, 1) * 0.06).clamp(0, 1)
        alpha = texture[:, 3:] * (1 - self.switch(s["absent"], b, 1, 1, 1))
        speed = self.log_uniform(b, 1, 1, low=s["slow"], high=s["fast"]) * (1 - self.switch(s["still"], b, 1, 1))
        start = torch.cat(
            [self.uniform(b, 1, 1, low=-0.8, high=0.8), self.uniform(b, 1, 1, low=-0.8 * ratio, high=0.8 * ratio)], 1
        )
        bound = torch.tensor([1.0, ratio], device=self.device).view(1, 2, 1) + 0.25
        location = _reflect(start + self.path(b, t, speed, 8.0, s["jump"]), bound)
        turn = self.smooth(b, 1, t, 8.0)[:, 0] * self.log_uniform(b, 1, low=0.02, high=0.5) + self.normal(b, 1) * 0.2
        grow = self.smooth(b, 1, t, 10.0)[:, 0] * self.log_uniform(b, 1, low=0.02, high=0.3) + torch.log(size)
        stretch = self.smooth(b, 1, t, 10.0)[:, 0] * s["stretch"]
        tilt = self.smooth(b, 2, t, 10.0) * s["tilt"]
        own = homography(location, turn, grow, stretch, tilt)
        flip = torch.diag_embed(
            torch.stack([1 - 2 * self.switch(0.5, b), torch.ones(b, device=self.device), torch.ones(b, device=self.device)], 1)
        )
        forward = camera @ own @ flip.unsqueeze(1)
        bend = self._draw_bend(b, t, s["bend"], s["swing"])
        middle = torch.full((b, 2), texture.shape[-1] / 2 - 0.5, device=self.device)
        clouds = F.interpolate(self.normal(b, 1, 6, 6), texture.shape[-2:], mode="bicubic", align_corners=False)
        light = self.smooth(b, 1, t, 6.0)[:, 0] * self.uniform(b, 1, high=s["shade"])
        shaded = torch.cat([color, alpha, clouds], 1)
        return Layer(shaded, middle, half, torch.linalg.inv(forward), forward, bend, light=light)

    def _cut(self, region: int, side_px: float) -> tuple[Tensor, Tensor]:
        """A region's colour and opacity (4, s, s) in the middle of a square, reduced so that it is not much finer than it will
        be shown, and half the longer side of its box there, (2,), pixels."""
        regions = self.store.regions
        x0, y0, x1, y1 = (int(v) for v in regions.box[region].tolist())
        margin = 4
        high, wide = self.store.sizes[regions.image[region]].int().tolist()
        x0, y0, x1, y1 = max(x0 - margin, 0), max(y0 - margin, 0), min(x1 + margin, wide), min(y1 + margin, high)
        image = self.store.images[regions.image[region], :, y0:y1, x0:x1].float() / 255
        ids = self.store.labels[regions.labels[region], y0:y1, x0:x1].long()
        both = torch.cat([image, regions.table[region][ids].unsqueeze(0).float()]).unsqueeze(0)
        longest = max(y1 - y0, x1 - x0)
        scale = min(1.0, side_px / longest, _TEXTURE / longest)
        shape = [max(4, min(_TEXTURE, round(side * scale))) for side in (y1 - y0, x1 - x0)]
        both = F.interpolate(both, shape, mode="bilinear", antialias=True, align_corners=False)[0]
        both[3] = F.avg_pool2d(both[3:], 3, 1, 1, count_include_pad=True)[0]
        top, left = (_TEXTURE - shape[0]) // 2, (_TEXTURE - shape[1]) // 2
        square = F.pad(both, (left, _TEXTURE - shape[1] - left, top, _TEXTURE - shape[0] - top))
        return square, torch.full((2,), max(shape) / 2, device=self.device)

    def _replace_some(self, texture: Tensor, probability: float) -> Tensor:
        """Some textures replaced by clouds of noise, from all but flat to rough."""
        b, _, c, _ = texture.shape
        on = self.switch(probability, b, 1, 1, 1)
        if not bool(on.any()):
            return texture
        clouds = self.uniform(b, 3, 1, 1) + F.interpolate(self.normal(b, 3, 6, 6), (c, c), mode="bicubic") * 0.08
        for cells in (24, 96):
            loud = self.log_uniform(b, 1, 1, 1, low=0.005, high=0.15)
            clouds = clouds + F.interpolate(self.normal(b, 1, cells, cells), (c, c), mode="bilinear") * loud
        return torch.where(on > 0, clouds.clamp(0, 1), texture)

    def _draw_bend(self, b: int, t: int, max_bend: float, swing: float) -> Tensor:
        """(b, t, 2, g, g) deformation: two smooth fields that come and go, and one part that swings about a joint."""
        g = DEFORM_CELLS
        fields = F.interpolate(self.normal(b * 2, 2, 5, 5), (g, g), mode="bicubic", align_corners=True).view(b, 2, 1, 2, g, g)
        amount = self.smooth(b, 2, t, 7.0).view(b, 2, t, 1, 1, 1) * self.uniform(b, 1, 1, 1, 1, 1, high=max_bend)
        bend = (fields * amount).sum(1)
        if swing:
            axis = torch.linspace(-DEFORM_HALF, DEFORM_HALF, g, device=self.device)
            y, x = torch.meshgrid(axis, axis, indexing="ij")
            location = torch.stack([x, y]).view(1, 1, 2, g, g)
            angle = self.uniform(b, 1, high=2 * math.pi)
            toward = torch.stack([torch.cos(angle), torch.sin(angle)], 2).view(b, 1, 2, 1, 1)
            joint = toward * self.uniform(b, 1, 1, 1, 1, low=-0.3, high=0.6)
            part = torch.sigmoid(((location - joint) * toward).sum(2, keepdim=True) / 0.18)
            theta = (self.smooth(b, 1, t, 5.0) * self.uniform(b, 1, 1, high=swing)).view(b, t, 1, 1, 1) * part
            x, y = (location - joint).expand(b, 1, 2, g, g).split(1, 2)
            bend = bend + torch.cat([x * (theta.cos() - 1) - y * theta.sin(), x * theta.sin() + y * (theta.cos() - 1)], 2)
        return bend

    # ---- images ------------------------------------------------------------------------------------------------------------

    def _render(
        self, layers: list[Layer], maps: list[Tensor], size_hw: tuple[int, int], blurred: bool
    ) -> tuple[Tensor, Tensor]:
        """Images (b * t, 3, h, w), and (b, t, h, w) which layer shows."""
        b, t = layers[0].inverse.shape[:2]
        if blurred:
            shutter = float(self.uniform(1, low=0.2, high=0.8))
            moved = []
            for m in maps:
                v = m.view(b, t, *m.shape[1:])
                change = torch.gradient(v, dim=1)[0].view_as(m) if t > 1 else torch.zeros_like(m)
                moved.append(change * shutter / 3)
            shots = [self._paint(layers, [m + k * d for m, d in zip(maps, moved, strict=True)], size_hw) for k in (-1, 0, 1)]
            image = sum(shot[0] for shot in shots) / len(shots)
            assert isinstance(image, Tensor)
            return image, shots[1][1].view(b, t, *size_hw)
        image, owner = self._paint(layers, maps, size_hw)
        return image, owner.view(b, t, *size_hw)

    def _paint(
        self, layers: list[Layer], maps: list[Tensor], size_hw: tuple[int, int], behind: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images (b * t, 3, h, w), the layers before ``behind``; and (b * t, h, w) which layer shows."""
        image = torch.zeros((len(maps[0]), 3, *size_hw), device=self.device) if behind is None else behind
        owner = torch.zeros((len(image), *size_hw), dtype=torch.long, device=self.device)
        for k, (layer, coarse) in enumerate(zip(layers, maps, strict=True)):
            dense = F.interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False)[:, :, 4:-4, 4:-4]
            sampled = sample_texture(layer, dense.permute(0, 2, 3, 1))
            color, alpha = sampled[:, :3], sampled[:, 3:4]
            if layer.light is not None:
                color = (color * (1 + sampled[:, 4:] * layer.light.reshape(-1, 1, 1, 1))).clamp(0, 1)
            image = image + (color - image) * alpha
            owner = torch.where(alpha[:, 0] > 0.5, k, owner)
        return image, owner

    def _draw_points(self, owner: Tensor, n: int) -> Tensor:
        """(b, n, 2) locations on the first frame, more than half of them on objects where there are any."""
        b, _, h, w = owner.shape
        first = owner[:, 0].reshape(b, -1)
        on_object = (first > 0).float()
        fraction = self.settings["points"]["on_objects"]
        # Every object counts alike, however large.
        counts = torch.zeros(b, 8, device=self.device).scatter_add_(1, first, torch.ones_like(on_object))
        weight = on_object / torch.gather(counts, 1, first).clamp(min=20)
        weight = fraction * weight / weight.sum(1, keepdim=True).clamp(min=1e-6) + (1 - fraction) / (h * w)
        location = torch.multinomial(weight, n, True, generator=self.rng)
        xy = torch.stack([location % w, torch.div(location, w, rounding_mode="floor")], -1).float()
        return (xy + self.uniform(b, n, 2, low=-0.45, high=0.45)).clamp(min=0)


def held_out_clips(data: Path, frames: int, count: int, seed: int) -> Iterator[HeldOutClip]:
    """Clips of images that training never saw: 64 points each, 256 x 160 pixels, drawn one by one from ``seed``."""
    settings = tomllib.loads((Path(__file__).parent / "config.toml").read_text(encoding="utf-8"))
    d = settings["data"]
    store = load_store(data, lambda path: is_held_out(path, d["held_out"]), d["canvas"], d["smallest"], d["largest"], "cpu")
    maker = SceneMaker(store, settings, torch.Generator().manual_seed(seed))
    for _ in range(count):
        clips = maker.batch(1, frames, (160, 256), 96)
        keep = torch.nonzero(clips.usable[0])[:64, 0]
        images = (clips.frames[0].permute(0, 2, 3, 1) * 255).round().byte().numpy()
        xy, visible = clips.xy[0][:, keep].numpy(), clips.visible[0][:, keep].numpy()
        yield HeldOutClip(images, xy[0].copy(), xy, visible)


def _reflect(path: Tensor, bound: Tensor) -> Tensor:
    """The path thrown back at plus and minus ``bound``."""
    return ((path + bound) % (4 * bound) - 2 * bound).abs() * -1 + bound


def _stretch_over_canvas(texture: Tensor, size: Tensor) -> Tensor:
    """The image in the canvas's corner stretched over the canvas, so that mirroring repeats the image alone."""
    canvas = texture.shape[-1]
    axis = (torch.arange(canvas, device=texture.device) + 0.5) / canvas
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x, y], -1).unsqueeze(0) * size.view(-1, 1, 1, 2) / canvas * 2 - 1
    return F.grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=False)
