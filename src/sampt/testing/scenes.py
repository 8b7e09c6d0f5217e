"""Ready-made scenes: one worth looking at, and small ones for tests. The same seed gives the same pixels.

Small scenes are 96 x 64, not square on purpose, and move a pixel or two a frame, so that classical trackers can track it. Those
of 480 x 270 are about identity: two objects that look alike, one that is hidden for long. "Alike" is of the same colors,
texture and size; the outlines and the grain differ, as those of two fish of a kind do.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from sampt.testing.aquarium import demo_scene
from sampt.testing.materials import Surface, blob_outline, color_ramp, fill, inflate, noise, signed_distance
from sampt.testing.rendering import Anchors, Layer, Pose, Scene, SceneVideo, Shadow, Wave
from sampt.types import BoolArray, FloatArray

__all__ = [
    "Anchors",
    "Layer",
    "Pose",
    "Scene",
    "SceneVideo",
    "Shadow",
    "Wave",
    "alike_crossing_scene",
    "crossing_scene",
    "demo_scene",
    "entering_scene",
    "exchange_scene",
    "hidden_scene",
    "leave_and_return_scene",
    "occlusion_scene",
    "slow_scene",
    "static_scene",
]

Colors = Sequence[tuple[int, int, int]]
_SMALL = (64, 96)
_LARGER = (270, 480)
_WARM: Colors = [(110, 20, 10), (230, 90, 30), (255, 215, 120)]
_COOL: Colors = [(15, 30, 110), (40, 110, 220), (190, 235, 255)]
_ROCK: Colors = [(70, 60, 60), (110, 100, 95), (150, 140, 130)]
_STONE: Colors = [(55, 50, 45), (120, 112, 100), (175, 168, 150)]
_MEADOW: Colors = [(25, 60, 30), (75, 120, 55), (140, 170, 95)]
_SHADOW = Shadow(offset_xy=(1.5, 2.5), blur_px=2.0, darkness=0.3)


def crossing_scene(num_frames: int = 16, size_hw: tuple[int, int] = _SMALL, *, seed: int = 1, shaded: bool = True) -> Scene:
    """Two bending objects that cross: object 1 goes right behind object 2, which goes left."""
    rng = np.random.default_rng(seed)
    h, w = size_hw
    reach = w * 0.22

    def warm(i: int) -> Pose:
        p = _progress(i, num_frames)
        return _wobbling((w * 0.5 + reach * p, h * 0.46), i, 0.12 * p, 1 + 0.05 * p)

    def cool(i: int) -> Pose:
        p = _progress(i, num_frames)
        return _wobbling((w * 0.5 - reach * p, h * 0.56), i + 5, -0.12 * p, 1 - 0.05 * p)

    layers = [
        _background(rng, size_hw),
        Layer(_blob(rng, (15, 12), _WARM), warm, 1, _SHADOW),
        Layer(_blob(rng, (14, 13), _COOL), cool, 2, _SHADOW),
    ]
    return Scene(layers, num_frames, size_hw, name="crossing", shaded=shaded)


def occlusion_scene(num_frames: int = 20, size_hw: tuple[int, int] = _SMALL, *, seed: int = 2, shaded: bool = True) -> Scene:
    """One object that goes behind a standing pillar, is hidden completely for some frames, and comes out on the other side."""
    rng = np.random.default_rng(seed)
    h, w = size_hw

    def passing(i: int) -> Pose:
        return _wobbling((w * (0.5 + 0.33 * _progress(i, num_frames)), h * 0.5), i, 0.0, 1.0)

    layers = [
        _background(rng, size_hw),
        Layer(_blob(rng, (9, 10), _WARM), passing, 1, _SHADOW),
        Layer(_pillar(rng, 15, h), _still((w * 0.5, h * 0.5))),
    ]
    return Scene(layers, num_frames, size_hw, name="occlusion", shaded=shaded)


def leave_and_return_scene(
    num_frames: int = 24, size_hw: tuple[int, int] = _SMALL, *, seed: int = 3, shaded: bool = True
) -> Scene:
    """One object that leaves the frame on the right, is outside completely for some frames, and comes back the same way."""
    rng = np.random.default_rng(seed)
    h, w = size_hw

    def visiting(i: int) -> Pose:
        out = np.sin(np.pi * i / max(num_frames - 1, 1))
        return _wobbling((w * 0.8 + out * (w * 0.2 + 18), h * 0.5), 0, 0.1 * out, 1.0)

    layers = [_background(rng, size_hw, pan_xy=(0.2, 0.1)), Layer(_blob(rng, (12, 13), _COOL), visiting, 1, _SHADOW)]
    return Scene(layers, num_frames, size_hw, name="leave-and-return", shaded=shaded)


def static_scene(num_frames: int = 12, size_hw: tuple[int, int] = _SMALL, *, seed: int = 4, shaded: bool = True) -> Scene:
    """Two objects of clearly different colours, apart from each other, and nothing moves."""
    rng = np.random.default_rng(seed)
    h, w = size_hw
    radius = 0.26 * min(h, w)
    layers = [
        _background(rng, size_hw, pan_xy=(0.0, 0.0)),
        Layer(_blob(rng, (radius, radius * 0.9), _WARM), _still((w * 0.28, h * 0.46)), 1, _SHADOW),
        Layer(_blob(rng, (radius, radius * 0.95), _COOL), _still((w * 0.73, h * 0.54)), 2, _SHADOW),
    ]
    return Scene(layers, num_frames, size_hw, name="static", shaded=shaded)


def slow_scene(num_frames: int = 12, size_hw: tuple[int, int] = _SMALL, *, seed: int = 5, shaded: bool = True) -> Scene:
    """Two objects that move slowly, about a pixel a frame, and never meet: what every tracker should manage."""
    rng = np.random.default_rng(seed)
    h, w = size_hw

    def warm(i: int) -> Pose:
        p = _progress(i, num_frames)
        return Pose((w * 0.26 + 3 * p, h * 0.5 + 2 * p), 0.06 * p, 1 + 0.03 * p, Wave(0.8, 0.12, 0.15 * i))

    def cool(i: int) -> Pose:
        p = _progress(i, num_frames)
        return Pose((w * 0.75 - 2 * p, h * 0.5 + 4 * p), -0.06 * p, 1 - 0.03 * p, Wave(0.8, 0.12, 0.15 * i))

    layers = [
        _background(rng, size_hw, pan_xy=(0.3, 0.1)),
        Layer(_blob(rng, (16, 15), _WARM), warm, 1, _SHADOW),
        Layer(_blob(rng, (15, 16), _COOL), cool, 2, _SHADOW),
    ]
    return Scene(layers, num_frames, size_hw, name="slow", shaded=shaded)


def alike_crossing_scene(
    num_frames: int = 48, size_hw: tuple[int, int] = _LARGER, *, seed: int = 11, shaded: bool = True
) -> Scene:
    """Objects 1 and 2 look alike and cross, one behind the other, which covers most of it for some frames."""
    rng = np.random.default_rng(seed)
    colors, ground = _colors(rng)
    h, w = size_hw
    side = rng.choice([-1, 1])
    heights = 0.5 + rng.uniform(0.02, 0.12) * np.array([-1, 1])

    def moving(direction: float, height: float, phase: int) -> Callable[[int], Pose]:
        def pose_at(i: int) -> Pose:
            p = _progress(i, num_frames)
            return _wobbling((w * (0.5 + direction * 0.3 * p), h * height), i + phase, 0.15 * p, 1 + 0.04 * p * direction)

        return pose_at

    radius = 0.17 * h
    objects = [
        Layer(_blob(rng, _radii(rng, radius), colors), moving(d * side, y, phase), object_id, _SHADOW)
        for object_id, d, y, phase in ((1, 1.0, heights[0], 0), (2, -1.0, heights[1], 7))
    ]
    layers = [_background(rng, size_hw, colors=ground), *(objects if rng.random() < 0.5 else objects[::-1])]
    return Scene(layers, num_frames, size_hw, name="alike-crossing", shaded=shaded)


def exchange_scene(num_frames: int = 48, size_hw: tuple[int, int] = _LARGER, *, seed: int = 12, shaded: bool = True) -> Scene:
    """Object 1 leaves the frame on one side while object 2, which looks alike, enters on the other and stays."""
    rng = np.random.default_rng(seed)
    colors, ground = _colors(rng)
    h, w = size_hw
    side = rng.choice([-1, 1])
    radius = 0.17 * h
    beyond = 0.5 + 1.6 * radius / w
    height = rng.uniform(0.4, 0.6)

    def leaving(i: int) -> Pose:
        t = min(i / (0.5 * num_frames), 1.0)
        return _wobbling((w * (0.5 + side * (0.1 + (beyond - 0.1) * t)), h * height), i, 0.1 * t, 1.0)

    def entering(i: int) -> Pose:
        t = float(np.clip((i / num_frames - 0.2) / 0.7, 0.0, 1.0))
        return _wobbling((w * (0.5 - side * (beyond - (beyond - 0.1) * t)), h * (1 - height)), i + 9, -0.1 * t, 1.0)

    layers = [
        _background(rng, size_hw, colors=ground),
        Layer(_blob(rng, _radii(rng, radius), colors), leaving, 1, _SHADOW),
        Layer(_blob(rng, _radii(rng, radius), colors), entering, 2, _SHADOW),
    ]
    return Scene(layers, num_frames, size_hw, name="exchange", shaded=shaded)


def hidden_scene(
    hidden: int = 30, size_hw: tuple[int, int] = _LARGER, *, seed: int = 13, shaded: bool = True, around: int = 16
) -> Scene:
    """Object 1 goes behind a pillar, stays there for ``hidden`` frames and comes out elsewhere, lower or higher and turned.

    Args:
        hidden: frames on which nothing of it is seen.
        size_hw: of the frames.
        seed: of everything drawn.
        shaded: with shadows.
        around: frames before, and after; on half of these it is clear of the pillar.
    """
    rng = np.random.default_rng(seed)
    colors, ground = _colors(rng)
    h, w = size_hw
    side = rng.choice([-1, 1])
    radius = 0.14 * h
    half_width = 1.7 * radius
    num_frames = 2 * around + hidden
    rise = rng.uniform(0.12, 0.25) * rng.choice([-1, 1])
    away = (half_width + 2.6 * radius) / w

    def passing(i: int) -> Pose:
        before = np.clip(i / around, 0, 1)
        after = np.clip((i - around - hidden + 1) / around, 0, 1)
        x = 0.5 + side * away * (before - 1 + after)
        return _wobbling((w * x, h * (0.5 - rise + 2 * rise * (after > 0))), i, 0.5 * float(after > 0), 1.0)

    layers = [
        _background(rng, size_hw, colors=ground),
        Layer(_blob(rng, _radii(rng, radius), colors), passing, 1, _SHADOW),
        Layer(_pillar(rng, half_width, h, _ROCK if ground is _STONE else _STONE), _still((w * 0.5, h * 0.5))),
    ]
    return Scene(layers, num_frames, size_hw, name="hidden", shaded=shaded)


def entering_scene(num_frames: int = 72, size_hw: tuple[int, int] = _LARGER, *, seed: int = 14, shaded: bool = True) -> Scene:
    """Object 1 is there from the start; object 2, and mostly an object 3, come in later and stay.

    Object 2 comes over a side, or out from behind a pillar that hides it completely before; object 3 over the other side or the
    top. Each resembles object 1 in one of two seeds; else its colors are others. In the end they do not overlap.
    """
    rng = np.random.default_rng(seed)
    colors, ground = _colors(rng)
    h, w = size_hw
    side, has_pillar, has_third = rng.choice([-1, 1]), rng.random() < 0.4, rng.random() < 0.7
    radius = 0.13 * h
    half_width = 1.6 * radius
    # Parts of the width from the side that object 2 comes from.
    behind, second, first, third = (half_width / w, 0.34, 0.57, 0.83) if has_pillar else (-1.6 * radius / w, 0.2, 0.5, 0.8)

    def centre(along: float, y: float) -> tuple[float, float]:
        return w * (along if side > 0 else 1 - along), h * y

    def coming(start_xy: tuple[float, float], end_xy: tuple[float, float], phase: int) -> Callable[[int], Pose]:
        begin = rng.uniform(0.15, 0.45)
        turn = rng.uniform(-0.3, 0.3)

        def pose_at(i: int) -> Pose:
            t = float(np.clip((i / num_frames - begin) / 0.35, 0.0, 1.0))
            x, y = (a + (b - a) * t for a, b in zip(start_xy, end_xy, strict=True))
            return _wobbling((x, y + 0.01 * h * np.sin(0.2 * i)), i + phase, turn * t, 1.0)

        return pose_at

    def staying(i: int) -> Pose:
        drift = 0.03 * np.sin(0.1 * i)
        return _wobbling(centre(first + drift, heights[0]), i, drift, 1.0)

    def blob() -> Surface:
        is_alike = not ramps or rng.random() < 0.5
        ramps.append(colors if is_alike else next(c for c in (_WARM, _COOL) if c is not colors))
        return _blob(rng, _radii(rng, radius), ramps[-1])

    ramps: list[Colors] = []
    heights = rng.uniform(0.35, 0.65, 3)
    layers = [
        _background(rng, size_hw, pan_xy=(0.2, 0.1), colors=ground),
        Layer(blob(), staying, 1, _SHADOW),
        Layer(blob(), coming(centre(behind, heights[1]), centre(second, heights[1]), 9), 2, _SHADOW),
    ]
    if has_third:
        over_top = rng.random() < 0.5
        beyond = centre(third, -1.6 * radius / h) if over_top else centre(1 + 1.6 * radius / w, heights[2])
        layers.append(Layer(blob(), coming(beyond, centre(third, heights[2]), 17), 3, _SHADOW))
    if has_pillar:
        rock = _ROCK if ground is _STONE else _STONE
        layers.append(Layer(_pillar(rng, half_width, h, rock), _still(centre(behind, 0.5))))
    return Scene(layers, num_frames, size_hw, name="entering", shaded=shaded)


def _colors(rng: np.random.Generator) -> tuple[Colors, Colors]:
    """Of the objects and of the ground."""
    return (_WARM, _COOL)[int(rng.integers(2))], (_MEADOW, _STONE)[int(rng.integers(2))]


def _radii(rng: np.random.Generator, radius: float) -> tuple[float, float]:
    across, down = radius * rng.uniform(0.85, 1.15, 2)
    return float(across), float(down)


def _progress(frame_idx: int, num_frames: int) -> float:
    """From -1 on the first frame to 1 on the last one; 0 in a clip of one frame."""
    return 2 * frame_idx / (num_frames - 1) - 1 if num_frames > 1 else 0.0


def _wobbling(centre_xy: tuple[float, float], frame_idx: int, angle_rad: float, scale: float) -> Pose:
    bend, sway = Wave(1.5, 0.16, 0.3 * frame_idx), Wave(1.0, 0.2, 0.25 * frame_idx)
    return Pose(centre_xy, angle_rad, scale, bend, sway)


def _still(centre_xy: tuple[float, float]) -> Callable[[int], Pose]:
    return lambda _: Pose(centre_xy)


def _mottle(rng: np.random.Generator, size_hw: tuple[int, int], colors: Colors, cell_px: float) -> FloatArray:
    """Noise with its contrast spread, as colours (h, w, 3)."""
    value = noise(rng, size_hw, cell_px, octaves=3)
    return color_ramp(np.clip((value - 0.5) * 1.7 + 0.5, 0, 1), colors)


def _background(
    rng: np.random.Generator, size_hw: tuple[int, int], pan_xy: tuple[float, float] = (0.4, 0.15), colors: Colors = _MEADOW
) -> Layer:
    """Mottled ground, a meadow's, under a camera that pans by ``pan_xy`` pixels a frame."""
    h, w = size_hw
    surface = Surface.of(_mottle(rng, (h + 24, w + 24), colors, 12))
    centre = (w - 1) / 2, (h - 1) / 2
    return Layer(surface, lambda i: Pose((centre[0] - pan_xy[0] * i, centre[1] - pan_xy[1] * i)))


