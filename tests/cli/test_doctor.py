"""What `sampt doctor` says of the machine and the presets, and when its self-test fails."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from sampt.backends import machine
from sampt.config import with_settings
from sampt.presets import PRESETS
from sampt.testing import self_test


@pytest.fixture(autouse=True)
def short(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """One frame and then two, however busy the machine, and no weights in the cache."""
    monkeypatch.setattr(self_test, "_NUM_FRAMES", (1, 2))
    monkeypatch.setattr(self_test, "_MAX_S", 1e6)
    monkeypatch.setenv("SAMPT_WEIGHTS_DIR", str(tmp_path / "weights"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))


def test_a_preset_that_works_passes_and_every_preset_says_what_it_needs(call: Any) -> None:
    outcome = call("doctor", "--preset", "fast-offline", "--device", "cpu", "--json")
    assert outcome.status == 0
    found = json.loads(outcome.out)
    test = found["self_test"]
    assert (test["preset"], test["passed"], test["error"], test["num_frames"]) == ("fast-offline", True, None, 2)
    assert len(test["iou"]) == 3
    assert min(test["iou"]) > 0.8
    assert test["frames_per_second"] == pytest.approx(2 / test["seconds"], rel=0.05)
    assert found["machine"]["cores"] >= 1
    assert found["machine"]["memory_bytes"] > 1 << 28
    assert found["machine"]["versions"].keys() >= {"Python", "sampt", "FFmpeg", "numpy"}
    presets = {each["name"]: each for each in found["presets"]}
    assert list(presets) == list(PRESETS)
    assert (presets["default"]["is_ready"], presets["default"]["to_download"]) == (True, [])
    assert presets["best"]["to_download"] == ["bootstapir", "sam2.1-large"]
    assert presets["best"]["bytes_to_download"] == 219_000_000 + 898_000_000
    assert not presets["best"]["is_ready"]


def test_wrong_masks_fail_and_a_slow_preset_is_tried_on_the_shorter_clip_alone(
    call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(self_test, "_MAX_S", 0.0)
    monkeypatch.setitem(PRESETS, "classical", with_settings(PRESETS["classical"], {"prompting.iou_threshold": 1.0}))
    outcome = call("doctor", "--preset", "classical")
    assert outcome.status == 1
    last = outcome.out.splitlines()[-1]
    assert last.startswith("self-test of classical: FAILED: 1 frames of 320x180 with 3 objects, ")
    assert last.endswith("IoU with the exact masks 0.00, 0.00, 0.00")


def test_weights_that_are_not_here_fail_and_are_not_downloaded(
    call: Any, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    pytest.importorskip("torch", reason="PyTorch is one of the [torch] extras")
    monkeypatch.setitem(PRESETS, "fast", with_settings(PRESETS["default"], {"tracker": "raft-small"}))
    outcome = call("doctor", "--preset", "fast")
    assert outcome.status == 1
    last = outcome.out.splitlines()[-1]
    assert last.startswith("self-test of fast: NOT RUN: The weights 'raft-small' (4.0 MB) are not here")
    assert last.endswith("run: sampt weights pull raft-small")
    assert not list(tmp_path.rglob("*.partial"))


def test_extras_are_those_of_the_package_and_tell_the_command(call: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["numpy<3,>=1.26", "aa>=1; extra == 'torch'", "sampt[torch]; extra == 'sam'", 'b-b<2; extra == "sam"']
    lines += ["c.c; python_version < '4' and extra == 'dev'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    found = {extra.name: extra.missing for extra in machine.list_extras()}
    assert found == {"torch": ("aa",), "sam": ("aa", "b-b")}
    monkeypatch.setenv("COLUMNS", "160")
    outcome = call("doctor", "--no-test")
    assert outcome.status == 0
    assert "sam: aa, b-b missing: pip install 'sampt[sam]'" in outcome.out
    assert "self-test" not in outcome.out


def test_an_unknown_preset_is_a_mistake_of_the_user(call: Any) -> None:
    outcome = call("doctor", "--preset", "bset")
    assert outcome.status == 2
    assert "Did you mean 'best'?" in outcome.err


def test_without_the_self_test_nothing_large_is_imported() -> None:
    code = (
        "import sys; from sampt.cli.main import main; status = main(['doctor', '--no-test', '--json'])\n"
        "print([name for name in ('torch', 'transformers', 'kornia', 'openvino') if name in sys.modules], status)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    facts, _, last = done.stdout.rstrip().rpartition("\n")
    if json.loads(facts)["machine"]["gpu_note"] != "no driver of one":
        pytest.skip("PyTorch had to be imported to see whether there is a GPU")
    assert last == "[] 0"
