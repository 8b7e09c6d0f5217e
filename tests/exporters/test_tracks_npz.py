import tracemalloc

import numpy as np
import pytest

from sampt.errors import OutputError
from sampt.exporters.tracks_npz import TracksWriter, load_tracks
from sampt.types import FrameMasks, FramePoints, HiddenBy
from tests.results import context, shown


def write_all(path, results, names=None):
    writer = TracksWriter(path, context())
    for i, result in enumerate(results):
        writer.write(shown(result, names[i] if names else f"{i:05d}"))
    writer.close(success=True)


def test_everything_reads_back_equal(tmp_path, kit):
    counts = [3, 0, 5]
    write_all(tmp_path / "t.npz", [kit.result(i, kit.points(n)) for i, n in enumerate(counts)], ["a", "frame_12", "c"])
    tracks = load_tracks(tmp_path / "t.npz")
    assert tracks.frame_splits.tolist() == [0, 3, 3, 8]
    assert tracks.frame_idx.tolist() == [0, 1, 2]
    assert tracks.frame_names.tolist() == ["a", "frame_12", "c"]
    expected = FramePoints.concat([kit.points(n) for n in counts])
    for name in ("point_id", "object_id", "is_positive", "xy", "visible", "confidence", "hidden_by"):
        got, want = getattr(tracks, name), getattr(expected, name)
        assert got.dtype == want.dtype, name
        assert np.array_equal(got, want), name
    assert kit.names_in(tmp_path) == {"t.npz"}


def test_file_is_a_plain_npz_and_the_same_bytes_each_time(tmp_path, kit):
    for name in ("a.npz", "b.npz"):
        write_all(tmp_path / name, [kit.result(0)])
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    with np.load(tmp_path / "a.npz", allow_pickle=False) as archive:
        assert archive["xy"].shape == (3, 2)
        assert archive["xy"].dtype == np.float32


def test_dense_table_knows_where_points_exist(tmp_path, kit):
    def points(ids, x):
        n = len(ids)
        return FramePoints(ids, [1] * n, [True] * n, [[x, 2.5]] * n, [1] * n, [HiddenBy.NONE] * n)

    write_all(tmp_path / "t.npz", [kit.result(0, points([4, 9], 1.0)), kit.result(1, points([9, 20], 2.0))])
    dense = load_tracks(tmp_path / "t.npz").dense()
    assert dense.point_id.tolist() == [4, 9, 20]
    assert dense.known.tolist() == [[True, True, False], [False, True, True]]
    assert dense.xy[:, 1].tolist() == [[1.0, 2.5], [2.0, 2.5]]
    assert dense.xy[0, 2].tolist() == [0.0, 0.0]


def test_run_without_points_reads_back_empty(tmp_path, kit):
    write_all(tmp_path / "t.npz", [kit.result(0, FramePoints.concat([]))])
    tracks = load_tracks(tmp_path / "t.npz")
    assert tracks.xy.shape == (0, 2)
    assert tracks.dense().xy.shape == (1, 0, 2)


def test_failed_run_leaves_no_file(tmp_path, kit):
    writer = TracksWriter(tmp_path / "t.npz", kit.context())
    writer.write(kit.shown(kit.result()))
    writer.close(success=False)
    assert kit.names_in(tmp_path) == set()


def test_memory_does_not_grow_with_rows(tmp_path):
    points = FramePoints(np.arange(500), np.ones(500), np.ones(500), np.ones((500, 2)), np.ones(500), np.zeros(500))
    result = FrameMasks(0, [1], np.zeros((1, 2, 2)), [1], [0], points)
    tracemalloc.start()
    write_all(tmp_path / "t.npz", [result] * 2000)  # 1 000 000 rows of 31 bytes
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4e6
    assert load_tracks(tmp_path / "t.npz").frame_splits[-1] == 1_000_000


@pytest.mark.parametrize("content", [None, b"", b"not a zip", b"PK\x03\x04 torn"])
def test_what_is_no_tracks_file_is_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / "t.npz").write_bytes(content)
    with pytest.raises(OutputError, match="cannot be read as tracks") as info:
        load_tracks(tmp_path / "t.npz")
    assert "\n" not in str(info.value)


def test_npz_of_something_else_is_refused(tmp_path):
    np.savez(tmp_path / "t.npz", xy=np.zeros(3))
    with pytest.raises(OutputError, match=r"t\.npz cannot be read as tracks .*frame_splits"):
        load_tracks(tmp_path / "t.npz")
