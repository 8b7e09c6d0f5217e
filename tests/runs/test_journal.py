import json
import logging
import resource
import zlib

import numpy as np
import pytest

from sampt.errors import OutputError
from sampt.runs.journal import Journal, compute_run_digest
from sampt.types import FrameMasks


def fill(path, kit, count=3, digest="run-a"):
    with Journal(path, digest) as journal:
        for i in range(count):
            journal.append(kit.result(i), f"prompt-{i}")


def assert_same(got, want):
    assert got.frame_idx == want.frame_idx
    assert np.array_equal(got.object_ids, want.object_ids)
    assert np.array_equal(got.masks, want.masks)
    assert np.array_equal(got.scores.view(np.uint32), want.scores.view(np.uint32))  # bit by bit
    assert np.array_equal(got.states, want.states)


def test_results_come_back_bit_by_bit(tmp_path, kit):
    fill(tmp_path / "j", kit)
    points = kit.points(4)
    with Journal(tmp_path / "j", "run-a") as journal:
        for i in (2, 0, 1):
            got = journal.lookup(i, f"prompt-{i}", points)
            assert_same(got, kit.result(i))
            assert got.points is points


def test_any_float32_score_survives(tmp_path):
    scores = np.random.default_rng(0).random(500).astype(np.float32)
    scores[:4] = [0.0, 1.0, np.finfo(np.float32).tiny, np.nan]
    n = len(scores)
    result = FrameMasks(0, np.arange(1, n + 1), np.zeros((n, 2, 3)), scores, np.zeros(n))
    with Journal(tmp_path / "j", "r") as journal:
        journal.append(result, "p")
        assert_same(journal.lookup(0, "p", result.points), result)


def test_other_prompts_or_frames_are_not_found(tmp_path, kit):
    fill(tmp_path / "j", kit)
    with Journal(tmp_path / "j", "run-a") as journal:
        assert journal.lookup(1, "prompt-2", kit.points()) is None
        assert journal.lookup(3, "prompt-3", kit.points()) is None


def test_a_frame_noted_again_replaces_the_first_also_after_reopening(tmp_path, kit):
    fill(tmp_path / "j", kit)
    newer = FrameMasks(1, [1], np.ones((1, *kit.size_hw)), [0.5], [0])
    with Journal(tmp_path / "j", "run-a") as journal:
        journal.append(newer, "prompt-x")
    with Journal(tmp_path / "j", "run-a") as journal:
        assert journal.lookup(1, "prompt-1", kit.points()) is None
        assert_same(journal.lookup(1, "prompt-x", kit.points()), newer)
        assert_same(journal.lookup(2, "prompt-2", kit.points()), kit.result(2))


@pytest.mark.parametrize("cut", [1, 2, 11, 40, "whole line but newline"])
def test_torn_last_line_is_cut_off_and_the_file_goes_on(tmp_path, kit, cut):
    path = tmp_path / "j"
    fill(path, kit)
    data = path.read_bytes()
    path.write_bytes(data[: -1 if isinstance(cut, str) else -cut])
    with Journal(path, "run-a") as journal:
        assert len(journal) == 2
        assert journal.lookup(2, "prompt-2", kit.points()) is None
        journal.append(kit.result(2), "prompt-2")
    assert path.read_bytes() == data


def test_torn_at_every_byte_never_gives_a_wrong_frame(tmp_path, kit):
    path = tmp_path / "j"
    fill(path, kit, count=2)
    data = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(data) if byte == ord("\n")]
    for length in range(len(data)):
        path.write_bytes(data[:length])
        with Journal(path, "run-a") as journal:
            assert len(journal) == sum(end <= length for end in ends[1:])


def test_damaged_line_ends_what_is_trusted(tmp_path, kit, caplog):
    path = tmp_path / "j"
    fill(path, kit)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[2] = lines[2].replace(b'"frame_idx":1', b'"frame_idx":2')
    path.write_bytes(b"".join(lines))
    with caplog.at_level(logging.WARNING), Journal(path, "run-a") as journal:
        assert len(journal) == 1
        assert_same(journal.lookup(0, "prompt-0", kit.points()), kit.result(0))
    assert "damaged after 1 frames" in caplog.text
    assert path.read_bytes() == b"".join(lines[:2])


@pytest.mark.parametrize("content", [b"", b"garbage\n", b"\x00" * 100])
def test_what_is_no_journal_is_started_anew(tmp_path, kit, content):
    (tmp_path / "j").write_bytes(content)
    fill(tmp_path / "j", kit)
    fill(tmp_path / "fresh", kit)
    assert (tmp_path / "j").read_bytes() == (tmp_path / "fresh").read_bytes()


def test_journal_of_another_run_is_started_anew(tmp_path, kit):
    fill(tmp_path / "j", kit, digest="run-a")
    with Journal(tmp_path / "j", "run-b") as journal:
        assert len(journal) == 0
        assert journal.lookup(0, "prompt-0", kit.points()) is None
    with Journal(tmp_path / "j", "run-a") as journal:
        assert len(journal) == 0


