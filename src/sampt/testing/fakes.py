"""Backends that know the result: for testing everything around them, and as the standard that the contracts hold.

They recognise a frame by its pixels, so they work on any view of a scene's video that leaves the pixels as they are: a window,
every second frame, the time-reversed copy.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from sampt.checks import shape_repr
from sampt.errors import BackendError
from sampt.geometry import find_mask_box, mask_at
from sampt.proposers.base import Proposal, ProposerFrame, ProposerInfo
from sampt.segmenters.base import SegmenterInfo
from sampt.testing.rendering import Anchors, Scene
from sampt.trackers.base import CausalTracker, FrameSource, TrackerInfo, TrackerStream, TrackStep
from sampt.types import BoolArray, FloatArray, MaskPrediction, ObjectPrompt, Points, QueryMask, Tracks, UInt8Array

__all__ = [
    "ExactProposer",
    "ExactSegmenter",
    "ExactStreamTracker",
    "ExactTracker",
    "FrameFinder",
    "KnownClip",
    "RecordedClip",
    "SegmenterCall",
]

_LOGIT = 8.0
_LOW_RES_SIDE = 4  # frame pixels per low-resolution pixel


class KnownClip(Protocol):
    """Frames whose object masks are known; a :class:`Scene` is one."""

    @property
    def num_frames(self) -> int: ...
    def frame(self, frame_idx: int) -> UInt8Array: ...
    def masks(self, frame_idx: int) -> BoolArray: ...


@dataclass(frozen=True, eq=False)
class RecordedClip:
    """A clip from arrays: ``frames`` (t, h, w, 3) uint8 and ``object_masks`` (t, m, h, w) bool."""

    frames: UInt8Array
    object_masks: BoolArray

    __repr__ = shape_repr

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    def frame(self, frame_idx: int) -> UInt8Array:
        return np.asarray(self.frames[frame_idx])

    def masks(self, frame_idx: int) -> BoolArray:
        return np.asarray(self.object_masks[frame_idx])


class FrameFinder:
    """Tells which frame of which clip an image is. Every clip is rendered once, at the first use.

    Args:
        clips: where to look.
    """

    def __init__(self, clips: Sequence[KnownClip]) -> None:
        self._clips = clips
        self._locations: dict[bytes, list[tuple[int, int]]] = {}

    def find(self, frame: UInt8Array, expected: tuple[int, int] | None = None) -> tuple[int, int]:
        """Clip and frame index of an image. Of several equal images: the one nearest to ``expected``, else the first.

        Raises:
            BackendError: it is no frame of the clips.
        """
        if not self._locations:
            self._signature()
        found = self._locations.get(_digest(frame))
        if found is None:
            raise BackendError(
                f"An exact fake got a frame of shape {frame.shape} that none of its {len(self._clips)} clips has; expected"
                " their frames with unchanged pixels: give the fake the scene that the video shows, and do not resize it."
            )
        if expected is None:
            return found[0]
        return min(found, key=lambda location: (location[0] != expected[0], abs(location[1] - expected[1])))

    def find_in_order(self, frames: Iterable[UInt8Array]) -> list[tuple[int, int]]:
        """Clip and frame index of images in the order of time; equal images are distinguished by going on evenly."""
        locations: list[tuple[int, int]] = []
        for frame in frames:
            locations.append(self.find(frame, _going_on(locations)))
        return locations

    def _signature(self) -> None:
        for k, clip in enumerate(self._clips):
            for i in range(clip.num_frames):
                self._locations.setdefault(_digest(clip.frame(i)), []).append((k, i))


def _going_on(locations: Sequence[tuple[int, int]]) -> tuple[int, int] | None:
    """The location that comes next when the last step is repeated; None before the first one."""
    if not locations:
        return None
    step = locations[-1][1] - locations[-2][1] if len(locations) > 1 else 0
    return locations[-1][0], locations[-1][1] + step


def _digest(frame: UInt8Array) -> bytes:
    return hashlib.blake2b(frame.tobytes(), digest_size=16, person=str(frame.shape).encode()[:16]).digest()


class ExactTracker:
    """A whole-clip tracker that gives a scene's exact tracks, or exactly known errors.

    Args:
        scenes: the scenes whose videos it may be given.
        jitter_px: standard deviation of normal noise on each coordinate.
        dropout: probability that a visible point is called hidden.
        rng: needed by the two above. Neither touches a point on its prompt frame.

    Raises:
        BackendError: (``track``) a frame belongs to no scene, or the frames to several.
    """

    def __init__(
        self, *scenes: Scene, jitter_px: float = 0.0, dropout: float = 0.0, rng: np.random.Generator | None = None
    ) -> None:
        if (jitter_px or dropout) and rng is None:
            raise BackendError(
                f"ExactTracker got jitter_px={jitter_px}, dropout={dropout} and no rng; give it an rng for noise."
            )
        self._scenes = scenes
        self._finder = FrameFinder(scenes)
        self._jitter_px, self._dropout, self._rng = jitter_px, dropout, rng

    @property
    def info(self) -> TrackerInfo:
        return TrackerInfo("exact", "Apache-2.0", None, is_causal=False)

    def track(self, video: FrameSource, points: Points, query_masks: Sequence[QueryMask] | None = None) -> Tracks:
        """See :meth:`sampt.trackers.base.PointTracker.track`."""
        locations = self._finder.find_in_order(video.read(i, i + 1)[0] for i in range(video.num_frames))
        if len({clip for clip, _ in locations}) > 1:
            raise BackendError("ExactTracker got frames of several scenes in one video; expected one scene.")
        scene = self._scenes[locations[0][0]]
        on_scene = np.array([locations[i][1] for i in points.frame_idx], np.int64)
        exact = scene.point_positions(points.with_frames(on_scene))
        rows = [i for _, i in locations]
        return self._disturb(points, exact.xy[rows], exact.visible[rows])

    def _disturb(self, points: Points, xy: FloatArray, visible: BoolArray) -> Tracks:
        own = (points.frame_idx, np.arange(len(points)))
        xy, seen = xy.copy(), visible.copy()
        if self._rng is not None:
            xy += self._rng.normal(0, self._jitter_px, xy.shape).astype(np.float32)
            seen &= self._rng.random(seen.shape) >= self._dropout
        xy[own], seen[own] = points.xy, True
        return Tracks(points, xy, seen)


class ExactStreamTracker(CausalTracker):
    """The exact tracker as a causal one: frames go in one by one, forward or backward.

    Args:
        scenes: the scenes whose frames it may be given.
    """

    def __init__(self, *scenes: Scene) -> None:
        self._scenes = scenes
        self._finder = FrameFinder(scenes)

    @property
    def info(self) -> TrackerInfo:
        return TrackerInfo("exact-stream", "Apache-2.0", None, is_causal=True)

    def stream(self) -> TrackerStream:
        return _ExactStream(self._scenes, self._finder)


class _ExactStream(TrackerStream):
    def __init__(self, scenes: Sequence[Scene], finder: FrameFinder) -> None:
        self._scenes, self._finder = scenes, finder
        self._locations: list[tuple[int, int]] = []
        self._anchors = Anchors(np.zeros(0, np.int64), np.zeros((0, 2)))

    def push(self, frame: UInt8Array) -> TrackStep:
        self._locations.append(self._finder.find(frame, _going_on(self._locations)))
        clip, frame_idx = self._locations[-1]
        xy, visible = self._scenes[clip].location(self._anchors, frame_idx)
        return TrackStep(xy.astype(np.float32), visible, visible.astype(np.float32))

    def add(self, xy: FloatArray) -> None:
        if not self._locations:
            raise BackendError("ExactStreamTracker got points before any frame; push the frame that they lie on first.")
        clip, frame_idx = self._locations[-1]
        new = self._scenes[clip].anchor(frame_idx, xy)
        self._anchors = Anchors(
            np.concatenate([self._anchors.layer_idx, new.layer_idx]), np.concatenate([self._anchors.uv, new.uv])
        )


@dataclass(frozen=True, eq=False)
class SegmenterCall:
    """What :class:`ExactSegmenter` was prompted with once: the prompt's fields, clip and frame, and the object it chose (or
    None)."""

    clip_idx: int
    frame_idx: int
    object_id: int
    xy: FloatArray
    is_positive: BoolArray
    is_certain: BoolArray
    box_xyxy: FloatArray | None
    has_mask_logits: bool
    full_size: bool
    chosen_id: int | None

    __repr__ = shape_repr


class ExactSegmenter:
    """A segmenter that predicts the exact mask of the object that the prompt means.

    That is the object with the most votes: each positive point on its mask counts 1, each negative one -1, ties go to the
    smaller id. Without points on any object, the box decides by its IoU with the objects' boxes. Meant is nothing (an empty
    mask with score 0) when no object has more than 0. Logits are +8 and -8; the low resolution is a quarter of the frame.

    Args:
        clips: the scenes (or :class:`RecordedClip`) whose frames it may be given.
        score: predicted IoU of every found object: a number, or a function of frame index and the found object's id.

    Attributes:
        calls: every prompt so far, in order.
    """

    def __init__(self, *clips: KnownClip, score: float | Callable[[int, int], float] = 1.0) -> None:
        self._clips = clips
        self._finder = FrameFinder(clips)
        self._score = score
        self.calls: list[SegmenterCall] = []

    @property
    def info(self) -> SegmenterInfo:
        return SegmenterInfo("exact", "Apache-2.0", None, encode_batch=4)

    def encode(self, frames: UInt8Array) -> list[tuple[int, int]]:
        """The clip and frame index of each of (b, h, w, 3) frames.

        Raises:
            BackendError: a frame belongs to no clip.
        """
        return [self._finder.find(frame) for frame in frames]

    def decode(
        self, embedding: tuple[int, int], prompts: Sequence[ObjectPrompt], *, full_size: bool = True
    ) -> list[MaskPrediction]:
        """See :meth:`sampt.segmenters.base.PromptableSegmenter.decode`."""
        clip_idx, frame_idx = embedding
        masks = self._clips[clip_idx].masks(frame_idx) if prompts else np.zeros((0, 0, 0), np.bool_)
        return [self._predict_one(clip_idx, frame_idx, masks, prompt, full_size) for prompt in prompts]

    def _predict_one(
        self, clip_idx: int, frame_idx: int, masks: BoolArray, prompt: ObjectPrompt, full_size: bool
    ) -> MaskPrediction:
        chosen = _meant(masks, prompt)
        self.calls.append(
            SegmenterCall(
                clip_idx=clip_idx,
                frame_idx=frame_idx,
                object_id=prompt.object_id,
                xy=prompt.xy,
                is_positive=prompt.is_positive,
                is_certain=prompt.is_certain,
                box_xyxy=prompt.box_xyxy,
                has_mask_logits=prompt.mask_logits is not None,
                full_size=full_size,
                chosen_id=chosen,
            )
        )
        mask = np.asarray(masks[chosen - 1]) if chosen else np.zeros(masks.shape[1:], np.bool_)
        score = 0.0 if chosen is None else self._score(frame_idx, chosen) if callable(self._score) else self._score
        logits = np.where(mask, _LOGIT, -_LOGIT).astype(np.float32)
        h, w = logits.shape
        low = cv2.resize(logits, (-(-w // _LOW_RES_SIDE), -(-h // _LOW_RES_SIDE)), interpolation=cv2.INTER_AREA)
        box = find_mask_box(mask) if mask.sum() > 1 else None
        return MaskPrediction(prompt.object_id, score, low, box, logits if full_size else None)


def _meant(masks: BoolArray, prompt: ObjectPrompt) -> int | None:
    """The id of the object that a prompt means, from 1, or None."""
    if not len(masks):
        return None
    signs = np.where(prompt.is_positive, 1, -1)
    votes = np.array([float((signs * mask_at(mask, prompt.xy)).sum()) for mask in masks])
    if not votes.any() and prompt.box_xyxy is not None:
        votes = np.array([_box_iou(find_mask_box(mask), prompt.box_xyxy) for mask in masks])
    return int(votes.argmax()) + 1 if votes.max() > 0 else None


def _box_iou(box: FloatArray | None, other: FloatArray) -> float:
    """IoU of two boxes of first and last pixels, inclusive; 0 for no box."""
    if box is None:
        return 0.0
    sides = np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]) + 1
    shared = float(np.prod(np.maximum(sides, 0)))
    areas = [float(np.prod(b[2:] - b[:2] + 1)) for b in (box, other)]
    return shared / max(sum(areas) - shared, 1e-9)


class ExactProposer:
    """Proposes what clips show of their objects, each with the same score.

    Args:
        *clips: scenes or recorded clips.
        labels: what the objects are called, in their order.
        min_pixels: smaller visible parts are not proposed.
    """

    def __init__(self, *clips: KnownClip, labels: Sequence[str] = (), min_pixels: int = 1) -> None:
        self.info = ProposerInfo("exact", "Apache-2.0", None, has_labels=bool(labels), source="for tests")
        self._clips, self._labels, self._min_pixels = clips, labels, min_pixels
        self._finder = FrameFinder(clips)

    def propose(self, frame: ProposerFrame) -> list[Proposal]:
        """See :meth:`~sampt.proposers.base.Proposer.propose`."""
        clip, frame_idx = self._finder.find(frame.image)
        found = []
        for k, mask in enumerate(self._clips[clip].masks(frame_idx)):
            if np.count_nonzero(mask) >= self._min_pixels:
                own = mask.copy()
                own.setflags(write=False)
                found.append(Proposal(own, 0.9, self._labels[k] if self._labels else None))
        return found
