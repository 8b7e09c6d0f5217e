"""The "everything" mode: masks of whatever a frame shows, proposed by asking about every point of a grid.

The steps and their order are those of `SamAutomaticMaskGenerator` (facebookresearch/segment-anything) with its default of no
crops: ask about each point alone, keep masks with a high predicted IoU, of these the stable ones, and of masks with nearly the
same box the one with the best score. With no crops there is no crop's edge to keep away from; small regions are left as they
are (its `min_mask_region_area` is 0). Empty masks, which it can give when both thresholds are 0, are dropped.

Masks wait packed until the best are chosen, so memory does not grow with frame x points.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast, runtime_checkable

import numpy as np
import numpy.typing as npt

from sampt.checks import shape_repr
from sampt.config import _Checked, _setting
from sampt.errors import VideoError
from sampt.geometry import box_of_mask
from sampt.segmenters.base import PromptableSegmenter, innermost
from sampt.types import BoolArray, FloatArray, IntArray, ObjectPrompt, UInt8Array

__all__ = [
    "Candidate",
    "CandidateSegmenter",
    "MaskProposal",
    "ProposalConfig",
    "distinct_boxes",
    "grid_points",
    "is_likely",
    "propose_masks",
    "single_masks",
    "stability_of",
]

_MOST_LOGITS = 1 << 25
"""Full-size logits asked for at a time, but at least one object's: 128 MiB."""


@dataclass(frozen=True)
class ProposalConfig(_Checked):
    """Which masks are proposed on a frame (docs/algorithm.md, "Automatic mask generation").

    The numbers are the official program's, for SAM ViT-H.

    Raises:
        ConfigError: a value is of another type or out of range.
    """

    points_per_side: int = _setting(32, "so many rows and columns of points are asked about", low=1)
    batch: int = _setting(64, "points asked about together", low=1)
    score_threshold: float = _setting(0.88, "predicted IoU that a mask has to exceed; 0 keeps all", low=0, high=1)
    stability_threshold: float = _setting(0.95, "least stability of a mask", low=0, high=1)
    stability_offset: float = _setting(1.0, "logits by which the limit is moved up and down to see how stable a mask is", low=0)
    nms_threshold: float = _setting(0.7, "of masks whose boxes have a greater IoU only the best stays", low=0, high=1)
    max_masks: int = _setting(100, "at most so many masks, the best ones", low=1)


@dataclass(frozen=True, eq=False)
class MaskProposal:
    """A mask that is probably one thing.

    Attributes:
        mask: (h, w) bool, read-only, at least one pixel set.
        box_xyxy: (4,) float32, its first and last pixels, inclusive.
        score: predicted IoU in [0, 1].
        stability: in [0, 1]; see :func:`stability_of`.
        point_xy: (2,) float32, the point that was asked about.
    """

    mask: BoolArray
    box_xyxy: FloatArray
    score: float
    stability: float
    point_xy: FloatArray

    __repr__ = shape_repr


@dataclass(frozen=True, eq=False)
class Candidate:
    """A mask that waits for the choice of the best ones, packed.

    Attributes:
        packed: the pixels within the box, a bit each, compressed.
        box_xyxy: (4,) int64, first and last pixels of the mask, inclusive.
        score: predicted IoU as the network gives it, which may lie outside [0, 1].
        stability: see :func:`stability_of`.
        point_xy: (2,) float32, the point that was asked about.
    """

    packed: bytes
    box_xyxy: IntArray
    score: float
    stability: float
    point_xy: FloatArray

    __repr__ = shape_repr

    @classmethod
    def of(cls, mask: BoolArray, box_xyxy: FloatArray | IntArray, score: float, stability: float, xy: FloatArray) -> Candidate:
        """Pack an (h, w) mask whose tight box is known."""
        x0, y0, x1, y1 = (int(v) for v in box_xyxy)
        packed = zlib.compress(np.packbits(mask[y0 : y1 + 1, x0 : x1 + 1]).tobytes(), 1)
        return cls(packed, np.array([x0, y0, x1, y1], np.int64), score, stability, xy)

    def proposal(self, size_hw: tuple[int, int]) -> MaskProposal:
        """Unpack it on a frame of this size."""
        x0, y0, x1, y1 = (int(v) for v in self.box_xyxy)
        shape = (y1 + 1 - y0, x1 + 1 - x0)
        bits = np.unpackbits(np.frombuffer(zlib.decompress(self.packed), np.uint8), count=shape[0] * shape[1])
        mask = np.zeros(size_hw, np.bool_)
        mask[y0 : y1 + 1, x0 : x1 + 1] = bits.reshape(shape)
        mask.setflags(write=False)
        score = float(np.clip(self.score, 0, 1))
        return MaskProposal(mask, self.box_xyxy.astype(np.float32), score, self.stability, self.point_xy)


