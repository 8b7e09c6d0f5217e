"""A small result with known masks, and points of every kind."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sampt.exporters.base import ExportContext, ExportFrame, object_named
from sampt.types import FrameMasks, FramePoints, HiddenBy, ObjectState
from sampt.video.array import ArrayVideo

HEIGHT, WIDTH = 48, 85  # odd width, so that a row is no whole number of bytes


def make_points(num_points: int = 3) -> FramePoints:
    n = num_points
    return FramePoints(
        np.arange(n) + 10,
        np.full(n, 1),
        np.arange(n) % 2 == 0,
        np.stack([np.linspace(5.25, 70.5, n), np.linspace(3.125, 40.75, n)], 1),
        np.linspace(0.1, 0.9, n),
        np.where(np.arange(n) == n - 1, HiddenBy.TRACKER, HiddenBy.NONE),
    )


def make_result(frame_idx: int = 0, points: FramePoints | None = None) -> FrameMasks:
    """Object 1: a rectangle that moves right; object 2: one pixel in the last corner; object 7: absent, never prompted."""
    masks = np.zeros((3, HEIGHT, WIDTH), np.bool_)
    masks[0, 10:20, 5 + frame_idx : 35 + frame_idx] = True
    masks[1, -1, -1] = True
    scores = np.array([0.1 + frame_idx / 7, 1.0, np.nan], np.float32)
    states = [ObjectState.PRESENT, ObjectState.PRESENT, ObjectState.NO_VISIBLE_POINT]
    return FrameMasks(frame_idx, [1, 2, 7], masks, scores, states, make_points() if points is None else points)


def make_frame(seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (HEIGHT, WIDTH, 3), np.uint8)


@pytest.fixture
def video() -> ArrayVideo:
    return ArrayVideo([make_frame(i) for i in range(5)], fps=10.0)


def block(path: Path) -> None:
    """Make every write to ``path.partial`` fail with "No space left on device"."""
    path.with_name(path.name + ".partial").symlink_to("/dev/full")


def names_in(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file() or p.is_symlink()}


class _Named(ArrayVideo):
    """One frame under any name, at any time."""

    name, shown_s, lasts_s = "0", None, None

    def frame_name(self, frame_idx: int) -> str:
        return self.name

    def time_s(self, frame_idx: int) -> float:
        return super().time_s(frame_idx) if self.shown_s is None else self.shown_s

    def duration_s(self, frame_idx: int) -> float:
        return super().duration_s(frame_idx) if self.lasts_s is None else self.lasts_s


def shown(result, name="0", image=None, *, fps=10.0, time_s=None, duration_s=None) -> ExportFrame:
    """A result as writers are given it; ``image`` is grey when left out."""
    size_hw = result.masks.shape[1:]
    video = _Named(np.zeros((1, *size_hw, 3), np.uint8), fps=fps)
    video.name, video.shown_s, video.lasts_s = name, time_s, duration_s
    return ExportFrame(result, video, np.full((*size_hw, 3), 128, np.uint8) if image is None else image)


def context(video=None, object_ids=(1, 2, 7), *, fps=10.0, size_hw=(HEIGHT, WIDTH), num_frames=None) -> ExportContext:
    """Of ``video``, or of one of this size."""
    video = ArrayVideo(np.zeros((1, *size_hw, 3), np.uint8), fps=fps) if video is None else video
    return ExportContext(video, [object_named(i) for i in object_ids], num_frames=num_frames)


class Kit:
    """What tests of files that a run writes share; the conftest.py of their folders brings it in."""

    size_hw = (HEIGHT, WIDTH)
    result = staticmethod(make_result)
    frame = staticmethod(make_frame)
    points = staticmethod(make_points)
    block = staticmethod(block)
    names_in = staticmethod(names_in)
    shown = staticmethod(shown)
    context = staticmethod(context)


@pytest.fixture
def kit() -> type[Kit]:
    return Kit
