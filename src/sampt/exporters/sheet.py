"""The result at a glance: evenly spaced frames of a run, drawn small, on one image."""

from __future__ import annotations

import io
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from sampt.exporters.base import ExportContext, ExportFrame
from sampt.exporters.overlay import OverlayStyle, draw_overlay
from sampt.files.atomic import write_atomic
from sampt.geometry import rescale_xy
from sampt.types import FrameMasks, FramePoints, UInt8Array

__all__ = ["ContactSheet"]

_SHEET_WIDTH = 1600
_GAP = 8
_CAPTION = 26
_PAPER, _INK = (24, 25, 29), (222, 224, 230)


class ContactSheet:
    """Writes one PNG, about 1600 pixels wide, of ``columns`` x ``rows`` frames with their names; fewer when there are fewer.

    With the context's ``num_frames`` known they are evenly spaced from the first to the last one. Without, frames at a regular
    step are kept and every second one dropped whenever there are too many; the last frame is always on the sheet. Memory is
    that of the small images and one frame.

    Raises:
        OutputError: the file cannot be written or the disk is full.
    """

    def __init__(
        self, path: Path, context: ExportContext, *, columns: int = 4, rows: int = 3, style: OverlayStyle | None = None
    ) -> None:
        self.path, self._columns, self._cells, self._style = path, columns, columns * rows, style or OverlayStyle.of(context)
        self._wanted: set[int] | None = None
        num_frames = context.num_frames
        if num_frames is not None:
            self._wanted = set(np.rint(np.linspace(0, num_frames - 1, min(self._cells, num_frames))).astype(int).tolist())
        self._step = 1
        self._images: dict[int, tuple[str, UInt8Array]] = {}
        self._last: ExportFrame | None = None

    def write(self, frame: ExportFrame) -> None:
        """Frames come in any order when their number is known, else in ascending order."""
        frame_idx = frame.frame_idx
        if self._wanted is None:
            self._last = frame
            if frame_idx % self._step:
                return
        elif frame_idx not in self._wanted:
            return
        self._images[frame_idx] = (frame.name, self._small_image(frame.image, frame.result))
        if len(self._images) > self._cells:
            self._step *= 2
            self._images = {i: image for i, image in self._images.items() if i % self._step == 0}

    def close(self, success: bool) -> None:
        """Write the sheet when the run succeeded and had a frame."""
        if not success:
            return
        if self._last is not None and self._last.frame_idx not in self._images:
            last = self._last
            if len(self._images) == self._cells:
                del self._images[max(self._images)]
            self._images[last.frame_idx] = (last.name, self._small_image(last.image, last.result))
        if self._images:
            buffer = io.BytesIO()
            self._sheet().save(buffer, "PNG", compress_level=2)  # less than half the time of level 6, 5 % larger
            write_atomic(self.path, buffer.getvalue())

    def _small_image(self, frame_rgb: UInt8Array, frame_masks: FrameMasks) -> UInt8Array:
        """The frame reduced first and drawn on afterwards, so that lines and text stay sharp."""
        height, width = frame_rgb.shape[:2]
        new_width = (_SHEET_WIDTH - _GAP * (self._columns + 1)) // self._columns
        new_height = max(1, round(height * new_width / width))
        to_hw, smaller = (new_height, new_width), new_width < width
        method = cv2.INTER_AREA if smaller else cv2.INTER_CUBIC
        small = np.asarray(cv2.resize(frame_rgb, (new_width, new_height), interpolation=method), np.uint8)
        masks = np.zeros((len(frame_masks.masks), *to_hw), np.bool_)
        for target, mask in zip(masks, frame_masks.masks, strict=True):
            fraction = cv2.resize(mask.view(np.uint8) * np.uint8(255), (new_width, new_height), interpolation=method)
            target[:] = fraction > 127
        points = frame_masks.points
        moved = FramePoints(
            points.point_id,
            points.object_id,
            points.is_positive,
            rescale_xy(points.xy, (height, width), to_hw),
            points.confidence,
            points.hidden_by,
        )
        reduced = FrameMasks(
            frame_masks.frame_idx, frame_masks.object_ids, masks, frame_masks.scores, frame_masks.states, moved
        )
        return draw_overlay(small, reduced, self._style)

    def _sheet(self) -> Image.Image:
        images = [self._images[i] for i in sorted(self._images)]
        height, width = images[0][1].shape[:2]
        columns = min(self._columns, len(images))
        rows = -(-len(images) // columns)
        row_height = height + _CAPTION
        sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * (row_height + _GAP) + _GAP), _PAPER)
        draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(15)
        for i, (name, image) in enumerate(images):
            x, y = _GAP + i % columns * (width + _GAP), _GAP + i // columns * (row_height + _GAP)
            sheet.paste(Image.fromarray(image), (x, y))
            draw.text((x + 2, y + height + _CAPTION / 2), name, _INK, font, anchor="lm")
        return sheet
