"""``sampt weights export``: a checkpoint becomes graphs in the cache, where ``--runtime`` finds them; or nothing is there."""

from __future__ import annotations

import json
import os
import sys
import types
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

torch = pytest.importorskip("torch", reason="PyTorch is one of the [sam] extras")
pytest.importorskip("transformers", reason="transformers is one of the [sam] extras")
pytest.importorskip("kornia", reason="kornia is one of the [sam] extras")
pytest.importorskip("onnx", reason="onnx is one of the [torch] extras")
pytest.importorskip("openvino", reason="OpenVINO is one of the [openvino] extras")

from sampt.segmenters.sam import export  # noqa: E402
from sampt.segmenters.sam.checkpoint import load_network  # noqa: E402
from sampt.segmenters.sam.models import MODELS  # noqa: E402
from sampt.segmenters.sam.network import VitSizes, build_vit  # noqa: E402

NAME = "sam-vit-b"
FILES = {"model.json", "encoder.onnx", "frame.onnx", "decoder.onnx"}
REDUCED = """\
import dataclasses, os, sys, types
os.environ["OMP_NUM_THREADS"] = "1"  # threads of a second process that wait for each other on busy cores take minutes
from sampt.segmenters.sam.models import MODELS
from sampt.segmenters.sam.network import VitSizes, build_vit
module = types.ModuleType("reduced_for_tests")
module.build = lambda: build_vit(VitSizes(width=32, depth=2, heads=2, global_layers=(1,), side=128))
sys.modules["reduced_for_tests"] = module
MODELS["sam-vit-b"] = dataclasses.replace(MODELS["sam-vit-b"], builder="reduced_for_tests:build")
"""


