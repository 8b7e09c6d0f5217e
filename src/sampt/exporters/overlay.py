"""Images of results: frames with masks, contours, points and ids drawn on them, as a video."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from sampt.exporters.base import ExportContext, ExportFrame
from sampt.exporters.sprites import Color, MarkerKind, label_sprite, paste, paste_marker
from sampt.files.atomic import output_errors
from sampt.files.palette import pick_display_color
from sampt.geometry import inside_frame
from sampt.types import BoolArray, FrameMasks, FramePoints, HiddenBy, UInt8Array
from sampt.video.writer import VideoWriter

__all__ = ["OverlayStyle", "OverlayWriter", "draw_overlay"]

Box = tuple[int, int, int, int]

_REFERENCE_HEIGHT = 480  # the frame height (shorter side) for which the sizes below are in pixels
_POINT_RADIUS = 5.0
_MAX_POINTS = 24
"""Of an object and a sign on one frame: more hide the object that they are on. Every k-th is drawn."""
_MAX_OBJECTS_WITH_POINTS = 2
_FULL_SIZE_POINTS = 24  # with more points than this on a frame they shrink, so that their total area stays about the same
_SMALLEST_POINT = 0.4
_LABEL_SIZE = 17.0
_SMALLEST_LABEL = 12


@dataclass(frozen=True)
class OverlayStyle:
    """What is drawn. ``alpha`` is the fraction of the object's colour inside its mask, from 0 to 1."""

    alpha: float = 0.45
    contours: bool = True
    points: bool = True
    labels: bool = True

    @classmethod
    def of(cls, context: ExportContext) -> OverlayStyle:
        """What files show when nothing else is said: the points of a few objects, as those of many hide the image."""
        return cls(points=len(context.objects) <= _MAX_OBJECTS_WITH_POINTS)


def draw_overlay(frame_rgb: UInt8Array, frame_masks: FrameMasks, style: OverlayStyle | None = None) -> UInt8Array:
    """A copy of the frame with the result drawn on it.

    Inside a mask a channel becomes ``round((1 - alpha) * value + alpha * color)``, in the order of the objects where masks
    overlap; then contours, then points: positive = disc in the object's colour with a white ring, negative = dark disc with
    a cross in the object's colour, hidden = thin grey ring (none where the point is not tracked); last the ids.

    Args:
        frame_rgb: (h, w, 3) uint8; unchanged.
        frame_masks: masks of the same size.
        style: what to draw; None draws everything.

    Returns:
        (h, w, 3) uint8 RGB.
    """
    style = style or OverlayStyle()
    canvas = np.array(frame_rgb, np.uint8, order="C")
    scale = min(canvas.shape[:2]) / _REFERENCE_HEIGHT
    present: list[tuple[int, BoolArray, Box]] = []
    for object_id, mask in zip(frame_masks.object_ids.tolist(), frame_masks.masks, strict=True):
        x, y, width, height = cv2.boundingRect(mask.view(np.uint8))
        if width:
            present.append((object_id, mask, (x, y, width, height)))
    for object_id, mask, box in present:
        _tint(canvas, mask, box, pick_display_color(object_id), style.alpha)
    if style.contours:
        for object_id, mask, box in present:
            _draw_contour(canvas, mask, box, pick_display_color(object_id), scale)
    if style.points:
        _draw_points(canvas, frame_masks.points, scale)
    if style.labels:
        _draw_labels(canvas, present, scale)
    return canvas


@lru_cache(maxsize=256)
def _tint_table(color: Color, alpha: float) -> UInt8Array:
    """(1, 256, 3) uint8: what every channel value becomes under the tint."""
    values = np.arange(256)[:, None]
    return np.rint((1 - alpha) * values + alpha * np.array(color)).astype(np.uint8)[None]


def _tint(canvas: UInt8Array, mask: BoolArray, box: Box, color: Color, alpha: float) -> None:
    x, y, width, height = box
    area = canvas[y : y + height, x : x + width]
    tinted = cv2.LUT(area, _tint_table(color, alpha))
    cv2.copyTo(tinted, mask[y : y + height, x : x + width].view(np.uint8), area)


def _draw_contour(canvas: UInt8Array, mask: BoolArray, box: Box, color: Color, scale: float) -> None:
    x, y, width, height = box
    # One pixel of margin, so that the outline of a mask that touches its box is closed.
    cropped = np.pad(mask[y : y + height, x : x + width].view(np.uint8), 1)
    outlines, _ = cv2.findContours(cropped, cv2.RETR_CCOMP, cv2.CHAIN_APPROX_SIMPLE, offset=(x - 1, y - 1))
    cv2.polylines(canvas, outlines, True, color, max(1, round(1.3 * scale)), cv2.LINE_AA)


