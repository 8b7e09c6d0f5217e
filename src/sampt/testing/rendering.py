"""Synthetic scenes: layers of painted surfaces that move and bend, rendered frame by frame, with exact masks and tracks.

A surface point (u, v) and its location (x, y) in a frame are tied by a :class:`Pose` that is exact in both directions: two
sinusoidal shears (each undone by subtraction), then a similarity. Nothing is approximated, so tracks are exact too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.errors import ValueCheckError
from sampt.geometry import inside_frame
from sampt.testing.materials import Surface
from sampt.types import BoolArray, FloatArray, IntArray, Points, Tracks, UInt8Array
from sampt.video.base import Video

__all__ = ["Anchors", "Layer", "Pose", "Scene", "SceneVideo", "Shadow", "Wave"]

Array = npt.NDArray[np.floating]


@dataclass(frozen=True)
class Wave:
    """``amplitude * (1 + taper * s) * sin(wavenumber * s + phase)``: amplitude in pixels, wavenumber in radians a pixel."""

    amplitude: float = 0.0
    wavenumber: float = 0.0
    phase: float = 0.0
    taper: float = 0.0

    def __call__(self, s: Array) -> Array:
        if self.amplitude == 0:
            return np.zeros_like(s)
        return np.asarray(self.amplitude * (1 + self.taper * s) * np.sin(self.wavenumber * s + self.phase))


@dataclass(frozen=True)
class Pose:
    """Where a surface is in one frame: ``u1 = u + sway(v)``, ``v1 = v + bend(u1)``, then scale, turn and move (u1, v1).

    Attributes:
        centre_xy: where (0, 0) of the unbent surface goes, pixels.
        angle_rad: turn from x towards y.
        scale: frame pixels per unit of the surface, above 0.
        bend: shift along v as a function of u.
        sway: shift along u as a function of v.
    """

    centre_xy: tuple[float, float]
    angle_rad: float = 0.0
    scale: float = 1.0
    bend: Wave = Wave()
    sway: Wave = Wave()

    def to_frame(self, u: Array, v: Array) -> tuple[Array, Array]:
        """Frame positions x, y of surface points u, v."""
        u = u + self.sway(v)
        v = v + self.bend(u)
        c, s = self.scale * np.cos(self.angle_rad), self.scale * np.sin(self.angle_rad)
        return self.centre_xy[0] + c * u - s * v, self.centre_xy[1] + s * u + c * v

    def to_local(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Surface points u, v at frame positions x, y (which may be a row and a column that broadcast)."""
        dx, dy = x - self.centre_xy[0], y - self.centre_xy[1]
        c, s = np.cos(self.angle_rad) / self.scale, np.sin(self.angle_rad) / self.scale
        u, v = c * dx + s * dy, c * dy - s * dx
        v = v - self.bend(u)
        return u - self.sway(v), v


@dataclass(frozen=True)
class Shadow:
    """A soft shadow on everything behind a layer: where it falls, how wide its edge is, and how dark (0 to 1) it gets."""

    offset_xy: tuple[float, float] = (6.0, 12.0)
    blur_px: float = 8.0
    darkness: float = 0.35

    @property
    def reach_px(self) -> int:
        return int(max(abs(self.offset_xy[0]), abs(self.offset_xy[1])) + 2 * self.blur_px) + 1


@dataclass(frozen=True, eq=False)
class Layer:
    """One surface, how it moves, and which object it is.

    Attributes:
        surface: what it looks like.
        pose_at: frame index -> pose.
        object_id: from 1; None for what is not an object (the background, a pillar).
        shadow: what it casts on the layers behind, or None.
    """

    surface: Surface
    pose_at: Callable[[int], Pose]
    object_id: int | None = None
    shadow: Shadow | None = None

    def distance_at(self, frame_idx: int, x: Array, y: Array) -> FloatArray:
        """Signed distance, in frame pixels, of frame positions to the layer's outline; negative on it."""
        pose = self.pose_at(frame_idx)
        return self.surface.distance_at(*pose.to_local(x, y)) * np.float32(pose.scale)

    def window(self, pose: Pose, size_hw: tuple[int, int], margin_px: int = 2) -> tuple[slice, slice]:
        """Rows and columns of the frame that hold the layer, with a margin; empty when it is outside."""
        if self.surface.distance is None:
            return slice(0, size_hw[0]), slice(0, size_hw[1])
        # The pose is continuous in both directions, so the image of the image's border encloses the image of the image.
        half_u, half_v = self.surface.half_size_uv
        along = np.linspace(-1, 1, 65)
        ones = np.ones_like(along)
        u = np.concatenate([along, along, ones, -ones]) * half_u
        v = np.concatenate([ones, -ones, along, along]) * half_v
        x, y = pose.to_frame(u, v)
        return _pixels(y, size_hw[0], margin_px), _pixels(x, size_hw[1], margin_px)