@runtime_checkable
class CandidateSegmenter(Protocol):
    """What a segmenter also has that knows several masks for an ambiguous point: part, whole, what is around.

    Its ``info.has_candidates`` is True.
    """

    def candidates(self, embedding: Any, points_xy: FloatArray, config: ProposalConfig) -> list[Candidate]:
        """All masks for each of (n, 2) points asked about alone.

        Args:
            embedding: one item that ``encode`` returned.
            points_xy: on its frame.
            config: whose score and stability thresholds are applied.

        Returns:
            The masks that pass both and are not empty, by points, then in the network's order.
        """
        ...


def propose_masks(
    frame_rgb: UInt8Array, segmenter: PromptableSegmenter, config: ProposalConfig | None = None
) -> list[MaskProposal]:
    """Masks of whatever the frame shows.

    Args:
        frame_rgb: (h, w, 3) uint8 RGB.
        segmenter: a :class:`CandidateSegmenter`, or a view of one, gives all its masks for each point, any other one its
            single mask.
        config: default: :class:`ProposalConfig`'s own values. How a segmenter's scores relate to them is its own matter.

    Returns:
        At most ``config.max_masks`` of them, best score first; they may overlap. The list is empty when nothing
        passes.

    Raises:
        VideoError: the frame has another shape or type, or no pixel.
        BackendError: from the segmenter.
    """
    config = config or ProposalConfig()
    size_hw = _checked_size(frame_rgb)
    embedding = segmenter.encode(frame_rgb[None])[0]
    found: list[Candidate] = []
    points_xy = grid_points(size_hw, config.points_per_side)
    for start in range(0, len(points_xy), config.batch):
        asked_xy = points_xy[start : start + config.batch]
        if segmenter.info.has_candidates:
            found += cast(CandidateSegmenter, innermost(segmenter)).candidates(embedding, asked_xy, config)
        else:
            found += single_masks(segmenter, embedding, asked_xy, config, size_hw)
    if not found:
        return []
    boxes, scores = np.stack([c.box_xyxy for c in found]), np.array([c.score for c in found])
    kept = distinct_boxes(boxes, scores, config.nms_threshold, config.max_masks)
    return [found[k].proposal(size_hw) for k in kept]


def grid_points(size_hw: tuple[int, int], points_per_side: int) -> FloatArray:
    """(n * n, 2) float32 centres of the frame's division into n x n equal parts, row by row.

    As in the official program, they are at (i + 0.5) / n of width and height, and taken for pixel coordinates as they are: half
    a pixel further than the centres themselves.
    """
    shares = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(shares * size_hw[1], shares * size_hw[0])
    return np.stack([x, y], -1).reshape(-1, 2).astype(np.float32)


def is_likely(scores: FloatArray, config: ProposalConfig) -> BoolArray:
    """Where predicted IoU, of any shape, exceeds the threshold; everywhere when that is 0, as networks may predict less."""
    return np.asarray((scores > config.score_threshold) | (config.score_threshold == 0))


