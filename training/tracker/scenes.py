"""Clips made on the device, with exact tracks and visibility: photos and regions as layers under random motion.

A clip is a background and up to four objects in front of each other. What a layer shows at a place of the frame is given by a
map from the frame to the layer: the inverse of its homography and of the camera's, then a smooth deformation (waves, and a bend
of one part against the other). A point's track is found by undoing that map, to a tenth of a pixel (the image, drawn from an
interpolated map, follows to 0.02 pixels on the average); it is visible where it is inside the frame and no layer before it is
opaque there. Positions: pixels, (0, 0) at the centre of the top-left one.
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
from training.draws import Draws

Settings = dict[str, Any]
_DEFORM_CELLS = 33
_DEFORM_HALF = 1.6
"""The deformation is given on a grid of so many cells over [-half, half] of the layer's own unit."""
_TEXTURE = 192
"""Side of the squares that objects are cut into, pixels."""
_SOLVE_STEPS = 12
_SOLVED_PX = 0.1


@dataclass(frozen=True)
class Clips:
    """b clips of t frames with n points, given on frame 0.

    Attributes:
        frames: (b, t, 3, h, w) in [0, 1].
        xy: (b, t, n, 2) exact places, also where hidden.
        visible: (b, t, n) bool.
        usable: (b, n) bool; False for a point that cannot be asked about, as its track could not be solved, say.
        known: (b, t, n) bool; False where place and visibility are not known and nothing is to be learnt.
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


@dataclass(frozen=True)
class _Layer:
    """One layer of b clips.

    Attributes:
        texture: (b, 4, c, c) color in [0, 1] and opacity; with ``light`` a fifth channel, what the light changes where.
        centre, scale: (b, 2) pixels of the texture: place = centre + scale * layer unit.
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


