"""A short run of settings on a clip made on the spot, whose exact masks are known."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np

from sampt.config import SegmentConfig
from sampt.pipeline.segment import segment_video
from sampt.runs.backends import make_backends
from sampt.runs.job import RunOptions
from sampt.testing.aquarium import demo_scene
from sampt.testing.rendering import SceneVideo
from sampt.types import QueryMask
from sampt.video.array import ArrayVideo
from sampt.weights import no_downloads

__all__ = ["SelfTest", "run_self_test"]

_NUM_FRAMES = (2, 8)
"""The longer clip only where the shorter one says that it ends within ``_MAX_S``."""
_MAX_S = 10.0
_SIZE_HW = (180, 320)
_MIN_IOU = 0.6
"""Of each object, mean over the frames. `nano` reaches 0.8 and more; masks of random weights stay far below."""


@dataclass(frozen=True)
class SelfTest:
    """What came of it.

    Attributes:
        num_frames: segmented after the first one, whose masks were given.
        size_hw: of the frames.
        iou: (objects,) mean intersection over union with the exact masks.
        seconds_ready: until the networks were loaded.
        seconds: of the segmentation.
        passed: every object's IoU is high enough.
    """

    num_frames: int
    size_hw: tuple[int, int]
    iou: tuple[float, ...]
    seconds_ready: float
    seconds: float
    passed: bool

    @property
    def frames_per_second(self) -> float:
        """Of the segmentation, with what is done once for a clip."""
        return self.num_frames / self.seconds


def run_self_test(config: SegmentConfig, *, device: str = "auto") -> SelfTest:
    """Segment the three fish of the demo's clip, small and short, from their first masks. Nothing is downloaded.

    Raises:
        BackendError: weights are not at hand, or a package is missing.
    """
    scene = demo_scene(size_hw=_SIZE_HW)
    queries = [QueryMask(o, 0, mask) for o, mask in enumerate(scene.masks(0), 1)]
    frames = SceneVideo(scene).read(0, _NUM_FRAMES[-1] + 1)  # rendered before the clock starts
    start = time.perf_counter()
    with no_downloads("a self-test fetches nothing"):
        tracker, segmenter = make_backends(config, RunOptions(device=device))
    seconds_ready = time.perf_counter() - start
    for i, num_frames in enumerate(_NUM_FRAMES):
        start = time.perf_counter()
        clip = ArrayVideo(frames[: num_frames + 1])
        results = list(segment_video(clip, queries, config=config, tracker=tracker, segmenter=segmenter))
        seconds = time.perf_counter() - start
        if i + 1 == len(_NUM_FRAMES) or seconds * _NUM_FRAMES[i + 1] / num_frames > _MAX_S:
            break
    iou = np.array([_iou(result.masks, scene.masks(result.frame_idx)) for result in results[1:]]).mean(0)
    passed = len(results) == num_frames + 1 and bool((iou >= _MIN_IOU).all())
    return SelfTest(num_frames, _SIZE_HW, tuple(map(float, iou)), seconds_ready, seconds, passed)


def _iou(masks: np.ndarray, gt: np.ndarray) -> np.ndarray:
    """(m,) of (m, h, w) masks; 1 where both are empty."""
    common, either = (masks & gt).sum((1, 2)), (masks | gt).sum((1, 2))
    return np.asarray(np.where(either > 0, common / np.maximum(either, 1), 1.0))
