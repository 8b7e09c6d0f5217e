"""What waits on disk comes back as it was."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sampt.masks.merge import ObjectMask
from sampt.masks.spool import Shelf, Spool, Waiting
from sampt.types import FramePoints, ObjectState


def waiting(seed: int) -> Waiting:
    rng = np.random.default_rng(seed)
    logits = rng.normal(size=(int(rng.integers(5, 60)), 7)).astype(np.float32)
    objects = [ObjectMask(1, ObjectState.PRESENT, 0.5, logits, (seed, 2)), ObjectMask(2, ObjectState.RETIRED)]
    n = int(rng.integers(1, 5))
    row = FramePoints(
        np.arange(n) - n,
        np.ones(n, np.int64),
        np.ones(n, bool),
        rng.normal(size=(n, 2)).astype(np.float32),
        np.ones(n, np.float32),
        np.zeros(n, np.uint8),
    )
    return objects, [row]


def assert_same(one: Waiting, two: Waiting) -> None:
    for a, b in zip(one[0], two[0], strict=True):
        assert (a.object_id, a.state, a.origin_yx, a.is_given) == (b.object_id, b.state, b.origin_yx, b.is_given)
        assert np.array_equal([a.score], [b.score], equal_nan=True)
        assert (a.logits is None) == (b.logits is None)
        assert a.logits is None or np.array_equal(a.logits, b.logits)
    for p, q in zip(one[1], two[1], strict=True):
        assert np.array_equal(p.xy, q.xy)
        assert np.array_equal(p.point_id, q.point_id)


def test_frames_come_back_in_any_order() -> None:
    spool = Spool()
    for i in range(20, -1, -1):
        spool.put(i, waiting(i))
        if i == 10:  # reading in between does not disturb writing
            assert_same(spool.take(15), waiting(15))
    for i in (0, 20, 7, 19):
        assert_same(spool.take(i), waiting(i))
    spool.close()


def test_a_frame_is_taken_once_and_the_last_word_counts() -> None:
    spool = Spool()
    spool.put(3, waiting(1))
    spool.put(3, waiting(2))
    assert_same(spool.take(3), waiting(2))
    assert spool.take(3) == ([], [])
    assert spool.take(99) == ([], [])
    spool.close()


def test_closing_gives_the_file_back() -> None:
    spool = Spool()
    spool.put(0, waiting(0))
    spool.close()
    with pytest.raises(ValueError, match=r"closed file"):
        spool.take(0)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="open files are counted as Linux shows them")
def test_a_shelf_keeps_so_many_bytes_in_memory_and_gives_all_values_back() -> None:
    before = open_files()
    shelf: Shelf[int, np.ndarray] = Shelf(10_000, lambda value: value.nbytes)
    values = {i: np.full(1000, i, np.uint8) for i in range(35)}
    for key, value in values.items():
        shelf.put(key, value)
        assert sum(v.nbytes for v, _ in shelf._near.values()) <= 10_000
    assert open_files() - before == len({id(batch) for batch, _, _ in shelf._far.values()}) > 2
    shelf.put(3, np.full(1000, 99, np.uint8))  # the last word counts, wherever the first one is
    values[3] = np.full(1000, 99, np.uint8)
    assert shelf.get(40) is None
    for key in (20, 3, 34, 0):
        found = shelf.get(key)
        assert found is not None
        assert np.array_equal(found, values[key])
    for key, value in values.items():
        found = shelf.take(key)
        assert found is not None
        assert np.array_equal(found, value)
        assert shelf.take(key) is None
    assert open_files() == before
