"""Nested dictionaries of arrays out of an .npy, without running anything of the file."""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sampt.weights.numpy_pickled import read_arrays
from sampt.weights.pickled import NotReadableError


def saved(tree: Any, folder: Path) -> Path:
    path = folder / "checkpoint.npy"
    np.save(path, np.array(tree, dtype=object), allow_pickle=True)
    return path


class Touch:
    """What a hostile file has in it: it makes a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


class Schedule:
    """Something of a program that is not here."""


def test_parameters_and_state_are_read_by_their_keys(tmp_path: Path) -> None:
    table = np.arange(6, dtype=np.float32).reshape(2, 3)
    tree = {
        "params": OrderedDict({"net/~/conv": {"w": table, "b": np.asfortranarray(table.T.copy())}}),
        "state": {"net/~/norm/~/mean_ema": {"average": table.astype(">f8"), "counter": np.int32(7)}},
        "opt_state": {"net/~/conv": {"w": -table}},
        "global_step": 12,
    }
    found = read_arrays(saved(tree, tmp_path))
    assert set(found) == {
        "net/~/conv/w",
        "net/~/conv/b",
        "net/~/norm/~/mean_ema/average",
        "net/~/norm/~/mean_ema/counter",
    }
    assert np.array_equal(found["net/~/conv/w"], table)
    assert np.array_equal(found["net/~/conv/b"], table.T)
    average = found["net/~/norm/~/mean_ema/average"]
    assert average.dtype == np.dtype("=f8")
    assert np.array_equal(average, table)
    assert found["net/~/norm/~/mean_ema/counter"] == 7


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_way_to_pickle_an_array_is_understood(protocol: int, tmp_path: Path) -> None:
    values = np.random.default_rng(0).normal(size=(3, 4, 5)).astype(np.float16)
    whole = np.array({"a": {"w": values}}, dtype=object)
    path = tmp_path / "checkpoint.npy"
    with path.open("wb") as file:
        np.lib.format.write_array_header_1_0(file, np.lib.format.header_data_from_array_1_0(whole))
        pickle.dump(whole, file, protocol=protocol)
    assert np.array_equal(read_arrays(path)["a/w"], values)


def test_nothing_of_the_file_is_run_and_what_is_unknown_is_left_out(tmp_path: Path) -> None:
    made = tmp_path / "made"
    tree = {
        "params": {"net": {"w": np.ones(2, np.float32), "x": Touch(made), "y": Schedule()}},
        "more": [Schedule()],
    }
    path = saved(tree, tmp_path)
    assert list(read_arrays(path)) == ["net/w"]
    assert not made.exists()
    np.load(path, allow_pickle=True)  # the file is what it is taken for
    assert made.is_dir()


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "it is no .npy file, or damaged"),
        (b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }" + b" " * 60, "it is no .npy file"),
        (b"<html>", "it is no .npy file, or damaged"),
    ],
)
def test_what_is_no_such_file_is_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.npy"
    path.write_bytes(content)
    with pytest.raises(NotReadableError, match=message):
        read_arrays(path)


def test_a_single_array_and_a_file_that_was_cut_are_refused(tmp_path: Path) -> None:
    np.save(tmp_path / "one.npy", np.ones(3))
    with pytest.raises(NotReadableError, match="it holds a single array, not names with arrays"):
        read_arrays(tmp_path / "one.npy")
    path = saved({"params": {"net": {"w": np.ones(1000)}}}, tmp_path)
    path.write_bytes(path.read_bytes()[:-500])
    with pytest.raises(NotReadableError, match="damaged"):
        read_arrays(path)


def test_an_array_with_less_numbers_than_it_says_is_refused(tmp_path: Path) -> None:
    path = saved({"params": {"net": {"w": np.arange(4, dtype=np.float64)}}}, tmp_path)
    data = path.read_bytes()
    short = data.replace(b"K\x04\x85", b"K\x05\x85")  # the shape (4,) made (5,)
    assert short != data
    path.write_bytes(short)
    with pytest.raises(NotReadableError, match="an array in it has another size than it says"):
        read_arrays(path)
