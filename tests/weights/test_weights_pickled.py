"""Files of PyTorch are read for their tensors: nothing else in them is run, and nothing else in them is in the way."""

from __future__ import annotations

import builtins
import functools
import io
import os
import pickle
import struct
import zipfile
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")

from torch import nn  # noqa: E402

from sampt.errors import BackendError  # noqa: E402
from sampt.trackers.pips.encoder import EncoderSizes  # noqa: E402
from sampt.trackers.pips_pp.adapter import load_network  # noqa: E402
from sampt.trackers.pips_pp.network import PipsPpNetwork, PipsPpSizes  # noqa: E402
from sampt.weights import load_checkpoint  # noqa: E402

SMALL = PipsPpSizes(EncoderSizes(8, (8, 8, 8, 8), 16), 8, 2)
LAYOUTS = pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "before PyTorch 1.6"])


def save(what: object, path: Path, is_zip: bool = True) -> None:
    torch.save(what, path, _use_new_zipfile_serialization=is_zip)


def weights() -> dict[str, Any]:
    return {"a.weight": torch.arange(6.0).reshape(2, 3), "a.bias": torch.tensor([1, 2])}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert (found[name].dtype, found[name].shape, found[name].stride()) == (value.dtype, value.shape, value.stride())
        assert torch.equal(found[name], value)


def with_pickle(data: bytes, path: Path) -> Path:
    """A file as ``torch.save`` writes it, with this for its pickle and one storage of eight bytes."""
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("w/data.pkl", data)
        archive.writestr("w/data/0", bytes(8))
    return path


# ---- what official files hold ------------------------------------------------------------------------------------------------


def official_file(network: nn.Module, path: Path, is_zip: bool = True) -> dict[str, Any]:
    """As the program of PIPS++ saves its training, with the PyTorch of its time: the schedule holds the function it goes by."""
    optimizer = torch.optim.AdamW(network.parameters())
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 5e-4, 100, cycle_momentum=False, anneal_strategy="linear")
    for parameter in network.parameters():
        parameter.grad = torch.ones_like(parameter)
    optimizer.step()
    state = schedule.state_dict() | {"anneal_func": torch.optim.lr_scheduler.OneCycleLR._annealing_linear}
    found = {f"module.{name}": value for name, value in network.state_dict().items()}
    saved = {"optimizer_state_dict": optimizer.state_dict(), "model_state_dict": found, "scheduler_state_dict": state}
    save(saved, path, is_zip)
    return found


@LAYOUTS
def test_a_file_of_pips_pp_with_the_state_of_its_training_is_loaded(is_zip: bool, tmp_path: Path) -> None:
    path = tmp_path / "model-000200000.pth"
    torch.manual_seed(0)
    saved = official_file(PipsPpNetwork(SMALL), path, is_zip)
    with pytest.raises(pickle.UnpicklingError):  # what stood in the way
        torch.load(path, weights_only=True)
    plain = {name.removeprefix("module."): value for name, value in saved.items()}
    assert_same(load_checkpoint(path), plain)
    assert_same(load_network(path, SMALL).state_dict(), plain)


