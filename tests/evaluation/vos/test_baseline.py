"""The flow-only baseline on motion that is known."""

from __future__ import annotations

import cv2
import numpy as np

from sampt.evaluation.vos.baseline import carry_by_flow
from sampt.evaluation.vos.jf import jaccard


class Clip:
    """Frames that are already in memory."""

    def __init__(self, frames: np.ndarray) -> None:
        self.frames = frames

    @property
    def num_frames(self) -> int:
        return len(self.frames)

    @property
    def size_hw(self) -> tuple[int, int]:
        return self.frames.shape[1], self.frames.shape[2]

    def read(self, start: int, stop: int) -> np.ndarray:
        return self.frames[start:stop]


def panning_clip(num_frames: int, step_xy: tuple[int, int]) -> Clip:
    """A window of 128 x 96 pixels of one smooth texture, whose contents move by ``step_xy`` a frame."""
    noise = np.random.default_rng(3).uniform(0, 255, (200, 240, 3)).astype(np.float32)
    texture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 2), None, 0, 255, cv2.NORM_MINMAX).astype(np.uint8)
    corners = [(50 - i * step_xy[1], 50 - i * step_xy[0]) for i in range(num_frames)]
    return Clip(np.stack([texture[y : y + 96, x : x + 128] for y, x in corners]))


def test_objects_move_with_the_image_and_keep_their_ids() -> None:
    first = np.zeros((96, 128), np.int64)
    first[20:50, 20:50], first[40:70, 70:90] = 4, 2
    maps = list(carry_by_flow(panning_clip(7, (3, 2)), first))
    assert len(maps) == 7
    assert np.array_equal(maps[0], first)
    expected = np.roll(first, (12, 18), (0, 1))  # six steps of 3 right and 2 down; nothing reaches the border
    assert set(np.unique(maps[-1])) == {0, 2, 4}
    assert all(jaccard(maps[-1] == i, expected == i) > 0.9 for i in (2, 4))
    assert all(jaccard(maps[-1] == i, first == i) < 0.35 for i in (2, 4))


def test_what_enters_the_frame_belongs_to_nobody() -> None:
    first = np.ones((96, 128), np.int64)
    last = list(carry_by_flow(panning_clip(6, (4, 0)), first))[-1]
    assert last[:, 24:].all()
    assert last[8:-8, :12].mean() < 0.1  # 20 columns came in from the left


def test_no_object_gives_empty_maps() -> None:
    assert not np.any(list(carry_by_flow(panning_clip(3, (1, 1)), np.zeros((96, 128), np.int64))))