def test_every_line_is_out_before_the_next_frame(tmp_path, kit):
    journal = Journal(tmp_path / "j", "run-a")
    journal.append(kit.result(0), "prompt-0")
    assert (tmp_path / "j").read_bytes().count(b"\n") == 2  # while still open: what kill -9 would leave
    journal.close()


def test_full_disk_is_one_line_and_what_was_noted_stays_readable(tmp_path, kit):
    path = tmp_path / "j"
    fill(path, kit, count=1)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    journal = Journal(path, "run-a")
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 30, hard))  # the next line does not fit
        with pytest.raises(OutputError, match=r"j cannot be written \(File too large\): expected room on the disk"):
            journal.append(kit.result(1), "prompt-1")
        journal.close()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    with Journal(path, "run-a") as journal:
        assert len(journal) == 1
        assert_same(journal.lookup(0, "prompt-0", kit.points()), kit.result(0))


def test_folder_in_the_way_is_one_line(tmp_path):
    with pytest.raises(OutputError, match="Is a directory"):
        Journal(tmp_path, "run-a")


def with_record(path, kit, record):
    """A journal whose second frame says ``record``, with the right checksum."""
    path.unlink(missing_ok=True)
    fill(path, kit)
    lines = path.read_bytes().splitlines(keepends=True)
    body = record if isinstance(record, bytes) else json.dumps(record, separators=(",", ":")).encode()
    lines[2] = body + b" %08x\n" % zlib.crc32(body)
    path.write_bytes(b"".join(lines))


def changed_records(record):
    """Every value of a record, and every value in it, taken away or replaced by others."""
    for key in record:
        for new in (..., None, -1, 1e300, "x", [], [None] * 3, {"a": 1}, [[1]], [10**9, 10**9], ["zz"] * 3):
            changed = dict(record)
            if new is ...:
                del changed[key]
            else:
                changed[key] = new
            yield changed
    for size in ([10**6, 10**6], [0, 0], [1, 2, 3], [48.5, 85]):
        yield record | {"size_hw": size}
        yield record | {"rles": [{"size": size, "counts": "0"}] * 3}
        yield record | {"rles": [{"counts": 3}, {"size": [48, 85]}, None]}


def test_a_line_with_the_right_checksum_and_anything_in_it_is_no_frame(tmp_path, kit):
    path, want = tmp_path / "j", kit.result(1)
    fill(path, kit)
    good = json.loads(path.read_bytes().splitlines()[2][:-9])
    refused = 0
    for changed in changed_records(good):
        with_record(path, kit, changed)
        with Journal(path, "run-a", (kit.size_hw, want.object_ids.tolist())) as journal:
            got = journal.lookup(1, "prompt-1", kit.points())
            refused += got is None
            if got is not None:  # a score, a state or a mask may be another one of the kind
                assert (got.masks.shape, got.object_ids.tolist()) == (want.masks.shape, want.object_ids.tolist())
            assert_same(journal.lookup(0, "prompt-0", kit.points()), kit.result(0))
            assert_same(journal.lookup(2, "prompt-2", kit.points()), kit.result(2))
    assert refused > 60


@pytest.mark.parametrize("body", [b"[" * 100_000, b"[]", b"3", b'{"frame_idx": [1]}', b"{}"])
def test_a_line_that_is_no_record_at_all(tmp_path, kit, body):
    with_record(tmp_path / "j", kit, body)
    with Journal(tmp_path / "j", "run-a") as journal:
        assert journal.lookup(1, "prompt-1", kit.points()) is None
        assert_same(journal.lookup(0, "prompt-0", kit.points()), kit.result(0))
        journal.append(kit.result(1), "prompt-1")
        assert_same(journal.lookup(1, "prompt-1", kit.points()), kit.result(1))


@pytest.mark.parametrize("expected", [((48, 86), [1, 2, 7]), ((48, 85), [1, 2]), ((48, 85), [])])
def test_frames_of_another_size_or_of_other_objects_are_not_believed(tmp_path, kit, expected):
    fill(tmp_path / "j", kit)
    with Journal(tmp_path / "j", "run-a", expected) as journal:
        assert journal.lookup(0, "prompt-0", kit.points()) is None


@pytest.mark.parametrize("header", [b'{"format":"sampt-journal-1","run_digest":[1]}', b"[1]", b"[" * 99_999])
def test_a_header_of_any_kind_belongs_to_no_run(tmp_path, kit, header):
    (tmp_path / "j").write_bytes(header + b" %08x\n" % zlib.crc32(header))
    assert compute_run_digest(tmp_path / "j") is None
    fill(tmp_path / "j", kit)
    assert compute_run_digest(tmp_path / "j") == "run-a"