def _pixels(position: Array, size: int, margin_px: int) -> slice:
    start = int(np.clip(np.floor(position.min()) - margin_px, 0, size))
    return slice(start, int(np.clip(np.ceil(position.max()) + margin_px + 1, start, size)))


@dataclass(frozen=True, eq=False)
class Anchors:
    """Points fixed to surfaces: ``layer_idx`` (n,) counts from the back, ``uv`` (n, 2) float64 is where on that layer."""

    layer_idx: IntArray
    uv: npt.NDArray[np.float64]

    __repr__ = shape_repr


class Scene:
    """A clip of moving layers whose masks and point tracks are known exactly. Frames are rendered when requested, none is kept.

    Args:
        layers: from the back to the front; the first one is the background and covers everything; object ids are 1 to m.
        num_frames: length of the clip.
        size_hw: frame size.
        fps: frames per second.
        name: how messages call it.
        shaded: False leaves the shadows out, so that a surface keeps its colours in all frames.
    """

    def __init__(
        self,
        layers: list[Layer],
        num_frames: int,
        size_hw: tuple[int, int],
        *,
        fps: float = 24.0,
        name: str = "scene",
        shaded: bool = True,
    ) -> None:
        ids = sorted(layer.object_id for layer in layers if layer.object_id is not None)
        if not layers or layers[0].surface.distance is not None:
            raise ValueCheckError(f"Scene {name!r} has no background; expected a first layer whose surface has no outline.")
        if ids != list(range(1, len(ids) + 1)):
            raise ValueCheckError(f"Scene {name!r} has object ids {ids}; expected 1 to m, each on one layer.")
        self.layers = tuple(layers)
        self.num_frames = num_frames
        self.size_hw = size_hw
        self.fps = fps
        self.name = name
        self.shaded = shaded
        self.num_objects = len(ids)

    def frame(self, frame_idx: int) -> UInt8Array:
        """The image, (h, w, 3) uint8 RGB."""
        self._check_frame(frame_idx)
        canvas = np.zeros((*self.size_hw, 3), np.float32)
        for layer in self.layers:
            self._paint(canvas, layer, frame_idx)
        return np.asarray(cv2.convertScaleAbs(canvas), np.uint8)

    def masks(self, frame_idx: int) -> BoolArray:
        """Visible part of each object, (m, h, w) bool, object 1 first; disjoint. A pixel belongs to what covers its centre."""
        self._check_frame(frame_idx)
        labels = np.zeros(self.size_hw, np.int64)
        for layer, window, covered in self._cover(frame_idx):
            labels[window][covered] = layer.object_id or 0
        return np.asarray(labels == np.arange(1, self.num_objects + 1)[:, None, None])

    def amodal_masks(self, frame_idx: int) -> BoolArray:
        """Whole extent of each object inside the frame, hidden or not, (m, h, w) bool."""
        self._check_frame(frame_idx)
        masks = np.zeros((self.num_objects, *self.size_hw), np.bool_)
        for layer, window, covered in self._cover(frame_idx):
            if layer.object_id is not None:
                masks[layer.object_id - 1][window] = covered
        return masks

    def anchor(self, frame_idx: int, xy: npt.ArrayLike) -> Anchors:
        """Fix (n, 2) points to the nearest layer that they lie on in a frame."""
        self._check_frame(frame_idx)
        x, y = np.asarray(xy, np.float64).reshape(-1, 2).T
        layer_idx = np.zeros(len(x), np.int64)
        uv = np.zeros((len(x), 2))
        for k, layer in enumerate(self.layers):
            u, v = layer.pose_at(frame_idx).to_local(x, y)
            on = layer.surface.distance_at(u, v) <= 0
            layer_idx[on] = k
            uv[on] = np.stack([u, v], -1)[on]
        return Anchors(layer_idx, uv)

    def location(self, anchors: Anchors, frame_idx: int) -> tuple[npt.NDArray[np.float64], BoolArray]:
        """Where anchored points are in a frame, (n, 2), and which are visible, (n,): inside it, nothing nearer over them."""
        self._check_frame(frame_idx)
        xy = np.zeros_like(anchors.uv)
        for k, layer in enumerate(self.layers):
            on = anchors.layer_idx == k
            xy[on] = np.stack(layer.pose_at(frame_idx).to_frame(*anchors.uv[on].T), -1)
        visible = inside_frame(xy.astype(np.float32), self.size_hw)
        for k, layer in enumerate(self.layers):
            if k > anchors.layer_idx.min(initial=0):
                visible = visible & ~((anchors.layer_idx < k) & (layer.distance_at(frame_idx, *xy.T) <= 0))
        return xy, visible

    def point_positions(self, points: Points) -> Tracks:
        """Exact tracks of any points, each given on any frame of the clip.

        A point follows the surface of the nearest layer under it on its prompt frame, the background included. It is visible
        where it is inside the frame and no nearer layer covers it; confidence is 1 where visible, else 0.

        Raises:
            ValueCheckError: a prompt frame lies outside the clip.
        """
        t, n = self.num_frames, len(points)
        layer_idx, uv = np.zeros(n, np.int64), np.zeros((n, 2))
        for frame_idx in np.unique(points.frame_idx):
            new = points.frame_idx == frame_idx
            found = self.anchor(int(frame_idx), points.xy[new])
            layer_idx[new], uv[new] = found.layer_idx, found.uv
        xy, visible = np.zeros((t, n, 2), np.float32), np.zeros((t, n), np.bool_)
        for i in range(t):
            xy[i], visible[i] = self.location(Anchors(layer_idx, uv), i)
        own = (points.frame_idx, np.arange(n))
        xy[own] = points.xy  # to the last bit, whatever rounding on the way there and back did
        visible[own] = inside_frame(points.xy, self.size_hw)
        return Tracks(points, xy, visible)

    def _check_frame(self, frame_idx: int) -> None:
        if not 0 <= frame_idx < self.num_frames:
            raise ValueCheckError(
                f"Frame {frame_idx} was requested of scene {self.name!r}; expected 0 to {self.num_frames - 1}."
            )

    def _cover(self, frame_idx: int) -> Iterator[tuple[Layer, tuple[slice, slice], BoolArray]]:
        """Each layer but the background, the window that holds it, and its pixels in that window; from the back."""
        for layer in self.layers[1:]:
            window = layer.window(layer.pose_at(frame_idx), self.size_hw)
            yield layer, window, layer.distance_at(frame_idx, *_grid(window)) <= 0

    def _paint(self, canvas: FloatArray, layer: Layer, frame_idx: int) -> None:
        """Draw a layer over ``canvas``: its shadow, then its colours with edges one pixel soft."""
        pose = layer.pose_at(frame_idx)
        shadow = layer.shadow if self.shaded else None
        window = layer.window(pose, self.size_hw, shadow.reach_px if shadow else 2)
        u, v = pose.to_local(*_grid(window))
        if not u.size:
            return
        target = canvas[window]
        if layer.surface.distance is None:
            target[:] = layer.surface.color_at(u, v)
            return
        opacity = np.clip(0.5 - layer.surface.distance_at(u, v) * np.float32(pose.scale), 0, 1)
        if shadow:
            _darken(target, opacity, shadow)
        rows, columns = np.flatnonzero(opacity.any(1)), np.flatnonzero(opacity.any(0))
        if not len(rows):
            return
        inner = (slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1))
        target[inner] += opacity[inner][..., None] * (layer.surface.color_at(u[inner], v[inner]) - target[inner])


