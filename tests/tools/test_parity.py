"""`tools/parity`: what the official programs gave is found again, and a difference is not overlooked."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")

from sampt.trackers.raft.adapter import load_network  # noqa: E402
from tools.parity.command import CHECKS, main  # noqa: E402
from tools.parity.fixtures import Comparison, Fixture  # noqa: E402

ROOT = Path(__file__).resolve().parents[2]
PARITY = ROOT.parent / "shared" / "parity"
needs_shared = pytest.mark.skipif(not PARITY.is_dir(), reason="the project's shared data is not beside this checkout")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of the fixture `raft_small`, without the program that fills it."""
    for suffix in (".json", ".npz"):
        shutil.copy(PARITY / f"raft_small{suffix}", tmp_path)
    return tmp_path


def change(folder: Path, **flow: Any) -> None:
    """Store other expected arrays."""
    np.savez(folder / "raft_small.npz", **flow)


def expected_flow(folder: Path) -> np.ndarray:
    with np.load(folder / "raft_small.npz") as arrays:
        return np.asarray(arrays["flow"])


def last_row(capsys: pytest.CaptureFixture[str]) -> list[str]:
    return [cell.strip() for cell in capsys.readouterr().out.splitlines()[-1].strip("|").split("|")]


@needs_shared
def test_the_command_prints_a_table() -> None:
    command = [sys.executable, "-m", "tools.parity", str(PARITY), "--only", "raft_small"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT)
    assert (done.returncode, done.stderr) == (0, "")
    head, rule, row = done.stdout.splitlines()
    assert head == "| fixture | what is compared | greatest difference | allowed | result |"
    assert rule == "|---|---|---|---|---|"
    assert row.startswith("| raft_small | flow | ")
    assert row.endswith(" | 0.05 | pass |")
    assert float(row.split("|")[3]) < 1e-3


@needs_shared
def test_one_number_that_differs_is_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = expected_flow(folder)
    flow[1, 100, 7] += 0.06
    change(folder, flow=flow)
    assert main([str(folder)]) == 1
    assert last_row(capsys) == ["raft_small", "flow", "6.0e-02", "0.05", "fail"]


@needs_shared
def test_answers_of_another_shape_or_that_are_missing_are_failures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flow = expected_flow(folder)
    change(folder, flow=flow[:, :-1])
    assert main([str(folder)]) == 1
    assert last_row(capsys) == ["raft_small", "flow", "inf", "0.05", "fail"]
    change(folder, stream=flow)
    assert main([str(folder)]) == 1
    assert last_row(capsys) == ["raft_small", "-", "-", "-", "fail: 'flow' is missing"]


def test_no_number_is_no_agreement() -> None:
    assert Comparison("flow", 0.05, 0.05).passed
    assert not Comparison("flow", float("nan"), 0.05).passed


@needs_shared
def test_sizes_and_seeds_are_those_of_the_fixture(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "raft_small.json"
    spec = json.loads(path.read_text())
    spec["call"] = {"video": {"frames": 2, "height": 136, "width": 144, "seed": 5}, "iters": 3}
    spec["seed"] = 11
    path.write_text(json.dumps(spec))
    fixture = Fixture.read(folder, "raft_small")
    with fixture.checkpoint("module.") as weights:
        network = load_network("raft-small", weights)
    images = torch.from_numpy(fixture.source.video(2, 136, 144, 5)).permute(0, 3, 1, 2).float()
    with torch.inference_mode():
        change(folder, flow=network(images[:1], images[1:], iterations=3)[0].numpy())
    assert main([str(folder)]) == 0
    assert last_row(capsys)[1:] == ["flow", "0.0e+00", "0.05", "pass"]
    for name, other in (("seed", 12), ("call", {**spec["call"], "iters": 4})):
        path.write_text(json.dumps(spec | {name: other}))
        assert main([str(folder)]) == 1


@needs_shared
def test_weights_of_another_network_are_a_failure(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "raft_small.json"
    spec = json.loads(path.read_text())
    spec["parameters"]["more.weight"] = [[3], "float32"]
    path.write_text(json.dumps(spec))
    assert main([str(folder)]) == 1
    assert last_row(capsys)[-1].startswith("fail: 'raft-small' got weights of another network in ")


@needs_shared
def test_unknown_models_fail(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = folder / "raft_small.json"
    spec = json.loads(path.read_text())
    path.write_text(json.dumps(spec | {"model": "raft_huge"}))
    assert main([str(folder)]) == 1
    assert last_row(capsys)[-1] == "fail: the model 'raft_huge' is unknown"


@needs_shared
@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("raft_small.npz", b"PK\x03\x04 cut", r".*raft_small\.json and its \.npz cannot be read as a fixture: "),
        ("raft_small.json", b"{", r".*raft_small\.json and its \.npz cannot be read as a fixture: Expecting"),
        ("raft_small.json", b"[]", r".*raft_small\.json is no fixture: it lacks model, call, gains, seed, parameters\."),
        ("other.json", b'{"model": "raft"}', r".*other\.json and its \.npz cannot be read as a fixture: .*No such file"),
    ],
)
def test_a_broken_folder_is_told_in_one_line(
    folder: Path, name: str, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / name).write_bytes(content)
    assert main([str(folder)]) == 2
    text = capsys.readouterr()
    assert text.out == ""
    assert text.err.count("\n") == 1
    assert re.match(message, text.err)


@needs_shared
def test_a_folder_without_fixtures_is_told_in_one_line(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    cases = {
        (str(folder / "nowhere"),): f"No folder is at {folder / 'nowhere'}; expected one with NAME.json and NAME.npz",
        (str(folder), "--only", "raft_smal"): f"No fixture 'raft_smal' is in {folder}. Did you mean 'raft_small'? There: raft",
    }
    (folder / "empty").mkdir()
    cases[(str(folder / "empty"),)] = f"No NAME.json is in {folder / 'empty'}; expected fixtures"
    for arguments, message in cases.items():
        assert main(arguments) == 2
        text = capsys.readouterr().err
        assert text.startswith(message)
        assert text.count("\n") == 1


@needs_shared
def test_the_command_knows_every_fixture() -> None:
    names = {path.stem for path in PARITY.glob("*.json")}
    assert {"tapnet", "cotracker_v1", "edgetam_image", "sam_hq_vit_tiny"} <= names
    assert {name for name in names if Fixture.read(PARITY, name).kind not in CHECKS} == set()
