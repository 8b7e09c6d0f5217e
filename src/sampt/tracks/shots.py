"""Cuts between shots: where they are, and which objects are seen again in another shot than the one they were named in.

After a cut nothing is where it was, and a tracker that looks for its points everywhere finds some of them in any image. What
shows that an object is really there is that many of its points are found at once, that they lie to each other as they did on
the frame where they were given, and that some of them look as they did there. Until then the object is absent; from then on,
up to the next cut, the tracker's word counts again.
"""

from __future__ import annotations

import functools
from typing import NamedTuple

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.geometry import sample_image
from sampt.types import BoolArray, FloatArray, IntArray, Points, UInt8Array
from sampt.video.base import Video, VideoView

__all__ = ["FrameAppearance", "ShotFilter", "ShotView", "is_cut"]

# Chosen on davis2016_train (docs/benchmarks.md, "Cuts between shots").
_SIZE_WH = (64, 36)
_SMALL_PX = 200
"""Frames are thinned to about this longest side before they are reduced by area, which would cost more than all the rest."""
_MIN_COLOR_CHANGE = 0.36
"""Fraction of the pixels whose colours are others than on the frame before."""
_MAX_STRUCTURE = 0.78
"""Mean correlation of small blocks with the best location near them: movement and changes of light leave it high."""
_BLOCK_HW, _SEARCH_HW = (9, 8), (6, 8)
_MIN_CONTRAST = 3.0
"""Standard deviation of a block's lightness below which it has nothing to correlate."""

_PATCH_LONGEST_PX = 320
_PATCH = 9
"""Side of the patch around a point on a frame of that longest side."""
_ALIKE, _COLOR_DISTANCE = 0.5, 25.0
"""Patches are alike with this correlation of lightness and no larger difference of mean Lab colour."""
_AGREEING, _AGREEING_ALIKE = 0.2, 0.03
"""Fractions of an object's positive points that must have moved together, all and those whose patches are alike, on two frames
in a row..."""
_SURELY, _SURELY_ALIKE = 0.3, 0.05
"""...and for which one frame is enough."""
_FEW_POINTS = 8
_FEW_ALIKE = 0.7
"""Of fewer points half must be seen, and look the same with this correlation."""
_REACH, _REACH_OF_OBJECT = 0.028, 0.25
"""How far a point may lie from where the others' movement takes it: over the frame's longest side, and over the object's extent
(twice the points' deviation from their mean); the smaller counts."""
_MAX_ENLARGED = 3.0
"""Larger or smaller by more an object is not known again; points that have all run to one location do not agree."""


