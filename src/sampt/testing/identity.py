"""Scenes of identity: two objects that look alike, and one that is hidden for long. The same seed gives the same pixels.

"Alike" is of the same colors, texture and size; the outlines and the grain differ, as those of two fish of a kind do.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sampt.testing.rendering import Layer, Pose, Scene
from sampt.testing.scenes import COOL, MEADOW, SHADOW, STONE, WARM, Colors, background, blob, pillar, progress, still, wobbling

__all__ = ["alike_crossing_scene", "exchange_scene", "hidden_scene"]

_SIZE_HW = (270, 480)
_ROCK: Colors = [(70, 60, 60), (110, 100, 95), (150, 140, 130)]


def alike_crossing_scene(
    num_frames: int = 48, size_hw: tuple[int, int] = _SIZE_HW, *, seed: int = 11, shaded: bool = True
) -> Scene:
    """Objects 1 and 2 look alike and cross, one behind the other, which covers most of it for some frames."""
    rng = np.random.default_rng(seed)
    colors, ground = _colors(rng)
    h, w = size_hw
    side = rng.choice([-1, 1])
    heights = 0.5 + rng.uniform(0.02, 0.12) * np.array([-1, 1])

    def moving(direction: float, height: float, phase: int) -> Callable[[int], Pose]:
        def pose_at(i: int) -> Pose:
            p = progress(i, num_frames)
            return wobbling((w * (0.5 + direction * 0.3 * p), h * height), i + phase, 0.15 * p, 1 + 0.04 * p * direction)

        return pose_at

    radius = 0.17 * h
    objects = [
        Layer(blob(rng, _radii(rng, radius), colors), moving(d * side, y, phase), object_id, SHADOW)
        for object_id, d, y, phase in ((1, 1.0, heights[0], 0), (2, -1.0, heights[1], 7))
    ]
    layers = [background(rng, size_hw, colors=ground), *(objects if rng.random() < 0.5 else objects[::-1])]
    return Scene(layers, num_frames, size_hw, name="alike-crossing", shaded=shaded)


def exchange_scene(num_frames: int = 48, size_hw: tuple[int, int] = _SIZE_HW, *, seed: int = 12, shaded: bool = True) -> Scene:
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
        return wobbling((w * (0.5 + side * (0.1 + (beyond - 0.1) * t)), h * height), i, 0.1 * t, 1.0)

    def entering(i: int) -> Pose:
        t = float(np.clip((i / num_frames - 0.2) / 0.7, 0.0, 1.0))
        return wobbling((w * (0.5 - side * (beyond - (beyond - 0.1) * t)), h * (1 - height)), i + 9, -0.1 * t, 1.0)

    layers = [
        background(rng, size_hw, colors=ground),
        Layer(blob(rng, _radii(rng, radius), colors), leaving, 1, SHADOW),
        Layer(blob(rng, _radii(rng, radius), colors), entering, 2, SHADOW),
    ]
    return Scene(layers, num_frames, size_hw, name="exchange", shaded=shaded)


def hidden_scene(
    hidden: int = 30, size_hw: tuple[int, int] = _SIZE_HW, *, seed: int = 13, shaded: bool = True, around: int = 16
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
        return wobbling((w * x, h * (0.5 - rise + 2 * rise * (after > 0))), i, 0.5 * float(after > 0), 1.0)

    layers = [
        background(rng, size_hw, colors=ground),
        Layer(blob(rng, _radii(rng, radius), colors), passing, 1, SHADOW),
        Layer(pillar(rng, half_width, h, _ROCK if ground is STONE else STONE), still((w * 0.5, h * 0.5))),
    ]
    return Scene(layers, num_frames, size_hw, name="hidden", shaded=shaded)


def _colors(rng: np.random.Generator) -> tuple[Colors, Colors]:
    """Of the objects and of the ground."""
    return (WARM, COOL)[int(rng.integers(2))], (MEADOW, STONE)[int(rng.integers(2))]


def _radii(rng: np.random.Generator, radius: float) -> tuple[float, float]:
    across, down = radius * rng.uniform(0.85, 1.15, 2)
    return float(across), float(down)
