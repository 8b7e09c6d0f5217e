"""The demo clip: three fish before a reef, painted procedurally. It is the project's own image material."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sampt.testing.materials import Surface, blob_outline, color_ramp, fill, inflate, noise, signed_distance
from sampt.testing.rendering import Layer, Pose, Scene, Shadow, Wave
from sampt.types import BoolArray, FloatArray

__all__ = ["demo_scene"]

Color = tuple[int, int, int]
Array = npt.NDArray[np.floating]
_DETAIL = 2  # image pixels a surface unit: fish are painted at twice the size they are seen at


@dataclass(frozen=True)
class _Fish:
    """How a fish that looks right is drawn; lengths relative to the half length of the body."""

    length_px: float
    depth: float
    tail: float
    fin: float
    paint: Callable[[np.random.Generator, Array, Array], FloatArray]


def demo_scene(num_frames: int = 60, size_hw: tuple[int, int] = (360, 640), *, seed: int = 7, shaded: bool = True) -> Scene:
    """Three fish: an orange one (1) crosses behind a big blue one (2); a small green one (3) swims behind a rock and out again.

    Everything scales with the frame; more frames make the same journey slower.
    """
    rng = np.random.default_rng(seed)
    h, w = size_hw
    unit = w / 640

    def pan(i: int) -> float:
        return -14 * unit * i / max(num_frames - 1, 1)

    def swim(start: tuple[float, float], stop: tuple[float, float], beat: float, lift: float) -> Callable[[int], Pose]:
        def pose_at(i: int) -> Pose:
            p = i / max(num_frames - 1, 1)
            x = start[0] + (stop[0] - start[0]) * p
            y = start[1] + (stop[1] - start[1]) * p + lift * np.sin(2.2 * np.pi * p)
            facing = 1 if stop[0] > start[0] else -1
            bend = Wave(4.5 * unit, 0.026 / unit, facing * 0.55 * beat * i, -facing * 0.009 / unit)
            angle = facing * 0.1 * np.cos(2.2 * np.pi * p) * np.sign(lift)
            return Pose((x * w, y * h), float(angle), 1 + 0.06 * np.sin(3 * p + beat), bend)

        return pose_at

    shadow = Shadow((10 * unit, 20 * unit), 10 * unit, 0.34)
    clown = _fish(rng, _Fish(150 * unit, 0.5, 0.6, 0.2, _clown), facing=1)
    tang = _fish(rng, _Fish(215 * unit, 0.55, 0.62, 0.2, _tang), facing=-1)
    wrasse = _fish(rng, _Fish(92 * unit, 0.46, 0.55, 0.18, _wrasse), facing=-1)
    rock = _rock(rng, (62 * unit, 150 * unit), unit)
    layers = [
        Layer(_reef(rng, size_hw, unit), lambda i: Pose((w / 2 + pan(i), h / 2))),
        Layer(wrasse, swim((0.93, 0.62), (0.45, 0.70), 1.3, 0.02), 3, shadow),
        Layer(rock, lambda i: Pose((0.70 * w + 1.25 * pan(i), 0.72 * h)), None, shadow),
        Layer(clown, swim((0.15, 0.42), (0.64, 0.30), 1.0, 0.03), 1, shadow),
        Layer(tang, swim((0.78, 0.25), (0.24, 0.50), 0.7, -0.03), 2, shadow),
    ]
    return Scene(layers, num_frames, size_hw, name="demo", shaded=shaded)


def _fish(rng: np.random.Generator, appearance: _Fish, facing: int) -> Surface:
    """A fish seen from the side; ``facing`` 1 looks right, -1 left."""
    half = appearance.length_px / 2
    half_u, half_v = int(half * 1.15) + 6, int(half * (appearance.depth + appearance.fin + 0.3)) + 6
    size_hw = (2 * half_v * _DETAIL, 2 * half_u * _DETAIL)
    y, x = np.mgrid[: size_hw[0], : size_hw[1]]
    u, v = ((x + 0.5) / _DETAIL - half_u) / half, ((y + 0.5) / _DETAIL - half_v) / half

    def draw(outline: npt.ArrayLike) -> BoolArray:
        return fill(size_hw, (np.asarray(outline) * half + (half_u, half_v)) * _DETAIL)

    body, fins = draw(_body_outline(appearance)), np.logical_or.reduce([draw(o) for o in _fin_outlines(appearance)])
    color = appearance.paint(rng, u, v)
    rays = 0.5 + 0.5 * np.sin(70 * np.hypot(u + 0.35, v * 1.2) * np.arctan2(v, u + 0.3) / 2 + 20 * v)
    color = np.where(body[..., None], color, color * (0.62 + 0.3 * rays[..., None]))
    relief = inflate(signed_distance(body), half * appearance.depth * 0.8 * _DETAIL)
    color = color * np.where(body, relief, 0.8)[..., None]
    _scales(color, body, u, v)
    _face(color, appearance, u, v)
    if facing < 0:
        color, body, fins = color[:, ::-1], body[:, ::-1], fins[:, ::-1]
    return Surface.of(np.ascontiguousarray(color), np.ascontiguousarray(body | fins), _DETAIL)


def _profile(u: Array, appearance: _Fish) -> Array:
    """Half depth of the body along its length: blunt head at u = 0.95, narrow at the root of the tail."""
    s = np.clip((u + 0.72) / 1.67, 0, 1)
    return np.asarray(appearance.depth * (0.16 * (1 - s) + 1.22 * s**0.85 * np.sqrt(np.clip(1 - s**2.6, 0, 1))))


def _body_outline(appearance: _Fish) -> Array:
    u = 0.95 - 1.67 * (np.linspace(0, 1, 160) ** 2)
    upper, lower = -_profile(u, appearance), 0.92 * _profile(u, appearance)
    return np.concatenate([np.stack([u, upper], -1), np.stack([u, lower], -1)[::-1]])


def _fin_outlines(appearance: _Fish) -> list[Array]:
    """Tail, back fin and belly fin as smooth closed curves."""
    s = np.linspace(0, 1, 40)
    reach = 0.92 * appearance.tail
    top = np.stack([-0.58 - 0.46 * s, -0.06 - (reach - 0.06) * (0.35 * s + 0.65 * s**1.6)], -1)
    notch = np.stack([-1.04 + 0.11 * np.sin(np.pi * s) ** 1.5, -reach * (1 - 2 * s)], -1)
    tail = np.concatenate([top, notch, top[::-1] * (1, -1)])
    back_u = np.linspace(0.45, -0.55, 50)
    rise = appearance.fin * np.sin(np.pi * np.linspace(0.06, 0.88, 50)) ** 0.7 * (1 + 0.12 * np.cos(np.linspace(0, 40, 50)))
    back = np.concatenate(
        [np.stack([back_u - 0.1, -_profile(back_u, appearance) - rise], -1), np.stack([back_u, 0 * back_u], -1)[::-1]]
    )
    belly_u = np.linspace(0.1, -0.5, 40)
    drop = 0.85 * appearance.fin * np.sin(np.pi * np.linspace(0.1, 0.9, 40)) ** 0.8
    belly = np.concatenate(
        [
            np.stack([belly_u - 0.12, 0.92 * _profile(belly_u, appearance) + drop], -1),
            np.stack([belly_u, 0 * belly_u], -1)[::-1],
        ]
    )
    return [tail, back, belly]


def _scales(color: FloatArray, body: BoolArray, u: Array, v: Array) -> None:
    """Rows of small arcs that darken the body a little."""
    row = np.floor(v * 22)
    cell = np.hypot((u * 22 + 0.5 * (row % 2)) % 1 - 0.2, (v * 22) % 1 - 0.5)
    color *= np.where(body & (u < 0.5), 1 - 0.13 * np.clip((cell - 0.45) * 5, 0, 1), 1)[..., None]


def _face(color: FloatArray, appearance: _Fish, u: Array, v: Array) -> None:
    """Gill cover, side fin, mouth and eye."""
    depth = appearance.depth
    gill = np.abs(np.hypot((u - 0.72) / 0.3, v / (depth * 0.75)) - 1)
    color *= (1 - 0.35 * np.clip(1 - gill * 12, 0, 1) * (u < 0.7))[..., None]
    fin = np.hypot((u - 0.2) / 0.2, (v - depth * 0.3 - (0.2 - u) * 0.25) / (depth * 0.2))
    strokes = 0.85 + 0.15 * np.sin(55 * (v - depth * 0.3) / depth * 0.7 + 12 * u)
    color *= np.where(fin < 1, 1.12 * strokes, 1 - 0.25 * np.clip(1.25 - fin, 0, 0.25) * 4 * (fin < 1.25))[..., None]
    mouth = np.abs(v - depth * 0.16 - 0.3 * (u - 0.95) ** 2)
    color *= (1 - 0.45 * np.clip(1 - mouth * 45, 0, 1) * (u > 0.82))[..., None]
    eye = np.hypot(u - 0.68, v + depth * 0.24)
    for radius, tone in ((0.085, (235, 225, 190)), (0.058, (15, 15, 20))):
        cover = np.clip((radius - eye) * 60 + 0.5, 0, 1)[..., None]
        color += cover * (np.asarray(tone, np.float32) - color)
    glint = np.clip((0.02 - np.hypot(u - 0.695, v + depth * 0.24 + 0.025)) * 90 + 0.5, 0, 1)[..., None]
    color += glint * (250 - color)


def _clown(rng: np.random.Generator, u: Array, v: Array) -> FloatArray:
    """Orange with white bands edged in black."""
    grain = noise(rng, (u.shape[0], u.shape[1]), 40)
    color = color_ramp(np.clip(0.55 - v * 0.9 + (grain - 0.5) * 0.7, 0, 1), [(255, 180, 70), (243, 120, 25), (190, 60, 12)])
    for centre, width in ((0.42, 0.085), (-0.12, 0.11), (-0.62, 0.06)):
        away = np.abs(u - centre - 0.10 * np.sin(4.5 * v + centre * 5)) - width
        for margin, tone in ((0.035, (28, 20, 22)), (0.0, (248, 244, 236))):
            cover = np.clip((margin - away) * 60 + 0.5, 0, 1)[..., None]
            color += cover * (np.asarray(tone, np.float32) * (0.88 + 0.12 * grain[..., None]) - color)
    return color


def _tang(rng: np.random.Generator, u: Array, v: Array) -> FloatArray:
    """Blue with a net of yellow spots, darker on the back."""
    grain = noise(rng, (u.shape[0], u.shape[1]), 50)
    color = color_ramp(np.clip(0.5 + v * 0.85 + (grain - 0.5) * 0.8, 0, 1), [(16, 30, 120), (30, 85, 205), (110, 185, 240)])
    warp = noise(rng, (u.shape[0], u.shape[1]), 60, 2) - 0.5
    lattice = np.sin(19 * u + 9 * warp + 6 * v) * np.sin(21 * v - 7 * warp)
    cover = 0.85 * np.clip((lattice - 0.52) * 7, 0, 1)[..., None]
    color += cover * (np.array([250, 212, 70], np.float32) - color)
    rear = np.clip((-0.68 - u) * 9, 0, 1)[..., None]
    return np.asarray(color + rear * (np.array([250, 205, 60], np.float32) * (0.8 + 0.3 * grain[..., None]) - color))


def _wrasse(rng: np.random.Generator, u: Array, v: Array) -> FloatArray:
    """Green with long magenta and turquoise lines that wander."""
    grain = noise(rng, (u.shape[0], u.shape[1]), 24)
    color = color_ramp(np.clip(0.5 + v + (grain - 0.5) * 0.9, 0, 1), [(40, 120, 60), (130, 200, 70), (245, 240, 150)])
    lines = np.sin(26 * v + 2.2 * np.sin(5 * u) + 3 * (grain - 0.5))
    cover = 0.8 * np.clip((lines - 0.45) * 4, 0, 1)[..., None]
    return np.asarray(color + cover * (np.array([190, 45, 120], np.float32) - color))


def _rock(rng: np.random.Generator, half_size: tuple[float, float], unit: float) -> Surface:
    """A standing stone with rough skin and a little growth, taller than what is seen of it."""
    half_u, half_v = int(half_size[0] * 1.35), int(half_size[1] * 1.35)
    size_hw = (2 * half_v, 2 * half_u)
    outline = blob_outline(rng, half_size, 0.16)
    outline[:, 0] *= 1 + 0.1 * np.sin(outline[:, 1] / half_size[1] * 4)
    outline[:, 1] = np.where(outline[:, 1] > 0, outline[:, 1] * 1.6, outline[:, 1])
    mask = fill(size_hw, np.clip(outline + np.array([half_u, half_v]), -4, 10**4))
    grain = 0.7 * noise(rng, size_hw, 42 * unit, 5) + 0.3 * noise(rng, size_hw, 9 * unit, 3)
    moss = np.clip((noise(rng, size_hw, 30 * unit, 5) - 0.55) * 9, 0, 1)[..., None]
    color = color_ramp(np.clip((grain - 0.5) * 1.5 + 0.5, 0, 1), [(42, 38, 48), (104, 92, 92), (176, 158, 142)])
    color += 0.65 * moss * (color_ramp(grain, [(60, 40, 75), (150, 85, 120), (215, 150, 160)]) - color)
    shade = inflate(signed_distance(mask), half_size[0] * 0.8)
    return Surface.of(color * _bumps(grain, 11 * unit)[..., None] * shade[..., None], mask)


def _bumps(height: FloatArray, depth_px: float) -> FloatArray:
    """Brightness of a rough surface lit from the top left."""
    slope_y, slope_x = np.gradient(cv2.GaussianBlur(height, (0, 0), 1.0) * depth_px)
    return np.asarray(np.clip(1 + 1.1 * (slope_x * 0.5 + slope_y * 0.9), 0.55, 1.4), np.float32)


def _reef(rng: np.random.Generator, size_hw: tuple[int, int], unit: float) -> Surface:
    """Water that darkens downwards with rays of light, ridges of far rock, and a sandy floor; wider than the frame."""
    h, w = size_hw[0] + 4, size_hw[1] + int(48 * unit)
    y, x = np.mgrid[:h, :w].astype(np.float32)
    haze = noise(rng, (h, w), 150 * unit, 3)
    depth = np.clip(y / h + (haze - 0.5) * 0.18, 0, 1)
    color = color_ramp(depth, [(120, 205, 215), (40, 135, 175), (14, 78, 122), (10, 58, 96)])
    slant = noise(rng, (1, 2 * w), 46 * unit, 3)[0]
    rays = np.interp(x + 0.45 * y, np.arange(2 * w), slant)
    color += (np.clip(rays - 0.45, 0, 1) * np.exp(-y / (0.55 * h)) * 120)[..., None] * np.array([0.8, 1.0, 0.9], np.float32)
    for k, (level, swing, tint) in enumerate([(0.50, 0.20, 0.30), (0.66, 0.22, 0.55), (0.82, 0.12, 0.85)]):
        _ridge(rng, color, (level, swing, tint), unit * (1 + 0.5 * k))
    sand = noise(rng, (h, w), 16 * unit, 4)
    floor_y = h * (0.90 + 0.025 * np.sin(x / (90 * unit)) + 0.02 * np.sin(x / (37 * unit) + 1))
    ripple = 0.5 + 0.5 * np.sin((y - floor_y) / (3.2 * unit) + 9 * sand + x / (30 * unit))
    tone = color_ramp(0.55 * sand + 0.45 * ripple, [(104, 112, 100), (160, 158, 130), (205, 200, 165)])
    cover = np.clip((y - floor_y) / 1.5 + 0.5, 0, 1)[..., None]
    color += cover * (tone * np.clip(0.65 + 0.5 * (y - floor_y) / (0.1 * h), 0.6, 1)[..., None] - color)
    return Surface.of(color)


def _ridge(rng: np.random.Generator, color: FloatArray, shape: tuple[float, float, float], unit: float) -> None:
    """Paint a line of rocks over ``color``; ``shape``: level and swing of its top relative to the height, and nearness."""
    h, w = color.shape[:2]
    level, swing, nearness = shape
    y = np.arange(h, dtype=np.float32)[:, None]
    top = h * (level + swing * (noise(rng, (1, w), 110 * unit, 5)[0] - 0.5) * 2)
    grain = noise(rng, (h, w), 26 * unit, 5)
    growth = np.clip((noise(rng, (h, w), 40 * unit, 4) - 0.55) * 6, 0, 1)[..., None]
    rock = color_ramp(np.clip((grain - 0.5) * 1.6 + 0.5, 0, 1), [(22, 48, 62), (62, 96, 104), (130, 150, 140)])
    rock += 0.55 * growth * (color_ramp(grain, [(70, 50, 60), (150, 100, 95), (210, 170, 130)]) - rock)
    rock *= _bumps(grain, 9 * unit)[..., None] * np.clip(1.15 - 0.5 * (y - top) / (0.35 * h), 0.6, 1.15)[..., None]
    cover = np.clip((y - top) / 1.5 + 0.5, 0, 1)[..., None]
    water = np.array([34, 112, 150], np.float32)
    color += cover * (rock * nearness + water * (1 - nearness) - color)