def test_numbers_of_the_optimiser_are_not_read(tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    save({"optimizer": {"moment": torch.full((1000,), 7.0)}, "model": weights()}, path)
    data = path.read_bytes()
    moment = struct.pack("<f", 7.0) * 1000
    assert data.count(moment) == 1
    path.write_bytes(data.replace(moment, bytes(4000)))  # a damaged member, by its check sum
    assert_same(load_checkpoint(path), weights())


@LAYOUTS
def test_tensors_of_all_kinds_are_as_pytorch_reads_them(is_zip: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    base = torch.arange(24.0).reshape(4, 6)
    kinds = (torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.int32, torch.int16, torch.int8, torch.uint8)
    saved: dict[str, Any] = {str(kind): base.to(kind) for kind in (*kinds, torch.bool, torch.complex64, torch.complex128)}
    saved |= {"base": base, "turned": base.T, "part": base[1:3, ::2], "scalar": torch.tensor(3), "empty": torch.zeros(0, 4)}
    saved |= {"spread": torch.tensor([[1.0], [2.0]]).expand(2, 3), "parameter": nn.Parameter(torch.ones(2, 2))}
    save(OrderedDict(saved), path, is_zip)
    found = load_checkpoint(path)
    assert_same(found, torch.load(path, weights_only=True))
    assert found["turned"].untyped_storage().data_ptr() == found["base"].untyped_storage().data_ptr()


def test_things_of_unknown_packages_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "w.ckpt"
    # hyper_parameters: an object of the class lightning.Settings with a state, a list and an item, as pickles make objects
    other = b"clightning\nSettings\n)\x81}X\x01\x00\x00\x00aK\x01sb(K\x01K\x02eX\x01\x00\x00\x00bK\x03s"
    save({"hyper_parameters": 1, "state_dict": weights()}, path)
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    pickled = next(name for name in members if name.endswith("data.pkl"))
    assert members[pickled].count(b"hyper_parametersq\x01K\x01") == 1
    members[pickled] = members[pickled].replace(b"hyper_parametersq\x01K\x01", b"hyper_parametersq\x01" + other)
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    assert_same(load_checkpoint(path), weights())


# ---- hostile files -----------------------------------------------------------------------------------------------------------


class Calls:
    """Calls a function when it is unpickled."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = function, arguments

    def __reduce__(self) -> Any:
        return self.call


def hostile(trace: Path) -> dict[str, Any]:
    """Things that make a folder when they are unpickled, or help to."""
    program = f"__import__('os').mkdir({str(trace)!r})"
    return {
        "function": Calls(os.mkdir, str(trace)),
        "program": Calls(builtins.eval, program),
        "statements": Calls(builtins.exec, f"import os; os.mkdir({str(trace)!r})"),
        "partial": Calls(functools.partial(os.mkdir, str(trace))),
        "method": Calls(Path.mkdir, trace),
        "class": Calls(io.FileIO, str(trace), "w"),
        "loading": Calls(torch.load, io.BytesIO()),
        "pickle in a pickle": Calls(pickle.loads, pickle.dumps(Calls(os.mkdir, str(trace)))),
        "by attribute": Calls(getattr, Calls(builtins.__import__, "os"), "mkdir"),
    }


@LAYOUTS
def test_nothing_of_a_hostile_file_is_run_and_its_weights_are_read(is_zip: bool, tmp_path: Path) -> None:
    path, trace = tmp_path / "w.pth", tmp_path / "trace"
    for name, thing in hostile(trace).items():
        save({"scheduler_state_dict": thing, "model": weights()}, path, is_zip)
        assert_same(load_checkpoint(path), weights())
        assert not trace.exists(), name
    save({"scheduler_state_dict": hostile(trace), "model": weights()}, path, is_zip)
    assert_same(load_checkpoint(path), weights())
    assert not trace.exists()
    pickle.loads(pickle.dumps(Calls(os.mkdir, str(trace))))  # elsewhere it does run
    assert trace.exists()


REBUILD = b"ctorch._utils\n_rebuild_tensor_v2\n"
STORAGE = b"(X\x07\x00\x00\x00storagectorch\nFloatStorage\nX\x01\x00\x00\x000X\x03\x00\x00\x00cpu%btQ"
TENSOR = REBUILD + b"(" + STORAGE + b"%b%b%b\x89NtR"  # offset, size, stride
ONE = b"K\x01"


@pytest.mark.parametrize(
    "data",
    [
        b"\x80\x02}r\xff\xff\xff\xff.",  # a slot with the number 2**32 - 1
        b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f" + b"x.",  # 2**63 bytes
        b"\x80\x02X\xff\xff\xff\x7fa.",  # a text without an end
        b"\x80\x02\x82\x01.",  # an extension
        b"\x80\x02}X\x01\x00\x00\x00x" + TENSOR % (ONE + ONE, b"K\x00", b"(K\xfft", b"(K\x01t") + b"s.",
        b"\x80\x02}X\x01\x00\x00\x00x" + TENSOR % (ONE, b"K\x00", b"(K\x02t", b"(K\x01t") + b"s.",
        b"\x80\x02}X\x01\x00\x00\x00x" + TENSOR % (ONE, b"J\xff\xff\xff\xff", b"(K\x01t", b"(K\x01t") + b"s.",
        b"\x80\x02}X\x01\x00\x00\x00x" + TENSOR % (b"J\xff\xff\xff\x7f", b"K\x00", b"(K\x01t", b"(K\x01t") + b"s.",
        b"\x80\x02" + REBUILD + b"}X\x05\x00\x00\x00_makeK\x01sb.",  # changes the function
        b"\x80\x02" + REBUILD + b"N}X\x05\x00\x00\x00_makeK\x01s\x86b.",
        b"\x80\x02" + b"ccollections\nOrderedDict\n" + b"N}X\x08\x00\x00\x00__init__K\x01s\x86b.",
        b"\x80\x02" + b"ctorch\nFloatStorage\n)R.",
        b"\x80\x02" + b"(" * 100_000 + b"t" * 99_999 + b".",
        b"",
    ],
    ids=[
        *("slot", "bytes", "text", "extension", "many numbers", "beyond its storage", "before its storage", "large storage"),
        *("changes a function", "changes its slots", "changes a class", "calls a kind", "nested", "empty"),
    ],
)
def test_made_up_pickles_are_refused_without_harm(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(BackendError) as caught:
        load_checkpoint(with_pickle(data, tmp_path / "w.pth"))
    assert "\n" not in str(caught.value)
    save(weights(), tmp_path / "good.pth")
    assert_same(load_checkpoint(tmp_path / "good.pth"), weights())


def test_the_made_up_pickle_of_a_sound_tensor_is_read(tmp_path: Path) -> None:
    data = b"\x80\x02}X\x01\x00\x00\x00x" + TENSOR % (b"K\x02", b"K\x00", b"(K\x02t", b"(K\x01t") + b"s."
    assert_same(load_checkpoint(with_pickle(data, tmp_path / "w.pth")), {"x": torch.zeros(2)})


@LAYOUTS
def test_a_file_that_was_cut_anywhere_is_refused(is_zip: bool, tmp_path: Path) -> None:
    path = tmp_path / "w.pth"
    save(weights(), path, is_zip)
    whole = path.read_bytes()
    for size in {0, 1, 20, len(whole) // 2, len(whole) - 30, len(whole) - 1}:
        path.write_bytes(whole[:size])
        with pytest.raises(BackendError, match="cannot be read as weights"):
            load_checkpoint(path)


def test_a_whole_model_is_told_by_its_name(tmp_path: Path) -> None:
    torch.save(nn.Linear(2, 2), tmp_path / "w.pth")
    with pytest.raises(
        BackendError, match=r"holds an object of 'torch\.nn\.modules\.linear\.Linear', expected names with tensors"
    ):
        load_checkpoint(tmp_path / "w.pth")