def _blob(rng: np.random.Generator, radii_xy: tuple[float, float], colors: Colors) -> Surface:
    """A mottled cushion; drawn at twice the size for a smooth outline."""
    resolution = 2
    half = int(max(radii_xy) * 1.4) + 4
    size_hw = (2 * half * resolution, 2 * half * resolution)
    mask = fill(size_hw, blob_outline(rng, radii_xy) * resolution + half * resolution)
    return _cushion(_mottle(rng, size_hw, colors, 6 * resolution), mask, resolution, min(radii_xy) * 0.6)


def _pillar(rng: np.random.Generator, half_width: float, height: int, colors: Colors = _STONE) -> Surface:
    """A pillar, of stone, taller than the frame."""
    resolution = 2
    size_hw = ((height + 16) * resolution, int(2 * half_width + 10) * resolution)
    mask = np.zeros(size_hw, np.bool_)
    edge = int(5 * resolution)
    mask[:, edge:-edge] = True
    return _cushion(_mottle(rng, size_hw, colors, 8 * resolution), mask, resolution, half_width * 0.8)


def _cushion(color: FloatArray, mask: BoolArray, resolution: int, rim: float) -> Surface:
    shade = inflate(signed_distance(mask), rim * resolution)
    return Surface.of(color * shade[..., None], mask, resolution)
