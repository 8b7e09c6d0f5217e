"""Checkpoints are read without running anything in them, and those in the cache are unpickled once."""

from __future__ import annotations

import json
import os
import pickle
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from sampt.errors import BackendError  # noqa: E402
from sampt.weights import load_checkpoint  # noqa: E402


def weights() -> dict[str, Any]:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2], dtype=torch.int64)}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected) or sorted(found) == sorted(expected)
    for name, value in expected.items():
        assert found[name].dtype == value.dtype
        assert torch.equal(found[name], value)


def message_of(path: Path) -> str:
    with pytest.raises(BackendError) as caught:
        load_checkpoint(path)
    assert "\n" not in str(caught.value)
    return str(caught.value).replace(str(path), "FILE")


@pytest.mark.parametrize("key", ["", "model", "state_dict", "model_state_dict", "state_dict_ema"])
def test_tables_are_found_where_official_files_keep_them(key: str, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    torch.save({key: weights(), "epoch": 3, "optimizer": {"lr": 0.1}} if key else weights(), path)
    assert_same(load_checkpoint(path), weights())


def test_plain_weights_go_before_averaged_ones(tmp_path: Path) -> None:
    path = tmp_path / "w.ckpt"
    torch.save({"state_dict_ema": {"x": torch.zeros(1)}, "state_dict": weights()}, path)
    assert_same(load_checkpoint(str(path)), weights())


def test_arrays_of_numpy(tmp_path: Path) -> None:
    path = tmp_path / "w.npz"
    np.savez(path, **{"block/w": np.eye(2, dtype=np.float32)})
    assert_same(load_checkpoint(path), {"block/w": torch.eye(2)})
    np.savez(path, w=np.array([{}], dtype=object))
    assert "FILE cannot be read as weights (ValueError: Object arrays cannot be loaded" in message_of(path)


class Bomb:
    """Runs a command when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.trace),)


def test_nothing_in_a_pickle_is_run(tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    torch.save({"model": Bomb(trace)}, path)
    assert message_of(path) == "FILE holds the keys 'model', expected names with tensors; give an official checkpoint."
    assert not trace.exists()
    path.write_bytes(pickle.dumps(Bomb(trace)))
    message_of(path)
    assert not trace.exists()


def test_files_that_are_no_weights_are_told_in_one_line(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    assert message_of(path) == "No file of weights is at FILE; expected a checkpoint (.pth, .pt, .safetensors, .npz)."
    whole = tmp_path / "whole.pth"
    torch.save({f"{k}": torch.zeros(1000) for k in range(9)}, whole)
    for content, message in [
        (whole.read_bytes()[:20_000], "it is incomplete"),
        (b"<!DOCTYPE html><html>log in</html>", "it is a web page"),
        (b"", "it is empty"),
        (b"version https://git-lfs.github.com/spec/v1\n", "it is a pointer of Git LFS, not the file"),
    ]:
        path.write_bytes(content)
        assert (
            message_of(path) == f"FILE cannot be read as weights ({message}); expected an official checkpoint: fetch it again."
        )
    path.write_bytes(b"just text")
    assert message_of(path).startswith("FILE cannot be read as weights (it is no file of PyTorch")
    torch.save([torch.zeros(2)], path)
    assert message_of(path) == "FILE holds a list, expected names with tensors; give an official checkpoint."
    torch.save({"model": {"x": 3}, "y": torch.zeros(1)}, path)
    assert message_of(path) == "FILE holds the keys 'model', 'y', expected names with tensors; give an official checkpoint."
    torch.save({}, path)
    assert message_of(path) == "FILE holds nothing, expected names with tensors; give an official checkpoint."


def test_safetensors_without_its_package_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    monkeypatch.setitem(sys.modules, "safetensors.torch", None)
    assert message_of(path).endswith("Run: pip install 'safetensors'.")


# What follows is about the copies as safetensors.


@pytest.fixture
def pickled(cache: Path) -> Path:
    """A checkpoint in the cache, with tensors that share memory."""
    pytest.importorskip("safetensors", reason="safetensors comes with the [sam] extras")
    cache.mkdir()
    path = cache / "w.pth"
    torch.save({"model": shared()}, path)
    return path


def shared() -> dict[str, Any]:
    whole = torch.arange(12.0).reshape(3, 4)
    return {"whole": whole, "again": whole, "turned": whole.T, "part": whole[1:2]}


def assert_not_unpickled(path: Path, monkeypatch: pytest.MonkeyPatch, expected: dict[str, Any]) -> None:
    with monkeypatch.context() as patch:
        patch.setattr("sampt.weights.checkpoint.opened", lambda *_, **__: pytest.fail("it was unpickled"))
        assert_same(load_checkpoint(path), expected)


def test_a_pickle_in_the_cache_is_unpickled_once(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert_same(load_checkpoint(pickled), shared())
    assert {p.name for p in pickled.parent.iterdir() if p.is_file()} == {
        "w.pth",
        "w.pth.safetensors",
        "w.pth.safetensors.json",
    }
    note = json.loads((pickled.parent / "w.pth.safetensors.json").read_text())
    assert (note["original"], note["size"], len(note["sha256"])) == ("w.pth", pickled.stat().st_size, 64)
    assert_not_unpickled(pickled, monkeypatch, shared())


def test_a_copy_counts_only_for_the_file_that_it_was_made_from(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_checkpoint(pickled)
    torch.save(weights(), pickled)
    assert_same(load_checkpoint(pickled), weights())
    assert_not_unpickled(pickled, monkeypatch, weights())


def test_a_damaged_copy_is_made_again(pickled: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    load_checkpoint(pickled)
    copy = pickled.parent / "w.pth.safetensors"
    copy.write_bytes(copy.read_bytes()[:-8])
    assert "cannot be read as weights (SafetensorError: " in message_of(copy)
    assert_same(load_checkpoint(pickled), shared())
    assert_not_unpickled(pickled, monkeypatch, shared())


@pytest.mark.parametrize("step", [1, 2])
def test_an_interrupted_copy_does_not_count_and_is_made_again(
    step: int, pickled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = f"""
import os, pathlib, signal
usual, calls = pathlib.Path.replace, []
def replace(self, target):
    calls.append(self)
    if len(calls) == {step}:
        os.kill(os.getpid(), signal.SIGKILL)
    return usual(self, target)
pathlib.Path.replace = replace
from sampt.weights import load_checkpoint
load_checkpoint({str(pickled)!r})
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (pickled.parent / "w.pth.safetensors").exists() == (step == 2)
    assert not (pickled.parent / "w.pth.safetensors.json").exists()
    assert_same(load_checkpoint(pickled), shared())
    assert (pickled.parent / "w.pth.safetensors.json").exists()
    assert_not_unpickled(pickled, monkeypatch, shared())


def test_a_full_disk_stops_the_copy_and_not_the_reading(pickled: Path, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("safetensors.torch.save_file", full)
    assert_same(load_checkpoint(pickled), shared())
    assert "is not kept as safetensors: [Errno 28] No space left on device" in caplog.text
    assert not list(pickled.parent.glob("*.safetensors*"))


def test_files_outside_the_cache_are_left_alone(pickled: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "w.pth"
    mine.parent.mkdir()
    torch.save(weights(), mine)
    load_checkpoint(mine)
    assert list(mine.parent.iterdir()) == [mine]
