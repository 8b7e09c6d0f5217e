"""Frames are known by their content."""

from __future__ import annotations

import numpy as np

from sampt.trackers.frame_key import frame_key


def test_keys_are_those_of_pixels_and_size() -> None:
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert frame_key(frame) == frame_key(frame[::-1][::-1]) == frame_key(frame.copy())
    assert frame_key(frame) != frame_key(frame.reshape(6, 4, 3))
    changed = frame.copy()
    changed[3, 5, 2] += 1
    assert frame_key(frame) != frame_key(changed)