class SceneMaker(Draws):
    """Draws clips from a store of images and regions."""

    def __init__(self, store: Store, settings: Settings, generator: Generator) -> None:
        super().__init__(generator, store.images.device)
        self.store = store
        self.settings = settings
        regions = store.regions
        self.weights = torch.zeros(len(regions), device=self.device)
        for k, kind in enumerate(KINDS):
            own = (regions.kind == k).float() * regions.weight
            self.weights += own / own.sum().clamp(min=1e-6) * settings["objects"]["kinds"].get(kind, 0.0)

    # ---- random numbers ----------------------------------------------------------------------------------------------------

    def smooth(self, b: int, dims: int, t: int, frames_a_knot: float) -> Tensor:
        """(b, dims, t) smooth noise of about unit variance."""
        knots = max(4, math.ceil(t / frames_a_knot) + 3)
        noise = self.normal(b, dims, 1, knots)
        wide = F.interpolate(noise, size=(1, round(knots * frames_a_knot)), mode="bicubic", align_corners=False)
        first = int(frames_a_knot)
        return wide[:, :, 0, first : first + t]

    # ---- one batch ---------------------------------------------------------------------------------------------------------

    @torch.no_grad()
    def batch(self, b: int, t: int, size_hw: tuple[int, int], points: int) -> Clips:
        """b clips of t frames of ``size_hw``, with so many points each."""
        layers = self._layers(b, t, size_hw)
        maps = [_frame_map(layer, size_hw, t) for layer in layers]
        blurred = bool(torch.rand((), generator=self.rng, device=self.device) < self.settings["camera"]["blur"])
        image, owner = self._render(layers, maps, size_hw, blurred)
        start = self._start_points(owner, points)
        xy, visible, usable = self._follow(layers, owner, start, size_hw)
        frames = self._finish(image.view(b, t, 3, *size_hw))
        return Clips(frames, xy, visible, usable, torch.ones_like(visible))

    @torch.no_grad()
    def crossed(self, frames: Tensor, xy: Tensor) -> tuple[Tensor, Tensor]:
        """Objects that pass in front of clips, and changes of the image.

        Args:
            frames: (b, t, 3, h, w) in [0, 1].
            xy: (b, t, n, 2) points in pixels.

        Returns:
            Frames like the given ones, and (b, t, n) which points are covered.
        """
        b, t, _, h, w = frames.shape
        still = torch.eye(3, device=self.device).expand(b, t, 3, 3)
        layers = [self._object(b, t, still, (h, w)) for _ in range(self.settings["real"]["crossing"])]
        maps = [_frame_map(layer, (h, w), t) for layer in layers]
        image, _ = self._paint(layers, maps, (h, w), frames.flatten(0, 1))
        covered = torch.zeros(xy.shape[:3], dtype=torch.bool, device=self.device)
        unit = to_unit(xy, (h, w))
        for layer in layers:
            covered |= _sample_points(layer, _to_layer(layer, unit, slice(None))) > 0.5
        return self._finish(image.view(b, t, 3, h, w)), covered

    def _layers(self, b: int, t: int, size_hw: tuple[int, int]) -> list[_Layer]:
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
        layers = [self._background(b, t, camera)]
        for _ in range(self.settings["objects"]["most"]):
            layers.append(self._object(b, t, camera, size_hw))
        return layers

    def path(self, b: int, t: int, speed: Tensor, knot: float, jump: float) -> Tensor:
        """(b, 2, t) a path of about ``speed`` half widths a frame, with sudden jumps."""
        step = self.smooth(b, 2, t, knot) * speed
        jumps = self.switch(jump, b, 1, t) * self.switch(0.5, b, 1, 1)
        angle = self.uniform(b, 1, t, high=2 * math.pi)
        length = self.uniform(b, 1, t, low=0.15, high=0.4) * jumps
        return torch.cumsum(step + length * torch.cat([torch.cos(angle), torch.sin(angle)], 1), 2)

    def _background(self, b: int, t: int, camera: Tensor) -> _Layer:
        index = torch.randint(len(self.store.images), (b,), generator=self.rng, device=self.device)
        texture = self.store.images[index].float() / 255
        size = self.store.sizes[index].flip(1)
        texture = self._plain(_mirrored(texture, size), self.settings["background"]["plain"])
        texture = torch.cat([texture, torch.ones_like(texture[:, :1])], 1)
        scale = (size.amax(1) / 2 * self.uniform(b, low=0.6, high=1.1)).unsqueeze(1) * texture.shape[-1] / size
        middle = torch.full_like(size, texture.shape[-1] / 2 - 0.5)
        bend = self._bend(b, t, self.settings["background"]["bend"], 0.0)
        inverse = torch.linalg.inv(camera)
        return _Layer(texture, middle, scale, inverse, camera, bend, endless=True)

    def _object(self, b: int, t: int, camera: Tensor, size_hw: tuple[int, int]) -> _Layer:
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
        color = self._plain(texture[:, :3], s["plain"])
        color = (color * (1 + self.normal(b, 3, 1, 1) * 0.12) + self.normal(b, 3, 1, 1) * 0.06).clamp(0, 1)
        alpha = texture[:, 3:] * (1 - self.switch(s["absent"], b, 1, 1, 1))
        speed = self.log_uniform(b, 1, 1, low=s["slow"], high=s["fast"]) * (1 - self.switch(s["still"], b, 1, 1))
        start = torch.cat(
            [self.uniform(b, 1, 1, low=-0.8, high=0.8), self.uniform(b, 1, 1, low=-0.8 * ratio, high=0.8 * ratio)], 1
        )
        bound = torch.tensor([1.0, ratio], device=self.device).view(1, 2, 1) + 0.25
        place = _reflected(start + self.path(b, t, speed, 8.0, s["jump"]), bound)
        turn = self.smooth(b, 1, t, 8.0)[:, 0] * self.log_uniform(b, 1, low=0.02, high=0.5) + self.normal(b, 1) * 0.2
        grow = self.smooth(b, 1, t, 10.0)[:, 0] * self.log_uniform(b, 1, low=0.02, high=0.3) + torch.log(size)
        stretch = self.smooth(b, 1, t, 10.0)[:, 0] * s["stretch"]
        tilt = self.smooth(b, 2, t, 10.0) * s["tilt"]
        own = homography(place, turn, grow, stretch, tilt)
        flip = torch.diag_embed(
            torch.stack([1 - 2 * self.switch(0.5, b), torch.ones(b, device=self.device), torch.ones(b, device=self.device)], 1)
        )
        forward = camera @ own @ flip.unsqueeze(1)
        bend = self._bend(b, t, s["bend"], s["swing"])
        middle = torch.full((b, 2), texture.shape[-1] / 2 - 0.5, device=self.device)
        clouds = F.interpolate(self.normal(b, 1, 6, 6), texture.shape[-2:], mode="bicubic", align_corners=False)
        light = self.smooth(b, 1, t, 6.0)[:, 0] * self.uniform(b, 1, high=s["shade"])
        shaded = torch.cat([color, alpha, clouds], 1)
        return _Layer(shaded, middle, half, torch.linalg.inv(forward), forward, bend, light=light)

    def _cut(self, region: int, side_px: float) -> tuple[Tensor, Tensor]:
        """A region's color and opacity (4, s, s) in the middle of a square, reduced so that it is not much finer than it will
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

    def _plain(self, texture: Tensor, share: float) -> Tensor:
        """Some textures replaced by clouds of noise, from all but flat to rough."""
        b, _, c, _ = texture.shape
        on = self.switch(share, b, 1, 1, 1)
        if not bool(on.any()):
            return texture
        clouds = self.uniform(b, 3, 1, 1) + F.interpolate(self.normal(b, 3, 6, 6), (c, c), mode="bicubic") * 0.08
        for cells in (24, 96):
            loud = self.log_uniform(b, 1, 1, 1, low=0.005, high=0.15)
            clouds = clouds + F.interpolate(self.normal(b, 1, cells, cells), (c, c), mode="bilinear") * loud
        return torch.where(on > 0, clouds.clamp(0, 1), texture)

    def _bend(self, b: int, t: int, most: float, swing: float) -> Tensor:
        """(b, t, 2, g, g) deformation: two smooth fields that come and go, and one part that swings about a joint."""
        g = _DEFORM_CELLS
        fields = F.interpolate(self.normal(b * 2, 2, 5, 5), (g, g), mode="bicubic", align_corners=True).view(b, 2, 1, 2, g, g)
        amount = self.smooth(b, 2, t, 7.0).view(b, 2, t, 1, 1, 1) * self.uniform(b, 1, 1, 1, 1, 1, high=most)
        bend = (fields * amount).sum(1)
        if swing:
            axis = torch.linspace(-_DEFORM_HALF, _DEFORM_HALF, g, device=self.device)
            y, x = torch.meshgrid(axis, axis, indexing="ij")
            place = torch.stack([x, y]).view(1, 1, 2, g, g)
            angle = self.uniform(b, 1, high=2 * math.pi)
            toward = torch.stack([torch.cos(angle), torch.sin(angle)], 2).view(b, 1, 2, 1, 1)
            joint = toward * self.uniform(b, 1, 1, 1, 1, low=-0.3, high=0.6)
            part = torch.sigmoid(((place - joint) * toward).sum(2, keepdim=True) / 0.18)
            theta = (self.smooth(b, 1, t, 5.0) * self.uniform(b, 1, 1, high=swing)).view(b, t, 1, 1, 1) * part
            x, y = (place - joint).expand(b, 1, 2, g, g).split(1, 2)
            bend = bend + torch.cat([x * (theta.cos() - 1) - y * theta.sin(), x * theta.sin() + y * (theta.cos() - 1)], 2)
        return bend

    # ---- images ----------------------------------------------------------------------------------------------------------

    def _render(
        self, layers: list[_Layer], maps: list[Tensor], size_hw: tuple[int, int], blurred: bool
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
        self, layers: list[_Layer], maps: list[Tensor], size_hw: tuple[int, int], behind: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Images (b * t, 3, h, w), the layers before ``behind``; and (b * t, h, w) which layer shows."""
        image = torch.zeros((len(maps[0]), 3, *size_hw), device=self.device) if behind is None else behind
        owner = torch.zeros((len(image), *size_hw), dtype=torch.long, device=self.device)
        for k, (layer, coarse) in enumerate(zip(layers, maps, strict=True)):
            dense = F.interpolate(coarse, scale_factor=4.0, mode="bilinear", align_corners=False)[:, :, 4:-4, 4:-4]
            sampled = _sample(layer, dense.permute(0, 2, 3, 1))
            color, alpha = sampled[:, :3], sampled[:, 3:4]
            if layer.light is not None:
                color = (color * (1 + sampled[:, 4:] * layer.light.reshape(-1, 1, 1, 1))).clamp(0, 1)
            image = image + (color - image) * alpha
            owner = torch.where(alpha[:, 0] > 0.5, k, owner)
        return image, owner

    def _finish(self, frames: Tensor) -> Tensor:
        """Exposure, light, color, sharpness, compression and noise; all but the last two change slowly."""
        s = self.settings["picture"]
        b, t, _, h, w = frames.shape
        on = self.switch(s["change"], b, 1, 1, 1, 1)
        drift = self.smooth(b, 3, t, 8.0).transpose(1, 2).reshape(b, t, 3, 1, 1) * 0.05
        common = self.smooth(b, 1, t, 6.0).transpose(1, 2).reshape(b, t, 1, 1, 1) * 0.15
        light = F.interpolate(self.normal(b, t and 2, 4, 4), (h, w), mode="bicubic", align_corners=False)
        mix = self.smooth(b, 2, t, 8.0).transpose(1, 2).reshape(b, t, 2, 1, 1)
        light = (light.unsqueeze(1) * mix).sum(2, keepdim=True) * 0.08
        static = self.normal(b, 1, 3, 1, 1) * 0.08 + self.normal(b, 1, 1, 1, 1) * 0.2
        frames = (frames * (1 + on * (common + drift + light) + static)).clamp(1e-3, 1)
        frames = frames.pow(torch.exp(self.normal(b, 1, 1, 1, 1) * s["gamma"]))
        grey = frames.mean(2, keepdim=True)
        frames = grey + (frames - grey) * (1 - self.switch(s["grey"], b, 1, 1, 1, 1))
        flat = frames.flatten(0, 1)
        if float(self.uniform(1)) < s["soft"]:
            flat = F.avg_pool2d(F.pad(flat, (1, 1, 1, 1), mode="replicate"), 3, 1)
        if float(self.uniform(1)) < s["compressed"]:
            flat = _compressed(flat, float(self.log_uniform(1, low=0.02, high=0.12)))
        noise = self.switch(0.5, b, 1, 1, 1, 1) * self.uniform(b, 1, 1, 1, 1, high=s["noise"])
        return (flat.view_as(frames) + self.normal(*frames.shape) * noise).clamp(0, 1)

    # ---- points ------------------------------------------------------------------------------------------------------------

    def _start_points(self, owner: Tensor, n: int) -> Tensor:
        """(b, n, 2) places on the first frame, more than half of them on objects where there are any."""
        b, _, h, w = owner.shape
        first = owner[:, 0].reshape(b, -1)
        on_object = (first > 0).float()
        share = self.settings["points"]["on_objects"]
        # Every object counts alike, however large.
        counts = torch.zeros(b, 8, device=self.device).scatter_add_(1, first, torch.ones_like(on_object))
        weight = on_object / torch.gather(counts, 1, first).clamp(min=20)
        weight = share * weight / weight.sum(1, keepdim=True).clamp(min=1e-6) + (1 - share) / (h * w)
        place = torch.multinomial(weight, n, True, generator=self.rng)
        xy = torch.stack([place % w, torch.div(place, w, rounding_mode="floor")], -1).float()
        return (xy + self.uniform(b, n, 2, low=-0.45, high=0.45)).clamp(min=0)

    def _follow(
        self, layers: list[_Layer], owner: Tensor, start: Tensor, size_hw: tuple[int, int]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Tracks (b, t, n, 2), visible (b, t, n), usable (b, n)."""
        b, t, h, w = owner.shape
        n = start.shape[1]
        nearest = start.round().long()
        index = nearest[..., 1].clamp(0, h - 1) * w + nearest[..., 0].clamp(0, w - 1)
        own = torch.gather(owner[:, 0].reshape(b, -1), 1, index)
        xy = torch.zeros(b, t, n, 2, device=self.device)
        usable = torch.ones(b, n, dtype=torch.bool, device=self.device)
        unit = to_unit(start, size_hw)
        for k, layer in enumerate(layers):
            place = _to_layer(layer, unit.unsqueeze(1), slice(0, 1))
            there, error = _from_layer(layer, place)
            mine = own == k
            xy = torch.where(mine.view(b, 1, n, 1), from_unit(there, size_hw), xy)
            usable &= ~mine | (error * size_hw[1] / 2 < _SOLVED_PX)
        inside = ((xy >= -0.5) & (xy <= torch.tensor([w - 0.5, h - 0.5], device=self.device))).all(-1)
        covered = torch.zeros(b, t, n, dtype=torch.bool, device=self.device)
        unit = to_unit(xy, size_hw)
        for k, layer in enumerate(layers[1:], 1):
            sampled = _sample_points(layer, _to_layer(layer, unit, slice(None)))
            covered |= (own < k).unsqueeze(1) & (sampled > 0.5)
        visible = inside & ~covered
        usable &= visible[:, 0] & torch.isfinite(xy).all(-1).all(1)
        xy = torch.nan_to_num(xy, 0.0, 0.0, 0.0)
        return xy.clamp(-2.0 * w, 3.0 * w), visible, usable


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


def homography(place: Tensor, turn: Tensor, grow: Tensor, stretch: Tensor, tilt: Tensor) -> Tensor:
    """(b, t, 3, 3) from place (b, 2, t), angle, log of size, log of aspect (b, t), perspective (b, 2, t)."""
    b, t = turn.shape
    out = torch.zeros(b, t, 3, 3, device=turn.device)
    wide, high = torch.exp(grow + stretch), torch.exp(grow - stretch)
    out[..., 0, 0], out[..., 0, 1] = turn.cos() * wide, -turn.sin() * high
    out[..., 1, 0], out[..., 1, 1] = turn.sin() * wide, turn.cos() * high
    # About the layer's own middle: the same tilt wherever it is.
    out[..., :2, :2] += place.transpose(1, 2).unsqueeze(3) * tilt.transpose(1, 2).unsqueeze(2)
    out[..., 0, 2], out[..., 1, 2] = place[:, 0], place[:, 1]
    out[..., 2, 0], out[..., 2, 1] = tilt[:, 0], tilt[:, 1]
    out[..., 2, 2] = 1
    return out


def _reflected(path: Tensor, bound: Tensor) -> Tensor:
    """The path thrown back at plus and minus ``bound``."""
    return ((path + bound) % (4 * bound) - 2 * bound).abs() * -1 + bound


def _mirrored(texture: Tensor, size: Tensor) -> Tensor:
    """The image in the canvas's corner stretched over the canvas, so that mirroring repeats the image alone."""
    canvas = texture.shape[-1]
    axis = (torch.arange(canvas, device=texture.device) + 0.5) / canvas
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    grid = torch.stack([x, y], -1).unsqueeze(0) * size.view(-1, 1, 1, 2) / canvas * 2 - 1
    return F.grid_sample(texture, grid, mode="bilinear", padding_mode="border", align_corners=False)


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


def _bend_at(bend: Tensor, place: Tensor) -> Tensor:
    """(m, 2, g, g) at (m, n, 2) -> (m, n, 2)."""
    out = F.grid_sample(bend, place.unsqueeze(1) / _DEFORM_HALF, mode="bilinear", padding_mode="border", align_corners=True)
    return out[:, :, 0].transpose(1, 2)


def _to_layer(layer: _Layer, unit: Tensor, frames: slice) -> Tensor:
    """Frame unit (b, t, n, 2) -> layer unit."""
    z = project(layer.inverse[:, frames], unit)
    b, t, n, _ = z.shape
    return z + _bend_at(layer.bend[:, frames].flatten(0, 1), z.flatten(0, 1)).view(b, t, n, 2)


def _from_layer(layer: _Layer, place: Tensor) -> tuple[Tensor, Tensor]:
    """Layer unit (b, 1, n, 2) -> frame unit on all frames (b, t, n, 2), and the largest remaining error (b, n), frame unit."""
    b, t = layer.inverse.shape[:2]
    n = place.shape[2]
    goal = place.expand(b, t, n, 2).flatten(0, 1)
    bend = layer.bend.flatten(0, 1)
    z = goal
    for _ in range(_SOLVE_STEPS):
        z = goal - _bend_at(bend, z)
    left = (z + _bend_at(bend, z) - goal).norm(dim=-1).view(b, t, n)
    unit = project(layer.forward, z.view(b, t, n, 2))
    shift = layer.forward[..., :2, :2].flatten(2).norm(dim=-1).unsqueeze(-1)
    return unit, (left * shift).amax(1)


def _frame_map(layer: _Layer, size_hw: tuple[int, int], t: int) -> Tensor:
    """(b * t, 2, h/4 + 2, w/4 + 2) layer units of every fourth pixel, one more beyond the border; smooth, so interpolated."""
    h, w = size_hw
    device = layer.inverse.device
    x = torch.arange(-1, w // 4 + 1, device=device) * 4 + 1.5
    y = torch.arange(-1, h // 4 + 1, device=device) * 4 + 1.5
    yy, xx = torch.meshgrid(y, x, indexing="ij")
    unit = to_unit(torch.stack([xx, yy], -1).view(1, 1, -1, 2), size_hw).expand(len(layer.inverse), t, -1, 2)
    place = _to_layer(layer, unit, slice(None))
    return place.flatten(0, 1).transpose(1, 2).reshape(-1, 2, len(y), len(x))


def _grid_of(layer: _Layer, place: Tensor) -> Tensor:
    """Layer units (b, ..., 2) -> what ``grid_sample`` takes for the layer's texture."""
    canvas = layer.texture.shape[-1]
    shape = (-1, *[1] * (place.ndim - 2))
    pixels = layer.centre.view(*shape, 2) + layer.scale.view(*shape, 2) * place
    return (pixels + 0.5) * (2 / canvas) - 1


def _sample(layer: _Layer, place: Tensor) -> Tensor:
    """What the texture holds, (b * t, 4 or 5, h, w), at layer units (b * t, h, w, 2)."""
    b = len(layer.texture)
    t = len(place) // b
    grid = _grid_of(layer, place.reshape(b, -1, *place.shape[2:])).clamp(-20, 20)
    padding = "reflection" if layer.endless else "zeros"
    out = F.grid_sample(layer.texture, grid, mode="bilinear", padding_mode=padding, align_corners=False)
    return out.view(b, out.shape[1], t, place.shape[1], -1).transpose(1, 2).flatten(0, 1)


def _sample_points(layer: _Layer, place: Tensor) -> Tensor:
    """Opacity (b, t, n) at layer units (b, t, n, 2)."""
    return F.grid_sample(layer.texture[:, 3:4], _grid_of(layer, place).clamp(-20, 20), mode="bilinear", align_corners=False)[
        :, 0
    ]


def _compressed(images: Tensor, step: float) -> Tensor:
    """Blocks of 8 x 8 as JPEG has them: cosine transform, rounded to multiples of a step that grows with frequency."""
    m, c, h, w = images.shape
    k = torch.arange(8, device=images.device).float()
    basis = torch.cos(math.pi * (k.view(1, 8) + 0.5) * k.view(8, 1) / 8) * 0.5
    basis[0] /= math.sqrt(2)
    blocks = images.view(m, c, h // 8, 8, w // 8, 8).permute(0, 1, 2, 4, 3, 5)
    spectrum = basis @ blocks @ basis.T
    steps = step * (1 + (k.view(8, 1) + k.view(1, 8)) / 2)
    spectrum = torch.round(spectrum / steps) * steps
    blocks = basis.T @ spectrum @ basis
    return blocks.permute(0, 1, 2, 4, 3, 5).reshape(m, c, h, w)
