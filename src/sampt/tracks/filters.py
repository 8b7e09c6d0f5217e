"""When a tracked point counts in a frame (docs/algorithm.md, "Point tracking"): border margin, patch filter, cuts of shots."""

from __future__ import annotations

import cv2
import numpy as np

from sampt.config import TrackingConfig
from sampt.geometry import near_border, sample_image
from sampt.tracks.shots import ShotFilter
from sampt.types import FloatArray, HiddenBy, Points, UInt8Array

__all__ = ["PointFilter"]


class PointFilter:
    """Hides points frame by frame, going away from their prompt frames in one direction of time.

    A point is never hidden on its own prompt frame. Frames are shown in the order in which the tracker meets them.

    Args:
        config: margins and thresholds.
        points: the n query points.
        size_hw: size of the frames.
    """

    def __init__(self, config: TrackingConfig, points: Points, size_hw: tuple[int, int]) -> None:
        self._config = config
        self._points = points
        self._size_hw = size_hw
        side = config.patch_size
        self._patches = np.zeros((len(points), side * side * 3), np.float32)
        self._rejected = np.zeros(len(points), np.bool_)
        self._shots = ShotFilter(points) if config.shot_cuts else None

    @property
    def needs_frames(self) -> bool:
        """Whether the pixels matter; without them ``frame`` may be None."""
        return self._config.patch_filter or self._config.shot_cuts

    def apply(
        self, frame: UInt8Array | None, frame_idx: int, columns: np.ndarray, xy: FloatArray, hidden_by: UInt8Array
    ) -> UInt8Array:
        """Reason codes after filtering.

        Args:
            frame: (h, w, 3) uint8 RGB, or None unless ``needs_frames``.
            frame_idx: of this frame, in the numbering of the query points.
            columns: (k,) which of the n points the rest is about.
            xy: (k, 2) where they are.
            hidden_by: (k,) codes so far.

        Returns:
            (k,) codes; a point hidden before keeps its reason.
        """
        codes = hidden_by.copy()
        is_query = self._points.frame_idx[columns] == frame_idx
        if self._shots is not None:
            assert frame is not None, "cuts are seen in pixels"
            is_elsewhere = self._shots.apply(frame, frame_idx, columns, xy, codes == HiddenBy.NONE)
            codes[(codes == HiddenBy.NONE) & is_elsewhere] = HiddenBy.SHOT
        if self._config.patch_filter:
            assert frame is not None, "the patch filter looks at pixels"
            self._apply_patches(frame, columns, xy, codes, is_query)
        border = near_border(xy, self._size_hw, self._config.border_fraction)
        codes[(codes == HiddenBy.NONE) & border] = HiddenBy.BORDER
        codes[is_query] = HiddenBy.NONE
        return codes

    def _apply_patches(
        self, frame: UInt8Array, columns: np.ndarray, xy: FloatArray, codes: UInt8Array, is_query: np.ndarray
    ) -> None:
        """The patch at a visible point is compared with that of its prompt frame; once it differs, the point is out."""
        patches = _lab_patches(frame, xy, self._config.patch_size)
        self._patches[columns[is_query]] = patches[is_query]
        distance = np.linalg.norm(patches - self._patches[columns], axis=1)
        similarity = np.exp(-distance / (2 * self._config.patch_size**2))
        visible = codes == HiddenBy.NONE
        already = self._rejected[columns]
        differs = visible & ~already & ~is_query & (similarity < self._config.patch_threshold)
        codes[visible & already] = HiddenBy.AFTER_PATCH
        codes[differs] = HiddenBy.PATCH
        self._rejected[columns[differs]] = True


def _lab_patches(frame: UInt8Array, xy: FloatArray, side: int) -> FloatArray:
    """(k, side * side * 3) bilinear Lab samples (L in [0, 100]) around (k, 2) points; the border repeats."""
    lab = cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB)
    steps = np.arange(side, dtype=np.float32) - side // 2
    grid = np.stack(np.meshgrid(steps, steps), -1).reshape(1, -1, 2)
    return sample_image(np.asarray(lab), xy[:, None, :] + grid).reshape(len(xy), side * side * 3)
