"""A result that is hard to export: odd size, ragged and overlapping masks, single pixels, gaps, an object that never comes."""

from __future__ import annotations

import importlib
import os
import warnings
from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np
import pytest

from sampt.errors import OutputError
from sampt.exporters.base import ExportObject
from sampt.exporters.registry import export
from sampt.types import FrameMasks, FramePoints, HiddenBy
from sampt.video.array import ArrayVideo
from tests.results import kit as kit
from tests.results import video as video

HEIGHT, WIDTH, NUM_FRAMES = 47, 85, 6
NAMES = {1: 'bee "A" & <b>', 2: "Größe – 蜂 🐝", 5: "it's; a, comma", 9: "never"}


def _masks(frame_idx: int) -> np.ndarray:
    """Object 1: ragged, moves; 2: single pixels in two corners; 5: overlaps 1, absent on frames 2 and 5; 9: absent."""
    masks = np.zeros((4, HEIGHT, WIDTH), np.bool_)
    rng = np.random.default_rng(frame_idx)
    masks[0, 5:30, 3 + frame_idx : 40 + frame_idx] = rng.random((25, 37)) < 0.7
    masks[1, -1, -1] = masks[1, 0, 0] = True
    if frame_idx not in (2, 5):
        masks[2, 20:47, 30:60] = True
    return masks


def _points(frame_idx: int) -> FramePoints:
    xy = [[5.1 + frame_idx, 7.3], [1 / 3, 46.0], [84.0, 0.0]]
    hidden = [HiddenBy.NONE, HiddenBy.TRACKER, HiddenBy.BORDER]
    return FramePoints([3, 4, 8], [1, 1, 5], [True, False, True], xy, [0.1, 0.95, 1.0], hidden)


@dataclass(frozen=True)
class Case:
    """``frames`` of ``video``, and the ``objects`` in them."""

    video: ArrayVideo
    frames: list[FrameMasks]
    objects: list[ExportObject]
    folder: Path

    def export(self, name: str, file_name: str, **changes: Any) -> Path:
        given = replace(self, **changes)
        return export(name, iter(given.frames), given.video, given.objects, self.folder / file_name)

    def mask(self, frame_idx: int, object_id: int) -> np.ndarray:
        frame = self.frames[frame_idx]
        return frame.masks[frame.object_ids.tolist().index(object_id)]

    def files(self) -> set[str]:
        return {path.name for path in self.folder.iterdir()}

    @property
    def name(self) -> dict[int, str]:
        return {item.object_id: item.name for item in self.objects}


@pytest.fixture
def case(tmp_path: Path) -> Case:
    rng = np.random.default_rng(7)
    noise = rng.integers(0, 256, (NUM_FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    video = ArrayVideo([cv2.GaussianBlur(frame, (9, 9), 3) for frame in noise], fps=12.5)
    scores = np.array([0.5, 1.0, 0.25, np.nan], np.float32)
    frames = [FrameMasks(i, list(NAMES), _masks(i), scores, [0, 0, 0, 1], _points(i)) for i in range(NUM_FRAMES)]
    objects = [ExportObject(object_id, name, (object_id, 128, 255)) for object_id, name in NAMES.items()]
    return Case(video, frames, objects, tmp_path)


@pytest.fixture
def failing_frames():
    """Frames that end with an error after the first."""

    def make(case: Case) -> Any:
        yield case.frames[0]
        raise OutputError("the segmentation failed")

    return make


@pytest.fixture
def foreign():
    """Imports a format's own parser. `make parsers` has them, apart from our tools, beside which they do not fit."""

    def load(name: str) -> ModuleType:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            if os.environ.get("SAMPT_PARSERS"):
                return importlib.import_module(name)
            return pytest.importorskip(name, reason=f"{name} is not installed here; `make parsers` runs this test")

    return load
