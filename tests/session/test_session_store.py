"""The file of results: what was written is found again, whatever happens to the end of the file, and memory stays small."""

from __future__ import annotations

import logging
import struct
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sampt.errors import LimitError, OutputError, SamptError
from sampt.masks.merge import ObjectMask, merge_objects
from sampt.session import store as store_module
from sampt.session.store import ResultStore, pack_record, read_summary, unpack_record
from sampt.session.types import NeedsReview, Record
from sampt.types import FramePoints, ObjectState

SIZE = (60, 80)


def points_of(rng: np.random.Generator, n: int, object_id: int) -> FramePoints:
    xy = rng.uniform(0, 60, (n, 2))
    codes = rng.integers(0, 3, n)
    return FramePoints(
        rng.integers(0, 1 << 40, n), np.full(n, object_id), rng.random(n) < 0.7, xy, rng.random(n).astype(np.float32), codes
    )


def record(object_id: int = 1, frame_idx: int = 0, version: int = 0, seed: int = 0) -> Record:
    rng = np.random.default_rng([seed, object_id, frame_idx, version])
    logits = rng.normal(size=(20, 30)).astype(np.float32)
    found = ObjectMask(object_id, ObjectState.PRESENT, 0.75, logits, (7, 9))
    return Record.of(found, frame_idx, bytes([version] * 16), 3, points_of(rng, 5, object_id), SIZE)


def check_same(a: Record, b: Record) -> None:
    assert pack_record(a) == pack_record(b)


def test_a_record_comes_back_from_its_bytes() -> None:
    old = record(object_id=7, frame_idx=123456)
    new = unpack_record(pack_record(old))
    for name in ("object_id", "frame_idx", "digest", "run", "size_hw", "state", "score", "area_px", "rle", "is_given"):
        assert getattr(new, name) == getattr(old, name), name
    np.testing.assert_array_equal(new.mask(), old.mask())
    for name in ("point_id", "object_id", "is_positive", "xy", "hidden_by"):
        np.testing.assert_array_equal(getattr(new.points, name), getattr(old.points, name))
    np.testing.assert_allclose(new.points.confidence, old.points.confidence, atol=1 / 255)
    summary = read_summary(pack_record(old))
    assert (summary.object_id, summary.area_px, summary.num_visible) == (7, int(old.mask().sum()), old.num_visible)
    assert (new.good_probability, np.isnan(summary.good_probability)) == (None, True)


def test_what_is_known_of_a_masks_quality_is_kept_and_an_older_record_has_none() -> None:
    old = replace(record(), good_probability=0.25, reasons=NeedsReview.SHAPE_CHANGE | NeedsReview.FEW_POINTS)
    data = pack_record(old)
    new, summary = unpack_record(data), read_summary(data)
    assert (new.good_probability, new.reasons) == (0.25, old.reasons)
    assert (summary.good_probability, summary.reasons) == (0.25, int(old.reasons))
    older = data[:-6]  # without its last two fields
    assert (unpack_record(older).good_probability, unpack_record(older).reasons) == (None, NeedsReview(0))
    assert np.isnan(read_summary(older).good_probability)


@pytest.mark.parametrize("state", [ObjectState.NO_VISIBLE_POINT, ObjectState.RETIRED, ObjectState.LOW_SCORE])
def test_an_absent_object_has_no_mask(state: ObjectState) -> None:
    old = Record.of(ObjectMask(1, state), 4, bytes(16), 1, FramePoints.concat([]), SIZE)
    new = unpack_record(pack_record(old))
    assert (new.state, new.score, new.rle, new.strength, new.area_px, len(new.points)) == (state, None, None, None, 0, 0)
    assert not new.mask().any()
    assert new.object_mask().logits is None


def test_the_kept_strength_decides_as_the_logits_would_where_they_are_clear() -> None:
    """Two discs overlap; each logit falls off from the disc's middle. Off the line of equal logits, merges agree."""
    y, x = np.mgrid[:60, :80].astype(np.float32)
    objects = []
    for object_id, cx in ((1, 30), (2, 50)):
        logits = 8 - 0.4 * np.hypot(x - cx, y - 30).astype(np.float32)
        objects.append(ObjectMask(object_id, ObjectState.PRESENT, 0.9, logits, (0, 0)))
    exact = merge_objects(0, objects, SIZE, FramePoints.concat([]), overlapping=False, compete=False)
    records = [unpack_record(pack_record(Record.of(o, 0, bytes(16), 1, FramePoints.concat([]), SIZE))) for o in objects]
    kept = merge_objects(0, [r.object_mask() for r in records], SIZE, FramePoints.concat([]), overlapping=False, compete=False)
    assert not kept.masks.all(0).any()
    np.testing.assert_array_equal(kept.masks.any(0), exact.masks.any(0))
    clear = np.abs(x - 40) > 4
    np.testing.assert_array_equal(kept.masks[:, clear], exact.masks[:, clear])