def _draw_points(canvas: UInt8Array, points: FramePoints, scale: float) -> None:
    """Hidden points first and positive ones last, so that what prompts is on top."""
    drawn = (points.hidden_by != HiddenBy.NOT_TRACKED) & inside_frame(points.xy, (canvas.shape[0], canvas.shape[1]))
    drawn &= _thin(points)
    count = int(drawn.sum())
    if not count:
        return
    shrink = max(_SMALLEST_POINT, min(1.0, (_FULL_SIZE_POINTS / count) ** 0.5))
    radius = max(1.4, _POINT_RADIUS * scale * shrink)
    visible, positive = points.visible, points.is_positive
    groups: list[tuple[BoolArray, MarkerKind]] = [
        (drawn & ~visible, "hidden"),
        (drawn & visible & ~positive, "negative"),
        (drawn & visible & positive, "positive"),
    ]
    for group, kind in groups:
        for xy, object_id in zip(points.xy[group].tolist(), points.object_id[group].tolist(), strict=True):
            paste_marker(canvas, kind, xy, radius, pick_display_color(object_id))


def _thin(points: FramePoints) -> BoolArray:
    """(n,) at most about _MAX_POINTS of every object and sign: the same ones as long as the points are the same."""
    kept = np.zeros(len(points), np.bool_)
    for object_id in np.unique(points.object_id):
        for sign in (True, False):
            own = np.flatnonzero((points.object_id == object_id) & (points.is_positive == sign))
            kept[own[:: max(1, -(-len(own) // _MAX_POINTS))]] = True
    return kept


def _draw_labels(canvas: UInt8Array, objects: list[tuple[int, BoolArray, Box]], scale: float) -> None:
    """Each id above its object's highest pixels, inside the frame, below the labels already there."""
    size = max(_SMALLEST_LABEL, round(_LABEL_SIZE * scale))
    taken: list[Box] = []
    for object_id, mask, (x, y, width, _) in objects:
        sprite = label_sprite(str(object_id), size, pick_display_color(object_id))
        high, wide = sprite.keep.shape[:2]
        if wide > canvas.shape[1] or high > canvas.shape[0]:
            continue
        middle = x + float(np.flatnonzero(mask[y, x : x + width]).mean())
        location = (round(middle - wide / 2), round(y - high - 5 * scale), wide, high)
        location = _find_free_location(location, taken, canvas.shape[:2])
        taken.append(location)
        paste(canvas, sprite, location[0], location[1])


def _find_free_location(location: Box, taken: list[Box], size_hw: tuple[int, ...]) -> Box:
    """``location`` moved into the frame, and down past any label that it would cover (not past the frame's lower edge)."""
    x, y, width, height = location
    x = min(max(x, 0), size_hw[1] - width)
    y = min(max(y, 0), size_hw[0] - height)
    for other in sorted(taken, key=lambda box: box[1]):
        if abs(other[0] - x) < width and abs(other[1] - y) < height:
            y = other[1] + height
    return x, min(y, size_hw[0] - height), width, height


class OverlayWriter:
    """Writes one MP4 (H.264) of all frames drawn by :func:`draw_overlay`, the first at time 0; colors are those of the ids.

    Raises:
        OutputError: the file cannot be written or the disk is full.
    """

    def __init__(self, path: Path, context: ExportContext, *, style: OverlayStyle | None = None) -> None:
        self.path, self._style = path, style or OverlayStyle.of(context)
        self._first_s: float | None = None
        with output_errors(self.path):
            self._video = VideoWriter(self.path, context.video.fps, context.video.size_hw)
            self._video.__enter__()

    def write(self, frame: ExportFrame) -> None:
        time_s = frame.time_s
        self._first_s = time_s if self._first_s is None else self._first_s
        with output_errors(self.path):
            drawn = draw_overlay(frame.image, frame.result, self._style)
            self._video.write(drawn, time_s - self._first_s, frame.duration_s)

    def close(self, success: bool) -> None:
        """Finish the file when the run succeeded, else leave no file of that name."""
        failure: tuple[Any, Any, Any] = (None, None, None)
        if not success:
            error = RuntimeError("the run failed")
            failure = (type(error), error, None)
        with output_errors(self.path):
            self._video.__exit__(*failure)
