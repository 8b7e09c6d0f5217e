"""Writing behind the computation: what was handed over is written, whatever happens elsewhere."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
import pytest

from sampt.runs.writing import WriteBehind
from sampt.types import FrameMasks, ObjectState

FRAME = np.zeros((4, 6, 3), np.uint8)


def masks(frame_idx: int) -> FrameMasks:
    return FrameMasks(
        frame_idx, np.array([1]), np.ones((1, 4, 6), np.bool_), np.ones(1, np.float32), np.array([ObjectState.PRESENT])
    )


def test_frames_before_an_error_elsewhere_are_all_written_in_order() -> None:
    written: list[int] = []

    def write(_: Any, frame_masks: FrameMasks) -> None:
        time.sleep(0.05)
        written.append(frame_masks.frame_idx)

    with pytest.raises(RuntimeError, match="unplugged"), WriteBehind(write) as writer:
        for k in range(4):
            writer.put(FRAME, masks(k))
        raise RuntimeError("unplugged")
    assert written == [0, 1, 2, 3]


def test_after_a_frame_that_could_not_be_written_none_is() -> None:
    written: list[int] = []

    def write(_: Any, frame_masks: FrameMasks) -> None:
        time.sleep(0.02)
        if frame_masks.frame_idx == 1:
            raise OSError("disk full")
        written.append(frame_masks.frame_idx)

    with pytest.raises(OSError, match="disk full"), WriteBehind(write) as writer:
        for k in range(4):
            writer.put(FRAME, masks(k))
    assert written == [0]
