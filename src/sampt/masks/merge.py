"""One mask an object, cut to where it matters, and the merge of a frame's objects (docs/algorithm.md, "Merging objects")."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.geometry import find_mask_box, rescale_span
from sampt.types import BoolArray, FloatArray, FrameMasks, FramePoints, MaskPrediction, ObjectState

__all__ = ["ObjectMask", "contest", "merge_objects"]

_MARGIN_PX = 2
"""Logits kept around the mask, so that resizing interpolates across its edge."""

_JUST = np.float32(1e-3)
"""Logit of a pixel that an object has although its own was 0."""

_LARGE = 0.25
"""Of the smallest of the masks that claim a part; one that is as large is decided as a whole."""


@dataclass(frozen=True, eq=False)
class ObjectMask:
    """What is known of one object on one frame, small enough to wait for the other objects.

    Only logits above the background's 0 can win a pixel, so the logits outside the mask's box are not needed.

    Attributes:
        object_id: from 1.
        state: whether the object is there.
        score: predicted IoU, or NaN when the segmenter did not run.
        logits: (ch, cw) float32 around the mask, or None where the object is absent.
        origin_yx: row and column of ``logits[0, 0]`` in the frame.
        is_given: True when the mask is the user's own and wins over every prediction.
    """

    object_id: int
    state: ObjectState
    score: float = float("nan")
    logits: FloatArray | None = None
    origin_yx: tuple[int, int] = (0, 0)
    is_given: bool = False

    __repr__ = shape_repr

    @classmethod
    def of_prediction(cls, prediction: MaskPrediction, iou_threshold: float) -> ObjectMask:
        """The mask of a full-size prediction; absent when its score is below the gate, or when no pixel is set."""
        assert prediction.logits is not None, "the last pass requests full-size logits"
        if prediction.score < iou_threshold:
            return cls(prediction.object_id, ObjectState.LOW_SCORE, prediction.score)
        return cls._cut(prediction.object_id, prediction.score, prediction.logits, is_given=False)

    @classmethod
    def of_given(cls, object_id: int, mask: BoolArray) -> ObjectMask:
        """The user's own (h, w) mask; it has no score, since the segmenter does not run."""
        logits = np.where(mask, np.float32(1), np.float32(-1))
        return cls._cut(object_id, float("nan"), logits, is_given=True)

    @classmethod
    def _cut(cls, object_id: int, score: float, logits: FloatArray, *, is_given: bool) -> ObjectMask:
        box = find_mask_box(logits > 0)
        if box is None:
            return cls(object_id, ObjectState.EMPTY, score)
        x0, y0, x1, y1 = (int(v) for v in box)
        y0, x0 = max(0, y0 - _MARGIN_PX), max(0, x0 - _MARGIN_PX)
        cut = logits[y0 : y1 + 1 + _MARGIN_PX, x0 : x1 + 1 + _MARGIN_PX].astype(np.float32)
        return cls(object_id, ObjectState.PRESENT, score, cut, (y0, x0), is_given)

    def with_score(self, score: float, iou_threshold: float) -> ObjectMask:
        """The same with another predicted IoU; absent when that is below the gate."""
        if score < iou_threshold:
            return ObjectMask(self.object_id, ObjectState.LOW_SCORE, score)
        return dataclasses.replace(self, score=score)

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns of the frame that the logits cover; the object is not absent."""
        assert self.logits is not None
        (y, x), (h, w) = self.origin_yx, self.logits.shape
        return slice(y, y + h), slice(x, x + w)

    def mask(self, size_hw: tuple[int, int]) -> BoolArray:
        """(h, w) bool at the size of the frame that the logits come from."""
        out = np.zeros(size_hw, np.bool_)
        if self.logits is not None:
            out[self.area] = self.logits > 0
        return out

    def resized(self, from_hw: tuple[int, int], to_hw: tuple[int, int]) -> ObjectMask:
        """The same object on the frame resized; logits are interpolated (bilinear, half-pixel centres)."""
        if self.logits is None or from_hw == to_hw:
            return self
        (top, map_y), (left, map_x) = map(rescale_span, self.area, from_hw, to_hw)
        grid = np.meshgrid(map_x, map_y)
        logits = cv2.remap(self.logits, grid[0], grid[1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
        origin = (top, left)
        return ObjectMask(self.object_id, self.state, self.score, np.asarray(logits, np.float32), origin, self.is_given)


def contest(objects: Sequence[ObjectMask], size_hw: tuple[int, int]) -> list[ObjectMask]:
    """The objects with the pixels that :func:`merge_objects` gives them when they compete.

    Where that is not what its logit says, an object's logit is as far on the other side of 0; without any pixel it is hidden.
    """
    ordered = sorted((o for o in objects if o.logits is not None), key=lambda o: o.object_id)
    if len(ordered) < 2:
        return list(objects)
    owner = _owners(ordered, size_hw, compete=True)
    results = {o.object_id: o for o in objects}
    for i, item in enumerate(ordered):
        assert item.logits is not None
        is_own = owner[item.area] == i
        wrong = (item.logits > 0) != is_own
        if not wrong.any():
            continue
        left = np.where(wrong, np.where(is_own, np.maximum(-item.logits, _JUST), -item.logits), item.logits)
        if (left > 0).any():
            results[item.object_id] = dataclasses.replace(item, logits=left)
        else:
            results[item.object_id] = ObjectMask(item.object_id, ObjectState.HIDDEN_BY_OTHERS, item.score)
    return [results[o.object_id] for o in objects]


def _owners(ordered: Sequence[ObjectMask], size_hw: tuple[int, int], *, compete: bool) -> npt.NDArray[np.int32]:
    """(h, w): the index of the object that has each pixel, -1 for the background."""
    best, owner = np.zeros(size_hw, np.float32), np.full(size_hw, -1, np.int32)
    for i, item in enumerate(ordered):
        if item.logits is None:
            continue
        area = item.area
        strength = np.where(item.logits > 0, np.float32(np.inf), np.float32(-1)) if item.is_given else item.logits
        wins = strength > best[area]
        np.copyto(best[area], strength, where=wins)
        np.copyto(owner[area], np.int32(i), where=wins)
    if compete:
        _close_gaps(ordered, owner)
        _decide_large_parts(ordered, owner)
    return owner


def _close_gaps(ordered: Sequence[ObjectMask], owner: npt.NDArray[np.int32]) -> None:
    """Give background that is probably some object, though no single one reaches it, to the likeliest, in place.

    Soft aggregation (Oh et al., "Fast Video Object Segmentation by Reference-Guided Mask Propagation", CVPR 2018): the
    background's probability is the product of 1 - p over the objects, and where only one may be that changes nothing.
    """
    log_background = np.zeros(owner.shape, np.float32)
    best, likeliest = np.full(owner.shape, -np.inf, np.float32), np.zeros(owner.shape, np.int32)
    for i, item in enumerate(ordered):
        if item.logits is None or item.is_given:  # what the user gave has no probability
            continue
        log_background[item.area] -= np.logaddexp(np.float32(0), item.logits)
        better = item.logits > best[item.area]
        np.copyto(best[item.area], item.logits, where=better)
        np.copyto(likeliest[item.area], np.int32(i), where=better)
    near = np.nonzero((owner < 0) & (best > -1))  # further below, the background is likelier with up to four objects
    background = log_background[near].astype(np.float64)
    wins = best[near] > background - np.log(-np.expm1(background))
    owner[near] = np.where(wins, likeliest[near], owner[near])


def _decide_large_parts(ordered: Sequence[ObjectMask], owner: npt.NDArray[np.int32]) -> None:
    """Give every large part that several objects claim to one of them, in place; pixel by pixel it would be cut to shreds."""
    claims = np.zeros(owner.shape, np.uint8)
    present = [(i, item.area, item.logits, item.is_given) for i, item in enumerate(ordered) if item.logits is not None]
    for _, area, logits, is_given in sorted(present, key=lambda entry: entry[3]):
        # Where more than 255 objects overlap some are not counted.
        claims[area] = np.where(logits > 0, 0, claims[area]) if is_given else claims[area] + (logits > 0)
    if claims.max(initial=0) < 2:
        return
    sizes = {i: np.count_nonzero(logits > 0) for i, _, logits, _ in present}
    count, parts, stats, _ = cv2.connectedComponentsWithStats(np.asarray(claims > 1, np.uint8))
    for part in range(1, count):
        x, y, width, height, size = stats[part].tolist()
        inside = parts[y : y + height, x : x + width] == part
        there = {}
        for i, (rows, columns), logits, _ in present:
            # The same pixels, of the part and of the object.
            top, bottom = max(rows.start, y), min(rows.stop, y + height)
            left, right = max(columns.start, x), min(columns.stop, x + width)
            if top < bottom and left < right:
                own = logits[top - rows.start : bottom - rows.start, left - columns.start : right - columns.start]
                here = inside[top - y : bottom - y, left - x : right - x]
                if (here & (own > 0)).any():
                    there[i] = (float(own[here].sum()), owner[top:bottom, left:right], here & (own > 0))
        if size >= _LARGE * min(sizes[i] for i in there):
            winner = max(there, key=lambda i: there[i][0])
            _, owners, claimed = there[winner]
            owners[claimed] = winner


def merge_objects(
    frame_idx: int,
    objects: Sequence[ObjectMask],
    size_hw: tuple[int, int],
    points: FramePoints,
    *,
    overlapping: bool,
    compete: bool,
) -> FrameMasks:
    """The masks of all objects on one frame.

    Each pixel goes to the object with the largest logit above the background's 0; ties go to the smaller id; a given mask wins
    over predictions. Where objects ``compete``, a large part that several claim goes to one of them as a whole. With
    ``overlapping`` every object keeps its whole mask.
    """
    ordered = sorted(objects, key=lambda o: o.object_id)
    masks = np.zeros((len(ordered), *size_hw), np.bool_)
    owner = _owners(ordered, size_hw, compete=compete) if not overlapping and len(ordered) > 1 else None
    for i, item in enumerate(ordered):
        if item.logits is None:
            continue
        if owner is None:
            masks[i][item.area] = item.logits > 0
        else:
            np.equal(owner[item.area], i, out=masks[i][item.area])
    states = [_state_after_merge(item, masks[i]) for i, item in enumerate(ordered)]
    return FrameMasks(
        frame_idx,
        np.array([item.object_id for item in ordered]),
        masks,
        np.array([item.score for item in ordered]),
        np.array(states),
        points,
    )


def _state_after_merge(item: ObjectMask, mask: BoolArray) -> ObjectState:
    if item.logits is None or mask.any():
        return item.state
    return ObjectState.HIDDEN_BY_OTHERS if (item.logits > 0).any() else ObjectState.EMPTY