@pytest.fixture
def mine(cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkpoint of a reduced network, which the name stands for here."""
    module = types.ModuleType("reduced_for_tests")
    sizes = VitSizes(width=32, depth=2, heads=2, global_layers=(1,), side=128)
    vars(module)["build"] = lambda: build_vit(sizes)
    monkeypatch.setitem(sys.modules, "reduced_for_tests", module)
    monkeypatch.setitem(MODELS, NAME, replace(MODELS[NAME], builder="reduced_for_tests:build"))
    path = tmp_path / "mine.pth"
    torch.save(load_network(MODELS[NAME], None).state_dict(), path)
    return path


def held(folder: Path) -> set[str]:
    return {item.name for item in folder.iterdir()} if folder.is_dir() else set()


def failed(outcome: Any, *fragments: str) -> None:
    assert (outcome.status, outcome.out) == (2, "")
    assert outcome.err.startswith("sampt: error: ")
    assert outcome.err.count("\n") == 1, outcome.err
    for fragment in fragments:
        assert fragment in outcome.err


def segment(media: Any, kit: Any, output: Path, weights: Path, *more: str) -> list[Any]:
    options = ["--segmenter", NAME, "--segmenter-weights", weights, "--tracker", "lucas-kanade", "--no-reinit", "--stop", "3"]
    options += ["--refinement-steps", "2", "--iou-threshold", "0", "--formats", "png", "--quiet"]
    return ["segment", media.path("clip.mp4"), *kit.click, *options, "-o", output, *more]


def labels(output: Path) -> np.ndarray:
    return np.stack([np.asarray(Image.open(path)) for path in sorted((output / "masks").iterdir())])


def test_an_export_is_found_by_the_weights_that_it_was_made_of(
    mine: Path, cache: Path, media: Any, kit: Any, call: Any, tmp_path: Path
) -> None:
    without = call(*segment(media, kit, tmp_path / "none", mine, "--runtime", "openvino"))
    failed(without, "is not exported for runtime 'openvino'", f"run: sampt weights export {NAME}, with --weights")
    done = call("weights", "export", NAME, "--weights", mine)
    assert (done.status, done.err) == (
        0,
        "exported, and compared with PyTorch; use it with --runtime onnxruntime or openvino\n",
    )
    folder = Path(done.out.removesuffix("\n"))
    assert folder.parent == cache / "exported"
    assert held(folder) == FILES
    assert held(folder.parent) == {folder.name}

    assert call(*segment(media, kit, tmp_path / "torch", mine, "--device", "cpu")).status == 0
    expected = labels(tmp_path / "torch")
    assert 0.01 < (expected > 0).mean() < 0.99  # random weights say something
    for runtime in ("openvino", "onnxruntime"):
        out = tmp_path / runtime
        again = call(*segment(media, kit, out, mine, "--runtime", runtime))
        assert (again.status, again.err) == (0, "")
        assert (labels(out) != expected).mean() < 1e-3
        record = json.loads((out / "run.json").read_text())
        assert record["runtime"] == runtime
        assert record["licenses"][f"segmenter {NAME}"] == "code Apache-2.0, weights unknown (not an official file)"
    other = call(*segment(media, kit, tmp_path / "openvino", mine, "--runtime", "onnxruntime"))
    failed(other, "with other settings or input")

    os.utime(mine, ns=(1, 1))  # other weights of the same name have no export yet
    failed(call(*segment(media, kit, tmp_path / "new", mine, "--runtime", "openvino")), "is not exported for runtime")


def test_a_second_export_replaces_the_first(mine: Path, call: Any, tmp_path: Path) -> None:
    target = tmp_path / "graphs"
    first = call("weights", "export", NAME, "--weights", mine, "-o", target)
    assert (first.status, first.out) == (0, f"{target}\n")
    assert held(target) == FILES
    (target / "decoder.onnx").write_bytes(b"broken")
    (target / "encoder.onnx.data").write_bytes(b"of a larger network")
    again = call("weights", "export", NAME, "--weights", mine, "-o", target)
    assert (again.status, again.out) == (0, first.out)
    assert held(target) == FILES
    assert (target / "decoder.onnx").stat().st_size > 1000
    assert held(tmp_path) == {"graphs", "mine.pth"}
    assert json.loads((target / "model.json").read_text())["weights"] == str(mine)


def test_an_export_in_a_folder_of_its_own_stands_for_weights(
    mine: Path, cache: Path, media: Any, kit: Any, call: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    done = call("weights", "export", NAME, "--weights", "random", "-o", ".")
    assert (done.status, done.out) == (0, ".\n")
    assert held(tmp_path / "here") == FILES
    assert "exported" not in held(cache)
    assert call(*segment(media, kit, tmp_path / "out", tmp_path / "here", "--runtime", "onnxruntime")).status == 0
    assert labels(tmp_path / "out").shape == (3, 64, 96)


@pytest.mark.parametrize(
    ("arguments", "fragments"),
    [
        (["sam-vit-x"], ["Unknown model 'sam-vit-x'. Did you mean 'sam-vit-", "Can be exported: sam-vit-b, "]),
        (["grabcut"], ["Unknown model 'grabcut'. Can be exported: "]),
        ([NAME, "--weights", "random"], ["with random weights needs a folder of its own; name one"]),
        (
            [NAME, "--weights", "none.pth"],
            ["No file of weights is at none.pth", "For 'sam-vit-b' that is sam_vit_b_01ec64.pth"],
        ),
        ([NAME], ["is not in the cache and SAMPT_OFFLINE is set"]),
        ([NAME, "--outptu", "x"], ["--outptu", "Did you mean '--output'? See 'sampt weights export --help'"]),
        ([], ["the following arguments are required: NAME"]),
    ],
    ids=lambda value: " ".join(value) or "nothing",
)
def test_what_cannot_be_exported_is_told_in_one_line(
    arguments: list[str], fragments: list[str], mine: Path, cache: Path, call: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAMPT_OFFLINE", "1")
    failed(call("weights", "export", *arguments), *fragments)
    assert "exported" not in held(cache)


def test_a_folder_with_anything_else_is_left_as_it_is(mine: Path, call: Any, kit: Any, tmp_path: Path) -> None:
    home, file, foreign = tmp_path / "home", tmp_path / "file", tmp_path / "foreign"
    for folder in (home, foreign):
        folder.mkdir()
    (home / "thesis.txt").write_text("years of work")
    (home / "model.json").write_text('{"weights_identity": "random"}')
    (foreign / "encoder.onnx").write_bytes(b"by another program")
    (foreign / "model.json").write_text("{}")
    file.write_text("mine")
    before = kit.digests(tmp_path)
    advice = "which is of no export, and would be replaced; choose another folder, or move that away"
    for target, text in ((home, f"holds 'thesis.txt', {advice}"), (foreign, f"holds 'encoder.onnx', {advice}")):
        failed(call("weights", "export", NAME, "--weights", mine, "-o", target), text)
    failed(call("weights", "export", NAME, "--weights", mine, "-o", file), "cannot be written", "choose another folder")
    failed(call("weights", "export", NAME, "--weights", mine, "-o", "/proc/x"), "cannot be written to /proc/x")
    assert kit.digests(tmp_path) == before


def test_an_export_that_fails_leaves_what_was_there(
    mine: Path, call: Any, kit: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "graphs"
    assert call("weights", "export", NAME, "--weights", mine, "-o", target).status == 0
    before = kit.digests(tmp_path)
    inner = export._write

    def full_disk(module: Any, inputs: Any, outputs: Any, path: Path, free: Any) -> None:
        if path.name == "decoder.onnx":
            raise OSError(28, "No space left on device")
        inner(module, inputs, outputs, path, free)

    monkeypatch.setattr(export, "_write", full_disk)
    for folder in (target, tmp_path / "new"):
        failed(
            call("weights", "export", NAME, "--weights", mine, "-o", folder), f"cannot be written to {folder} (No space left"
        )
    assert kit.digests(tmp_path) == before

    def interrupted(*_: Any) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(export, "_check", interrupted)
    monkeypatch.setattr(export, "_write", inner)
    assert call("weights", "export", NAME, "--weights", mine, "-o", target).status == 130
    assert kit.digests(tmp_path) == before


def test_an_export_that_is_killed_leaves_nothing_that_looks_complete(
    mine: Path, cache: Path, media: Any, kit: Any, call: Any, tmp_path: Path
) -> None:
    before = f"{REDUCED}\nfrom sampt.segmenters.sam import export\nexport._check = lambda *_: os._exit(9)\n"
    done = kit.call_process(["weights", "export", NAME, "--weights", str(mine)], before=before)
    assert (done.returncode, done.stdout) == (9, "")
    (left,) = (cache / "exported").iterdir()
    assert ".sampt-partial-" in left.name
    failed(
        call(*segment(media, kit, tmp_path / "out", mine, "--runtime", "openvino")), "is not exported for runtime 'openvino'"
    )

    hour_ago = left.stat().st_mtime - 3700
    assert call("weights", "export", NAME, "--weights", mine).status == 0
    assert left.is_dir()  # somebody else may still be at work on it
    os.utime(left, (hour_ago, hour_ago))
    done = call("weights", "export", NAME, "--weights", mine)
    assert done.status == 0
    assert held(cache / "exported") == {Path(done.out.removesuffix("\n")).name}