def _grid(window: tuple[slice, slice]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Pixel centres of a window as a row of x and a column of y."""
    rows, columns = window
    x, y = (np.arange(part.start, part.stop, dtype=np.float64) for part in (columns, rows))
    return x[None], y[:, None]


def _darken(target: FloatArray, opacity: FloatArray, shadow: Shadow) -> None:
    """Multiply ``target`` by the blurred and shifted ``opacity``; worked out at a quarter of the size, which a blur hides."""
    h, w = opacity.shape
    small_wh = (max(1, w // 4), max(1, h // 4))
    small = cv2.resize(opacity, small_wh, interpolation=cv2.INTER_AREA)
    move = np.array([[1, 0, shadow.offset_xy[0] * small_wh[0] / w], [0, 1, shadow.offset_xy[1] * small_wh[1] / h]])
    small = cv2.warpAffine(small, move, small_wh)
    small = cv2.GaussianBlur(small, (0, 0), max(shadow.blur_px / 4, 0.5), borderType=cv2.BORDER_REPLICATE)
    target *= 1 - shadow.darkness * cv2.resize(small, (w, h), interpolation=cv2.INTER_LINEAR)[..., None]


class SceneVideo(Video):
    """The frames of a :class:`Scene` as a video; each one is rendered when it is read."""

    def __init__(self, scene: Scene) -> None:
        self.scene = scene

    @property
    def num_frames(self) -> int:
        return self.scene.num_frames

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.scene.size_hw

    @property
    def fps(self) -> float:
        return self.scene.fps

    @property
    def label(self) -> str:
        return f"scene {self.scene.name!r}"

    def read(self, start: int, stop: int) -> UInt8Array:
        self._check_range(start, stop)
        frames = np.empty((stop - start, *self.size_hw, 3), np.uint8)
        for k in range(stop - start):
            frames[k] = self.scene.frame(start + k)
        return frames