class FrameAppearance(NamedTuple):
    """What is compared of two frames: Lab of the reduced frame (36, 64, 3) float32, and the fractions of 512 colours."""

    lab: FloatArray
    colors: FloatArray

    def __repr__(self) -> str:
        return shape_repr(self)

    @classmethod
    def of(cls, frame: UInt8Array) -> FrameAppearance:
        """Of an (h, w, 3) uint8 RGB frame."""
        step = max(1, max(frame.shape[:2]) // _SMALL_PX)
        small = cv2.resize(np.ascontiguousarray(frame[::step, ::step]), _SIZE_WH, interpolation=cv2.INTER_AREA)
        lab = np.asarray(cv2.cvtColor(small, cv2.COLOR_RGB2LAB))
        lightness, a, b = (lab[..., k].astype(np.intp) for k in range(3))
        # a and b of natural images lie near the middle of their range.
        a, b = (np.clip((v - 64) // 16, 0, 7) for v in (a, b))
        counts = np.bincount(((lightness // 32 * 8 + a) * 8 + b).ravel(), minlength=512)
        return cls(lab.astype(np.float32), np.asarray(counts / counts.sum(), np.float32))


def is_cut(before: FrameAppearance, after: FrameAppearance) -> bool:
    """Whether there is a cut between two neighbouring frames, in either order: colours and structure are both others."""
    if 0.5 * float(np.abs(before.colors - after.colors).sum()) <= _MIN_COLOR_CHANGE:
        return False
    likeness = _structure(before.lab[..., 0], after.lab[..., 0])
    if likeness is None:
        likeness = _structure(after.lab[..., 0], before.lab[..., 0])
    return likeness is not None and likeness < _MAX_STRUCTURE


def _structure(one: FloatArray, other: FloatArray) -> float | None:
    """How well blocks of one lightness (36, 64) are found again near their location in the other; None when all are flat."""
    (rows, columns), (down, across) = _BLOCK_HW, _SEARCH_HW
    around = cv2.copyMakeBorder(other, down, down, across, across, cv2.BORDER_REPLICATE)
    found = []
    for y in range(0, one.shape[0], rows):
        for x in range(0, one.shape[1], columns):
            block = np.ascontiguousarray(one[y : y + rows, x : x + columns])
            if block.std() >= _MIN_CONTRAST:
                near = around[y : y + rows + 2 * down, x : x + columns + 2 * across]
                found.append(float(cv2.matchTemplate(near, block, cv2.TM_CCOEFF_NORMED).max()))
    return float(np.mean(found)) if found else None


class ShotView(VideoView):
    """``video``, of which it is known where shots begin, as far as it was read."""

    def __init__(self, video: Video) -> None:
        super().__init__(video)
        self._appearances: dict[int, FrameAppearance] = {}

    def read(self, start: int, stop: int) -> UInt8Array:
        frames = super().read(start, stop)
        for i, frame in enumerate(frames, start):
            if i not in self._appearances:
                self._appearances[i] = FrameAppearance.of(frame)
        return frames

    def shot_end(self, start: int, stop: int) -> int:
        """The first frame in (start, stop) that is of another shot than ``start``, else ``stop``."""
        for i in range(start + 1, stop):
            if is_cut(self._appearance(i - 1), self._appearance(i)):
                return i
        return stop

    def forget(self, before: int) -> None:
        """Frames before this one will not be needed again."""
        self._appearances = {i: appearance for i, appearance in self._appearances.items() if i >= before}

    def _appearance(self, frame_idx: int) -> FrameAppearance:
        if frame_idx not in self._appearances:
            self.read(frame_idx, frame_idx + 1)
        return self._appearances[frame_idx]


class ShotFilter:
    """Tells which tracked points belong to an object that is not known to be in the shot at hand.

    Frames are shown in the order in which the tracker meets them, going away from the points' prompt frames. Objects are judged
    by the points of one prompt frame at a time.

    Args:
        points: the n query points.
    """

    def __init__(self, points: Points) -> None:
        self._points = points
        self._groups: list[IntArray] = []
        for key in sorted(set(zip(points.object_id.tolist(), points.frame_idx.tolist(), strict=True))):
            self._groups.append(np.flatnonzero((points.object_id == key[0]) & (points.frame_idx == key[1])))
        self._group_of = np.zeros(len(points), np.intp)
        for k, members in enumerate(self._groups):
            self._group_of[members] = k
        self._is_home = np.zeros(len(self._groups), np.bool_)
        """Whether the shot at hand is the one that the group was named in, or one that it has been found in."""
        self._was_likely = np.zeros(len(self._groups), np.bool_)
        """Whether there was some reason to think so on the frame before."""
        self._patches = np.zeros((len(points), _PATCH, _PATCH, 3), np.float32)
        """Of the points on their prompt frames."""
        self._last: FrameAppearance | None = None

    def apply(self, frame: UInt8Array, frame_idx: int, columns: IntArray, xy: FloatArray, visible: BoolArray) -> BoolArray:
        """Which of k points do not count on the frame.

        Args:
            frame: (h, w, 3) uint8 RGB.
            frame_idx: of this frame, in the numbering of the query points.
            columns: (k,) which of the n points the rest is about; those not reached yet are left out.
            xy: (k, 2) where they are.
            visible: (k,) whether they are seen, says the tracker.

        Returns:
            (k,) bool.
        """
        appearance = FrameAppearance.of(frame)
        image = functools.cache(lambda: _PatchImage.of(frame))  # most frames need none
        if self._last is not None and is_cut(self._last, appearance):
            self._is_home[:] = self._was_likely[:] = False
        self._last = appearance
        is_new = self._points.frame_idx[columns] == frame_idx
        if is_new.any():
            self._is_home[self._group_of[columns[is_new]]] = True
            self._patches[columns[is_new]] = image().patches(self._points.xy[columns[is_new]])
        groups = self._group_of[columns]
        for k in np.unique(groups[~self._is_home[groups]]):
            own = np.flatnonzero((groups == k) & self._points.is_positive[columns])
            members = columns[own]
            agreeing, alike = self._agreement(image(), members, xy[own], visible[own])
            is_likely = agreeing >= _AGREEING and alike >= _AGREEING_ALIKE
            is_sure = agreeing >= _SURELY and alike >= _SURELY_ALIKE
            self._is_home[k] = is_sure or (is_likely and self._was_likely[k])
            self._was_likely[k] = is_likely
        return np.asarray(~self._is_home[groups])

    def _agreement(self, image: _PatchImage, members: IntArray, xy: FloatArray, visible: BoolArray) -> tuple[float, float]:
        """Fractions of an object's positive points of one prompt frame that are seen where one movement takes them all: of all
        points, and of those that look alike. Few points, which show no movement, agree when half of them look the same."""
        seen = np.flatnonzero(visible)
        if not len(seen):
            return 0.0, 0.0
        is_few = len(members) < _FEW_POINTS
        likeness = _FEW_ALIKE if is_few else _ALIKE
        is_alike = _are_alike(self._patches[members[seen]], image.patches(xy[seen]), likeness)
        if is_few:
            is_there = np.count_nonzero(is_alike) >= 0.5 * len(members)
            return float(is_there), float(is_there)
        before_xy = self._points.xy[members]
        extent_px = 2 * float(np.linalg.norm(before_xy.std(0)))
        reach_px = max(1.0, min(_REACH * image.longest_px, _REACH_OF_OBJECT * extent_px))
        agreeing, alike = (
            np.count_nonzero(_moved_together(before_xy[k], xy[k], reach_px)) / len(members) for k in (seen, seen[is_alike])
        )
        return agreeing, alike


class _PatchImage(NamedTuple):
    """A frame as patches are cut from it: Lab (h, w, 3) float32 of the size that they are meant for; its own longest side."""

    lab: FloatArray
    longest_px: int

    @classmethod
    def of(cls, frame: UInt8Array) -> _PatchImage:
        """Of an (h, w, 3) uint8 RGB frame."""
        longest_px = max(frame.shape[:2])
        scale = _PATCH_LONGEST_PX / longest_px
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
        small = cv2.cvtColor(cv2.resize(frame, None, fx=scale, fy=scale, interpolation=method), cv2.COLOR_RGB2LAB)
        return cls(np.asarray(small, np.float32), longest_px)

    def patches(self, xy: FloatArray) -> FloatArray:
        """(k, side, side, 3) Lab around (k, 2) points of the frame."""
        steps = np.arange(_PATCH, dtype=np.float32) - _PATCH // 2
        grid = np.stack(np.meshgrid(steps, steps), -1)
        scale = np.float32(_PATCH_LONGEST_PX / self.longest_px)
        # As geometry.rescale_xy, but rounded to single precision at every step: the limits were chosen with it.
        centres = (np.asarray(xy, np.float32) + 0.5) * scale - 0.5
        return np.asarray(sample_image(self.lab, centres[:, None, None, :] + grid), np.float32)


def _are_alike(one: FloatArray, other: FloatArray, correlation: float) -> BoolArray:
    """Which of k patches look the same."""
    k = len(one)
    color_distance = np.linalg.norm(one.mean((1, 2)) - other.mean((1, 2)), axis=1)
    a, b = (patch[..., 0].reshape(k, -1) - patch[..., 0].reshape(k, -1).mean(1, keepdims=True) for patch in (one, other))
    # The constant keeps what is nearly flat from being alike by its noise.
    norm = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1) + 20
    return np.asarray(((a * b).sum(1) / norm > correlation) & (color_distance < _COLOR_DISTANCE))


def _moved_together(before_xy: FloatArray, after_xy: FloatArray, reach_px: float) -> BoolArray:
    """Which of k points one similarity takes from where they were to where they are; the largest such set that was found."""
    if len(before_xy) < 3:
        return np.zeros(len(before_xy), np.bool_)
    before, after = (np.ascontiguousarray(xy, np.float32) for xy in (before_xy, after_xy))
    matrix, found = cv2.estimateAffinePartial2D(before, after, method=cv2.RANSAC, ransacReprojThreshold=reach_px, maxIters=200)
    if matrix is None or not 1 / _MAX_ENLARGED < float(np.hypot(matrix[0, 0], matrix[1, 0])) < _MAX_ENLARGED:
        return np.zeros(len(before), np.bool_)
    return np.asarray(found).ravel() > 0
