"""The small images that an overlay is dotted with: markers of points and name plates. Made once, pasted often.

OpenCV's circles of a few pixels come out as diamonds, so markers are computed from distances, at a quarter of a pixel.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from sampt.checks import shape_repr
from sampt.types import UInt8Array

__all__ = ["Color", "MarkerKind", "Sprite", "label_sprite", "paste", "paste_marker"]

Color: TypeAlias = tuple[int, int, int]
MarkerKind: TypeAlias = Literal["positive", "negative", "hidden"]

_WHITE: Color = (255, 255, 255)
_DARK: Color = (18, 18, 22)
_GREY: Color = (208, 208, 212)
_SMALLEST_TWO_COLOR = 2.6  # a ring and a centre in a smaller disc blur into grey: it stays white
_SUB_STEPS = 4  # markers are placed to a quarter of a pixel


class Sprite(NamedTuple):
    """An image to paste: ``paint`` (h, w, 3) uint16, colour times opacity, each to 255; ``keep`` (h, w, 1), 255 - opacity."""

    paint: npt.NDArray[np.uint16]
    keep: npt.NDArray[np.uint16]

    def __repr__(self) -> str:
        return shape_repr(self)


def paste(canvas: UInt8Array, sprite: Sprite, left: int, top: int) -> None:
    """Blend ``sprite`` into the (h, w, 3) canvas in place, cut where it leaves the canvas."""
    paint, keep = sprite
    height, width = paint.shape[:2]
    if left < 0 or top < 0 or left + width > canvas.shape[1] or top + height > canvas.shape[0]:
        inside = (
            slice(max(0, -top), max(0, min(height, canvas.shape[0] - top))),
            slice(max(0, -left), max(0, min(width, canvas.shape[1] - left))),
        )
        paint, keep = paint[inside], keep[inside]
        left, top = max(left, 0), max(top, 0)
        height, width = paint.shape[:2]
    area = canvas[top : top + height, left : left + width]
    mixed = area * keep
    mixed += paint
    mixed += 127
    area[:] = mixed // 255


def paste_marker(canvas: UInt8Array, kind: MarkerKind, xy: list[float], radius: float, color: Color) -> None:
    """Draw one point's marker, centred at ``xy`` (pixels, (0, 0) the centre of the top-left one)."""
    steps_x, steps_y = round(xy[0] * _SUB_STEPS), round(xy[1] * _SUB_STEPS)
    (x, sub_x), (y, sub_y) = divmod(steps_x, _SUB_STEPS), divmod(steps_y, _SUB_STEPS)
    sprite = _marker(kind, round(radius, 1), color, sub_x, sub_y)
    half = sprite.keep.shape[0] // 2
    paste(canvas, sprite, x - half, y - half)


@lru_cache(maxsize=4096)
def _marker(kind: MarkerKind, radius: float, color: Color, sub_x: int, sub_y: int) -> Sprite:
    half = int(np.ceil(radius * 1.4 + 1.5))
    axis = np.arange(-half, half + 1.0)
    dx, dy = axis[None, :] - sub_x / _SUB_STEPS, axis[:, None] - sub_y / _SUB_STEPS
    distance = np.hypot(dx, dy)
    layers: list[tuple[npt.NDArray[np.float64], Color]] = []
    if kind == "positive":
        layers = [(distance - radius - min(0.7, radius * 0.25), _DARK), (distance - radius, _WHITE)]
        if radius >= _SMALLEST_TWO_COLOR:
            layers.append((distance - radius * 0.66, color))
    elif kind == "negative":
        arms = np.minimum(np.abs(dx - dy), np.abs(dx + dy)) / np.sqrt(2)
        cross = np.maximum(arms - max(0.5, radius * 0.22), distance - radius * 0.9)
        layers = [(distance - radius * 1.08 - 1.0, _WHITE), (distance - radius * 1.08, _DARK), (cross, color)]
    else:
        ring = np.abs(distance - radius * 0.85)
        layers = [(ring - 0.9, _DARK), (ring - 0.5, _GREY)]
    return _flatten(layers)


def _flatten(layers: list[tuple[npt.NDArray[np.float64], Color]]) -> Sprite:
    """Lay shapes over each other, lowest first; a shape is its signed distance in pixels, negative inside."""
    shape = layers[0][0].shape
    paint, keep = np.zeros((*shape, 3)), np.ones((*shape, 1))
    for distance, color in layers:
        cover = np.clip(0.5 - distance, 0, 1)[..., None]
        paint = paint * (1 - cover) + cover * np.array(color)
        keep = keep * (1 - cover)
    return Sprite(np.rint(paint * 255).astype(np.uint16), np.rint(keep * 255).astype(np.uint16))


@lru_cache(maxsize=512)
def label_sprite(text: str, size: int, color: Color) -> Sprite:
    """A name plate in ``color`` with white, dark-rimmed text of ``size`` pixels; drawn four times as large, then reduced."""
    font = ImageFont.load_default(size * 4)
    left, top, right, bottom = font.getbbox("0" * len(text))
    border, rim, bold, radius = max(4, size // 3), max(3, size // 4), max(2, size // 8), size
    width = round(right - left) + size * 2
    height = round(bottom - top) + size * 2
    width, height = (max(width, height) + 3) // 4 * 4, (height + 3) // 4 * 4
    plate = Image.new("RGBA", (width, height), (*_DARK, 0))
    draw = ImageDraw.Draw(plate)
    draw.rounded_rectangle((0, 0, width - 1, height - 1), radius, fill=(*_DARK, 255))
    inner = (border, border, width - 1 - border, height - 1 - border)
    draw.rounded_rectangle(inner, max(0, radius - border), fill=(*color, 255))
    for stroke, ink in ((bold + rim, _DARK), (bold, _WHITE)):
        draw.text((width / 2, height / 2), text, ink, font, anchor="mm", stroke_width=stroke, stroke_fill=ink)
    small = np.asarray(plate.resize((width // 4, height // 4), Image.Resampling.BOX)).astype(np.uint16)
    opacity = small[..., 3:]
    return Sprite(small[..., :3] * opacity, 255 - opacity)