def stability_of(num_surely: IntArray, num_possibly: IntArray) -> npt.NDArray[np.float64]:
    """How little masks change when the limit of their logits, 0, is moved up and down by the offset.

    Args:
        num_surely: (n,) pixels with a logit greater than the offset.
        num_possibly: (n,) pixels with a logit greater than minus the offset.

    Returns:
        (n,) float64: the IoU of the two masks, of which one contains the other; 0 where both are empty.
    """
    out = np.zeros(np.shape(num_surely))
    np.divide(num_surely, num_possibly, out=out, where=np.asarray(num_possibly) > 0)
    return out


def distinct_boxes(boxes_xyxy: IntArray, scores: FloatArray, threshold: float, most: int) -> list[int]:
    """Greedy non-maximum suppression: positions of boxes of which no two are nearly the same.

    Args:
        boxes_xyxy: (n, 4) first and last pixels.
        scores: (n,); of two boxes the one with the better score stays, with equal ones the earlier.
        threshold: IoU above which two boxes are one, from 0 to 1.
        most: so many at most.

    Returns:
        Best score first.
    """
    order = np.argsort(-scores, kind="stable")
    kept: list[int] = []
    while len(order) and len(kept) < most:
        best, rest = order[0], order[1:]
        kept.append(int(best))
        order = rest[_box_iou(boxes_xyxy[best], boxes_xyxy[rest]) <= threshold]
    return kept


def _box_iou(box: IntArray, others: IntArray) -> npt.NDArray[np.float64]:
    """IoU of a (4,) box with (n, 4) others, measured between the first and last pixels as the official program does.

    So a box one pixel wide has no area; it is the same as an equal one and as no other.
    """
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    shared = np.maximum(sides, 0).prod(1)
    union = (box[2:] - box[:2]).prod() + (others[:, 2:] - others[:, :2]).prod(1) - shared
    iou = np.asarray((others == box).all(1), np.float64)
    np.divide(shared, union, out=iou, where=union > 0)
    return iou


def _checked_size(frame: UInt8Array) -> tuple[int, int]:
    if not isinstance(frame, np.ndarray) or frame.dtype != np.uint8 or frame.ndim != 3 or frame.shape[2] != 3 or not frame.size:
        got = f"shape {frame.shape}, {frame.dtype}" if isinstance(frame, np.ndarray) else type(frame).__name__
        raise VideoError(f"propose_masks got a frame of {got}; expected (h, w, 3) uint8 RGB with pixels: pass one frame.")
    return frame.shape[0], frame.shape[1]


def single_masks(
    segmenter: PromptableSegmenter, embedding: Any, points_xy: FloatArray, config: ProposalConfig, size_hw: tuple[int, int]
) -> Iterator[Candidate]:
    """What :meth:`CandidateSegmenter.candidates` promises, of a segmenter with one mask a point."""
    together = max(1, _MOST_LOGITS // (size_hw[0] * size_hw[1]))
    for start in range(0, len(points_xy), together):
        yield from _answered(segmenter, embedding, points_xy[start : start + together], config)


def _answered(
    segmenter: PromptableSegmenter, embedding: Any, points_xy: FloatArray, config: ProposalConfig
) -> Sequence[Candidate]:
    nobody = np.zeros(1, np.bool_)  # has put the points there: a mask may leave them out
    asked = [ObjectPrompt(k + 1, xy[None], np.ones(1, np.bool_), is_certain=nobody) for k, xy in enumerate(points_xy)]
    candidates = []
    for answer, xy in zip(segmenter.decode(embedding, asked), points_xy, strict=True):
        assert answer.logits is not None, "full-size logits are asked for"
        if not is_likely(np.array(answer.score), config):
            continue
        surely, possibly = (np.count_nonzero(answer.logits > limit * config.stability_offset) for limit in (1, -1))
        stability = float(stability_of(np.array(surely), np.array(possibly)))
        mask = np.asarray(answer.logits > 0)
        box = box_of_mask(mask)
        if stability >= config.stability_threshold and box is not None:
            candidates.append(Candidate.of(mask, box, answer.score, stability, xy))
    return candidates