@given(st.binary(max_size=200), st.integers(0, 400), st.booleans())
@settings(max_examples=300, deadline=None)
def test_broken_bytes_are_refused_and_nothing_else(junk: bytes, at: int, is_cut: bool) -> None:
    good = pack_record(record())
    data = good[:at] + junk + (b"" if is_cut else good[at + len(junk) :])
    try:
        again = unpack_record(data)
        again.mask()
        again.object_mask()
    except (LimitError, ValueError, OverflowError, store_module.struct.error, store_module.zlib.error):
        pass


def test_versions_are_found_by_what_they_were_made_from(tmp_path: Path) -> None:
    store = ResultStore(tmp_path / "j")
    for version in range(6):
        store.append(record(version=version))
    assert store.find(1, 0, bytes([0] * 16)) is None  # only the last few are cached
    for version in range(2, 6):
        entry = store.find(1, 0, bytes([version] * 16))
        assert entry is not None
        check_same(store.read(entry), record(version=version))
    newest = store.newest(1, 0)
    assert newest is not None
    assert newest.digest == bytes([5] * 16)
    store.append(record(version=2))
    assert (again := store.newest(1, 0)) is not None
    assert again.digest == bytes([2] * 16)
    for _ in range(5):
        store.append(record(version=2))
    assert store.find(1, 0, bytes([3] * 16)) is not None  # the same again takes no room
    assert store.find(2, 0, bytes(16)) is None
    assert store.newest(1, 1) is None
    store.close()


def filled(path: Path, count: int = 5) -> list[bytes]:
    """A file with that many records, one a frame; their bytes."""
    store = ResultStore(path)
    ends = []
    for frame_idx in range(count):
        store.append(record(frame_idx=frame_idx))
        ends.append(path.stat().st_size)
    store.close()
    data = path.read_bytes()
    begins = [ends[0] - (ends[1] - ends[0]), *ends]
    return [data[a:b] for a, b in zip(begins, ends, strict=False)]


def frames_in(store: ResultStore, count: int = 10) -> list[int]:
    return [f for f in range(count) if store.newest(1, f) is not None]


def check_sound(path: Path, frames: list[int]) -> None:
    """The file opens with results of these frames, takes another one, and opens again with all."""
    for expected in (frames, sorted({*frames, 9})):
        store = ResultStore(path)
        assert frames_in(store) == expected
        for frame_idx in expected:
            entry = store.newest(1, frame_idx)
            assert entry is not None
            check_same(store.read(entry), record(frame_idx=frame_idx))
        if expected == frames:
            store.append(record(frame_idx=9))
        store.close()


def test_a_file_cut_anywhere_holds_all_whole_records(tmp_path: Path) -> None:
    path = tmp_path / "j"
    filled(path, 3)
    data = path.read_bytes()
    sizes = []
    for length in [*range(60), *range(60, len(data), 37), len(data) - 1]:
        path.write_bytes(data[:length])
        store = ResultStore(path)
        sizes.append(len(frames_in(store)))
        store.append(record(frame_idx=9))
        store.close()
        again = ResultStore(path)
        assert frames_in(again) == [*range(sizes[-1]), 9]
        again.close()
    assert sizes == sorted(sizes)
    assert (sizes[0], sizes[-1]) == (0, 2)


@pytest.mark.parametrize("junk", [b"\0" * 5000, b"rec\0" * 50, b"rec\0\xff\xff\xff\x7f1234", b"x", bytes(range(256)) * 40])
def test_garbage_at_the_end_is_cut_off(tmp_path: Path, junk: bytes) -> None:
    path = tmp_path / "j"
    filled(path)
    with path.open("ab") as file:
        file.write(junk)
    check_sound(path, [0, 1, 2, 3, 4])


def test_a_damaged_record_among_good_ones_is_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "j"
    rows = filled(path)
    data = path.read_bytes()
    begin = data.index(rows[2])
    for at in (0, 5, 9, 40, len(rows[2]) - 1):  # magic, length, checksum, payload
        broken = bytearray(data)
        broken[begin + at] ^= 0x55
        path.write_bytes(bytes(broken))
        with caplog.at_level(logging.WARNING):
            check_sound(path, [0, 1, 3, 4])
        assert f"is damaged at byte {begin}; {len(rows[2])} bytes are passed over." in caplog.text
        caplog.clear()


@given(st.lists(st.tuples(st.integers(30, 5000), st.binary(min_size=1, max_size=40)), max_size=4))
@settings(max_examples=60, deadline=None)
def test_a_file_with_any_damage_opens_and_gives_only_what_was_written(
    tmp_path_factory: pytest.TempPathFactory, damage: list[tuple[int, bytes]]
) -> None:
    path = tmp_path_factory.mktemp("store") / "j"
    filled(path)
    data = bytearray(path.read_bytes())
    for at, junk in damage:
        data[at : at + len(junk)] = junk
    path.write_bytes(bytes(data))
    store = ResultStore(path)
    for frame_idx in frames_in(store):
        entry = store.newest(1, frame_idx)
        assert entry is not None
        check_same(store.read(entry), record(frame_idx=frame_idx))
    store.close()


