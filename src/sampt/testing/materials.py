"""Procedural material for synthetic scenes: noise, colour ramps, outlines with signed distance, soft shading.

Everything is made from an ``rng``, so that one seed gives one image, and nothing is read from disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import cv2
import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.types import BoolArray, FloatArray, UInt8Array

__all__ = ["Surface", "blob_outline", "color_ramp", "fill", "inflate", "noise", "signed_distance"]

Color: TypeAlias = tuple[int, int, int]
AnyArray: TypeAlias = npt.NDArray[Any]
XYZ: TypeAlias = tuple[float, float, float]
_FAR = 1e4  # signed distance of everything beyond the drawn part of a surface
_ROW = 256  # OpenCV's remap admits at most 32767 rows or columns, so lists of points are folded into rows


def noise(rng: np.random.Generator, size_hw: tuple[int, int], cell_px: float, octaves: int = 4) -> FloatArray:
    """Smooth random field, (h, w) float32 over [0, 1]: value noise whose first octave has cells of ``cell_px``."""
    h, w = size_hw
    total = np.zeros((h, w), np.float32)
    for octave in range(octaves):
        cell = max(cell_px / 2**octave, 1.0)
        grid = rng.random((int(h / cell) + 3, int(w / cell) + 3)).astype(np.float32)
        whole = cv2.resize(grid, None, fx=cell, fy=cell, interpolation=cv2.INTER_CUBIC)
        total += whole[:h, :w] * 0.5**octave
    low, high = float(total.min()), float(total.max())
    return np.asarray((total - low) / max(high - low, 1e-6), np.float32)


def color_ramp(values: npt.NDArray[np.floating], colors: Sequence[Color]) -> FloatArray:
    """Colours (h, w, 3) float32 of ``values`` in [0, 1], linear between the evenly spaced ``colors``."""
    stops = np.linspace(0, 1, len(colors))
    table = np.asarray(colors, np.float32)
    return np.stack([np.interp(values, stops, table[:, c]) for c in range(3)], -1).astype(np.float32)


def fill(size_hw: tuple[int, int], outline_xy: npt.ArrayLike) -> BoolArray:
    """Pixels (h, w) bool inside a closed polygon of (n, 2) pixel positions."""
    canvas = np.zeros(size_hw, np.uint8)
    cv2.fillPoly(canvas, [np.rint(np.asarray(outline_xy)).astype(np.int32)], (1,))
    return np.asarray(canvas, np.bool_)


def blob_outline(rng: np.random.Generator, radii_xy: tuple[float, float], roughness: float = 0.12) -> FloatArray:
    """A closed, smooth, irregular outline around (0, 0): (n, 2) float32 positions about ``radii_xy`` away."""
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    radius = np.ones_like(angle)
    for wave in range(2, 6):
        radius += roughness * rng.uniform(0.3, 1.0) / wave * 2 * np.cos(wave * angle + rng.uniform(0, 2 * np.pi))
    return np.asarray(np.stack([np.cos(angle), np.sin(angle)], -1) * radius[:, None] * radii_xy, np.float32)


def signed_distance(mask: BoolArray) -> FloatArray:
    """Distance in pixels of each pixel centre to the mask's edge, (h, w) float32: negative inside, positive outside."""
    inside = cv2.distanceTransform(mask.astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    outside = cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    hard = np.where(mask, 0.5 - inside, outside - 0.5).astype(np.float32)
    return np.asarray(cv2.GaussianBlur(hard, (0, 0), 1.0), np.float32)  # takes the staircase off slanted edges


def inflate(distance_px: FloatArray, radius_px: float, light_xyz: XYZ = (-0.4, -0.75, 0.6)) -> FloatArray:
    """Brightness (h, w) float32, about 1, of the shape blown up like a cushion whose rim is ``radius_px`` wide.

    Lambert's cosine law on the normals of a quarter-circle rim; ``light_xyz`` points to the light, y down, z to the viewer.
    """
    rim = np.clip(1 + distance_px / radius_px, 0, 1)
    height = cv2.GaussianBlur(radius_px * np.sqrt(np.maximum(1 - rim**2, 0)), (0, 0), max(radius_px / 8, 1.0))
    slope_y, slope_x = np.gradient(height)
    light = np.asarray(light_xyz) / np.linalg.norm(light_xyz)
    cosine = (light[2] - slope_x * light[0] - slope_y * light[1]) / np.sqrt(1 + slope_x**2 + slope_y**2)
    return np.asarray(0.5 + 0.5 * np.clip(cosine, 0, 1) / light[2], np.float32)


@dataclass(frozen=True, eq=False)
class Surface:
    """A painted shape in its own coordinates (u, v), whose (0, 0) is the middle of the image.

    Attributes:
        color: (a, b, 3) uint8 RGB; painted beyond the outline too, so that edges blend without a fringe.
        distance: (a, b) float32, signed distance to the outline in units of u and v, negative inside; None: no outline, the
            surface covers everything (a background).
        resolution: image pixels per unit of u and v.
    """

    color: UInt8Array
    distance: FloatArray | None = None
    resolution: float = 1.0

    __repr__ = shape_repr

    @classmethod
    def of(cls, color: npt.NDArray[np.floating], mask: BoolArray | None = None, resolution: float = 1.0) -> Surface:
        """A surface from float colours and the pixels it covers."""
        distance = None if mask is None else signed_distance(mask) / np.float32(resolution)
        return cls(np.clip(np.rint(color), 0, 255).astype(np.uint8), distance, resolution)

    @property
    def half_size_uv(self) -> tuple[float, float]:
        """Half of the image's extent along u and v."""
        return self.color.shape[1] / 2 / self.resolution, self.color.shape[0] / 2 / self.resolution

    def distance_at(self, u: npt.NDArray[np.floating], v: npt.NDArray[np.floating]) -> FloatArray:
        """Signed distance at positions u, v of any shape; negative inside. Linear between the image's pixels."""
        if self.distance is None:
            return np.full(np.broadcast(u, v).shape, -_FAR, np.float32)
        return np.asarray(self._sample(self.distance, u, v, cv2.BORDER_CONSTANT), np.float32)

    def color_at(self, u: npt.NDArray[np.floating], v: npt.NDArray[np.floating]) -> UInt8Array:
        """RGB uint8 at positions u, v of any shape; linear between the image's pixels."""
        return np.asarray(self._sample(self.color, u, v, cv2.BORDER_REFLECT_101), np.uint8)

    def _sample(self, image: AnyArray, u: AnyArray, v: AnyArray, border: int) -> AnyArray:
        """``image`` at positions; two-dimensional positions go straight to OpenCV, others are folded into rows first."""
        x, y = self._to_image(u, 1), self._to_image(v, 0)
        if x.ndim != 2:
            count = x.size
            folded = [np.pad(a.reshape(-1), (0, -count % _ROW)).reshape(-1, _ROW) for a in (x, y)]
            sampled = self._sample_grid(image, folded[0], folded[1], border)
            return np.asarray(sampled.reshape(-1, *image.shape[2:])[:count].reshape(*x.shape, *image.shape[2:]))
        return self._sample_grid(image, x, y, border)

    def _to_image(self, position: AnyArray, axis: int) -> FloatArray:
        return np.asarray(position * self.resolution + (self.color.shape[axis] - 1) / 2, np.float32)

    @staticmethod
    def _sample_grid(image: AnyArray, x: AnyArray, y: AnyArray, border: int) -> AnyArray:
        if not x.size:
            return np.zeros((*x.shape, *image.shape[2:]), image.dtype)
        return np.asarray(cv2.remap(image, x, y, cv2.INTER_LINEAR, borderMode=border, borderValue=(_FAR,)))
