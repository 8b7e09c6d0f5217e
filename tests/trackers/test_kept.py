"""What is kept of frames: by content, within bytes."""

from __future__ import annotations

import numpy as np

from sampt.trackers.kept import Kept, frame_key


def test_keys_are_those_of_pixels_and_size() -> None:
    frame = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    assert frame_key(frame) == frame_key(frame[::-1][::-1]) == frame_key(frame.copy())
    assert frame_key(frame) != frame_key(frame.reshape(6, 4, 3))
    changed = frame.copy()
    changed[3, 5, 2] += 1
    assert frame_key(frame) != frame_key(changed)


def test_what_was_asked_for_longest_ago_makes_way() -> None:
    kept: Kept[str] = Kept(100)
    for name in "abc":
        kept.put(name, name.upper(), 30)
    assert kept.get("a") == "A"
    assert kept.put("d", "D", 30) == "D"
    assert [kept.get(name) for name in "abcd"] == ["A", None, "C", "D"]


def test_one_value_may_be_larger_and_a_new_one_replaces_the_old() -> None:
    kept: Kept[int] = Kept(10)
    kept.put("a", 1, 50)
    assert (kept.get("a"), len(kept)) == (1, 1)
    kept.put("b", 2, 4)
    assert (kept.get("a"), kept.get("b")) == (None, 2)
    kept.put("b", 3, 6)
    kept.put("c", 4, 4)
    assert [kept.get(name) for name in "bc"] == [3, 4]