@pytest.mark.parametrize("content", [b"sampt session masks 2\n", b"something else altogether", b"\x89PNG"])
def test_another_file_is_refused_and_left(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "j"
    path.write_bytes(content)
    with pytest.raises(
        OutputError, match=r"^.*j holds no results that this sampt reads; move it away to start without results\.$"
    ):
        ResultStore(path)
    assert path.read_bytes() == content


def test_a_file_changed_behind_its_back_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "j"
    store = ResultStore(path)
    store.append(record())
    with path.open("r+b") as file:
        file.seek(60)
        file.write(b"changed")
    entry = store.newest(1, 0)
    assert entry is not None
    with pytest.raises(OutputError, match=r"has been changed by another program"):
        store.read(entry)
    store.close()
    for late in (lambda: store.read(entry), lambda: store.append(record())):
        with pytest.raises(SamptError, match=r"is closed; open the project again\.$"):
            late()


def test_a_full_disk_costs_the_record_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j"
    store = ResultStore(path)
    store.append(record())

    def full(offset: int, data: bytes) -> None:
        store._file.seek(offset)
        store._file.write(data[:50])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(store, "_write", full)
        with pytest.raises(OutputError, match=r"No space left on device"):
            store.append(record(frame_idx=1))
    assert frames_in(store) == [0]
    store.append(record(frame_idx=2))
    store.close()
    check_sound(path, [0, 2])


def test_an_outdated_file_is_written_anew_when_it_is_opened(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "j"
    store = ResultStore(path)
    for version in range(8):
        for frame_idx in range(4):
            store.append(record(frame_idx=frame_idx, version=version))
    store.close()
    size = path.stat().st_size
    ResultStore(path).close()
    assert path.stat().st_size == size  # not worth it
    monkeypatch.setattr(store_module, "_COMPACT_BYTES", 1000)
    store = ResultStore(path)
    assert path.stat().st_size < size / 6
    for frame_idx in range(4):
        entry = store.find(1, frame_idx, bytes([7] * 16))
        assert entry is not None
        check_same(store.read(entry), record(frame_idx=frame_idx, version=7))
    store.append(record(frame_idx=4, version=7))
    assert store.new_run() == 4
    store.close()
    store = ResultStore(path)
    assert frames_in(store) == [0, 1, 2, 3, 4]
    store.close()


def test_results_are_on_disk_and_not_in_memory(tmp_path: Path) -> None:
    """3000 results of noisy masks make a file of tens of megabytes; memory grows by the few numbers about each."""
    path = tmp_path / "j"
    mask = np.random.default_rng(0).random((240, 320)) < 0.5
    one = Record.of(ObjectMask.of_given(1, mask), 0, bytes(16), 1, FramePoints.concat([]), (240, 320))
    data = pack_record(one)
    tracemalloc.start()
    try:
        store = ResultStore(path)
        before = tracemalloc.get_traced_memory()[0]
        for frame_idx in range(3000):
            store.append(Record(**{**vars(one), "frame_idx": frame_idx}))
        after = tracemalloc.get_traced_memory()[0]
        store.close()
        tracemalloc.reset_peak()
        again = ResultStore(path)
        peak = tracemalloc.get_traced_memory()[1]
        again.close()
    finally:
        tracemalloc.stop()
    assert path.stat().st_size > 3000 * len(data) > 40 << 20
    assert after - before < 3 << 20
    assert peak - after < 4 << 20


def test_records_with_the_right_checksum_and_anything_in_them_are_one_line(tmp_path: Path) -> None:
    """Fields of whole records are overwritten: a result is read or refused in one line, and new ones can be written."""
    path, rng = tmp_path / "masks.journal", np.random.default_rng(0)
    good = pack_record(record())
    outcomes = set()
    for _ in range(300):
        payload = bytearray(good)
        at = int(rng.integers(0, 90))
        payload[at : at + 4] = rng.bytes(4)
        frame = struct.pack("<4sII", b"rec\0", len(payload), zlib.crc32(payload)) + payload
        path.write_bytes(b"sampt session masks 1\n" + frame)
        store = ResultStore(path, SIZE)
        for entries in list(store._entries.values()):
            try:
                read = store.read(entries[-1])
                assert read.size_hw == SIZE
                outcomes.add(read.mask().shape)
            except SamptError as error:
                outcomes.add("refused" if "\n" not in str(error) else "several lines")
        store.append(replace(record(version=9), run=store.new_run()))
        store.close()
    assert outcomes == {SIZE, "refused"}


def test_results_of_another_size_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "masks.journal"
    store = ResultStore(path)
    store.append(record())
    store.close()
    other = ResultStore(path, (61, 80))
    entry = other.newest(1, 0)
    assert entry is not None
    with pytest.raises(OutputError, match=r"a result that is none of this project \(a mask of 80x60 pixels\)"):
        other.read(entry)
    other.close()
